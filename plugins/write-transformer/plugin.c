/* SPDX-License-Identifier: Apache-2.0 */
/* write-transformer - the desk: turns a story into a dispatch that cites its records. */
#include <stddef.h>

#include <telex-sdk/plugin.h>

#include "desk.h"

#define AT(member) .offset = offsetof(struct desk_config, member)

const struct telex_option *const desk_options[] = {
    TELEX_OPTION(.name = "model", .type = TELEX_TEXT, AT(model), .initial = "",
                 .doc = "role of the model to write with; empty: the stage's only or first one"),
    TELEX_OPTION(.name = "kinds", .type = TELEX_LIST, AT(kinds), .initial = "News",
                 .doc = "kinds of dispatch, each \"Label\" or \"Label: words that speak for it\""),
    TELEX_OPTION(.name = "beats", .type = TELEX_LIST, AT(beats),
                 .initial = "General,Energy: oil opec crude barrel petroleum gas quota,"
                            "Deals: acquire merger takeover stake bid spinoff hotel offer,"
                            "Markets: shares stock bond currency dollar yen trading index,"
                            "Open Source AI: open-weight open-source weights models nvidia mistral,"
                            "Technology: software chip computer data network,"
                            "Trade: tariff export import dispute sanctions",
                 .doc = "beats, each \"Label: words that speak for it\"; one without words takes the rest"),
    TELEX_OPTION(.name = "lang", .type = TELEX_TEXT, AT(lang), .initial = "en",
                 .doc = "language of the dispatches; the desk knows English"),
    TELEX_OPTION(.name = "rewrites", .type = TELEX_INT, AT(rewrites), .initial = "2", .min = 0, .max = 4,
                 .doc = "times a refused sentence is asked again before its record is quoted"),
    TELEX_OPTION(.name = "temperature", .type = TELEX_REAL, AT(temperature), .initial = "0.6", .min = 0,
                 .max = 2, .doc = "of the second and later rewrites; all else is greedy"),
    TELEX_OPTION(.name = "min_body", .type = TELEX_INT, AT(min_body), .initial = "2", .min = 1, .max = 5,
                 .doc = "sentences that the paragraph needs to stand"),
    TELEX_OPTION(.name = "min_faq", .type = TELEX_INT, AT(min_faq), .initial = "0", .min = 0, .max = 3,
                 .doc = "answered questions that the dispatch needs to stand"),
    TELEX_OPTION(.name = "min_sentences", .type = TELEX_INT, AT(min_sentences), .initial = "3", .min = 2,
                 .max = 12, .doc = "usable sentences without which no dispatch is begun"),
    TELEX_OPTION(.name = "max_records", .type = TELEX_INT, AT(max_records), .initial = "12", .min = 1,
                 .max = 32, .doc = "records of a story that are read"),
    TELEX_OPTION(.name = "job_timeout", .type = TELEX_DURATION, AT(job_timeout_ms), .initial = "5m",
                 .doc = "longest wait for one answer of the model"),
    TELEX_OPTION(.name = "memory", .type = TELEX_SIZE, AT(memory_bytes), .initial = "256MiB",
                 .doc = "most that one story may take"),
    NULL,
};

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "stories", "telex.story/1"),
    TELEX_PORT(TELEX_OUT, "dispatches", "telex.dispatch/1"),
    NULL,
};
static const char *const needs[] = {"model", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WRITE,
    .max_outputs = 1,
    .name = DESK_NAME,
    .version = DESK_VERSION,
    .doc = "turns a story into a dispatch that cites its records",
    .ports = ports,
    .options = desk_options,
    .needs = needs,
    .create = desk_create,   /* desk.c */
    .start = desk_start,     /* desk.c */
    .process = desk_process, /* desk.c */
    .destroy = desk_destroy, /* desk.c */
};

TELEX_STAGE_PLUGIN(stage, DESK_NAME, DESK_VERSION, "Apache-2.0",
                   "turns a story into a dispatch that cites its records")

/* SPDX-License-Identifier: Apache-2.0 */
/* signal-archive - replays recorded archives: Reuters SGML and XML, JSON lines of records, folders of feeds.
 */
#include "life.h"

static const char *const formats[] = {"auto", "reuters", "jsonl", "feeds", NULL};
static const char *const orders[] = {"time", "given", NULL};

#define AT(member) .offset = offsetof(struct archive_config, member)

const struct telex_option *const archive_options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, AT(path),
                 .doc = "file, folder (read whole) or pattern such as news/{acq,crude}/*.xml; .gz is fine"),
    TELEX_OPTION(.name = "paths", .type = TELEX_LIST, AT(paths),
                 .doc = "more of the same, absolute or relative to the working directory"),
    TELEX_OPTION(.name = "format", .type = TELEX_CHOICE, AT(format), .initial = "auto", .choices = formats,
                 .doc = "what the files are; auto looks into each"),
    TELEX_OPTION(.name = "order", .type = TELEX_CHOICE, AT(order), .initial = "time", .choices = orders,
                 .doc =
                     "time: by publication, all records held in memory; given: by file name and place in it"),
    TELEX_OPTION(.name = "speed", .type = TELEX_REAL, AT(speed), .initial = "0", .max = 1e9,
                 .doc = "0: as fast as the pipeline takes it; 1: as recorded; 60: an hour a minute"),
    TELEX_OPTION(.name = "source", .type = TELEX_TEXT, AT(source),
                 .doc = "name of the source, where the archive names none"),
    TELEX_OPTION(.name = "outlet", .type = TELEX_TEXT, AT(outlet),
                 .doc = "registrable domain of the outlet, where a record has none"),
    TELEX_OPTION(.name = "owner", .type = TELEX_TEXT, AT(owner),
                 .doc = "who owns the outlet, where a record does not say"),
    TELEX_OPTION(.name = "lang", .type = TELEX_TEXT, AT(lang),
                 .doc = "language, where a record does not say"),
    TELEX_OPTION(.name = "primary", .type = TELEX_BOOL, AT(primary), .initial = "false",
                 .doc = "the source is party to what it reports, where a record does not say"),
    TELEX_OPTION(.name = "batch", .type = TELEX_INT, AT(batch), .initial = "16", .min = 1,
                 .max = ARCHIVE_BATCH_MAX, .doc = "records that are committed together"),
    TELEX_OPTION(.name = "text_limit", .type = TELEX_SIZE, AT(text_bytes), .initial = "256KiB",
                 .unit = "bytes", .min = 1024, .max = 4 << 20,
                 .doc = "longer texts are cut there, with a line in the log"),
    TELEX_OPTION(.name = "memory_limit", .type = TELEX_SIZE, AT(memory_bytes), .initial = "512MiB",
                 .unit = "bytes", .min = 1 << 20, .max = 64.0 * (1 << 30),
                 .doc = "order: time refuses larger archives"),
    NULL,
};

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_OUT, "records", "telex.record/1"),
    NULL,
};

static const char *const needs[] = {"fs:read", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_SIGNAL,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = ARCHIVE_BATCH_MAX,
    .name = "signal-archive",
    .version = "0.1.0",
    .doc = "replays recorded archives as records",
    .ports = ports,
    .options = archive_options,
    .needs = needs,
    .create = archive_create,       /* life.c */
    .start = archive_start,         /* life.c */
    .on_credit = archive_on_credit, /* life.c */
    .on_timer = archive_on_timer,   /* life.c */
    .drain = archive_drain,         /* life.c */
    .destroy = archive_destroy,     /* life.c */
};

TELEX_STAGE_PLUGIN(stage, "signal-archive", "0.1.0", "Apache-2.0", "replays recorded archives as records")

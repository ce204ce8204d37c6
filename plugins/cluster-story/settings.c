/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - the option table, which is also where the defaults live. */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/option.h>

static const char *const emit_choices[] = {"all", "gated", NULL};

#define AT(member) .offset = offsetof(struct cluster_options, member)

const struct telex_option *const settings_table[] = {
    TELEX_OPTION(.name = "emit", .type = TELEX_CHOICE, AT(emit), .initial = "all", .choices = emit_choices,
                 .doc =
                     "all: every new version of a story; gated: only when its gate opens and when news come"),
    TELEX_OPTION(.name = "outlet", .type = TELEX_TEXT, AT(outlet), .initial = "",
                 .doc = "outlet of records that name none, such as those of an archive"),
    TELEX_OPTION(
            .name = "gate_outlets", .type = TELEX_INT, AT(gate_outlets), .initial = "2", .min = 0,
            .max = 1000,
            .doc = "independent outlets that open a story's gate; owners count once, copies never; 0: never"),
    TELEX_OPTION(.name = "gate_records", .type = TELEX_INT, AT(gate_records), .initial = "0", .min = 0,
                 .max = 1000, .doc = "reports that open a story's gate, copies not counted; 0: never"),
    TELEX_OPTION(.name = "gate_primary", .type = TELEX_BOOL, AT(gate_primary), .initial = "true",
                 .doc = "one record from a primary source opens the gate"),
    TELEX_OPTION(.name = "gate_growth", .type = TELEX_REAL, AT(gate_growth), .initial = "0.5", .min = 0,
                 .max = 100,
                 .doc =
                     "share by which the reports must have grown before new facts hand a story over again"),
    TELEX_OPTION(
            .name = "retire", .type = TELEX_DURATION, AT(retire_ms), .initial = "5d", .unit = "ms",
            .min = 60000, .max = 31536000000.0,
            .doc = "a story untouched for so long, in event time, takes no more records; a weekend must fit"),
    TELEX_OPTION(.name = "half_life", .type = TELEX_DURATION, AT(half_life_ms), .initial = "7d", .unit = "ms",
                 .min = 60000, .max = 31536000000.0, .doc = "distance in time that halves a score"),
    TELEX_OPTION(.name = "max_records", .type = TELEX_INT, AT(max_records), .initial = "100000", .min = 16,
                 .max = 10000000, .doc = "live records; above it the stories untouched longest retire early"),
    TELEX_OPTION(.name = "max_listed", .type = TELEX_INT, AT(max_listed), .initial = "1024", .min = 2,
                 .max = 100000, .doc = "records listed in one story; further copies are counted, not listed"),
    TELEX_OPTION(.name = "lead", .type = TELEX_SIZE, AT(lead_bytes), .initial = "600", .unit = "bytes",
                 .min = 0, .max = 4096, .doc = "how much of a record's text is read"),
    TELEX_OPTION(.name = "names", .type = TELEX_BOOL, AT(names), .initial = "false",
                 .doc = "capitalised runs of words count as terms of their own, beside their words"),
    TELEX_OPTION(.name = "join", .type = TELEX_REAL, AT(join), .initial = "0.275", .min = 0, .max = 1,
                 .doc = "score at which a record joins a story of one record"),
    TELEX_OPTION(.name = "join_rise", .type = TELEX_REAL, AT(join_rise), .initial = "0.002", .min = 0,
                 .max = 0.2, .doc = "added to join for each doubling of the story, up to 64 reports"),
    TELEX_OPTION(.name = "age_rise", .type = TELEX_REAL, AT(age_rise), .initial = "0.01", .min = 0,
                 .max = 0.5, .doc = "added to join for each doubling of the story's age beyond a day"),
    TELEX_OPTION(.name = "merge", .type = TELEX_REAL, AT(merge), .initial = "0.17", .min = 0, .max = 1,
                 .doc = "score at which two stories of many records are one"),
    TELEX_OPTION(.name = "density", .type = TELEX_REAL, AT(density), .initial = "0.085", .min = 0, .max = 0.2,
                 .doc =
                     "taken off join and merge for each doubling of the live stories' mean size, up to 16"),
    TELEX_OPTION(.name = "evidence", .type = TELEX_REAL, AT(evidence), .initial = "1.56", .min = 0, .max = 10,
                 .doc = "weight of shared telling terms at which half a score counts"),
    TELEX_OPTION(.name = "member", .type = TELEX_REAL, AT(member), .initial = "0.38", .min = 0, .max = 1,
                 .doc = "share of the most similar member in a score; the rest is the story's profile"),
    TELEX_OPTION(.name = "quorum", .type = TELEX_REAL, AT(quorum), .initial = "0.23", .min = 0, .max = 1,
                 .doc = "share of pairs across two stories that must agree before they merge"),
    TELEX_OPTION(.name = "quorum_pair", .type = TELEX_REAL, AT(quorum_pair), .initial = "0.20", .min = 0,
                 .max = 1, .doc = "similarity at which such a pair agrees"),
    TELEX_OPTION(
            .name = "split", .type = TELEX_REAL, AT(split), .initial = "0.15", .min = 0, .max = 1,
            .doc =
                "similarity that ties two reports; groups that nothing ties to the founder leave; 0: never"),
    TELEX_OPTION(.name = "conflict", .type = TELEX_REAL, AT(conflict), .initial = "0.125", .min = 0, .max = 1,
                 .doc = "taken off a score for values that contradict each other (day 2, day 21)"),
    TELEX_OPTION(.name = "contrast", .type = TELEX_REAL, AT(contrast), .initial = "0.4", .min = 0, .max = 1,
                 .doc = "share of a score lost by two titles that are alike in all but what they name"),
    TELEX_OPTION(.name = "form", .type = TELEX_REAL, AT(form), .initial = "0.72", .min = -0.5, .max = 20,
                 .doc =
                     "log odds for two fillings of one form at which nothing is left of a score; 20: never"),
    TELEX_OPTION(.name = "accord", .type = TELEX_REAL, AT(accord), .initial = "0.012", .min = 0, .max = 1,
                 .doc = "added to a score for each value that both have, up to two"),
    TELEX_OPTION(.name = "same_outlet", .type = TELEX_REAL, AT(same_outlet), .initial = "0.26", .min = 0,
                 .max = 1,
                 .doc = "taken off where the record's outlet has reported the story, shared by its outlets"),
    TELEX_OPTION(.name = "column", .type = TELEX_REAL, AT(column), .initial = "0.1", .min = 0, .max = 1,
                 .doc = "taken off for titles in the form of a list or a share notice"),
    TELEX_OPTION(.name = "prior", .type = TELEX_INT, AT(prior), .initial = "1000", .min = 1, .max = 100000,
                 .doc = "stories that the built-in word statistics stand for, until the stream has its own"),
    TELEX_OPTION(.name = "explain", .type = TELEX_BOOL, AT(explain), .initial = "true",
                 .doc =
                     "one line in the log, at debug level, for each decision, and a row for `telex explain`"),
    NULL,
};

static int64_t read_duration(const char *text) {
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    int64_t n = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0)
            return n * units[i].ms;
    }
    return n;
}

static void set(struct cluster_options *options, const struct telex_option *option, const char *value) {
    char *at = (char *)options + option->offset;
    switch (option->type) {
    case TELEX_BOOL:
        *(bool *)at = strcmp(value, "true") == 0;
        break;
    case TELEX_REAL:
        *(double *)at = strtod(value, NULL);
        break;
    case TELEX_DURATION:
        *(int64_t *)at = read_duration(value);
        break;
    case TELEX_INT:
    case TELEX_SIZE:
        *(int64_t *)at = strtoll(value, NULL, 10);
        break;
    default:
        *(const char **)at = value;
    }
}

void settings_default(struct cluster_options *options) {
    memset(options, 0, sizeof(*options));
    for (const struct telex_option *const *o = settings_table; *o; o++)
        set(options, *o, (*o)->initial);
}

int settings_set(struct cluster_options *options, const char *assignment) {
    size_t len = strcspn(assignment, "=");
    for (const struct telex_option *const *o = settings_table; *o && assignment[len]; o++) {
        if (strlen((*o)->name) == len && memcmp((*o)->name, assignment, len) == 0) {
            set(options, *o, assignment + len + 1);
            return 0;
        }
    }
    return -ENOENT;
}

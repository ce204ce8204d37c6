/* SPDX-License-Identifier: Apache-2.0 */
/* signal-feed - follows RSS, Atom and JSON feeds over http, https and in files. */
#include "stage.h"

#define AT(member) .offset = offsetof(struct options, member)

const struct telex_option *const stage_options[] = {
    TELEX_OPTION(.name = "feeds", .type = TELEX_LIST, AT(feeds),
                 .doc = "feeds to follow: an address, then any of primary name= owner= outlet= lang= every="),
    TELEX_OPTION(.name = "feeds_file", .type = TELEX_PATH, AT(feeds_file),
                 .doc = "file with such a line for each feed, or OPML"),
    TELEX_OPTION(.name = "interval", .type = TELEX_DURATION, AT(interval_ms), .initial = "60m", .unit = "ms",
                 .min = 1000, .max = 86400e3,
                 .doc = "shortest time between two questions to a feed without every="),
    TELEX_OPTION(.name = "max_interval", .type = TELEX_DURATION, AT(max_interval_ms), .initial = "24h",
                 .unit = "ms", .min = 1000, .max = 7 * 86400e3,
                 .doc = "longest time between two questions to a quiet feed"),
    TELEX_OPTION(.name = "domain_gap", .type = TELEX_DURATION, AT(domain_gap_ms), .initial = "1s",
                 .unit = "ms", .max = 3600e3, .doc = "pause between two questions to one registrable domain"),
    TELEX_OPTION(.name = "max_age", .type = TELEX_DURATION, AT(max_age_ms), .initial = "7d", .unit = "ms",
                 .max = 36500 * 86400e3, .doc = "items published longer ago are not news; 0ms takes all"),
    TELEX_OPTION(.name = "remember", .type = TELEX_DURATION, AT(remember_ms), .initial = "60d", .unit = "ms",
                 .min = 86400e3, .max = 36500 * 86400e3,
                 .doc = "how long a record that left its feed stays known"),
    TELEX_OPTION(.name = "once", .type = TELEX_BOOL, AT(once), .initial = "false",
                 .doc = "ask each feed that is due once, then end"),
    TELEX_OPTION(.name = "parallel", .type = TELEX_INT, AT(parallel), .initial = "8", .min = 1, .max = 64,
                 .doc = "most questions under way at a time"),
    TELEX_OPTION(.name = "contact", .type = TELEX_TEXT, AT(contact),
                 .doc = "address where the sites can reach you; part of the user agent"),
    TELEX_OPTION(.name = "user_agent", .type = TELEX_TEXT, AT(user_agent),
                 .doc = "another user agent altogether"),
    TELEX_OPTION(.name = "allow_addresses", .type = TELEX_LIST, AT(allow_addresses),
                 .doc = "blocks outside the public Internet that may be asked, such as 127.0.0.0/8"),
    TELEX_OPTION(.name = "allow_ports", .type = TELEX_LIST, AT(allow_ports),
                 .doc = "ports besides 80 and 443"),
    TELEX_OPTION(.name = "connect_timeout", .type = TELEX_DURATION, AT(connect_ms), .initial = "10s",
                 .unit = "ms", .min = 100, .max = 300e3, .doc = "to open a connection"),
    TELEX_OPTION(.name = "timeout", .type = TELEX_DURATION, AT(timeout_ms), .initial = "30s", .unit = "ms",
                 .min = 100, .max = 600e3, .doc = "for an answer with all its redirects"),
    TELEX_OPTION(.name = "slow_timeout", .type = TELEX_DURATION, AT(slow_ms), .initial = "10s", .unit = "ms",
                 .min = 1000, .max = 600e3, .doc = "an answer slower than slow_rate for so long is given up"),
    TELEX_OPTION(.name = "slow_rate", .type = TELEX_SIZE, AT(slow_bytes_s), .initial = "1KiB",
                 .unit = "bytes/s", .max = 1 << 20, .doc = "see slow_timeout; 0 never gives up for slowness"),
    TELEX_OPTION(.name = "redirects", .type = TELEX_INT, AT(redirects), .initial = "3", .max = 20,
                 .doc = "most redirects that are followed"),
    TELEX_OPTION(.name = "wire_limit", .type = TELEX_SIZE, AT(wire_bytes), .initial = "10MiB",
                 .unit = "bytes", .min = 1024, .max = 1 << 30, .doc = "most bytes of an answer, as sent"),
    TELEX_OPTION(.name = "body_limit", .type = TELEX_SIZE, AT(body_bytes), .initial = "32MiB",
                 .unit = "bytes", .min = 1024, .max = 256 << 20, .doc = "most bytes of a document, unpacked"),
    TELEX_OPTION(.name = "ratio_limit", .type = TELEX_INT, AT(ratio), .initial = "100", .min = 1,
                 .max = 10000, .doc = "most bytes that one sent byte may unpack to"),
    TELEX_OPTION(.name = "items_limit", .type = TELEX_INT, AT(items), .initial = "2000", .min = 1,
                 .max = 100000,
                 .doc = "most items of a document; the rest is left out, with a line in the log"),
    TELEX_OPTION(.name = "text_limit", .type = TELEX_SIZE, AT(text_bytes), .initial = "256KiB",
                 .unit = "bytes", .min = 1024, .max = 4 << 20,
                 .doc = "longer texts are cut there, with a line in the log"),
    NULL,
};

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_OUT, "records", "telex.record/1"),
    NULL,
};

static const char *const needs[] = {"net", "fs:read", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_SIGNAL,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = BATCH_MAX,
    .name = "signal-feed",
    .version = "0.1.0",
    .doc = "follows RSS, Atom and JSON feeds",
    .ports = ports,
    .options = stage_options,
    .needs = needs,
    .create = stage_create,       /* life.c */
    .start = stage_start,         /* life.c */
    .on_credit = stage_on_credit, /* life.c */
    .drain = stage_drain,         /* life.c */
    .stop = stage_stop,           /* life.c */
    .destroy = stage_destroy,     /* life.c */
};

TELEX_STAGE_PLUGIN(stage, "signal-feed", "0.1.0", "Apache-2.0", "follows RSS, Atom and JSON feeds")

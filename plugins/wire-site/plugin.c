/* SPDX-License-Identifier: Apache-2.0 */
/* wire-site - publishes dispatches as pages and feeds, each version exactly once. */
#include <stddef.h>

#include "wire.h"

static const char *const times[] = {"event", "clock", NULL};

#define OPTION(name_, type_, ...)                                                                            \
    TELEX_OPTION(.name = #name_, .type = type_, .offset = offsetof(struct wire_options, name_), __VA_ARGS__)

const struct telex_option *const wire_option_table[] = {
    OPTION(root, TELEX_PATH, .initial = "site",
           .doc = "folder that the pages are written to; made if missing"),
    OPTION(base_url, TELEX_TEXT,
           .doc = "public address of the site, such as https://wire.example; default: the public listener's"),
    OPTION(title, TELEX_TEXT, .initial = "telex", .doc = "name of the wire"),
    OPTION(tagline, TELEX_TEXT, .initial = "An autonomous news wire. Every sentence cites its records.",
           .doc = "one line under the name"),
    OPTION(publisher, TELEX_TEXT, .doc = "organisation that answers for the wire"),
    OPTION(contact, TELEX_TEXT, .doc = "where to report an error: a mail or web address"),
    OPTION(
        time, TELEX_CHOICE, .initial = "event", .choices = times,
        .doc =
            "a version's time: event is its newest record's, so a replay gives the same bytes; clock is when "
            "it was accepted"),
    OPTION(front_items, TELEX_INT, .initial = "40", .min = 1, .max = 500,
           .doc = "dispatches in the list of the front page"),
    OPTION(feed_items, TELEX_INT, .initial = "30", .min = 1, .max = 500, .doc = "dispatches in each feed"),
    OPTION(precompress, TELEX_BOOL, .initial = "false",
           .doc = "also write each file as .gz, for the listener to serve"),
    NULL,
};

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "dispatches", "telex.dispatch/1"),
    TELEX_PORT(TELEX_OUT, "events", "telex.event/1"),
    NULL,
};

static const char *const needs[] = {"fs:write", "http", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WIRE,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "wire-site",
    .version = "0.1.0",
    .doc = "publishes dispatches as pages and feeds",
    .ports = ports,
    .options = wire_option_table,
    .needs = needs,
    .create = wire_create,     /* wire.c: options */
    .start = wire_start,       /* wire.c: opens the site, resumes what was accepted and not published */
    .process = wire_process,   /* wire.c: step one, accept */
    .on_timer = wire_on_timer, /* wire.c: steps two and three, render and settle */
    .drain = wire_drain,       /* wire.c: the same for all that is left */
    .destroy = wire_destroy,   /* wire.c */
};

TELEX_STAGE_PLUGIN(stage, "wire-site", "0.1.0", "Apache-2.0", "publishes dispatches as pages and feeds")

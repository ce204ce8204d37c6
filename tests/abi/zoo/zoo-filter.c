/* SPDX-License-Identifier: Apache-2.0 */
/* zoo-filter - keeps each record, comes back to it on its strand, looks into it and passes it on as it is.
 *
 * Uses: retain, PENDING, post, view, forward, complete, release, log, cancelled, now_ms. */
#include <stdlib.h>

#include "zoo.h"

struct filter;

struct held {
    struct held *next;
    struct filter *filter;
    telex_lease lease;
    struct telex_rec *record;
};

/* All of it is touched on the strand only. */
struct filter {
    const struct telex_host *host;
    struct held *first;
};

static telex_status create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct filter *filter = calloc(1, sizeof(*filter));
    (void)options;
    if (!filter)
        return TELEX_FATAL;
    filter->host = host;
    *self = filter;
    return TELEX_OK;
}

static void let_go(struct held *held) {
    struct held **at = &held->filter->first;
    while (*at != held)
        at = &(*at)->next;
    *at = held->next;
    held->filter->host->release(held->filter->host, held->record);
    free(held);
}

static telex_status pass(const struct telex_host *host, const struct held *held) {
    struct telex_view *view = zoo_at_the_edge(sizeof(*view));
    if (!view || host->cancelled(host, held->lease))
        return TELEX_CANCELLED;
    view->size = sizeof(*view);
    telex_status status = host->view(host, held->record, view);
    if (status != TELEX_OK || !TELEX_HAS(view, body) || view->body.size == 0 || view->id.size == 0 ||
        host->now_ms(host, TELEX_CLOCK_WALL) < 1000000000000)
        return host->fail(host, held->lease, TELEX_REJECT, zoo_text("a look into it told nothing"));
    host->log(host, TELEX_DEBUG, held->lease, zoo_text("passed on"));
    return host->forward(host, held->lease, 0, held->record);
}

static void later(void *arg) {
    struct held *held = arg;
    const struct telex_host *host = held->filter->host;
    host->complete(host, held->lease, pass(host, held));
    let_go(held);
}

static telex_status process(void *self, telex_lease lease, struct telex_rec *in) {
    struct filter *filter = self;
    struct held *held = malloc(sizeof(*held));
    if (!held)
        return TELEX_RETRY;
    *held = (struct held){filter->first, filter, lease, in};
    filter->first = held;
    filter->host->retain(filter->host, in);
    if (filter->host->post(filter->host, later, held) == TELEX_OK)
        return TELEX_PENDING;
    let_go(held);
    return TELEX_CANCELLED;
}

/* What was posted and has not run by now never will. */
static void stop(void *self) {
    struct filter *filter = self;
    while (filter->first)
        let_go(filter->first);
}

static void destroy(void *self) {
    free(self);
}

static const struct telex_port in = {
    .size = sizeof(in), .direction = TELEX_IN, .name = "in", .schemas = (const char *const[]){"*", NULL}};
static const struct telex_port out = {
    .size = sizeof(out), .direction = TELEX_OUT, .name = "out", .schemas = (const char *const[]){"*", NULL}};
static const struct telex_port *const ports[] = {&in, &out, NULL};
static const struct telex_stage stage = {.size = sizeof(stage),
                                         .role = TELEX_FILTER,
                                         .max_outputs = 1,
                                         .name = "zoo-filter",
                                         .version = "1.0.0",
                                         .doc = "a plugin of old",
                                         .ports = ports,
                                         .create = create,
                                         .process = process,
                                         .stop = stop,
                                         .destroy = destroy};

ZOO_PLUGIN("zoo-filter", TELEX_CLASS_STAGE, stage)

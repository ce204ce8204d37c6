/* SPDX-License-Identifier: Apache-2.0 */
/* zoo-source - gives twenty records, one a step, and remembers in kv how many it gave.
 *
 * Uses: open, loan, commit, complete, exhausted, kv, a timer, two options (with their defaults in the table).
 * Each record has a key that nobody knows, which must reach the other end. */
#include <stdio.h>
#include <stdlib.h>

#include "zoo.h"

enum { RECORDS = 20, TIMER = 7 };

struct source {
    const struct telex_host *host;
    const struct telex_kv *kv;
    const struct telex_timer *timer;
    int given;
};

static const struct telex_option count = {.size = sizeof(count),
                                          .type = TELEX_INT,
                                          .name = "count",
                                          .doc = "not read",
                                          .initial = "20",
                                          .min = 1,
                                          .max = 100};
static const struct telex_option flavour = {.size = sizeof(flavour),
                                            .type = TELEX_CHOICE,
                                            .name = "flavour",
                                            .doc = "not read",
                                            .initial = "sweet",
                                            .choices = (const char *const[]){"sweet", "sour", NULL}};
static const struct telex_option *const options[] = {&count, &flavour, NULL};

static int is_map(struct telex_bytes body) {
    return body.size > 0 && ((body.data[0] & 0xf0) == 0x80 || body.data[0] == 0xde || body.data[0] == 0xdf);
}

static telex_status create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct source *source = calloc(1, sizeof(*source));
    if (!source || !is_map(given))
        return TELEX_FATAL;
    source->host = host;
    source->kv = host->ext(host, TELEX_KV);
    source->timer = host->ext(host, TELEX_TIMER);
    if (!source->kv || !source->timer || host->ext(host, "telex.no-such-thing/9"))
        return host->fail(host, 0, TELEX_FATAL,
                          zoo_text("kv or timer is missing, or an unknown extension is there"));
    *self = source;
    return TELEX_OK;
}

static telex_status start(void *self) {
    struct source *source = self;
    uint8_t given[4] = {0};
    int64_t size = source->kv->get(source->host, 0, zoo_text("given"), given, sizeof(given));
    source->given = size == 1 ? given[0] : 0;
    return TELEX_OK;
}

static uint8_t *put(uint8_t *at, const char *text) {
    size_t size = strlen(text);
    *at++ = (uint8_t)(0xa0 | size);
    memcpy(at, text, size);
    return at + size;
}

static telex_status give(struct source *source, telex_lease lease) {
    struct telex_loan *loan = zoo_at_the_edge(sizeof(*loan));
    char id[32];
    if (!loan)
        return TELEX_RETRY;
    loan->size = sizeof(*loan);
    telex_status status = source->host->loan(source->host, lease, 0, 200, loan);
    if (status != TELEX_OK)
        return status;
    snprintf(id, sizeof(id), "zoo-%02d", source->given);
    uint8_t *at = loan->data;
    *at++ = 0x84;
    at = put(put(at, "schema"), "telex.record/1");
    at = put(put(at, "id"), id);
    at = put(put(at, "title"), "A record from the zoo");
    at = put(at, "stripes");
    *at++ = 0x93, *at++ = 1, *at++ = 0xc0, *at++ = 0xc3; /* [1, nil, true] */
    status = source->host->commit(source->host, loan, (uint64_t)(at - loan->data));
    uint8_t given = (uint8_t)(source->given + 1);
    struct telex_bytes value = {&given, 1};
    if (status == TELEX_OK)
        status = source->kv->put(source->host, lease, zoo_text("given"), value);
    source->given += status == TELEX_OK;
    return status;
}

static void on_credit(void *self) {
    struct source *source = self;
    telex_lease lease;
    if (source->given >= RECORDS) {
        source->host->exhausted(source->host);
        return;
    }
    if (source->host->open(source->host, &lease) != TELEX_OK)
        return;
    source->host->complete(source->host, lease, give(source, lease));
    source->timer->set(source->host, TIMER, 1);
}

static void on_timer(void *self, uint64_t timer) {
    if (timer == TIMER)
        on_credit(self);
}

static void destroy(void *self) {
    free(self);
}

static const struct telex_port out = {.size = sizeof(out),
                                      .direction = TELEX_OUT,
                                      .name = "out",
                                      .schemas = (const char *const[]){"telex.record/1", NULL}};
static const struct telex_port *const ports[] = {&out, NULL};
static const struct telex_stage stage = {.size = sizeof(stage),
                                         .role = TELEX_SIGNAL,
                                         .flags = TELEX_STAGE_STATEFUL,
                                         .max_outputs = 1,
                                         .name = "zoo-source",
                                         .version = "1.0.0",
                                         .doc = "a plugin of old",
                                         .ports = ports,
                                         .options = options,
                                         .create = create,
                                         .start = start,
                                         .on_credit = on_credit,
                                         .on_timer = on_timer,
                                         .destroy = destroy};

ZOO_PLUGIN("zoo-source", TELEX_CLASS_STAGE, stage)

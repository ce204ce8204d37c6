/* SPDX-License-Identifier: Apache-2.0 */
/* test_given.c - the source that gives a test's records, one a step, in their order.
 *
 * How many are committed is kept in kv and changes with the step that commits the next, so that neither a
 * restart of the stage nor one of the host gives a record twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/plugin.h>
#include <telex/ext/kv.h>

#include "test_run.h"

enum { GIVEN_MAX = 64, PORTS_MAX = 32 };

struct given {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed */
    const struct test_source *source;
    uint64_t next;
};

/* What a stage's options name by number. */
static struct {
    struct telex_stage class;
    struct telex_port ports[PORTS_MAX];
    const struct telex_port *list[PORTS_MAX + 1];
    const struct test_source *source;
    uint32_t failed_starts;
    uint8_t options[16];
} slots[GIVEN_MAX];
static size_t n_slots;

static telex_status given_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct telex_map map;
    struct given *given = calloc(1, sizeof(*given));
    if (!given || telex_map_open(&map, options) < 0) {
        free(given);
        return TELEX_FATAL;
    }
    given->source = slots[telex_map_int(map.root, "slot", 0)].source;
    telex_map_close(&map);
    given->host = host;
    given->kv = host->ext(host, TELEX_KV);
    *self = given;
    return TELEX_OK;
}

static telex_status given_start(void *self) {
    struct given *given = self;
    char text[24] = {0};
    for (size_t i = 0; i < n_slots; i++)
        if (slots[i].source == given->source && slots[i].failed_starts < given->source->failing_starts) {
            slots[i].failed_starts++;
            return telex_fail(given->host, 0, TELEX_FATAL, "a fault that `telex test` planned");
        }
    if (given->kv->get(given->host, 0, telex_text("next"), text, sizeof(text) - 1) > 0)
        given->next = strtoull(text, NULL, 10);
    return TELEX_OK;
}

static telex_status give(struct given *given, telex_lease lease) {
    const struct telex_host *host = given->host;
    struct telex_bytes body = given->source->bodies[given->next];
    struct telex_loan loan = {.size = sizeof(loan)};
    char text[24];
    telex_status status = host->loan(host, lease, given->source->ports[given->next], body.size, &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, body.data, body.size);
    status = host->commit(host, &loan, body.size);
    if (status != TELEX_OK)
        return status;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)given->next + 1);
    return given->kv->put(host, lease, telex_text("next"), telex_text(text));
}

static void given_on_credit(void *self) {
    struct given *given = self;
    const struct telex_host *host = given->host;
    telex_lease lease;
    while (given->next < given->source->n && host->open(host, &lease) == TELEX_OK) {
        telex_status status = give(given, lease);
        if (host->complete(host, lease, status) != TELEX_OK || status != TELEX_OK)
            return;
        given->next++;
    }
    if (given->next == given->source->n)
        host->exhausted(host);
}

void test_give(struct config_stage *stage, const struct test_source *source) {
    size_t i, n_ports = 0, slot = n_slots;
    json_t *port;
    if (n_slots == GIVEN_MAX)
        return;
    json_array_foreach(json_object_get(stage->plugin->about, "ports"), i, port) {
        static const char *const any[] = {"*", NULL};
        const char *direction = json_string_value(json_object_get(port, "direction"));
        if (n_ports == PORTS_MAX || strcmp(direction, "out") != 0)
            continue;
        slots[slot].ports[n_ports] =
            (struct telex_port){.size = sizeof(struct telex_port),
                                .direction = TELEX_OUT,
                                .name = json_string_value(json_object_get(port, "name")),
                                .schemas = any};
        slots[slot].list[n_ports] = &slots[slot].ports[n_ports];
        n_ports++;
    }
    slots[slot].source = source;
    slots[slot].class = (struct telex_stage){.size = sizeof(struct telex_stage),
                                             .role = TELEX_SIGNAL,
                                             .flags = TELEX_STAGE_STATEFUL,
                                             .max_outputs = 1,
                                             .name = "given",
                                             .version = "1",
                                             .doc = "gives a test's records",
                                             .ports = slots[slot].list,
                                             .create = given_create,
                                             .start = given_start,
                                             .on_credit = given_on_credit,
                                             .destroy = free};
    memcpy(slots[slot].options, "\x81\xa4slot", 6);
    slots[slot].options[6] = (uint8_t)slot; /* a positive fixint */
    stage->builtin = &slots[slot].class;
    free((void *)stage->options.data);
    uint8_t *copy = malloc(7);
    if (!copy)
        abort();
    memcpy(copy, slots[slot].options, 7);
    stage->options = (struct telex_bytes){copy, 7};
    stage->isolation = ISOLATION_THREAD;
    n_slots++;
}

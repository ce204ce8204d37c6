/* SPDX-License-Identifier: Apache-2.0 */
/* source-breaks - a source of twenty records that breaks the rule that its option names. With rule `none` it
 * is a good one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex/ext/kv.h>
#include <telex-sdk/plugin.h>

enum { COUNT = 20, TRIES = 5000 };

struct source {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed */
    const char *rule;              /* in memory */
    void *memory;                  /* owned */
    int64_t next;
    bool gave_up;
};

static const char *const rules[] = {"none", "credit.spin", "credit.stalls", "drain.opens", NULL};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "rule", .type = TELEX_CHOICE, .offset = offsetof(struct source, rule),
                 .initial = "none", .choices = rules, .doc = "the rule to break"),
    NULL,
};

static bool is(const struct source *source, const char *rule) {
    return strcmp(source->rule, rule) == 0;
}

static telex_status source_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct source *source = calloc(1, sizeof(*source));
    if (!source || telex_options_read(options, given, source, &source->memory) < 0) {
        free(source);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    source->host = host;
    source->kv = host->ext(host, TELEX_KV);
    *self = source;
    return TELEX_OK;
}

static telex_status source_start(void *self) {
    struct source *source = self;
    char text[24] = {0};
    if (source->kv->get(source->host, 0, telex_text("next"), text, sizeof(text) - 1) > 0)
        source->next = strtoll(text, NULL, 10);
    return TELEX_OK;
}

static telex_status give(const struct source *source, telex_lease lease) {
    struct telex_builder b;
    char id[24], next[24];
    snprintf(id, sizeof(id), "n%lld", (long long)source->next);
    snprintf(next, sizeof(next), "%lld", (long long)source->next + 1);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_text(&b, id);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, source->host, lease, 0);
    telex_build_finish(&b);
    return status == TELEX_OK ? source->kv->put(source->host, lease, telex_text("next"), telex_text(next))
                              : status;
}

static void source_on_credit(void *self) {
    struct source *source = self;
    const struct telex_host *host = source->host;
    telex_lease lease;
    while (source->next < COUNT && !source->gave_up && host->open(host, &lease) == TELEX_OK) {
        telex_status status = give(source, lease);
        if (host->complete(host, lease, status) != TELEX_OK || status != TELEX_OK)
            return;
        source->next++;
    }
    if (source->next == COUNT)
        host->exhausted(host);
    else if (is(source, "credit.stalls"))
        source->gave_up = true; /* on_credit will come, and finds nobody */
    for (int i = 0; i < TRIES && source->next < COUNT && is(source, "credit.spin"); i++)
        if (host->open(host, &lease) == TELEX_OK)
            host->complete(host, lease, TELEX_CANCELLED);
}

static void open_one(void *arg) {
    const struct telex_host *host = arg;
    telex_lease lease;
    for (int i = 0; i < 20; i++)
        if (host->open(host, &lease) == TELEX_OK)
            host->complete(host, lease, TELEX_CANCELLED);
}

static void source_drain(void *self, int64_t deadline_ms) {
    const struct source *source = self;
    (void)deadline_ms;
    if (is(source, "drain.opens"))
        source->host->post(source->host, open_one, (void *)source->host);
}

static void source_destroy(void *self) {
    struct source *source = self;
    free(source->memory);
    free(source);
}

static const struct telex_port *const ports[] = {TELEX_PORT(TELEX_OUT, "out", "telex.record/1"), NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_SIGNAL,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "source-breaks",
    .version = "0.1.0",
    .doc = "breaks a rule of sources",
    .ports = ports,
    .options = options,
    .create = source_create,
    .start = source_start,
    .on_credit = source_on_credit,
    .drain = source_drain,
    .destroy = source_destroy,
};

TELEX_STAGE_PLUGIN(stage, "source-breaks", "0.1.0", "Apache-2.0", "breaks a rule of sources")

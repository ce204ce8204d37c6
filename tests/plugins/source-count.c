/* SPDX-License-Identifier: Apache-2.0 */
/* source-count - gives a stated number of generated records, the same ones every time.
 *
 * `next` is the number of the first record that is not committed. It is kept in kv and changes in the step
 * that commits the records, so a restart neither repeats nor leaves out any. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <telex/ext/kv.h>
#include <telex/ext/timer.h>
#include <telex-sdk/id.h>
#include <telex-sdk/plugin.h>

enum { BATCH_MAX = 256, TIMER_EVERY = 1 };
#define FIRST_PUBLISHED_MS 1767225600000 /* 2026-01-01 */

struct count {
    const struct telex_host *host;   /* borrowed */
    const struct telex_kv *kv;       /* borrowed; NULL where the host has none */
    const struct telex_timer *timer; /* borrowed; NULL where the host has none */
    int64_t count, bytes, batch, every_ms;
    int64_t next;
    char *filler; /* owned, `bytes` long */
    bool said_exhausted;
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "count", .type = TELEX_INT, .offset = offsetof(struct count, count),
                 .initial = "100", .max = 1e9, .doc = "how many records"),
    TELEX_OPTION(.name = "bytes", .type = TELEX_SIZE, .offset = offsetof(struct count, bytes),
                 .initial = "200", .max = 8 << 20, .unit = "bytes", .doc = "length of each record's text"),
    TELEX_OPTION(.name = "batch", .type = TELEX_INT, .offset = offsetof(struct count, batch), .initial = "16",
                 .min = 1, .max = BATCH_MAX, .doc = "records in one step"),
    TELEX_OPTION(.name = "every", .type = TELEX_DURATION, .offset = offsetof(struct count, every_ms),
                 .initial = "0ms", .max = 3600e3, .unit = "ms", .doc = "pause between two steps"),
    NULL,
};

static telex_status count_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    void *memory;
    struct count *count = calloc(1, sizeof(*count));
    if (!count)
        return TELEX_FATAL;
    if (telex_options_read(options, given, count, &memory) < 0) {
        free(count);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    free(memory);
    count->filler = malloc((size_t)count->bytes + 1);
    if (!count->filler) {
        free(count);
        return TELEX_FATAL;
    }
    for (int64_t i = 0; i < count->bytes; i++)
        count->filler[i] = i % 8 == 7 ? ' ' : (char)('a' + i % 23);
    count->host = host;
    count->kv = host->ext(host, TELEX_KV);
    count->timer = host->ext(host, TELEX_TIMER);
    *self = count;
    return TELEX_OK;
}

static telex_status count_start(void *self) {
    struct count *count = self;
    char text[24] = {0};
    if (!count->kv)
        return TELEX_OK;
    int64_t size = count->kv->get(count->host, 0, telex_text("next"), text, sizeof(text) - 1);
    if (size < 0 && size != TELEX_NOT_FOUND)
        return telex_fail(count->host, 0, TELEX_FATAL, "state cannot be read: status %" PRId64, size);
    count->next = size > 0 ? strtoll(text, NULL, 10) : 0;
    return TELEX_OK;
}

static telex_status emit(struct count *count, telex_lease lease, int64_t number) {
    char id[33], text[64];
    struct telex_builder b;
    struct telex_bytes part;
    struct telex_bytes filler = {(const uint8_t *)count->filler, (uint64_t)count->bytes};
    snprintf(text, sizeof(text), "%" PRId64, number);
    part = telex_text(text);
    telex_id(id, "record", &part, 1);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_text(&b, id);
    telex_build_key(&b, "version"), telex_build_int(&b, 1);
    telex_build_key(&b, "source"), telex_build_text(&b, "source-count");
    telex_build_key(&b, "outlet"), telex_build_text(&b, "count.example");
    snprintf(text, sizeof(text), "https://count.example/%" PRId64, number);
    telex_build_key(&b, "url"), telex_build_text(&b, text);
    snprintf(text, sizeof(text), "Record %" PRId64, number);
    telex_build_key(&b, "title"), telex_build_text(&b, text);
    telex_build_key(&b, "text"), telex_build_bytes(&b, filler);
    telex_build_key(&b, "number"), telex_build_int(&b, number);
    telex_build_key(&b, "published_ms"), telex_build_int(&b, FIRST_PUBLISHED_MS + number * 1000);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, count->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

/* One step: a batch of records and the number of the next one. */
static telex_status step(struct count *count, telex_lease lease) {
    int64_t left = count->count - count->next, n = left < count->batch ? left : count->batch;
    telex_status status = TELEX_OK;
    for (int64_t i = 0; i < n && status == TELEX_OK; i++)
        status = emit(count, lease, count->next + i);
    if (status == TELEX_OK && count->kv) {
        char text[24];
        snprintf(text, sizeof(text), "%" PRId64, count->next + n);
        status = count->kv->put(count->host, lease, telex_text("next"), telex_text(text));
    }
    if (status == TELEX_OK)
        count->next += n;
    return status;
}

static void count_on_credit(void *self) {
    struct count *count = self;
    telex_lease lease;
    while (count->next < count->count) {
        if (count->host->open(count->host, &lease) != TELEX_OK)
            return;
        telex_status status = step(count, lease);
        if (count->host->complete(count->host, lease, status) != TELEX_OK || status != TELEX_OK)
            return;
        if (count->every_ms > 0 && count->timer && count->next < count->count) {
            count->timer->set(count->host, TIMER_EVERY, count->every_ms);
            return;
        }
    }
    if (!count->said_exhausted)
        count->host->exhausted(count->host);
    count->said_exhausted = true;
}

static void count_on_timer(void *self, uint64_t timer) {
    (void)timer;
    count_on_credit(self);
}

static void count_destroy(void *self) {
    struct count *count = self;
    free(count->filler);
    free(count);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_OUT, "records", "telex.record/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_SIGNAL,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = BATCH_MAX,
    .name = "source-count",
    .version = "0.1.0",
    .doc = "gives a stated number of generated records",
    .ports = ports,
    .options = options,
    .create = count_create,
    .start = count_start,
    .on_credit = count_on_credit,
    .on_timer = count_on_timer,
    .destroy = count_destroy,
};

TELEX_STAGE_PLUGIN(stage, "source-count", "0.1.0", "Apache-2.0", "gives a stated number of generated records")

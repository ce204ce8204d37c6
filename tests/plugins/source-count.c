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

/* The body of one record, and where those differ whose numbers have as many digits and bytes. */
struct template {
    struct telex_builder b;
    int64_t from, to; /* for these numbers, `to` not included */
    int n_digits, n_bytes;
    uint64_t id, url, title, number, published; /* ends of what differs */
};

struct count {
    const struct telex_host *host;   /* borrowed */
    const struct telex_kv *kv;       /* borrowed; NULL where the host has none */
    const struct telex_timer *timer; /* borrowed; NULL where the host has none */
    int64_t count, bytes, batch, every_ms;
    int64_t next;
    char *filler; /* owned, `bytes` long */
    struct template template;
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

static uint64_t build_template(struct telex_builder *b, const char *key, const char *text) {
    telex_build_key(b, key), telex_build_text(b, text);
    return telex_build_body(b).size;
}

/* The numbers that look like this one: as many digits, and as many bytes in msgpack. */
static void set_range(struct template *t, int64_t number) {
    static const int64_t ends[] = {128, 256, 65536, INT64_C(1) << 32};
    static const int bytes[] = {0, 1, 2, 4, 8};
    int64_t low = 0, high = 10;
    size_t i = 0;
    for (t->n_digits = 1; high <= number; t->n_digits++)
        low = high, high *= 10;
    while (i < 4 && ends[i] <= number)
        i++;
    t->n_bytes = bytes[i];
    t->from = i > 0 && ends[i - 1] > low ? ends[i - 1] : low;
    t->to = i < 4 && ends[i] < high ? ends[i] : high;
}

static void make_template(struct count *count, int64_t number) {
    struct template *t = &count->template;
    struct telex_bytes filler = {(const uint8_t *)count->filler, (uint64_t)count->bytes};
    char text[64];
    set_range(t, number);
    telex_build_finish(&t->b);
    telex_build_init(&t->b);
    telex_build_map_begin(&t->b);
    build_template(&t->b, "schema", "telex.record/1");
    t->id = build_template(&t->b, "id", "00000000000000000000000000000000");
    telex_build_key(&t->b, "version"), telex_build_int(&t->b, 1);
    build_template(&t->b, "source", "source-count");
    build_template(&t->b, "outlet", "count.example");
    snprintf(text, sizeof(text), "https://count.example/%" PRId64, number);
    t->url = build_template(&t->b, "url", text);
    snprintf(text, sizeof(text), "Record %" PRId64, number);
    t->title = build_template(&t->b, "title", text);
    telex_build_key(&t->b, "text"), telex_build_bytes(&t->b, filler);
    telex_build_key(&t->b, "number"), telex_build_int(&t->b, number);
    t->number = telex_build_body(&t->b).size;
    telex_build_key(&t->b, "published_ms"), telex_build_int(&t->b, FIRST_PUBLISHED_MS);
    t->published = telex_build_body(&t->b).size;
    telex_build_map_end(&t->b);
}

static void write_big_endian(uint8_t *end, uint64_t value, int n) {
    for (int i = 1; i <= n; i++, value >>= 8)
        end[-i] = (uint8_t)value;
}

/* Write what is this record's own into a copy of the template. */
static void fill_in(const struct template *t, uint8_t *body, int64_t number) {
    char id[33], digits[24];
    int64_t rest = number;
    for (int i = t->n_digits; i > 0; i--, rest /= 10)
        digits[i - 1] = (char)('0' + rest % 10);
    struct telex_bytes part = {(const uint8_t *)digits, (uint64_t)t->n_digits};
    telex_id(id, "record", &part, 1);
    memcpy(body + t->id - 32, id, 32);
    memcpy(body + t->url - t->n_digits, digits, (size_t)t->n_digits);
    memcpy(body + t->title - t->n_digits, digits, (size_t)t->n_digits);
    if (t->n_bytes == 0)
        body[t->number - 1] = (uint8_t)number;
    write_big_endian(body + t->number, (uint64_t)number, t->n_bytes);
    write_big_endian(body + t->published, (uint64_t)(FIRST_PUBLISHED_MS + number * 1000), 8);
}

static telex_status emit(struct count *count, telex_lease lease, int64_t number) {
    const struct template *t = &count->template;
    if (number < t->from || number >= t->to)
        make_template(count, number);
    struct telex_bytes body = telex_build_body(&t->b);
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = count->host->loan(count->host, lease, 0, body.size, &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, body.data, body.size);
    fill_in(t, loan.data, number);
    return count->host->commit(count->host, &loan, body.size);
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
    telex_build_finish(&count->template.b);
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

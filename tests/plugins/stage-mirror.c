/* SPDX-License-Identifier: Apache-2.0 */
/* stage-mirror - uses every host call and writes down each answer, for comparing one host with another.
 *
 * For every record it commits one telex.record/1 whose "seen" list holds what the calls of that step
 * returned, so two runs are equal only if the host behaved equally. The record's title chooses an extra act
 * (see acts below). */
#include <pthread.h>
#include <stdlib.h>

#include <telex-sdk/plugin.h>
#include <telex/ext/http.h>
#include <telex/ext/io.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/timer.h>

struct config {
    int64_t greeting;
};

struct mirror {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;
    const struct telex_metrics *metrics;
    const struct telex_timer *timer;
    struct config config;
    int32_t count;
    struct telex_rec *kept; /* retained: the newest record */
    pthread_t later;
    telex_lease later_lease;
    int later_runs;
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "greeting", .type = TELEX_INT, .offset = offsetof(struct config, greeting),
                 .initial = "7", .doc = "a number that every output repeats"),
    NULL,
};

static telex_status mirror_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct mirror *mirror = calloc(1, sizeof(*mirror));
    void *memory = NULL;
    if (!mirror || telex_options_read(options, given, &mirror->config, &memory) < 0) {
        free(mirror);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    free(memory);
    mirror->host = host;
    mirror->kv = host->ext(host, TELEX_KV);
    mirror->metrics = host->ext(host, TELEX_METRICS);
    mirror->timer = host->ext(host, TELEX_TIMER);
    if (!mirror->kv || !mirror->metrics || !mirror->timer || host->ext(host, "telex.nothing/1")) {
        free(mirror);
        return telex_fail(host, 0, TELEX_FATAL, "the host lacks a service");
    }
    mirror->count = mirror->metrics->define(host, TELEX_COUNTER, "mirrored_records", "records mirrored");
    *self = mirror;
    return TELEX_OK;
}

static telex_status mirror_start(void *self) {
    struct mirror *mirror = self;
    const struct telex_http *http = mirror->host->ext(mirror->host, TELEX_HTTP);
    telex_say(mirror->host, TELEX_INFO, 0, "mirror starts, greeting %lld",
              (long long)mirror->config.greeting);
    if (http) {
        telex_say(mirror->host, TELEX_INFO, 0, "base is %s", http->base(mirror->host));
        (void)http->site(mirror->host, "/srv/mirror");
    }
    return TELEX_OK;
}

/* ---- the list of answers ---- */

struct seen {
    int64_t values[256];
    uint32_t n;
};

static void see(struct seen *seen, int64_t value) {
    if (seen->n < 256)
        seen->values[seen->n++] = value;
}

static int64_t sum_of(struct telex_bytes bytes) {
    int64_t sum = 0;
    for (uint64_t i = 0; i < bytes.size; i++)
        sum = sum * 31 % 1000003 + bytes.data[i];
    return sum;
}

static int32_t see_pair(void *arg, struct telex_bytes key, struct telex_bytes value) {
    see(arg, sum_of(key) + sum_of(value));
    return key.size > 0 && key.data[key.size - 1] == '!'; /* a key that ends the visit */
}

static void use_kv(struct mirror *mirror, telex_lease lease, const struct telex_view *view,
                   struct seen *seen) {
    const struct telex_kv *kv = mirror->kv;
    const struct telex_host *host = mirror->host;
    uint64_t total = 0;
    static const char *const prefixes[] = {"", "id/", "none"};
    struct telex_bytes total_bytes = {(const uint8_t *)&total, sizeof(total)};
    see(seen, kv->get(host, lease, telex_text("total"), &total, sizeof(total)));
    total += view->body.size;
    see(seen, kv->put(host, lease, telex_text("total"), total_bytes));
    char key[80];
    snprintf(key, sizeof(key), "id/%.*s", (int)view->id.size, (const char *)view->id.data);
    see(seen, kv->put(host, lease, telex_text(key), view->body));
    uint8_t small[16] = {0};
    see(seen, kv->get(host, lease, telex_text(key), small, sizeof(small)));
    struct telex_bytes head = {small, sizeof(small)};
    see(seen, sum_of(head));
    see(seen, kv->get(host, 0, telex_text(key), small, sizeof(small))); /* not committed yet */
    see(seen, kv->get(host, 0, telex_text("absent"), small, sizeof(small)));
    if (view->version % 3 == 2)
        see(seen, kv->del(host, lease, telex_text(key)));
    for (size_t i = 0; i < 3; i++)
        see(seen, kv->scan(host, lease, telex_text(prefixes[i]), see_pair, seen));
    see(seen, kv->put(host, 0, telex_text("x"), total_bytes)); /* no lease: INVALID */
    char long_key[TELEX_KV_KEY_MAX_BYTES + 2];
    memset(long_key, 'k', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = 0;
    see(seen, kv->put(host, lease, telex_text(long_key), total_bytes)); /* too long: LIMIT */
}

static void use_records(struct mirror *mirror, telex_lease lease, struct telex_rec *in, struct seen *seen) {
    const struct telex_host *host = mirror->host;
    struct telex_rec *stored = NULL;
    struct telex_view view = {.size = sizeof(view)};
    see(seen, host->get(host, lease, "telex.record/1", telex_text("stored"), UINT64_MAX, &stored));
    if (stored) {
        see(seen, host->view(host, stored, &view));
        see(seen, sum_of(view.body) + (int64_t)view.version + sum_of(view.schema));
        host->release(host, stored);
    }
    see(seen, host->get(host, 0, "telex.record/1", telex_text("missing"), UINT64_MAX, &stored));
    if (mirror->kept) {
        see(seen, host->view(host, mirror->kept, &view));
        see(seen, sum_of(view.body));
        host->release(host, mirror->kept);
    }
    host->retain(host, in);
    mirror->kept = in;
}

static void use_outputs(struct mirror *mirror, telex_lease lease, struct telex_rec *in, struct seen *seen) {
    const struct telex_host *host = mirror->host;
    struct telex_loan loan = {.size = sizeof(loan)};
    see(seen, host->forward(host, lease, 0, in));
    see(seen, host->forward(host, lease, 9, in)); /* no such port: INVALID */
    see(seen, host->loan(host, lease, 0, 64, &loan));
    host->abandon(host, &loan);
    see(seen, host->loan(host, lease, 0, (uint64_t)TELEX_BODY_MAX_BYTES + 1, &loan)); /* LIMIT */
    see(seen, host->loan(host, lease + 1000000, 0, 64, &loan)); /* no such lease: INVALID */
    see(seen, host->loan(host, lease, 0, 8, &loan));
    memset(loan.data, 0xc1, 8);
    see(seen, host->commit(host, &loan, 8)); /* not msgpack: INVALID */
    see(seen, host->loan(host, lease, 1, 8, &loan));
    see(seen, host->commit(host, &loan, 9)); /* longer than the loan: INVALID */
}

static telex_status write_down(struct mirror *mirror, telex_lease lease, const struct telex_view *view,
                               const struct seen *seen) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema");
    telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id");
    telex_build_bytes(&b, view->id);
    telex_build_key(&b, "version");
    telex_build_int(&b, (int64_t)view->version + 1000);
    telex_build_key(&b, "greeting");
    telex_build_int(&b, mirror->config.greeting);
    telex_build_key(&b, "seen");
    telex_build_array(&b, seen->n);
    for (uint32_t i = 0; i < seen->n; i++)
        telex_build_int(&b, seen->values[i]);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, mirror->host, lease, 1);
    telex_build_finish(&b);
    return status;
}

/* ---- acts: what the title asks for ---- */

static void *complete_later(void *arg) {
    struct mirror *mirror = arg;
    (void)mirror->host->complete(mirror->host, mirror->later_lease, TELEX_OK);
    return NULL;
}

static void complete_posted(void *arg) {
    struct mirror *mirror = arg;
    (void)mirror->host->complete(mirror->host, mirror->later_lease, TELEX_OK);
}

static void join_later(struct mirror *mirror) {
    if (mirror->later_runs)
        pthread_join(mirror->later, NULL);
    mirror->later_runs = 0;
}

static telex_status finish_step(struct mirror *mirror, telex_lease lease, struct telex_bytes title) {
    const struct telex_host *host = mirror->host;
    mirror->later_lease = lease;
    if (telex_bytes_equal(title, "reject"))
        return telex_fail(host, lease, TELEX_REJECT, "asked to reject %llu", (unsigned long long)lease);
    if (telex_bytes_equal(title, "retry"))
        return TELEX_RETRY;
    if (telex_bytes_equal(title, "thread")) {
        join_later(mirror);
        mirror->later_runs = pthread_create(&mirror->later, NULL, complete_later, mirror) == 0;
        return TELEX_PENDING;
    }
    if (telex_bytes_equal(title, "post"))
        return host->post(host, complete_posted, mirror) == TELEX_OK ? TELEX_PENDING : TELEX_OK;
    if (telex_bytes_equal(title, "early")) {
        (void)host->complete(host, lease, TELEX_OK);
        (void)host->complete(host, lease, TELEX_OK); /* twice: INVALID */
        return TELEX_PENDING;
    }
    return TELEX_OK;
}

static telex_status mirror_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct mirror *mirror = self;
    const struct telex_host *host = mirror->host;
    struct telex_view view = {.size = sizeof(view)};
    struct seen seen = {.n = 0};
    struct telex_map map;
    see(&seen, host->view(host, in, &view));
    see(&seen, sum_of(view.body));
    see(&seen, host->now_ms(host, TELEX_CLOCK_MONO));
    see(&seen, host->now_ms(host, TELEX_CLOCK_WALL));
    see(&seen, host->cancelled(host, lease));
    use_kv(mirror, lease, &view, &seen);
    use_records(mirror, lease, in, &seen);
    use_outputs(mirror, lease, in, &seen);
    mirror->metrics->add(host, mirror->count, 1);
    see(&seen, mirror->timer->set(host, 3, 250));
    mirror->timer->clear(host, 4);
    telex_say(host, TELEX_DEBUG, lease, "mirrored %.*s", (int)view.id.size, (const char *)view.id.data);
    telex_status status = write_down(mirror, lease, &view, &seen);
    if (status != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return telex_fail(host, lease, TELEX_FATAL, "the answers cannot be written: %d", status);
    status = finish_step(mirror, lease, telex_map_text(map.root, "title"));
    telex_map_close(&map);
    return status;
}

static void mirror_on_timer(void *self, uint64_t timer) {
    struct mirror *mirror = self;
    telex_say(mirror->host, TELEX_INFO, 0, "timer %llu", (unsigned long long)timer);
}

static void mirror_drain(void *self, int64_t deadline_ms) {
    struct mirror *mirror = self;
    (void)deadline_ms;
    telex_say(mirror->host, TELEX_INFO, 0, "drained");
}

static void mirror_stop(void *self) {
    struct mirror *mirror = self;
    join_later(mirror);
    if (mirror->kept)
        mirror->host->release(mirror->host, mirror->kept);
    mirror->kept = NULL;
}

static void mirror_destroy(void *self) {
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "forwarded", "*"),
    TELEX_PORT(TELEX_OUT, "mirrored", "telex.record/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_CLUSTER,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 3,
    .name = "stage-mirror",
    .version = "0.1.0",
    .doc = "writes down what the host answers",
    .ports = ports,
    .options = options,
    .create = mirror_create,
    .start = mirror_start,
    .process = mirror_process,
    .on_timer = mirror_on_timer,
    .drain = mirror_drain,
    .stop = mirror_stop,
    .destroy = mirror_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-mirror", "0.1.0", "Apache-2.0", "writes down what the host answers")

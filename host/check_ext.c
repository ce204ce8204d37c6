/* SPDX-License-Identifier: Apache-2.0 */
/* check_ext.c - the extensions of the check host: kv, timer, io, metrics, models and http.
 *
 * State is a sorted list. The model answers every job with RETRY from a thread of its own, which is what a
 * desk must live with; there is no public listener. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex/ext/http.h>
#include <telex/ext/io.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/models.h>
#include <telex/ext/timer.h>
#include <telex-sdk/table.h>

#include "check_host.h"

static struct check_host *locked(const struct telex_host *table, const char *call) {
    struct check_host *host = table->impl;
    pthread_mutex_lock(&host->lock);
    if (host->destroyed || (host->stopped && !pthread_equal(pthread_self(), host->control)))
        check_find(host, "life.after-stop", "%s was called after stop returned", call);
    return host;
}

static int64_t unlocked(struct check_host *host, int64_t result) {
    pthread_mutex_unlock(&host->lock);
    return result;
}

/* ---- kv ---- */

static int compare(struct telex_bytes a, struct telex_bytes b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static struct telex_bytes copied(struct telex_bytes from) {
    uint8_t *copy = malloc(from.size ? from.size : 1);
    if (!copy)
        abort();
    if (from.size)
        memcpy(copy, from.data, from.size);
    return (struct telex_bytes){copy, from.size};
}

/* Where the pair with this key is, or would stand. */
static struct check_pair **place(struct check_host *host, struct telex_bytes key) {
    struct check_pair **at = &host->pairs;
    while (*at && compare((*at)->key, key) < 0)
        at = &(*at)->next;
    return at;
}

static bool may_change(struct check_host *host, telex_lease lease, const char *call) {
    if (!(host->stage->flags & TELEX_STAGE_STATEFUL))
        check_find(host, "kv.undeclared", "%s without TELEX_STAGE_STATEFUL in the flags of the stage", call);
    if (lease == 0 || lease > host->n_leases || !host->leases[lease - 1].open) {
        check_find(host, "kv.lease", "%s without an open lease", call);
        return false;
    }
    return true;
}

static int64_t kv_get(const struct telex_host *table, telex_lease lease, struct telex_bytes key, void *out,
                      uint64_t capacity) {
    struct check_host *host = locked(table, "kv.get");
    const struct check_pair *pair = *place(host, key);
    (void)lease;
    if (!pair || compare(pair->key, key) != 0)
        return unlocked(host, TELEX_NOT_FOUND);
    uint64_t n = pair->value.size < capacity ? pair->value.size : capacity;
    if (n)
        memcpy(out, pair->value.data, n);
    return unlocked(host, (int64_t)pair->value.size);
}

static telex_status kv_put(const struct telex_host *table, telex_lease lease, struct telex_bytes key,
                           struct telex_bytes value) {
    struct check_host *host = locked(table, "kv.put");
    if (!may_change(host, lease, "kv.put"))
        return (telex_status)unlocked(host, TELEX_INVALID);
    if (key.size == 0 || key.size > TELEX_KV_KEY_MAX_BYTES || value.size > TELEX_KV_VALUE_MAX_BYTES)
        return (telex_status)unlocked(host, TELEX_LIMIT);
    struct check_pair **at = place(host, key);
    if (!*at || compare((*at)->key, key) != 0) {
        struct check_pair *pair = calloc(1, sizeof(*pair));
        if (!pair)
            abort();
        pair->key = copied(key);
        pair->next = *at;
        *at = pair;
    } else {
        free((void *)(*at)->value.data);
    }
    (*at)->value = copied(value);
    return (telex_status)unlocked(host, TELEX_OK);
}

struct check_pair *check_pairs_copy(const struct check_pair *pairs) {
    struct check_pair *first = NULL, **last = &first;
    for (; pairs; pairs = pairs->next) {
        struct check_pair *pair = calloc(1, sizeof(*pair));
        if (!pair)
            abort();
        pair->key = copied(pairs->key);
        pair->value = copied(pairs->value);
        *last = pair;
        last = &pair->next;
    }
    return first;
}

void check_pairs_free(struct check_pair *pairs) {
    for (struct check_pair *next; pairs; pairs = next) {
        next = pairs->next;
        free((void *)pairs->key.data);
        free((void *)pairs->value.data);
        free(pairs);
    }
}

static telex_status kv_del(const struct telex_host *table, telex_lease lease, struct telex_bytes key) {
    struct check_host *host = locked(table, "kv.del");
    if (!may_change(host, lease, "kv.del"))
        return (telex_status)unlocked(host, TELEX_INVALID);
    struct check_pair **at = place(host, key), *pair = *at;
    if (pair && compare(pair->key, key) == 0) {
        *at = pair->next;
        free((void *)pair->key.data);
        free((void *)pair->value.data);
        free(pair);
    }
    return (telex_status)unlocked(host, TELEX_OK);
}

static telex_status kv_scan(const struct telex_host *table, telex_lease lease, struct telex_bytes prefix,
                            int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value),
                            void *arg) {
    struct check_host *host = locked(table, "kv.scan");
    (void)lease;
    /* visit makes no kv call, so the list stands still; the lock is let go for its log calls. */
    for (const struct check_pair *pair = *place(host, prefix); pair; pair = pair->next) {
        if (pair->key.size < prefix.size ||
            (prefix.size && memcmp(pair->key.data, prefix.data, prefix.size) != 0))
            break;
        pthread_mutex_unlock(&host->lock);
        int32_t stop = visit(arg, pair->key, pair->value);
        pthread_mutex_lock(&host->lock);
        if (stop)
            break;
    }
    return (telex_status)unlocked(host, TELEX_OK);
}

/* ---- timer, io ---- */

static telex_status timer_set(const struct telex_host *table, uint64_t timer, int64_t delay_ms) {
    struct check_host *host = locked(table, "timer.set");
    int free_slot = -1;
    for (int i = 0; i < CHECK_TIMERS_MAX; i++) {
        if (host->timers[i] >= 0 && host->timer_names[i] == timer)
            free_slot = i;
        if (host->timers[i] < 0 && free_slot < 0)
            free_slot = i;
    }
    if (free_slot < 0)
        return (telex_status)unlocked(host, TELEX_LIMIT);
    if (!host->stage->on_timer)
        check_find(host, "timer.handler", "a timer was set but the stage has no on_timer");
    host->timer_names[free_slot] = timer;
    host->timers[free_slot] = check_now_ms() + (delay_ms > 0 ? delay_ms : 0);
    return (telex_status)unlocked(host, TELEX_OK);
}

static void timer_clear(const struct telex_host *table, uint64_t timer) {
    struct check_host *host = locked(table, "timer.clear");
    for (int i = 0; i < CHECK_TIMERS_MAX; i++)
        if (host->timers[i] >= 0 && host->timer_names[i] == timer)
            host->timers[i] = -1;
    unlocked(host, 0);
}

static void io_unwatch(const struct telex_host *table, int32_t fd) {
    struct check_host *host = locked(table, "io.unwatch");
    for (size_t i = 0; i < host->n_watches; i++)
        if (host->watches[i].fd == fd)
            host->watches[i--] = host->watches[--host->n_watches];
    unlocked(host, 0);
}

static telex_status io_watch(const struct telex_host *table, int32_t fd, uint32_t events,
                             void (*fn)(void *arg, uint32_t ready), void *arg) {
    io_unwatch(table, fd);
    struct check_host *host = locked(table, "io.watch");
    if (host->n_watches == CHECK_WATCHES_MAX || fd < 0 || !fn)
        return (telex_status)unlocked(host, fn && fd >= 0 ? TELEX_LIMIT : TELEX_INVALID);
    host->watches[host->n_watches].fd = fd;
    host->watches[host->n_watches].events = events;
    host->watches[host->n_watches].fn = fn;
    host->watches[host->n_watches++].arg = arg;
    return (telex_status)unlocked(host, TELEX_OK);
}

/* ---- metrics, models, http ---- */

static int32_t metrics_define(const struct telex_host *table, int32_t kind, const char *name,
                              const char *doc) {
    static int32_t count;
    struct check_host *host = locked(table, "metrics.define");
    if (!host->spec && !pthread_equal(pthread_self(), host->control))
        check_find(host, "thread.control", "metrics.define is a [control] call; make it in create");
    if (!name || !doc || (kind != TELEX_COUNTER && kind != TELEX_GAUGE) ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
        check_find(host, "metrics.name", "a metric without kind, doc or a name in snake case");
    return (int32_t)unlocked(host, count++);
}

static void metrics_note(const struct telex_host *table, int32_t metric, double value) {
    struct check_host *host = locked(table, "metrics");
    (void)metric, (void)value;
    unlocked(host, 0);
}

static telex_status models_info(const struct telex_host *table, const char *name,
                                struct telex_backend_info *out) {
    struct check_host *host = locked(table, "models.info");
    (void)name;
    if (!out || out->size < TELEX_UP_TO(struct telex_backend_info, backend)) {
        check_find(host, "table.size", "models.info got a telex_backend_info whose size is not set");
        return (telex_status)unlocked(host, TELEX_INVALID);
    }
    const struct telex_backend_info info = {.size = sizeof(info),
                                            .context_tokens = 2048,
                                            .model = "none",
                                            .weights_sha256 = "",
                                            .backend = "telex check"};
    telex_table_fill(out, &info, TELEX_UP_TO(struct telex_backend_info, backend));
    return (telex_status)unlocked(host, TELEX_OK);
}

struct job {
    struct check_host *host;
    telex_job_done done;
    void *arg;
};

static void *answer(void *arg) {
    struct job job = *(struct job *)arg;
    struct telex_result result = {.size = sizeof(result),
                                  .status = TELEX_RETRY,
                                  .finish = TELEX_FINISH_FAILED,
                                  .text = telex_text(""),
                                  .error = telex_text("there is no model in a check")};
    free(arg);
    usleep(1000);
    job.done(job.arg, &result);
    pthread_mutex_lock(&job.host->lock);
    job.host->n_jobs--;
    pthread_mutex_unlock(&job.host->lock);
    return NULL;
}

static telex_status models_generate(const struct telex_host *table, telex_lease lease, const char *name,
                                    const struct telex_job *given, telex_job_done done, void *arg,
                                    uint64_t *job_id) {
    static uint64_t count;
    struct check_host *host = locked(table, "models.generate");
    pthread_t thread;
    pthread_attr_t attributes;
    struct job *job = malloc(sizeof(*job));
    (void)lease, (void)name;
    if (!job || !given || given->size < TELEX_UP_TO(struct telex_job, drafts) || !done || !job_id) {
        check_find(host, "table.size",
                   "models.generate got a job whose size is not set, or no done or job_id");
        free(job);
        return (telex_status)unlocked(host, TELEX_INVALID);
    }
    *job = (struct job){host, done, arg};
    *job_id = ++count;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    host->n_jobs++;
    if (pthread_create(&thread, &attributes, answer, job) != 0) {
        host->n_jobs--;
        free(job);
        return (telex_status)unlocked(host, TELEX_AGAIN);
    }
    pthread_attr_destroy(&attributes);
    return (telex_status)unlocked(host, TELEX_OK);
}

static void models_cancel(const struct telex_host *table, uint64_t job_id) {
    struct check_host *host = locked(table, "models.cancel");
    (void)job_id;
    unlocked(host, 0);
}

static telex_status http_site(const struct telex_host *table, const char *root) {
    struct check_host *host = locked(table, "http.site");
    if (!root || *root != '/')
        check_find(host, "http.root", "http.site got a root that is no absolute path");
    return (telex_status)unlocked(host, TELEX_UNSUPPORTED);
}

static const char *http_base(const struct telex_host *table) {
    struct check_host *host = locked(table, "http.base");
    unlocked(host, 0);
    return "";
}

const void *check_ext(const struct telex_host *table, const char *id) {
    static const struct telex_kv kv = {
        .size = sizeof(kv), .get = kv_get, .put = kv_put, .del = kv_del, .scan = kv_scan};
    static const struct telex_timer timer = {.size = sizeof(timer), .set = timer_set, .clear = timer_clear};
    static const struct telex_io io = {.size = sizeof(io), .watch = io_watch, .unwatch = io_unwatch};
    static const struct telex_metrics metrics = {
        .size = sizeof(metrics), .define = metrics_define, .add = metrics_note, .set = metrics_note};
    static const struct telex_models models = {
        .size = sizeof(models), .info = models_info, .generate = models_generate, .cancel = models_cancel};
    static const struct telex_http http = {.size = sizeof(http), .site = http_site, .base = http_base};
    const struct {
        const char *id;
        const void *ext;
    } all[] = {{TELEX_KV, &kv},           {TELEX_TIMER, &timer},   {TELEX_IO, &io},
               {TELEX_METRICS, &metrics}, {TELEX_MODELS, &models}, {TELEX_HTTP, &http}};
    struct check_host *host = locked(table, "ext");
    const void *found = NULL;
    for (size_t i = 0; id && i < sizeof(all) / sizeof(*all); i++)
        if (strcmp(all[i].id, id) == 0)
            found = all[i].ext;
    unlocked(host, 0);
    return found;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* memory_host.c - the host of memory_host.h. One lock guards everything; a committed step is applied under
 * it, so what a digest sees is whole steps. */
#include "memory_host.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include <telex-sdk/message.h>

#include "record.h"

static struct memory_host *enter(const struct telex_host *host) {
    struct memory_host *mh = host->impl;
    pthread_mutex_lock(&mh->lock);
    mh->n_late_calls += mh->stopped;
    return mh;
}

static void leave(struct memory_host *mh) {
    pthread_cond_broadcast(&mh->changed);
    pthread_mutex_unlock(&mh->lock);
}

static void add_line(struct memory_host *mh, int32_t level, telex_lease lease, struct telex_bytes text) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char head[64];
    int n = snprintf(head, sizeof(head), "%s %llu ", names[level & 3], (unsigned long long)lease);
    if (mh->log_size + (size_t)n + text.size + 2 > MEMORY_TEXT_MAX)
        return;
    memcpy(mh->log + mh->log_size, head, (size_t)n);
    mh->log_size += (size_t)n;
    if (text.size)
        memcpy(mh->log + mh->log_size, text.data, text.size);
    mh->log_size += text.size;
    mh->log[mh->log_size++] = '\n';
    mh->log[mh->log_size] = 0;
}

static struct memory_step *open_step(struct memory_host *mh, telex_lease lease) {
    return lease > 0 && lease < MEMORY_STEPS_MAX && mh->steps[lease].open ? &mh->steps[lease] : NULL;
}

/* ---- lines, clock, records ---- */

static void host_log(const struct telex_host *host, int32_t level, telex_lease lease,
                     struct telex_bytes text) {
    struct memory_host *mh = host->impl;
    pthread_mutex_lock(&mh->lock);
    add_line(mh, level, lease, text);
    leave(mh);
}

static telex_status host_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                              struct telex_bytes why) {
    struct memory_host *mh = enter(host);
    struct memory_step *step = open_step(mh, lease);
    char *out = step ? step->reason : mh->reason;
    size_t n = why.size < sizeof(mh->reason) - 1 ? why.size : sizeof(mh->reason) - 1;
    if (n)
        memcpy(out, why.data, n);
    out[n] = 0;
    leave(mh);
    return status;
}

static int64_t host_now_ms(const struct telex_host *host, int32_t clock) {
    struct memory_host *mh = enter(host);
    int64_t now = ++mh->clock_ms + (clock == TELEX_CLOCK_WALL ? 1700000000000 : 0);
    leave(mh);
    return now;
}

static telex_status host_view(const struct telex_host *host, const struct telex_rec *rec,
                              struct telex_view *out) {
    (void)host;
    if (!rec || out->size < sizeof(*out))
        return TELEX_INVALID;
    *out = (struct telex_view){.size = sizeof(*out),
                               .version = rec->version,
                               .schema = rec->schema,
                               .id = rec->id,
                               .body = rec->body};
    return TELEX_OK;
}

static void host_retain(const struct telex_host *host, struct telex_rec *rec) {
    (void)host;
    record_retain(rec);
}

static void release(struct memory_host *mh, struct telex_rec *rec) {
    mh->n_records -= atomic_load(&rec->refs) == 1;
    record_release(rec);
}

static void host_release(const struct telex_host *host, struct telex_rec *rec) {
    struct memory_host *mh = host->impl;
    pthread_mutex_lock(&mh->lock);
    release(mh, rec);
    pthread_mutex_unlock(&mh->lock);
}

static telex_status host_get(const struct telex_host *host, telex_lease lease, const char *schema,
                             struct telex_bytes id, uint64_t version, struct telex_rec **out) {
    struct memory_host *mh = enter(host);
    telex_status status = lease == 0 || open_step(mh, lease) ? TELEX_NOT_FOUND : TELEX_INVALID;
    for (size_t i = 0; i < mh->n_stored && status == TELEX_NOT_FOUND; i++) {
        struct telex_rec *rec = mh->stored[i];
        if (record_is(rec, schema) && rec->id.size == id.size &&
            memcmp(rec->id.data, id.data, id.size) == 0 &&
            (version == UINT64_MAX || version == rec->version)) {
            *out = record_retain(rec);
            status = TELEX_OK;
        }
    }
    leave(mh);
    return status;
}

/* ---- steps ---- */

static telex_lease new_step(struct memory_host *mh) {
    if (mh->n_steps + 1 == MEMORY_STEPS_MAX)
        mh->n_steps = 0; /* long runs: early steps are long over */
    struct memory_step *step = &mh->steps[++mh->n_steps];
    assert(!step->open);
    memset(step, 0, sizeof(*step));
    step->open = true;
    step->status = TELEX_PENDING;
    step->last_output = &step->outputs;
    mh->n_open++;
    return mh->n_steps;
}

static telex_status host_open(const struct telex_host *host, telex_lease *out) {
    struct memory_host *mh = enter(host);
    telex_status status = mh->opens_left > 0 ? TELEX_OK : TELEX_AGAIN;
    if (status == TELEX_OK) {
        mh->opens_left--;
        *out = new_step(mh);
    }
    leave(mh);
    return status;
}

static bool port_is_good(const struct memory_host *mh, uint32_t port, const struct telex_rec *rec) {
    uint32_t n = 0;
    if (!mh->class)
        return true;
    for (const struct telex_port *const *p = mh->class->ports; *p; p++) {
        if ((*p)->direction != TELEX_OUT || n++ != port)
            continue;
        for (const char *const *s = (*p)->schemas; rec && *s; s++)
            if (strcmp(*s, "*") == 0 || record_is(rec, *s))
                return true;
        return !rec;
    }
    return false;
}

static bool is_full(const struct memory_host *mh, telex_lease lease) {
    uint32_t n = mh->steps[lease].n_outputs;
    for (const struct memory_loan *loan = mh->loans; loan; loan = loan->next)
        n += loan->lease == lease;
    return mh->class && n >= mh->class->max_outputs;
}

static telex_status host_loan(const struct telex_host *host, telex_lease lease, uint32_t port,
                              uint64_t capacity, struct telex_loan *out) {
    struct memory_host *mh = enter(host);
    telex_status status = TELEX_OK;
    if (!port_is_good(mh, port, NULL) || !open_step(mh, lease))
        status = TELEX_INVALID;
    else if (capacity > TELEX_BODY_MAX_BYTES || is_full(mh, lease))
        status = TELEX_LIMIT;
    if (status == TELEX_OK) {
        struct memory_loan *loan = calloc(1, sizeof(*loan));
        assert(loan);
        *loan = (struct memory_loan){++mh->last_loan, capacity, lease, port, malloc(capacity + 1), mh->loans};
        mh->loans = loan;
        *out = (struct telex_loan){sizeof(*out), port, loan->handle, capacity, loan->data};
    }
    leave(mh);
    return status;
}

static struct memory_loan *take_loan(struct memory_host *mh, uint64_t handle) {
    struct memory_loan **at = &mh->loans;
    while (*at && (*at)->handle != handle)
        at = &(*at)->next;
    struct memory_loan *loan = *at;
    if (loan)
        *at = loan->next;
    return loan;
}

static void append(struct memory_step *step, uint32_t port, struct telex_rec *rec) {
    struct memory_output *output = calloc(1, sizeof(*output));
    assert(output);
    output->port = port;
    output->rec = rec;
    *step->last_output = output;
    step->last_output = &output->next;
    step->n_outputs++;
}

static telex_status host_commit(const struct telex_host *host, struct telex_loan *outside, uint64_t length) {
    struct memory_host *mh = enter(host);
    struct memory_loan *loan = take_loan(mh, outside->handle);
    struct memory_step *step = loan ? open_step(mh, loan->lease) : NULL;
    struct telex_rec *rec = NULL;
    const char *why;
    if (step && length <= loan->capacity) {
        struct telex_bytes body = {loan->data, length};
        rec = record_copy(body, &why);
    }
    bool good = rec && port_is_good(mh, loan->port, rec);
    if (good) {
        mh->n_records++;
        append(step, loan->port, rec);
    } else {
        record_release(rec);
    }
    if (loan)
        free(loan->data);
    free(loan);
    leave(mh);
    return good ? TELEX_OK : TELEX_INVALID;
}

static void host_abandon(const struct telex_host *host, struct telex_loan *outside) {
    struct memory_host *mh = enter(host);
    struct memory_loan *loan = take_loan(mh, outside->handle);
    if (loan)
        free(loan->data);
    free(loan);
    leave(mh);
}

static telex_status host_forward(const struct telex_host *host, telex_lease lease, uint32_t port,
                                 struct telex_rec *rec) {
    struct memory_host *mh = enter(host);
    telex_status status = TELEX_OK;
    if (!open_step(mh, lease) || !port_is_good(mh, port, rec))
        status = TELEX_INVALID;
    else if (is_full(mh, lease))
        status = TELEX_LIMIT;
    else
        append(&mh->steps[lease], port, record_retain(rec));
    leave(mh);
    return status;
}

static void drop_changes(struct memory_pair **list) {
    while (*list) {
        struct memory_pair *pair = *list;
        *list = pair->next;
        free(pair);
    }
}

static void apply(struct memory_host *mh, struct memory_step *step) {
    while (step->changes) { /* newest first in the step, so an older one must not win */
        struct memory_pair *change = step->changes, **at = &mh->kv;
        step->changes = change->next;
        while (*at && !((*at)->key.size == change->key.size &&
                        memcmp((*at)->key.data, change->key.data, change->key.size) == 0))
            at = &(*at)->next;
        struct memory_pair *old = *at;
        if (old)
            *at = old->next;
        free(old);
        for (struct memory_pair **later = &step->changes; *later;) {
            struct memory_pair *stale = *later;
            if (stale->key.size == change->key.size &&
                memcmp(stale->key.data, change->key.data, change->key.size) == 0) {
                *later = stale->next;
                free(stale);
            } else {
                later = &stale->next;
            }
        }
        if (change->deleted) {
            free(change);
        } else {
            change->next = mh->kv;
            mh->kv = change;
        }
    }
}

static void keep_outputs(struct memory_host *mh, struct memory_step *step, bool commits) {
    while (step->outputs) {
        struct memory_output *output = step->outputs;
        step->outputs = output->next;
        mh->n_outputs += commits;
        if (commits && mh->keeps_outputs) {
            output->next = NULL;
            *mh->last_output = output;
            mh->last_output = &output->next;
            continue;
        }
        release(mh, output->rec);
        free(output);
    }
}

static telex_status host_complete(const struct telex_host *host, telex_lease lease, telex_status status) {
    struct memory_host *mh = enter(host);
    struct memory_step *step = open_step(mh, lease);
    if (step) {
        if (status == TELEX_OK)
            apply(mh, step);
        drop_changes(&step->changes);
        keep_outputs(mh, step, status == TELEX_OK);
        step->open = false;
        step->status = status;
        mh->n_open--;
        mh->n_completed++;
    } else {
        add_line(mh, TELEX_ERROR, lease, telex_text("complete: not open"));
    }
    leave(mh);
    return step ? TELEX_OK : TELEX_INVALID;
}

static int32_t host_cancelled(const struct telex_host *host, telex_lease lease) {
    struct memory_host *mh = enter(host);
    int32_t cancelled = !open_step(mh, lease);
    leave(mh);
    return cancelled;
}

static telex_status host_post(const struct telex_host *host, void (*fn)(void *arg), void *arg) {
    (void)host;
    (void)fn;
    (void)arg;
    return TELEX_CANCELLED;
}

static void host_exhausted(const struct telex_host *host) {
    struct memory_host *mh = enter(host);
    mh->exhausted = true;
    leave(mh);
}

/* ---- kv ---- */

static const struct memory_pair *find_pair(const struct memory_pair *list, struct telex_bytes key) {
    while (list && !(list->key.size == key.size && memcmp(list->key.data, key.data, key.size) == 0))
        list = list->next;
    return list;
}

static const struct memory_pair *look_up(struct memory_host *mh, telex_lease lease, struct telex_bytes key) {
    const struct memory_step *step = open_step(mh, lease);
    const struct memory_pair *pair = step ? find_pair(step->changes, key) : NULL;
    if (!pair)
        pair = find_pair(mh->kv, key);
    return pair && !pair->deleted ? pair : NULL;
}

static int64_t kv_get(const struct telex_host *host, telex_lease lease, struct telex_bytes key, void *out,
                      uint64_t capacity) {
    struct memory_host *mh = enter(host);
    const struct memory_pair *pair = look_up(mh, lease, key);
    int64_t size = pair ? (int64_t)pair->value.size : TELEX_NOT_FOUND;
    if (pair && pair->value.size)
        memcpy(out, pair->value.data, pair->value.size < capacity ? pair->value.size : capacity);
    leave(mh);
    return size;
}

static telex_status change(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                           struct telex_bytes value, bool deleted) {
    struct memory_host *mh = enter(host);
    struct memory_step *step = open_step(mh, lease);
    telex_status status = !step ? TELEX_INVALID : key.size > TELEX_KV_KEY_MAX_BYTES ? TELEX_LIMIT : TELEX_OK;
    if (status == TELEX_OK) {
        struct memory_pair *pair = malloc(sizeof(*pair) + key.size + value.size);
        assert(pair);
        uint8_t *data = (uint8_t *)(pair + 1);
        memcpy(data, key.data, key.size);
        if (value.size)
            memcpy(data + key.size, value.data, value.size);
        *pair = (struct memory_pair){step->changes, {data, key.size}, {data + key.size, value.size}, deleted};
        step->changes = pair;
    }
    leave(mh);
    return status;
}

static telex_status kv_put(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                           struct telex_bytes value) {
    return change(host, lease, key, value, false);
}

static telex_status kv_del(const struct telex_host *host, telex_lease lease, struct telex_bytes key) {
    struct telex_bytes none = {NULL, 0};
    return change(host, lease, key, none, true);
}

static int compare(struct telex_bytes a, struct telex_bytes b) {
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* The smallest key above `after` (or the first) with the prefix, in a list. */
static const struct memory_pair *next_pair(const struct memory_pair *list, struct telex_bytes prefix,
                                           const struct telex_bytes *after) {
    const struct memory_pair *best = NULL;
    for (; list; list = list->next)
        if (list->key.size >= prefix.size &&
            (prefix.size == 0 || memcmp(list->key.data, prefix.data, prefix.size) == 0) &&
            (!after || compare(list->key, *after) > 0) && (!best || compare(list->key, best->key) < 0))
            best = list;
    return best;
}

static telex_status kv_scan(const struct telex_host *host, telex_lease lease, struct telex_bytes prefix,
                            int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value),
                            void *arg) {
    struct memory_host *mh = enter(host);
    const struct memory_step *step = open_step(mh, lease);
    struct telex_bytes last;
    const struct telex_bytes *after = NULL;
    int32_t ends = 0;
    while (!ends) {
        const struct memory_pair *a = next_pair(mh->kv, prefix, after);
        const struct memory_pair *b = step ? next_pair(step->changes, prefix, after) : NULL;
        const struct memory_pair *pair = !a ? b : !b ? a : compare(a->key, b->key) < 0 ? a : b;
        if (!pair)
            break;
        last = pair->key;
        after = &last;
        pair = look_up(mh, lease, pair->key);
        if (pair)
            ends = visit(arg, pair->key, pair->value);
    }
    leave(mh);
    return TELEX_OK;
}

static const struct telex_kv kv_table = {
    .size = sizeof(kv_table), .get = kv_get, .put = kv_put, .del = kv_del, .scan = kv_scan};

/* ---- the other services: enough to see that calls arrive ---- */

static int32_t metrics_define(const struct telex_host *host, int32_t kind, const char *name,
                              const char *doc) {
    struct memory_host *mh = enter(host);
    char line[700];
    int32_t metric = mh->n_metrics < 64 ? mh->n_metrics++ : TELEX_LIMIT;
    snprintf(line, sizeof(line), "metric %d %s: %s", kind, name, doc);
    add_line(mh, TELEX_DEBUG, 0, telex_text(line));
    leave(mh);
    return metric;
}

static void metrics_add(const struct telex_host *host, int32_t metric, double amount) {
    struct memory_host *mh = enter(host);
    mh->metrics[metric] += amount;
    leave(mh);
}

static void metrics_set(const struct telex_host *host, int32_t metric, double value) {
    struct memory_host *mh = enter(host);
    mh->metrics[metric] = value;
    leave(mh);
}

static const struct telex_metrics metrics_table = {
    .size = sizeof(metrics_table), .define = metrics_define, .add = metrics_add, .set = metrics_set};

static telex_status timer_set(const struct telex_host *host, uint64_t timer, int64_t delay_ms) {
    struct memory_host *mh = enter(host);
    mh->timer = timer;
    mh->timer_ms = delay_ms;
    leave(mh);
    return TELEX_OK;
}

static void timer_clear(const struct telex_host *host, uint64_t timer) {
    struct memory_host *mh = enter(host);
    mh->timer_ms = mh->timer == timer ? -1 : mh->timer_ms;
    leave(mh);
}

static const struct telex_timer timer_table = {
    .size = sizeof(timer_table), .set = timer_set, .clear = timer_clear};

static telex_status http_site(const struct telex_host *host, const char *root) {
    struct memory_host *mh = enter(host);
    snprintf(mh->site, sizeof(mh->site), "%s", root);
    leave(mh);
    return TELEX_OK;
}

static const char *http_base(const struct telex_host *host) {
    (void)host;
    return "http://127.0.0.1:8080";
}

static const struct telex_http http_table = {
    .size = sizeof(http_table), .site = http_site, .base = http_base};

static telex_status io_watch(const struct telex_host *host, int32_t fd, uint32_t events,
                             void (*fn)(void *arg, uint32_t ready), void *arg) {
    (void)host;
    (void)fd;
    (void)events;
    (void)fn;
    (void)arg;
    return TELEX_LIMIT;
}

static void io_unwatch(const struct telex_host *host, int32_t fd) {
    (void)host;
    (void)fd;
}

static const struct telex_io io_table = {.size = sizeof(io_table), .watch = io_watch, .unwatch = io_unwatch};

static const void *host_ext(const struct telex_host *host, const char *id) {
    (void)host;
    return strcmp(id, TELEX_KV) == 0        ? (const void *)&kv_table
           : strcmp(id, TELEX_METRICS) == 0 ? (const void *)&metrics_table
           : strcmp(id, TELEX_TIMER) == 0   ? (const void *)&timer_table
           : strcmp(id, TELEX_HTTP) == 0    ? (const void *)&http_table
           : strcmp(id, TELEX_IO) == 0      ? (const void *)&io_table
                                            : NULL;
}

/* ---- for tests ---- */

struct memory_host *memory_host_create(const struct telex_stage *class) {
    struct memory_host *mh = calloc(1, sizeof(*mh));
    pthread_condattr_t attr;
    assert(mh);
    mh->host = (struct telex_host){.size = sizeof(struct telex_host),
                                   .abi_minor = TELEX_ABI_MINOR,
                                   .impl = mh,
                                   .ext = host_ext,
                                   .log = host_log,
                                   .fail = host_fail,
                                   .now_ms = host_now_ms,
                                   .view = host_view,
                                   .retain = host_retain,
                                   .release = host_release,
                                   .get = host_get,
                                   .open = host_open,
                                   .loan = host_loan,
                                   .commit = host_commit,
                                   .abandon = host_abandon,
                                   .forward = host_forward,
                                   .complete = host_complete,
                                   .cancelled = host_cancelled,
                                   .post = host_post,
                                   .exhausted = host_exhausted};
    mh->class = class;
    mh->keeps_outputs = true;
    mh->last_output = &mh->outputs;
    mh->steps = calloc(MEMORY_STEPS_MAX, sizeof(*mh->steps));
    mh->log = calloc(1, MEMORY_TEXT_MAX);
    assert(mh->steps && mh->log);
    pthread_mutex_init(&mh->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&mh->changed, &attr);
    pthread_condattr_destroy(&attr);
    return mh;
}

void memory_host_destroy(struct memory_host *mh) {
    for (uint64_t i = 0; i < MEMORY_STEPS_MAX; i++) {
        keep_outputs(mh, &mh->steps[i], false);
        drop_changes(&mh->steps[i].changes);
    }
    while (mh->outputs) {
        struct memory_output *output = mh->outputs;
        mh->outputs = output->next;
        release(mh, output->rec);
        free(output);
    }
    for (size_t i = 0; i < mh->n_stored; i++)
        release(mh, mh->stored[i]);
    while (mh->loans) {
        struct memory_loan *loan = take_loan(mh, mh->loans->handle);
        free(loan->data);
        free(loan);
    }
    drop_changes(&mh->kv);
    if (mh->n_records != 0)
        fprintf(stderr, "memory host: %llu records are still held\n", (unsigned long long)mh->n_records);
    if (mh->n_records != 0)
        abort();
    pthread_cond_destroy(&mh->changed);
    pthread_mutex_destroy(&mh->lock);
    free(mh->steps);
    free(mh->log);
    free(mh);
}

static struct telex_rec *make(struct memory_host *mh, struct telex_bytes body) {
    const char *why = "";
    struct telex_rec *rec = record_copy(body, &why);
    if (!rec)
        fprintf(stderr, "memory host: %s\n", why);
    assert(rec);
    pthread_mutex_lock(&mh->lock);
    mh->n_records++;
    pthread_mutex_unlock(&mh->lock);
    return rec;
}

void memory_host_store(struct memory_host *mh, struct telex_bytes body) {
    assert(mh->n_stored < 64);
    struct telex_rec *rec = make(mh, body);
    pthread_mutex_lock(&mh->lock);
    mh->stored[mh->n_stored++] = rec;
    pthread_mutex_unlock(&mh->lock);
}

telex_lease memory_host_deliver(struct memory_host *mh, const struct telex_stage *calls, void *self,
                                struct telex_bytes body) {
    struct telex_rec *rec = make(mh, body);
    pthread_mutex_lock(&mh->lock);
    telex_lease lease = new_step(mh);
    pthread_mutex_unlock(&mh->lock);
    telex_status status = calls->process(self, lease, rec);
    if (status != TELEX_PENDING)
        (void)host_complete(&mh->host, lease, status);
    host_release(&mh->host, rec);
    return lease;
}

static struct timespec deadline(int64_t ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000 + (t.tv_nsec + ms % 1000 * 1000000) / 1000000000;
    t.tv_nsec = (t.tv_nsec + ms % 1000 * 1000000) % 1000000000;
    return t;
}

telex_status memory_host_await(struct memory_host *mh, telex_lease lease, int64_t timeout_ms) {
    struct timespec until = deadline(timeout_ms);
    pthread_mutex_lock(&mh->lock);
    while (mh->steps[lease].open && pthread_cond_timedwait(&mh->changed, &mh->lock, &until) == 0)
        ;
    telex_status status = mh->steps[lease].open ? TELEX_PENDING : mh->steps[lease].status;
    pthread_mutex_unlock(&mh->lock);
    return status;
}

bool memory_host_idle(struct memory_host *mh, int64_t timeout_ms) {
    struct timespec until = deadline(timeout_ms);
    pthread_mutex_lock(&mh->lock);
    while (mh->n_open > 0 && pthread_cond_timedwait(&mh->changed, &mh->lock, &until) == 0)
        ;
    bool idle = mh->n_open == 0;
    pthread_mutex_unlock(&mh->lock);
    return idle;
}

bool memory_host_exhausted(struct memory_host *mh, int64_t timeout_ms) {
    struct timespec until = deadline(timeout_ms);
    pthread_mutex_lock(&mh->lock);
    while (!mh->exhausted && pthread_cond_timedwait(&mh->changed, &mh->lock, &until) == 0)
        ;
    bool exhausted = mh->exhausted;
    pthread_mutex_unlock(&mh->lock);
    return exhausted;
}

const char *memory_host_reason(struct memory_host *mh, telex_lease lease) {
    return lease ? mh->steps[lease].reason : mh->reason;
}

bool memory_host_logged(struct memory_host *mh, const char *text, int64_t timeout_ms) {
    struct timespec until = deadline(timeout_ms);
    pthread_mutex_lock(&mh->lock);
    while (!strstr(mh->log, text) && pthread_cond_timedwait(&mh->changed, &mh->lock, &until) == 0)
        ;
    bool found = strstr(mh->log, text) != NULL;
    pthread_mutex_unlock(&mh->lock);
    return found;
}

static void hash(crypto_hash_sha256_state *state, struct telex_bytes bytes) {
    crypto_hash_sha256_update(state, (const uint8_t *)&bytes.size, sizeof(bytes.size));
    crypto_hash_sha256_update(state, bytes.data, bytes.size);
}

void memory_host_digest(struct memory_host *mh, char out[65]) {
    crypto_hash_sha256_state state;
    uint8_t digest[crypto_hash_sha256_BYTES];
    struct telex_bytes none = {NULL, 0}, last;
    const struct telex_bytes *after = NULL;
    crypto_hash_sha256_init(&state);
    pthread_mutex_lock(&mh->lock);
    for (const struct memory_output *output = mh->outputs; output; output = output->next) {
        crypto_hash_sha256_update(&state, (const uint8_t *)&output->port, sizeof(output->port));
        hash(&state, output->rec->body);
    }
    for (const struct memory_pair *pair; (pair = next_pair(mh->kv, none, after));) {
        hash(&state, pair->key);
        hash(&state, pair->value);
        last = pair->key;
        after = &last;
    }
    pthread_mutex_unlock(&mh->lock);
    crypto_hash_sha256_final(&state, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

struct telex_bytes memory_record(const char *id, uint64_t version, const char *command, size_t text_bytes) {
    struct telex_builder b;
    char *text = malloc(text_bytes + 1);
    assert(text);
    for (size_t i = 0; i < text_bytes; i++)
        text[i] = (char)('a' + (i * 7 + version) % 26);
    text[text_bytes] = 0;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema");
    telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id");
    telex_build_text(&b, id);
    telex_build_key(&b, "version");
    telex_build_int(&b, (int64_t)version);
    telex_build_key(&b, "title");
    telex_build_text(&b, command);
    telex_build_key(&b, "text");
    telex_build_text(&b, text);
    telex_build_map_end(&b);
    free(text);
    struct telex_bytes body = telex_build_body(&b), copy = {malloc(body.size), body.size};
    assert(copy.data && !b.broken);
    memcpy((uint8_t *)(uintptr_t)copy.data, body.data, body.size);
    telex_build_finish(&b);
    return copy;
}

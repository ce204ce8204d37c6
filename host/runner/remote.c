/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c - the struct telex_host that a plugin gets inside a runner.
 *
 * `lock` guards the sending half and every table; it is never held while plugin code runs, and never while
 * waiting for an answer. A message that finds the ring full waits for the host to take some. */
#include "remote.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/table.h>

enum { WAKE_EVERY = 64 };

static struct remote *remote_of(const struct telex_host *host) {
    return host->impl;
}

/* ---- messages ---- */

/* Send under the lock, which is let go while there is no room. 0 or -ENOMEM: it can never fit. */
static int send_locked(struct remote *remote, struct message message, const void *payload, uint64_t size) {
    static const struct timespec pause = {0, 100000};
    for (;;) {
        int err = link_send(&remote->out, message, payload, size);
        if (err == 0 || (err == -ENOMEM && remote->out.n_flights == 0))
            return err;
        link_wake(&remote->out);
        pthread_mutex_unlock(&remote->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&remote->lock);
    }
}

void remote_say(struct remote *remote, struct message message, const void *payload, uint64_t size,
                bool wake) {
    pthread_mutex_lock(&remote->lock);
    (void)send_locked(remote, message, payload, size);
    if (wake)
        link_wake(&remote->out);
    pthread_mutex_unlock(&remote->lock);
}

static void unlink_question(struct remote *remote, const struct question *question) {
    struct question **at = &remote->questions;
    while (*at && *at != question)
        at = &(*at)->next;
    if (*at)
        *at = question->next;
}

/* The waiting half of a question; the lock is held, the message sent. */
static void await_answer(struct remote *remote, struct question *question) {
    link_wake(&remote->out);
    while (!question->done)
        pthread_cond_wait(&question->answered, &remote->lock);
    unlink_question(remote, question);
}

static void begin_question(struct remote *remote, struct question *question, struct message *message) {
    bool stays = question->stays;
    memset(question, 0, sizeof(*question));
    question->stays = stays;
    pthread_cond_init(&question->answered, NULL);
    question->call = message->call = ++remote->last_call;
    question->next = remote->questions;
    remote->questions = question;
}

telex_status remote_ask(struct remote *remote, struct message message, const void *payload, uint64_t size,
                        struct question *question) {
    struct question own = {.stays = false}, *q = question ? question : &own;
    pthread_mutex_lock(&remote->lock);
    begin_question(remote, q, &message);
    if (send_locked(remote, message, payload, size) == 0) {
        await_answer(remote, q);
    } else {
        q->status = TELEX_LIMIT;
        unlink_question(remote, q);
    }
    pthread_mutex_unlock(&remote->lock);
    telex_status status = q->broken ? TELEX_LIMIT : q->status;
    if (!question)
        question_finish(&own);
    return status;
}

void question_finish(struct question *question) {
    pthread_cond_destroy(&question->answered);
    if (!question->stays)
        free(question->data);
    question->data = NULL;
}

void remote_log(struct remote *remote, int32_t level, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    struct message m = {.type = FROM_LOG, .a = (uint64_t)level};
    remote_say(remote, m, line, strlen(line), true);
}

void remote_broken(struct remote *remote, const char *rule, const char *what) {
    char line[1024];
    snprintf(line, sizeof(line), "plugin %.64s broke rule %s: %.800s", remote->setup.plugin.name, rule, what);
    struct message m = {.type = FROM_LOG, .a = TELEX_ERROR};
    m.lease = atomic_load(&remote->lease);
    remote_say(remote, m, line, strlen(line), true);
}

/* ---- records ---- */

static struct telex_bytes part_of(struct telex_bytes body, uint32_t at, uint32_t size) {
    struct telex_bytes part = {body.data + at, size};
    return part;
}

struct telex_rec *rec_create(uint64_t handle, struct telex_bytes body, const struct delivered *head) {
    struct telex_rec *rec = malloc(sizeof(*rec));
    if (!rec)
        return NULL;
    rec->handle = handle;
    rec->body = body;
    atomic_init(&rec->refs, 1);
    if (head && head->id_size > 0 && (uint64_t)head->schema_at + head->schema_size <= body.size &&
        (uint64_t)head->id_at + head->id_size <= body.size) {
        rec->head.version = head->version;
        rec->head.schema = part_of(body, head->schema_at, head->schema_size);
        rec->head.id = part_of(body, head->id_at, head->id_size);
    } else
        (void)telex_scan_head(body, &rec->head);
    return rec;
}

uint64_t rec_drop(struct telex_rec *rec) {
    if (!rec || atomic_fetch_sub(&rec->refs, 1) != 1)
        return 0;
    uint64_t handle = rec->handle;
    free(rec);
    return handle;
}

static telex_status host_view(const struct telex_host *host, const struct telex_rec *rec,
                              struct telex_view *out) {
    (void)host;
    if (!rec)
        return TELEX_INVALID;
    const struct telex_view view = {.size = sizeof(view),
                                    .version = rec->head.version,
                                    .schema = rec->head.schema,
                                    .id = rec->head.id,
                                    .body = rec->body};
    return telex_table_fill(out, &view, TELEX_UP_TO(struct telex_view, body)) ? TELEX_OK : TELEX_INVALID;
}

static void host_retain(const struct telex_host *host, struct telex_rec *rec) {
    (void)host;
    if (rec)
        atomic_fetch_add(&rec->refs, 1);
}

static void host_release(const struct telex_host *host, struct telex_rec *rec) {
    struct message m = {.type = FROM_RELEASE, .a = rec_drop(rec)};
    if (m.a != 0)
        remote_say(remote_of(host), m, NULL, 0, false);
}

static telex_status host_get(const struct telex_host *host, telex_lease lease, const char *schema,
                             struct telex_bytes id, uint64_t version, struct telex_rec **out) {
    size_t n = schema ? strlen(schema) : 0;
    if (n == 0 || n > 256 || id.size > 256 || !out)
        return TELEX_INVALID;
    uint8_t payload[512];
    memcpy(payload, schema, n);
    if (id.size)
        memcpy(payload + n, id.data, id.size);
    struct message m = {.type = FROM_GET, .lease = lease, .a = n, .b = version};
    struct question q = {.stays = true};
    telex_status status = remote_ask(remote_of(host), m, payload, n + id.size, &q);
    if (status == TELEX_OK) {
        struct telex_bytes body = {q.data, q.size};
        *out = rec_create(q.a, body, NULL);
        if (!*out) {
            struct message release = {.type = FROM_RELEASE, .a = q.a};
            remote_say(remote_of(host), release, NULL, 0, false);
            status = TELEX_LIMIT;
        }
    }
    question_finish(&q);
    return status;
}

/* ---- leases ---- */

static struct open_lease *find_lease(struct remote *remote, telex_lease lease) {
    return (struct open_lease *)(void *)lease_find(&remote->leases, lease);
}

/* Whether the lease was cancelled before it was open here. */
static bool was_cancelled(const struct remote *remote, telex_lease lease) {
    for (size_t i = 0; i < remote->n_early; i++)
        if (remote->early[i] == lease)
            return true;
    return false;
}

int remote_lease_begin(struct remote *remote, telex_lease lease) {
    struct open_lease *open = malloc(sizeof(*open));
    if (!open)
        return -ENOMEM;
    open->node.lease = lease;
    open->outputs = 0;
    pthread_mutex_lock(&remote->lock);
    bool cancelled = open->cancelled = was_cancelled(remote, lease);
    lease_add(&remote->leases, &open->node);
    pthread_mutex_unlock(&remote->lock);
    return !cancelled;
}

bool remote_lease_is_open(struct remote *remote, telex_lease lease) {
    pthread_mutex_lock(&remote->lock);
    bool open = find_lease(remote, lease) != NULL;
    pthread_mutex_unlock(&remote->lock);
    return open;
}

static telex_status host_open(const struct telex_host *host, telex_lease *out) {
    struct message m = {.type = FROM_OPEN};
    struct question q = {.stays = false};
    telex_status status = remote_ask(remote_of(host), m, NULL, 0, &q);
    if (status == TELEX_OK) {
        struct fault_page *faults = remote_of(host)->faults;
        const struct fault *fault = faults && !remote_of(host)->stage->process ? fault_of_open(faults) : NULL;
        if (fault)
            fault_strike(fault);
        *out = q.a;
        if (remote_lease_begin(remote_of(host), q.a) < 0)
            status =
                remote_complete(remote_of(host), q.a, TELEX_RETRY, 0) == TELEX_OK ? TELEX_AGAIN : TELEX_FATAL;
    }
    question_finish(&q);
    return status;
}

/* A completion was sent. While the strand goes on to other steps, the host is woken only now and then: it
 * looks by itself for a while (NAP_LAST_MS of isolate_serve.c, longer than a tick here) after it was woken.
 */
static void wake_for_completion(struct remote *remote) {
    struct timespec tick;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
    int64_t now_ms = (int64_t)tick.tv_sec * 1000 + tick.tv_nsec / 1000000;
    bool soon = strand_is_this() && remote->goes_on;
    if (soon && now_ms == remote->woken_ms && ++remote->n_unwoken < WAKE_EVERY)
        return;
    remote->n_unwoken = 0;
    remote->woken_ms = now_ms;
    link_wake(&remote->out);
}

telex_status remote_complete(struct remote *remote, telex_lease lease, telex_status status,
                             uint64_t release) {
    struct message m = {.type = FROM_COMPLETE, .lease = lease, .status = status, .a = release};
    pthread_mutex_lock(&remote->lock);
    struct lease_node *open = lease_take(&remote->leases, lease);
    if (open) {
        (void)send_locked(remote, m, NULL, 0);
        wake_for_completion(remote);
    }
    pthread_mutex_unlock(&remote->lock);
    free(open);
    /* Not open here: what the host says of it is the answer, and its log names the rule. */
    return open ? TELEX_OK : remote_ask(remote, m, NULL, 0, NULL);
}

static telex_status host_complete(const struct telex_host *host, telex_lease lease, telex_status status) {
    return remote_complete(remote_of(host), lease, status, 0);
}

static int32_t host_cancelled(const struct telex_host *host, telex_lease lease) {
    struct remote *remote = remote_of(host);
    pthread_mutex_lock(&remote->lock);
    const struct open_lease *open = find_lease(remote, lease);
    int32_t cancelled = !open || open->cancelled;
    pthread_mutex_unlock(&remote->lock);
    return cancelled;
}

/* ---- outputs ---- */

/* One more output of a step, if it is certain that the host would allow it. */
static bool count_output(struct remote *remote, telex_lease lease, uint32_t port) {
    struct open_lease *open = find_lease(remote, lease);
    if (!open || port >= remote->n_outputs || open->outputs >= remote->stage->max_outputs)
        return false;
    open->outputs++;
    return true;
}

static void uncount_output(struct remote *remote, telex_lease lease) {
    struct open_lease *open = find_lease(remote, lease);
    if (open && open->outputs > 0)
        open->outputs--;
}

static struct open_loan *free_loan(struct remote *remote) {
    for (size_t i = 0; i < remote->n_loans; i++)
        if (remote->loans[i].handle == 0)
            return &remote->loans[i];
    size_t n = remote->n_loans ? 2 * remote->n_loans : 8;
    struct open_loan *loans = realloc(remote->loans, n * sizeof(*loans));
    if (!loans)
        return NULL;
    memset(loans + remote->n_loans, 0, (n - remote->n_loans) * sizeof(*loans));
    struct open_loan *loan = &loans[remote->n_loans];
    remote->loans = loans;
    remote->n_loans = n;
    return loan;
}

static struct open_loan *find_loan(struct remote *remote, uint64_t handle) {
    for (size_t i = 0; handle != 0 && i < remote->n_loans; i++)
        if (remote->loans[i].handle == handle)
            return &remote->loans[i];
    return NULL;
}

/* Lend a slot; the output is counted already. */
static telex_status lend(struct remote *remote, telex_lease lease, uint32_t port, uint64_t capacity,
                         struct telex_loan *out) {
    struct open_loan *loan = free_loan(remote);
    uint64_t slot = loan ? link_slot_take(&remote->out, capacity ? capacity : 1) : 0;
    if (slot == 0) {
        uncount_output(remote, lease);
        return TELEX_LIMIT;
    }
    struct open_loan taken = {++remote->last_loan, lease, port, slot, capacity};
    *loan = taken;
    out->port = port;
    out->handle = taken.handle;
    out->capacity = capacity;
    out->data = link_at(&remote->out, slot);
    return TELEX_OK;
}

static telex_status host_loan(const struct telex_host *host, telex_lease lease, uint32_t port,
                              uint64_t capacity, struct telex_loan *loan) {
    struct remote *remote = remote_of(host);
    telex_status status = TELEX_LIMIT;
    if (!loan || loan->size < TELEX_UP_TO(struct telex_loan, data))
        return TELEX_INVALID;
    pthread_mutex_lock(&remote->lock);
    bool certain = capacity <= TELEX_BODY_MAX_BYTES && count_output(remote, lease, port);
    if (certain)
        status = lend(remote, lease, port, capacity, loan);
    pthread_mutex_unlock(&remote->lock);
    if (certain)
        return status;
    struct message m = {.type = FROM_LOAN, .lease = lease, .port = port, .a = capacity};
    status = remote_ask(remote, m, NULL, 0, NULL);
    return status == TELEX_OK ? TELEX_LIMIT : status; /* it does not know of loans that are still out */
}

static bool port_takes(const struct telex_port *port, struct telex_bytes schema) {
    for (const char *const *s = port->schemas; s && *s; s++)
        if (strcmp(*s, "*") == 0 || telex_bytes_equal(schema, *s))
            return true;
    return false;
}

/* Whether the host is certain to take this body on the port. */
static bool output_is_good(const struct remote *remote, uint32_t port, struct telex_bytes body) {
    struct telex_head head;
    return telex_scan_head(body, &head) == 0 && head.schema.size > 0 &&
           head.schema.size <= TELEX_ID_MAX_BYTES && head.id.size > 0 && head.id.size <= TELEX_ID_MAX_BYTES &&
           port_takes(remote->outputs[port], head.schema);
}

/* Send a filled slot, which passes. The lock is held. */
static int send_output(struct remote *remote, const struct message *m, uint64_t capacity) {
    static const struct timespec pause = {0, 100000};
    int err;
    while ((err = link_send_slot(&remote->out, m, NULL, capacity, true)) == -EAGAIN) {
        link_wake(&remote->out);
        pthread_mutex_unlock(&remote->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&remote->lock);
    }
    return err;
}

static telex_status host_commit(const struct telex_host *host, struct telex_loan *given, uint64_t length) {
    struct remote *remote = remote_of(host);
    struct question q = {.stays = false};
    pthread_mutex_lock(&remote->lock);
    struct open_loan *found = given ? find_loan(remote, given->handle) : NULL;
    struct open_loan loan = found ? *found : (struct open_loan){0};
    if (found)
        found->handle = 0;
    pthread_mutex_unlock(&remote->lock);
    if (!found) {
        remote_broken(remote, "loan.dead", "commit: the loan is not out, or not any more; refused");
        return TELEX_INVALID;
    }
    struct telex_bytes body = {link_at(&remote->out, loan.slot), length};
    bool good = length <= loan.capacity && output_is_good(remote, loan.port, body);
    struct message m = {.type = FROM_OUTPUT, .lease = loan.lease, .port = loan.port, .slot = loan.slot};
    m.slot_size = length <= loan.capacity ? length : loan.capacity;
    m.a = length;
    telex_status status = TELEX_OK;
    pthread_mutex_lock(&remote->lock);
    if (!good) {
        uncount_output(remote, loan.lease);
        begin_question(remote, &q, &m);
    }
    if (send_output(remote, &m, loan.capacity ? loan.capacity : 1) < 0) {
        link_slot_give(&remote->out, loan.slot, loan.capacity ? loan.capacity : 1);
        q.done = true;
        status = q.status = TELEX_LIMIT;
    }
    if (!good) {
        await_answer(remote, &q);
        status = q.status;
    }
    pthread_mutex_unlock(&remote->lock);
    if (!good)
        question_finish(&q);
    return status;
}

static void host_abandon(const struct telex_host *host, struct telex_loan *given) {
    struct remote *remote = remote_of(host);
    pthread_mutex_lock(&remote->lock);
    struct open_loan *loan = given ? find_loan(remote, given->handle) : NULL;
    if (loan) {
        loan->handle = 0;
        link_slot_give(&remote->out, loan->slot, loan->capacity ? loan->capacity : 1);
        uncount_output(remote, loan->lease);
    }
    pthread_mutex_unlock(&remote->lock);
}

static telex_status host_forward(const struct telex_host *host, telex_lease lease, uint32_t port,
                                 struct telex_rec *rec) {
    struct remote *remote = remote_of(host);
    if (!rec)
        return TELEX_INVALID;
    struct message m = {.type = FROM_FORWARD, .lease = lease, .port = port, .a = rec->handle};
    pthread_mutex_lock(&remote->lock);
    bool certain = port < remote->n_outputs && port_takes(remote->outputs[port], rec->head.schema) &&
                   count_output(remote, lease, port);
    if (certain)
        (void)send_locked(remote, m, NULL, 0);
    pthread_mutex_unlock(&remote->lock);
    return certain ? TELEX_OK : remote_ask(remote, m, NULL, 0, NULL);
}

/* ---- the rest ---- */

static struct telex_bytes cut(struct telex_bytes text) {
    struct telex_bytes out = {text.data, text.size < TEXT_MAX_BYTES ? text.size : TEXT_MAX_BYTES};
    return out;
}

static void host_log(const struct telex_host *host, int32_t level, telex_lease lease,
                     struct telex_bytes text) {
    struct message m = {.type = FROM_LOG, .lease = lease, .a = (uint64_t)level};
    struct telex_bytes line = cut(text);
    remote_say(remote_of(host), m, line.data, line.size, true);
}

static telex_status host_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                              struct telex_bytes why) {
    struct message m = {.type = FROM_FAIL, .lease = lease, .status = status};
    struct telex_bytes reason = cut(why);
    remote_say(remote_of(host), m, reason.data, reason.size, false);
    return status;
}

static int64_t host_now_ms(const struct telex_host *host, int32_t clock) {
    struct message m = {.type = FROM_NOW, .a = (uint64_t)clock};
    struct question q = {.stays = false};
    int64_t now = 0;
    if (remote_ask(remote_of(host), m, NULL, 0, &q) == TELEX_OK)
        now = (int64_t)q.a;
    question_finish(&q);
    return now;
}

static telex_status host_post(const struct telex_host *host, void (*fn)(void *arg), void *arg) {
    struct remote *remote = remote_of(host);
    struct work work = {.kind = WORK_POSTED, .fn = fn, .arg = arg};
    bool posted = fn && !atomic_load(&remote->stopping) && strand_add(remote, &work);
    return posted ? TELEX_OK : TELEX_CANCELLED;
}

static void host_exhausted(const struct telex_host *host) {
    struct message m = {.type = FROM_EXHAUSTED};
    remote_say(remote_of(host), m, NULL, 0, true);
}

/* ---- life ---- */

static const struct telex_host table = {
    .size = sizeof(struct telex_host),
    .abi_minor = TELEX_ABI_MINOR,
    .ext = services_ext,
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
    .exhausted = host_exhausted,
};

int remote_init(struct remote *remote, const char *name) {
    memset(remote, 0, sizeof(*remote));
    remote->host = table;
    remote->host.impl = remote;
    remote->name = name;
    pthread_mutex_init(&remote->lock, NULL);
    pthread_mutex_init(&remote->work_lock, NULL);
    pthread_cond_init(&remote->work_came, NULL);
    pthread_mutex_init(&remote->cancel_lock, NULL);
    pthread_cond_init(&remote->cancel_came, NULL);
    pthread_mutex_init(&remote->watch_lock, NULL);
    int err = region_map(&remote->theirs, FD_HOST_REGION, region_bytes(HOST_ARENA_BYTES), false);
    if (err == 0)
        err = region_map(&remote->ours, FD_RUNNER_REGION, region_bytes(RUNNER_ARENA_BYTES), true);
    if (err == 0)
        err = link_out_init(&remote->out, &remote->ours, &remote->theirs, FD_WAKE_HOST);
    if (err < 0)
        return err;
    link_in_init(&remote->in, &remote->ours, &remote->theirs);
    return remote->in.theirs->version == PROTOCOL_VERSION ? 0 : -EPROTO;
}

void remote_finish(struct remote *remote) {
    struct lease_node *lease;
    while ((lease = lease_take_any(&remote->leases)))
        free(lease);
    link_out_finish(&remote->out);
    free(remote->loans);
    free(remote->base);
    free(remote->cancels);
    free(remote->early);
    free(remote->queue.items);
    setup_finish(&remote->setup);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - struct telex_host as a plugin in this process sees it.
 *
 * Every call names an instance (host->impl) and most a lease; both are checked under the stage's lock before
 * anything is touched, so a stale lease or a call after stop is refused and named in the log, never followed.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/message.h>
#include <telex-sdk/table.h>

#include "calling.h"
#include "log.h"

int64_t mono_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t tick_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t wall_clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct instance *instance_of(const struct telex_host *host) {
    return host->impl;
}

static telex_status not_open(struct instance *instance, const char *call, telex_lease lease) {
    return rule_broken(instance, lease ? "lease.closed" : "lease.unknown", lease,
                       "%s: lease %llu is not open; refused", call, (unsigned long long)lease);
}

static telex_status no_port(struct instance *instance, const char *call, telex_lease lease, uint32_t port) {
    return rule_broken(instance, "output.port", lease, "%s: there is no output port %u; refused", call, port);
}

/* The open step behind a lease of this instance, with stage->lock held; NULL with it released. */
static struct step *lock_step(struct instance *instance, telex_lease lease) {
    struct stage *stage = instance->stage;
    pthread_mutex_lock(&stage->lock);
    struct step *step = step_find_held(instance, lease);
    if (!step)
        pthread_mutex_unlock(&stage->lock);
    return step;
}

static void unlock(struct instance *instance) {
    pthread_mutex_unlock(&instance->stage->lock);
}

static void service_log(const struct telex_host *host, int32_t level, telex_lease lease,
                        struct telex_bytes text) {
    struct instance *instance = instance_of(host);
    if (calling_is_late(instance, "log") || level < log_level())
        return;
    uint8_t id[TELEX_ID_MAX_BYTES];
    struct telex_bytes record = {id, 0};
    struct step *step = lease ? lock_step(instance, lease) : NULL;
    if (step) {
        if (step->entry) {
            record.size = step->entry->rec->id.size;
            memcpy(id, step->entry->rec->id.data, record.size);
        }
        unlock(instance);
    }
    log_text(level, instance->stage->config->name, record, text);
}

static telex_status service_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                                 struct telex_bytes why) {
    struct instance *instance = instance_of(host);
    if (calling_is_late(instance, "fail"))
        return status;
    char *copy = strndup((const char *)why.data, why.size < 1023 ? why.size : 1023);
    struct step *step = lease ? lock_step(instance, lease) : NULL;
    if (step) {
        free(step->reason);
        step->reason = copy;
        unlock(instance);
        return status;
    }
    pthread_mutex_lock(&instance->stage->lock);
    free(instance->why);
    instance->why = copy;
    unlock(instance);
    return status;
}

static int64_t service_now_ms(const struct telex_host *host, int32_t clock) {
    (void)host;
    return clock == TELEX_CLOCK_MONO ? mono_ms() : wall_clock_ms();
}

static telex_status service_view(const struct telex_host *host, const struct telex_rec *rec,
                                 struct telex_view *out) {
    (void)host;
    if (!rec)
        return TELEX_INVALID;
    const struct telex_view view = {.size = sizeof(view),
                                    .version = rec->version,
                                    .schema = rec->schema,
                                    .id = rec->id,
                                    .body = rec->body};
    return telex_table_fill(out, &view, TELEX_UP_TO(struct telex_view, body)) ? TELEX_OK : TELEX_INVALID;
}

static void service_retain(const struct telex_host *host, struct telex_rec *rec) {
    (void)host;
    record_retain(rec);
}

static void service_release(const struct telex_host *host, struct telex_rec *rec) {
    (void)host;
    record_release(rec);
}

static telex_status service_get(const struct telex_host *host, telex_lease lease, const char *schema,
                                struct telex_bytes id, uint64_t version, struct telex_rec **out) {
    (void)lease;
    *out = NULL;
    if (id.size == 0 || id.size > TELEX_ID_MAX_BYTES)
        return TELEX_INVALID;
    *out = journal_get(instance_of(host)->stage->engine->journal, schema, id, version);
    return *out ? TELEX_OK : TELEX_NOT_FOUND;
}

/* Steps that gather here are handed over before the edges behind them could be overrun. */
enum { OUTPUTS_GATHERED_MAX = 64 };

static telex_status service_open(const struct telex_host *host, telex_lease *out) {
    struct instance *instance = instance_of(host);
    *out = 0;
    if (calling_is_late(instance, "open"))
        return TELEX_CANCELLED;
    struct stage *stage = instance->stage;
    struct engine *engine = stage->engine;
    telex_status status = TELEX_OK;
    engine_lock(engine);
    if (atomic_load_explicit(&stage->n_done_outputs, memory_order_relaxed) >= OUTPUTS_GATHERED_MAX) {
        engine->holds_back = steps_are_gathered(stage); /* then it is the strand, which looks back */
        steps_hand_over_locked(stage);
        engine->holds_back = false;
    }
    pthread_mutex_lock(&stage->lock);
    uint32_t n_open = atomic_load_explicit(&instance->n_open, memory_order_relaxed);
    uint32_t limit = stage->class->flags & TELEX_STAGE_STATEFUL ? 1 : stage->config->open_steps;
    /* A flush lets stages other than sources close their books. */
    bool closed = engine->phase >= PHASE_DRAIN || (engine->phase == PHASE_FLUSH && stage->source);
    if (instance->dead || closed || instance->state >= INSTANCE_STOPPING)
        status = TELEX_CANCELLED;
    else if (stage->pausing || n_open >= limit || !stage_has_room_locked(stage)) {
        instance->starved = true;
        status = TELEX_AGAIN;
    } else {
        struct step *step = step_open_held(instance, NULL, NULL);
        status = step ? TELEX_OK : TELEX_AGAIN;
        *out = step ? step->lease : 0;
    }
    pthread_mutex_unlock(&stage->lock);
    engine_unlock(engine);
    return status;
}

/* A loan's book-keeping, from those given back; NULL: out of memory. */
static struct loan *new_loan_held(struct instance *instance) {
    struct loan *loan = instance->free_loans;
    if (!loan)
        return malloc(sizeof(*loan));
    instance->free_loans = loan->next;
    return loan;
}

static telex_status lend_held(struct instance *instance, struct step *step, uint32_t port, uint64_t capacity,
                              struct telex_rec *rec, struct telex_loan *out) {
    if (step->n_outputs + step->n_loans >= instance->stage->class->max_outputs)
        return TELEX_LIMIT;
    struct loan *loan = new_loan_held(instance);
    if (!loan)
        return TELEX_AGAIN;
    *loan = (struct loan){.next = instance->loans,
                          .handle = ++instance->last_loan,
                          .lease = step->lease,
                          .port = port,
                          .capacity = capacity,
                          .rec = rec};
    instance->loans = loan;
    step->n_loans++;
    const struct telex_loan lent = {
        .size = sizeof(lent), .port = port, .handle = loan->handle, .capacity = capacity, .data = rec->data};
    telex_table_fill(out, &lent, TELEX_UP_TO(struct telex_loan, data));
    return TELEX_OK;
}

static telex_status service_loan(const struct telex_host *host, telex_lease lease, uint32_t port,
                                 uint64_t capacity, struct telex_loan *out) {
    struct instance *instance = instance_of(host);
    if (!out || out->size < TELEX_UP_TO(struct telex_loan, data))
        return rule_broken(instance, "table.size", lease,
                           "loan: the size of struct telex_loan is not set; refused");
    if (port >= instance->stage->n_out_ports)
        return no_port(instance, "loan", lease, port);
    if (capacity > TELEX_BODY_MAX_BYTES) {
        (void)rule_broken(instance, "loan.size", lease,
                          "loan: %llu bytes are asked for, a message has at most %llu",
                          (unsigned long long)capacity, (unsigned long long)TELEX_BODY_MAX_BYTES);
        return TELEX_LIMIT;
    }
    struct telex_rec *rec = record_alloc(capacity);
    if (!rec)
        return TELEX_AGAIN;
    struct step *step = lock_step(instance, lease);
    if (!step) {
        free(rec);
        return not_open(instance, "loan", lease);
    }
    telex_status status = lend_held(instance, step, port, capacity, rec, out);
    unlock(instance);
    if (status != TELEX_OK)
        free(rec);
    return status;
}

/* Take a loan off the instance's list into *taken; its step loses it too, where it is still open. False: no
 * such loan. */
static bool take_loan(struct instance *instance, struct telex_loan *outside, struct loan *taken) {
    pthread_mutex_lock(&instance->stage->lock);
    struct loan **at = &instance->loans;
    while (*at && (*at)->handle != outside->handle)
        at = &(*at)->next;
    struct loan *loan = *at;
    if (loan) {
        *at = loan->next;
        *taken = *loan;
        loan->next = instance->free_loans;
        instance->free_loans = loan;
        struct step *step = step_find_held(instance, taken->lease);
        if (step)
            step->n_loans--;
    }
    unlock(instance);
    outside->data = NULL;
    outside->handle = 0;
    return loan != NULL;
}

static bool port_declares(const struct telex_stage *class, uint32_t n, const struct telex_rec *rec) {
    for (const struct telex_port *const *port = class->ports; *port; port++) {
        if ((*port)->direction != TELEX_OUT || n-- > 0)
            continue;
        for (const char *const *schema = (*port)->schemas; *schema; schema++)
            if (strcmp(*schema, "*") == 0 || record_is(rec, *schema))
                return true;
    }
    return false;
}

/* Append an output to an open step; takes the reference on success. */
static telex_status append_held(struct step *step, uint32_t port, struct telex_rec *rec, bool forwarded) {
    if (step->n_outputs == step->outputs_capacity) {
        uint32_t capacity = step->outputs_capacity ? 2 * step->outputs_capacity : 4;
        struct output *outputs = realloc(step->outputs, capacity * sizeof(*outputs));
        if (!outputs)
            return TELEX_AGAIN;
        step->outputs = outputs;
        step->outputs_capacity = capacity;
    }
    step->outputs[step->n_outputs++] = (struct output){rec, port, forwarded};
    return TELEX_OK;
}

static telex_status refuse_output(struct instance *instance, const char *rule, telex_lease lease,
                                  const char *why) {
    return rule_broken(instance, rule, lease, "commit: %s; the output is dropped", why);
}

static telex_status service_commit(const struct telex_host *host, struct telex_loan *outside,
                                   uint64_t length) {
    struct instance *instance = instance_of(host);
    struct loan loan;
    if (!take_loan(instance, outside, &loan))
        return rule_broken(instance, "loan.dead", 0, "commit: the loan is not out, or not any more; refused");
    const char *why = "";
    bool longer = length > loan.capacity;
    struct telex_rec *rec = record_seal(loan.rec, loan.capacity, length, &why);
    if (!rec)
        return refuse_output(instance, longer ? "loan.length" : "output.msgpack", loan.lease, why);
    if (!port_declares(instance->stage->class, loan.port, rec)) {
        record_release(rec);
        return refuse_output(instance, "output.schema", loan.lease,
                             "its schema is not one that the port declares");
    }
    struct step *step = lock_step(instance, loan.lease);
    telex_status status = TELEX_INVALID;
    if (step) {
        status = append_held(step, loan.port, rec, false);
        unlock(instance);
    } else
        (void)not_open(instance, "commit", loan.lease);
    if (status != TELEX_OK)
        record_release(rec);
    return status;
}

static void service_abandon(const struct telex_host *host, struct telex_loan *outside) {
    struct loan loan;
    if (take_loan(instance_of(host), outside, &loan))
        free(loan.rec);
}

static telex_status service_forward(const struct telex_host *host, telex_lease lease, uint32_t port,
                                    struct telex_rec *rec) {
    struct instance *instance = instance_of(host);
    struct stage *stage = instance->stage;
    if (!rec)
        return rule_broken(instance, "record.unknown", lease, "forward: no record is named; refused");
    if (port >= stage->n_out_ports)
        return no_port(instance, "forward", lease, port);
    if (!port_declares(stage->class, port, rec))
        return rule_broken(instance, "output.schema", lease,
                           "forward: its schema is not one that the port declares");
    struct step *step = lock_step(instance, lease);
    if (!step)
        return not_open(instance, "forward", lease);
    telex_status status = TELEX_LIMIT;
    if (step->n_outputs + step->n_loans < stage->class->max_outputs)
        status = append_held(step, port, rec, rec->seq != 0);
    if (status == TELEX_OK)
        record_retain(rec);
    unlock(instance);
    return status;
}

static telex_status service_complete(const struct telex_host *host, telex_lease lease, telex_status status) {
    return step_complete(instance_of(host), lease, status);
}

static int32_t service_cancelled(const struct telex_host *host, telex_lease lease) {
    struct instance *instance = instance_of(host);
    struct step *step = lock_step(instance, lease);
    if (!step)
        return 1;
    int32_t cancelled = step->cancelled || instance->stage->engine->phase == PHASE_STOP;
    unlock(instance);
    return cancelled;
}

static telex_status service_post(const struct telex_host *host, void (*fn)(void *arg), void *arg) {
    bool late = calling_is_late(instance_of(host), "post");
    return !late && post_task(instance_of(host), fn, arg) ? TELEX_OK : TELEX_CANCELLED;
}

static void service_exhausted(const struct telex_host *host) {
    struct instance *instance = instance_of(host);
    if (calling_is_late(instance, "exhausted"))
        return;
    struct engine *engine = instance->stage->engine;
    pthread_mutex_lock(&engine->lock);
    instance->stage->exhausted = true;
    engine_nudge(engine); /* within: after it, the engine may be gone from a thread that was left behind */
    engine_unlock(engine);
}

void service_fill(struct instance *instance) {
    instance->host = (struct telex_host){
        .size = sizeof(struct telex_host),
        .abi_minor = TELEX_ABI_MINOR,
        .impl = instance,
        .ext = service_ext,
        .log = service_log,
        .fail = service_fail,
        .now_ms = service_now_ms,
        .view = service_view,
        .retain = service_retain,
        .release = service_release,
        .get = service_get,
        .open = service_open,
        .loan = service_loan,
        .commit = service_commit,
        .abandon = service_abandon,
        .forward = service_forward,
        .complete = service_complete,
        .cancelled = service_cancelled,
        .post = service_post,
        .exhausted = service_exhausted,
    };
}

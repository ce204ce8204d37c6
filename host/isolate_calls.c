/* SPDX-License-Identifier: Apache-2.0 */
/* isolate_calls.c - what a runner says, as calls on the host.
 *
 * A message was copied before it came here, its payload may still change while it is read: sizes are taken
 * once, text and keys are copied to private memory, and a body is copied into the host's loan before the host
 * scans it. Only leases and records that this runner holds are ever named to the host. */
#include "isolate_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/message.h>

enum { SCAN_CHUNK_BYTES = 256 << 10 };

static struct message answer_to(const struct message *m, telex_status status) {
    struct message answer = {.type = TO_ANSWER, .call = m->call, .status = status};
    return answer;
}

static void send_answer(struct isolate *iso, const struct message *answer, const void *payload,
                        uint64_t size) {
    pthread_mutex_lock(&iso->lock);
    if (isolate_send(iso, *answer, payload, size) < 0) {
        struct message limit = {.type = TO_ANSWER, .call = answer->call, .status = TELEX_LIMIT};
        (void)isolate_send(iso, limit, NULL, 0);
    }
    pthread_mutex_unlock(&iso->lock);
}

static void answer_status(struct isolate *iso, const struct message *m, telex_status status) {
    struct message answer = answer_to(m, status);
    if (m->call != 0)
        send_answer(iso, &answer, NULL, 0);
}

static struct step *find_step(struct isolate *iso, telex_lease lease) {
    pthread_mutex_lock(&iso->lock);
    struct step *step = (struct step *)(void *)lease_find(&iso->steps, lease);
    pthread_mutex_unlock(&iso->lock);
    return step; /* only this thread takes steps out */
}

/* Lease 0, or one that this runner has open. */
static bool may_name(struct isolate *iso, telex_lease lease) {
    return lease == 0 || find_step(iso, lease);
}

/* The record that a line is about: of an open lease, of the one that has just ended, of the step in process.
 */
static void name_record(struct isolate *iso, telex_lease lease, char *id, size_t size) {
    pthread_mutex_lock(&iso->lock);
    const struct step *step = (const struct step *)(const void *)lease_find(&iso->steps, lease);
    if (!step && iso->spent && iso->spent->node.lease == lease)
        step = iso->spent;
    if (!step)
        step = isolate_step_in_process(iso);
    snprintf(id, size, "%s%s", step && step->number ? " of record " : "",
             step && step->number ? step->id : "");
    pthread_mutex_unlock(&iso->lock);
}

/* A broken rule that this side found: plugin, rule, record. Gives INVALID. */
static telex_status rule_broken(struct isolate *iso, const char *rule, telex_lease lease, const char *call,
                                const char *what) {
    char text[512], record[TELEX_ID_MAX_BYTES + 16];
    name_record(iso, lease, record, sizeof(record));
    snprintf(text, sizeof(text), "plugin %.64s broke rule %s: %s%s: %s; refused", iso->plugin, rule, call,
             record, what);
    iso->host->log(iso->host, TELEX_ERROR, 0, telex_text(text));
    return TELEX_INVALID;
}

/* A lease that is not open: said in the log with the call's name. */
static telex_status not_open(struct isolate *iso, const char *call, telex_lease lease) {
    char what[64];
    const char *rule = strcmp(call, "complete") == 0 ? "lease.twice"
                       : strcmp(call, "kv") == 0     ? "kv.lease"
                       : lease == 0                  ? "lease.unknown"
                                                     : "lease.closed";
    snprintf(what, sizeof(what), "lease %llu is not open", (unsigned long long)lease);
    return rule_broken(iso, rule, lease, call, what);
}

/* A private copy, ended by a zero. NULL when out of memory. */
static char *copy_text(const uint8_t *data, uint64_t size) {
    char *copy = malloc(size + 1);
    if (!copy)
        return NULL;
    if (size)
        memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

/* ---- lines and reasons ---- */

static const char *hear_text(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    uint64_t size = payload.size < TEXT_MAX_BYTES ? payload.size : TEXT_MAX_BYTES;
    char *copy = copy_text(payload.data, size);
    struct telex_bytes text = {(const uint8_t *)copy, size};
    telex_lease lease = may_name(iso, m->lease) ? m->lease : 0;
    if (copy && m->type == FROM_FAIL)
        (void)iso->host->fail(iso->host, lease, m->status, text);
    else if (copy)
        iso->host->log(iso->host, m->a <= TELEX_ERROR ? (int32_t)m->a : TELEX_ERROR, lease, text);
    free(copy);
    return NULL;
}

/* ---- records ---- */

static const char not_held[] = "it let go of a record that it does not hold";

static const char *hear_release(struct isolate *iso, uint64_t handle) {
    pthread_mutex_lock(&iso->lock);
    struct telex_rec *rec = isolate_take_back(iso, handle);
    pthread_mutex_unlock(&iso->lock);
    if (!rec)
        return not_held;
    iso->host->release(iso->host, rec);
    return NULL;
}

/* Lend a record that was fetched; takes it. */
static void answer_record(struct isolate *iso, const struct message *m, struct telex_rec *rec) {
    struct telex_view view = {.size = sizeof(view)};
    struct message answer = answer_to(m, TELEX_LIMIT);
    bool seen = iso->host->view(iso->host, rec, &view) == TELEX_OK;
    pthread_mutex_lock(&iso->lock);
    answer.a = seen ? isolate_lend(iso, rec, view.body, &answer.slot) : 0;
    bool lent = answer.a != 0;
    if (lent) {
        answer.status = TELEX_OK;
        answer.slot_size = view.body.size;
        (void)isolate_send_slot(iso, &answer, view.body.size, false);
    } else {
        (void)isolate_send(iso, answer, NULL, 0);
    }
    pthread_mutex_unlock(&iso->lock);
    if (!lent)
        iso->host->release(iso->host, rec);
}

static const char *hear_get(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    char schema[257];
    uint8_t id[257];
    uint64_t n_schema = m->a, n_id = payload.size - m->a;
    if (n_schema >= sizeof(schema) || n_schema > payload.size || n_id >= sizeof(id))
        return "a get with impossible sizes";
    memcpy(schema, payload.data, n_schema);
    schema[n_schema] = 0;
    memcpy(id, payload.data + n_schema, n_id);
    struct telex_bytes name = {id, n_id};
    struct telex_rec *rec = NULL;
    telex_status status = TELEX_INVALID;
    if (may_name(iso, m->lease))
        status = iso->host->get(iso->host, m->lease, schema, name, m->b, &rec);
    else
        status = not_open(iso, "get", m->lease);
    if (status == TELEX_OK && rec)
        answer_record(iso, m, rec);
    else
        answer_status(iso, m, status);
    return NULL;
}

/* ---- steps ---- */

static const char *hear_open(struct isolate *iso, const struct message *m) {
    struct message answer = answer_to(m, TELEX_LIMIT);
    struct step *step = calloc(1, sizeof(*step)); /* number 0: opened by the stage */
    if (step)
        answer.status = iso->host->open(iso->host, &step->node.lease);
    if (answer.status == TELEX_OK) {
        answer.a = step->node.lease;
        pthread_mutex_lock(&iso->lock);
        lease_add(&iso->steps, &step->node);
        pthread_mutex_unlock(&iso->lock);
    } else {
        free(step);
    }
    send_answer(iso, &answer, NULL, 0);
    return NULL;
}

/* A step that ended; its memory is used again from the next one on. */
static void spend_locked(struct isolate *iso, struct step *step) {
    if (iso->spent) {
        iso->spent->node.next = iso->free_steps ? &iso->free_steps->node : NULL;
        iso->free_steps = iso->spent;
    }
    iso->spent = step;
}

static const char *hear_complete(struct isolate *iso, const struct message *m) {
    pthread_mutex_lock(&iso->lock);
    struct step *step = (struct step *)(void *)lease_take(&iso->steps, m->lease);
    struct telex_rec *rec = m->a != 0 ? isolate_take_back(iso, m->a) : NULL;
    if (step) {
        iso->turn_ms = isolate_clock_ms();
        spend_locked(iso, step);
    }
    pthread_mutex_unlock(&iso->lock);
    telex_status result = TELEX_INVALID, status = m->status;
    if (!step) {
        result = not_open(iso, "complete", m->lease);
    } else if (status >= 0 && step->spoiled != TELEX_OK) {
        char why[80];
        snprintf(why, sizeof(why), "the host refused an output of the step (%d)", step->spoiled);
        status = iso->host->fail(iso->host, m->lease, TELEX_FATAL, telex_text(why));
    }
    if (step)
        result = iso->host->complete(iso->host, m->lease, status);
    answer_status(iso, m, result);
    if (rec)
        iso->host->release(iso->host, rec);
    return m->a != 0 && !rec ? not_held : NULL;
}

/* An output that the runner let pass and the host did not: the step cannot end well. */
static void spoil(struct step *step, telex_status status) {
    if (step->spoiled == TELEX_OK)
        step->spoiled = status;
}

static const char *hear_loan(struct isolate *iso, const struct message *m) {
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status;
    if (find_step(iso, m->lease))
        status = iso->host->loan(iso->host, m->lease, m->port, m->a, &loan);
    else
        status = not_open(iso, "loan", m->lease);
    if (status == TELEX_OK)
        iso->host->abandon(iso->host, &loan);
    answer_status(iso, m, status);
    return NULL;
}

static telex_status commit_copy(struct isolate *iso, const struct message *m, struct telex_bytes body) {
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = iso->host->loan(iso->host, m->lease, m->port, body.size, &loan);
    if (status != TELEX_OK)
        return status;
    if (body.size)
        memcpy(loan.data, body.data, body.size);
    return iso->host->commit(iso->host, &loan, m->a);
}

static const char *hear_output(struct isolate *iso, const struct message *m, struct telex_bytes body) {
    struct step *step = find_step(iso, m->lease);
    if (m->call == 0 && m->a != body.size)
        return "an output with impossible sizes";
    telex_status status = step ? commit_copy(iso, m, body) : not_open(iso, "commit", m->lease);
    if (m->call != 0)
        answer_status(iso, m, status);
    else if (step && status != TELEX_OK)
        spoil(step, status);
    return NULL;
}

static const char *hear_forward(struct isolate *iso, const struct message *m) {
    pthread_mutex_lock(&iso->lock);
    struct step *step = (struct step *)(void *)lease_find(&iso->steps, m->lease);
    struct lent *lent = isolate_lent(iso, m->a);
    struct telex_rec *rec = lent ? lent->rec : NULL;
    pthread_mutex_unlock(&iso->lock);
    if (!rec)
        return "it passed on a record that it does not hold";
    telex_status status =
        step ? iso->host->forward(iso->host, m->lease, m->port, rec) : not_open(iso, "forward", m->lease);
    if (m->call != 0)
        answer_status(iso, m, status);
    else if (step && status != TELEX_OK)
        spoil(step, status);
    return NULL;
}

/* ---- telex.kv/1 ---- */

static void answer_value(struct isolate *iso, const struct message *m, struct telex_bytes key) {
    struct message answer = answer_to(m, TELEX_LIMIT);
    int64_t capacity = 16 << 10, size = 0;
    uint8_t *value = NULL;
    for (;;) {
        uint8_t *wider = realloc(value, (size_t)capacity);
        if (!wider)
            break;
        value = wider;
        size = iso->kv->get(iso->host, m->lease, key, value, (uint64_t)capacity);
        if (size <= capacity) {
            answer.status = size < 0 ? (telex_status)size : TELEX_OK;
            break;
        }
        capacity = size;
    }
    send_answer(iso, &answer, value, answer.status == TELEX_OK ? (uint64_t)size : 0);
    free(value);
}

struct chunk {
    struct isolate *iso;
    const struct message *question;
    uint8_t *data; /* owned, grows */
    uint64_t size, capacity;
    bool failed;
};

static void send_chunk(struct chunk *chunk, bool more) {
    struct message answer = answer_to(chunk->question, TELEX_OK);
    answer.port = more;
    pthread_mutex_lock(&chunk->iso->lock);
    if (isolate_send(chunk->iso, answer, chunk->data, chunk->size) < 0)
        chunk->failed = true;
    pthread_mutex_unlock(&chunk->iso->lock);
    chunk->size = 0;
}

static int32_t add_entry(void *arg, struct telex_bytes key, struct telex_bytes value) {
    struct chunk *chunk = arg;
    uint32_t sizes[2] = {(uint32_t)key.size, (uint32_t)value.size};
    uint64_t need = sizeof(sizes) + key.size + value.size;
    if (chunk->size > 0 && chunk->size + need > SCAN_CHUNK_BYTES)
        send_chunk(chunk, true);
    if (need > chunk->capacity) {
        uint64_t capacity = need > SCAN_CHUNK_BYTES ? need : SCAN_CHUNK_BYTES;
        uint8_t *wider = realloc(chunk->data, capacity);
        chunk->failed = chunk->failed || !wider;
        if (!wider)
            return 1;
        chunk->data = wider;
        chunk->capacity = capacity;
    }
    memcpy(chunk->data + chunk->size, sizes, sizeof(sizes));
    memcpy(chunk->data + chunk->size + sizeof(sizes), key.data, key.size);
    if (value.size)
        memcpy(chunk->data + chunk->size + sizeof(sizes) + key.size, value.data, value.size);
    chunk->size += need;
    return chunk->failed;
}

static void answer_scan(struct isolate *iso, const struct message *m, struct telex_bytes prefix) {
    struct chunk chunk = {.iso = iso, .question = m};
    telex_status status = iso->kv->scan(iso->host, m->lease, prefix, add_entry, &chunk);
    if (status == TELEX_OK && !chunk.failed)
        send_chunk(&chunk, false);
    if (status != TELEX_OK || chunk.failed)
        answer_status(iso, m, status != TELEX_OK ? status : TELEX_LIMIT);
    free(chunk.data);
}

static const char *hear_kv(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    uint64_t n_key = m->type == FROM_KV_PUT ? m->a : payload.size;
    if (n_key > payload.size || n_key > TELEX_KV_KEY_MAX_BYTES ||
        payload.size - n_key > TELEX_KV_VALUE_MAX_BYTES)
        return "a kv call with impossible sizes";
    if (!iso->kv)
        return "a call on a service that the host does not have";
    if (!may_name(iso, m->lease)) {
        answer_status(iso, m, not_open(iso, "kv", m->lease));
        return NULL;
    }
    char *copy = copy_text(payload.data, payload.size);
    if (!copy) {
        answer_status(iso, m, TELEX_LIMIT);
        return NULL;
    }
    struct telex_bytes key = {(const uint8_t *)copy, n_key};
    struct telex_bytes value = {(const uint8_t *)copy + n_key, payload.size - n_key};
    if (m->type == FROM_KV_GET)
        answer_value(iso, m, key);
    else if (m->type == FROM_KV_SCAN)
        answer_scan(iso, m, key);
    else if (m->type == FROM_KV_PUT)
        answer_status(iso, m, iso->kv->put(iso->host, m->lease, key, value));
    else
        answer_status(iso, m, iso->kv->del(iso->host, m->lease, key));
    free(copy);
    return NULL;
}

/* ---- metrics, timers, http, clock ---- */

static const char *hear_define(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    if (!iso->metrics || m->b > payload.size || payload.size > INLINE_MAX_BYTES)
        return "a metric with impossible sizes";
    char *name = copy_text(payload.data, m->b), *doc = copy_text(payload.data + m->b, payload.size - m->b);
    int32_t metric = TELEX_LIMIT;
    if (name && doc && iso->n_metrics < METRICS_MAX)
        metric = iso->metrics->define(iso->host, (int32_t)m->a, name, doc);
    if (metric >= 0)
        iso->known_metrics[iso->n_metrics++] = metric;
    answer_status(iso, m, metric);
    free(name);
    free(doc);
    return NULL;
}

static const char *hear_metric(struct isolate *iso, const struct message *m) {
    double value;
    memcpy(&value, &m->b, sizeof(value));
    for (size_t i = 0; i < iso->n_metrics; i++) {
        if (iso->known_metrics[i] != (int32_t)m->a)
            continue;
        if (m->type == FROM_METRIC_ADD)
            iso->metrics->add(iso->host, iso->known_metrics[i], value);
        else
            iso->metrics->set(iso->host, iso->known_metrics[i], value);
        break;
    }
    return NULL;
}

static const char *hear_timer(struct isolate *iso, const struct message *m) {
    if (!iso->timer)
        return "a call on a service that the host does not have";
    if (m->type == FROM_TIMER_SET)
        answer_status(iso, m, iso->timer->set(iso->host, m->a, (int64_t)m->b));
    else
        iso->timer->clear(iso->host, m->a);
    return NULL;
}

static const char *hear_http(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    if (!iso->http || payload.size > INLINE_MAX_BYTES)
        return "a call on a service that the host does not have";
    if (m->type == FROM_BASE) {
        const char *base = iso->http->base(iso->host);
        struct message answer = answer_to(m, TELEX_OK);
        send_answer(iso, &answer, base, strlen(base));
        return NULL;
    }
    char *root = copy_text(payload.data, payload.size);
    answer_status(iso, m, root ? iso->http->site(iso->host, root) : TELEX_LIMIT);
    free(root);
    return NULL;
}

static const char *hear_answer(struct isolate *iso, const struct message *m) {
    pthread_mutex_lock(&iso->lock);
    struct call *call = iso->calls;
    while (call && call->number != m->call)
        call = call->next;
    if (call) {
        call->done = true;
        call->status = m->status;
        iso->stopped = iso->stopped || call->is_last;
        pthread_cond_broadcast(&iso->changed);
    }
    pthread_mutex_unlock(&iso->lock);
    return NULL;
}

static const char *hear_now(struct isolate *iso, const struct message *m) {
    struct message answer = answer_to(m, TELEX_OK);
    answer.a = (uint64_t)iso->host->now_ms(iso->host,
                                           m->a == TELEX_CLOCK_WALL ? TELEX_CLOCK_WALL : TELEX_CLOCK_MONO);
    send_answer(iso, &answer, NULL, 0);
    return NULL;
}

/* After stop only lines for the log are heard; whoever still asks is told that it is too late. */
static const char *hear_late(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    if (m->type == FROM_LOG)
        return hear_text(iso, m, payload);
    if (m->type == FROM_ANSWER)
        return hear_answer(iso, m);
    if (m->type != FROM_RELEASE && m->type != FROM_METRIC_ADD && m->type != FROM_METRIC_SET)
        (void)rule_broken(iso, "life.after-stop", 0, "a call", "it comes from a thread that outlived stop");
    answer_status(iso, m, TELEX_INVALID);
    return NULL;
}

const char *isolate_hear(struct isolate *iso, const struct message *m, struct telex_bytes payload) {
    if (iso->stopped)
        return hear_late(iso, m, payload);
    switch (m->type) {
    case FROM_ANSWER:
        return hear_answer(iso, m);
    case FROM_LOG:
    case FROM_FAIL:
        return hear_text(iso, m, payload);
    case FROM_COMPLETE:
        return hear_complete(iso, m);
    case FROM_RELEASE:
        return hear_release(iso, m->a);
    case FROM_LOAN:
        return hear_loan(iso, m);
    case FROM_OUTPUT:
        return hear_output(iso, m, payload);
    case FROM_FORWARD:
        return hear_forward(iso, m);
    case FROM_GET:
        return hear_get(iso, m, payload);
    case FROM_OPEN:
        return hear_open(iso, m);
    case FROM_NOW:
        return hear_now(iso, m);
    case FROM_EXHAUSTED:
        iso->host->exhausted(iso->host);
        return NULL;
    case FROM_KV_GET:
    case FROM_KV_PUT:
    case FROM_KV_DEL:
    case FROM_KV_SCAN:
        return hear_kv(iso, m, payload);
    case FROM_METRIC_DEFINE:
        return hear_define(iso, m, payload);
    case FROM_METRIC_ADD:
    case FROM_METRIC_SET:
        return hear_metric(iso, m);
    case FROM_TIMER_SET:
    case FROM_TIMER_CLEAR:
        return hear_timer(iso, m);
    case FROM_SITE:
    case FROM_BASE:
        return hear_http(iso, m, payload);
    default:
        return "a message of an unknown type";
    }
}

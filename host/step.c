/* SPDX-License-Identifier: Apache-2.0 */
/* step.c - leases, and what becomes of a step.
 *
 * A lease is a slot number and the slot's life; a lease whose life is over is refused by number. A step is
 * OPEN until its one completion is accepted, then COMMITTING until the journal has it, then its slot is free
 * again.
 *
 * Outcomes: OK commits. REJECT, FATAL and a passed deadline count against the record: at `attempts` it goes
 * to quarantine. RETRY pauses and does not count, up to `retries`. AGAIN and CANCELLED put it back. A step
 * that had touched state and did not commit has left the instance ahead of its state, so the instance is
 * recreated. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <telex-sdk/message.h>

#include "log.h"

enum {
    SLOT_BITS = 24,
    AGAIN_DELAY_MS = 20,
    REJECT_DELAY_MS = 50,
    RETRY_MAX_MS = 60000,
};

static struct step *new_slot_locked(struct engine *engine) {
    struct step *step = engine->free_steps;
    if (step) {
        engine->free_steps = step->next_free;
        return step;
    }
    if (engine->n_slots % 64 == 0) {
        struct step **slots = realloc(engine->slots, (engine->n_slots + 64) * sizeof(*slots));
        if (!slots)
            return NULL;
        engine->slots = slots;
    }
    step = calloc(1, sizeof(*step));
    if (!step)
        return NULL;
    step->lease = engine->n_slots;
    engine->slots[engine->n_slots++] = step;
    return step;
}

struct step *step_open_locked(struct instance *instance, struct edge *edge, struct entry *entry) {
    struct engine *engine = instance->stage->engine;
    struct step *step = new_slot_locked(engine);
    if (!step)
        return NULL;
    uint64_t slot = step->lease & ((1u << SLOT_BITS) - 1);
    step->lease = ++engine->lives << SLOT_BITS | slot;
    step->state = STEP_OPEN;
    step->instance = instance;
    step->edge = edge;
    step->entry = entry;
    step->last_change = &step->changes;
    step->cancelled = step->overdue = step->told = false;
    step->deadline_ms = mono_ms() + instance->stage->config->timeout_ms;
    instance->n_open++;
    instance->refs++;
    return step;
}

struct step *step_find_locked(struct engine *engine, telex_lease lease, const struct instance *instance) {
    uint64_t slot = lease & ((1u << SLOT_BITS) - 1);
    if (slot >= engine->n_slots)
        return NULL;
    struct step *step = engine->slots[slot];
    return step->lease == lease && step->state == STEP_OPEN && step->instance == instance ? step : NULL;
}

static void drop_effects(struct step *step) {
    for (uint32_t i = 0; i < step->n_outputs; i++)
        record_release(step->outputs[i].rec);
    step->n_outputs = step->n_loans = 0;
    while (step->changes) {
        struct change *change = step->changes;
        step->changes = change->next;
        free(change);
    }
    step->last_change = &step->changes;
}

static void free_slot_locked(struct step *step) {
    struct engine *engine = step->instance->stage->engine;
    drop_effects(step);
    entry_destroy(step->entry);
    step->entry = NULL;
    step->edge = NULL;
    free(step->reason);
    step->reason = NULL;
    struct instance *instance = step->instance;
    step->instance = NULL;
    step->state = STEP_FREE;
    step->next_free = engine->free_steps;
    engine->free_steps = step;
    instance_unref_locked(instance);
}

/* The step is no longer open: others of its instance may start, its edge entry is no longer in a step. */
static void close_locked(struct step *step) {
    step->instance->n_open--;
    if (step->edge)
        step->edge->n_taken--;
    strand_wake_locked(step->instance->stage);
}

/* ---- success ---- */

static uint32_t targets_of(const struct stage *stage, const struct output *output,
                           struct journal_target *targets) {
    uint32_t n = 0;
    for (size_t i = 0; i < stage->n_outputs; i++) {
        struct edge *edge = stage->outputs[i];
        if (edge->config->from_port != output->port || !edge_accepts(edge, output->rec))
            continue;
        targets[n].edge = edge->id;
        targets[n++].state = edge_passes_where(edge, output->rec) ? DELIVERY_WAITING : DELIVERY_DROPPED;
    }
    return n;
}

/* Fill the step's journal operation. One block holds the puts, their targets and the changes. */
static bool fill_op(struct step *step) {
    struct stage *stage = step->instance->stage;
    uint32_t n_changes = 0;
    for (struct change *change = step->changes; change; change = change->next)
        n_changes++;
    size_t per_put = sizeof(struct journal_put) + stage->n_outputs * sizeof(struct journal_target);
    char *block = calloc(1, step->n_outputs * per_put + n_changes * sizeof(struct journal_change) + 1);
    if (!block)
        return false;
    struct journal_op *op = &step->op;
    memset(op, 0, sizeof(*op));
    op->kind = JOURNAL_STEP;
    op->arg = step;
    op->stage = stage->config->name;
    op->puts = (struct journal_put *)(void *)block;
    op->n_puts = step->n_outputs;
    op->changes = (struct journal_change *)(void *)(block + step->n_outputs * sizeof(struct journal_put));
    op->n_changes = n_changes;
    struct journal_target *targets = (struct journal_target *)(void *)(op->changes + n_changes);
    for (uint32_t i = 0; i < step->n_outputs; i++) {
        struct journal_put *put = &op->puts[i];
        put->rec = step->outputs[i].rec;
        put->origin = stage->out_origins[step->outputs[i].port];
        put->stored = step->outputs[i].forwarded;
        put->targets = targets;
        put->n_targets = targets_of(stage, &step->outputs[i], targets);
        targets += put->n_targets;
    }
    uint32_t n = 0;
    for (struct change *change = step->changes; change; change = change->next)
        op->changes[n++] = (struct journal_change){change->key, change->value, change->deleted};
    if (step->entry) {
        op->edge = step->edge->id;
        op->seq = step->entry->rec->seq;
        op->attempts = step->entry->attempts;
    }
    return true;
}

static struct edge *edge_by_id(struct engine *engine, uint32_t id) {
    for (size_t i = 0; i < engine->n_edges; i++)
        if (engine->edges[i].id == id)
            return &engine->edges[i];
    return NULL;
}

static void reserve_locked(struct engine *engine, struct step *step) {
    for (uint32_t i = 0; i < step->op.n_puts; i++) {
        struct journal_put *put = &step->op.puts[i];
        if (!put->stored)
            put->rec->seq = ++engine->last_seq;
        for (uint32_t k = 0; k < put->n_targets; k++)
            if (put->targets[k].state == DELIVERY_WAITING)
                edge_by_id(engine, put->targets[k].edge)->n_reserved++;
    }
}

static void push_outputs_locked(struct engine *engine, struct step *step) {
    for (uint32_t i = 0; i < step->op.n_puts; i++) {
        struct journal_put *put = &step->op.puts[i];
        if (engine->on_event && record_is(put->rec, "telex.event/1"))
            engine->on_event(engine->hooks_arg, put->rec);
        for (uint32_t k = 0; k < put->n_targets; k++) {
            struct edge *edge = edge_by_id(engine, put->targets[k].edge);
            edge->n_in++;
            if (put->targets[k].state == DELIVERY_DROPPED) {
                edge->n_dropped++;
                continue;
            }
            edge->n_reserved--;
            struct entry *entry = entry_create(put->rec);
            if (entry)
                edge_push_locked(engine, edge, entry);
            else /* the row is there: the next start delivers it */
                log_say(TELEX_ERROR, "host", "out of memory; %s is held in the journal", edge->config->name);
        }
    }
}

static void unpend_locked(struct step *step) {
    struct stage *stage = step->instance->stage;
    if (!step->changes)
        return;
    for (struct step **at = &stage->pending; *at; at = &(*at)->next_pending)
        if (*at == step) {
            *at = step->next_pending;
            if (!*at)
                stage->last_pending = at;
            break;
        }
}

static void committed_locked(struct engine *engine, struct step *step) {
    struct stage *stage = step->instance->stage;
    stage->n_steps++;
    stage->n_outputs_total += step->n_outputs;
    engine->n_committing--;
    unpend_locked(step);
    push_outputs_locked(engine, step);
    if (step->edge) {
        step->edge->n_delivered++;
        step->edge->n_taken--;
        if (step->edge->from && step->edge->n_waiting <= step->edge->config->capacity / 2)
            strand_wake_locked(step->edge->from);
    }
    free(step->op.puts);
    free_slot_locked(step);
}

static void commit_locked(struct engine *engine, struct step *step) {
    struct stage *stage = step->instance->stage;
    step->state = STEP_COMMITTING;
    step->instance->n_open--;
    engine->n_committing++;
    reserve_locked(engine, step);
    strand_wake_locked(stage);
    if (engine->memory) {
        if (step->op.n_puts || step->op.n_changes)
            journal_apply_memory(engine->journal, &step->op);
        struct change *changes = step->changes;
        step->changes = NULL; /* never pending: already applied */
        committed_locked(engine, step);
        while (changes) {
            struct change *next = changes->next;
            free(changes);
            changes = next;
        }
        return;
    }
    if (step->changes) {
        step->next_pending = NULL;
        *stage->last_pending = step;
        stage->last_pending = &step->next_pending;
    }
    journal_submit(engine->journal, &step->op);
}

/* ---- failure ---- */

/* A failed record's new attempts, or its quarantine, on its way to the journal; owns the entry in the second
 * case. */
struct mark {
    struct journal_op op;
    struct entry *entry;
    char reason[1024];
};

static struct mark *new_mark(struct step *step, enum journal_kind kind) {
    struct mark *mark = calloc(1, sizeof(*mark));
    if (!mark)
        return NULL;
    struct stage *stage = step->instance->stage;
    mark->op.kind = kind;
    mark->op.edge = step->edge->id;
    mark->op.seq = step->entry->rec->seq;
    mark->op.attempts = step->entry->attempts;
    mark->op.stage = stage->config->name;
    mark->op.plugin = stage->class->name;
    mark->op.reason = mark->reason;
    return mark;
}

static void submit_mark_locked(struct engine *engine, struct mark *mark) {
    if (engine->memory) {
        entry_destroy(mark->entry);
        free(mark);
        return;
    }
    engine->n_committing++;
    journal_submit(engine->journal, &mark->op);
}

static const char *reason_of(const struct step *step, telex_status status) {
    if (step->overdue)
        return step->reason ? step->reason : "passed its deadline";
    if (step->reason)
        return step->reason;
    switch (status) {
    case TELEX_REJECT:
        return "rejected without a reason";
    case TELEX_RETRY:
        return "a passing fault without a reason";
    case TELEX_FATAL:
        return "the instance failed without a reason";
    default:
        return "failed without a reason";
    }
}

static void quarantine_locked(struct engine *engine, struct step *step, const char *reason) {
    struct stage *stage = step->instance->stage;
    struct mark *mark = new_mark(step, JOURNAL_QUARANTINE);
    stage->n_quarantined++;
    step->edge->n_quarantined++;
    log_text(TELEX_WARN, stage->config->name, step->entry->rec->id, telex_text(reason));
    log_text(TELEX_WARN, stage->config->name, step->entry->rec->id,
             telex_text("moved to quarantine; see `telex quarantine list`"));
    if (!mark)
        return; /* the row still waits: the next start delivers it once more */
    snprintf(mark->reason, sizeof(mark->reason), "%s", reason);
    mark->entry = step->entry;
    step->entry = NULL;
    submit_mark_locked(engine, mark);
}

static int64_t retry_delay(const struct stage *stage, uint32_t retries) {
    int64_t delay = stage->config->retry_ms;
    for (uint32_t i = 1; i < retries && delay < RETRY_MAX_MS; i++)
        delay *= 2;
    return delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS;
}

static void put_back_locked(struct engine *engine, struct step *step, int64_t delay_ms) {
    struct entry *entry = step->entry;
    step->entry = NULL;
    edge_put_back_locked(engine, step->edge, entry, delay_ms);
}

/* REJECT, FATAL, a crash or a passed deadline. */
static void count_failure_locked(struct engine *engine, struct step *step, telex_status status) {
    struct stage *stage = step->instance->stage;
    const char *reason = reason_of(step, status);
    stage->n_rejects++;
    step->entry->attempts++;
    if (step->entry->attempts >= stage->config->attempts) {
        quarantine_locked(engine, step, reason);
        return;
    }
    struct mark *mark = new_mark(step, JOURNAL_ATTEMPT);
    if (mark)
        submit_mark_locked(engine, mark);
    log_text(TELEX_WARN, stage->config->name, step->entry->rec->id, telex_text(reason));
    log_say(TELEX_INFO, stage->config->name, "trying again, attempt %u of %u", step->entry->attempts + 1,
            stage->config->attempts);
    put_back_locked(engine, step, REJECT_DELAY_MS);
}

static void retry_locked(struct engine *engine, struct step *step) {
    struct stage *stage = step->instance->stage;
    const char *reason = reason_of(step, TELEX_RETRY);
    stage->n_retries++;
    step->entry->retries++;
    if (step->entry->retries > stage->config->retries) {
        quarantine_locked(engine, step, reason);
        return;
    }
    int64_t delay = retry_delay(stage, step->entry->retries);
    log_text(TELEX_WARN, stage->config->name, step->entry->rec->id, telex_text(reason));
    log_say(TELEX_INFO, stage->config->name, "retry %u of %u in %lld ms", step->entry->retries,
            stage->config->retries, (long long)delay);
    put_back_locked(engine, step, delay);
}

static void fail_locked(struct engine *engine, struct step *step, telex_status status) {
    struct stage *stage = step->instance->stage;
    bool touched = step->changes != NULL;
    drop_effects(step);
    if (step->entry) {
        if (status == TELEX_AGAIN)
            put_back_locked(engine, step, AGAIN_DELAY_MS);
        else if (status == TELEX_CANCELLED && !step->overdue)
            put_back_locked(engine, step, 0);
        else if (status == TELEX_RETRY && !step->overdue)
            retry_locked(engine, step);
        else
            count_failure_locked(engine, step, status);
    } else if (status != TELEX_AGAIN && status != TELEX_CANCELLED)
        log_say(TELEX_WARN, stage->config->name, "a step of its own was dropped: %s",
                reason_of(step, status));
    close_locked(step);
    if (status == TELEX_FATAL)
        stage_restart_locked(stage, reason_of(step, status));
    else if (touched && stage->instance == step->instance)
        stage_restart_locked(stage, "a step that had touched state did not commit");
    free_slot_locked(step);
}

telex_status step_complete(struct instance *instance, telex_lease lease, telex_status status) {
    struct engine *engine = instance->stage->engine;
    pthread_mutex_lock(&engine->lock);
    struct step *step = instance->dead ? NULL : step_find_locked(engine, lease, instance);
    if (!step) {
        pthread_mutex_unlock(&engine->lock);
        log_say(TELEX_ERROR, instance->stage->config->name,
                "rule lease-once: complete(%llu) names no open step of plugin %s; refused",
                (unsigned long long)lease, instance->stage->class->name);
        return TELEX_INVALID;
    }
    if (status == TELEX_OK && (step->n_loans > 0 || !fill_op(step))) {
        log_say(TELEX_ERROR, instance->stage->config->name,
                "rule loans-end: a step completed with %u open loans", step->n_loans);
        status = TELEX_INVALID;
    }
    if (status == TELEX_OK)
        commit_locked(engine, step);
    else
        fail_locked(engine, step, status);
    pthread_mutex_unlock(&engine->lock);
    return TELEX_OK;
}

void step_abandon_all_locked(struct instance *instance, telex_lease guilty, const char *reason) {
    struct engine *engine = instance->stage->engine;
    for (uint32_t i = 0; i < engine->n_slots; i++) {
        struct step *step = engine->slots[i];
        if (step->state != STEP_OPEN || step->instance != instance)
            continue;
        drop_effects(step);
        if (step->entry && (step->lease == guilty || step->overdue)) {
            if (!step->reason)
                step->reason = strdup(reason);
            count_failure_locked(engine, step, TELEX_FATAL);
        } else if (step->entry)
            put_back_locked(engine, step, 0);
        close_locked(step);
        free_slot_locked(step);
    }
}

/* ---- the journal's thread ---- */

void steps_committed(void *arg, struct journal_op *first) {
    struct engine *engine = arg;
    pthread_mutex_lock(&engine->lock);
    while (first) {
        struct journal_op *op = first;
        first = op->next;
        if (op->kind == JOURNAL_STEP) {
            committed_locked(engine, op->arg);
            continue;
        }
        engine->n_committing--;
        if (op->kind == JOURNAL_SUPERSEDE || op->kind == JOURNAL_BARRIER) {
            free(op);
            continue;
        }
        struct mark *mark = (struct mark *)op;
        if (op->kind == JOURNAL_RETRY) {
            struct edge *edge = edge_by_id(engine, op->edge);
            edge->n_quarantined -= edge->n_quarantined > 0;
            edge_push_locked(engine, edge, mark->entry);
            mark->entry = NULL;
        }
        entry_destroy(mark->entry);
        free(mark);
    }
    bool idle = engine->n_committing == 0;
    pthread_mutex_unlock(&engine->lock);
    if (idle)
        engine_nudge(engine);
}

void engine_journal_broken(void *arg, const char *why) {
    struct engine *engine = arg;
    log_say(TELEX_ERROR, "journal", "%s", why);
    pthread_mutex_lock(&engine->lock);
    engine->broken = true;
    engine->exit_code = 74;
    pthread_mutex_unlock(&engine->lock);
    engine_nudge(engine);
}

int engine_quarantine(struct engine *engine, bool retry, uint32_t edge_id, int64_t seq, char *why,
                      size_t why_size) {
    struct telex_rec *rec = journal_quarantined(engine->journal, edge_id, seq);
    if (!rec) {
        snprintf(why, why_size, "no such record in quarantine");
        return -ENOENT;
    }
    int err = -ENOMEM;
    pthread_mutex_lock(&engine->lock);
    struct edge *edge = edge_by_id(engine, edge_id);
    struct mark *mark = edge ? calloc(1, sizeof(*mark)) : NULL;
    if (mark && (mark->entry = entry_create(rec))) {
        mark->op.kind = retry ? JOURNAL_RETRY : JOURNAL_DROP;
        mark->op.edge = edge_id;
        mark->op.seq = seq;
        engine->n_committing++;
        journal_submit(engine->journal, &mark->op);
        err = 0;
    } else {
        snprintf(why, why_size, edge ? "out of memory" : "the running pipeline has no such edge");
        free(mark);
    }
    pthread_mutex_unlock(&engine->lock);
    record_release(rec);
    return err;
}

void steps_free(struct engine *engine) {
    for (uint32_t i = 0; i < engine->n_slots; i++) {
        struct step *step = engine->slots[i];
        drop_effects(step);
        entry_destroy(step->entry);
        free(step->reason);
        free(step->outputs);
        free(step);
    }
    free(engine->slots);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* step.c - leases, and what becomes of a step.
 *
 * A lease is a slot of its stage and the slot's life; one whose life is over is refused by number. A step is
 * OPEN until its one completion is accepted, under stage->lock. It is CLOSED from then on and nobody can name
 * it; with OK it joins the list of those done, is handed to the journal with them under engine->lock, and its
 * slot is free again once the journal has it.
 *
 * Outcomes: OK commits. REJECT, FATAL and a passed deadline count against the record: at `attempts` it goes
 * to quarantine. RETRY pauses and does not count, up to `retries`. AGAIN and CANCELLED put it back. A step
 * that had touched state and did not commit has left the instance ahead of its state, so the instance is
 * recreated. */
#include "engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <telex-sdk/message.h>

#include "calling.h"
#include "log.h"

enum { SLOT_BITS = 20, SLOTS_MORE = 64 };

/* The stage whose completions this thread gathers. */
static _Thread_local struct stage *gathering;

static struct step *new_slot_held(struct stage *stage) {
    struct step *step = stage->free_steps;
    if (step) {
        stage->free_steps = step->next;
        return step;
    }
    if (stage->n_slots >> SLOT_BITS)
        return NULL;
    if (stage->n_slots % SLOTS_MORE == 0) {
        struct step **slots = realloc(stage->slots, (stage->n_slots + SLOTS_MORE) * sizeof(*slots));
        if (!slots)
            return NULL;
        stage->slots = slots;
    }
    step = calloc(1, sizeof(*step));
    if (!step)
        return NULL;
    step->lease = stage->n_slots;
    stage->slots[stage->n_slots++] = step;
    return step;
}

struct step *step_open_held(struct instance *instance, struct edge *edge, struct entry *entry) {
    struct stage *stage = instance->stage;
    struct step *step = new_slot_held(stage);
    if (!step)
        return NULL;
    uint64_t slot = step->lease & ((1u << SLOT_BITS) - 1);
    uint64_t life = ++stage->lives * ENGINE_STAGES_MAX + stage->index;
    step->lease = life << SLOT_BITS | slot;
    step->state = STEP_OPEN;
    step->instance = instance;
    step->edge = edge;
    step->entry = entry;
    step->last_change = &step->changes;
    step->blame = BLAME_UNKNOWN;
    step->cancelled = step->overdue = step->told = false;
    step->deadline_ms = tick_ms() + stage->config->timeout_ms;
    atomic_fetch_add_explicit(&instance->n_open, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&instance->n_held, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&instance->refs, 1, memory_order_relaxed);
    return step;
}

struct step *step_find_held(const struct instance *instance, telex_lease lease) {
    const struct stage *stage = instance->stage;
    uint64_t slot = lease & ((1u << SLOT_BITS) - 1);
    if (slot >= stage->n_slots || instance->dead)
        return NULL;
    struct step *step = stage->slots[slot];
    return step->lease == lease && step->state == STEP_OPEN && step->instance == instance ? step : NULL;
}

bool step_drop_effects(struct step *step) {
    bool touched = step->changes != NULL;
    for (uint32_t i = 0; i < step->n_outputs; i++)
        record_release(step->outputs[i].rec);
    step->n_outputs = step->n_loans = 0;
    while (step->changes) {
        struct change *change = step->changes;
        step->changes = change->next;
        free(change);
    }
    step->last_change = &step->changes;
    return touched;
}

/* Forget a step's changes; who reads state finds them in the table. */
static void unpend_held(struct step *step) {
    struct stage *stage = step->instance->stage;
    for (struct step **at = &stage->pending; *at; at = &(*at)->next_pending)
        if (*at == step) {
            *at = step->next_pending;
            if (!*at)
                stage->last_pending = at;
            break;
        }
}

void step_free_locked(struct step *step) {
    struct instance *instance = step->instance;
    struct stage *stage = instance->stage;
    entry_destroy_locked(stage->engine, step->entry);
    free(step->reason);
    pthread_mutex_lock(&stage->lock);
    if (step->changes)
        unpend_held(step);
    (void)step_drop_effects(step);
    step->entry = NULL;
    step->edge = NULL;
    step->reason = NULL;
    step->instance = NULL;
    step->state = STEP_FREE;
    step->next = stage->free_steps;
    stage->free_steps = step;
    pthread_mutex_unlock(&stage->lock);
    instance_unref_locked(instance);
}

/* ---- success ---- */

static uint32_t targets_of(const struct stage *stage, const struct output *output,
                           struct journal_target *targets) {
    uint32_t n = 0;
    for (size_t i = 0; i < stage->n_outputs; i++) {
        struct edge *edge = stage->outputs[i];
        if (edge->config->from_port != output->port || !(edge->takes_any || edge_accepts(edge, output->rec)))
            continue;
        targets[n].edge = edge->id;
        targets[n].place = (uint32_t)i;
        targets[n++].state = edge_passes_where(edge, output->rec) ? DELIVERY_WAITING : DELIVERY_DROPPED;
    }
    return n;
}

/* Room for a step's puts, their targets and its changes in one block. */
static bool make_block(struct step *step, uint32_t n_changes) {
    const struct stage *stage = step->instance->stage;
    size_t per_put = sizeof(struct journal_put) + stage->n_outputs * sizeof(struct journal_target);
    size_t bytes = step->n_outputs * per_put + n_changes * sizeof(struct journal_change) + 1;
    if (bytes <= step->block_bytes)
        return true;
    void *block = realloc(step->block, bytes);
    if (!block)
        return false;
    step->block = block;
    step->block_bytes = bytes;
    return true;
}

/* Fill the step's journal operation. */
static bool fill_op_held(struct step *step) {
    struct stage *stage = step->instance->stage;
    uint32_t n_changes = 0;
    for (struct change *change = step->changes; change; change = change->next)
        n_changes++;
    if (!make_block(step, n_changes))
        return false;
    char *block = step->block;
    struct journal_op *op = &step->op;
    *op = (struct journal_op){.kind = JOURNAL_STEP, .arg = step, .stage = stage->config->name};
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

static void reserve_locked(struct engine *engine, struct step *step) {
    struct stage *stage = step->instance->stage;
    for (uint32_t i = 0; i < step->op.n_puts; i++) {
        struct journal_put *put = &step->op.puts[i];
        if (!put->stored)
            put->rec->seq = ++engine->last_seq;
        for (uint32_t k = 0; k < put->n_targets; k++)
            if (put->targets[k].state == DELIVERY_WAITING)
                stage->outputs[put->targets[k].place]->n_reserved++;
    }
}

/* Put an output on an edge. `last`: it goes nowhere else, so its reference goes along. */
static void push_locked(struct engine *engine, struct edge *edge, struct output *output, bool last) {
    edge->n_reserved--;
    struct entry *entry = entry_create_locked(engine, last ? output->rec : record_retain(output->rec));
    if (!entry) { /* the row is there: the next start delivers it */
        log_say(TELEX_ERROR, "host", "out of memory; %s is held in the journal", edge->config->name);
        if (!last)
            record_release(output->rec);
        return;
    }
    if (last)
        output->rec = NULL;
    edge_push_locked(engine, edge, entry);
}

static void push_outputs_locked(struct engine *engine, struct step *step) {
    struct stage *stage = step->instance->stage;
    for (uint32_t i = 0; i < step->op.n_puts; i++) {
        struct journal_put *put = &step->op.puts[i];
        if (engine->on_event && record_is(put->rec, "telex.event/1"))
            engine->on_event(engine->hooks_arg, put->rec);
        for (uint32_t k = 0; k < put->n_targets; k++) {
            struct edge *edge = stage->outputs[put->targets[k].place];
            edge->n_in++;
            if (put->targets[k].state == DELIVERY_DROPPED)
                edge->n_dropped++;
            else
                push_locked(engine, edge, &step->outputs[i], k + 1 == put->n_targets);
        }
    }
}

static void say_back_locked(struct stage *stage) {
    log_say(TELEX_INFO, stage->config->name, "works again, %lld ms after its instance ended",
            (long long)(mono_ms() - stage->ended_ms));
    stage->ended_ms = 0;
}

static void committed_locked(struct engine *engine, struct step *step) {
    struct stage *stage = step->instance->stage;
    stage->n_steps++;
    if (stage->ended_ms && step->instance == stage->instance)
        say_back_locked(stage);
    stage->n_outputs_total += step->n_outputs;
    engine->n_committing--;
    push_outputs_locked(engine, step);
    if (step->edge) {
        step->edge->n_delivered++;
        step->edge->n_taken--;
        if (step->edge->config->keyed)
            strand_wake_later_locked(stage);
    }
    step_free_locked(step);
}

void steps_hand_over_locked(struct stage *stage) {
    struct engine *engine = stage->engine;
    if (atomic_load_explicit(&stage->n_done, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&stage->lock);
    struct step *first = stage->done;
    stage->done = NULL;
    stage->last_done = &stage->done;
    atomic_store_explicit(&stage->n_done, 0, memory_order_relaxed);
    atomic_store_explicit(&stage->n_done_outputs, 0, memory_order_relaxed);
    pthread_mutex_unlock(&stage->lock);
    struct journal_op *ops = NULL, **last_op = &ops;
    for (struct step *step = first; step; step = step->next) {
        atomic_fetch_sub_explicit(&step->instance->n_held, 1, memory_order_relaxed);
        engine->n_committing++;
        reserve_locked(engine, step);
        *last_op = &step->op;
        last_op = &step->op.next;
    }
    *last_op = NULL;
    if (first)
        strand_wake_later_locked(stage);
    if (!engine->memory) {
        if (ops)
            journal_submit(engine->journal, ops);
        return;
    }
    journal_apply_memory(engine->journal, ops);
    for (struct step *next, *step = first; step; step = next) {
        next = step->next;
        committed_locked(engine, step);
    }
}

void steps_gather(struct stage *stage) {
    gathering = stage;
}

bool steps_are_gathered(const struct stage *stage) {
    return gathering == stage;
}

void steps_gathered_locked(struct stage *stage) {
    gathering = NULL;
    steps_hand_over_locked(stage);
    if (!stage->engine->holds_back)
        strand_wake_next_locked(stage);
}

/* ---- completion ---- */

/* Close an open step. With OK it joins those done; false when it cannot end well. */
static bool close_held(struct step *step, telex_status status) {
    struct instance *instance = step->instance;
    struct stage *stage = instance->stage;
    bool well = status == TELEX_OK && step->n_loans == 0 && fill_op_held(step);
    step->state = STEP_CLOSED;
    atomic_fetch_sub_explicit(&instance->n_open, 1, memory_order_relaxed);
    if (!well)
        return false;
    step->next = NULL;
    *stage->last_done = step;
    stage->last_done = &step->next;
    atomic_fetch_add_explicit(&stage->n_done, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stage->n_done_outputs, step->n_outputs, memory_order_relaxed);
    if (step->changes) {
        step->next_pending = NULL;
        *stage->last_pending = step;
        stage->last_pending = &step->next_pending;
    }
    return true;
}

static telex_status refuse_completion(struct instance *instance, telex_lease lease) {
    return rule_broken(instance, "lease.twice", lease,
                       "complete: lease %llu is not open, or not any more; refused",
                       (unsigned long long)lease);
}

/* Of a step that is closed: the line, which is its reason too where the plugin gave none. */
__attribute__((format(printf, 3, 4))) static void say_of(struct step *step, const char *rule,
                                                         const char *format, ...) {
    const struct stage *stage = step->instance->stage;
    char what[96], line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    snprintf(line, sizeof(line), "plugin %.64s broke rule %s: %s", stage->class->name, rule, what);
    struct telex_bytes none = {NULL, 0};
    log_text(TELEX_ERROR, stage->config->name, step->entry ? step->entry->rec->id : none, telex_text(line));
    if (!step->reason)
        step->reason = strdup(line);
}

telex_status step_complete(struct instance *instance, telex_lease lease, telex_status status) {
    struct stage *stage = instance->stage;
    struct engine *engine = stage->engine;
    pthread_mutex_lock(&stage->lock);
    struct step *step = step_find_held(instance, lease);
    bool well = step && close_held(step, status);
    pthread_mutex_unlock(&stage->lock);
    if (!step)
        return refuse_completion(instance, lease);
    if (well && gathering == stage)
        return TELEX_OK;
    if (!well && status == TELEX_OK) {
        say_of(step, "loan.kept", "complete: %u loans of the step are still out", step->n_loans);
        status = TELEX_INVALID;
    } else if (status > TELEX_OK || status < TELEX_LIMIT) {
        say_of(step, "status.unknown", "the step was answered with status %d, which is no outcome", status);
        status = TELEX_INVALID;
    }
    pthread_mutex_lock(&engine->lock);
    steps_hand_over_locked(stage);
    if (!well)
        step_fail_locked(step, status);
    engine_unlock(engine);
    return TELEX_OK;
}

/* ---- the journal's thread ---- */

void steps_committed(void *arg, struct journal_op *first) {
    struct engine *engine = arg;
    pthread_mutex_lock(&engine->lock);
    while (first) {
        struct journal_op *op = first;
        first = op->next;
        if (op->kind == JOURNAL_STEP)
            committed_locked(engine, op->arg);
        else
            mark_committed_locked(engine, op);
    }
    bool idle = engine->n_committing == 0;
    engine_unlock(engine);
    if (idle)
        engine_nudge(engine);
}

void engine_journal_broken(void *arg, const char *why) {
    struct engine *engine = arg;
    log_say(TELEX_ERROR, "journal", "%s", why);
    pthread_mutex_lock(&engine->lock);
    engine->broken = true;
    engine->exit_code = 74;
    engine_unlock(engine);
    engine_nudge(engine);
}

void steps_free(struct stage *stage) {
    for (uint32_t i = 0; i < stage->n_slots; i++) {
        struct step *step = stage->slots[i];
        (void)step_drop_effects(step);
        entry_destroy_locked(stage->engine, step->entry);
        free(step->reason);
        free(step->outputs);
        free(step->block);
        free(step);
    }
    free(stage->slots);
}

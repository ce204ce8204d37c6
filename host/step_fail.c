/* SPDX-License-Identifier: Apache-2.0 */
/* step_fail.c - steps that did not end well, and records on their way into the quarantine and out of it. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <telex-sdk/message.h>

#include "log.h"

enum {
    AGAIN_DELAY_MS = 20,
    REJECT_DELAY_MS = 50,
    RETRY_MAX_MS = 60000,
};

static struct edge *edge_by_id(struct engine *engine, uint32_t id) {
    for (size_t i = 0; i < engine->n_edges; i++)
        if (engine->edges[i]->id == id)
            return engine->edges[i];
    return NULL;
}

/* A failed record's new attempts, or its quarantine, on its way to the journal; owns the entry in the second
 * case. */
struct mark {
    struct journal_op op;
    struct entry *entry;
    char stage[64], reason[1024]; /* of op: the stage may leave the pipeline first */
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
    snprintf(mark->stage, sizeof(mark->stage), "%s", stage->config->name);
    mark->op.stage = mark->stage;
    mark->op.plugin = stage->class->name;
    mark->op.reason = mark->reason; /* calloc: op.next is NULL */
    return mark;
}

static void submit_mark_locked(struct engine *engine, struct mark *mark) {
    if (engine->memory) {
        entry_destroy_locked(engine, mark->entry);
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
    suspect_clear_locked(step->entry);
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
    put_back_locked(engine, step, step->entry->suspect_of ? 0 : REJECT_DELAY_MS);
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

/* The step no longer holds its edge's entry, and others of its instance may begin. */
static void leave_locked(struct step *step) {
    atomic_fetch_sub_explicit(&step->instance->n_held, 1, memory_order_relaxed);
    if (step->edge)
        step->edge->n_taken--;
    strand_wake_locked(step->instance->stage);
}

void step_fail_locked(struct step *step, telex_status status) {
    struct stage *stage = step->instance->stage;
    struct engine *engine = stage->engine;
    bool touched = step_drop_effects(step);
    if (step->entry) {
        if (step->blame == BLAME_SUSPECT || step->blame == BLAME_NONE)
            put_back_locked(engine, step, 0);
        else if (status == TELEX_AGAIN)
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
    leave_locked(step);
    if (status == TELEX_FATAL && stage->instance == step->instance)
        stage_restart_locked(stage, reason_of(step, status));
    else if (touched && stage->instance == step->instance)
        stage_restart_locked(stage, "a step that had touched state did not commit");
    step_free_locked(step);
}

static void abandon_locked(struct step *step, telex_lease guilty, const char *reason) {
    struct engine *engine = step->instance->stage->engine;
    (void)step_drop_effects(step);
    if (step->entry && (step->lease == guilty || step->overdue)) {
        if (!step->reason)
            step->reason = strdup(reason);
        count_failure_locked(engine, step, TELEX_FATAL);
    } else if (step->entry)
        put_back_locked(engine, step, 0);
    leave_locked(step);
    step_free_locked(step);
}

void step_abandon_all_locked(struct instance *instance, telex_lease guilty, const char *reason) {
    struct stage *stage = instance->stage;
    struct step *first = NULL, **last = &first;
    steps_hand_over_locked(stage);
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_slots; i++) {
        struct step *step = stage->slots[i];
        if (step->state != STEP_OPEN || step->instance != instance)
            continue;
        step->state = STEP_CLOSED;
        atomic_fetch_sub_explicit(&instance->n_open, 1, memory_order_relaxed);
        *last = step;
        last = &step->next;
        step->next = NULL;
    }
    pthread_mutex_unlock(&stage->lock);
    for (struct step *next, *step = first; step; step = next) {
        next = step->next;
        abandon_locked(step, guilty, reason);
    }
    batch_put_back_locked(instance);
}

void mark_committed_locked(struct engine *engine, struct journal_op *op) {
    engine->n_committing--;
    if (op->kind == JOURNAL_SUPERSEDE || op->kind == JOURNAL_BARRIER) {
        free(op);
        return;
    }
    struct mark *mark = (struct mark *)op;
    if (op->kind == JOURNAL_RETRY) {
        struct edge *edge = edge_by_id(engine, op->edge);
        edge->n_quarantined -= edge->n_quarantined > 0;
        edge_push_locked(engine, edge, mark->entry);
        mark->entry = NULL;
    }
    entry_destroy_locked(engine, mark->entry);
    free(mark);
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
    if (mark && (mark->entry = entry_create_locked(engine, rec))) {
        rec = NULL;
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
    engine_unlock(engine);
    record_release(rec);
    return err;
}

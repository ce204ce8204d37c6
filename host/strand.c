/* SPDX-License-Identifier: Apache-2.0 */
/* strand.c - the thread of a stage: everything its plugin is asked happens here, one call after another.
 *
 * The thread outlives instances: when one is to be recreated it is stopped and destroyed, the thread pauses
 * as the restart budget says, and makes the next. Only an instance that hangs in a call past its deadline
 * keeps its thread; it is marked dead and a new thread takes the stage over. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "instance.h"
#include "log.h"

enum {
    RESTARTS_ALLOWED = 5,
    RESTART_WINDOW_MS = 60000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 30000,
};

void strand_wake_locked(struct stage *stage) {
    pthread_cond_signal(&stage->wake);
}

bool stage_has_room_locked(const struct stage *stage) {
    for (size_t i = 0; i < stage->n_outputs; i++)
        if (!edge_has_room(stage->outputs[i]))
            return false;
    return true;
}

void stage_restart_locked(struct stage *stage, const char *why) {
    if (stage->restart || stage->stopping)
        return;
    stage->restart = true;
    log_say(TELEX_WARN, stage->config->name, "%s; recreating the instance from its state", why);
    strand_wake_locked(stage);
}

bool post_task(struct instance *instance, void (*fn)(void *arg), void *arg) {
    struct engine *engine = instance->stage->engine;
    struct task *task = malloc(sizeof(*task));
    if (!task)
        return false;
    *task = (struct task){.fn = fn, .arg = arg};
    pthread_mutex_lock(&engine->lock);
    bool taken = !instance->dead && instance->state != INSTANCE_GONE;
    if (taken) {
        *instance->last_task = task;
        instance->last_task = &task->next;
        strand_wake_locked(instance->stage);
    }
    pthread_mutex_unlock(&engine->lock);
    if (!taken)
        free(task);
    return taken;
}

/* Sleep until woken or due_ms (monotonic; 0: until woken). */
static void wait_locked(struct stage *stage, int64_t due_ms) {
    struct engine *engine = stage->engine;
    if (due_ms == 0) {
        pthread_cond_wait(&stage->wake, &engine->lock);
        return;
    }
    struct timespec at = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    pthread_cond_timedwait(&stage->wake, &engine->lock, &at);
}

/* ---- what there is to do, in this order: tasks, timers, drain, credit, input. Each returns true when it did
 * something; all are entered and left with the lock held. ---- */

static void enter_locked(struct instance *instance) {
    instance->in_call = true;
    pthread_mutex_unlock(&instance->stage->engine->lock);
}

static void leave_locked(struct instance *instance) {
    pthread_mutex_lock(&instance->stage->engine->lock);
    instance->in_call = false;
}

static bool run_task_locked(struct instance *instance) {
    struct task *task = instance->first_task;
    if (!task)
        return false;
    instance->first_task = task->next;
    if (!instance->first_task)
        instance->last_task = &instance->first_task;
    enter_locked(instance);
    task->fn(task->arg);
    leave_locked(instance);
    free(task);
    return true;
}

static bool run_timer_locked(struct instance *instance, int64_t now_ms, int64_t *due_ms) {
    for (int i = 0; i < INSTANCE_TIMERS; i++) {
        int64_t due = instance->timers[i].due_ms;
        if (due == 0)
            continue;
        if (due <= now_ms) {
            uint64_t id = instance->timers[i].id;
            instance->timers[i].due_ms = 0;
            enter_locked(instance);
            if (instance->calls->on_timer)
                instance->calls->on_timer(instance->self, id);
            leave_locked(instance);
            return true;
        }
        if (*due_ms == 0 || due < *due_ms)
            *due_ms = due;
    }
    return false;
}

static bool run_drain_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    if (!stage->drain_due)
        return false;
    stage->drain_due = false;
    int64_t deadline = mono_ms() + stage->engine->config->drain_ms;
    enter_locked(instance);
    if (instance->calls->drain)
        instance->calls->drain(instance->self, deadline);
    leave_locked(instance);
    stage->drained = true;
    engine_nudge(stage->engine);
    return true;
}

/* A step that the stage opens itself would be granted now. */
static bool may_open_locked(const struct instance *instance) {
    const struct stage *stage = instance->stage;
    uint32_t limit = stage->class->flags & TELEX_STAGE_STATEFUL ? 1 : stage->config->open_steps;
    return instance->n_open < limit && stage_has_room_locked(stage);
}

static bool run_credit_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    if (!instance->starved || !instance->calls->on_credit || stage->engine->phase != PHASE_RUN ||
        !may_open_locked(instance))
        return false;
    instance->starved = false;
    enter_locked(instance);
    instance->calls->on_credit(instance->self);
    leave_locked(instance);
    return true;
}

/* The next input, taking turns among the edges. */
static struct entry *take_input_locked(struct stage *stage, int64_t now_ms, int64_t *due_ms,
                                       struct edge **from) {
    for (size_t i = 0; i < stage->n_inputs; i++) {
        struct edge *edge = stage->inputs[(stage->next_input + i) % stage->n_inputs];
        struct entry *entry = edge_take_locked(edge, now_ms, due_ms);
        if (!entry)
            continue;
        stage->next_input = (stage->next_input + i + 1) % stage->n_inputs;
        *from = edge;
        return entry;
    }
    return NULL;
}

static bool run_input_locked(struct instance *instance, int64_t now_ms, int64_t *due_ms) {
    struct stage *stage = instance->stage;
    if (stage->engine->phase >= PHASE_DRAIN || !may_open_locked(instance))
        return false;
    struct edge *edge;
    struct entry *entry = take_input_locked(stage, now_ms, due_ms, &edge);
    if (!entry)
        return false;
    struct step *step = step_open_locked(instance, edge, entry);
    if (!step) {
        edge->n_taken--;
        edge_put_back_locked(stage->engine, edge, entry, 1000);
        return true;
    }
    telex_lease lease = step->lease;
    struct telex_rec *rec = record_retain(entry->rec);
    enter_locked(instance);
    telex_status status = instance->calls->process(instance->self, lease, rec);
    if (status != TELEX_PENDING)
        step_complete(instance, lease, status > 0 ? TELEX_INVALID : status);
    record_release(rec);
    leave_locked(instance);
    if (edge->n_waiting == edge->config->capacity / 2)
        strand_wake_locked(edge->from);
    return true;
}

static void run_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    while (!stage->stopping && !stage->restart && !instance->dead) {
        int64_t now_ms = mono_ms(), due_ms = 0;
        if (run_task_locked(instance) || run_timer_locked(instance, now_ms, &due_ms) ||
            run_drain_locked(instance) || run_credit_locked(instance) ||
            run_input_locked(instance, now_ms, &due_ms))
            continue;
        wait_locked(stage, due_ms);
    }
}

/* ---- lives ---- */

/* Account for one more restart: the pause before it, or -1 when the budget is spent. A stage that committed a
 * step since its last restart gets on with its work, so what came before is forgiven: records that crash it
 * are taken out one after another, and only a stage that does nothing but end is given up. */
static int64_t restart_pause_locked(struct stage *stage) {
    int64_t now = mono_ms();
    if (stage->n_steps > stage->steps_at_restart)
        memset(stage->restarts, 0, sizeof(stage->restarts));
    stage->steps_at_restart = stage->n_steps;
    uint32_t recent = 0;
    for (uint32_t i = 0; i < RESTARTS_ALLOWED; i++)
        if (stage->restarts[i] && now - stage->restarts[i] < RESTART_WINDOW_MS)
            recent++;
    if (recent >= RESTARTS_ALLOWED)
        return -1;
    stage->restarts[stage->n_restarts++ % RESTARTS_ALLOWED] = now;
    int64_t pause = (int64_t)BACKOFF_FIRST_MS << (recent < 9 ? recent : 9);
    return pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS;
}

static void give_up_locked(struct stage *stage) {
    struct engine *engine = stage->engine;
    stage->state = STAGE_FAILED;
    log_say(TELEX_ERROR, stage->config->name,
            "restarted %d times within %d s; it stays down and its input waits in the journal. Mend the "
            "cause, then "
            "start the pipeline again",
            RESTARTS_ALLOWED, RESTART_WINDOW_MS / 1000);
    if (engine->exit_code == 0)
        engine->exit_code = 1;
    engine_nudge(engine);
    while (!stage->stopping)
        wait_locked(stage, 0);
}

/* Wait out the pause before the next life. False when the stage is to end instead. */
static bool pause_locked(struct stage *stage) {
    stage->restart = false;
    stage->n_crashes++;
    int64_t pause = restart_pause_locked(stage);
    if (pause < 0) {
        give_up_locked(stage);
        return false;
    }
    stage->state = STAGE_BACKOFF;
    int64_t until = mono_ms() + pause;
    while (!stage->stopping && mono_ms() < until)
        wait_locked(stage, until);
    return !stage->stopping;
}

/* One life. True when the thread still owns the stage. */
static bool live_locked(struct stage *stage) {
    struct engine *engine = stage->engine;
    struct instance *instance = instance_create_locked(stage);
    if (!instance) {
        stage->restart = true;
        return true;
    }
    instance->in_call = true;
    pthread_mutex_unlock(&engine->lock);
    telex_status status = instance_begin(instance);
    pthread_mutex_lock(&engine->lock);
    instance->in_call = false;
    if (status == TELEX_OK) {
        stage->state = STAGE_RUNNING;
        instance->state = INSTANCE_RUNNING;
        run_locked(instance);
    } else
        stage->restart = true;
    if (instance->dead) {
        instance_unref_locked(instance);
        return false;
    }
    instance->state = INSTANCE_STOPPING;
    while (instance->watched)
        wait_locked(stage, 0);
    pthread_mutex_unlock(&engine->lock);
    instance_end(instance);
    pthread_mutex_lock(&engine->lock);
    instance->state = INSTANCE_GONE;
    io_drop_all_locked(instance);
    step_abandon_all_locked(instance, 0, "its instance ended");
    if (stage->instance == instance)
        stage->instance = NULL;
    instance_unref_locked(instance);
    return true;
}

static void *stage_thread(void *arg) {
    struct stage *stage = arg;
    struct engine *engine = stage->engine;
    char name[16];
    snprintf(name, sizeof(name), "%.15s", stage->config->name);
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&engine->lock);
    bool mine = true;
    while (mine && !stage->stopping) {
        mine = live_locked(stage);
        if (mine && stage->restart && !stage->stopping && !pause_locked(stage))
            break;
    }
    if (mine) {
        stage->state = stage->state == STAGE_FAILED ? STAGE_FAILED : STAGE_STOPPED;
        stage->ended = true;
        engine_nudge(engine);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

int strand_start(struct stage *stage) {
    int err = pthread_create(&stage->thread, NULL, stage_thread, stage);
    return -err;
}

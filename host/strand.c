/* SPDX-License-Identifier: Apache-2.0 */
/* strand.c - the thread of a stage: everything its plugin is asked happens here, one call after another.
 *
 * Input is taken in batches, as much of it as waits and has room behind it, and handed over together when it
 * is done. What comes before input (a task, a timer, the end) beckons the thread away from its batch; what
 * was not begun goes back to its edge.
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

#include "calling.h"
#include "instance.h"
#include "isolate.h"
#include "last_words.h"
#include "log.h"

enum {
    RESTARTS_ALLOWED = 5,
    RESTART_WINDOW_MS = 60000,
    BACKOFF_GETS_ON_MS = 20, /* after an end of a stage that has done a step since the one before */
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 200, /* with its start the stage is back within half a second */
};

void strand_wake_locked(struct stage *stage) {
    if (!stage->sleeping)
        return;
    stage->sleeping = false;
    pthread_cond_signal(&stage->wake);
}

void strand_call_locked(struct stage *stage) {
    atomic_store_explicit(&stage->beckoned, true, memory_order_release);
    strand_wake_locked(stage);
}

void strand_wake_later_locked(struct stage *stage) {
    struct engine *engine = stage->engine;
    if (!stage->sleeping)
        return;
    stage->sleeping = false;
    if (engine->n_wakes == sizeof(engine->wakes) / sizeof(engine->wakes[0]))
        pthread_cond_signal(&stage->wake);
    else
        engine->wakes[engine->n_wakes++] = stage;
}

enum { LOCK_TRIES = 100, PAUSES_BETWEEN = 16 };

void engine_lock(struct engine *engine) {
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (pthread_mutex_trylock(&engine->lock) == 0)
            return;
        for (int k = 0; k < PAUSES_BETWEEN; k++) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#else
            atomic_signal_fence(memory_order_seq_cst);
#endif
        }
    }
    pthread_mutex_lock(&engine->lock);
}

void engine_unlock(struct engine *engine) {
    struct stage *wakes[sizeof(engine->wakes) / sizeof(engine->wakes[0])];
    uint32_t n = engine->n_wakes;
    if (n)
        memcpy(wakes, engine->wakes, n * sizeof(struct stage *));
    engine->n_wakes = 0;
    pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < n; i++)
        pthread_cond_signal(&wakes[i]->wake);
}

void strand_wake_next_locked(struct stage *stage) {
    for (size_t i = 0; i < stage->n_outputs; i++) {
        struct stage *next = stage->outputs[i]->to;
        if (next->wake_due)
            strand_wake_later_locked(next);
        next->wake_due = false;
    }
}

/* How many more outputs the edges behind a stage take at once; what it gathers counts on each of them. */
static uint32_t room_locked(const struct stage *stage) {
    uint32_t room = UINT32_MAX, gathered = atomic_load_explicit(&stage->n_done_outputs, memory_order_relaxed);
    for (size_t i = 0; i < stage->n_outputs; i++) {
        const struct edge *edge = stage->outputs[i];
        uint32_t used = edge->n_waiting + edge->n_reserved + gathered, capacity = edge->config->capacity;
        uint32_t left = used < capacity ? capacity - used : 0;
        room = left < room ? left : room;
    }
    return room;
}

bool stage_has_room_locked(struct stage *stage) {
    bool room = room_locked(stage) > 0;
    stage->blocked = stage->blocked || !room;
    return room;
}

void stage_restart_locked(struct stage *stage, const char *why) {
    if (stage->restart || stage->stopping)
        return;
    stage->restart = true;
    stage->ended_ms = mono_ms();
    if (stage->join == JOIN_NO)
        log_say(TELEX_WARN, stage->config->name, "%s; recreating the instance from its state", why);
    else if (!stage->failure)
        stage->failure = strdup(why);
    strand_call_locked(stage);
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
        strand_call_locked(instance->stage);
    }
    pthread_mutex_unlock(&engine->lock);
    if (!taken)
        free(task);
    return taken;
}

/* Sleep until woken or due_ms (monotonic; 0: until woken). */
static void wait_locked(struct stage *stage, int64_t due_ms) {
    struct engine *engine = stage->engine;
    for (; engine->n_wakes > 0; engine->n_wakes--)
        pthread_cond_signal(&engine->wakes[engine->n_wakes - 1]->wake);
    struct timespec at = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    int late = 0;
    stage->sleeping = true;
    while (stage->sleeping && late == 0)
        late = due_ms == 0 ? pthread_cond_wait(&stage->wake, &engine->lock)
                           : pthread_cond_timedwait(&stage->wake, &engine->lock, &at);
    stage->sleeping = false;
}

/* ---- what there is to do, in this order: tasks, timers, drain, credit, input. Each returns true when it did
 * something; all are entered and left with the lock held. ---- */

static void enter_locked(struct instance *instance, const char *call) {
    instance->in_call = true;
    atomic_fetch_add_explicit(&instance->turns, 1, memory_order_relaxed);
    engine_unlock(instance->stage->engine);
    steps_gather(instance->stage);
    calling_enter(instance, call);
}

static void leave_locked(struct instance *instance) {
    calling_leave();
    engine_lock(instance->stage->engine);
    steps_gathered_locked(instance->stage);
    instance->in_call = false;
}

/* The same after a batch that another may follow. */
static void leave_batch_locked(struct instance *instance) {
    struct engine *engine = instance->stage->engine;
    calling_leave();
    engine_lock(engine);
    engine->holds_back = true;
    steps_gathered_locked(instance->stage);
    engine->holds_back = false;
    instance->in_call = false;
}

static bool run_task_locked(struct instance *instance) {
    struct task *task = instance->first_task;
    if (!task)
        return false;
    instance->first_task = task->next;
    if (!instance->first_task)
        instance->last_task = &instance->first_task;
    enter_locked(instance, "posted work");
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
            enter_locked(instance, "on_timer");
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
    enter_locked(instance, "drain");
    if (instance->calls->drain)
        instance->calls->drain(instance->self, deadline);
    leave_locked(instance);
    stage->drained = true;
    engine_nudge(stage->engine);
    return true;
}

static uint32_t open_limit(const struct stage *stage) {
    return stage->class->flags & TELEX_STAGE_STATEFUL ? 1 : suspect_limit(stage, stage->config->open_steps);
}

/* A step that the stage opens itself would be granted now. */
static bool may_open_locked(const struct instance *instance) {
    struct stage *stage = instance->stage;
    return atomic_load_explicit(&instance->n_open, memory_order_relaxed) < open_limit(stage) &&
           stage_has_room_locked(stage);
}

static bool run_credit_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    if (!instance->starved || stage->pausing || !instance->calls->on_credit ||
        stage->engine->phase != PHASE_RUN || !may_open_locked(instance))
        return false;
    instance->starved = false;
    enter_locked(instance, "on_credit");
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

/* How many entries the stage may take at once. A stage that holds one record at a time takes one, so that
 * newer versions can replace what waits; one that keeps state opens its steps one after another. */
static uint32_t batch_limit_locked(const struct instance *instance) {
    const struct stage *stage = instance->stage;
    uint32_t n = stage->batch_size, room = room_locked(stage);
    uint32_t n_open = atomic_load_explicit(&instance->n_open, memory_order_relaxed);
    uint32_t limit = open_limit(stage);
    if (stage->config->open_steps == 1 || instance->calls == &isolate_stage) /* answers later, each of them */
        n = n < limit - n_open ? n : limit - n_open;
    return room < n ? room : n;
}

static bool take_batch_locked(struct instance *instance, int64_t now_ms, int64_t *due_ms) {
    struct stage *stage = instance->stage;
    uint32_t limit = batch_limit_locked(instance), n = 0;
    for (bool keyed = false; n < limit && !keyed; n++) {
        struct edge *edge;
        struct entry *entry = take_input_locked(stage, now_ms, due_ms, &edge);
        if (!entry)
            break;
        keyed = edge->config->keyed;
        instance->batch[n].edge = edge;
        instance->batch[n].entry = entry;
    }
    instance->batch_at = 0;
    instance->n_batch = n;
    return n > 0;
}

void batch_put_back_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    pthread_mutex_lock(&stage->lock);
    uint32_t at = instance->batch_at, n = instance->n_batch;
    instance->batch_at = instance->n_batch = 0;
    pthread_mutex_unlock(&stage->lock);
    while (n-- > at) { /* nobody else touches what lies in the batch: its owner was told that it is empty */
        struct edge *edge = instance->batch[n].edge;
        edge->n_taken--;
        edge_put_back_locked(stage->engine, edge, instance->batch[n].entry, 0);
    }
}

/* Open the batch's next step. 0: there is none, or other things come first. Gives a reference to its record.
 */
static telex_lease begin_next(struct instance *instance, struct telex_rec **rec) {
    struct stage *stage = instance->stage;
    telex_lease lease = 0;
    pthread_mutex_lock(&stage->lock);
    if (!instance->dead && instance->batch_at < instance->n_batch &&
        !atomic_load_explicit(&stage->beckoned, memory_order_acquire) &&
        atomic_load_explicit(&instance->n_open, memory_order_relaxed) < open_limit(stage)) {
        struct entry *entry = instance->batch[instance->batch_at].entry;
        struct step *step = step_open_held(instance, instance->batch[instance->batch_at].edge, entry);
        if (step) {
            instance->batch_at++;
            *rec = record_retain(entry->rec);
            lease = step->lease;
        }
    }
    pthread_mutex_unlock(&stage->lock);
    return lease;
}

/* Hand over what was done so far. */
static void hand_over(struct stage *stage) {
    engine_lock(stage->engine);
    steps_hand_over_locked(stage);
    strand_wake_next_locked(stage);
    engine_unlock(stage->engine);
}

static void process_batch(struct instance *instance) {
    struct stage *stage = instance->stage;
    struct telex_rec *rec, *last = NULL; /* the last is looked at once more */
    telex_lease lease;
    int64_t tick = tick_ms();
    while ((lease = begin_next(instance, &rec))) {
        atomic_fetch_add_explicit(&instance->turns, 1, memory_order_relaxed);
        calling_record(rec);
        telex_status status = instance->calls->process(instance->self, lease, rec);
        if (status != TELEX_PENDING)
            step_complete(instance, lease, status);
        int64_t now = tick_ms();
        calling_recorded(now != tick);
        if (now != tick)
            hand_over(stage);
        tick = now;
        record_release(last);
        last = rec;
    }
    calling_look();
    calling_done();
    record_release(last);
}

enum { BATCH_SHORT_MS = 4, BATCH_LONG_MS = 12 };

/* A batch should take a few milliseconds at most, and be begun to its end. */
static void adapt_batch_locked(const struct instance *instance, int64_t took_ms) {
    struct stage *stage = instance->stage;
    bool left = instance->batch_at < instance->n_batch; /* batch_at changes on this thread only */
    if ((left || took_ms > BATCH_LONG_MS) && stage->batch_size > 1)
        stage->batch_size /= 2;
    else if (took_ms <= BATCH_SHORT_MS && stage->batch_size < BATCH_MAX)
        stage->batch_size *= 2;
}

static bool run_input_locked(struct instance *instance, int64_t now_ms, int64_t *due_ms) {
    struct stage *stage = instance->stage;
    if (stage->engine->phase >= PHASE_DRAIN || stage->pausing || !may_open_locked(instance) ||
        !take_batch_locked(instance, now_ms, due_ms))
        return false;
    int64_t began_ms = tick_ms();
    bool isolated = instance->calls == &isolate_stage;
    enter_locked(instance, "process");
    if (isolated)
        isolate_hold(instance->self, true);
    process_batch(instance);
    if (isolated)
        isolate_hold(instance->self, false);
    leave_batch_locked(instance);
    if (!instance->dead) {
        adapt_batch_locked(instance, tick_ms() - began_ms);
        batch_put_back_locked(instance);
    }
    return true;
}

/* Sleep while the stage is paused. Only a stage with no step open sleeps: what completes those that are open
 * may itself be a task or a timer. */
static bool freeze_locked(struct stage *stage, const struct instance *instance) {
    bool freezes =
        stage->pausing && (!instance || atomic_load_explicit(&instance->n_open, memory_order_relaxed) == 0);
    if (freezes) {
        steps_hand_over_locked(stage);
        stage->frozen = true;
        pthread_cond_broadcast(&stage->engine->moved);
        wait_locked(stage, 0);
    }
    return freezes;
}

static void run_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    while (!stage->stopping && !stage->restart && !instance->dead) {
        if (freeze_locked(stage, instance))
            continue;
        int64_t now_ms = mono_ms(), due_ms = 0;
        atomic_store_explicit(&stage->beckoned, false, memory_order_relaxed);
        if (run_task_locked(instance) || run_timer_locked(instance, now_ms, &due_ms) ||
            run_drain_locked(instance) || run_credit_locked(instance) ||
            run_input_locked(instance, now_ms, &due_ms))
            continue;
        strand_wake_next_locked(stage);
        wait_locked(stage, due_ms);
    }
    strand_wake_next_locked(stage);
}

/* ---- lives ---- */

/* Account for one more restart: the pause before it, or -1 when the budget is spent. A stage that committed a
 * step since its last restart gets on with its work, so what came before is forgiven: records that crash it
 * are taken out one after another, and only a stage that does nothing but end is given up. */
static int64_t restart_pause_locked(struct stage *stage) {
    int64_t now = mono_ms();
    bool narrows = stage->narrows;
    stage->narrows = false;
    bool gets_on = stage->n_steps > stage->steps_at_restart;
    if (narrows)
        return BACKOFF_GETS_ON_MS;
    if (gets_on)
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
    return gets_on ? BACKOFF_GETS_ON_MS : pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS;
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

static void set_join_locked(struct stage *stage, enum stage_join join) {
    stage->join = join;
    pthread_cond_broadcast(&stage->engine->moved);
}

/* create() and start(); one that is to join waits between the two for the word to start. */
static telex_status begin_locked(struct instance *instance) {
    struct stage *stage = instance->stage;
    enter_locked(instance, "create");
    telex_status status = instance_build(instance);
    leave_locked(instance);
    if (status == TELEX_OK && stage->join == JOIN_CREATING)
        set_join_locked(stage, JOIN_CREATED);
    while (stage->join == JOIN_CREATED && !stage->stopping && !stage->restart)
        wait_locked(stage, 0);
    if (status != TELEX_OK || stage->join == JOIN_CREATED)
        return status == TELEX_OK ? TELEX_CANCELLED : status;
    enter_locked(instance, "start");
    status = instance_begin(instance);
    leave_locked(instance);
    if (status == TELEX_OK && stage->join == JOIN_STARTING)
        set_join_locked(stage, JOIN_STARTED);
    return status;
}

/* One life. True when the thread still owns the stage. */
static bool live_locked(struct stage *stage) {
    struct engine *engine = stage->engine;
    struct instance *instance = instance_create_locked(stage);
    if (!instance) {
        stage->restart = true;
        return true;
    }
    if (begin_locked(instance) == TELEX_OK) {
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
    engine_unlock(engine);
    instance_end(instance);
    atomic_store_explicit(&instance->over, true, memory_order_release);
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
    last_words_thread_begin();
    pthread_mutex_lock(&engine->lock);
    bool mine = true;
    while (mine && !stage->stopping) {
        if (stage->join == JOIN_NO && freeze_locked(stage, NULL))
            continue;
        mine = live_locked(stage);
        if (mine && stage->join != JOIN_NO) { /* it has one life to join in */
            set_join_locked(stage, JOIN_FAILED);
            break;
        }
        if (mine && stage->restart && !stage->stopping && !pause_locked(stage))
            break;
    }
    if (mine) {
        stage->state = stage->state == STAGE_FAILED ? STAGE_FAILED : STAGE_STOPPED;
        stage->ended = true;
        engine_nudge(engine);
    }
    engine_unlock(engine);
    last_words_thread_end();
    return NULL;
}

int strand_start(struct stage *stage) {
    stage->started = true; /* before there is a thread that reads what lies beside it */
    int err = pthread_create(&stage->thread, NULL, stage_thread, stage);
    if (err != 0)
        stage->started = false;
    return -err;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - builds a pipeline from its config, starts it, and brings it to its end.
 *
 * The end comes in phases. FLUSH (only with once): the sources are exhausted and nothing waits, so each stage
 * in turn is asked to close its books, which may give more to do. DRAIN: no new input; what is open may
 * finish until stop_by. STOP: every instance ends. kill -9 at any moment is only a shorter way: the next
 * start is always a recovery. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "instance.h"
#include "log.h"
#include "surroundings.h"

enum { TICK_MS = 20, EXPIRE_EVERY_MS = 60000, STOP_GRACE_MS = 8000 };

void engine_nudge(struct engine *engine) {
    uv_async_send(&engine->nudge);
}

/* ---- looking for the end ---- */

/* Nothing waits, is open or on its way to the journal. What waits for a stage that is down does not count. */
static bool idle_locked(const struct engine *engine) {
    if (engine->n_committing > 0 || engine->swapping)
        return false;
    for (size_t i = 0; i < engine->n_edges; i++) {
        const struct edge *edge = engine->edges[i];
        bool down = edge->to->state == STAGE_FAILED;
        if ((edge->n_waiting > 0 && !down) || edge->n_taken > 0)
            return false;
    }
    for (size_t i = 0; i < engine->n_stages; i++) {
        const struct instance *instance = engine->stages[i]->instance;
        if (instance && (instance->n_held > 0 || instance->first_task))
            return false;
    }
    return true;
}

static bool sources_exhausted_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++) {
        const struct stage *stage = engine->stages[i];
        if (stage->source && !stage->exhausted && stage->state != STAGE_FAILED)
            return false;
    }
    return true;
}

static void begin_drain_locked(struct engine *engine) {
    engine->phase = PHASE_DRAIN;
    pthread_cond_broadcast(&engine->moved);
    engine->stop_by_ms = mono_ms() + engine->config->drain_ms;
    for (size_t i = 0; i < engine->n_stages; i++) {
        if (!engine->stages[i]->drained)
            engine->stages[i]->drain_due = true;
        strand_call_locked(engine->stages[i]);
    }
}

/* Ask the next stage to close its books; true when all have. */
static bool flush_next_locked(struct engine *engine) {
    while (engine->flush_next < engine->n_stages) {
        struct stage *stage = engine->stages[engine->flush_next];
        if (stage->state == STAGE_FAILED || stage->drained) {
            engine->flush_next++;
            continue;
        }
        if (!stage->drain_due) {
            stage->drain_due = true;
            strand_call_locked(stage);
        }
        return false;
    }
    return true;
}

static bool any_open_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i]->instance && engine->stages[i]->instance->n_held > 0)
            return true;
    return false;
}

static bool critical_failed_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i]->state == STAGE_FAILED && engine->stages[i]->config->critical)
            return true;
    return false;
}

/* Cancel what is open, so that long calls end early. */
static void begin_stop_locked(struct engine *engine) {
    engine->phase = PHASE_STOP;
    pthread_cond_broadcast(&engine->moved);
    engine->stop_by_ms = mono_ms() + STOP_GRACE_MS;
    for (size_t i = 0; i < engine->n_stages; i++) {
        struct stage *stage = engine->stages[i];
        pthread_mutex_lock(&stage->lock);
        for (uint32_t k = 0; k < stage->n_slots; k++)
            stage->slots[k]->cancelled = true;
        pthread_mutex_unlock(&stage->lock);
        stage->stopping = true;
        strand_call_locked(stage);
    }
    for (struct stage *stage = engine->others; stage; stage = stage->next) {
        stage->stopping = true;
        strand_call_locked(stage);
    }
    pthread_cond_broadcast(&engine->watch);
}

static bool all_ended_locked(const struct engine *engine) {
    if (engine->swapping) /* it may have a stage to add, and ends those that it added */
        return false;
    for (size_t i = 0; i < engine->n_stages; i++)
        if (!engine->stages[i]->ended)
            return false;
    for (const struct stage *stage = engine->others; stage; stage = stage->next)
        if (!stage->ended)
            return false;
    return true;
}

/* What a plugin completed in a call that goes on, and room that nobody was told of. */
static void look_after_locked(struct stage *stage) {
    steps_hand_over_locked(stage);
    strand_wake_next_locked(stage);
    if (stage->blocked && stage_has_room_locked(stage)) {
        stage->blocked = false;
        strand_wake_locked(stage);
    }
}

static void look(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->n_stages; i++)
        look_after_locked(engine->stages[i]);
    bool idle = idle_locked(engine);
    if ((engine->broken || critical_failed_locked(engine)) && engine->phase < PHASE_STOP)
        begin_stop_locked(engine);
    if (engine->phase == PHASE_RUN && engine->once && idle && sources_exhausted_locked(engine))
        engine->phase = PHASE_FLUSH;
    if (engine->phase == PHASE_FLUSH && idle && flush_next_locked(engine))
        begin_drain_locked(engine);
    if (engine->phase == PHASE_DRAIN && (!any_open_locked(engine) || mono_ms() > engine->stop_by_ms))
        begin_stop_locked(engine);
    bool done = engine->phase == PHASE_STOP && (all_ended_locked(engine) || mono_ms() > engine->stop_by_ms);
    engine_unlock(engine);
    if (done)
        uv_stop(engine->loop);
}

/* Take apart the stages that have left the pipeline and ended. */
static void reap_locked(struct engine *engine) {
    for (struct stage **at = &engine->others; *at;) {
        struct stage *stage = *at;
        if (!stage->ended || stage->n_instances > 0 || stage->held) {
            at = &stage->next;
            continue;
        }
        *at = stage->next;
        pthread_join(stage->thread, NULL); /* it says that it has ended last of all */
        stage_recycle_locked(stage);
    }
}

static void on_nudge(uv_async_t *handle) {
    io_look(handle->data);
    look(handle->data);
}

static void on_tick(uv_timer_t *handle) {
    struct engine *engine = handle->data;
    pthread_mutex_lock(&engine->lock);
    int64_t retention_ms = engine->config->retention_ms;
    reap_locked(engine);
    pthread_mutex_unlock(&engine->lock);
    if (retention_ms > 0 && mono_ms() - engine->expired_ms > EXPIRE_EVERY_MS) {
        engine->expired_ms = mono_ms();
        journal_expire(engine->journal, wall_clock_ms() - retention_ms);
    }
    look(engine);
}

void engine_stop(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    if (engine->phase < PHASE_DRAIN)
        begin_drain_locked(engine);
    pthread_mutex_unlock(&engine->lock);
    engine_nudge(engine);
}

/* ---- life ---- */

static void init_sync(struct engine *engine) {
    pthread_condattr_t attr;
    pthread_mutexattr_t spins;
    pthread_mutexattr_init(&spins);
    pthread_mutexattr_settype(&spins, PTHREAD_MUTEX_ADAPTIVE_NP); /* it is held for microseconds */
    pthread_mutex_init(&engine->lock, &spins);
    pthread_mutexattr_destroy(&spins);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->watch, &attr);
    pthread_cond_init(&engine->moved, &attr);
    pthread_condattr_destroy(&attr);
    uv_async_init(engine->loop, &engine->nudge, on_nudge);
    uv_timer_init(engine->loop, &engine->tick);
    engine->nudge.data = engine->tick.data = engine;
}

int engine_create(struct engine **out, const struct config *config, uv_loop_t *loop, char *why,
                  size_t why_size) {
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return -ENOMEM;
    *out = engine;
    engine->config = config;
    engine->loop = loop;
    engine->memory = config->durability == DURABILITY_MEMORY;
    engine->started_ms = mono_ms();
    engine->generation = 1;
    engine->stages = calloc(config->n_stages + 1, sizeof(struct stage *));
    engine->edges = calloc(config->n_edges + 1, sizeof(struct edge *));
    init_sync(engine);
    if (!engine->stages || !engine->edges)
        return -ENOMEM;
    struct journal_user user = {steps_committed, engine_journal_broken, engine};
    int err = journal_open(&engine->journal, config->journal_path, config->durability, config->pipeline,
                           &user, why, why_size);
    for (size_t i = 0; err == 0 && i < config->n_stages; i++) {
        err = stage_make(&engine->stages[i], engine, config, i, i, why, why_size);
        engine->n_stages += engine->stages[i] != NULL;
        if (err == 0)
            engine->stages[i]->generation = engine->generation;
    }
    if (err < 0)
        return err;
    engine->last_seq = journal_last_seq(engine->journal);
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; err == 0 && i < config->n_edges; i++)
        err = edge_connect_locked(engine, i);
    pthread_mutex_unlock(&engine->lock);
    return err;
}

int engine_start(struct engine *engine, char *why, size_t why_size) {
    surroundings_note();
    int err = -pthread_create(&engine->watchdog, NULL, watchdog_thread, engine);
    engine->watched = err == 0;
    for (size_t i = 0; err == 0 && i < engine->n_stages; i++)
        err = strand_start(engine->stages[i]);
    if (err < 0)
        snprintf(why, why_size, "cannot start a thread: %s", strerror(-err));
    uv_timer_start(&engine->tick, on_tick, TICK_MS, TICK_MS);
    return err;
}

uint64_t engine_generation(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    uint64_t generation = engine->generation;
    pthread_mutex_unlock(&engine->lock);
    return generation;
}

int64_t engine_drain_ms(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    int64_t drain_ms = engine->config->drain_ms;
    pthread_mutex_unlock(&engine->lock);
    return drain_ms;
}

int engine_exit_code(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    int code = engine->exit_code;
    pthread_mutex_unlock(&engine->lock);
    return code;
}

/* True when a thread of the pipeline may still be inside a plugin. */
bool engine_hangs(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    bool hangs = !all_ended_locked(engine);
    pthread_mutex_unlock(&engine->lock);
    return hangs;
}

static void close_handles(struct engine *engine) {
    io_look(engine);
    uv_timer_stop(&engine->tick);
    uv_close((uv_handle_t *)&engine->tick, NULL);
    uv_close((uv_handle_t *)&engine->nudge, NULL);
    while (uv_run(engine->loop, UV_RUN_NOWAIT))
        ;
}

static void destroy_list(struct stage *stage) {
    for (struct stage *next; stage; stage = next) {
        next = stage->next;
        stage_destroy(stage);
    }
}

static void end_watchdog(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->unwatch = true;
    pthread_cond_broadcast(&engine->watch);
    pthread_mutex_unlock(&engine->lock);
    if (engine->watched)
        pthread_join(engine->watchdog, NULL);
}

void engine_destroy(struct engine *engine) {
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    if (engine->phase < PHASE_STOP)
        begin_stop_locked(engine);
    pthread_mutex_unlock(&engine->lock);
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i]->started)
            pthread_join(engine->stages[i]->thread, NULL);
    for (struct stage *stage = engine->others; stage; stage = stage->next)
        if (stage->started)
            pthread_join(stage->thread, NULL);
    end_watchdog(engine);
    journal_close(engine->journal);
    close_handles(engine);
    for (size_t i = 0; i < engine->n_edges; i++) {
        edge_finish(engine->edges[i]);
        free(engine->edges[i]);
    }
    for (size_t i = 0; i < engine->n_stages; i++)
        stage_destroy(engine->stages[i]);
    destroy_list(engine->others);
    destroy_list(engine->spares);
    for (struct entry *next, *entry = engine->free_entries; entry; entry = next) {
        next = entry->next;
        free(entry);
    }
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->watch);
    pthread_cond_destroy(&engine->moved);
    free(engine->stages);
    free(engine->edges);
    free(engine);
}

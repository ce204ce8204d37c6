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

enum { TICK_MS = 20, EXPIRE_EVERY_MS = 60000, STOP_GRACE_MS = 8000 };

static uint32_t count_ports(const struct telex_stage *class, uint32_t direction) {
    uint32_t n = 0;
    for (const struct telex_port *const *port = class->ports; port && *port; port++)
        n += (*port)->direction == direction;
    return n;
}

static const char *port_name(const struct telex_stage *class, uint32_t n) {
    for (const struct telex_port *const *port = class->ports; *port; port++)
        if ((*port)->direction == TELEX_OUT && n-- == 0)
            return (*port)->name;
    return "?";
}

static int name_origins(struct stage *stage) {
    stage->n_out_ports = count_ports(stage->class, TELEX_OUT);
    stage->out_origins = calloc(stage->n_out_ports + 1, sizeof(char *));
    if (!stage->out_origins)
        return -ENOMEM;
    for (uint32_t i = 0; i < stage->n_out_ports; i++) {
        char *origin;
        if (asprintf(&origin, "%s.%s", stage->config->name, port_name(stage->class, i)) < 0)
            return -ENOMEM;
        stage->out_origins[i] = origin;
    }
    return 0;
}

static int init_stage(struct engine *engine, size_t index, char *why, size_t why_size) {
    struct stage *stage = &engine->stages[index];
    stage->engine = engine;
    stage->index = index;
    stage->config = &engine->config->stages[index];
    stage->last_pending = &stage->pending;
    stage->last_done = &stage->done;
    stage->batch_size = BATCH_MAX / 8;
    pthread_mutex_init(&stage->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&stage->wake, &attr);
    pthread_condattr_destroy(&attr);
    stage->class = stage->config->builtin;
    if (!stage->class)
        stage->class = plugin_load(stage->config->plugin, why, why_size);
    if (!stage->class)
        return -ENOEXEC;
    stage->source = count_ports(stage->class, TELEX_IN) == 0;
    stage->inputs = calloc(engine->n_edges + 1, sizeof(struct edge *));
    stage->outputs = calloc(engine->n_edges + 1, sizeof(struct edge *));
    if (!stage->inputs || !stage->outputs || name_origins(stage) < 0) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    return 0;
}

static void load_waiting(void *arg, struct telex_rec *rec, uint32_t attempts) {
    struct edge *edge = arg;
    struct engine *engine = edge->from->engine;
    struct entry *entry = entry_create_locked(engine, record_retain(rec));
    if (!entry) {
        record_release(rec);
        return;
    }
    entry->attempts = attempts;
    edge_push_locked(engine, edge, entry);
}

/* ",a,b,": the schemas that the edge's input port takes. */
static void list_schemas(const struct edge *edge, char *out, size_t size) {
    uint32_t n = edge->config->to_port;
    size_t used = (size_t)snprintf(out, size, ",");
    for (const struct telex_port *const *port = edge->to->class->ports; port && *port; port++) {
        if ((*port)->direction != TELEX_IN || n-- > 0)
            continue;
        for (const char *const *schema = (*port)->schemas; *schema && used < size; schema++)
            used += (size_t)snprintf(out + used, size - used, "%s,", *schema);
        return;
    }
}

static void connect_edge(struct engine *engine, size_t index) {
    struct edge *edge = &engine->edges[index];
    edge->config = &engine->config->edges[index];
    edge->from = &engine->stages[edge->config->from];
    edge->to = &engine->stages[edge->config->to];
    char schemas[1024];
    list_schemas(edge, schemas, sizeof(schemas));
    edge->takes_any = strstr(schemas, ",*,") != NULL;
    edge->id = journal_edge(engine->journal, edge->config->name, schemas);
    edge_init(edge);
    edge->from->outputs[edge->from->n_outputs++] = edge;
    edge->to->inputs[edge->to->n_inputs++] = edge;
}

void engine_nudge(struct engine *engine) {
    uv_async_send(&engine->nudge);
}

/* ---- looking for the end ---- */

/* Nothing waits, is open or on its way to the journal. What waits for a stage that is down does not count. */
static bool idle_locked(const struct engine *engine) {
    if (engine->n_committing > 0)
        return false;
    for (size_t i = 0; i < engine->n_edges; i++) {
        const struct edge *edge = &engine->edges[i];
        bool down = edge->to->state == STAGE_FAILED;
        if ((edge->n_waiting > 0 && !down) || edge->n_taken > 0)
            return false;
    }
    for (size_t i = 0; i < engine->n_stages; i++) {
        const struct instance *instance = engine->stages[i].instance;
        if (instance && (instance->n_held > 0 || instance->first_task))
            return false;
    }
    return true;
}

static bool sources_exhausted_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++) {
        const struct stage *stage = &engine->stages[i];
        if (stage->source && !stage->exhausted && stage->state != STAGE_FAILED)
            return false;
    }
    return true;
}

static void begin_drain_locked(struct engine *engine) {
    engine->phase = PHASE_DRAIN;
    engine->stop_by_ms = mono_ms() + engine->config->drain_ms;
    for (size_t i = 0; i < engine->n_stages; i++) {
        if (!engine->stages[i].drained)
            engine->stages[i].drain_due = true;
        strand_call_locked(&engine->stages[i]);
    }
}

/* Ask the next stage to close its books; true when all have. */
static bool flush_next_locked(struct engine *engine) {
    while (engine->flush_next < engine->n_stages) {
        struct stage *stage = &engine->stages[engine->flush_next];
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
        if (engine->stages[i].instance && engine->stages[i].instance->n_held > 0)
            return true;
    return false;
}

static bool critical_failed_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i].state == STAGE_FAILED && engine->stages[i].config->critical)
            return true;
    return false;
}

/* Cancel what is open, so that long calls end early. */
static void begin_stop_locked(struct engine *engine) {
    engine->phase = PHASE_STOP;
    engine->stop_by_ms = mono_ms() + STOP_GRACE_MS;
    for (size_t i = 0; i < engine->n_stages; i++) {
        struct stage *stage = &engine->stages[i];
        pthread_mutex_lock(&stage->lock);
        for (uint32_t k = 0; k < stage->n_slots; k++)
            stage->slots[k]->cancelled = true;
        pthread_mutex_unlock(&stage->lock);
        stage->stopping = true;
        strand_call_locked(stage);
    }
    pthread_cond_broadcast(&engine->watch);
}

static bool all_ended_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++)
        if (!engine->stages[i].ended)
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
        look_after_locked(&engine->stages[i]);
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

static void on_nudge(uv_async_t *handle) {
    io_look(handle->data);
    look(handle->data);
}

static void on_tick(uv_timer_t *handle) {
    struct engine *engine = handle->data;
    if (engine->config->retention_ms > 0 && mono_ms() - engine->expired_ms > EXPIRE_EVERY_MS) {
        engine->expired_ms = mono_ms();
        journal_expire(engine->journal, wall_clock_ms() - engine->config->retention_ms);
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
    engine->n_stages = config->n_stages;
    engine->n_edges = config->n_edges;
    engine->stages = calloc(config->n_stages + 1, sizeof(struct stage));
    engine->edges = calloc(config->n_edges + 1, sizeof(struct edge));
    init_sync(engine);
    if (!engine->stages || !engine->edges)
        return -ENOMEM;
    struct journal_user user = {steps_committed, engine_journal_broken, engine};
    int err = journal_open(&engine->journal, config->journal_path, config->durability, config->pipeline,
                           &user, why, why_size);
    for (size_t i = 0; err == 0 && i < engine->n_stages; i++)
        err = init_stage(engine, i, why, why_size);
    if (err < 0)
        return err;
    engine->last_seq = journal_last_seq(engine->journal);
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->n_edges; i++) {
        connect_edge(engine, i);
        journal_each_waiting(engine->journal, engine->edges[i].id, load_waiting, &engine->edges[i]);
    }
    pthread_mutex_unlock(&engine->lock);
    return 0;
}

int engine_start(struct engine *engine, char *why, size_t why_size) {
    int err = -pthread_create(&engine->watchdog, NULL, watchdog_thread, engine);
    engine->watched = err == 0;
    for (size_t i = 0; err == 0 && i < engine->n_stages; i++) {
        err = strand_start(&engine->stages[i]);
        engine->stages[i].started = err == 0;
    }
    if (err < 0)
        snprintf(why, why_size, "cannot start a thread: %s", strerror(-err));
    uv_timer_start(&engine->tick, on_tick, TICK_MS, TICK_MS);
    return err;
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

static void free_stage(struct stage *stage) {
    for (uint32_t i = 0; i < stage->n_out_ports && stage->out_origins; i++)
        free((char *)stage->out_origins[i]);
    for (uint32_t i = 0; i < stage->n_metrics; i++) {
        free(stage->metrics[i].name);
        free(stage->metrics[i].doc);
    }
    free(stage->out_origins);
    free(stage->inputs);
    free(stage->outputs);
    pthread_mutex_destroy(&stage->lock);
    pthread_cond_destroy(&stage->wake);
}

static void close_handles(struct engine *engine) {
    io_look(engine);
    uv_timer_stop(&engine->tick);
    uv_close((uv_handle_t *)&engine->tick, NULL);
    uv_close((uv_handle_t *)&engine->nudge, NULL);
    while (uv_run(engine->loop, UV_RUN_NOWAIT))
        ;
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
        if (engine->stages[i].started)
            pthread_join(engine->stages[i].thread, NULL);
    end_watchdog(engine);
    journal_close(engine->journal);
    close_handles(engine);
    for (size_t i = 0; i < engine->n_edges; i++)
        if (engine->edges[i].last)
            edge_finish(&engine->edges[i]);
    for (size_t i = 0; i < engine->n_stages; i++)
        steps_free(&engine->stages[i]);
    for (struct entry *next, *entry = engine->free_entries; entry; entry = next) {
        next = entry->next;
        free(entry);
    }
    for (size_t i = 0; i < engine->n_stages; i++)
        free_stage(&engine->stages[i]);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->watch);
    free(engine->stages);
    free(engine->edges);
    free(engine);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - makes stages and edges from a config, and takes stages apart. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stage_table.h"

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

/* ---- memory ---- */

static void init_sync(struct stage *stage) {
    pthread_condattr_t attr;
    pthread_mutex_init(&stage->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&stage->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static struct stage *take_spare(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    struct stage *stage = engine->spares;
    if (stage)
        engine->spares = stage->next;
    pthread_mutex_unlock(&engine->lock);
    if (!stage && (stage = calloc(1, sizeof(*stage))))
        init_sync(stage);
    return stage;
}

/* Free what a stage owns; what is left is as if new. */
static void empty(struct stage *stage) {
    steps_free(stage);
    for (uint32_t i = 0; i < stage->n_out_ports && stage->out_origins; i++)
        free((char *)stage->out_origins[i]);
    for (uint32_t i = 0; i < stage->n_metrics; i++) {
        free(stage->metrics[i].name);
        free(stage->metrics[i].doc);
    }
    if (stage->isolated)
        stage_table_destroy(stage->class);
    free(stage->out_origins);
    free(stage->inputs);
    free(stage->outputs);
    free(stage->failure);
    free(stage->site);
    memset(&stage->engine, 0, sizeof(*stage) - offsetof(struct stage, engine));
}

void stage_recycle_locked(struct stage *stage) {
    struct engine *engine = stage->engine;
    empty(stage);
    stage->next = engine->spares;
    engine->spares = stage;
}

void stage_destroy(struct stage *stage) {
    if (!stage)
        return;
    empty(stage);
    pthread_mutex_destroy(&stage->lock);
    pthread_cond_destroy(&stage->wake);
    free(stage);
}

/* ---- making ---- */

/* A stage in a process of its own is not loaded into this one. */
static int find_table(struct stage *stage, char *why, size_t why_size) {
    const struct config_stage *config = stage->config;
    stage->isolated = config->isolation == ISOLATION_PROCESS && !config->builtin;
    snprintf(why, why_size, "out of memory");
    stage->class = config->builtin   ? config->builtin
                   : stage->isolated ? stage_table_create(config->plugin)
                                     : plugin_load(config->plugin, why, why_size);
    return stage->class ? 0 : -1;
}

int stage_make(struct stage **out, struct engine *engine, const struct config *pipeline, size_t at,
               size_t index, char *why, size_t why_size) {
    struct stage *stage = take_spare(engine);
    *out = stage;
    if (!stage) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    stage->engine = engine;
    stage->index = index;
    stage->pipeline = pipeline;
    stage->config = &pipeline->stages[at];
    stage->last_pending = &stage->pending;
    stage->last_done = &stage->done;
    stage->batch_size = BATCH_MAX / 8;
    if (find_table(stage, why, why_size) < 0)
        return -ENOEXEC;
    stage->source = count_ports(stage->class, TELEX_IN) == 0;
    stage->inputs = calloc(pipeline->n_edges + 1, sizeof(struct edge *));
    stage->outputs = calloc(pipeline->n_edges + 1, sizeof(struct edge *));
    if (!stage->inputs || !stage->outputs || name_origins(stage) < 0) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    return 0;
}

/* ---- edges ---- */

bool edge_schemas(const struct config_edge *config, const struct telex_stage *to, char *out, size_t size) {
    uint32_t n = config->to_port;
    size_t used = (size_t)snprintf(out, size, ",");
    for (const struct telex_port *const *port = to->ports; port && *port; port++) {
        if ((*port)->direction != TELEX_IN || n-- > 0)
            continue;
        for (const char *const *schema = (*port)->schemas; *schema && used < size; schema++)
            used += (size_t)snprintf(out + used, size - used, "%s,", *schema);
        break;
    }
    return strstr(out, ",*,") != NULL;
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

int edge_connect_locked(struct engine *engine, size_t at) {
    const struct config_edge *config = &engine->config->edges[at];
    struct edge *edge = calloc(1, sizeof(*edge));
    char schemas[1024];
    if (!edge)
        return -ENOMEM;
    edge->config = config;
    edge->from = engine->stages[config->from];
    edge->to = engine->stages[config->to];
    edge->takes_any = edge_schemas(config, edge->to->class, schemas, sizeof(schemas));
    edge->id = journal_edge(engine->journal, config->name, schemas);
    edge_init(edge);
    edge->from->outputs[edge->from->n_outputs++] = edge;
    edge->to->inputs[edge->to->n_inputs++] = edge;
    engine->edges[engine->n_edges++] = edge;
    journal_each_waiting(engine->journal, edge->id, load_waiting, edge);
    return 0;
}

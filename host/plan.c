/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - compares two configs of one pipeline. */
#include "plan.h"

#include <inttypes.h>
#include <string.h>

#include "config_tree.h"

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_plugin(const struct plugin_desc *a, const struct plugin_desc *b) {
    return strcmp(a->path, b->path) == 0 && strcmp(a->sha256, b->sha256) == 0;
}

static bool same_bytes(struct telex_bytes a, struct telex_bytes b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static bool same_models(const struct config *a, const struct config_stage *x, const struct config *b,
                        const struct config_stage *y) {
    if (x->n_models != y->n_models)
        return false;
    for (size_t i = 0; i < x->n_models; i++) {
        const struct config_model *m = &a->models[x->models[i]], *n = &b->models[y->models[i]];
        if (!same_text(x->model_roles[i], y->model_roles[i]) || strcmp(m->name, n->name) != 0 ||
            !same_plugin(m->plugin, n->plugin) || !same_bytes(m->options, n->options))
            return false;
    }
    return true;
}

static bool same_limits(const struct isolate_limits *a, const struct isolate_limits *b) {
    return a->nice == b->nice && a->memory_bytes == b->memory_bytes && a->files == b->files &&
           a->processes == b->processes;
}

static bool same_stage(const struct config *a, const struct config_stage *x, const struct config *b,
                       const struct config_stage *y) {
    return same_plugin(x->plugin, y->plugin) && same_bytes(x->options, y->options) &&
           x->isolation == y->isolation && x->sandbox_off == y->sandbox_off &&
           same_limits(&x->limits, &y->limits) && x->attempts == y->attempts && x->retries == y->retries &&
           x->retry_ms == y->retry_ms && x->open_steps == y->open_steps && x->timeout_ms == y->timeout_ms &&
           x->critical == y->critical && same_models(a, x, b, y);
}

static bool same_where(const struct config_where *a, const struct config_where *b) {
    if (strcmp(a->key, b->key) != 0 || a->n_values != b->n_values)
        return false;
    for (size_t i = 0; i < a->n_values; i++)
        if (strcmp(a->values[i], b->values[i]) != 0)
            return false;
    return true;
}

static bool same_rules(const struct config_edge *a, const struct config_edge *b) {
    if (a->keyed != b->keyed || a->capacity != b->capacity || a->n_where != b->n_where)
        return false;
    for (size_t i = 0; i < a->n_where; i++)
        if (!same_where(&a->where[i], &b->where[i]))
            return false;
    return true;
}

static const struct config_stage *stage_named(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->n_stages; i++)
        if (strcmp(config->stages[i].name, name) == 0)
            return &config->stages[i];
    return NULL;
}

static const struct config_edge *edge_named(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->n_edges; i++)
        if (strcmp(config->edges[i].name, name) == 0)
            return &config->edges[i];
    return NULL;
}

/* ---- what cannot change while it runs ---- */

static void refuse_key(struct config_errors *errors, const struct config *to, const char *key,
                       const char *runs) {
    struct mark mark = {to->path, 1, 1};
    config_place(to->path, key, &mark.line, &mark.column);
    tell(errors, mark, key,
         "cannot change while the pipeline runs (it runs with %s); put it back, or stop and start the "
         "pipeline",
         runs ? runs : "none");
}

static void check_globals(struct config_errors *errors, const struct config *from, const struct config *to) {
    static const char *const durabilities[] = {"full", "normal", "memory"};
    if (strcmp(from->pipeline, to->pipeline) != 0)
        refuse_key(errors, to, "pipeline", from->pipeline);
    if (strcmp(from->journal_path, to->journal_path) != 0)
        refuse_key(errors, to, "journal.path", from->journal_path);
    if (from->durability != to->durability)
        refuse_key(errors, to, "journal.durability", durabilities[from->durability]);
    if (!same_text(from->listen, to->listen))
        refuse_key(errors, to, "http.listen", from->listen);
    if (!same_text(from->admin, to->admin))
        refuse_key(errors, to, "http.admin", from->admin);
}

static void check_stages(struct config_errors *errors, const struct config *from, const struct config *to) {
    static const char remedy[] = "stop and start the pipeline";
    char path[200];
    for (size_t i = 0; i < to->n_stages; i++) {
        const struct config_stage *stage = &to->stages[i];
        struct mark mark = {to->path, stage->line, stage->column};
        snprintf(path, sizeof(path), "stages.%s", stage->name);
        if (!stage_named(from, stage->name))
            tell(errors, mark, path, "is not part of the running pipeline; to add a stage, %s", remedy);
    }
    for (size_t i = 0; i < from->n_stages; i++)
        if (!stage_named(to, from->stages[i].name))
            tell(errors, (struct mark){to->path, 1, 1}, "stages",
                 "has no %s any more, which runs; to take a stage out, %s", from->stages[i].name, remedy);
}

static void check_edges(struct config_errors *errors, const struct config *from, const struct config *to) {
    char path[200];
    for (size_t i = 0; i < to->n_edges; i++) {
        const struct config_stage *stage = &to->stages[to->edges[i].to];
        struct mark mark = {to->path, stage->line, stage->column};
        snprintf(path, sizeof(path), "stages.%s.from", stage->name);
        if (!edge_named(from, to->edges[i].name))
            tell(errors, mark, path,
                 "makes the edge %s, which the running pipeline has not; stop and start the pipeline",
                 to->edges[i].name);
    }
    for (size_t i = 0; i < from->n_edges; i++)
        if (!edge_named(to, from->edges[i].name))
            tell(errors, (struct mark){to->path, 1, 1}, "stages",
                 "takes out the edge %s, which is in use; stop and start the pipeline", from->edges[i].name);
}

/* ---- the plan ---- */

static bool is_down(struct engine *engine, const struct stage *stage) {
    pthread_mutex_lock(&engine->lock);
    bool down = stage->state == STAGE_FAILED;
    pthread_mutex_unlock(&engine->lock);
    return down;
}

static void plan_stages(struct plan *plan, struct engine *engine, const struct config *to) {
    for (size_t i = 0; i < to->n_stages; i++)
        for (size_t k = 0; k < engine->n_stages; k++) {
            const struct stage *stage = engine->stages[k];
            if (strcmp(stage->config->name, to->stages[i].name) != 0)
                continue;
            bool same = same_stage(stage->pipeline, stage->config, to, &to->stages[i]);
            plan->acts[i] = same && !is_down(engine, stage) ? SWAP_KEEP : SWAP_REPLACE;
            plan->n_replaced += plan->acts[i] == SWAP_REPLACE;
        }
}

static bool rules_differ(const struct config *from, const struct config *to) {
    bool differ = from->drain_ms != to->drain_ms || from->retention_ms != to->retention_ms;
    for (size_t i = 0; i < to->n_edges && !differ; i++)
        differ = !same_rules(edge_named(from, to->edges[i].name), &to->edges[i]);
    return differ;
}

void plan_make(struct plan *plan, struct engine *engine, const struct config *to,
               struct config_errors *errors) {
    const struct config *from = engine->config;
    memset(plan, 0, sizeof(*plan));
    check_globals(errors, from, to);
    check_stages(errors, from, to);
    if (errors->count == 0)
        check_edges(errors, from, to);
    if (errors->count > 0)
        return;
    plan_stages(plan, engine, to);
    plan->rules_changed = rules_differ(from, to);
}

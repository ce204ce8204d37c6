/* SPDX-License-Identifier: Apache-2.0 */
/* service_ext.c - the small extensions: metrics, timer, http; and the list of all. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include <telex/ext/http.h>
#include <telex/ext/io.h>

#include "calling.h"

/* ---- telex.metrics/1: kept per stage, so that counters survive a recreated instance ---- */

static int32_t metrics_define(const struct telex_host *host, int32_t kind, const char *name,
                              const char *doc) {
    struct instance *instance = host->impl;
    struct stage *stage = instance->stage;
    int32_t handle = TELEX_LIMIT;
    if ((kind != TELEX_COUNTER && kind != TELEX_GAUGE) || !name[0] ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
        return rule_broken(instance, "metrics.name", 0, "define: '%.64s' is no name, or its kind is unknown",
                           name);
    if (!instance->stage->isolated && !calling_is_in(instance))
        return rule_broken(
            instance, "thread.control", 0,
            "define: metrics are defined on the control thread, in create or a later call; refused");
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_metrics; i++)
        if (strcmp(stage->metrics[i].name, name) == 0)
            handle = (int32_t)i;
    if (handle < 0 && stage->n_metrics < INSTANCE_METRICS) {
        struct metric metric = {strdup(name), strdup(doc ? doc : ""), kind, 0};
        if (metric.name && metric.doc) {
            handle = (int32_t)stage->n_metrics;
            stage->metrics[stage->n_metrics++] = metric;
        } else {
            free(metric.name);
            free(metric.doc);
        }
    }
    pthread_mutex_unlock(&stage->lock);
    return handle;
}

static void change_metric(const struct telex_host *host, int32_t handle, double value, bool add) {
    struct stage *stage = ((struct instance *)host->impl)->stage;
    if (calling_is_late(host->impl, "metrics"))
        return;
    pthread_mutex_lock(&stage->lock);
    if (handle >= 0 && (uint32_t)handle < stage->n_metrics) {
        struct metric *metric = &stage->metrics[handle];
        metric->value = add ? metric->value + value : value;
    }
    pthread_mutex_unlock(&stage->lock);
}

static void metrics_add(const struct telex_host *host, int32_t handle, double amount) {
    change_metric(host, handle, amount, true);
}

static void metrics_set(const struct telex_host *host, int32_t handle, double value) {
    change_metric(host, handle, value, false);
}

static const struct telex_metrics service_metrics = {
    .size = sizeof(struct telex_metrics), .define = metrics_define, .add = metrics_add, .set = metrics_set};

/* ---- telex.timer/1 ---- */

static telex_status timer_set(const struct telex_host *host, uint64_t timer, int64_t delay_ms) {
    struct instance *instance = host->impl;
    if (calling_is_late(instance, "timer"))
        return TELEX_INVALID;
    struct engine *engine = instance->stage->engine;
    int free_slot = -1;
    pthread_mutex_lock(&engine->lock);
    for (int i = INSTANCE_TIMERS - 1; i >= 0; i--)
        if (instance->timers[i].due_ms == 0)
            free_slot = i;
    for (int i = 0; i < INSTANCE_TIMERS; i++)
        if (instance->timers[i].due_ms != 0 && instance->timers[i].id == timer)
            free_slot = i;
    if (free_slot >= 0) {
        instance->timers[free_slot].id = timer;
        instance->timers[free_slot].due_ms = mono_ms() + (delay_ms > 0 ? delay_ms : 0);
        strand_call_locked(instance->stage);
    }
    pthread_mutex_unlock(&engine->lock);
    return free_slot >= 0 ? TELEX_OK : TELEX_LIMIT;
}

static void timer_clear(const struct telex_host *host, uint64_t timer) {
    struct instance *instance = host->impl;
    pthread_mutex_lock(&instance->stage->engine->lock);
    for (int i = 0; i < INSTANCE_TIMERS; i++)
        if (instance->timers[i].id == timer)
            instance->timers[i].due_ms = 0;
    pthread_mutex_unlock(&instance->stage->engine->lock);
}

static const struct telex_timer service_timer = {
    .size = sizeof(struct telex_timer), .set = timer_set, .clear = timer_clear};

/* ---- telex.http/1 ---- */

static telex_status http_site(const struct telex_host *host, const char *root) {
    struct stage *stage = ((struct instance *)host->impl)->stage;
    struct engine *engine = stage->engine;
    if (!engine->on_site)
        return TELEX_UNSUPPORTED;
    pthread_mutex_lock(&engine->lock);
    bool joins = stage->join != JOIN_NO; /* then readers go on to see the site of the stage that works */
    char *copy = joins ? strdup(root) : NULL;
    if (copy) {
        free(stage->site);
        stage->site = copy;
    }
    pthread_mutex_unlock(&engine->lock);
    if (!joins)
        engine->on_site(engine->hooks_arg, root);
    return joins && !copy ? TELEX_AGAIN : TELEX_OK;
}

static const char *http_base(const struct telex_host *host) {
    struct engine *engine = ((struct instance *)host->impl)->stage->engine;
    return engine->base_url ? engine->base_url : "";
}

static const struct telex_http service_http = {
    .size = sizeof(struct telex_http), .site = http_site, .base = http_base};

const void *service_ext(const struct telex_host *host, const char *id) {
    if (strcmp(id, TELEX_KV) == 0)
        return &service_kv;
    if (strcmp(id, TELEX_METRICS) == 0)
        return &service_metrics;
    if (strcmp(id, TELEX_TIMER) == 0)
        return &service_timer;
    if (strcmp(id, TELEX_MODELS) == 0)
        return ((struct instance *)host->impl)->models ? &service_models : NULL;
    if (strcmp(id, TELEX_IO) == 0)
        return &service_io;
    if (strcmp(id, TELEX_HTTP) == 0)
        return &service_http;
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* instance.c - lives of plugin objects. `calls` is the plugin's own table, or the runner's proxy for it. */
#include "instance.h"

#include <stdlib.h>

#include <telex-sdk/message.h>

#include "calling.h"
#include "isolate.h"
#include "log.h"

struct instance *instance_create_locked(struct stage *stage) {
    struct instance *instance = calloc(1, sizeof(*instance));
    struct taken *batch = calloc(BATCH_MAX, sizeof(*batch));
    if (!instance || !batch) {
        free(instance);
        free(batch);
        return NULL;
    }
    instance->batch = batch;
    instance->stage = stage;
    instance->plugin = stage->class->name;
    instance->calls = stage->isolated ? &isolate_stage : stage->class;
    instance->state = INSTANCE_STARTING;
    instance->starved = true;
    instance->last_task = &instance->first_task;
    atomic_init(&instance->refs, 1);
    service_fill(instance);
    stage->instance = instance;
    stage->n_instances++;
    stage->n_lives++;
    stage->restart = false;
    stage->exhausted = false; /* what an earlier life said of a step that did not commit does not count */
    return instance;
}

void instance_unref_locked(struct instance *instance) {
    if (atomic_fetch_sub_explicit(&instance->refs, 1, memory_order_acq_rel) != 1)
        return;
    while (instance->first_task) {
        struct task *task = instance->first_task;
        instance->first_task = task->next;
        free(task);
    }
    for (struct loan *next, *loan = instance->loans; loan; loan = next) {
        next = loan->next;
        free(loan->rec);
        free(loan);
    }
    for (struct loan *next, *loan = instance->free_loans; loan; loan = next) {
        next = loan->next;
        free(loan);
    }
    free(instance->why);
    instance->stage->n_instances--;
    free(instance->batch);
    instance->free_loans = instance->loans = NULL;
    instance->why = NULL;
    instance->batch = NULL;
    if (instance->calls == &isolate_stage) {
        free(instance);
        return;
    }
    /* A thread that the plugin left behind may still call with it; it is told that its instance is over. */
    static struct instance *ended;
    instance->next_ended = ended;
    ended = instance;
}

/* Open the models that the config gives to the stage, in this process. */
static telex_status open_models(struct instance *instance) {
    struct stage *stage = instance->stage;
    const struct config *config = stage->pipeline;
    size_t n = stage->config->n_models;
    struct models_spec *specs = calloc(n + 1, sizeof(*specs));
    char why[512];
    if (!specs)
        return TELEX_AGAIN;
    for (size_t i = 0; i < n; i++) {
        const struct config_model *model = &config->models[stage->config->models[i]];
        specs[i] = (struct models_spec){model->name, model->plugin, model->options};
    }
    telex_status status =
        n ? models_open(&instance->host, specs, n, &instance->models, why, sizeof(why)) : TELEX_OK;
    free(specs);
    return status == TELEX_OK ? status : instance->host.fail(&instance->host, 0, status, telex_text(why));
}

static void on_runner_died(void *arg, const char *why) {
    struct instance *instance = arg;
    struct engine *engine = instance->stage->engine;
    pthread_mutex_lock(&engine->lock);
    if (instance->stage->instance == instance)
        stage_restart_locked(instance->stage, why);
    pthread_mutex_unlock(&engine->lock);
}

static void on_blame(void *arg, const telex_lease *begun, size_t n) {
    suspect_blame(arg, begun, n);
}

static void on_gather(void *arg, bool begins) {
    struct stage *stage = ((struct instance *)arg)->stage;
    if (begins) {
        steps_gather(stage);
        return;
    }
    engine_lock(stage->engine);
    steps_gathered_locked(stage);
    engine_unlock(stage->engine);
}

/* The same in a process of its own: the proxy stands for the plugin, models are opened over there. */
static telex_status create_isolated(struct instance *instance) {
    struct stage *stage = instance->stage;
    const struct config *config = stage->pipeline;
    size_t n = stage->config->n_models;
    struct isolate_model *models = calloc(n + 1, sizeof(*models));
    if (!models)
        return TELEX_AGAIN;
    for (size_t i = 0; i < n; i++) {
        const struct config_model *model = &config->models[stage->config->models[i]];
        const char *role = stage->config->model_roles ? stage->config->model_roles[i] : NULL;
        models[i] = (struct isolate_model){role ? role : "", model->name, model->plugin, model->options};
    }
    struct isolate_spec spec = {.name = stage->config->name,
                                .plugin = stage->config->plugin,
                                .options = stage->config->options,
                                .models = models,
                                .n_models = n,
                                .limits = stage->config->limits,
                                .sandbox_off = stage->config->sandbox_off,
                                .died = on_runner_died,
                                .died_arg = instance,
                                .gather = on_gather,
                                .gather_arg = instance,
                                .blame = on_blame,
                                .blame_arg = instance};
    telex_status status = isolate_create(&spec, &instance->host, &instance->self);
    free(models);
    return status;
}

static telex_status create(struct instance *instance) {
    struct stage *stage = instance->stage;
    if (instance->calls == &isolate_stage)
        return create_isolated(instance);
    telex_status status = open_models(instance);
    if (status == TELEX_OK)
        status = instance->calls->create(&instance->host, stage->config->options, &instance->self);
    if (status != TELEX_OK)
        models_close(instance->models);
    if (status != TELEX_OK)
        instance->models = NULL;
    return status;
}

static telex_status say_failure(struct instance *instance, const char *what, telex_status status) {
    struct stage *stage = instance->stage;
    char *text = NULL;
    pthread_mutex_lock(&stage->lock);
    if (asprintf(&text, "plugin %s could not %s (status %d): %s", stage->class->name, what, status,
                 instance->why ? instance->why : "it gave no reason") < 0)
        text = NULL;
    pthread_mutex_unlock(&stage->lock);
    log_say(TELEX_ERROR, stage->config->name, "%s", text ? text : "out of memory");
    pthread_mutex_lock(&stage->engine->lock);
    free(stage->failure);
    stage->failure = text;
    pthread_mutex_unlock(&stage->engine->lock);
    return status;
}

telex_status instance_build(struct instance *instance) {
    telex_status status = create(instance);
    if (status != TELEX_OK)
        return say_failure(instance, "be created", status);
    instance->created = true;
    return TELEX_OK;
}

telex_status instance_begin(struct instance *instance) {
    instance->begun = true;
    telex_status status = instance->calls->start ? instance->calls->start(instance->self) : TELEX_OK;
    if (status != TELEX_OK)
        return say_failure(instance, "start", status);
    log_say(TELEX_DEBUG, instance->stage->config->name, "started%s",
            instance->calls == &isolate_stage ? " in a process of its own" : "");
    return TELEX_OK;
}

void instance_end(struct instance *instance) {
    if (!instance->created)
        return;
    calling_enter(instance, "stop");
    if (instance->begun && instance->calls->stop)
        instance->calls->stop(instance->self);
    calling_enter(instance, "destroy");
    instance->calls->destroy(instance->self);
    calling_leave();
    instance->created = false;
    models_close(instance->models);
    instance->models = NULL;
}

void instance_kill(struct instance *instance, const char *why) {
    if (instance->calls == &isolate_stage)
        isolate_kill(instance->self, why);
}

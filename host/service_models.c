/* SPDX-License-Identifier: Apache-2.0 */
/* service_models.c - "telex.models/1" for a stage in this process: roles of the config to backends of
 * models.h. */
#include "engine.h"

#include <string.h>

#include <telex-sdk/message.h>

/* The stage's model of a role, as an index into its models; -1: it has none of that name. */
static long role_index(const struct instance *instance, const char *name) {
    const struct config_stage *config = instance->stage->config;
    if (!name || !name[0])
        return config->n_models ? 0 : -1;
    for (size_t i = 0; i < config->n_models; i++)
        if (config->model_roles && config->model_roles[i] && strcmp(config->model_roles[i], name) == 0)
            return (long)i;
    return -1;
}

static telex_status get_info(const struct telex_host *host, const char *name,
                             struct telex_backend_info *out) {
    struct instance *instance = host->impl;
    long index = role_index(instance, name);
    return index < 0 ? TELEX_NOT_FOUND : models_info(instance->models, (size_t)index, out);
}

static telex_status generate(const struct telex_host *host, telex_lease lease, const char *name,
                             const struct telex_job *job, telex_job_done done, void *arg, uint64_t *job_id) {
    struct instance *instance = host->impl;
    struct stage *stage = instance->stage;
    char why[256] = "";
    pthread_mutex_lock(&stage->lock);
    bool open = step_find_held(instance, lease) != NULL;
    pthread_mutex_unlock(&stage->lock);
    long index = role_index(instance, name);
    if (!open)
        return TELEX_INVALID;
    if (index < 0)
        return TELEX_NOT_FOUND;
    telex_status status =
        models_generate(instance->models, lease, (size_t)index, job, done, arg, job_id, why, sizeof(why));
    return status == TELEX_OK ? status : host->fail(host, lease, status, telex_text(why));
}

static telex_status embed(const struct telex_host *host, const char *name, struct telex_bytes text,
                          float *out, uint32_t capacity, uint32_t *n) {
    struct instance *instance = host->impl;
    char why[512] = "";
    long index = role_index(instance, name);
    if (index < 0)
        return TELEX_NOT_FOUND;
    telex_status status =
        models_embed(instance->models, (size_t)index, text, out, capacity, n, why, sizeof(why));
    return status == TELEX_OK ? status : host->fail(host, 0, status, telex_text(why));
}

static void cancel(const struct telex_host *host, uint64_t job_id) {
    struct instance *instance = host->impl;
    models_cancel(instance->models, job_id);
}

const struct telex_models service_models = {.size = sizeof(struct telex_models),
                                            .info = get_info,
                                            .generate = generate,
                                            .cancel = cancel,
                                            .embed = embed};

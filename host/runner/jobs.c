/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c - telex.models/1 inside a runner: the stage's models are opened here, so weights live in its process
 * and no logit crosses a boundary. The same code stands behind it as in the host (../models.h). */
#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../models.h"

int jobs_start(struct remote *remote, char *why, size_t why_size) {
    const struct setup *setup = &remote->setup;
    if (setup->n_models == 0)
        return 0;
    struct models_spec *specs = calloc(setup->n_models, sizeof(*specs));
    if (!specs) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    for (uint32_t i = 0; i < setup->n_models; i++) {
        const struct setup_model *model = &setup->models[i];
        specs[i] = (struct models_spec){model->name, &model->plugin, model->options};
    }
    telex_status status = models_open(&remote->host, specs, setup->n_models, &remote->models, why, why_size);
    free(specs);
    return status == TELEX_OK ? 0 : -1;
}

void jobs_cancel_lease(struct remote *remote, telex_lease lease) {
    if (remote->models)
        models_cancel_lease(remote->models, lease);
}

void jobs_stop(struct remote *remote) {
    models_close(remote->models);
    remote->models = NULL;
}

/* The model that answers to a role; "" is the first. -1: the stage has none of that name. */
static long find_role(const struct remote *remote, const char *name) {
    const struct setup *setup = &remote->setup;
    if (!name || !name[0])
        return setup->n_models > 0 ? 0 : -1;
    for (uint32_t i = 0; i < setup->n_models; i++)
        if (strcmp(setup->models[i].role, name) == 0)
            return (long)i;
    return -1;
}

static telex_status jobs_info(const struct telex_host *host, const char *name,
                              struct telex_backend_info *out) {
    struct remote *remote = host->impl;
    long index = find_role(remote, name);
    return index < 0 ? TELEX_NOT_FOUND : models_info(remote->models, (size_t)index, out);
}

static telex_status jobs_generate(const struct telex_host *host, telex_lease lease, const char *name,
                                  const struct telex_job *job, telex_job_done done, void *arg,
                                  uint64_t *job_id) {
    struct remote *remote = host->impl;
    char why[512] = "";
    long index = find_role(remote, name);
    if (!remote_lease_is_open(remote, lease))
        return TELEX_INVALID;
    if (index < 0)
        return TELEX_NOT_FOUND;
    telex_status status =
        models_generate(remote->models, lease, (size_t)index, job, done, arg, job_id, why, sizeof(why));
    return status == TELEX_OK ? status : host->fail(host, lease, status, telex_text(why));
}

static telex_status jobs_embed(const struct telex_host *host, const char *name, struct telex_bytes text,
                               float *out, uint32_t capacity, uint32_t *n) {
    struct remote *remote = host->impl;
    char why[512] = "";
    long index = find_role(remote, name);
    if (index < 0)
        return TELEX_NOT_FOUND;
    telex_status status =
        models_embed(remote->models, (size_t)index, text, out, capacity, n, why, sizeof(why));
    return status == TELEX_OK ? status : host->fail(host, 0, status, telex_text(why));
}

static void jobs_cancel(const struct telex_host *host, uint64_t job_id) {
    struct remote *remote = host->impl;
    models_cancel(remote->models, job_id);
}

const struct telex_models jobs_table = {.size = sizeof(jobs_table),
                                        .info = jobs_info,
                                        .generate = jobs_generate,
                                        .cancel = jobs_cancel,
                                        .embed = jobs_embed};

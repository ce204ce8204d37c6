/* SPDX-License-Identifier: Apache-2.0 */
/* telex/ext/models.h - "telex.models/1": the model backends that the config gives to a stage.
 *
 * A stage names a model by the role under which its config binds it ("" is its only or first one). The weights live in
 * the process that runs the stage. */
#ifndef TELEX_EXT_MODELS_H
#define TELEX_EXT_MODELS_H

#include "../model.h"

#define TELEX_MODELS "telex.models/1"

struct telex_models {
    uint32_t size;
    /* What stands behind a name. OK, NOT_FOUND. [any] */
    telex_status (*info)(const struct telex_host *host, const char *name, struct telex_backend_info *out);
    /* Hand in a job for a step: it is cancelled when the step is. OK and `done` will be called exactly once on some
     * thread; AGAIN, NOT_FOUND, INVALID, UNSUPPORTED: it will not. [any] */
    telex_status (*generate)(const struct telex_host *host, telex_lease lease, const char *name,
                             const struct telex_job *job, telex_job_done done, void *arg, uint64_t *job_id);
    void (*cancel)(const struct telex_host *host, uint64_t job_id); /* a hint; done is still called [any] */
    /* Since 1.1: ask TELEX_HAS. The vector of a text, of length 1, into out[0..*n); a text longer than the model takes
     * is cut. Blocks while it is computed. OK; INVALID (capacity < *n, which then is what it takes), NOT_FOUND,
     * UNSUPPORTED (the model gives no vectors), AGAIN (no memory now), FATAL. [any] */
    telex_status (*embed)(const struct telex_host *host, const char *name, struct telex_bytes text, float *out,
                          uint32_t capacity, uint32_t *n);
};

#endif

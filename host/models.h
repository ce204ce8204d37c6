/* SPDX-License-Identifier: Apache-2.0 */
/* models.h - the model backends that a process runs, and the jobs that steps hand to them.
 *
 * Stands behind "telex.models/1" in the host and in telex-runner alike, and behind `telex model`. A
 * telex.model/1 plugin is wrapped by the driver (sdk/driver), a telex.generate/1 plugin answers by itself.
 * Two entries with the same plugin and the same options share one backend, so weights are loaded once per
 * process.
 *
 * Needs only the contract, the loader and the driver. */
#ifndef HOST_MODELS_H
#define HOST_MODELS_H

#include <telex/model.h>

#include "loader.h"

/* One entry of a config's `models`. */
struct models_spec {
    const char *name; /* as the config calls it; copied */
    const struct plugin_desc
        *plugin; /* borrowed until models_open returns: class_id, name, path, sha256 are read */
    struct telex_bytes options; /* checked map; borrowed until models_open returns */
};

struct models;

/* Load and open every entry; may take long (weights). `host` is borrowed until models_close and needs only
 * log; may be NULL. OK, or the first failure with who and why in one line; then nothing stays open. [control]
 */
telex_status models_open(const struct telex_host *host, const struct models_spec *specs, size_t n,
                         struct models **out, char *why, size_t why_size);

/* The index of an entry by its name, or -1. [any] */
long models_find(const struct models *models, const char *name);

/* What stands behind an entry. Set out->size first. OK, NOT_FOUND (index). [any] */
telex_status models_info(struct models *models, size_t index, struct telex_backend_info *out);

/* Hand in a job for a step (lease 0: for none). OK: `done` is called exactly once, possibly before this
 * returns; anything else: it is not, and why says the reason. Job ids are unique over all entries and never
 * 0. [any] */
telex_status models_generate(struct models *models, telex_lease lease, size_t index,
                             const struct telex_job *job, telex_job_done done, void *arg, uint64_t *job_id,
                             char *why, size_t why_size);

/* The vector of a text, as telex.models/1 has it (telex/ext/models.h); otherwise why says the reason. [any]
 */
telex_status models_embed(struct models *models, size_t index, struct telex_bytes text, float *out,
                          uint32_t capacity, uint32_t *n, char *why, size_t why_size);

/* Hints; done is still called. A number that is not running is ignored. [any] */
void models_cancel(struct models *models, uint64_t job_id);
void models_cancel_lease(struct models *models, telex_lease lease);

/* The weights behind an entry, for commands that need tokens: the class and its instance, or UNSUPPORTED for
 * a backend that only answers jobs (NOT_FOUND: index). Borrowed until models_close. [any] */
telex_status models_weights(struct models *models, size_t index, const struct telex_model **model_class,
                            void **model);

/* Cancels and waits for what still runs, then closes every backend. No call may come after. NULL is fine.
 * [control] */
void models_close(struct models *models);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* driver.h - makes a telex.generate/1 of any telex.model/1.
 *
 * The driver owns one context of the model and one thread, the scheduler, that alone calls it. All running
 * jobs share each batch: first the tokens of those that write, then prompts in chunks. A prompt that begins
 * like one the context still holds copies that part instead of computing it. Tokens that the schema forces
 * cost no pass of their own, and tokens that a job probably repeats from its drafts or its prompt are
 * verified several at a time. Neither the batch, nor a copy, nor a forced or a drafted token changes a job's
 * text (as far as the model says TELEX_MODEL_BATCH_INVARIANT; without it nothing is drafted). */
#ifndef SDK_DRIVER_DRIVER_H
#define SDK_DRIVER_DRIVER_H

#include <stdbool.h>

#include <telex/model.h>

/* Zero means the default. */
struct driver_config {
    uint32_t parallel;   /* jobs that run at once; 8 */
    uint32_t cached;     /* further sequences kept for their prefix; 48 */
    uint32_t kv_tokens;  /* positions held in all; what 512 MiB hold, at least one whole context up to 8192 */
    uint32_t waiting;    /* jobs that may wait; 256 */
    uint32_t chunk;      /* prompt tokens in one batch; 256 */
    uint64_t mask_bytes; /* memory for masks; 64 MiB */
    const char
        *record; /* append each job and its outcome to this file, as record.h says; NULL: no. Borrowed */
    /* For comparison; none of them changes a text. */
    bool no_prefix_cache; /* compute every prompt from its start */
    bool no_drafts;       /* one token of a job in each batch */
    bool no_forced;       /* ask also for tokens that the schema leaves no choice about */
    bool no_masked_head;  /* ask for all logits, also where few tokens are allowed */
};

/* Since open. A snapshot; fields may be a step apart. */
struct driver_stats {
    uint64_t jobs, batches, rows, head_rows, forced_tokens, sampled_tokens, prompt_tokens, cached_tokens;
    uint64_t drafted_tokens, accepted_tokens;
    uint64_t mask_hits, mask_misses, mask_miss_ns, mask_bytes;
};

struct driver;

/* Take charge of an open model: `model_class`, `model` and `host` are borrowed until driver_close, which
 * leaves the model open. OK; UNSUPPORTED (chat template), INVALID, RETRY (memory), each with the reason in
 * why. [control] */
telex_status driver_open(const struct telex_host *host, const struct telex_model *model_class, void *model,
                         const struct driver_config *config, struct driver **out, char *why, size_t why_size);

/* As telex_generate.info. [any] */
telex_status driver_info(struct driver *driver, struct telex_backend_info *out);

/* As telex_generate.generate; when the job is not accepted, why says the reason. A prompt that does not fit
 * is accepted and done with REJECT. max_tokens 0 means 1024; a job is cut to what its context has room for.
 * [any] */
telex_status driver_generate(struct driver *driver, const struct telex_job *job, telex_job_done done,
                             void *arg, uint64_t *job_id, char *why, size_t why_size);

void driver_cancel(struct driver *driver, uint64_t job_id); /* [any] */

struct driver_stats driver_stats(struct driver *driver); /* [any] */

/* Cancels what is left, calls its done, joins the thread. NULL is fine. [control] */
void driver_close(struct driver *driver);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* job.h - one request on its way through the driver.
 *
 * `tokens` holds the prompt and then everything put out, forced or sampled. Whatever of it the job's sequence
 * has not computed yet is simply due: a prompt and a run of forced tokens are the same thing to the
 * scheduler. */
#ifndef SDK_DRIVER_JOB_H
#define SDK_DRIVER_JOB_H

#include <stdatomic.h>

#include "chat.h"
#include "mask.h"
#include "sample.h"

/* A compiled schema, shared by the jobs that use it. Counted under the driver's lock. */
struct shared_grammar {
    struct shared_grammar *next;
    struct constraint constraint;
    struct grammar *grammar; /* owned */
    char *schema;            /* owned */
    size_t schema_bytes;
    uint64_t used;
    uint32_t users;
};

struct job {
    struct job *next; /* in the waiting list */
    uint64_t id;
    telex_job_done done;
    void *arg;
    atomic_bool cancelled;

    struct sample_settings sampler;
    uint64_t seed;
    uint32_t max_tokens;
    int64_t timeout_ms, submitted_us, started_us, first_us; /* first_us: the prompt was done */
    struct shared_grammar *shared;                          /* NULL: free text */
    struct grammar_state state;

    struct token_list tokens;
    uint32_t n_prompt, n_cached;
    struct mask *mask; /* pinned: what may come next; NULL: free text */
    uint8_t *text;     /* owned */
    size_t text_bytes, text_capacity;

    bool begun;
    uint32_t finish; /* 0 while it runs */
    telex_status status;
    char error[256];

    /* of the batch at hand */
    struct telex_row row;
    float *logits; /* owned */
    size_t n_logits;
    int32_t drawn;
};

/* What a job needs of its driver to go on. */
struct job_tools {
    const struct vocab *vocab;
    struct mask_cache *masks;
    struct sample_scratch scratch;
    uint64_t forced_tokens, sampled_tokens;
};

static inline uint32_t job_output(const struct job *job) {
    return job->tokens.n - job->n_prompt;
}

/* Copy what the job asks for, tokens and grammar apart. NULL: out of memory. */
struct job *job_create(const struct telex_job *asked, telex_job_done done, void *arg);
void job_destroy(struct job *job);

/* The prompt is placed: put out what the schema forces. May finish the job. */
void job_begin(struct job *job, struct job_tools *tools);

/* Describe the row that will bring the next token. False (and the job is finished) when out of memory. */
bool job_ask(struct job *job, struct job_tools *tools);

/* The row has been filled: choose, and go on with what is forced then. May finish the job. */
void job_answer(struct job *job, struct job_tools *tools);

/* End the job. The first end stands. */
__attribute__((format(printf, 4, 5))) void job_end(struct job *job, telex_status status, uint32_t finish,
                                                   const char *format, ...);

/* Call done. The job is not touched afterwards by its caller except to destroy it. */
void job_report(struct job *job, int64_t now_us);

#endif

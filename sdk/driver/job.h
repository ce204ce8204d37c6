/* SPDX-License-Identifier: Apache-2.0 */
/* job.h - one request on its way through the driver.
 *
 * `tokens` holds the prompt and then everything put out, forced or sampled. Whatever of it the job's sequence
 * has not computed yet is simply due: a prompt and a run of forced tokens are the same thing to the
 * scheduler.
 *
 * A job asks for its next choice, and for those that would come after it if its draft were right. Only
 * job_answer moves the job: it goes from choice to choice as if each had been asked alone, and stops where
 * what was drawn is not what was drafted. So a draft can cost time, and nothing else. */
#ifndef SDK_DRIVER_JOB_H
#define SDK_DRIVER_JOB_H

#include <stdatomic.h>

#include "chat.h"
#include "draft.h"
#include "guess.h"
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

enum {
    JOB_CHOICES = GUESS_MAX + 1,
    JOB_AHEAD = 96, /* drafted tokens, with what they force */
    JOB_FORCED_AT_ONCE = 256
};

/* One question of a batch: which token comes behind `at` tokens? */
struct choice {
    struct telex_row row;
    struct mask *mask; /* pinned; NULL: free text, or a forced token that is asked for */
    uint32_t at;
    int32_t drawn;
    float *logits; /* owned */
    size_t n_logits;
};

struct json_t;

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
    int32_t forced[JOB_FORCED_AT_ONCE]; /* tokens that must come next, from next_forced on */
    uint32_t n_forced, next_forced;
    struct json_t *record;     /* owned; NULL: not written down */
    struct draft_index *index; /* owned; NULL: drafts are off */
    uint32_t n_strings;        /* that the text has begun */

    bool begun;
    uint32_t finish; /* 0 while it runs */
    telex_status status;
    char error[256];

    /* of the batch at hand */
    struct guess guess;
    struct choice choices[JOB_CHOICES];
    uint32_t n_choices;
    int32_t ahead[JOB_AHEAD]; /* what goes into the batch behind `tokens` */
    uint32_t n_ahead;
    uint32_t *one_bit; /* owned; the mask of a forced token that is asked for */

    uint32_t n_passes, n_put_forced, n_drafted, n_accepted;
};

/* What a job needs of its driver to go on. */
struct job_tools {
    const struct vocab *vocab;
    struct mask_cache *masks;
    const struct telex_model *model_class;
    void *model;
    bool ask_forced; /* forced tokens are asked for like others: for comparison */
    bool whole_head; /* all logits are asked for, and chosen from here: for comparison */
    struct guess_record record;
    struct sample_scratch scratch;
    uint64_t forced_tokens, sampled_tokens, drafted_tokens, accepted_tokens;
};

static inline uint32_t job_output(const struct job *job) {
    return job->tokens.n - job->n_prompt;
}

/* Copy what the job asks for, tokens and grammar apart. NULL: out of memory. */
struct job *job_create(const struct telex_job *asked, telex_job_done done, void *arg);
void job_destroy(struct job *job);

/* The prompt is placed: put out what the schema forces. May finish the job. */
void job_begin(struct job *job, struct job_tools *tools);

/* Guess what comes next into job->guess; n is 0 when there is nothing to guess from. */
void job_guess(struct job *job, const struct job_tools *tools);

/* Describe the choices of one batch: the next one, and those behind the first `n_drafts` tokens of the guess,
 * as far as the grammar and `room` (rows behind `tokens`) allow. choices[i].at - 1 is the position whose row
 * it is. False (and the job is finished) when out of memory. */
bool job_ask(struct job *job, struct job_tools *tools, uint32_t n_drafts, uint32_t room);

/* The rows have been filled: choose, and go on with what is forced then. May finish the job. */
void job_answer(struct job *job, struct job_tools *tools);

/* The batch is over, answered or not. */
void job_close_choices(struct job *job);

/* End the job. The first end stands. */
__attribute__((format(printf, 4, 5))) void job_end(struct job *job, telex_status status, uint32_t finish,
                                                   const char *format, ...);

/* Call done. The job is not touched afterwards by its caller except to destroy it. */
void job_report(struct job *job, int64_t now_us);

#endif

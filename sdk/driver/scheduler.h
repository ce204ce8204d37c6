/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.h - the driver's inside, shared by driver.c (the callers' side) and scheduler.c (the scheduler's
 * thread). */
#ifndef SDK_DRIVER_SCHEDULER_H
#define SDK_DRIVER_SCHEDULER_H

#include <pthread.h>
#include <stdio.h>

#include "driver.h"
#include "job.h"
#include "pages.h"

/* One sequence of the context: with a running job, or holding what a finished one left. */
struct sequence {
    struct job *job;        /* owned while it runs; NULL: idle */
    uint32_t n;             /* positions that the context holds */
    uint32_t reserve;       /* pages that the job may come to hold */
    struct page_list pages; /* that its n positions lie in */
    int32_t *left;          /* idle: the n tokens. owned */
    uint32_t n_prompt;      /* of n, those that were a prompt's */
    uint64_t used;          /* larger is newer */
    bool batched;           /* has rows in the batch at hand */
    uint32_t n_batch;       /* how many */
    uint32_t n_drafts;      /* drafted tokens that it may add */
};

struct driver {
    const struct telex_host *host;         /* borrowed */
    const struct telex_model *model_class; /* borrowed */
    void *model;                           /* borrowed */
    struct driver_config config;           /* with the defaults filled in */
    struct telex_model_info info;
    struct chat chat;
    struct vocab *vocab; /* owned, as everything below */
    char backend[128];

    pthread_mutex_t lock; /* guards what follows up to `thread` */
    pthread_cond_t changed;
    struct job *waiting, **waiting_end;
    uint32_t n_waiting;
    uint64_t next_id;
    bool closing;
    struct shared_grammar *grammars; /* newest use first is not kept; `used` says */
    FILE *record;                    /* owned; NULL: jobs are not written down */
    uint64_t n_handed_in;
    uint32_t n_grammars;
    uint64_t grammar_clock, next_grammar;
    struct driver_stats stats;
    bool prepared; /* lock and changed are initialised */

    pthread_t thread;
    bool started;

    /* the scheduler's own; `job` of a sequence is written under the lock, so that cancel can look it up */
    void *context;
    struct sequence *sequences;
    struct page_table pages;
    uint32_t n_sequences, n_running;
    uint64_t clock;
    uint32_t n_undone; /* cancelled batches in a row */
    struct job_tools tools;
    int32_t *token, *pos; /* of the batch, max_batch each */
    uint32_t *seq;
    struct telex_row **rows;
    uint32_t max_batch;
    struct guess_costs costs;
    bool drafting; /* drafts are on, and safe: rows do not depend on the batch */
};

/* The most positions one job may hold. */
static inline uint32_t driver_room(const struct driver *d) {
    uint32_t context = d->info.context_tokens;
    return context && context < d->config.kv_tokens ? context : d->config.kv_tokens;
}

int64_t driver_now_us(void);

/* A job no longer uses its grammar. Under the lock. */
void driver_release_grammar(struct driver *driver, struct shared_grammar *shared);

/* The scheduler's thread; `arg` is the driver. Returns once closing and nothing is left. */
void *scheduler_main(void *arg);

#endif

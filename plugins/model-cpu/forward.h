/* SPDX-License-Identifier: Apache-2.0 */
/* forward.h - one forward pass over a batch. */
#ifndef TELEX_FORWARD_H
#define TELEX_FORWARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "context.h"

/* Where one row's attention finds its pages, and how it rotates. */
struct forward_row {
    const uint32_t *pages;
    uint32_t pos;
    int32_t token;
};

enum { FORWARD_CLOCK_THREADS = 64, FORWARD_CLOCK_OPS = 32 /* more than there are kinds of steps */ };

/* Where a pass spends its time: nanoseconds inside pieces, waiting not counted. */
struct forward_clock {
    uint64_t ns[FORWARD_CLOCK_THREADS][FORWARD_CLOCK_OPS];
};

/* Everything the threads share during a pass. Buffers hold `n` rows. */
struct forward {
    const struct model *model;
    const struct kernels *kernels;
    const struct kv *kv;
    struct pool *pool;
    uint32_t n;
    const struct forward_row *rows;
    const uint32_t *asked; /* rows of the batch that the head computes: n_asked of them */
    uint32_t n_asked;

    float *x;             /* (n, n_embd) the residual stream */
    struct acts wide;     /* (n, n_embd) normed x; its f32 is also y, which is normed before it is added */
    struct acts heads;    /* (n, heads * head_dim) what attention gives */
    struct acts ff;       /* (n, n_ff) */
    float *q, *k, *v;     /* (n, heads * head_dim), (n, kv heads * head_dim) twice */
    float *up;            /* (n, n_ff) */
    float *turn[N_ROPES]; /* (n, rope_dim / 2, 2) cosine and sine; the local one only with local layers */
    float *scores;        /* [threads] (query heads of a kv head, longest context) */
    size_t score_stride;
    const void **page_list; /* [threads] (2, pages) */
    uint32_t max_pages;
    float *logits;     /* (n_asked, n_vocab) */
    uint8_t *groups;   /* (n_asked, head groups): 1 where the row needs that group of the head */
    struct acts last;  /* (n_asked, n_embd) normed rows for the head */
    struct acts *ones; /* [n_asked] each row of `last` as a batch of its own, for rows that ask for some */
    uint32_t *pieces;  /* [n_steps] */
    size_t first_step;
    struct forward_clock *clock; /* NULL: time is not taken */
    const atomic_bool *cancel;   /* once set, what the buffers hold is worth nothing */
};

/* Walk the model's steps from `first_step` on; afterwards logits hold what was asked for. 0 or -ENOMEM. */
int forward_run(struct forward *f, size_t first_step);

#endif

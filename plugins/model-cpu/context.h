/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - sequences of tokens over one model, and batches that extend them. */
#ifndef TELEX_CONTEXT_H
#define TELEX_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fail.h"
#include "kernels.h"
#include "kv.h"
#include "model.h"
#include "pool.h"

enum { CONTEXT_MAX_BATCH = 512, CONTEXT_HEAD_ROWS = 16 };

/* What to compute of a row's logits. */
enum ask { ASK_NONE, ASK_ALL, ASK_SOME };

struct context_row {
    enum ask ask;
    uint32_t n_ids;     /* ASK_SOME */
    const int32_t *ids; /* ASK_SOME: each within the vocabulary */
};

struct context_batch {
    uint32_t n;
    const int32_t *token;
    const int32_t *pos;
    const uint32_t *seq;
    const struct context_row *rows; /* [n] */
};

/* Called for every row that asked, in order, on the calling thread. ASK_ALL: n_vocab logits; ASK_SOME: those
 * that were asked for are valid, at their places in the vocabulary. Borrowed until it returns. */
typedef void (*context_take)(void *arg, uint32_t row, const float *logits);

struct context;

/* Borrows model, pool and kernels. Gives *out (context_close). 0 or negative errno. */
int context_open(const struct model *model, struct pool *pool, const struct kernels *kernels, uint32_t n_seq,
                 uint32_t n_tokens, struct context **out, struct model_fail *fail);
void context_close(struct context *ctx);

/* Extend the sequences by the batch's tokens. Every sequence's rows continue where it ends, in order. 0;
 * -EINVAL (bad token, sequence or position; nothing changed), -ENOSPC (no room; nothing changed), -ECANCELED
 * (nothing changed), -ENOMEM. One caller at a time. */
int context_decode(struct context *ctx, const struct context_batch *batch, context_take take, void *arg);

/* Positions held by a sequence. */
uint32_t context_length(const struct context *ctx, uint32_t seq);
int context_copy(struct context *ctx, uint32_t dst, uint32_t src, uint32_t from, int64_t to);
int context_trim(struct context *ctx, uint32_t seq, uint32_t from);

/* Add up where passes spend their time; NULL ends it. Borrowed. */
struct forward_clock;
void context_clock(struct context *ctx, struct forward_clock *clock);

/* Make the running decode, if any, return -ECANCELED soon. [any] */
void context_cancel(struct context *ctx);

#endif

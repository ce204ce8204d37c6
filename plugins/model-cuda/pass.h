/* SPDX-License-Identifier: Apache-2.0 */
/* pass.h - the buffers of a forward pass, and the kernels that make one.
 *
 * What a pass queues depends on its shape only; all else is read from device memory. So the passes of one
 * shape are one graph, captured once. */
#ifndef TELEX_CUDA_PASS_H
#define TELEX_CUDA_PASS_H

#include "session.h"
#include "weights.h"

/* Powers of two that hold what a batch has. */
struct pass_shape {
    uint16_t rows, asked, splits, tiles; /* asked 0: no head */
    uint8_t wide_tiles;                  /* some tile has more than one row */
    uint8_t draws, head_only, blas;
};

/* Device memory of a session, MAX_ROWS rows each. */
struct pass {
    const struct weights *weights; /* borrowed */
    struct rt *rt;
    struct batch_head *batch;
    float *x;                           /* (rows, n_embd) */
    float *y;                           /* (rows, n_embd): what post norms add */
    struct dacts wide, heads, ff, last; /* last: MAX_ASKED rows */
    float *q;                           /* (rows, heads * head_dim) */
    float *raw[2];                      /* (rows, widest product): products of prompts; two of them */
    float *split_o, *split_ml;          /* SPLIT_ROWS rows */
    float *logits;                      /* (MAX_ASKED, n_vocab) */
    uint8_t *bad;                       /* (groups of the head) */
    struct batch_result *result;
    float *some;     /* the SUBSET logits, behind `result` in the same buffer */
    uint64_t *order; /* (MAX_ASKED, 3, n_vocab) */
    uint8_t *pages;
    uint64_t page_bytes;
    uint32_t n_splits;      /* that split_o has room for */
    uint16_t *panel, *acts; /* bf16 for cuBLAS: PANEL_BYTES of weights, (rows, widest) activations */
};

/* SPLIT_ROWS: rows up to which splits get blocks of their own. TILE_ROWS: of one sequence in a tile. */
enum { SPLIT_ROWS = 16, TILE_ROWS = 8, PANEL_BYTES = 16 << 20 };

/* Queue the pass. */
void pass_queue(const struct pass *pass, const struct pass_shape *shape);

#endif

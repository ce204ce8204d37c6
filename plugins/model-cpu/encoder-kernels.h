/* SPDX-License-Identifier: Apache-2.0 */
/* encoder-kernels.h - the arithmetic of a BERT encoder in float32, one table for each kind of machine.
 *
 * All paths give the same bits, and a row's bits do not depend on the other rows: every sum has one order,
 * fixed by the shapes. No function here allocates, blocks or fails. */
#ifndef TELEX_ENCODER_KERNELS_H
#define TELEX_ENCODER_KERNELS_H

#include "kernels.h"

/* One head of one text. Rows are `stride` floats apart; q, k and v are within one row. */
struct encoder_attend {
    const float *q, *k, *v; /* (n, head_dim) */
    float *out;             /* (n, head_dim), out_stride apart */
    float *scores;          /* working memory: (n rounded up to 16) */
    size_t stride, out_stride;
    uint32_t n, head_dim; /* head_dim: a multiple of 16 */
};

struct encoder_kernels {
    /* Rows of groups [first, first + n) of a float32 matrix, times n_rows rows x of m->n_cols floats. The
     * matrix has a multiple of 16 rows. */
    void (*product)(const struct matrix *m, uint32_t first, uint32_t n, const float *x, uint32_t n_rows,
                    const struct product *to);
    /* x = (x - mean) / sqrt(variance + eps) * w + b. (n), n a multiple of 16 */
    void (*norm)(float *x, const float *w, const float *b, size_t n, float eps);
    /* x = x * (1 + erf(x / sqrt 2)) / 2. (n), n a multiple of 16 */
    void (*gelu)(float *x, size_t n);
    /* out = softmax(q k' / sqrt(head_dim)) v, over all positions */
    void (*attend)(const struct encoder_attend *job);
};

extern const struct encoder_kernels encoder_scalar;
extern const struct encoder_kernels encoder_avx2;
extern const struct encoder_kernels encoder_avx512;

#endif

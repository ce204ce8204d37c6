/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h - the arithmetic of a forward pass, one table for each kind of machine.
 *
 * All paths give the same bits; TELEX_CPU=scalar|avx2|avx512|amx picks one by hand. No function here
 * allocates, blocks or fails. Matrices are written (rows, columns). */
#ifndef TELEX_KERNELS_H
#define TELEX_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "matrix.h"
#include "pages.h"

/* Rows of activations as a matrix product reads them: f32, and small integers with one scale for every 32
 * values.
 *
 * With one term a value is d * q, |q| <= 127. With two it is d * (255 * q[0] + q[1]): fifteen bits, for
 * weight types whose own rounding is finer than eight bits of activations would be. The integer rows lie in
 * tiles of up to ACTS_TILE rows. For every slice a tile holds int8 q[width][terms][32]   float d[width] float
 * s[width]   int32 neg[width][2] where neg is minus the sum of the integers over each half, and s is d times
 * the sum over both. */
enum { ACTS_TILE = 8, ACTS_BASE = 255 };

struct acts {
    uint32_t n_rows, n_cols;
    uint32_t terms; /* 1 or 2 */
    float *f32;     /* (n_rows, n_cols) */
    uint8_t *tiles; /* acts_bytes() */
};

/* Bytes of one row's slice. */
static inline size_t acts_slice_bytes(uint32_t terms) {
    return 32 * (size_t)terms + 16;
}
/* Rows in tile t, padding included: 8, or for the last rows 1, 2 or 4 where they suffice. */
static inline uint32_t acts_width(uint32_t n_rows, uint32_t tile) {
    const uint32_t left = n_rows - tile * ACTS_TILE;

    return left > 4 ? 8 : left > 2 ? 4 : left;
}
static inline size_t acts_bytes(uint32_t n_rows, uint32_t n_cols, uint32_t terms) {
    const size_t padded = (size_t)(n_rows + ACTS_TILE - 1) / ACTS_TILE * ACTS_TILE;

    return padded * acts_slice_bytes(terms) * (n_cols / QUANT_SLICE);
}

/* How many terms the activations for a matrix of this type need. The K types round their scales to six bits;
 * what one term of eight bits adds is small beside that. */
static inline uint32_t acts_terms_for(uint32_t type) {
    return type == QUANT_Q4_K || type == QUANT_Q5_K || type == QUANT_Q6_K ? 1 : 2;
}

/* Where a product goes: y[row of acts][row of the matrix], stride floats apart. */
struct product {
    float *y;
    size_t stride;
    const float *bias; /* added if not NULL */
    bool add;          /* y += product instead of y = product */
};

/* One row's attention for the query heads of one kv head. */
struct attend {
    const float *q; /* (n_heads, head_dim) */
    float *out;     /* (n_heads, head_dim) */
    float *scores;  /* working memory: n_heads * score_stride floats */
    size_t score_stride;
    uint32_t n_heads, head_dim;
    uint32_t n;    /* positions in the pages, >= 1 */
    uint32_t skip; /* leading ones of the first page that are not looked at, < n and < KV_PAGE */
    float scale;
    const void *const *k; /* per page, see kv.h */
    const void *const *v;
};

enum { KV_TILE = 16 };

struct kernels {
    const char *name;
    const struct kernels *exact;   /* the same in float32 (exact.c); NULL there */
    const struct kernels *int8_kv; /* the same with keys and values of eight bits; NULL where exact */
    uint32_t kv_value_bytes;       /* of a number in the pages: f16, int8, or f32 where exact */
    uint32_t kv_scale_bytes; /* int8: of a position's scale, one for a head's key and one for its value */

    /* y = x / rms(x) * w. (n), n a multiple of 16 */
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t n, float eps);
    /* Quantise slices [first, first + n) of one row of acts->f32; the last row also clears its tile's
     * padding. */
    void (*quantise)(struct acts *acts, uint32_t row, uint32_t first, uint32_t n);
    /* Rows of groups [first, first + n) of the matrix, times every row of acts. */
    void (*matmul)(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                   const struct product *to);
    /* gate = silu(gate) * up. (n), n a multiple of 16 */
    void (*swiglu)(float *gate, const float *up, size_t n);
    /* gate = gelu(gate) * up, gelu by tanh. (n), n a multiple of 16 */
    void (*geglu)(float *gate, const float *up, size_t n);
    void (*attend)(const struct attend *job);
    /* Write one position's key, or value, of one kv head to its page. (head_dim) */
    void (*key_put)(void *page, uint32_t at, const float *key, uint32_t head_dim);
    void (*value_put)(void *page, uint32_t at, const float *value, uint32_t head_dim);
};

#if defined(TELEX_EXACT)
extern const struct kernels TELEX_EXACT; /* of the path that is being compiled */
#endif
extern const struct kernels kernels_scalar;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_amx; /* AVX-512, products of several rows on tiles: product-amx.h */
/* The same with tiles in plain C, and its own copy of the rest; only tests link them. */
extern const struct kernels kernels_amx_emulated __attribute__((weak));
extern const struct kernels kernels_beside_emulated;

#endif

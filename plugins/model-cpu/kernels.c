/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.c - the arithmetic of a forward pass.
 *
 * Compiled once for each path (TELEX_KERNELS names the table), on the sixteen lanes of simd.h. The order of
 * every sum is fixed by the shapes alone: a product adds its slices in ascending order, a sum over a row runs
 * in sixteen strided lanes and ends in one tree. So a row's bits do not depend on the batch, the threads or
 * the path. */
#include "kernels.h"

#include <math.h>
#include <string.h>

#include "simd.h"
#include "simd-exp.h"

/* The products below are instantiated for constant types and widths, except in plain C, where one general
 * copy does. */
#if defined(SIMD_IS_PLAIN)
#define FORCE_INLINE static inline
#else
#define FORCE_INLINE static inline __attribute__((always_inline))
#endif

/* ---- norms and activations ---- */

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    vf sum = vf_zero();
    vf scale;

    for (size_t i = 0; i < n; i += 16) /* other cores wrote it: see fetch_acts() */
        __builtin_prefetch(x + i);
    for (size_t i = 0; i < n; i += 16)
        sum = vf_fma(vf_load(x + i), vf_load(x + i), sum);
    scale = vf_all(1.0f / sqrtf(vf_sum(sum) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), scale), vf_load(w + i)));
}

static void swiglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const vf g = vf_load(gate + i);
        const vf silu = vf_div(g, vf_add(vf_all(1.0f), exp_lanes(vf_sub(vf_zero(), g))));

        vf_store(gate + i, vf_mul(silu, vf_load(up + i)));
    }
}

/* x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (x + 0.044715 x^3) is x / (1 + e^-2u). */
static void geglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const vf g = vf_load(gate + i);
        const vf inner = vf_fma(vf_mul(vf_mul(g, g), vf_all(0.044715f)), g, g);
        const vf e = exp_lanes(vf_mul(inner, vf_all(-1.5957691216f)));

        vf_store(gate + i, vf_mul(vf_div(g, vf_add(vf_all(1.0f), e)), vf_load(up + i)));
    }
}

/* ---- activations as integers ---- */

struct acts_slice {
    int8_t *q;
    float *d, *s;
    int32_t *neg;
};

FORCE_INLINE struct acts_slice acts_slice_at(uint8_t *tile, size_t width, uint32_t terms, size_t i) {
    uint8_t *at = tile + i * width * acts_slice_bytes(terms);
    uint8_t *d = at + 32 * terms * width;

    return (struct acts_slice){(int8_t *)at, (float *)(void *)d, (float *)(void *)(d + 4 * width),
                               (int32_t *)(void *)(d + 8 * width)};
}

/* Store 32 integers of one term; adds weight times the sum over each half to sums. */
FORCE_INLINE void put_term(int8_t *q, vf a, vf b, int32_t weight, int32_t sums[2]) {
    vf_store_i8(q, a);
    vf_store_i8(q + 16, b);
    sums[0] += weight * vi_sum_i8(q);
    sums[1] += weight * vi_sum_i8(q + 16);
}

FORCE_INLINE void quantise_slice(struct acts_slice to, size_t row, uint32_t terms, const float *x) {
    const float levels = terms == 2 ? ACTS_BASE * 127.0f + 127.0f : 127.0f;
    const float most = vf_largest(vf_max(vf_abs(vf_load(x)), vf_abs(vf_load(x + 16))));
    const vf inverse = vf_all(most > 0.0f ? levels / most : 0.0f);
    const vf a = vf_round(vf_mul(vf_load(x), inverse)), b = vf_round(vf_mul(vf_load(x + 16), inverse));
    int8_t *q = to.q + 32 * terms * row;
    int32_t sums[2] = {0, 0};

    if (terms == 2) {
        /* An integer is never halfway between two multiples of an odd base: what is left is within 127. */
        const vf high_a = vf_round(vf_mul(a, vf_all(1.0f / ACTS_BASE))),
                 high_b = vf_round(vf_mul(b, vf_all(1.0f / ACTS_BASE)));

        put_term(q, high_a, high_b, ACTS_BASE, sums);
        put_term(q + 32, vf_fma(high_a, vf_all(-ACTS_BASE), a), vf_fma(high_b, vf_all(-ACTS_BASE), b), 1,
                 sums);
    } else {
        put_term(q, a, b, 1, sums);
    }
    to.neg[2 * row] = -sums[0];
    to.neg[2 * row + 1] = -sums[1];
    to.d[row] = most / levels;
    to.s[row] = to.d[row] * (float)(sums[0] + sums[1]);
}

static void clear_padding(struct acts_slice to, size_t row, size_t width, uint32_t terms) {
    for (; row < width; row++) {
        memset(to.q + 32 * terms * row, 0, 32 * terms);
        memset(to.neg + 2 * row, 0, 2 * sizeof(int32_t));
        to.d[row] = to.s[row] = 0.0f;
    }
}

static void quantise(struct acts *acts, uint32_t row, uint32_t first, uint32_t n) {
    const uint32_t tile = row / ACTS_TILE, width = acts_width(acts->n_rows, tile), terms = acts->terms;
    uint8_t *at =
        acts->tiles + (size_t)tile * ACTS_TILE * acts_slice_bytes(terms) * (acts->n_cols / QUANT_SLICE);
    const float *x = acts->f32 + (size_t)row * acts->n_cols;

    for (size_t i = first; i < first + n; i++) {
        const struct acts_slice to = acts_slice_at(at, width, terms, i);

        if (terms == 2)
            quantise_slice(to, row % ACTS_TILE, 2, x + i * QUANT_SLICE);
        else
            quantise_slice(to, row % ACTS_TILE, 1, x + i * QUANT_SLICE);
        if (row + 1 == acts->n_rows)
            clear_padding(to, row % ACTS_TILE + 1, width, terms);
    }
}

#include "attention.h"
#include "product.h"

#define KERNELS_WITH(kernels_name, small, product, kv)                                                       \
    {                                                                                                        \
        .name = (kernels_name), .exact = &TELEX_EXACT, .int8_kv = (small), .rmsnorm = rmsnorm,               \
        .quantise = quantise, .matmul = (product), .swiglu = swiglu, .geglu = geglu, kv                      \
    }
#define KV_F16                                                                                               \
    .kv_value_bytes = sizeof(uint16_t), .attend = attend_f16, .key_put = key_put_f16,                        \
    .value_put = value_put_f16
#define KV_INT8                                                                                              \
    .kv_value_bytes = sizeof(int8_t), .kv_scale_bytes = sizeof(float), .attend = attend_int8,                \
    .key_put = key_put_int8, .value_put = value_put_int8

static const struct kernels int8_kv = KERNELS_WITH(TELEX_KERNELS_NAME " int8 kv", &int8_kv, matmul, KV_INT8);
const struct kernels TELEX_KERNELS = KERNELS_WITH(TELEX_KERNELS_NAME, &int8_kv, matmul, KV_F16);

#if defined(TELEX_TILES) /* the same, but for products of several rows */
#include "product-amx.h"

static const struct kernels tiles_int8_kv =
    KERNELS_WITH(TELEX_TILES_NAME " int8 kv", &tiles_int8_kv, matmul_on_tiles, KV_INT8);
const struct kernels TELEX_TILES = KERNELS_WITH(TELEX_TILES_NAME, &tiles_int8_kv, matmul_on_tiles, KV_F16);
#endif

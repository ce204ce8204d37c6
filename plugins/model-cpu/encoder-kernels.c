/* SPDX-License-Identifier: Apache-2.0 */
/* encoder-kernels.c - the arithmetic of a BERT encoder, written once on the sixteen lanes of simd.h and
 * compiled for each path (TELEX_ENCODER names the table). */
#include "encoder-kernels.h"

#include <math.h>

#include "simd.h"
#include "simd-exp.h"

/* ---- products ---- */

/* A tile of rows times groups stays in registers: sixteen lanes are one with AVX-512, two with AVX2. */
#if defined(TELEX_SIMD_AVX512)
enum { TILE_ROWS = 8, TILE_GROUPS = 2 };
#else
enum { TILE_ROWS = 4, TILE_GROUPS = 1 };
#endif

#define UNROLLED(i, n) _Pragma("GCC unroll 8") for (uint32_t i = 0; i < (n); i++)

static inline void store(vf acc, const struct product *to, size_t row, size_t column) {
    float *y = to->y + row * to->stride + column;

    if (to->bias)
        acc = vf_add(acc, vf_load(to->bias + column));
    vf_store(y, to->add ? vf_add(vf_load(y), acc) : acc);
}

/* n_rows and n_groups are constants. */
SIMD_INLINE void tile(const struct matrix *m, uint32_t group, uint32_t n_groups, const float *x, uint32_t row,
                      uint32_t n_rows, const struct product *to) {
    const float *weights = (const float *)(const void *)(m->data + group * m->group_bytes);
    const size_t apart = m->group_bytes / sizeof(float), n = m->n_cols;
    vf acc[TILE_ROWS][TILE_GROUPS];

    UNROLLED(t, n_rows) UNROLLED(g, n_groups) acc[t][g] = vf_zero();
    for (size_t k = 0; k < n; k++) {
        vf w[TILE_GROUPS];

        UNROLLED(g, n_groups) w[g] = vf_load(weights + g * apart + k * MATRIX_LANES);
        UNROLLED(t, n_rows) {
            const vf value = vf_all(x[(row + t) * n + k]);

            UNROLLED(g, n_groups) acc[t][g] = vf_fma(value, w[g], acc[t][g]);
        }
    }
    UNROLLED(t, n_rows)
    UNROLLED(g, n_groups) store(acc[t][g], to, row + t, (size_t)(group + g) * MATRIX_LANES);
}

SIMD_INLINE void rows_of(const struct matrix *m, uint32_t group, uint32_t n_groups, const float *x,
                         uint32_t n_rows, const struct product *to) {
    uint32_t row = 0;

    for (; n_rows - row >= TILE_ROWS; row += TILE_ROWS)
        tile(m, group, n_groups, x, row, TILE_ROWS, to);
    if (TILE_ROWS > 4 && n_rows - row >= 4) {
        tile(m, group, n_groups, x, row, 4, to);
        row += 4;
    }
    if (n_rows - row >= 2) {
        tile(m, group, n_groups, x, row, 2, to);
        row += 2;
    }
    if (n_rows - row == 1)
        tile(m, group, n_groups, x, row, 1, to);
}

static void product(const struct matrix *m, uint32_t first, uint32_t n, const float *x, uint32_t n_rows,
                    const struct product *to) {
    uint32_t group = first;

    for (; group + TILE_GROUPS <= first + n; group += TILE_GROUPS)
        rows_of(m, group, TILE_GROUPS, x, n_rows, to);
    for (; group < first + n; group++)
        rows_of(m, group, 1, x, n_rows, to);
}

/* ---- rows ---- */

static void norm(float *x, const float *w, const float *b, size_t n, float eps) {
    vf sum = vf_zero(), square = vf_zero();
    vf mean, scale;

    for (size_t i = 0; i < n; i += 16)
        sum = vf_add(sum, vf_load(x + i));
    mean = vf_all(vf_sum(sum) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        const vf apart = vf_sub(vf_load(x + i), mean);

        square = vf_fma(apart, apart, square);
    }
    scale = vf_all(1.0f / sqrtf(vf_sum(square) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16)
        vf_store(x + i, vf_fma(vf_mul(vf_sub(vf_load(x + i), mean), scale), vf_load(w + i), vf_load(b + i)));
}

/* 1 - erf(z) within 1.5e-7 for z >= 0: Abramowitz and Stegun, 7.1.26. */
SIMD_INLINE vf beyond_erf(vf z) {
    const vf t = vf_div(vf_all(1.0f), vf_fma(vf_all(0.3275911f), z, vf_all(1.0f)));
    vf p = vf_all(1.061405429f);

    p = vf_fma(p, t, vf_all(-1.453152027f));
    p = vf_fma(p, t, vf_all(1.421413741f));
    p = vf_fma(p, t, vf_all(-0.284496736f));
    p = vf_fma(p, t, vf_all(0.254829592f));
    return vf_mul(vf_mul(p, t), exp_lanes(vf_sub(vf_zero(), vf_mul(z, z))));
}

/* With q = 1 - erf(|x| / sqrt 2): x - |x| q / 2 above zero, -|x| q / 2 below. */
static void gelu(float *x, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const vf v = vf_load(x + i), size = vf_abs(v);
        const vf q = beyond_erf(vf_mul(size, vf_all(0.70710678f)));

        vf_store(x + i, vf_sub(vf_max(v, vf_zero()), vf_mul(vf_mul(size, vf_all(0.5f)), q)));
    }
}

/* ---- attention ---- */

/* exp of the n scores, as shares of their sum; what pads them to 16 becomes 0. */
static void softmax(float *scores, uint32_t n) {
    float most = scores[0];
    vf sum = vf_zero(), share;

    for (uint32_t i = 1; i < n; i++)
        most = scores[i] > most ? scores[i] : most;
    for (uint32_t i = n; i % 16 != 0; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = 0; i < n; i += 16)
        vf_store(scores + i, exp_lanes(vf_sub(vf_load(scores + i), vf_all(most))));
    for (uint32_t i = n; i % 16 != 0; i++)
        scores[i] = 0.0f;
    for (uint32_t i = 0; i < n; i += 16)
        sum = vf_add(sum, vf_load(scores + i));
    share = vf_all(1.0f / vf_sum(sum));
    for (uint32_t i = 0; i < n; i += 16)
        vf_store(scores + i, vf_mul(vf_load(scores + i), share));
}

static void attend(const struct encoder_attend *job) {
    const float scale = 1.0f / sqrtf((float)job->head_dim);

    for (uint32_t i = 0; i < job->n; i++) {
        for (uint32_t k = 0; k < job->n; k++) {
            vf acc = vf_zero();

            for (uint32_t d = 0; d < job->head_dim; d += 16)
                acc =
                    vf_fma(vf_load(job->q + i * job->stride + d), vf_load(job->k + k * job->stride + d), acc);
            job->scores[k] = vf_sum(acc) * scale;
        }
        softmax(job->scores, job->n);
        for (uint32_t d = 0; d < job->head_dim; d += 16) {
            vf acc = vf_zero();

            for (uint32_t k = 0; k < job->n; k++)
                acc = vf_fma(vf_all(job->scores[k]), vf_load(job->v + k * job->stride + d), acc);
            vf_store(job->out + i * job->out_stride + d, acc);
        }
    }
}

const struct encoder_kernels TELEX_ENCODER = {
    .product = product, .norm = norm, .gelu = gelu, .attend = attend};

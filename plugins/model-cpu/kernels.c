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

#define FORCE_INLINE static inline __attribute__((always_inline))

/* ---- norms and activations ---- */

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    vf sum = vf_zero();
    vf scale;

    for (size_t i = 0; i < n; i += 16)
        sum = vf_fma(vf_load(x + i), vf_load(x + i), sum);
    scale = vf_all(1.0f / sqrtf(vf_sum(sum) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), scale), vf_load(w + i)));
}

/* e^x within 2 ulp for x in [-87, 88]; clamped outside. 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]. */
FORCE_INLINE vf exp_lanes(vf x) {
    const vf n = vf_round(vf_mul(vf_min(vf_max(x, vf_all(-87.0f)), vf_all(88.0f)), vf_all(1.44269504f)));
    vf r = vf_min(vf_max(x, vf_all(-87.0f)), vf_all(88.0f));
    vf p;

    r = vf_fma(n, vf_all(-0.693359375f), r);
    r = vf_fma(n, vf_all(2.12194440e-4f), r);
    p = vf_all(1.9875691500e-4f);
    p = vf_fma(p, r, vf_all(1.3981999507e-3f));
    p = vf_fma(p, r, vf_all(8.3334519073e-3f));
    p = vf_fma(p, r, vf_all(4.1665795894e-2f));
    p = vf_fma(p, r, vf_all(1.6666665459e-1f));
    p = vf_fma(p, r, vf_all(5.0000001201e-1f));
    p = vf_fma(vf_mul(p, r), r, vf_add(r, vf_all(1.0f)));
    return vf_mul(p, vf_pow2(n));
}

static void swiglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const vf g = vf_load(gate + i);
        const vf silu = vf_div(g, vf_add(vf_all(1.0f), exp_lanes(vf_sub(vf_zero(), g))));

        vf_store(gate + i, vf_mul(silu, vf_load(up + i)));
    }
}

/* ---- int8 activations ---- */

struct acts_slice {
    int8_t *q;
    float *d, *s;
    int32_t *neg;
};

FORCE_INLINE struct acts_slice acts_slice_at(uint8_t *tile, size_t width, size_t i) {
    uint8_t *at = tile + i * width * ACTS_SLICE_BYTES;

    return (struct acts_slice){(int8_t *)at, (float *)(void *)(at + 32 * width),
                               (float *)(void *)(at + 36 * width), (int32_t *)(void *)(at + 40 * width)};
}

static void quantise_slice(struct acts_slice to, size_t row, const float *x) {
    const vf a = vf_load(x), b = vf_load(x + 16);
    const float most = vf_largest(vf_max(vf_abs(a), vf_abs(b)));
    const vf inverse = vf_all(most > 0.0f ? 127.0f / most : 0.0f);
    int8_t *q = to.q + 32 * row;
    int32_t half[2];

    vf_store_i8(q, vf_mul(a, inverse));
    vf_store_i8(q + 16, vf_mul(b, inverse));
    half[0] = vi_sum_i8(q);
    half[1] = vi_sum_i8(q + 16);
    to.d[row] = most / 127.0f;
    to.s[row] = to.d[row] * (float)(half[0] + half[1]);
    to.neg[2 * row] = -half[0];
    to.neg[2 * row + 1] = -half[1];
}

static void quantise(struct acts *acts, uint32_t row) {
    const size_t n_slices = acts->n_cols / QUANT_SLICE;
    const uint32_t tile = row / ACTS_TILE, width = acts_width(acts->n_rows, tile);
    uint8_t *at = acts->tiles + (size_t)tile * ACTS_TILE * ACTS_SLICE_BYTES * n_slices;
    const float *x = acts->f32 + (size_t)row * acts->n_cols;

    for (size_t i = 0; i < n_slices; i++) {
        struct acts_slice to = acts_slice_at(at, width, i);

        quantise_slice(to, row % ACTS_TILE, x + i * QUANT_SLICE);
        for (uint32_t pad = row % ACTS_TILE + 1; row + 1 == acts->n_rows && pad < width; pad++) {
            memset(to.q + 32 * pad, 0, 32);
            to.d[pad] = to.s[pad] = 0.0f;
            to.neg[2 * pad] = to.neg[2 * pad + 1] = 0;
        }
    }
}

/* ---- matrix products ---- */

FORCE_INLINE int bits_of(uint32_t type) {
    return type == QUANT_Q8_0                                               ? 8
           : type == QUANT_Q6_K                                             ? 6
           : type == QUANT_Q5_0 || type == QUANT_Q5_1 || type == QUANT_Q5_K ? 5
                                                                            : 4;
}

/* The eight weight vectors of a slice. */
FORCE_INLINE void load_weights(uint32_t type, const uint8_t *group, struct matrix_slice at, vb w[8]) {
    const int bits = bits_of(type);

    for (int t = 0; t < 4 && bits != 8; t++) {
        const vb both = vb_load(group + at.low + 64 * t);

        w[2 * t] = vb_and(both, 15);
        w[2 * t + 1] = vb_high(both);
    }
    for (int g = 0; g < 8; g++) {
        if (bits == 8)
            w[g] = vb_s8(vb_load(group + at.low + 64 * g));
        if (bits == 5)
            w[g] = vb_or_bits(w[g], vb_load(group + at.high), g < 4 ? 4 - g : 0, g > 4 ? g - 4 : 0, 16);
        if (bits == 6)
            w[g] = vb_or_bits(w[g], vb_load(group + at.high + 64 * (g / 4)),
                              g % 4 == 0   ? 4
                              : g % 4 == 1 ? 2
                                           : 0,
                              g % 4 == 3 ? 2 : 0, 48);
    }
}

struct scales {
    vf d;       /* of the slice; K6: of the super-block */
    vf half[2]; /* K6 */
    vf min;
};

FORCE_INLINE struct scales load_scales(uint32_t type, const uint8_t *group, struct matrix_slice at) {
    const uint8_t *p = group + at.scales;
    struct scales s = {vf_zero(), {vf_zero(), vf_zero()}, vf_zero()};

    if (type == QUANT_Q6_K) {
        s.d = vf_load_f16(group + at.head);
        s.half[0] = vf_load_i8(p);
        s.half[1] = vf_load_i8(p + 16);
    } else if (type == QUANT_Q4_K || type == QUANT_Q5_K) {
        s.d = vf_mul(vf_load_f16(group + at.head), vf_load_u8(p));
        s.min = vf_sub(vf_zero(), vf_mul(vf_load_f16(group + at.head + 32), vf_load_u8(p + 16)));
    } else {
        s.d = vf_load_f16(p);
        if (type == QUANT_Q4_1 || type == QUANT_Q5_1)
            s.min = vf_load_f16(p + 32);
    }
    return s;
}

/* acc += the slice's part of one row's product. */
FORCE_INLINE vf add_slice(uint32_t type, vf acc, const vb w[8], const struct scales *s, struct acts_slice a,
                          int t) {
    const int8_t *q = a.q + 32 * t;
    const int bits = bits_of(type);
    vi sum;

    if (type == QUANT_Q6_K) {
        const vi first = vi_dot(w, q, 0, 4, vi_all_shifted(a.neg[2 * t], 5), bits);
        const vi second = vi_dot(w, q, 4, 4, vi_all_shifted(a.neg[2 * t + 1], 5), bits);
        const vf both = vf_fma(vf_of_vi(second), s->half[1], vf_mul(vf_of_vi(first), s->half[0]));

        return vf_fma(both, vf_mul(s->d, vf_all(a.d[t])), acc);
    }
    if (type == QUANT_Q4_0 || type == QUANT_Q5_0 || (type == QUANT_Q8_0 && SIMD_S8_IS_MOVED))
        sum = vi_all_shifted(a.neg[2 * t] + a.neg[2 * t + 1], type == QUANT_Q4_0   ? 3
                                                              : type == QUANT_Q5_0 ? 4
                                                                                   : SIMD_S8_SHIFT);
    else
        sum = vi_zero();
    acc = vf_fma(vf_of_vi(vi_dot(w, q, 0, 8, sum, bits)), vf_mul(s->d, vf_all(a.d[t])), acc);
    if (type == QUANT_Q4_1 || type == QUANT_Q5_1 || type == QUANT_Q4_K || type == QUANT_Q5_K)
        acc = vf_fma(s->min, vf_all(a.s[t]), acc);
    return acc;
}

/* y (+)= acc (+ bias) for the up to 16 rows of one group. */
static void store_lanes(vf acc, const struct product *to, size_t acts_row, size_t row, size_t n_rows) {
    float *y = to->y + acts_row * to->stride + row;
    float lanes[16], bias[16] = {0};
    const size_t n = n_rows - row < 16 ? n_rows - row : 16;

    if (n == 16) {
        if (to->bias)
            acc = vf_add(acc, vf_load(to->bias + row));
        if (to->add)
            acc = vf_add(vf_load(y), acc);
        vf_store(y, acc);
        return;
    }
    if (to->bias) {
        memcpy(bias, to->bias + row, n * sizeof(float));
        acc = vf_add(acc, vf_load(bias));
    }
    vf_store(lanes, acc);
    for (size_t i = 0; i < n; i++)
        y[i] = to->add ? y[i] + lanes[i] : lanes[i];
}

/* One group times one tile of `width` rows. type and width are constants. */
FORCE_INLINE void group_times_tile(uint32_t type, int width, const uint8_t *group, uint8_t *tile,
                                   size_t n_slices, vf *out) {
    vf acc[ACTS_TILE];

    for (int t = 0; t < width; t++)
        acc[t] = vf_zero();
    for (size_t i = 0; i < n_slices; i++) {
        const struct matrix_slice at = matrix_slice_at(type, i);
        const struct acts_slice a = acts_slice_at(tile, (size_t)width, i);
        const struct scales s = load_scales(type, group, at);
        vb w[8];

        load_weights(type, group, at, w);
#pragma GCC unroll 8
        for (int t = 0; t < width; t++)
            acc[t] = add_slice(type, acc[t], w, &s, a, t);
    }
    for (int t = 0; t < width; t++)
        out[t] = acc[t];
}

FORCE_INLINE void groups_of(uint32_t type, const struct matrix *m, uint32_t first, uint32_t n,
                            const struct acts *acts, const struct product *to) {
    const size_t n_slices = m->n_cols / QUANT_SLICE;

    for (uint32_t group = first; group < first + n; group++)
        for (uint32_t row = 0; row < acts->n_rows; row += ACTS_TILE) {
            const uint8_t *weights = m->data + group * m->group_bytes;
            uint8_t *tile = acts->tiles + (size_t)row * ACTS_SLICE_BYTES * n_slices;
            vf out[ACTS_TILE];

            switch (acts_width(acts->n_rows, row / ACTS_TILE)) {
            case 1:
                group_times_tile(type, 1, weights, tile, n_slices, out);
                break;
            case 2:
                group_times_tile(type, 2, weights, tile, n_slices, out);
                break;
            case 4:
                group_times_tile(type, 4, weights, tile, n_slices, out);
                break;
            default:
                group_times_tile(type, 8, weights, tile, n_slices, out);
            }
            for (uint32_t t = 0; t < ACTS_TILE && row + t < acts->n_rows; t++)
                store_lanes(out[t], to, row + t, (size_t)group * MATRIX_LANES, m->n_rows);
        }
}

/* Weights that are floats: f32 activations, columns in ascending order. */
FORCE_INLINE void float_groups_of(uint32_t type, const struct matrix *m, uint32_t first, uint32_t n,
                                  const struct acts *acts, const struct product *to) {
    const size_t bytes = MATRIX_LANES * (type == QUANT_F32 ? 4 : 2);

    for (uint32_t group = first; group < first + n; group++)
        for (uint32_t row = 0; row < acts->n_rows; row++) {
            const uint8_t *weights = m->data + group * m->group_bytes;
            const float *x = acts->f32 + (size_t)row * m->n_cols;
            vf acc = vf_zero();

            for (size_t k = 0; k < m->n_cols; k++, weights += bytes) {
                const vf w = type == QUANT_F32   ? vf_load((const float *)(const void *)weights)
                             : type == QUANT_F16 ? vf_load_f16(weights)
                                                 : vf_load_bf16(weights);
                acc = vf_fma(w, vf_all(x[k]), acc);
            }
            store_lanes(acc, to, row, (size_t)group * MATRIX_LANES, m->n_rows);
        }
}

#define GROUPS_OF(type)                                                                                      \
    case type:                                                                                               \
        groups_of(type, m, first, n, acts, to);                                                              \
        break
#define FLOAT_GROUPS_OF(type)                                                                                \
    case type:                                                                                               \
        float_groups_of(type, m, first, n, acts, to);                                                        \
        break

static void matmul(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                   const struct product *to) {
    switch (m->type) {
        GROUPS_OF(QUANT_Q4_0);
        GROUPS_OF(QUANT_Q4_1);
        GROUPS_OF(QUANT_Q5_0);
        GROUPS_OF(QUANT_Q5_1);
        GROUPS_OF(QUANT_Q8_0);
        GROUPS_OF(QUANT_Q4_K);
        GROUPS_OF(QUANT_Q5_K);
        GROUPS_OF(QUANT_Q6_K);
        FLOAT_GROUPS_OF(QUANT_F32);
        FLOAT_GROUPS_OF(QUANT_F16);
        FLOAT_GROUPS_OF(QUANT_BF16);
    }
}

/* ---- attention ---- */

static void kv_put(uint16_t *k_page, uint16_t *v_page, uint32_t at, const float *k, const float *v,
                   uint32_t head_dim) {
    uint16_t *k_tile = k_page + (size_t)(at / KV_TILE) * KV_TILE * head_dim;

    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint16_t half[16];

        vf_store_f16(half, vf_load(k + d));
        for (uint32_t i = 0; i < 16; i++)
            k_tile[(d + i) * KV_TILE + at % KV_TILE] = half[i];
        vf_store_f16(v_page + (size_t)d * KV_PAGE + 16 * at, vf_load(v + d));
    }
}

/* scores[h][p] = q[h] . k[p] * scale for the 16 positions of one tile. heads is a constant. */
FORCE_INLINE void score_tile(int heads, const struct attend *job, uint32_t head, const uint16_t *tile,
                             float *scores) {
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_zero();
    for (uint32_t d = 0; d < job->head_dim; d++) {
        const vf k = vf_load_f16(tile + (size_t)d * KV_TILE);

        for (int h = 0; h < heads; h++)
            acc[h] = vf_fma(vf_all(job->q[(head + (uint32_t)h) * job->head_dim + d]), k, acc[h]);
    }
    for (int h = 0; h < heads; h++)
        vf_store(scores + (head + (uint32_t)h) * job->score_stride, vf_mul(acc[h], vf_all(job->scale)));
}

/* out[h][d..d+16) += p[h][0..n) . v for the n positions of one page. heads is a constant. */
FORCE_INLINE void value_page(int heads, const struct attend *job, uint32_t head, const uint16_t *v,
                             uint32_t d, uint32_t n, const float *p) {
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_load(job->out + (head + (uint32_t)h) * job->head_dim + d);
    for (uint32_t i = 0; i < n; i++) {
        const vf value = vf_load_f16(v + (size_t)d * KV_PAGE + 16 * i);

        for (int h = 0; h < heads; h++)
            acc[h] = vf_fma(vf_all(p[(head + (uint32_t)h) * job->score_stride + i]), value, acc[h]);
    }
    for (int h = 0; h < heads; h++)
        vf_store(job->out + (head + (uint32_t)h) * job->head_dim + d, acc[h]);
}

/* scores = exp(scores - most) and 0 behind n; returns 1 / sum. */
static float softmax(float *scores, uint32_t n) {
    const uint32_t end = (n + 15) / 16 * 16;
    vf most = vf_all(-INFINITY), sum = vf_zero();

    for (uint32_t i = n; i < end; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = 0; i < end; i += 16)
        most = vf_max(most, vf_load(scores + i));
    most = vf_all(vf_largest(most));
    for (uint32_t i = 0; i < end; i += 16) {
        vf_store(scores + i, exp_lanes(vf_sub(vf_load(scores + i), most)));
        for (uint32_t j = n; j < end && j >= i && j < i + 16; j++)
            scores[j] = 0.0f;
        sum = vf_add(sum, vf_load(scores + i));
    }
    return 1.0f / vf_sum(sum);
}

FORCE_INLINE void attend_heads(int heads, const struct attend *job, uint32_t head) {
    for (uint32_t p = 0; p < job->n; p += KV_TILE) {
        const uint16_t *tile = job->k[p / KV_PAGE] + (size_t)(p % KV_PAGE) * job->head_dim;

        score_tile(heads, job, head, tile, job->scores + p);
    }
    for (int h = 0; h < heads; h++) {
        float *scores = job->scores + (head + (uint32_t)h) * job->score_stride;
        const vf inverse = vf_all(softmax(scores, job->n));

        for (uint32_t i = 0; i < job->n; i += 16)
            vf_store(scores + i, vf_mul(vf_load(scores + i), inverse));
        memset(job->out + (head + (uint32_t)h) * job->head_dim, 0, job->head_dim * sizeof(float));
    }
    for (uint32_t p = 0; p < job->n; p += KV_PAGE) {
        const uint32_t n = job->n - p < KV_PAGE ? job->n - p : KV_PAGE;

        for (uint32_t d = 0; d < job->head_dim; d += 16)
            value_page(heads, job, head, job->v[p / KV_PAGE], d, n, job->scores + p);
    }
}

static void attend(const struct attend *job) {
    uint32_t head = 0;

    while (head < job->n_heads) {
        const uint32_t left = job->n_heads - head;

        if (left >= 6) {
            attend_heads(6, job, head);
            head += 6;
        } else if (left >= 3) {
            attend_heads(3, job, head);
            head += 3;
        } else if (left >= 2) {
            attend_heads(2, job, head);
            head += 2;
        } else {
            attend_heads(1, job, head);
            head += 1;
        }
    }
}

const struct kernels TELEX_KERNELS = {
    .name = TELEX_KERNELS_NAME,
    .rmsnorm = rmsnorm,
    .quantise = quantise,
    .matmul = matmul,
    .swiglu = swiglu,
    .attend = attend,
    .kv_put = kv_put,
};

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

/* Store 32 integers of one term; returns their sum and notes it by halves. */
FORCE_INLINE int32_t put_term(int8_t *q, int32_t *neg, vf a, vf b) {
    vf_store_i8(q, a);
    vf_store_i8(q + 16, b);
    neg[0] = -vi_sum_i8(q);
    neg[1] = -vi_sum_i8(q + 16);
    return -(neg[0] + neg[1]);
}

FORCE_INLINE void quantise_slice(struct acts_slice to, size_t row, uint32_t terms, const float *x) {
    const float levels =
        terms == 2 ? ACTS_BASE * 127.0f + 126.0f : 127.0f; /* the high term rounds to at most 127 */
    const float most = vf_largest(vf_max(vf_abs(vf_load(x)), vf_abs(vf_load(x + 16))));
    const vf inverse = vf_all(most > 0.0f ? levels / most : 0.0f);
    const vf a = vf_round(vf_mul(vf_load(x), inverse)), b = vf_round(vf_mul(vf_load(x + 16), inverse));
    int8_t *q = to.q + 32 * terms * row;
    int32_t *neg = to.neg + 2 * terms * row, sum;

    if (terms == 2) {
        const vf high_a = vf_round(vf_mul(a, vf_all(1.0f / ACTS_BASE))),
                 high_b = vf_round(vf_mul(b, vf_all(1.0f / ACTS_BASE)));

        sum = ACTS_BASE * put_term(q, neg, high_a, high_b);
        sum += put_term(q + 32, neg + 2, vf_fma(high_a, vf_all(-ACTS_BASE), a),
                        vf_fma(high_b, vf_all(-ACTS_BASE), b));
    } else {
        sum = put_term(q, neg, a, b);
    }
    to.d[row] = most / levels;
    to.s[row] = to.d[row] * (float)sum;
}

static void clear_padding(struct acts_slice to, size_t row, size_t width, uint32_t terms) {
    for (; row < width; row++) {
        memset(to.q + 32 * terms * row, 0, 32 * terms);
        memset(to.neg + 2 * terms * row, 0, 2 * terms * sizeof(int32_t));
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

/* Sum over n groups of four columns of (weight - offset) * activation, as a float. */
FORCE_INLINE vf dot_terms(uint32_t type, const vb w[8], int first, int n, const int8_t *q, const int32_t *neg,
                          uint32_t terms) {
    const int shift = type == QUANT_Q4_0   ? 3
                      : type == QUANT_Q5_0 ? 4
                      : type == QUANT_Q6_K ? 5
                                           : SIMD_S8_SHIFT;
    const bool moved = type == QUANT_Q4_0 || type == QUANT_Q5_0 || type == QUANT_Q6_K ||
                       (type == QUANT_Q8_0 && SIMD_S8_IS_MOVED);
    vf high = vf_zero();

    for (uint32_t term = 0; term < terms; term++) {
        const int32_t less = n == 8 ? neg[2 * term] + neg[2 * term + 1] : neg[2 * term + (uint32_t)first / 4];
        const vi start = moved ? vi_all_shifted(less, shift) : vi_zero();
        const vf sum = vf_of_vi(vi_dot(w, q + 32 * term, first, n, start, bits_of(type)));

        high = term == 0 ? sum : vf_fma(high, vf_all(ACTS_BASE), sum);
    }
    return high;
}

/* acc += the slice's part of one row's product. */
FORCE_INLINE vf add_slice(uint32_t type, vf acc, const vb w[8], const struct scales *s, struct acts_slice a,
                          size_t t, uint32_t terms) {
    const int8_t *q = a.q + 32 * terms * t;
    const int32_t *neg = a.neg + 2 * terms * t;
    const vf d = vf_mul(s->d, vf_all(a.d[t]));

    if (type == QUANT_Q6_K) {
        const vf first = vf_mul(dot_terms(type, w, 0, 4, q, neg, terms), s->half[0]);

        return vf_fma(vf_fma(dot_terms(type, w, 4, 4, q, neg, terms), s->half[1], first), d, acc);
    }
    acc = vf_fma(dot_terms(type, w, 0, 8, q, neg, terms), d, acc);
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

/* One group times one tile of `width` rows. type, width and terms are constants. */
FORCE_INLINE void group_times_tile(uint32_t type, uint32_t width, uint32_t terms, const uint8_t *group,
                                   uint8_t *tile, size_t n_slices, vf *out) {
    vf acc[ACTS_TILE];

    for (uint32_t t = 0; t < width; t++)
        acc[t] = vf_zero();
    for (size_t i = 0; i < n_slices; i++) {
        const struct matrix_slice at = matrix_slice_at(type, i);
        const struct acts_slice a = acts_slice_at(tile, width, terms, i);
        const struct scales s = load_scales(type, group, at);
        vb w[8];

        load_weights(type, group, at, w);
#pragma GCC unroll 8
        for (uint32_t t = 0; t < width; t++)
            acc[t] = add_slice(type, acc[t], w, &s, a, t, terms);
    }
    for (uint32_t t = 0; t < width; t++)
        out[t] = acc[t];
}

FORCE_INLINE void tile_of_any_width(uint32_t type, uint32_t width, uint32_t terms, const uint8_t *group,
                                    uint8_t *tile, size_t n_slices, vf *out) {
#if defined(SIMD_IS_PLAIN)
    group_times_tile(type, width, terms, group, tile, n_slices, out);
#else
    switch (width) {
    case 1:
        group_times_tile(type, 1, terms, group, tile, n_slices, out);
        break;
    case 2:
        group_times_tile(type, 2, terms, group, tile, n_slices, out);
        break;
    case 4:
        group_times_tile(type, 4, terms, group, tile, n_slices, out);
        break;
    default:
        group_times_tile(type, 8, terms, group, tile, n_slices, out);
    }
#endif
}

FORCE_INLINE void groups_of(uint32_t type, uint32_t terms, const struct matrix *m, uint32_t first, uint32_t n,
                            const struct acts *acts, const struct product *to) {
    const size_t n_slices = m->n_cols / QUANT_SLICE;

    for (uint32_t group = first; group < first + n; group++)
        for (uint32_t row = 0; row < acts->n_rows; row += ACTS_TILE) {
            const uint8_t *weights = m->data + group * m->group_bytes;
            uint8_t *tile = acts->tiles + (size_t)row * acts_slice_bytes(terms) * n_slices;
            vf out[ACTS_TILE];

            tile_of_any_width(type, acts_width(acts->n_rows, row / ACTS_TILE), terms, weights, tile, n_slices,
                              out);
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

#if defined(SIMD_IS_PLAIN)
static void matmul(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                   const struct product *to) {
    if (quant_info(m->type)->form == QUANT_FORM_FLOAT)
        float_groups_of(m->type, m, first, n, acts, to);
    else
        groups_of(m->type, acts->terms, m, first, n, acts, to);
}
#else
#define GROUPS_OF(type, terms)                                                                               \
    case 2 * type + terms - 1:                                                                               \
        groups_of(type, terms, m, first, n, acts, to);                                                       \
        break
#define FLOAT_GROUPS_OF(type)                                                                                \
    case 2 * type:                                                                                           \
    case 2 * type + 1:                                                                                       \
        float_groups_of(type, m, first, n, acts, to);                                                        \
        break

static void matmul(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                   const struct product *to) {
    switch (2 * m->type + acts->terms - 1) {
        GROUPS_OF(QUANT_Q4_0, 2); /* acts_terms_for() asks for no fewer */
        GROUPS_OF(QUANT_Q4_1, 2);
        GROUPS_OF(QUANT_Q5_0, 2);
        GROUPS_OF(QUANT_Q5_1, 2);
        GROUPS_OF(QUANT_Q8_0, 2);
        GROUPS_OF(QUANT_Q4_K, 1);
        GROUPS_OF(QUANT_Q4_K, 2);
        GROUPS_OF(QUANT_Q5_K, 1);
        GROUPS_OF(QUANT_Q5_K, 2);
        GROUPS_OF(QUANT_Q6_K, 1);
        GROUPS_OF(QUANT_Q6_K, 2);
        FLOAT_GROUPS_OF(QUANT_F32);
        FLOAT_GROUPS_OF(QUANT_F16);
        FLOAT_GROUPS_OF(QUANT_BF16);
    }
}
#endif

/* ---- attention ---- */

static void key_put(uint16_t *page, uint32_t at, const float *key, uint32_t head_dim) {
    uint16_t *tile = page + (size_t)(at / KV_TILE) * KV_TILE * head_dim;

    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint16_t half[16];

        vf_store_f16(half, vf_load(key + d));
        for (uint32_t i = 0; i < 16; i++)
            tile[(d + i) * KV_TILE + at % KV_TILE] = half[i];
    }
}

static void value_put(uint16_t *page, uint32_t at, const float *value, uint32_t head_dim) {
    for (uint32_t d = 0; d < head_dim; d += 16)
        vf_store_f16(page + (size_t)d * KV_PAGE + 16 * at, vf_load(value + d));
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

/* out[h][d..d+16) += p[h][first..n) . v for these positions of one page. heads is a constant. */
FORCE_INLINE void value_page(int heads, const struct attend *job, uint32_t head, const uint16_t *v,
                             uint32_t d, uint32_t first, uint32_t n, const float *p) {
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_load(job->out + (head + (uint32_t)h) * job->head_dim + d);
    for (uint32_t i = first; i < n; i++) {
        const vf value = vf_load_f16(v + (size_t)d * KV_PAGE + 16 * i);

        for (int h = 0; h < heads; h++)
            acc[h] = vf_fma(vf_all(p[(head + (uint32_t)h) * job->score_stride + i]), value, acc[h]);
    }
    for (int h = 0; h < heads; h++)
        vf_store(job->out + (head + (uint32_t)h) * job->head_dim + d, acc[h]);
}

/* scores = exp(scores - most) over [skip, n), and 0 in the rest of the first and last sixteen; returns 1 /
 * sum.
 */
static float softmax(float *scores, uint32_t skip, uint32_t n) {
    const uint32_t begin = skip / 16 * 16, end = (n + 15) / 16 * 16;
    vf most = vf_all(-INFINITY), sum = vf_zero();

    for (uint32_t i = begin; i < skip; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = n; i < end; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = begin; i < end; i += 16)
        most = vf_max(most, vf_load(scores + i));
    most = vf_all(vf_largest(most));
    for (uint32_t i = begin; i < end; i += 16) {
        vf_store(scores + i, exp_lanes(vf_sub(vf_load(scores + i), most)));
        for (uint32_t j = i; j < skip && j < i + 16; j++)
            scores[j] = 0.0f;
        for (uint32_t j = n; j < end && j >= i && j < i + 16; j++)
            scores[j] = 0.0f;
        sum = vf_add(sum, vf_load(scores + i));
    }
    return 1.0f / vf_sum(sum);
}

FORCE_INLINE void attend_heads(int heads, const struct attend *job, uint32_t head) {
    const uint32_t begin = job->skip / KV_TILE * KV_TILE;

    for (uint32_t p = begin; p < job->n; p += KV_TILE) {
        const uint16_t *tile = job->k[p / KV_PAGE] + (size_t)(p % KV_PAGE) * job->head_dim;

        score_tile(heads, job, head, tile, job->scores + p);
    }
    for (int h = 0; h < heads; h++) {
        float *scores = job->scores + (head + (uint32_t)h) * job->score_stride;
        const vf inverse = vf_all(softmax(scores, job->skip, job->n));

        for (uint32_t i = begin; i < job->n; i += 16)
            vf_store(scores + i, vf_mul(vf_load(scores + i), inverse));
        memset(job->out + (head + (uint32_t)h) * job->head_dim, 0, job->head_dim * sizeof(float));
    }
    for (uint32_t p = 0; p < job->n; p += KV_PAGE) {
        const uint32_t n = job->n - p < KV_PAGE ? job->n - p : KV_PAGE;

        for (uint32_t d = 0; d < job->head_dim; d += 16)
            value_page(heads, job, head, job->v[p / KV_PAGE], d, p == 0 ? job->skip : 0, n, job->scores + p);
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
    .geglu = geglu,
    .attend = attend,
    .key_put = key_put,
    .value_put = value_put,
};

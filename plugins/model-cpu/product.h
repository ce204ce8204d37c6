/* SPDX-License-Identifier: Apache-2.0 */
/* product.h - the part of kernels.c that multiplies matrices. Only kernels.c includes it. */
#ifndef TELEX_PRODUCT_H
#define TELEX_PRODUCT_H

FORCE_INLINE bool is_k(uint32_t type) {
    return type == QUANT_Q4_K || type == QUANT_Q5_K || type == QUANT_Q6_K;
}

FORCE_INLINE bool has_min(uint32_t type) {
    return type == QUANT_Q4_1 || type == QUANT_Q5_1 || type == QUANT_Q4_K || type == QUANT_Q5_K;
}

/* Unrolled, so that arrays over rows become registers. */
#define EACH_ROW(t, width) _Pragma("GCC unroll 8") for (uint32_t t = 0; t < (width); t++)

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
    vf d;    /* of the slice; K6: of the first half */
    vf half; /* K6: of the second half */
    vf min;
};

/* heads: the super-block's two, converted. */
FORCE_INLINE struct scales load_scales(uint32_t type, const uint8_t *group, struct matrix_slice at,
                                       const vf heads[2]) {
    const uint8_t *p = group + at.scales;
    struct scales s = {vf_zero(), vf_zero(), vf_zero()};

    if (type == QUANT_Q6_K) {
        s.d = vf_mul(heads[0], vf_load_i8(p));
        s.half = vf_mul(heads[0], vf_load_i8(p + 16));
    } else if (is_k(type)) {
        s.d = vf_mul(heads[0], vf_load_u8(p));
        s.min = vf_mul(heads[1], vf_load_u8(p + 16));
    } else {
        s.d = vf_load_f16(p);
        if (has_min(type))
            s.min = vf_load_f16(p + 32);
    }
    return s;
}

/* sum[t] = over n groups of four columns, (weight - offset) * activation of row t. */
FORCE_INLINE void sum_slice(uint32_t type, const vb w[8], int first, int n, struct acts_slice a,
                            uint32_t width, uint32_t terms, vi sum[ACTS_TILE]) {
    const int shift = type == QUANT_Q4_0   ? 3
                      : type == QUANT_Q5_0 ? 4
                      : type == QUANT_Q6_K ? 5
                                           : SIMD_S8_SHIFT;
    const bool moved = type == QUANT_Q4_0 || type == QUANT_Q5_0 || type == QUANT_Q6_K ||
                       (type == QUANT_Q8_0 && SIMD_S8_IS_MOVED);
    vi start[ACTS_TILE];

    EACH_ROW(t, width) {
        const int32_t *neg = a.neg + 2 * t;

        start[t] = moved ? vi_all_shifted(n == 8 ? neg[0] + neg[1] : neg[first / 4], shift) : vi_zero();
        sum[t] = terms == 2 ? vi_zero() : start[t];
    }
    vi_dots(w, a.q, 32 * terms, width, first, n, bits_of(type), sum);
    if (terms == 1)
        return;
    EACH_ROW(t, width)
    sum[t] = vi_add(vi_times_255(sum[t]), start[t]);
    vi_dots(w, a.q + 32, 64, width, first, n, bits_of(type), sum);
}

/* heads: f16 scale and minus f16 minimum of a super-block. */
FORCE_INLINE void load_heads(uint32_t type, const uint8_t *head, vf heads[2]) {
    heads[0] = vf_load_f16(head);
    if (has_min(type))
        heads[1] = vf_sub(vf_zero(), vf_load_f16(head + 32));
}

/* acc[t] += the integer sums of row t, scaled; second: K6, of the second half. type and width are constants.
 */
FORCE_INLINE void add_scaled(uint32_t type, struct scales s, struct acts_slice a, uint32_t width,
                             const vi *sum, const vi *second, vf acc[ACTS_TILE]) {
    if (type == QUANT_Q6_K) {
        EACH_ROW(t, width) {
            const vf both = vf_fma(vf_of_vi(second[t]), s.half, vf_mul(vf_of_vi(sum[t]), s.d));

            acc[t] = vf_fma(both, vf_all(a.d[t]), acc[t]);
        }
        return;
    }
    EACH_ROW(t, width) {
        acc[t] = vf_fma(vf_mul(vf_of_vi(sum[t]), s.d), vf_all(a.d[t]), acc[t]);
        if (has_min(type))
            acc[t] = vf_fma(s.min, vf_all(a.s[t]), acc[t]);
    }
}

/* acc[t] += the slice's part of row t's product. type, width and terms are constants. */
FORCE_INLINE void add_slice(uint32_t type, const uint8_t *group, size_t i, const vf heads[2],
                            struct acts_slice a, uint32_t width, uint32_t terms, vf acc[ACTS_TILE]) {
    const struct matrix_slice at = matrix_slice_at(type, i);
    const struct scales s = load_scales(type, group, at, heads);
    vi sum[ACTS_TILE], second[ACTS_TILE];
    vb w[8];

    load_weights(type, group, at, w);
    if (type == QUANT_Q6_K) {
        sum_slice(type, w, 0, 4, a, width, terms, sum);
        sum_slice(type, w, 4, 4, a, width, terms, second);
    } else {
        sum_slice(type, w, 0, 8, a, width, terms, sum);
    }
    add_scaled(type, s, a, width, sum, second, acc);
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
    const size_t per_head = is_k(type) ? 8 : 1;
    vf acc[ACTS_TILE];

    EACH_ROW(t, width)
    acc[t] = vf_zero();
    for (size_t first = 0; first < n_slices; first += per_head) {
        const uint8_t *head = group + matrix_slice_at(type, first).head;
        vf heads[2] = {vf_zero(), vf_zero()};

        if (is_k(type))
            load_heads(type, head, heads);
        for (size_t i = first; i < first + per_head; i++)
            add_slice(type, group, i, heads, acts_slice_at(tile, width, terms, i), width, terms, acc);
    }
    EACH_ROW(t, width)
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

/* The rows were written by several cores. Asked for one by one as they are needed, each line would be waited
 * for; asked for together they come while the others come. More than a few rows are not worth it: the first
 * group that reads them is one of many. */
FORCE_INLINE void fetch_acts(const struct acts *acts) {
    const uint8_t *at = acts->tiles;
    const size_t n =
        (size_t)acts_width(acts->n_rows, 0) * acts_slice_bytes(acts->terms) * (acts->n_cols / QUANT_SLICE);

    for (size_t i = 0; acts->n_rows <= ACTS_TILE && i < n; i += 64)
        __builtin_prefetch(at + i);
}

#if defined(SIMD_IS_PLAIN)
static void matmul(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                   const struct product *to) {
    fetch_acts(acts);
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
    fetch_acts(acts);
    switch (2 * m->type + acts->terms - 1) {
        GROUPS_OF(QUANT_Q4_0, 1);
        GROUPS_OF(QUANT_Q4_0, 2);
        GROUPS_OF(QUANT_Q4_1, 1);
        GROUPS_OF(QUANT_Q4_1, 2);
        GROUPS_OF(QUANT_Q5_0, 1);
        GROUPS_OF(QUANT_Q5_0, 2);
        GROUPS_OF(QUANT_Q5_1, 1);
        GROUPS_OF(QUANT_Q5_1, 2);
        GROUPS_OF(QUANT_Q8_0, 1);
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

#endif

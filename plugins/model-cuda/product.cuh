/* SPDX-License-Identifier: Apache-2.0 */
/* product.cuh - rows of a matrix times rows of activations.
 *
 * Within a slice of 32 columns the product of the integers is exact. Slices are added in one order, whatever
 * the kernel, the batch or the type: slice i belongs to part i % 16, a part adds its slices in ascending
 * order, and the parts are added in ascending order to a sum that begins as 0. So one row at a time, tensor
 * cores and tiles of a long prompt give the same bits.
 *
 *   rows_part   a warp a part, a lane a row of the matrix; for one or two rows of activations
 *   tiles_part  a warp a part, tensor cores; for up to 16
 *   gemm_tile   a warp a tile of 16 x 32, all parts one after the other; for prompts */
#ifndef TELEX_PRODUCT_CUH
#define TELEX_PRODUCT_CUH

#include "math.cuh"

/* ---- weights of one lane ---- */

template <int BITS> DEVICE constexpr uint32_t high_at(void) {
    return BITS == 8 ? 1024 : 512;
}
template <int BITS> DEVICE constexpr uint32_t scales_at(void) {
    return high_at<BITS>() + (BITS == 5 ? 128 : BITS == 6 ? 256 : 0);
}

/* The 32 integers of one row, four a word, columns ascending. */
template <int BITS> DEVICE void load_row(const uint8_t *chunk, uint32_t lane, uint32_t w[8]) {
    const words4 a = load16(chunk + 16 * lane);
    const uint32_t low[4] = {a.x, a.y, a.z, a.w};

    if (BITS == 8) {
        const words4 b = load16(chunk + 512 + 16 * lane);
        const uint32_t rest[4] = {b.x, b.y, b.z, b.w};
        for (int g = 0; g < 4; g++) {
            w[g] = low[g];
            w[4 + g] = rest[g];
        }
        return;
    }
    for (int g = 0; g < 4; g++) {
        w[g] = low[g] & 0x0f0f0f0fu;
        w[4 + g] = low[g] >> 4 & 0x0f0f0f0fu;
    }
    if (BITS == 5) {
        const uint32_t h = load4(chunk + high_at<BITS>() + 4 * lane);
        for (int g = 0; g < 8; g++)
            w[g] |= (h >> g & 0x01010101u) << 4;
    }
    if (BITS == 6) {
        const uint64_t h = load8(chunk + high_at<BITS>() + 8 * lane);
        for (int g = 0; g < 8; g++)
            w[g] |= (static_cast<uint32_t>(h >> (g / 4 * 32)) >> g % 4 * 2 & 0x03030303u) << 4;
    }
}

/* Words t and 4 + t of two rows, eight apart: what one lane gives to a tile product. */
template <int BITS> DEVICE void load_fragment(const uint8_t *chunk, uint32_t row, uint32_t t, uint32_t a[4]) {
    for (int i = 0; i < 2; i++) {
        const uint32_t r = row + 8 * i, low = load4(chunk + 16 * r + 4 * t);

        a[i] = BITS == 8 ? low : low & 0x0f0f0f0fu;
        a[2 + i] = BITS == 8 ? load4(chunk + 512 + 16 * r + 4 * t) : low >> 4 & 0x0f0f0f0fu;
        if (BITS == 5) {
            const uint32_t h = load4(chunk + high_at<BITS>() + 4 * r);
            a[i] |= (h >> t & 0x01010101u) << 4;
            a[2 + i] |= (h >> (4 + t) & 0x01010101u) << 4;
        }
        if (BITS == 6) {
            const uint64_t h = load8(chunk + high_at<BITS>() + 8 * r);
            a[i] |= (static_cast<uint32_t>(h) >> 2 * t & 0x03030303u) << 4;
            a[2 + i] |= (static_cast<uint32_t>(h >> 32) >> 2 * t & 0x03030303u) << 4;
        }
    }
}

struct row_scales {
    float d, min;
    float half[2]; /* K6 */
};

/* heads: where the group's heads of the K forms begin. */
template <int BITS, int FORM>
DEVICE row_scales load_scales(const dmatrix &m, const uint8_t *chunk, const uint8_t *heads, uint32_t slice,
                              uint32_t lane) {
    const uint8_t *at = chunk + scales_at<BITS>() + 2 * lane;
    row_scales s = {0.0f, 0.0f, {0.0f, 0.0f}};

    if (FORM == FORM_D) {
        s.d = half_float(load2(at));
        s.min = m.has_min ? half_float(load2(at + 64)) : 0.0f;
        return s;
    }
    const uint32_t head = load4(heads + slice / 8 * 128 + 4 * lane), sub = load2(at);
    s.d = half_float(head & 0xffffu);
    if (FORM == FORM_K) {
        s.d = s.d * static_cast<float>(sub & 255u);
        s.min = 0.0f - half_float(head >> 16) * static_cast<float>(sub >> 8);
    } else {
        s.half[0] = static_cast<float>(static_cast<int8_t>(sub & 255u));
        s.half[1] = static_cast<float>(static_cast<int8_t>(sub >> 8));
    }
    return s;
}

/* ---- one slice's part of a sum ---- */

struct act_scales {
    float d, s;
    uint32_t sum[2]; /* two int16 each: halves of term 0, of term 1 */
};
DEVICE act_scales load_act_scales(const dacts &h, uint64_t at) {
    const words4 v = load16(h.meta + at);
    return {bits_float(v.x), bits_float(v.y), {v.z, v.w}};
}
DEVICE int32_t low_half(uint32_t v) {
    return static_cast<int16_t>(v & 0xffffu);
}
DEVICE int32_t high_half(uint32_t v) {
    return static_cast<int16_t>(v >> 16);
}

/* acc plus the slice: sums[term][half] are the products of the integers as they are stored. */
template <int FORM>
DEVICE float add_slice(float acc, const dmatrix &m, const row_scales &w, const act_scales &a, uint32_t terms,
                       const int32_t sums[2][2]) {
    const int32_t off = m.offset;
    float v[2];

    if (FORM == FORM_K6) {
        for (int half = 0; half < 2; half++) {
            const int32_t less0 = half ? high_half(a.sum[0]) : low_half(a.sum[0]);
            const int32_t less1 = half ? high_half(a.sum[1]) : low_half(a.sum[1]);
            v[half] = static_cast<float>(sums[0][half] - off * less0);
            if (terms == 2)
                v[half] = fma_f(v[half], ACT_BASE, static_cast<float>(sums[1][half] - off * less1));
        }
        return fma_f(fma_f(v[1], w.half[1], v[0] * w.half[0]), w.d * a.d, acc);
    }
    v[0] = static_cast<float>(sums[0][0] - off * (low_half(a.sum[0]) + high_half(a.sum[0])));
    if (terms == 2)
        v[0] = fma_f(v[0], ACT_BASE,
                     static_cast<float>(sums[1][0] - off * (low_half(a.sum[1]) + high_half(a.sum[1]))));
    acc = fma_f(v[0], w.d * a.d, acc);
    return FORM == FORM_K || m.has_min ? fma_f(w.min, a.s, acc) : acc;
}

/* ---- a lane a row ---- */

/* parts (PARTS, M, 32) = this group's rows times rows row0.. of h: the warp's part. */
template <int BITS, int FORM, int M>
CALLED void rows_part(const dmatrix &m, uint32_t group, const dacts &h, uint32_t row0, float *parts) {
    const uint8_t *base = m.data + group * m.group_bytes;
    const uint8_t *heads = base + static_cast<uint64_t>(m.n_slices) * m.chunk_bytes;
    const uint32_t lane = lane_of(), terms = h.terms;
    float acc[M];

    for (int c = 0; c < M; c++)
        acc[c] = 0.0f;
    UNROLL(4)
    for (uint32_t s = warp_of(); s < m.n_slices; s += PARTS) {
        const uint8_t *chunk = base + static_cast<uint64_t>(s) * m.chunk_bytes;
        uint32_t w[8];

        load_row<BITS>(chunk, lane, w);
        const row_scales scales = load_scales<BITS, FORM>(m, chunk, heads, s, lane);
        for (int c = 0; c < M; c++) {
            const uint64_t at = static_cast<uint64_t>(row0 + c) * h.n_slices + s;
            int32_t sums[2][2] = {{0, 0}, {0, 0}};

            for (uint32_t term = 0; term < terms; term++) {
                const int8_t *q = h.q + (at * terms + term) * 32;
                const words4 a = load16(q), b = load16(q + 16);
                const int32_t low = dot4(w[3], a.w, dot4(w[2], a.z, dot4(w[1], a.y, dot4(w[0], a.x, 0))));
                const int32_t start = FORM == FORM_K6 ? 0 : low;
                const int32_t high =
                    dot4(w[7], b.w, dot4(w[6], b.z, dot4(w[5], b.y, dot4(w[4], b.x, start))));

                sums[term][0] = FORM == FORM_K6 ? low : high;
                sums[term][1] = FORM == FORM_K6 ? high : 0;
            }
            acc[c] = add_slice<FORM>(acc[c], m, scales, load_act_scales(h, at), terms, sums);
        }
    }
    for (int c = 0; c < M; c++)
        parts[(warp_of() * M + c) * LANES + lane] = acc[c];
}

/* Column 4 i + j of a float matrix's slice, for one lane. */
DEVICE void load_floats(const dmatrix &m, const uint8_t *chunk, uint32_t lane, uint32_t i, float w[4]) {
    if (m.form == FORM_F32) {
        const words4 v = load16(chunk + 512 * i + 16 * lane);
        const uint32_t bits[4] = {v.x, v.y, v.z, v.w};
        for (int j = 0; j < 4; j++)
            w[j] = bits_float(bits[j]);
        return;
    }
    const uint64_t v = load8(chunk + 512 * (i / 2) + 16 * lane + 8 * (i % 2));
    for (int j = 0; j < 4; j++) {
        const uint32_t bits = static_cast<uint32_t>(v >> 16 * j) & 0xffffu;
        w[j] = m.form == FORM_F16 ? half_float(bits) : bits_float(bits << 16);
    }
}

/* One slice of a float matrix; columns ascending. */
template <int M>
DEVICE void add_float_slice(const dmatrix &m, const uint8_t *base, uint32_t s, const dacts &h, uint32_t row0,
                            float acc[M]) {
    const uint8_t *chunk = base + static_cast<uint64_t>(s) * m.chunk_bytes;

    for (uint32_t i = 0; i < 8; i++) {
        float w[4];

        load_floats(m, chunk, lane_of(), i, w);
        for (int c = 0; c < M; c++) {
            const words4 x = load16(h.f32 + static_cast<uint64_t>(row0 + c) * h.n_cols + s * SLICE + 4 * i);
            acc[c] = fma_f(w[0], bits_float(x.x), acc[c]);
            acc[c] = fma_f(w[1], bits_float(x.y), acc[c]);
            acc[c] = fma_f(w[2], bits_float(x.z), acc[c]);
            acc[c] = fma_f(w[3], bits_float(x.w), acc[c]);
        }
    }
}

template <int M>
CALLED void float_part(const dmatrix &m, uint32_t group, const dacts &h, uint32_t row0, float *parts) {
    float acc[M];

    for (int c = 0; c < M; c++)
        acc[c] = 0.0f;
    for (uint32_t s = warp_of(); s < m.n_slices; s += PARTS)
        add_float_slice<M>(m, m.data + group * m.group_bytes, s, h, row0, acc);
    for (int c = 0; c < M; c++)
        parts[(warp_of() * M + c) * LANES + lane_of()] = acc[c];
}

/* Call `name` with the constants of the matrix's type. */
#define BY_TYPE(m, name, ...)                                                                                \
    switch ((m).form * 16 + (m).bits) {                                                                      \
    case FORM_D * 16 + 4:                                                                                    \
        name < 4, FORM_D, __VA_ARGS__;                                                                       \
        break;                                                                                               \
    case FORM_D * 16 + 5:                                                                                    \
        name < 5, FORM_D, __VA_ARGS__;                                                                       \
        break;                                                                                               \
    case FORM_D * 16 + 8:                                                                                    \
        name < 8, FORM_D, __VA_ARGS__;                                                                       \
        break;                                                                                               \
    case FORM_K * 16 + 4:                                                                                    \
        name < 4, FORM_K, __VA_ARGS__;                                                                       \
        break;                                                                                               \
    case FORM_K * 16 + 5:                                                                                    \
        name < 5, FORM_K, __VA_ARGS__;                                                                       \
        break;                                                                                               \
    case FORM_K6 * 16 + 6:                                                                                   \
        name < 6, FORM_K6, __VA_ARGS__;                                                                      \
        break;                                                                                               \
    default:                                                                                                 \
        break;                                                                                               \
    }

/* ---- tensor cores ---- */

/* One slice of 16 rows of the matrix, from row r of the group on, times 8 N rows of h. Lane 4 g + t holds in
 * acc[i] (row g, g, g + 8, g + 8) x (activations 8 i + 2t, + 1, + 0, + 1). */
template <int BITS, int FORM, int N>
DEVICE void tile_slice(const dmatrix &m, const uint8_t *base, uint32_t s, uint32_t r, const dacts &h,
                       uint32_t row0, float acc[N][4]) {
    const uint8_t *chunk = base + static_cast<uint64_t>(s) * m.chunk_bytes;
    const uint8_t *heads = base + static_cast<uint64_t>(m.n_slices) * m.chunk_bytes;
    const uint32_t g = lane_of() / 4, t = lane_of() % 4;
    uint32_t a[4];

    load_fragment<BITS>(chunk, r + g, t, a);
    const row_scales w[2] = {load_scales<BITS, FORM>(m, chunk, heads, s, r + g),
                             load_scales<BITS, FORM>(m, chunk, heads, s, r + g + 8)};
    for (int i = 0; i < N; i++) {
        const uint64_t own = static_cast<uint64_t>(row0 + 8 * i + g) * h.n_slices + s;
        const uint64_t at = static_cast<uint64_t>(row0 + 8 * i + 2 * t) * h.n_slices + s;
        int32_t d[2][2][4] = {};

        for (uint32_t term = 0; term < h.terms; term++) {
            const int8_t *q = h.q + (own * h.terms + term) * 32 + 4 * t;
            const uint32_t b0 = load4(q), b1 = load4(q + 16);

            if (FORM == FORM_K6) {
                mma16(d[term][0], a[0], a[1], b0);
                mma16(d[term][1], a[2], a[3], b1);
            } else {
                mma32(d[term][0], a[0], a[1], a[2], a[3], b0, b1);
            }
        }
        const act_scales x[2] = {load_act_scales(h, at), load_act_scales(h, at + h.n_slices)};
        for (int j = 0; j < 4; j++) {
            const int32_t sums[2][2] = {{d[0][0][j], d[0][1][j]}, {d[1][0][j], d[1][1][j]}};
            acc[i][j] = add_slice<FORM>(acc[i][j], m, w[j / 2], x[j % 2], h.terms, sums);
        }
    }
}

/* parts (PARTS, 8 N, 32), as rows_part. */
template <int BITS, int FORM, int N>
CALLED void tiles_part(const dmatrix &m, uint32_t group, const dacts &h, uint32_t row0, float *parts) {
    const uint8_t *base = m.data + group * m.group_bytes;
    const uint32_t g = lane_of() / 4, t = lane_of() % 4;

    for (uint32_t half = 0; half < 2; half++) {
        float acc[N][4] = {};

        UNROLL(2)
        for (uint32_t s = warp_of(); s < m.n_slices; s += PARTS)
            tile_slice<BITS, FORM, N>(m, base, s, 16 * half, h, row0, acc);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < 4; j++)
                parts[(warp_of() * 8 * N + 8 * i + 2 * t + j % 2) * LANES + 16 * half + g + 8 * (j / 2)] =
                    acc[i][j];
    }
}

/* parts = this group's rows times M rows of h: 1 and 2 a lane a row, 8 and 16 in tiles. */
template <int M>
DEVICE void multiply(const dmatrix &m, uint32_t group, const dacts &h, uint32_t row0, float *parts) {
    if (m.form >= FORM_F32) {
        float_part<M>(m, group, h, row0, parts);
    } else if constexpr (M < 8) {
        BY_TYPE(m, rows_part, M > (m, group, h, row0, parts));
    } else {
        BY_TYPE(m, tiles_part, M / 8 > (m, group, h, row0, parts));
    }
}

/* Groups that are multiplied before their parts are summed: what 32 KiB of shared memory hold. */
template <int M> DEVICE constexpr uint32_t groups_at_once(void) {
    return M <= 2 ? 4 : 16 / M;
}
template <int M> DEVICE constexpr uint32_t parts_floats(void) {
    return PARTS * M * LANES;
}

/* The sum of the parts at (c, lane). */
template <int M> DEVICE float sum_parts(const float *parts, uint32_t c, uint32_t lane) {
    float sum = 0.0f;

    for (uint32_t p = 0; p < PARTS; p++)
        sum += parts[(p * M + c) * LANES + lane];
    return sum;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* row_kernels.cuh - steps that read or write whole rows: the table, norms, integers. */
#ifndef TELEX_ROW_KERNELS_CUH
#define TELEX_ROW_KERNELS_CUH

#include "product.cuh"

/* Column k of row `row` of a matrix as a number. */
DEVICE float weight_at(const dmatrix &m, uint32_t row, uint32_t k) {
    const uint32_t lane = row % LANES, s = k / SLICE, j = k % SLICE, word = j % 16 / 4;
    const uint8_t *base = m.data + row / LANES * m.group_bytes;
    const uint8_t *chunk = base + static_cast<uint64_t>(s) * m.chunk_bytes;
    const uint8_t *heads = base + static_cast<uint64_t>(m.n_slices) * m.chunk_bytes;
    row_scales w = {0.0f, 0.0f, {0.0f, 0.0f}};
    int32_t q;

    if (m.form >= FORM_F32) {
        float four[4];
        load_floats(m, chunk, lane, j / 4, four);
        return j % 4 == 0 ? four[0] : j % 4 == 1 ? four[1] : j % 4 == 2 ? four[2] : four[3];
    }
    if (m.bits == 8) {
        q = static_cast<int8_t>(chunk[512 * (j / 16) + 16 * lane + j % 16]);
    } else {
        q = load4(chunk + 16 * lane + 4 * word) >> (8 * (j % 4) + (j < 16 ? 0 : 4)) & 15;
        if (m.bits == 5)
            q |= (load4(chunk + 512 + 4 * lane) >> (8 * (j % 4) + j / 4) & 1) << 4;
        if (m.bits == 6)
            q |= (load4(chunk + 512 + 8 * lane + 4 * (j / 16)) >> (8 * (j % 4) + 2 * (j / 4 % 4)) & 3) << 4;
    }
    if (m.form == FORM_K6)
        w = load_scales<6, FORM_K6>(m, chunk, heads, s, lane);
    else if (m.form == FORM_K)
        w = m.bits == 4 ? load_scales<4, FORM_K>(m, chunk, heads, s, lane)
                        : load_scales<5, FORM_K>(m, chunk, heads, s, lane);
    else
        w = m.bits == 4   ? load_scales<4, FORM_D>(m, chunk, heads, s, lane)
            : m.bits == 5 ? load_scales<5, FORM_D>(m, chunk, heads, s, lane)
                          : load_scales<8, FORM_D>(m, chunk, heads, s, lane);
    if (m.form == FORM_K6)
        w.d = w.d * w.half[j / 16];
    return w.d * static_cast<float>(q - m.offset) + w.min;
}

/* x = table[token] * scale, a row a block. */
KERNEL BOUNDS(256, 1) embed(const embed_args k) {
    const uint32_t row = blockIdx.x;

    if (row >= k.batch->n)
        return;
    const uint32_t token = static_cast<uint32_t>(BATCH_AT(batch_row, k.batch, rows_at)[row].token);
    for (uint32_t i = threadIdx.x; i < k.table.n_cols; i += blockDim.x) {
        const float value = weight_at(k.table, token, i);
        k.x[static_cast<uint64_t>(row) * k.table.n_cols + i] = k.scale == 1.0f ? value : value * k.scale;
    }
}

/* h = x / rms(x) * w, or with `add`: x += y / rms(y) * w. A row a block, a slice a warp. */
KERNEL BOUNDS(256, 1) norm_rows(const norm_args k) {
    const uint32_t to = blockIdx.x, n = k.only_asked ? k.batch->n_asked : k.batch->n;
    float sum = 0.0f;

    if (to >= n)
        return;
    const uint32_t from = k.only_asked ? BATCH_AT(batch_ask, k.batch, asked_at)[to].row : to;
    const float *x = k.x + static_cast<uint64_t>(from) * k.n;
    for (uint32_t i = threadIdx.x; i < k.n; i += blockDim.x)
        sum = fma_f(x[i], x[i], sum);
    const float scale = 1.0f / sqrtf(block_sum(sum) / static_cast<float>(k.n) + k.eps);
    for (uint32_t s = warp_of(); s < k.n / SLICE; s += blockDim.x / 32) {
        const uint32_t i = s * SLICE + lane_of();
        const float value = x[i] * scale * k.w[i];

        if (k.add) {
            float *out = k.add + static_cast<uint64_t>(to) * k.n + i;
            *out = *out + value;
        } else {
            k.to.f32[static_cast<uint64_t>(to) * k.n + i] = value;
            quantise_slice(value, k.to, to, s);
        }
    }
}

/* The integers of rows whose floats are there: a row a block, a slice a warp. */
KERNEL BOUNDS(256, 1) quantise(const quantise_args k) {
    const uint32_t row = blockIdx.x;

    if (row >= k.batch->n)
        return;
    for (uint32_t s = warp_of(); s < k.acts.n_slices; s += blockDim.x / 32)
        quantise_slice(k.acts.f32[static_cast<uint64_t>(row) * k.acts.n_cols + s * SLICE + lane_of()], k.acts,
                       row, s);
}

/* bf16, to nearest even. */
DEVICE uint16_t float_bf16(float x) {
    const uint32_t bits = float_bits(x);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

/* Rows first.. of a matrix, or rows of floats, as bf16: a row a block. */
KERNEL BOUNDS(256, 1) unpack(const unpack_args k) {
    const uint32_t row = k.first + blockIdx.x;

    for (uint32_t i = threadIdx.x; i < k.n_cols; i += blockDim.x) {
        const float value = k.f32 ? k.f32[static_cast<uint64_t>(row) * k.n_cols + i] : weight_at(k.m, row, i);
        k.out[static_cast<uint64_t>(blockIdx.x) * k.n_cols + i] = float_bf16(value);
    }
}

/* Positions [from, to) of a page to another page: a head of one layer a block. */
KERNEL BOUNDS(256, 1) page_copy(const page_copy_args k) {
    const uint32_t n = k.to - k.from, octets = k.head_dim / 8;
    const uint64_t head = static_cast<uint64_t>(blockIdx.x) * 2 * PAGE * k.head_dim * 2;
    const uint8_t *src = k.pages + k.src * k.page_bytes + head;
    uint8_t *dst = k.pages + k.dst * k.page_bytes + head;

    for (uint32_t i = threadIdx.x; i < n * octets; i += blockDim.x) {
        const uint32_t pos = k.from + i % n, o = i / n;
        const uint64_t key = (static_cast<uint64_t>(o) * PAGE + pos) * 16;
        const uint64_t value = (static_cast<uint64_t>(PAGE + pos) * octets + o) * 16;

        *reinterpret_cast<words4 *>(dst + key) = read16(src + key);
        *reinterpret_cast<words4 *>(dst + value) = read16(src + value);
    }
}

/* What a machine's memory gives: 16 bytes a thread and step. */
KERNEL BOUNDS(512, 2) copy_bytes(const copy_args k) {
    const uint64_t stride = static_cast<uint64_t>(gridDim.x) * blockDim.x;

    UNROLL(4)
    for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < k.n; i += stride)
        reinterpret_cast<words4 *>(k.to)[i] = load16(k.from + 16 * i);
}

/* Weights out of a counter: integers of any value; scales about 0.02 / sqrt of what the integers reach, so
 * that a deep model stays finite. A group a block. */
KERNEL BOUNDS(256, 1) synth(const synth_args k) {
    const dmatrix &m = k.m;
    uint8_t *base = k.data + blockIdx.x * m.group_bytes;
    const uint32_t integers = m.bits == 8 ? 1024 : m.bits == 6 ? 768 : m.bits == 5 ? 640 : 512;
    const float top = m.form == FORM_K ? 63.0f * 15.0f : m.form == FORM_K6 ? 127.0f * 32.0f : 16.0f;
    const uint32_t d = float_half(0.05f / top);

    for (uint64_t i = threadIdx.x; i < m.group_bytes / 4; i += blockDim.x) {
        const uint64_t chunk = i * 4 / m.chunk_bytes, at = i * 4 % m.chunk_bytes;
        uint32_t word =
            (static_cast<uint32_t>(i) + blockIdx.x * 2654435761u + k.seed) * 747796405u + 2891336453u;

        word = ((word >> ((word >> 28) + 4)) ^ word) * 277803737u;
        word ^= word >> 22;
        if (chunk >= m.n_slices) /* heads of a K form: d, dmin */
            word = d | d << 16;
        else if (at >= integers && m.form == FORM_D)
            word = at < integers + 64 ? d | d << 16 : (d | d << 16) ^ 0x80008000u;
        else if (at >= integers && m.form == FORM_K)
            word &= 0x3f3f3f3fu;
        reinterpret_cast<uint32_t *>(base)[i] = word;
    }
}

#endif

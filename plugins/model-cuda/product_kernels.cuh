/* SPDX-License-Identifier: Apache-2.0 */
/* product_kernels.cuh - the steps that multiply: output and down (with the residual), gate and up, the head,
 * prompts. */
#ifndef TELEX_PRODUCT_KERNELS_CUH
#define TELEX_PRODUCT_KERNELS_CUH

#include "product.cuh"

/* 1 when some row asks for the head's group. */
DEVICE bool is_needed(const batch_head *b, uint32_t group) {
    return BATCH_AT(uint32_t, b, need_at)[group / 32] >> group % 32 & 1;
}
DEVICE bool is_finite(float x) {
    return (float_bits(x) & 0x7f800000u) != 0x7f800000u;
}

/* y (+)= W h, one group a block in x, M rows a block in y. */
template <int M> KERNEL BOUNDS(PRODUCT_THREADS, 2) product(const product_args k) {
    const batch_head *b = k.batch;
    const uint32_t n = k.is_head ? b->n_asked : b->n, group = blockIdx.x, row0 = blockIdx.y * M;
    SHARED(float, parts, parts_floats<M>());
    SHARED(uint32_t, found, PRODUCT_THREADS / 32);
    uint32_t bad = 0;

    if (row0 >= n || (k.is_head && !is_needed(b, group)))
        return;
    multiply<M>(k.m, group, k.h, row0, parts);
    sync_block();
    for (uint32_t i = threadIdx.x; i < M * LANES; i += PRODUCT_THREADS) {
        const uint32_t c = i / LANES, row = group * LANES + i % LANES;

        if (row0 + c < n && row < k.n_rows) {
            float *y = k.y + static_cast<uint64_t>(row0 + c) * k.stride + row;
            const float sum = sum_parts<M>(parts, c, i % LANES), out = k.add ? *y + sum : sum;

            *y = out;
            bad |= !is_finite(out);
        }
    }
    if (!k.is_head)
        return;
    bad = static_cast<uint32_t>(warp_count(static_cast<int32_t>(bad)));
    if (lane_of() == 0)
        found[warp_of()] = bad;
    sync_block();
    if (threadIdx.x == 0) {
        for (uint32_t w = 1; w < PRODUCT_THREADS / 32; w++)
            bad |= found[w];
        k.bad[static_cast<uint64_t>(blockIdx.y) * (k.m.n_rows / LANES) + group] = bad != 0;
    }
}

/* g = act(Wg h) * (Wu h): one slice a block in x, M rows a block in y. */
template <int M> KERNEL BOUNDS(PRODUCT_THREADS, 2) gate_up(const gate_up_args k) {
    constexpr uint32_t n_sides = groups_at_once<M>() >= 2 ? 2 : 1;
    const uint32_t n = k.batch->n, group = blockIdx.x, row0 = blockIdx.y * M;
    SHARED(float, parts, n_sides *parts_floats<M>());
    SHARED(float, gates, M *LANES);

    if (row0 >= n)
        return;
    multiply<M>(k.gate, group, k.h, row0, parts);
    if (n_sides == 1) {
        sync_block();
        for (uint32_t i = threadIdx.x; i < M * LANES; i += PRODUCT_THREADS)
            gates[i] = sum_parts<M>(parts, i / LANES, i % LANES);
        sync_block();
    }
    float *const ups = parts + (n_sides - 1) * parts_floats<M>();
    multiply<M>(k.up, group, k.h, row0, ups);
    sync_block();
    for (uint32_t c = warp_of(); c < M && row0 + c < n; c += PRODUCT_THREADS / 32) {
        const uint32_t lane = lane_of();
        const float gate = n_sides == 1 ? gates[c * LANES + lane] : sum_parts<M>(parts, c, lane);
        const float g = (k.gelu ? gelu(gate) : silu(gate)) * sum_parts<M>(ups, c, lane);

        k.to.f32[static_cast<uint64_t>(row0 + c) * k.to.n_cols + group * LANES + lane] = g;
        quantise_slice(g, k.to, row0 + c, group);
    }
}

/* The same out of products that are there: a warp a slice. */
KERNEL BOUNDS(256, 1) gate_up_raw(const gate_up_args k) {
    const uint32_t row = blockIdx.x, lane = lane_of();

    if (row >= k.batch->n)
        return;
    for (uint32_t s = warp_of(); s < k.to.n_slices; s += blockDim.x / 32) {
        const uint64_t at = static_cast<uint64_t>(row) * k.to.n_cols + s * SLICE + lane;
        const float gate = k.raw[0][at], g = (k.gelu ? gelu(gate) : silu(gate)) * k.raw[1][at];

        k.to.f32[at] = g;
        quantise_slice(g, k.to, row, s);
    }
}

/* ---- prompts ---- */

enum { GEMM_THREADS = 256, GEMM_ROWS = 64, GEMM_COLS = 64 };

DEVICE void gemm_put(const product_args &k, uint32_t row, uint32_t col, float sum) {
    if (row >= k.n_rows || col >= k.batch->n)
        return;
    float *y = k.y + static_cast<uint64_t>(col) * k.stride + row;
    *y = k.add ? *y + sum : sum;
}

/* Sixteen rows of the matrix times 8 N rows of h: all parts, one after the other. By one warp. */
template <int BITS, int FORM, int N>
CALLED void gemm_tile(const product_args &k, uint32_t row, uint32_t col) {
    const uint8_t *base = k.m.data + row / LANES * k.m.group_bytes;
    const uint32_t g = lane_of() / 4, t = lane_of() % 4;
    float sum[N][4] = {};

    for (uint32_t p = 0; p < PARTS; p++) {
        float acc[N][4] = {};

        for (uint32_t s = p; s < k.m.n_slices; s += PARTS)
            tile_slice<BITS, FORM, N>(k.m, base, s, row % LANES, k.h, col, acc);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < 4; j++)
                sum[i][j] += acc[i][j];
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 4; j++)
            gemm_put(k, row + g + 8 * (j / 2), col + 8 * i + 2 * t + j % 2, sum[i][j]);
}

/* Float matrices: a lane a row, eight rows of h a warp. */
DEVICE void gemm_floats(const product_args &k) {
    const uint32_t col = blockIdx.y * GEMM_COLS + warp_of() * 8;

    for (uint32_t g = 0; g < GEMM_ROWS / LANES; g++) {
        const uint32_t group = blockIdx.x * (GEMM_ROWS / LANES) + g;
        float sum[8] = {};

        if (group * LANES >= k.m.n_rows)
            return;
        for (uint32_t p = 0; p < PARTS; p++) {
            float acc[8] = {};

            for (uint32_t s = p; s < k.m.n_slices; s += PARTS)
                add_float_slice<8>(k.m, k.m.data + group * k.m.group_bytes, s, k.h, col, acc);
            for (int c = 0; c < 8; c++)
                sum[c] += acc[c];
        }
        for (int c = 0; c < 8; c++)
            gemm_put(k, group * LANES + lane_of(), col + c, sum[c]);
    }
}

/* y (+)= W h for many rows of h: 64 rows of the matrix a block in x, 64 of h in y; a warp 16 x 32 of them. */
KERNEL BOUNDS(GEMM_THREADS, 2) gemm(const product_args k) {
    const uint32_t row = blockIdx.x * GEMM_ROWS + warp_of() / 2 * 16;
    const uint32_t col = blockIdx.y * GEMM_COLS + warp_of() % 2 * 32;

    if (blockIdx.y * GEMM_COLS >= k.batch->n)
        return;
    if (k.m.form >= FORM_F32) {
        gemm_floats(k);
        return;
    }
    if (row >= k.m.n_rows || col >= k.batch->n)
        return; /* a whole warp: nobody waits for it */
    BY_TYPE(k.m, gemm_tile, 4 > (k, row, col));
}

#endif

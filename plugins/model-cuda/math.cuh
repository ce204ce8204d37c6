/* SPDX-License-Identifier: Apache-2.0 */
/* math.cuh - sums in a fixed order, exp, and activations as integers. */
#ifndef TELEX_MATH_CUH
#define TELEX_MATH_CUH

#include "device.h"
#include "kargs.h"

DEVICE uint32_t lane_of(void) {
    return threadIdx.x % 32;
}
DEVICE uint32_t warp_of(void) {
    return threadIdx.x / 32;
}
DEVICE float larger(float a, float b) {
    return a > b ? a : b;
}

/* Every lane gets the same bits: a + b == b + a. */
DEVICE float warp_sum(float x) {
    for (uint32_t bits = 16; bits > 0; bits /= 2)
        x += shuffle_xor(x, bits);
    return x;
}
DEVICE float warp_largest(float x) {
    for (uint32_t bits = 16; bits > 0; bits /= 2)
        x = larger(x, shuffle_xor(x, bits));
    return x;
}
/* The largest magnitude; a number that is none counts as the largest, so that it is not lost. */
DEVICE float warp_magnitude(float x) {
    uint32_t most = float_bits(x) & 0x7fffffffu;

    for (uint32_t bits = 16; bits > 0; bits /= 2) {
        const uint32_t other = shuffle_xor(most, bits);
        most = other > most ? other : most;
    }
    return bits_float(most);
}
DEVICE int32_t warp_count(int32_t x) {
    for (uint32_t bits = 16; bits > 0; bits /= 2)
        x += shuffle_xor(x, bits);
    return x;
}

/* Sum over a block of up to 32 warps: warps by butterfly, then in ascending order. Waits for the block twice.
 */
DEVICE float block_sum(float x) {
    SHARED(float, sums, 32);
    const uint32_t n_warps = blockDim.x / 32;
    float total = 0.0f;

    x = warp_sum(x);
    if (lane_of() == 0)
        sums[warp_of()] = x;
    sync_block();
    for (uint32_t w = 0; w < n_warps; w++)
        total += sums[w];
    sync_block();
    return total;
}

/* e^x within 2 ulp for x in [-87, 88]; clamped outside. The polynomial and the order are those of model-cpu.
 */
DEVICE float exp_f(float x) {
    const float held = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    const float n = round_f(held * 1.44269504f);
    float r = fma_f(n, -0.693359375f, held), p = 1.9875691500e-4f;

    r = fma_f(n, 2.12194440e-4f, r);
    p = fma_f(p, r, 1.3981999507e-3f);
    p = fma_f(p, r, 8.3334519073e-3f);
    p = fma_f(p, r, 4.1665795894e-2f);
    p = fma_f(p, r, 1.6666665459e-1f);
    p = fma_f(p, r, 5.0000001201e-1f);
    p = fma_f(p * r, r, r + 1.0f);
    return p * bits_float((static_cast<uint32_t>(static_cast<int32_t>(n)) + 127u) << 23);
}

DEVICE float silu(float x) {
    return x / (1.0f + exp_f(0.0f - x));
}
/* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), written as a sigmoid of twice the argument */
DEVICE float gelu(float x) {
    const float inner = 1.59576912f * fma_f(x * x * 0.044715f, x, x);

    return x / (1.0f + exp_f(0.0f - inner));
}

/* As a signed byte; what is no number, which the scale then carries, becomes 0. */
DEVICE int32_t small_int(float x) {
    return x > 127.0f ? 127 : x < -128.0f ? -128 : x == x ? static_cast<int32_t>(x) : 0;
}

/* One slice as integers, a value a lane of one warp; the arithmetic is model-cpu's, bit for bit. */
DEVICE void quantise_slice(float x, const dacts &to, uint32_t row, uint32_t slice) {
    const bool two = to.terms == 2;
    const float levels = two ? ACT_BASE * 127.0f + 126.0f : 127.0f;
    const float most = warp_magnitude(x);
    const float a = round_f(x * (most > 0.0f ? levels / most : 0.0f));
    const uint32_t lane = lane_of();
    const uint64_t at = static_cast<uint64_t>(row) * to.n_slices + slice;
    int8_t *q = to.q + at * 32 * to.terms;
    const float high = two ? round_f(a * (1.0f / ACT_BASE)) : a;
    const int32_t first = small_int(high),
                  second = two ? small_int(fma_f(high, -static_cast<float>(ACT_BASE), a)) : 0;

    if (two)
        q[32 + lane] = static_cast<int8_t>(second);
    q[lane] = static_cast<int8_t>(first);
    const int32_t low0 = warp_count(lane < 16 ? first : 0), all0 = warp_count(first);
    const int32_t low1 = warp_count(lane < 16 ? second : 0), all1 = warp_count(second);
    if (lane == 0) {
        act_meta *m = to.meta + at;
        m->d = most / levels;
        m->s = m->d * static_cast<float>(two ? ACT_BASE * all0 + all1 : all0);
        m->sum[0] = static_cast<int16_t>(low0);
        m->sum[1] = static_cast<int16_t>(all0 - low0);
        m->sum[2] = static_cast<int16_t>(low1);
        m->sum[3] = static_cast<int16_t>(all1 - low1);
    }
}

#endif

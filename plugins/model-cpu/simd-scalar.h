/* SPDX-License-Identifier: Apache-2.0 */
/* simd-scalar.h - sixteen lanes in plain C, for any machine, and as the plain statement of what the others
 * do. */
#ifndef TELEX_SIMD_SCALAR_H
#define TELEX_SIMD_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "quant.h"

typedef struct {
    float x[16];
} vf;
typedef struct {
    int32_t x[16];
} vi;
typedef struct {
    uint8_t x[64];
} vb;

enum { SIMD_S8_SHIFT = 0 };
#define SIMD_S8_IS_MOVED 0
#define SIMD_IS_PLAIN

#define SIMD_EACH(expression)                                                                                \
    do {                                                                                                     \
        vf out;                                                                                              \
        for (int i = 0; i < 16; i++)                                                                         \
            out.x[i] = (expression);                                                                         \
        return out;                                                                                          \
    } while (0)

SIMD_INLINE vf vf_all(float x) {
    SIMD_EACH(x);
}
SIMD_INLINE vf vf_zero(void) {
    return vf_all(0.0f);
}
SIMD_INLINE vf vf_load(const float *p) {
    SIMD_EACH(p[i]);
}
SIMD_INLINE void vf_store(float *p, vf v) {
    memcpy(p, v.x, sizeof(v.x));
}
SIMD_INLINE uint16_t simd_u16(const void *p, int i) {
    uint16_t bits;
    memcpy(&bits, (const uint8_t *)p + 2 * i, sizeof(bits));
    return bits;
}
SIMD_INLINE vf vf_load_f16(const void *p) {
    SIMD_EACH(quant_f16(simd_u16(p, i)));
}
SIMD_INLINE void vf_store_f16(uint16_t *p, vf v) {
    for (int i = 0; i < 16; i++)
        p[i] = quant_to_f16(v.x[i]);
}
SIMD_INLINE vf vf_load_bf16(const void *p) {
    SIMD_EACH(quant_bf16(simd_u16(p, i)));
}
SIMD_INLINE vf vf_load_u8(const void *p) {
    SIMD_EACH((float)((const uint8_t *)p)[i]);
}
SIMD_INLINE vf vf_load_i8(const void *p) {
    SIMD_EACH((float)((const int8_t *)p)[i]);
}
SIMD_INLINE vf vf_add(vf a, vf b) {
    SIMD_EACH(a.x[i] + b.x[i]);
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
    SIMD_EACH(a.x[i] - b.x[i]);
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
    SIMD_EACH(a.x[i] * b.x[i]);
}
SIMD_INLINE vf vf_div(vf a, vf b) {
    SIMD_EACH(a.x[i] / b.x[i]);
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
    SIMD_EACH(fmaf(a.x[i], b.x[i], c.x[i]));
}
SIMD_INLINE vf vf_max(vf a, vf b) {
    SIMD_EACH(a.x[i] > b.x[i] ? a.x[i] : b.x[i]);
}
SIMD_INLINE vf vf_min(vf a, vf b) {
    SIMD_EACH(a.x[i] < b.x[i] ? a.x[i] : b.x[i]);
}
SIMD_INLINE vf vf_abs(vf a) {
    SIMD_EACH(fabsf(a.x[i]));
}
SIMD_INLINE vf vf_round(vf a) {
    SIMD_EACH(rintf(a.x[i]));
}
/* A number outside int32_t, or none at all, becomes what the machine's own conversion makes of it. */
SIMD_INLINE int32_t simd_int(float x) {
    return x > -2147483648.0f && x < 2147483648.0f ? (int32_t)rintf(x) : INT32_MIN;
}
SIMD_INLINE float simd_pow2(float n) {
    uint32_t bits = ((uint32_t)simd_int(n) + 127u) << 23;
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}
SIMD_INLINE vf vf_pow2(vf n) {
    SIMD_EACH(simd_pow2(n.x[i]));
}
SIMD_INLINE float vf_sum(vf v) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v.x[i] += v.x[i + half];
    return v.x[0];
}
SIMD_INLINE float vf_largest(vf v) {
    float most = v.x[0];
    for (int i = 1; i < 16; i++)
        most = v.x[i] > most ? v.x[i] : most;
    return most;
}
SIMD_INLINE void vf_store_i8(int8_t *p, vf v) {
    for (int i = 0; i < 16; i++) {
        int32_t n = simd_int(v.x[i]);
        p[i] = (int8_t)(n > 127 ? 127 : n < -128 ? -128 : n);
    }
}
SIMD_INLINE vf vf_of_vi(vi v) {
    SIMD_EACH((float)v.x[i]);
}
SIMD_INLINE vi vi_all_shifted(int32_t x, int shift) {
    vi out;
    for (int i = 0; i < 16; i++)
        out.x[i] = (int32_t)((uint32_t)x << shift);
    return out;
}
SIMD_INLINE vi vi_zero(void) {
    return vi_all_shifted(0, 0);
}
SIMD_INLINE vi vi_add(vi a, vi b) {
    for (int i = 0; i < 16; i++)
        a.x[i] += b.x[i];
    return a;
}
SIMD_INLINE vi vi_times_255(vi a) {
    for (int i = 0; i < 16; i++)
        a.x[i] *= 255;
    return a;
}
SIMD_INLINE int32_t vi_sum_i8(const int8_t *p) { /* of 16 */
    int32_t sum = 0;
    for (int i = 0; i < 16; i++)
        sum += p[i];
    return sum;
}

SIMD_INLINE vb vb_load(const uint8_t *p) {
    vb out;
    memcpy(out.x, p, sizeof(out.x));
    return out;
}
SIMD_INLINE vb vb_and(vb a, int mask) {
    for (int i = 0; i < 64; i++)
        a.x[i] &= (uint8_t)mask;
    return a;
}
/* (a << left >> right & mask) | b */
SIMD_INLINE vb vb_or_bits(vb b, vb a, int left, int right, int mask) {
    for (int i = 0; i < 64; i++)
        b.x[i] |= (uint8_t)(a.x[i] << left >> right & mask);
    return b;
}
SIMD_INLINE vb vb_high(vb a) {
    for (int i = 0; i < 64; i++)
        a.x[i] >>= 4;
    return a;
}
SIMD_INLINE vb vb_s8(vb a) {
    return a;
}
/* See simd-avx512.h. */
SIMD_INLINE void vi_dots(const vb *w, const int8_t *a, size_t stride, uint32_t width, int first, int n,
                         int bits, vi *sum) {
    for (uint32_t t = 0; t < width; t++)
        for (int g = first; g < first + n; g++)
            for (int i = 0; i < 64; i++) {
                int32_t weight = bits == 8 ? (int8_t)w[g].x[i] : w[g].x[i];
                sum[t].x[i / 4] += weight * a[stride * t + 4 * (size_t)g + (size_t)i % 4];
            }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* simd-avx512.h - sixteen lanes in one register. AVX-512 F, BW, VL, DQ and VNNI. See simd.h for the meaning.
 */
#ifndef TELEX_SIMD_AVX512_H
#define TELEX_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vb;

/* dpbusd multiplies unsigned by signed: signed weights are moved up by 128 and the sum is moved back. */
enum { SIMD_S8_SHIFT = 7 };
#define SIMD_S8_IS_MOVED 1

SIMD_INLINE vf vf_zero(void) {
    return _mm512_setzero_ps();
}
SIMD_INLINE vf vf_all(float x) {
    return _mm512_set1_ps(x);
}
SIMD_INLINE vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
SIMD_INLINE void vf_store(float *p, vf v) {
    _mm512_storeu_ps(p, v);
}
SIMD_INLINE vf vf_load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
SIMD_INLINE void vf_store_f16(uint16_t *p, vf v) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
SIMD_INLINE vf vf_load_bf16(const void *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
SIMD_INLINE vf vf_load_u8(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p)));
}
SIMD_INLINE vf vf_load_i8(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
SIMD_INLINE vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
SIMD_INLINE vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
SIMD_INLINE vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
SIMD_INLINE vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
SIMD_INLINE vf vf_abs(vf a) {
    return _mm512_abs_ps(a);
}
SIMD_INLINE vf vf_round(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD_INLINE vf vf_pow2(vf n) {
    __m512i i = _mm512_cvtps_epi32(n);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(i, _mm512_set1_epi32(127)), 23));
}
SIMD_INLINE float vf_sum(vf v) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
SIMD_INLINE float vf_largest(vf v) {
    return _mm512_reduce_max_ps(v);
}
SIMD_INLINE void vf_store_i8(int8_t *p, vf v) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}
SIMD_INLINE vf vf_of_vi(vi v) {
    return _mm512_cvtepi32_ps(v);
}
SIMD_INLINE vi vi_all_shifted(int32_t x, int shift) {
    return _mm512_slli_epi32(_mm512_set1_epi32(x), (unsigned)shift);
}
SIMD_INLINE vi vi_zero(void) {
    return _mm512_setzero_si512();
}
SIMD_INLINE vi vi_add(vi a, vi b) {
    return _mm512_add_epi32(a, b);
}
SIMD_INLINE vi vi_times_255(vi a) {
    return _mm512_sub_epi32(_mm512_slli_epi32(a, 8), a);
}
SIMD_INLINE int32_t vi_sum_i8(const int8_t *p) { /* of 16 */
    return _mm512_reduce_add_epi32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

SIMD_INLINE vb vb_load(const uint8_t *p) {
    return _mm512_loadu_si512(p);
}
SIMD_INLINE vb vb_and(vb a, int mask) {
    return _mm512_and_si512(a, _mm512_set1_epi8((char)mask));
}
/* (a << left >> right & mask) | b ; bits that cross bytes are masked off */
SIMD_INLINE vb vb_or_bits(vb b, vb a, int left, int right, int mask) {
    vb shifted = left    ? _mm512_slli_epi16(a, (unsigned)left)
                 : right ? _mm512_srli_epi16(a, (unsigned)right)
                         : a;
    return _mm512_ternarylogic_epi64(shifted, _mm512_set1_epi8((char)mask), b, 0xea); /* (a & b) | c */
}
SIMD_INLINE vb vb_high(vb a) {
    return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15));
}
SIMD_INLINE vb vb_s8(vb a) {
    return _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80));
}
/* For each of `width` rows of activations, `stride` bytes apart: lane r of sum[t] += over k in 4*first ..
 * 4*(first+n), w[k / 4] byte 4r + k % 4 times a[k]. One row alone would wait for its own sum: it takes two.
 */
SIMD_INLINE void vi_dots(const vb *w, const int8_t *a, size_t stride, uint32_t width, int first, int n,
                         int bits, vi *sum) {
    vi other[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    (void)bits;
#pragma GCC unroll 8
    for (int g = first; g < first + n; g++)
#pragma GCC unroll 8
        for (uint32_t t = 0; t < width; t++) {
            vi *to = width <= 2 && g % 2 ? &other[t] : &sum[t];
            int32_t four;

            memcpy(&four, a + stride * t + 4 * g, 4);
            *to = _mm512_dpbusd_epi32(*to, w[g], _mm512_set1_epi32(four));
        }
    for (uint32_t t = 0; t < 2 && width <= 2 && t < width; t++)
        sum[t] = _mm512_add_epi32(sum[t], other[t]);
}

#endif

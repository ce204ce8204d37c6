/* SPDX-License-Identifier: Apache-2.0 */
/* simd-avx2.h - sixteen lanes in two registers. AVX2, FMA and F16C. See simd.h for the meaning. */
#ifndef TELEX_SIMD_AVX2_H
#define TELEX_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    __m256 lo, hi;
} vf;
typedef struct {
    __m256i lo, hi;
} vi;
typedef vi vb;

/* Signed weights keep their sign: maddubs gets |w| and a * sign(w). */
enum { SIMD_S8_SHIFT = 0 };
#define SIMD_S8_IS_MOVED 0

#define SIMD_PAIR(expression_lo, expression_hi) ((vf){expression_lo, expression_hi})

SIMD_INLINE vf vf_zero(void) {
    return SIMD_PAIR(_mm256_setzero_ps(), _mm256_setzero_ps());
}
SIMD_INLINE vf vf_all(float x) {
    return SIMD_PAIR(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
SIMD_INLINE vf vf_load(const float *p) {
    return SIMD_PAIR(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
SIMD_INLINE void vf_store(float *p, vf v) {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}
SIMD_INLINE vf vf_load_f16(const void *p) {
    const __m128i *h = p;
    return SIMD_PAIR(_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1)));
}
SIMD_INLINE void vf_store_f16(uint16_t *p, vf v) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)p + 1, _mm256_cvtps_ph(v.hi, _MM_FROUND_TO_NEAREST_INT));
}
SIMD_INLINE __m256 simd_bf16_8(const __m128i *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
SIMD_INLINE vf vf_load_bf16(const void *p) {
    const __m128i *h = p;
    return SIMD_PAIR(simd_bf16_8(h), simd_bf16_8(h + 1));
}
SIMD_INLINE vf vf_load_u8(const void *p) {
    const __m128i b = _mm_loadu_si128(p);
    return SIMD_PAIR(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(b)),
                     _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(b, 8))));
}
SIMD_INLINE vf vf_load_i8(const void *p) {
    const __m128i b = _mm_loadu_si128(p);
    return SIMD_PAIR(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)),
                     _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(b, 8))));
}
SIMD_INLINE vf vf_add(vf a, vf b) {
    return SIMD_PAIR(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
    return SIMD_PAIR(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
    return SIMD_PAIR(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
SIMD_INLINE vf vf_div(vf a, vf b) {
    return SIMD_PAIR(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
    return SIMD_PAIR(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
SIMD_INLINE vf vf_max(vf a, vf b) {
    return SIMD_PAIR(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
SIMD_INLINE vf vf_min(vf a, vf b) {
    return SIMD_PAIR(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi));
}
SIMD_INLINE vf vf_abs(vf a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return SIMD_PAIR(_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi));
}
SIMD_INLINE vf vf_round(vf a) {
    return SIMD_PAIR(_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                     _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
SIMD_INLINE __m256 simd_pow2_8(__m256 n) {
    __m256i i = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(i, 23));
}
SIMD_INLINE vf vf_pow2(vf n) {
    return SIMD_PAIR(simd_pow2_8(n.lo), simd_pow2_8(n.hi));
}
SIMD_INLINE float vf_sum(vf v) {
    __m256 a = _mm256_add_ps(v.lo, v.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
SIMD_INLINE float vf_largest(vf v) {
    __m256 a = _mm256_max_ps(v.lo, v.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
SIMD_INLINE __m128i simd_i8_8(__m256 v) {
    __m256i i = _mm256_cvtps_epi32(v);
    __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    return _mm_packs_epi16(w, w);
}
SIMD_INLINE void vf_store_i8(int8_t *p, vf v) {
    _mm_storeu_si128((__m128i *)p, _mm_unpacklo_epi64(simd_i8_8(v.lo), simd_i8_8(v.hi)));
}
SIMD_INLINE vf vf_of_vi(vi v) {
    return SIMD_PAIR(_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi));
}
SIMD_INLINE vi vi_all_shifted(int32_t x, int shift) {
    __m256i v = _mm256_slli_epi32(_mm256_set1_epi32(x), shift);
    return (vi){v, v};
}
SIMD_INLINE vi vi_zero(void) {
    return (vi){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
SIMD_INLINE vi vi_add(vi a, vi b) {
    return (vi){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
SIMD_INLINE vi vi_times_255(vi a) {
    return (vi){_mm256_sub_epi32(_mm256_slli_epi32(a.lo, 8), a.lo),
                _mm256_sub_epi32(_mm256_slli_epi32(a.hi, 8), a.hi)};
}
SIMD_INLINE int32_t vi_sum_i8(const int8_t *p) { /* of 16 */
    __m256i w =
        _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)), _mm256_set1_epi16(1));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
    s = _mm_add_epi32(s, _mm_srli_si128(s, 8));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_srli_si128(s, 4)));
}

SIMD_INLINE vb vb_load(const uint8_t *p) {
    return (vb){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 32))};
}
SIMD_INLINE vb vb_and(vb a, int mask) {
    const __m256i m = _mm256_set1_epi8((char)mask);
    return (vb){_mm256_and_si256(a.lo, m), _mm256_and_si256(a.hi, m)};
}
SIMD_INLINE __m256i simd_or_bits_32(__m256i b, __m256i a, int left, int right, int mask) {
    __m256i shifted = left ? _mm256_slli_epi16(a, left) : right ? _mm256_srli_epi16(a, right) : a;
    return _mm256_or_si256(b, _mm256_and_si256(shifted, _mm256_set1_epi8((char)mask)));
}
/* (a << left >> right & mask) | b ; bits that cross bytes are masked off */
SIMD_INLINE vb vb_or_bits(vb b, vb a, int left, int right, int mask) {
    return (vb){simd_or_bits_32(b.lo, a.lo, left, right, mask),
                simd_or_bits_32(b.hi, a.hi, left, right, mask)};
}
SIMD_INLINE vb vb_high(vb a) {
    const __m256i m = _mm256_set1_epi8(15);
    return (vb){_mm256_and_si256(_mm256_srli_epi16(a.lo, 4), m),
                _mm256_and_si256(_mm256_srli_epi16(a.hi, 4), m)};
}
SIMD_INLINE vb vb_s8(vb a) {
    return a;
}

/* Pairs of products as 16-bit sums. */
SIMD_INLINE __m256i simd_pairs(__m256i w, __m256i a, int bits) {
    if (bits == 8)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
    return _mm256_maddubs_epi16(w, a);
}

/* See simd-avx512.h. `deep` is how many pair sums of |w| < 2^bits and |a| <= 127 fit into 16 bits. */
SIMD_INLINE void vi_dots(const vb *w, const int8_t *a, size_t stride, uint32_t width, int first, int n,
                         int bits, vi *sum) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int deep = bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;

#pragma GCC unroll 8
    for (uint32_t t = 0; t < width; t++)
#pragma GCC unroll 8
        for (int g = first; g < first + n; g += deep) {
            __m256i lo = _mm256_setzero_si256(), hi = lo;
            for (int h = g; h < g + deep && h < first + n; h++) {
                int32_t four;
                memcpy(&four, a + stride * t + 4 * h, 4);
                __m256i all = _mm256_set1_epi32(four);
                lo = _mm256_add_epi16(lo, simd_pairs(w[h].lo, all, bits));
                hi = _mm256_add_epi16(hi, simd_pairs(w[h].hi, all, bits));
            }
            sum[t].lo = _mm256_add_epi32(sum[t].lo, _mm256_madd_epi16(lo, ones));
            sum[t].hi = _mm256_add_epi32(sum[t].hi, _mm256_madd_epi16(hi, ones));
        }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* simd.h - sixteen lanes, whatever the machine has.
 *
 * kernels.c is written once on these operations and compiled three times. Every operation gives the same bits
 * on each path: sums over lanes go through one fixed tree, multiply-add is fused everywhere, and the compiler
 * must not fuse or reorder anything else (-ffp-contract=off, no fast-math).
 *
 *   vf  16 floats        vi  16 int32_t        vb  64 bytes: of each of 16 rows, 4 neighbouring values */
#ifndef TELEX_SIMD_H
#define TELEX_SIMD_H

#define SIMD_INLINE static inline __attribute__((always_inline, unused))

#if defined(TELEX_SIMD_AVX512)
#include "simd-avx512.h"
#elif defined(TELEX_SIMD_AVX2)
#include "simd-avx2.h"
#else
#include "simd-scalar.h"
#endif

#endif

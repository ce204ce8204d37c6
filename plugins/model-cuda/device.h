/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - the few words in which kernels are written, for nvcc and for the emulation.
 *
 * A kernel is a function of one struct that it receives by value. It uses these wrappers and nothing else of
 * the device, so that every instruction has a twin that runs on a processor. Floating point is IEEE on both
 * sides: no contraction but fma() where it stands, correctly rounded division and square root. So both give
 * the same bits. */
#ifndef TELEX_DEVICE_H
#define TELEX_DEVICE_H

#include <stdint.h>

struct words4 {
    uint32_t x, y, z, w;
};

#if defined(__CUDACC__)

#include <cuda_fp16.h>

#define KERNEL static __global__ void
#define DEVICE static __device__ __forceinline__
/* One copy for all kernels: what a warp does for a long time. */
#define CALLED                  static __device__ __noinline__
#define PRAGMA(text)            _Pragma(#text)
#define UNROLL(n)               PRAGMA(unroll n)
#define BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define SHARED(type, name, n)   __shared__ __align__(16) type name[n]
#define sync_block()            __syncthreads()

#define shuffle_xor(value, bits)  __shfl_xor_sync(0xffffffffu, value, bits)
#define shuffle_from(value, lane) __shfl_sync(0xffffffffu, value, lane)

DEVICE words4 load16(const void *p) {
    const uint4 v = __ldg(static_cast<const uint4 *>(p));
    return {v.x, v.y, v.z, v.w};
}
DEVICE uint64_t load8(const void *p) {
    return __ldg(static_cast<const unsigned long long *>(p));
}
DEVICE uint32_t load4(const void *p) {
    return __ldg(static_cast<const unsigned int *>(p));
}
DEVICE uint16_t load2(const void *p) {
    return __ldg(static_cast<const unsigned short *>(p));
}
/* For memory that kernels write: no read-only path. */
DEVICE words4 read16(const void *p) {
    const uint4 v = *static_cast<const uint4 *>(p);
    return {v.x, v.y, v.z, v.w};
}
DEVICE int32_t dot4(uint32_t a, uint32_t b, int32_t sum) {
    return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}
DEVICE float half_float(uint32_t bits) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}
DEVICE uint16_t float_half(float x) {
    return __half_as_ushort(__float2half_rn(x));
}
DEVICE float bits_float(uint32_t bits) {
    return __uint_as_float(bits);
}
DEVICE uint32_t float_bits(float x) {
    return __float_as_uint(x);
}
DEVICE uint64_t double_bits(double x) {
    return static_cast<uint64_t>(__double_as_longlong(x));
}
DEVICE double bits_double(uint64_t bits) {
    return __longlong_as_double(static_cast<long long>(bits));
}
DEVICE float fma_f(float a, float b, float c) {
    return __fmaf_rn(a, b, c);
}
DEVICE float round_f(float x) {
    return rintf(x);
}
/* d += a b for a 16 x 16 tile of int8 rows and 8 columns (PTX: mma.m16n8k16, s8). Lane 4 g + t holds of a:
 * rows g (a0) and g + 8 (a1), columns 4t..4t+3; of b: column g, rows 4t..4t+3; of d: rows g and g + 8 (d0 d1,
 * d2 d3), columns 2t, 2t + 1. */
DEVICE void mma16(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t b0) {
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a0), "r"(a1), "r"(b0));
}
/* The same for 32 columns of a: a2, a3 and b1 are columns (rows of b) 16 + 4t.. */
DEVICE void mma32(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                  uint32_t b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

#else

#include "emu.h"

#define KERNEL static void
#define DEVICE static inline
#define CALLED static inline
#define UNROLL(n)
#define BOUNDS(threads, blocks)
#define SHARED(type, name, n)                                                                                \
    static const char key_of_##name = 0;                                                                     \
    type *const name = static_cast<type *>(emu_shared(&key_of_##name, sizeof(type) * (n)))
#define sync_block() emu_sync(__FILE__, __LINE__)

#define threadIdx (emu_here()->thread)
#define blockIdx  (emu_here()->block)
#define blockDim  (emu_here()->block_dim)
#define gridDim   (emu_here()->grid_dim)

#define shuffle_xor(value, bits)  emu_shuffle_xor(0xffffffffu, value, bits, __FILE__, __LINE__)
#define shuffle_from(value, lane) emu_shuffle(0xffffffffu, value, lane, __FILE__, __LINE__)

#define load16(p)                        (*emu_aligned<words4>(p, __FILE__, __LINE__))
#define load8(p)                         (*emu_aligned<uint64_t>(p, __FILE__, __LINE__))
#define load4(p)                         (*emu_aligned<uint32_t>(p, __FILE__, __LINE__))
#define load2(p)                         (*emu_aligned<uint16_t>(p, __FILE__, __LINE__))
#define read16(p)                        load16(p)

DEVICE int32_t dot4(uint32_t a, uint32_t b, int32_t sum) {
    for (int i = 0; i < 32; i += 8)
        sum += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
    return sum;
}
DEVICE float bits_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}
DEVICE uint32_t float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}
DEVICE uint64_t double_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}
DEVICE double bits_double(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}
extern "C" float quant_f16(uint16_t bits);
extern "C" uint16_t quant_to_f16(float value);
DEVICE float half_float(uint32_t bits) {
    return quant_f16(static_cast<uint16_t>(bits));
}
DEVICE uint16_t float_half(float x) {
    return quant_to_f16(x);
}
DEVICE float fma_f(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
DEVICE float round_f(float x) {
    return __builtin_rintf(x);
}
/* What a lane gives to a tile product, and what it takes of it. */
struct emu_fragment {
    uint32_t a[4], b[2];
};
DEVICE void emu_mma(int32_t d[4], const emu_fragment *own, int n, const char *file, int line) {
    const uint8_t(*slots)[EMU_SLOT] = emu_exchange(0xffffffffu, own, sizeof(*own), file, line);
    const uint32_t lane = threadIdx.x % 32, row = lane / 4, column = lane % 4 * 2;
    for (int half = 0; half < n; half++)
        for (uint32_t t = 0; t < 4; t++) {
            emu_fragment a, b[2];
            memcpy(&a, slots[row * 4 + t], sizeof(a));
            memcpy(&b[0], slots[column * 4 + t], sizeof(a));
            memcpy(&b[1], slots[(column + 1) * 4 + t], sizeof(a));
            for (int i = 0; i < 4; i++)
                d[i] = dot4(a.a[2 * half + i / 2], b[i % 2].b[half], d[i]);
        }
}
DEVICE void emu_mma16(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t b0, const char *file, int line) {
    const emu_fragment own = {{a0, a1, 0, 0}, {b0, 0}};
    emu_mma(d, &own, 1, file, line);
}
DEVICE void emu_mma32(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                      uint32_t b1, const char *file, int line) {
    const emu_fragment own = {{a0, a1, a2, a3}, {b0, b1}};
    emu_mma(d, &own, 2, file, line);
}
#define mma16(d, a0, a1, b0)             emu_mma16(d, a0, a1, b0, __FILE__, __LINE__)
#define mma32(d, a0, a1, a2, a3, b0, b1) emu_mma32(d, a0, a1, a2, a3, b0, b1, __FILE__, __LINE__)

#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* kern.cuh - all kernels, in the order in which a token meets them. */
#ifndef TELEX_KERN_CUH
#define TELEX_KERN_CUH

#include "row_kernels.cuh"
#include "attention.cuh"
#include "product_kernels.cuh"
#include "sample.cuh"

/* The functions of kernels.h's list. */
#define EACH_KERNEL_FUNCTION(X)                                                                              \
    X(KERNEL_EMBED, embed)                                                                                   \
    X(KERNEL_NORM, norm_rows)                                                                                \
    X(KERNEL_QKV_1, qkv<1>)                                                                                  \
    X(KERNEL_QKV_2, qkv<2>)                                                                                  \
    X(KERNEL_QKV_8, qkv<8>)                                                                                  \
    X(KERNEL_QKV_RAW, qkv_raw)                                                                               \
    X(KERNEL_ATTEND_1, attend<1>)                                                                            \
    X(KERNEL_ATTEND_2, attend<2>)                                                                            \
    X(KERNEL_ATTEND_4, attend<4>)                                                                            \
    X(KERNEL_ATTEND_8, attend<8>)                                                                            \
    X(KERNEL_COMBINE, combine)                                                                               \
    X(KERNEL_QUANTISE, quantise)                                                                             \
    X(KERNEL_PRODUCT_1, product<1>)                                                                          \
    X(KERNEL_PRODUCT_2, product<2>)                                                                          \
    X(KERNEL_PRODUCT_8, product<8>)                                                                          \
    X(KERNEL_PRODUCT_16, product<16>)                                                                        \
    X(KERNEL_GATE_UP_1, gate_up<1>)                                                                          \
    X(KERNEL_GATE_UP_2, gate_up<2>)                                                                          \
    X(KERNEL_GATE_UP_8, gate_up<8>)                                                                          \
    X(KERNEL_GATE_UP_RAW, gate_up_raw)                                                                       \
    X(KERNEL_GEMM, gemm)                                                                                     \
    X(KERNEL_FINISH, finish)                                                                                 \
    X(KERNEL_SAMPLE, sample)                                                                                 \
    X(KERNEL_PAGE_COPY, page_copy)                                                                           \
    X(KERNEL_UNPACK, unpack)                                                                                 \
    X(KERNEL_COPY, copy_bytes)                                                                               \
    X(KERNEL_SYNTH, synth)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h - the kernels by number: name, arguments, threads of a block. kern.cuh has their functions. */
#ifndef TELEX_CUDA_KERNELS_H
#define TELEX_CUDA_KERNELS_H

#include "kargs.h"

#define EACH_KERNEL(X)                                                                                       \
    X(KERNEL_EMBED, embed_args, 256)                                                                         \
    X(KERNEL_NORM, norm_args, 256)                                                                           \
    X(KERNEL_QKV_1, qkv_args, PRODUCT_THREADS)                                                               \
    X(KERNEL_QKV_2, qkv_args, PRODUCT_THREADS)                                                               \
    X(KERNEL_QKV_8, qkv_args, PRODUCT_THREADS)                                                               \
    X(KERNEL_QKV_RAW, qkv_args, 256)                                                                         \
    X(KERNEL_ATTEND_1, attend_args, SPLIT)                                                                   \
    X(KERNEL_ATTEND_2, attend_args, SPLIT)                                                                   \
    X(KERNEL_ATTEND_4, attend_args, SPLIT)                                                                   \
    X(KERNEL_ATTEND_8, attend_args, SPLIT)                                                                   \
    X(KERNEL_COMBINE, combine_args, 256)                                                                     \
    X(KERNEL_QUANTISE, quantise_args, 256)                                                                   \
    X(KERNEL_PRODUCT_1, product_args, PRODUCT_THREADS)                                                       \
    X(KERNEL_PRODUCT_2, product_args, PRODUCT_THREADS)                                                       \
    X(KERNEL_PRODUCT_8, product_args, PRODUCT_THREADS)                                                       \
    X(KERNEL_PRODUCT_16, product_args, PRODUCT_THREADS)                                                      \
    X(KERNEL_GATE_UP_1, gate_up_args, PRODUCT_THREADS)                                                       \
    X(KERNEL_GATE_UP_2, gate_up_args, PRODUCT_THREADS)                                                       \
    X(KERNEL_GATE_UP_8, gate_up_args, PRODUCT_THREADS)                                                       \
    X(KERNEL_GATE_UP_RAW, gate_up_args, 256)                                                                 \
    X(KERNEL_GEMM, product_args, 256)                                                                        \
    X(KERNEL_FINISH, finish_args, 256)                                                                       \
    X(KERNEL_SAMPLE, sample_args, 256)                                                                       \
    X(KERNEL_PAGE_COPY, page_copy_args, 256)                                                                 \
    X(KERNEL_UNPACK, unpack_args, 256)                                                                       \
    X(KERNEL_COPY, copy_args, 512)                                                                           \
    X(KERNEL_SYNTH, synth_args, 256)

#define KERNEL_ID(id, args, threads) id,
enum kernel_id { EACH_KERNEL(KERNEL_ID) N_KERNELS };
#undef KERNEL_ID

#endif

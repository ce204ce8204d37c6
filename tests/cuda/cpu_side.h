/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_side.h - what model-cpu computes, for comparison. */
#ifndef TELEX_TESTS_CUDA_CPU_SIDE_H
#define TELEX_TESTS_CUDA_CPU_SIDE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* logits (n - from, n_vocab) behind ids[0..n), fed in one batch of up to 512. Returns n_vocab; 0 and a
 * message on stdout when that fails. */
uint32_t cpu_logits(const char *path, const int32_t *ids, uint32_t n, uint32_t from, float *logits);

#ifdef __cplusplus
}
#endif
#endif

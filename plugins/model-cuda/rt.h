/* SPDX-License-Identifier: Apache-2.0 */
/* rt.h - the seam between the model and a device.
 *
 * Two twins: rt_cuda.cu (a GPU: memory, one stream, graphs, cuBLAS) and rt_emu.cpp (the same kernels on the
 * processor, with red zones around every buffer, checks, and faults on request). Work is put into one queue
 * and runs in order. The first failure of anything queued is kept; what is queued behind it does nothing, and
 * rt_wait reports it. So the code that queues a forward pass reads as the model does on paper. One caller at
 * a time. */
#ifndef TELEX_RT_H
#define TELEX_RT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "fail.h"
#include "kernels.h"

struct rt;
struct rt_graph;

/* 1 when a device can be used, without starting a driver; else 0 and one sentence that says why not. [any] */
int rt_probe(char *why, size_t why_bytes);

/* Start device `index`. 0, -ENODEV (no driver, no device, too old), -EINVAL (index), -ENOMEM. */
int rt_open(uint32_t index, struct rt **out, struct model_fail *fail);
void rt_close(struct rt *rt);

/* Lives as long as rt. */
const char *rt_device(const struct rt *rt);
uint32_t rt_n_processors(const struct rt *rt);
uint64_t rt_free_bytes(struct rt *rt);

/* Device memory, aligned to 256 bytes; content undefined. NULL when there is none left, which is kept as a
 * failure: rt_wait then says for `what` it was. */
void *rt_alloc(struct rt *rt, size_t bytes, const char *what);
void rt_free(struct rt *rt, void *memory); /* NULL is fine */
/* Memory of the host that uploads from and downloads to may overlap with other work. NULL when out of memory.
 */
void *rt_host_alloc(struct rt *rt, size_t bytes);
void rt_host_free(struct rt *rt, void *memory);

/* Queued. The host's memory stays untouched until rt_wait. */
void rt_upload(struct rt *rt, void *device, const void *host, size_t bytes);
void rt_download(struct rt *rt, void *host, const void *device, size_t bytes);
void rt_clear(struct rt *rt, void *device, size_t bytes); /* to zeros */
void rt_launch(struct rt *rt, enum kernel_id kernel, uint32_t x, uint32_t y, uint32_t z, const void *args);

/* c (n, m) (+)= a (m, k) b (n, k), rows in bf16, c in f32: a's rows are a weight matrix's, b's those of the
 * batch. The leading dimensions are row lengths in elements. Through cuBLAS; by its checking twin under
 * emulation. */
struct rt_gemm {
    const uint16_t *a, *b;
    float *c;
    uint32_t m, n, k, a_stride, b_stride, c_stride;
    uint32_t add;
};
/* Make rt_gemm_run possible. 0, or -ENOTSUP with the reason. Loads cuBLAS when first called. */
int rt_gemm_open(struct rt *rt, struct model_fail *fail);
void rt_gemm_run(struct rt *rt, const struct rt_gemm *gemm);

/* What is launched between begin and end is kept instead of run (uploads and downloads may not be among it).
 * NULL when that failed; rt_wait says why. */
void rt_graph_begin(struct rt *rt);
struct rt_graph *rt_graph_end(struct rt *rt);
void rt_graph_run(struct rt *rt, struct rt_graph *graph);
void rt_graph_free(struct rt *rt, struct rt_graph *graph);

/* Wait for the queue. 0, or the first failure since the last wait: -ENOMEM (device memory), -EIO (device
 * lost, or a kernel that failed: the rt is of no more use). */
int rt_wait(struct rt *rt, struct model_fail *fail);

/* Device time between two marks of the queue, in microseconds; after rt_wait. */
void rt_mark(struct rt *rt, uint32_t which);
double rt_elapsed_us(struct rt *rt);

#ifdef __cplusplus
}
#endif
#endif

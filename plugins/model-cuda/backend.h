/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - the class telex.model/1 over weights.h and session.h. What each call does is said in
 * telex/model.h. */
#ifndef TELEX_CUDA_BACKEND_H
#define TELEX_CUDA_BACKEND_H

#include <driver/options.h>
#include <telex/model.h>

/* The options, checked by the host. */
struct backend_config {
    const char *path;
    int64_t device;
    const char *prefill;
    struct driver_options driver; /* the driver's, read by whoever opens it */
};

extern const struct telex_option *const backend_options[];

int32_t backend_probe(void);
const char *backend_probe_why(void);
telex_status backend_open(const struct telex_host *host, struct telex_bytes options, void **self);
telex_status backend_info(void *self, struct telex_model_info *out);
int64_t backend_tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                         uint64_t capacity);
int64_t backend_detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity);
telex_status backend_context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context);
telex_status backend_decode(void *context, const struct telex_batch *batch);
telex_status backend_seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to);
telex_status backend_seq_trim(void *context, uint32_t seq, int32_t from);
telex_status backend_embed(void *context, const int32_t *ids, uint32_t n, float *out);
void backend_cancel(void *context);
void backend_context_close(void *context);
void backend_close(void *self);

#endif

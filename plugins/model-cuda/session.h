/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - sequences of tokens over one set of weights on a device, and batches that extend them. */
#ifndef TELEX_CUDA_SESSION_H
#define TELEX_CUDA_SESSION_H

#include <stdint.h>

#include "weights.h"

/* What a row of a batch wants back. */
enum session_ask { WANT_NOTHING, WANT_LOGITS, WANT_SOME, WANT_DRAW };

struct session_row {
    enum session_ask want;
    float *logits; /* LOGITS: n_vocab values; SOME: n_ids values, in the order of ids. The caller's memory */
    uint32_t n_ids;
    const int32_t *ids;   /* SOME: each within the vocabulary */
    const uint32_t *mask; /* DRAW, as in sdk/driver/sample.h, and so is what follows; NULL allows all */
    const int32_t *seen;  /* DRAW: ids that the penalty concerns, n_seen of them */
    uint32_t n_seen, top_k;
    float temperature, top_p, min_p, repeat_penalty;
    uint64_t seed, counter;
    int32_t *id; /* DRAW: the token, -1 when none is allowed. The caller's memory */
};

struct session_batch {
    uint32_t n;
    const int32_t *token;
    const int32_t *pos;
    const uint32_t *seq;
    const struct session_row *rows; /* [n] */
};

/* How prompts are multiplied: to the same bits as single tokens, or by cuBLAS in bf16. */
enum session_gemm { GEMM_EXACT, GEMM_CUBLAS };

struct session;

/* Borrows the weights. Gives *out (session_close). 0, -EINVAL, -ENOMEM (host or device), -EIO. */
int session_open(struct weights *weights, uint32_t n_seq, uint32_t n_tokens, enum session_gemm gemm,
                 struct session **out, struct model_fail *fail);
void session_close(struct session *session);

/* Extend the sequences by the batch's tokens; every sequence's rows continue where it ends, in order. On
 * failure the sequences are as they were. 0; -EINVAL (bad token, sequence, position or row), -ENOSPC (no
 * room), -ECANCELED, -EDOM (logits that are no numbers), -ENOMEM (device memory), -EIO (the device is lost:
 * nothing works from now on). `fail` is filled for the last three. One caller at a time. */
int session_decode(struct session *session, const struct session_batch *batch, struct model_fail *fail);

/* Positions held by a sequence. */
uint32_t session_length(const struct session *session, uint32_t seq);
int session_copy(struct session *session, uint32_t dst, uint32_t src, uint32_t from, int64_t to);
int session_trim(struct session *session, uint32_t seq, uint32_t from);

/* Make the running decode, if any, return -ECANCELED. [any] */
void session_cancel(struct session *session);

/* Give a sequence n positions more as if they had been computed, with keys and values of zero: for
 * benchmarks. As session_decode. */
int session_pretend(struct session *session, uint32_t seq, uint32_t n);

/* Try whether cuBLAS may serve: 0, or a negative errno with the reason (a row's bits depend on the number of
 * rows, or there is no cuBLAS). selftest.c. [control] */
int session_try_cublas(struct weights *weights, struct model_fail *fail);

size_t session_kv_bytes_per_token(const struct arch *arch);

#endif

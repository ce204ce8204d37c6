/* SPDX-License-Identifier: Apache-2.0 */
/* synth.h - weights of a real model's shape, made on the device out of a counter: what a benchmark needs
 * without a file. Texts come out of it, but mean nothing. */
#ifndef TELEX_TESTS_CUDA_SYNTH_H
#define TELEX_TESTS_CUDA_SYNTH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synth_shape {
    const char *name;
    uint32_t layers, embd, ff, heads, kv_heads, head_dim, vocab, context;
    int qwen2;            /* rotates halves and has biases */
    uint32_t type, other; /* enum quant_type: of most matrices; of the head, and of attn_v and ffn_down in
                             every other layer */
};

struct synth;

/* 0 or a negative errno, and then `why`. */
int synth_open(const struct synth_shape *shape, uint32_t n_seq, uint32_t n_tokens, struct synth **out,
               char why[640]);
void synth_close(struct synth *s);
const char *synth_device(const struct synth *s);

/* Bytes that one step over n sequences of `context` positions has to read: the weights once, their keys and
 * values. */
double synth_step_bytes(const struct synth *s, uint32_t n, uint32_t context);

/* Seconds of one step of n sequences that hold `context` positions each; the median of `rounds`. Negative
 * errno on failure. */
double synth_step(struct synth *s, uint32_t n, uint32_t context, uint32_t rounds, char why[640]);
/* Seconds that a prompt of n tokens takes. */
double synth_prompt(struct synth *s, uint32_t n, char why[640]);

/* Bytes a second that the device reads and writes together, by our own copy. */
double synth_copy_bandwidth(struct synth *s, char why[640]);

#ifdef __cplusplus
}
#endif
#endif

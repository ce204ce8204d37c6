/* SPDX-License-Identifier: Apache-2.0 */
/* arch.h - what kind of transformer a file holds, as numbers and flags, and the steps that compute it.
 *
 * A model is not a graph of operations: it is one record of flags and a flat list of steps, walked from front
 * to back for every batch. The list can be printed; what it says is what runs. */
#ifndef TELEX_ARCH_H
#define TELEX_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "gguf.h"

struct arch {
    char name[32];
    bool rope_halves; /* rotate (x[i], x[i + d/2]) as Qwen does, else neighbours (x[2i], x[2i + 1]) as Llama
                         does */
    bool qkv_bias;
    uint32_t n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff;
    uint32_t n_context; /* positions that the model was trained for */
    uint32_t rope_dim;  /* leading dimensions of a head that rotate */
    float rope_base, norm_eps;
};

/* Read and check the numbers. An unknown architecture is refused by name. 0 or negative errno. */
int arch_read(const struct gguf *file, struct arch *arch, struct model_fail *fail);

enum step_op {
    STEP_EMBED,     /* x = table[token] */
    STEP_ATTN_NORM, /* h = rmsnorm(x) * w */
    STEP_QKV,    /* q, k, v = W h (+ b), a head a piece; q and k turn by position; k and v go to the cache */
    STEP_ATTEND, /* h = softmax(q k' / sqrt(d)) v */
    STEP_ATTN_OUT,  /* x += W h */
    STEP_FFN_NORM,  /* h = rmsnorm(x) * w */
    STEP_GATE_UP,   /* g = silu(Wg h) * (Wu h) */
    STEP_DOWN,      /* x += W g */
    STEP_LAST_NORM, /* h = rmsnorm(x) * w, for the rows that are asked for */
    STEP_HEAD,      /* logits = W h, for the rows that are asked for */
};

struct step {
    enum step_op op;
    uint32_t layer;
};

/* The steps of one forward pass; *n_steps of them, owned by the caller (free). NULL when out of memory. */
struct step *arch_plan(const struct arch *arch, size_t *n_steps);

/* One line a step: index, layer, name, formula with the sizes filled in. */
void arch_print_plan(const struct arch *arch, const struct step *steps, size_t n_steps, FILE *out);

#endif

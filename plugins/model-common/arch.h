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

enum { ARCH_MAX_LAYERS = 1024 };

enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_YARN };

/* How positions become angles. */
struct rope {
    float base;
    enum rope_scaling scaling;
    float factor;    /* positions lie this many times closer than in training; 1 when plain */
    float magnitude; /* YARN: cosines and sines are multiplied by it, besides what `factor` asks */
    float beta_fast,
        beta_slow;       /* YARN: turns within n_original above which nothing, below which all scales */
    uint32_t n_original; /* YARN: positions of the training before it was stretched */
};

/* The two kinds of layers that one model may mix, and their ropes. */
enum { ROPE_GLOBAL, ROPE_LOCAL, N_ROPES };

struct arch {
    char name[32];
    bool rope_halves; /* rotate (x[i], x[i + d/2]) as Qwen does, else neighbours (x[2i], x[2i + 1]) as Llama
                         does */
    bool qkv_bias;
    bool qk_norm;    /* each head of q and k is normed before it turns */
    bool post_norms; /* what attention and feed-forward give is normed before it is added */
    bool gelu;       /* the gate's activation is gelu (by tanh), else silu */
    uint32_t n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff;
    uint32_t n_context;                /* positions that the model was trained for */
    uint32_t rope_dim;                 /* leading dimensions of a head that rotate */
    uint32_t window;                   /* positions that a local layer sees, the row's own included */
    uint8_t is_local[ARCH_MAX_LAYERS]; /* by layer: ROPE_GLOBAL or ROPE_LOCAL */
    float norm_eps;
    float embed_scale; /* rows of the table are multiplied by it; 1: as they are */
    float attn_scale;  /* scores are multiplied by it */
    struct rope rope[N_ROPES];
};

/* Read and check the numbers. An unknown architecture, or a feature that would be ignored, is refused by
 * name. 0 or negative errno. */
int arch_read(const struct gguf *file, struct arch *arch, struct model_fail *fail);

/* The angle of position p in pair i is p * frequencies[i]. (rope_dim / 2). `divisors` (rope_dim / 2) comes
 * from the tensor rope_freqs.weight, or is NULL. Returns what cosines and sines are to be multiplied by. */
double arch_rope_frequencies(const struct arch *arch, int kind, const float *divisors, double *frequencies);

/* The first position that a row at `pos` sees in a layer. */
static inline uint32_t arch_first_seen(const struct arch *arch, uint32_t layer, uint32_t pos) {
    return arch->is_local[layer] && pos >= arch->window ? pos - arch->window + 1 : 0;
}

enum step_op {
    STEP_EMBED,     /* x = table[token] (* sqrt(n_embd)) */
    STEP_ATTN_NORM, /* h = rmsnorm(x) * w */
    STEP_QKV,       /* q, k, v = W h (+ b), a head a piece; q and k are normed if the model does so, and turn
                       by position; k and v go to the cache */
    STEP_ATTEND,    /* h = softmax(q k' * scale) v, over the window in a local layer */
    STEP_ATTN_OUT,  /* x += W h; with post norms y = W h */
    STEP_ATTN_POST, /* x += rmsnorm(y) * w; only with post norms */
    STEP_FFN_NORM,  /* h = rmsnorm(x) * w */
    STEP_GATE_UP,   /* g = silu(Wg h) * (Wu h), or gelu */
    STEP_DOWN,      /* x += W g; with post norms y = W g */
    STEP_FFN_POST,  /* x += rmsnorm(y) * w; only with post norms */
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

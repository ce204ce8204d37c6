/* SPDX-License-Identifier: Apache-2.0 */
/* layer.c - see layer.h. */
#include "layer.h"

#include <stdio.h>

struct layer_tensor layer_matrix(const struct arch *a, uint32_t layer, enum layer_matrix which) {
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    const struct {
        const char *name;
        uint32_t n_rows, n_cols;
    } parts[N_LAYER_MATRICES] = {
        [LAYER_Q] = {"attn_q", q, a->n_embd},
        [LAYER_K] = {"attn_k", kv, a->n_embd},
        [LAYER_V] = {"attn_v", kv, a->n_embd},
        [LAYER_OUT] = {"attn_output", a->n_embd, q},
        [LAYER_GATE] = {"ffn_gate", a->n_ff, a->n_embd},
        [LAYER_UP] = {"ffn_up", a->n_ff, a->n_embd},
        [LAYER_DOWN] = {"ffn_down", a->n_embd, a->n_ff},
    };
    struct layer_tensor t = {.n_rows = parts[which].n_rows, .n_cols = parts[which].n_cols, .is_there = true};

    snprintf(t.name, sizeof(t.name), "blk.%u.%s.weight", layer, parts[which].name);
    return t;
}

struct layer_tensor layer_vector(const struct arch *a, uint32_t layer, enum layer_vector which) {
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    const bool free_bias = !a->qkv_bias;
    const struct {
        const char *name;
        uint32_t n;
        bool is_there, optional;
    } parts[N_LAYER_VECTORS] = {
        [LAYER_ATTN_NORM] = {"attn_norm.weight", a->n_embd, true, false},
        [LAYER_FFN_NORM] = {"ffn_norm.weight", a->n_embd, true, false},
        [LAYER_Q_NORM] = {"attn_q_norm.weight", a->head_dim, a->qk_norm, false},
        [LAYER_K_NORM] = {"attn_k_norm.weight", a->head_dim, a->qk_norm, false},
        [LAYER_ATTN_POST] = {"post_attention_norm.weight", a->n_embd, a->post_norms, false},
        [LAYER_FFN_POST] = {"post_ffw_norm.weight", a->n_embd, a->post_norms, false},
        [LAYER_Q_BIAS] = {"attn_q.bias", q, true, free_bias},
        [LAYER_K_BIAS] = {"attn_k.bias", kv, true, free_bias},
        [LAYER_V_BIAS] = {"attn_v.bias", kv, true, free_bias},
    };
    struct layer_tensor t = {.n_rows = parts[which].n, .n_cols = 1};

    t.is_there = parts[which].is_there;
    t.optional = parts[which].optional;
    snprintf(t.name, sizeof(t.name), "blk.%u.%s", layer, parts[which].name);
    return t;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - one set of weights.
 *
 * A process holds one copy of a file's weights however often it is opened: models are counted by device,
 * inode, size and time of change. A model is immutable once open, and any number of contexts read it at once.
 * The file is closed again after loading; what remains are packed matrices. */
#ifndef TELEX_MODEL_CPU_H
#define TELEX_MODEL_CPU_H

#include "arch.h"
#include "fail.h"
#include "matrix.h"
#include "packed.h"
#include "tokenizer.h"

struct layer {
    float *attn_norm, *ffn_norm;     /* (n_embd) */
    float *attn_post, *ffn_post;     /* (n_embd), NULL without post norms */
    float *q_norm, *k_norm;          /* (head_dim), NULL without */
    float *q_bias, *k_bias, *v_bias; /* NULL without biases */
    struct matrix q, k, v, out;      /* (q or kv width, n_embd); out: (n_embd, q width) */
    struct matrix gate, up, down;    /* (n_ff, n_embd), (n_ff, n_embd), (n_embd, n_ff) */
};

struct model {
    struct arch arch;
    struct tokenizer *tokenizer;
    struct matrix table;  /* (n_vocab, n_embd) */
    struct matrix head;   /* shares the table's data when the file has no own head */
    float *last_norm;     /* (n_embd) */
    float *rope_factors;  /* (rope_dim / 2) divisors of the frequencies, or NULL */
    struct layer *layers; /* [n_layers] */
    struct step *steps;
    size_t n_steps;
    uint32_t n_vocab;
    uint8_t *weights; /* all matrices, weight_bytes */
    size_t weight_bytes;
    bool weights_are_mapped; /* from the cache, read-only */
    int in_use;              /* mapped: the descriptor that says so to others */
    char quant[16];          /* the type of most weights */
    char sha256[65];         /* of the file, in hex */
    char *title;             /* general.name, or the file's name */
    char *chat_template;     /* as in the file, or "" */
};

/* Open or share the weights at `path`. n_threads pack them, unless `cache` has them packed; NULL: no cache.
 * Gives *out (model_close). 0 or negative errno. [any] */
int model_open(const char *path, uint32_t n_threads, const struct packed_cache *cache, struct model **out,
               struct model_fail *fail);
/* The last close frees the weights. NULL is fine. [any] */
void model_close(struct model *model);

#endif

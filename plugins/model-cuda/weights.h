/* SPDX-License-Identifier: Apache-2.0 */
/* weights.h - one set of weights on one device.
 *
 * A process holds one copy of a file's weights on a device, however many backends and sessions use it, and
 * one queue to that device, which `lock` guards. Nothing is requantised: packed matrices are the file's bits
 * in another order. */
#ifndef TELEX_CUDA_WEIGHTS_H
#define TELEX_CUDA_WEIGHTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "arch.h"
#include "kargs.h"
#include "rt.h"
#include "tokenizer.h"

/* On the device, all of it. */
struct weight_layer {
    struct dmatrix q, k, v; /* (heads, rows of a head padded to 32) x n_embd */
    struct dmatrix out;     /* (n_embd, q width) */
    struct dmatrix gate, up, down;
    float *attn_norm, *ffn_norm;
    float *q_bias, *k_bias, *v_bias; /* NULL without biases */
    float *q_norm, *k_norm;          /* NULL unless heads are normed */
    float *attn_post, *ffn_post;     /* NULL unless what is added is normed */
};

struct weights {
    struct rt *rt;
    pthread_mutex_t lock; /* of the queue */
    struct arch arch;
    struct tokenizer *tokenizer;
    struct dmatrix table, head; /* head is the table when the file has no own */
    float *last_norm;
    float *rope_factors; /* on the host: (rope_dim / 2), or NULL */
    struct weight_layer *layers;
    struct step *steps;
    size_t n_steps;
    uint32_t n_vocab;
    uint32_t wide_terms, heads_terms, ff_terms,
        last_terms; /* of the activations that each kind of matrix reads */
    size_t weight_bytes;
    char quant[16];
    char sha256[65]; /* of the file, in hex */
    char *title, *chat_template;
    void **owned; /* device memory to be freed */
    size_t n_owned;
    atomic_bool is_lost; /* the device is: a new open starts anew */
};

/* Open or share the weights at `path` on a device. Gives *out (weights_close). 0 or negative errno. [any] */
int weights_open(const char *path, uint32_t device, struct weights **out, struct model_fail *fail);
/* The last close frees them, and the device. NULL is fine. [any] */
void weights_close(struct weights *weights);

/* The shape of a matrix on the device: everything but data. Rows come in runs of `run`, each padded to whole
 * groups. */
void weights_shape(struct dmatrix *m, uint32_t type, uint32_t n_rows, uint32_t n_cols, uint32_t run);
/* Pack group `group` of such a matrix out of rows in the file's layout. */
void weights_pack_group(const struct dmatrix *m, uint32_t type, const uint8_t *rows, uint32_t n_rows,
                        uint32_t run, uint32_t group, uint8_t *out);

static inline size_t weights_bytes(const struct dmatrix *m) {
    return m->n_rows / LANES * m->group_bytes;
}

#endif

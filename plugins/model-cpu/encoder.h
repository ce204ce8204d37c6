/* SPDX-License-Identifier: Apache-2.0 */
/* encoder.h - a BERT sentence encoder: texts in, vectors of length 1 out.
 *
 * Weights are a safetensors file with config.json and vocab.txt beside it, as sentence-transformers publishes
 * all-MiniLM-L6-v2. All arithmetic is float32. A text's vector has the same bits alone and among others, with
 * any number of threads, on every path. A process holds one copy of a file's weights; an encoder is immutable
 * once open. */
#ifndef TELEX_ENCODER_H
#define TELEX_ENCODER_H

#include "bert.h"
#include "encoder-kernels.h"
#include "pool.h"
#include "wordpiece.h"

struct encoder_layer {
    struct matrix qkv, out, up,
        down; /* (3 n_embd, n_embd), (n_embd, n_embd), (n_ff, n_embd), (n_embd, n_ff) */
    float *qkv_bias, *out_bias, *up_bias, *down_bias;
    float *attn_norm, *attn_norm_bias, *ffn_norm, *ffn_norm_bias; /* (n_embd) */
};

struct encoder {
    struct bert bert;
    struct wordpiece words;
    float *table, *positions, *type; /* (n_vocab, n_embd), (n_positions, n_embd), (n_embd) */
    float *norm, *norm_bias;         /* (n_embd) */
    struct encoder_layer *layers;    /* [n_layers] */
    size_t weight_bytes;
    char sha256[65]; /* of the weights' file, in hex */
    char *title;     /* the folder's name */
};

/* A text's tokens, without [CLS] and [SEP]. */
struct encoder_text {
    const int32_t *ids;
    uint32_t n; /* at most encoder_most_tokens() */
};

/* Open or share the weights at `path`, a file or the folder of model.safetensors. Gives *out (encoder_close).
 * 0 or negative errno. [any] */
int encoder_open(const char *path, const struct encoder **out, struct model_fail *fail);
void encoder_close(const struct encoder *encoder);

/* Whether `path` is a folder or a safetensors file by its name. */
bool encoder_is_for(const char *path);

/* The table of the same path as `kernels`. */
const struct encoder_kernels *encoder_kernels_like(const struct kernels *kernels);

/* Tokens of one text that fit beside [CLS] and [SEP]. */
static inline uint32_t encoder_most_tokens(const struct encoder *encoder) {
    return encoder->bert.n_positions - 2;
}

/* The mean of each text's last layer, [CLS] and [SEP] included, divided by its length: out (n_texts, n_embd).
 * At most ENCODER_MAX_ROWS tokens together. 0; -EINVAL (an id outside the vocabulary, too many tokens, no
 * text), -ENOMEM, -EDOM (the weights gave no number). [any] */
enum { ENCODER_MAX_ROWS = 1 << 16 };
int encoder_embed(const struct encoder *encoder, const struct encoder_kernels *kernels, struct pool *pool,
                  const struct encoder_text *texts, uint32_t n_texts, float *out);

#endif

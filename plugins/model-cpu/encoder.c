/* SPDX-License-Identifier: Apache-2.0 */
/* encoder.c - one pass of a BERT encoder over texts: Devlin et al. 2019, with the mean over the tokens of
 * Reimers and Gurevych 2019. Every step is one of the pool's. */
#include "encoder.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_A_PIECE = 4, LANES = 16 };
/* Of a layer, in this order. */
enum { STEP_QKV, STEP_ATTEND, STEP_OUT, STEP_ATTN_NORM, STEP_UP, STEP_DOWN, STEP_FFN_NORM, STEPS_A_LAYER };

struct pass {
    const struct encoder *encoder;
    const struct encoder_kernels *kernels;
    const struct encoder_text *texts;
    uint32_t n_texts, n_rows;
    uint32_t *first;               /* [n_texts + 1] row of each text's [CLS] */
    float *x, *mixed, *qkv, *wide; /* (n_rows, n_embd) twice, (n_rows, 3 n_embd), (n_rows, n_ff) */
    float *out;
};

const struct encoder_kernels *encoder_kernels_like(const struct kernels *kernels) {
#if defined(__x86_64__)
    if (strncmp(kernels->name, "avx2", 4) == 0)
        return &encoder_avx2;
    if (strncmp(kernels->name, "scalar", 6) != 0)
        return &encoder_avx512;
#endif
    (void)kernels;
    return &encoder_scalar;
}

/* ---- the steps ---- */

/* Row `row` of text `t`: the token's, the position's and the type's vectors, summed and normed. */
static void begin_row(const struct pass *p, uint32_t t, uint32_t at) {
    const struct encoder *e = p->encoder;
    const struct encoder_text *text = &p->texts[t];
    const size_t n = e->bert.n_embd;
    const int32_t id = at == 0 ? e->words.first : at == text->n + 1 ? e->words.last : text->ids[at - 1];
    const float *word = e->table + (size_t)id * n, *position = e->positions + (size_t)at * n;
    float *x = p->x + (p->first[t] + at) * n;

    for (size_t i = 0; i < n; i++)
        x[i] = word[i] + position[i] + e->type[i];
    p->kernels->norm(x, e->norm, e->norm_bias, n, e->bert.norm_eps);
}

static void product(const struct pass *p, const struct matrix *m, uint32_t piece, const float *x, float *y,
                    const float *bias, bool add) {
    const uint32_t first = piece * GROUPS_A_PIECE, left = m->n_groups - first;
    const struct product to = {.y = y, .stride = m->n_rows, .bias = bias, .add = add};

    p->kernels->product(m, first, left < GROUPS_A_PIECE ? left : GROUPS_A_PIECE, x, p->n_rows, &to);
}

/* Rows times a piece of the wide matrix, and the activation over what came out. */
static void widen(const struct pass *p, const struct encoder_layer *layer, uint32_t piece) {
    const size_t n_ff = p->encoder->bert.n_ff, first = (size_t)piece * GROUPS_A_PIECE * LANES;
    const size_t n = n_ff - first < GROUPS_A_PIECE * LANES ? n_ff - first : GROUPS_A_PIECE * LANES;

    product(p, &layer->up, piece, p->x, p->wide, layer->up_bias, false);
    for (uint32_t row = 0; row < p->n_rows; row++)
        p->kernels->gelu(p->wide + row * n_ff + first, n);
}

static void attend(const struct pass *p, uint32_t piece) {
    const struct bert *b = &p->encoder->bert;
    const uint32_t t = piece / b->n_heads, head = piece % b->n_heads, wide = b->n_embd / b->n_heads;
    const size_t stride = 3 * (size_t)b->n_embd, row = p->first[t];
    const float *q = p->qkv + row * stride + head * wide;
    float scores[BERT_MAX_POSITIONS];
    const struct encoder_attend job = {.q = q,
                                       .k = q + b->n_embd,
                                       .v = q + 2 * b->n_embd,
                                       .out = p->mixed + row * b->n_embd + head * wide,
                                       .scores = scores,
                                       .stride = stride,
                                       .out_stride = b->n_embd,
                                       .n = p->first[t + 1] - p->first[t],
                                       .head_dim = wide};

    p->kernels->attend(&job);
}

/* The mean of a text's rows, of length 1. */
static void finish_text(const struct pass *p, uint32_t t) {
    const size_t n = p->encoder->bert.n_embd;
    float *out = p->out + t * n;
    double square = 0.0;

    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;

        for (uint32_t row = p->first[t]; row < p->first[t + 1]; row++)
            sum += (double)p->x[row * n + i];
        out[i] = (float)(sum / (p->first[t + 1] - p->first[t]));
        square += (double)out[i] * (double)out[i];
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((double)out[i] / sqrt(square));
}

static void layer_step(const struct pass *p, const struct encoder_layer *layer, size_t kind, uint32_t piece) {
    const struct bert *b = &p->encoder->bert;
    float *row = p->x + (size_t)piece * b->n_embd;

    switch (kind) {
    case STEP_QKV:
        product(p, &layer->qkv, piece, p->x, p->qkv, layer->qkv_bias, false);
        break;
    case STEP_ATTEND:
        attend(p, piece);
        break;
    case STEP_OUT:
        product(p, &layer->out, piece, p->mixed, p->x, layer->out_bias, true);
        break;
    case STEP_ATTN_NORM:
        p->kernels->norm(row, layer->attn_norm, layer->attn_norm_bias, b->n_embd, b->norm_eps);
        break;
    case STEP_UP:
        widen(p, layer, piece);
        break;
    case STEP_DOWN:
        product(p, &layer->down, piece, p->wide, p->x, layer->down_bias, true);
        break;
    default:
        p->kernels->norm(row, layer->ffn_norm, layer->ffn_norm_bias, b->n_embd, b->norm_eps);
    }
}

/* The first step makes the rows, the last the vectors; a piece of either is a text. */
static void step(void *arg, size_t step, uint32_t piece, uint32_t thread) {
    const struct pass *p = arg;
    const size_t layer = (step - 1) / STEPS_A_LAYER;

    (void)thread;
    if (step == 0) {
        for (uint32_t at = 0; at < p->texts[piece].n + 2; at++)
            begin_row(p, piece, at);
    } else if (layer == p->encoder->bert.n_layers) {
        finish_text(p, piece);
    } else {
        layer_step(p, &p->encoder->layers[layer], (step - 1) % STEPS_A_LAYER, piece);
    }
}

/* ---- a pass ---- */

static int count_rows(struct pass *p) {
    const struct encoder *e = p->encoder;
    uint64_t n = 0;

    for (uint32_t t = 0; t < p->n_texts; t++) {
        if (p->texts[t].n > encoder_most_tokens(e))
            return -EINVAL;
        for (uint32_t i = 0; i < p->texts[t].n; i++)
            if (p->texts[t].ids[i] < 0 || (uint32_t)p->texts[t].ids[i] >= e->bert.n_vocab)
                return -EINVAL;
        p->first[t] = (uint32_t)n;
        n += p->texts[t].n + 2;
        if (n > ENCODER_MAX_ROWS)
            return -EINVAL;
    }
    p->n_rows = p->first[p->n_texts] = (uint32_t)n;
    return 0;
}

static void count_pieces(const struct pass *p, uint32_t *pieces) {
    const struct bert *b = &p->encoder->bert;
    const struct encoder_layer *layer = &p->encoder->layers[0];
    const uint32_t a_layer[STEPS_A_LAYER] = {
        [STEP_QKV] = (layer->qkv.n_groups + GROUPS_A_PIECE - 1) / GROUPS_A_PIECE,
        [STEP_ATTEND] = p->n_texts * b->n_heads,
        [STEP_OUT] = (layer->out.n_groups + GROUPS_A_PIECE - 1) / GROUPS_A_PIECE,
        [STEP_ATTN_NORM] = p->n_rows,
        [STEP_UP] = (layer->up.n_groups + GROUPS_A_PIECE - 1) / GROUPS_A_PIECE,
        [STEP_DOWN] = (layer->down.n_groups + GROUPS_A_PIECE - 1) / GROUPS_A_PIECE,
        [STEP_FFN_NORM] = p->n_rows,
    };

    pieces[0] = p->n_texts;
    for (uint32_t i = 0; i < b->n_layers; i++)
        memcpy(pieces + 1 + (size_t)i * STEPS_A_LAYER, a_layer, sizeof(a_layer));
    pieces[1 + (size_t)b->n_layers * STEPS_A_LAYER] = p->n_texts;
}

static int run(struct pass *p, struct pool *pool) {
    const struct bert *b = &p->encoder->bert;
    const size_t n_steps = 2 + (size_t)b->n_layers * STEPS_A_LAYER, row = 5 * (size_t)b->n_embd + b->n_ff;
    uint32_t *pieces = calloc(n_steps, sizeof(*pieces));
    float *memory = malloc(p->n_rows * row * sizeof(*memory));
    int err = -ENOMEM;

    if (pieces && memory && (uint64_t)p->n_texts * b->n_heads <= POOL_MAX_PIECES) {
        p->x = memory;
        p->mixed = p->x + (size_t)p->n_rows * b->n_embd;
        p->qkv = p->mixed + (size_t)p->n_rows * b->n_embd;
        p->wide = p->qkv + 3 * (size_t)p->n_rows * b->n_embd;
        count_pieces(p, pieces);
        err = pool_walk(pool, n_steps, pieces, step, p);
    }
    for (size_t i = 0; !err && i < (size_t)p->n_texts * b->n_embd; i++)
        if (!isfinite(p->out[i]))
            err = -EDOM;
    free(memory);
    free(pieces);
    return err;
}

int encoder_embed(const struct encoder *encoder, const struct encoder_kernels *kernels, struct pool *pool,
                  const struct encoder_text *texts, uint32_t n_texts, float *out) {
    struct pass pass = {
        .encoder = encoder, .kernels = kernels, .texts = texts, .n_texts = n_texts, .out = out};
    int err;

    if (n_texts == 0 || n_texts > ENCODER_MAX_ROWS)
        return -EINVAL;
    pass.first = calloc((size_t)n_texts + 1, sizeof(*pass.first));
    err = pass.first ? count_rows(&pass) : -ENOMEM;
    if (!err)
        err = run(&pass, pool);
    free(pass.first);
    return err;
}

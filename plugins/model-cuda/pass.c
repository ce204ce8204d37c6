/* SPDX-License-Identifier: Apache-2.0 */
/* pass.c - the model as it stands on paper, one function a step; each queues one kernel, or two. */
#include "pass.h"

/* Rows of activations that one block multiplies by: M of the kernels in product.cuh. */
static uint32_t columns_for(uint32_t rows) {
    return rows <= 2 ? rows : 8;
}

static uint32_t blocks(uint32_t n, uint32_t each) {
    return (n + each - 1) / each;
}

/* Above this many rows products go tile by tile, and what follows them is a kernel of its own. */
static bool is_long(const struct pass_shape *s) {
    return s->rows > 16;
}

/* ---- products ---- */

/* y (+)= W h by cuBLAS: a panel of the matrix at a time, unpacked to bf16. */
static void multiply_by_library(const struct pass *p, const struct pass_shape *s,
                                const struct product_args *k) {
    const uint32_t n_cols = k->m.n_cols, per_panel = PANEL_BYTES / 2 / n_cols / LANES * LANES;
    const struct unpack_args acts = {.f32 = k->h.f32, .out = p->acts, .n_cols = n_cols};

    rt_launch(p->rt, KERNEL_UNPACK, s->rows, 1, 1, &acts);
    for (uint32_t first = 0; first < k->n_rows; first += per_panel) {
        const uint32_t n = k->n_rows - first < per_panel ? k->n_rows - first : per_panel;
        const struct unpack_args panel = {
            .m = k->m, .out = p->panel, .first = first, .n_rows = n, .n_cols = n_cols};
        const struct rt_gemm gemm = {.a = p->panel,
                                     .b = p->acts,
                                     .c = k->y + first,
                                     .m = n,
                                     .n = s->rows,
                                     .k = n_cols,
                                     .a_stride = n_cols,
                                     .b_stride = n_cols,
                                     .c_stride = k->stride,
                                     .add = k->add};

        rt_launch(p->rt, KERNEL_UNPACK, n, 1, 1, &panel);
        rt_gemm_run(p->rt, &gemm);
    }
}

static void multiply(const struct pass *p, const struct pass_shape *s, const struct product_args *k) {
    const uint32_t groups = k->m.n_rows / LANES;

    if (s->blas && is_long(s))
        multiply_by_library(p, s, k);
    else if (is_long(s))
        rt_launch(p->rt, KERNEL_GEMM, blocks(k->m.n_rows, 64), blocks(s->rows, 64), 1, k);
    else if (s->rows == 16)
        rt_launch(p->rt, KERNEL_PRODUCT_16, groups, 1, 1, k);
    else
        rt_launch(p->rt,
                  s->rows == 1   ? KERNEL_PRODUCT_1
                  : s->rows == 2 ? KERNEL_PRODUCT_2
                                 : KERNEL_PRODUCT_8,
                  groups, 1, 1, k);
}

/* x += W h, or y = W h where that is normed before it is added */
static void add_product(const struct pass *p, const struct pass_shape *s, const struct dmatrix *m,
                        const struct dacts *h) {
    const struct arch *a = &p->weights->arch;
    const struct product_args k = {.batch = p->batch,
                                   .m = *m,
                                   .h = *h,
                                   .y = a->post_norms ? p->y : p->x,
                                   .stride = a->n_embd,
                                   .n_rows = a->n_embd,
                                   .add = !a->post_norms};

    multiply(p, s, &k);
}

static void multiply_raw(const struct pass *p, const struct pass_shape *s, const struct dmatrix *m,
                         const struct dacts *h, float *y) {
    const struct product_args k = {
        .batch = p->batch, .m = *m, .h = *h, .y = y, .stride = m->n_rows, .n_rows = m->n_rows};

    multiply(p, s, &k);
}

/* ---- the steps ---- */

/* x = table[token] (* sqrt(n_embd)) */
static void embed(const struct pass *p, const struct pass_shape *s) {
    const struct embed_args k = {
        .batch = p->batch, .table = p->weights->table, .x = p->x, .scale = p->weights->arch.embed_scale};

    rt_launch(p->rt, KERNEL_EMBED, s->rows, 1, 1, &k);
}

/* h = rmsnorm(x) * w */
static void norm(const struct pass *p, const struct pass_shape *s, const float *w) {
    const struct arch *a = &p->weights->arch;
    const struct norm_args k = {
        .batch = p->batch, .x = p->x, .w = w, .to = p->wide, .eps = a->norm_eps, .n = a->n_embd};

    rt_launch(p->rt, KERNEL_NORM, s->rows, 1, 1, &k);
}

/* x += rmsnorm(y) * w */
static void post_norm(const struct pass *p, const struct pass_shape *s, const float *w) {
    const struct arch *a = &p->weights->arch;
    const struct norm_args k = {
        .batch = p->batch, .x = p->y, .w = w, .add = p->x, .eps = a->norm_eps, .n = a->n_embd};

    rt_launch(p->rt, KERNEL_NORM, s->rows, 1, 1, &k);
}

/* Where the keys and values of a layer begin in every page. */
static uint8_t *layer_pages(const struct pass *p, uint32_t layer) {
    const struct arch *a = &p->weights->arch;

    return p->pages + (size_t)layer * a->n_kv_heads * 2 * PAGE * a->head_dim * sizeof(uint16_t);
}

/* q, k, v = W h (+ b); q and k normed and turned; k and v appended */
static void qkv(const struct pass *p, const struct pass_shape *s, uint32_t index) {
    const struct arch *a = &p->weights->arch;
    const struct weight_layer *l = &p->weights->layers[index];
    const uint32_t heads = a->n_heads + 2 * a->n_kv_heads, columns = columns_for(s->rows);
    struct qkv_args k = {
        .batch = p->batch,
        .m = {l->q, l->k, l->v},
        .bias = {l->q_bias, l->k_bias, l->v_bias},
        .norm = {l->q_norm, l->k_norm},
        .h = p->wide,
        .q = p->q,
        .kv = layer_pages(p, index),
        .page_bytes = p->page_bytes,
        .n_heads = a->n_heads,
        .n_kv_heads = a->n_kv_heads,
        .head_dim = a->head_dim,
        .rope_dim = a->rope_dim,
        .rope_halves = a->rope_halves,
        .turn = a->is_local[index],
        .eps = a->norm_eps,
    };

    if (!is_long(s)) {
        rt_launch(p->rt,
                  columns == 1   ? KERNEL_QKV_1
                  : columns == 2 ? KERNEL_QKV_2
                                 : KERNEL_QKV_8,
                  heads, blocks(s->rows, columns), 1, &k);
        return;
    }
    float *const raw_v = p->raw[1] + (size_t)MAX_ROWS * l->k.n_rows;

    multiply_raw(p, s, &l->q, &p->wide, p->raw[0]);
    multiply_raw(p, s, &l->k, &p->wide, p->raw[1]);
    multiply_raw(p, s, &l->v, &p->wide, raw_v);
    k.raw[0] = p->raw[0];
    k.raw[1] = p->raw[1];
    k.raw[2] = raw_v;
    rt_launch(p->rt, KERNEL_QKV_RAW, heads, blocks(s->rows, 8), 1, &k);
}

/* Queries that a block takes together: as many as share a kv head, within what its shared memory holds. */
static uint32_t queries_for(const struct arch *a, const struct pass_shape *s) {
    const uint32_t all = a->n_heads / a->n_kv_heads * (s->wide_tiles ? TILE_ROWS : 1);
    uint32_t n = 1;

    while (n < all && n < MAX_QUERIES && 2 * n * a->head_dim <= 2048)
        n *= 2;
    return n;
}

/* h = softmax(q k' * scale) v */
static void attend(const struct pass *p, const struct pass_shape *s, uint32_t layer) {
    const struct arch *a = &p->weights->arch;
    const bool merge = s->splits == 1 || s->rows > SPLIT_ROWS;
    const uint32_t n = queries_for(a, s), all = a->n_heads / a->n_kv_heads * (s->wide_tiles ? TILE_ROWS : 1);
    const struct attend_args k = {
        .batch = p->batch,
        .q = p->q,
        .kv = layer_pages(p, layer),
        .o = merge ? p->heads.f32 : p->split_o,
        .ml = p->split_ml,
        .page_bytes = p->page_bytes,
        .n_heads = a->n_heads,
        .n_kv_heads = a->n_kv_heads,
        .head_dim = a->head_dim,
        .n_splits = p->n_splits,
        .window = a->is_local[layer] ? a->window : 0,
        .merge = merge,
        .scale = a->attn_scale,
    };
    const struct combine_args c = {p->batch,   p->split_o,  p->split_ml, p->heads,
                                   a->n_heads, a->head_dim, p->n_splits, k.window};
    const struct quantise_args q = {p->batch, p->heads};

    rt_launch(p->rt,
              n == 1   ? KERNEL_ATTEND_1
              : n == 2 ? KERNEL_ATTEND_2
              : n == 4 ? KERNEL_ATTEND_4
                       : KERNEL_ATTEND_8,
              s->tiles, a->n_kv_heads * blocks(all, n), merge ? 1 : s->splits, &k);
    if (merge)
        rt_launch(p->rt, KERNEL_QUANTISE, s->rows, 1, 1, &q);
    else
        rt_launch(p->rt, KERNEL_COMBINE, s->rows, blocks(p->heads.n_cols, 256), 1, &c);
}

/* g = act(Wg h) * (Wu h) */
static void gate_up(const struct pass *p, const struct pass_shape *s, const struct weight_layer *l) {
    const uint32_t columns = columns_for(s->rows);
    struct gate_up_args k = {.batch = p->batch,
                             .gate = l->gate,
                             .up = l->up,
                             .h = p->wide,
                             .to = p->ff,
                             .gelu = p->weights->arch.gelu};

    if (!is_long(s)) {
        rt_launch(p->rt,
                  columns == 1   ? KERNEL_GATE_UP_1
                  : columns == 2 ? KERNEL_GATE_UP_2
                                 : KERNEL_GATE_UP_8,
                  p->ff.n_slices, blocks(s->rows, columns), 1, &k);
        return;
    }
    multiply_raw(p, s, &l->gate, &p->wide, p->raw[0]);
    multiply_raw(p, s, &l->up, &p->wide, p->raw[1]);
    k.raw[0] = p->raw[0];
    k.raw[1] = p->raw[1];
    rt_launch(p->rt, KERNEL_GATE_UP_RAW, s->rows, 1, 1, &k);
}

/* h = rmsnorm(x) * w, for the rows that ask */
static void last_norm(const struct pass *p, const struct pass_shape *s) {
    const struct arch *a = &p->weights->arch;
    const struct norm_args k = {.batch = p->batch,
                                .x = p->x,
                                .w = p->weights->last_norm,
                                .to = p->last,
                                .eps = a->norm_eps,
                                .n = a->n_embd,
                                .only_asked = 1};

    rt_launch(p->rt, KERNEL_NORM, s->asked, 1, 1, &k);
}

/* logits = W h, for the rows that ask; then what they ask */
static void head(const struct pass *p, const struct pass_shape *s) {
    const struct weights *w = p->weights;
    const uint32_t groups = w->head.n_rows / LANES;
    const struct product_args k = {.batch = p->batch,
                                   .m = w->head,
                                   .h = p->last,
                                   .y = p->logits,
                                   .stride = w->n_vocab,
                                   .n_rows = w->n_vocab,
                                   .is_head = 1,
                                   .bad = p->bad};
    const struct finish_args f = {p->batch, p->bad, p->logits, p->result, p->some, groups, w->n_vocab};
    const struct sample_args d = {p->batch, p->logits, p->result, p->order, w->n_vocab, 0};

    rt_launch(p->rt,
              s->asked == 1   ? KERNEL_PRODUCT_1
              : s->asked == 2 ? KERNEL_PRODUCT_2
              : s->asked <= 8 ? KERNEL_PRODUCT_8
                              : KERNEL_PRODUCT_16,
              groups, 1, 1, &k);
    rt_launch(p->rt, KERNEL_FINISH, 1, 1, 1, &f);
    if (s->draws)
        rt_launch(p->rt, KERNEL_SAMPLE, s->asked, 1, 1, &d);
}

/* ---- the walk ---- */

static void queue_step(const struct pass *p, const struct pass_shape *s, const struct step *step) {
    const struct weight_layer *l = &p->weights->layers[step->layer];

    switch (step->op) {
    case STEP_EMBED:
        embed(p, s);
        break;
    case STEP_ATTN_NORM:
        norm(p, s, l->attn_norm);
        break;
    case STEP_QKV:
        qkv(p, s, step->layer);
        break;
    case STEP_ATTEND:
        attend(p, s, step->layer);
        break;
    case STEP_ATTN_OUT:
        add_product(p, s, &l->out, &p->heads);
        break;
    case STEP_ATTN_POST:
        post_norm(p, s, l->attn_post);
        break;
    case STEP_FFN_NORM:
        norm(p, s, l->ffn_norm);
        break;
    case STEP_GATE_UP:
        gate_up(p, s, l);
        break;
    case STEP_DOWN:
        add_product(p, s, &l->down, &p->ff);
        break;
    case STEP_FFN_POST:
        post_norm(p, s, l->ffn_post);
        break;
    case STEP_LAST_NORM:
        if (s->asked > 0)
            last_norm(p, s);
        break;
    case STEP_HEAD:
        if (s->asked > 0)
            head(p, s);
        break;
    }
}

void pass_queue(const struct pass *pass, const struct pass_shape *shape) {
    const struct weights *w = pass->weights;

    for (size_t i = shape->head_only ? w->n_steps - 2 : 0; i < w->n_steps; i++)
        queue_step(pass, shape, &w->steps[i]);
}

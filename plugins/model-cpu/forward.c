/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c - the model as it stands on paper, one function a step.
 *
 * A step is cut into pieces that the threads share out. Which thread computes a piece never matters: each
 * output is computed whole, in one place, in a fixed order. */
#include "forward.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* ---- from activations to rows of a product ---- */

/* Groups of sixteen rows in piece i of a step that multiplies by one matrix. */
static uint32_t groups_per_piece(const struct forward *f, uint32_t n_groups) {
    const uint32_t n = n_groups / (pool_n_threads(f->pool) * 6);

    return n == 0 ? 1 : n;
}

static uint32_t pieces_of(uint32_t total, uint32_t per_piece) {
    return (total + per_piece - 1) / per_piece;
}

/* x += W h, or y = W h where it is to be normed first; the rows of one piece */
static void add_product(struct forward *f, uint32_t piece, const struct matrix *m, const struct acts *acts) {
    const bool post = f->model->arch.post_norms;
    const uint32_t per = groups_per_piece(f, m->n_groups), first = piece * per;
    const uint32_t n = m->n_groups - first < per ? m->n_groups - first : per;
    const struct product to = {post ? f->wide.f32 : f->x, f->model->arch.n_embd, NULL, !post};

    f->kernels->matmul(m, first, n, acts, &to);
}

/* ---- the steps ---- */

/* x = table[token] * scale */
static void embed(struct forward *f, uint32_t r) {
    const struct arch *a = &f->model->arch;
    float *x = f->x + (size_t)r * a->n_embd;

    matrix_read_row(&f->model->table, (uint32_t)f->rows[r].token, x);
    for (uint32_t i = 0; a->embed_scale != 1.0f && i < a->n_embd; i++)
        x[i] *= a->embed_scale;
}

/* h = rmsnorm(x) * weight */
static void norm(struct forward *f, uint32_t r, const float *weight) {
    const struct arch *a = &f->model->arch;

    f->kernels->rmsnorm(f->wide.f32 + (size_t)r * a->n_embd, f->x + (size_t)r * a->n_embd, weight, a->n_embd,
                        a->norm_eps);
    f->kernels->quantise(&f->wide, r, 0, a->n_embd / QUANT_SLICE);
}

/* x += rmsnorm(y) * weight */
static void post_norm(struct forward *f, uint32_t r, const float *weight) {
    const struct arch *a = &f->model->arch;
    float *x = f->x + (size_t)r * a->n_embd, *y = f->wide.f32 + (size_t)r * a->n_embd;

    f->kernels->rmsnorm(y, y, weight, a->n_embd, a->norm_eps);
    for (uint32_t i = 0; i < a->n_embd; i++)
        x[i] += y[i];
}

/* Rotate the pairs of one head: (x[i], x[i + half]) or (x[2i], x[2i + 1]). turn: (half, 2) cosines and sines
 */
static void rotate(float *x, const float *turn, uint32_t half, bool halves) {
    for (uint32_t i = 0; i < half; i++) {
        float *a = halves ? &x[i] : &x[2 * i], *b = halves ? &x[i + half] : &x[2 * i + 1];
        const float c = turn[2 * i], s = turn[2 * i + 1], old = *a;

        *a = old * c - *b * s;
        *b = old * s + *b * c;
    }
}

/* q or k of one head: normed if the model does so, then turned. */
static void norm_and_turn(const struct forward *f, uint32_t r, uint32_t layer, const float *weight,
                          float *x) {
    const struct arch *a = &f->model->arch;

    if (weight)
        f->kernels->rmsnorm(x, x, weight, a->head_dim, a->norm_eps);
    rotate(x, f->turn[a->is_local[layer]] + (size_t)r * a->rope_dim, a->rope_dim / 2, a->rope_halves);
}

/* One head of q, k or v = W h (+ b), for every row. Pieces are the heads of q, then those of k, then those of
 * v. */
static void qkv(struct forward *f, uint32_t piece, uint32_t layer_index) {
    const struct arch *a = &f->model->arch;
    const struct layer *layer = &f->model->layers[layer_index];
    const bool is_q = piece < a->n_heads, is_k = !is_q && piece < a->n_heads + a->n_kv_heads;
    const uint32_t head = is_q ? piece : is_k ? piece - a->n_heads : piece - a->n_heads - a->n_kv_heads;
    const struct matrix *m = is_q ? &layer->q : is_k ? &layer->k : &layer->v;
    const uint32_t groups = a->head_dim / MATRIX_LANES;
    const struct product to = {is_q   ? f->q
                               : is_k ? f->k
                                      : f->v,
                               m->n_rows,
                               is_q   ? layer->q_bias
                               : is_k ? layer->k_bias
                                      : layer->v_bias,
                               false};

    f->kernels->matmul(m, head * groups, groups, &f->wide, &to);
    for (uint32_t r = 0; r < f->n; r++) {
        float *x = to.y + r * to.stride + (size_t)head * a->head_dim;
        const uint32_t pos = f->rows[r].pos, page = f->rows[r].pages[pos / KV_PAGE];

        if (is_q || is_k)
            norm_and_turn(f, r, layer_index, is_q ? layer->q_norm : layer->k_norm, x);
        if (is_k)
            f->kernels->key_put(kv_keys(f->kv, page, layer_index, head), pos % KV_PAGE, x, a->head_dim);
        else if (!is_q)
            f->kernels->value_put(kv_values(f->kv, page, layer_index, head), pos % KV_PAGE, x, a->head_dim);
    }
}

/* Query heads in one piece of attention: those that share a kv head, or single ones when pieces would be too
 * few. A piece quantises what it gives, so it ends where a slice ends: in the worst case it is a whole row.
 */
static uint32_t heads_per_piece(const struct forward *f) {
    const struct arch *a = &f->model->arch;
    const uint32_t shared = a->n_heads / a->n_kv_heads;

    if (f->n * a->n_kv_heads < 4 * pool_n_threads(f->pool) && a->head_dim % QUANT_SLICE == 0)
        return 1;
    return shared * a->head_dim % QUANT_SLICE == 0 ? shared : a->n_heads;
}

/* out = softmax(q k' * scale) v for `n_heads` heads of one row that share a kv head, over the window in a
 * local layer
 */
static void attend_heads(struct forward *f, uint32_t r, uint32_t head, uint32_t n_heads, uint32_t layer,
                         uint32_t thread) {
    const struct arch *a = &f->model->arch;
    const uint32_t kv_head = head / (a->n_heads / a->n_kv_heads), n = f->rows[r].pos + 1;
    const uint32_t first = arch_first_seen(a, layer, f->rows[r].pos), first_page = first / KV_PAGE;
    const size_t at = ((size_t)r * a->n_heads + head) * a->head_dim;
    const void **k = f->page_list + (size_t)thread * 2 * f->max_pages, **v = k + f->max_pages;
    const struct attend job = {
        .q = f->q + at,
        .out = f->heads.f32 + at,
        .scores = f->scores + (size_t)thread * (a->n_heads / a->n_kv_heads) * f->score_stride,
        .score_stride = f->score_stride,
        .n_heads = n_heads,
        .head_dim = a->head_dim,
        .n = n - first_page * KV_PAGE,
        .skip = first % KV_PAGE,
        .scale = a->attn_scale,
        .k = k,
        .v = v,
    };

    for (uint32_t p = first_page; p * KV_PAGE < n; p++) {
        k[p - first_page] = kv_keys(f->kv, f->rows[r].pages[p], layer, kv_head);
        v[p - first_page] = kv_values(f->kv, f->rows[r].pages[p], layer, kv_head);
    }
    f->kernels->attend(&job);
}

static void attend(struct forward *f, uint32_t piece, uint32_t layer, uint32_t thread) {
    const struct arch *a = &f->model->arch;
    const uint32_t per = heads_per_piece(f), shared = a->n_heads / a->n_kv_heads,
                   together = per < shared ? per : shared;
    const uint32_t r = piece / (a->n_heads / per), head = piece % (a->n_heads / per) * per;

    for (uint32_t i = 0; i < per; i += together)
        attend_heads(f, r, head + i, together, layer, thread);
    f->kernels->quantise(&f->heads, r, head * a->head_dim / QUANT_SLICE, per * a->head_dim / QUANT_SLICE);
}

/* Slices of 32 values in one piece of the feed-forward layer. */
static uint32_t slices_per_piece(const struct forward *f) {
    const uint32_t n = f->model->arch.n_ff / QUANT_SLICE / (pool_n_threads(f->pool) * 6);

    return n == 0 ? 1 : n;
}

/* g = silu(Wg h) * (Wu h), or gelu, some slices of it for every row */
static void gate_up(struct forward *f, uint32_t piece, const struct layer *layer) {
    const size_t n_ff = f->model->arch.n_ff;
    const uint32_t per = slices_per_piece(f), first = piece * per, end = (uint32_t)n_ff / QUANT_SLICE;
    const uint32_t n = end - first < per ? end - first : per, groups = QUANT_SLICE / MATRIX_LANES;
    const struct product gate = {f->ff.f32, n_ff, NULL, false}, up = {f->up, n_ff, NULL, false};

    f->kernels->matmul(&layer->gate, first * groups, n * groups, &f->wide, &gate);
    f->kernels->matmul(&layer->up, first * groups, n * groups, &f->wide, &up);
    for (uint32_t r = 0; r < f->n; r++) {
        const size_t at = r * n_ff + (size_t)first * QUANT_SLICE;

        (f->model->arch.gelu ? f->kernels->geglu : f->kernels->swiglu)(f->ff.f32 + at, f->up + at,
                                                                       (size_t)n * QUANT_SLICE);
        f->kernels->quantise(&f->ff, r, first, n);
    }
}

/* h = rmsnorm(x) * weight for a row that is asked for */
static void last_norm(struct forward *f, uint32_t i) {
    const struct arch *a = &f->model->arch;
    const float *x = f->x + (size_t)f->asked[i] * a->n_embd;

    f->kernels->rmsnorm(f->last.f32 + (size_t)i * a->n_embd, x, f->model->last_norm, a->n_embd, a->norm_eps);
    f->kernels->quantise(&f->last, i, 0, a->n_embd / QUANT_SLICE);
    f->kernels->quantise(&f->ones[i], 0, 0, a->n_embd / QUANT_SLICE);
}

enum { HEAD_GROUPS = 16 };

/* logits = W h. A group that every row needs is computed for all rows at once, others row by row. */
static void head_group(struct forward *f, uint32_t g) {
    const struct matrix *m = &f->model->head;
    const size_t n_vocab = f->model->n_vocab;
    uint32_t needed = 0;

    for (uint32_t i = 0; i < f->n_asked; i++)
        needed += f->groups[(size_t)i * m->n_groups + g];
    if (needed == f->n_asked) {
        f->kernels->matmul(m, g, 1, &f->last, &(struct product){f->logits, n_vocab, NULL, false});
        return;
    }
    for (uint32_t i = 0; i < f->n_asked && needed > 0; i++)
        if (f->groups[(size_t)i * m->n_groups + g])
            f->kernels->matmul(m, g, 1, &f->ones[i],
                               &(struct product){f->logits + i * n_vocab, n_vocab, NULL, false});
}

static void head(struct forward *f, uint32_t piece) {
    const uint32_t first = piece * HEAD_GROUPS, n_groups = f->model->head.n_groups;

    for (uint32_t g = first; g < first + HEAD_GROUPS && g < n_groups; g++)
        head_group(f, g);
}

/* ---- the walk ---- */

static uint32_t count_pieces(const struct forward *f, const struct step *step) {
    const struct model *m = f->model;
    const struct layer *layer = &m->layers[step->layer < m->arch.n_layers ? step->layer : 0];

    switch (step->op) {
    case STEP_EMBED:
    case STEP_ATTN_NORM:
    case STEP_ATTN_POST:
    case STEP_FFN_NORM:
    case STEP_FFN_POST:
        return f->n;
    case STEP_QKV:
        return m->arch.n_heads + 2 * m->arch.n_kv_heads;
    case STEP_ATTEND:
        return f->n * (m->arch.n_heads / heads_per_piece(f));
    case STEP_ATTN_OUT:
        return pieces_of(layer->out.n_groups, groups_per_piece(f, layer->out.n_groups));
    case STEP_GATE_UP:
        return pieces_of(m->arch.n_ff / QUANT_SLICE, slices_per_piece(f));
    case STEP_DOWN:
        return pieces_of(layer->down.n_groups, groups_per_piece(f, layer->down.n_groups));
    case STEP_LAST_NORM:
        return f->n_asked;
    case STEP_HEAD:
        return f->n_asked == 0 ? 0 : pieces_of(m->head.n_groups, HEAD_GROUPS);
    }
    return 0;
}

static void do_piece(struct forward *f, size_t index, uint32_t piece, uint32_t thread) {
    const struct step *step = &f->model->steps[f->first_step + index];
    const struct layer *layer = &f->model->layers[step->layer];

    switch (step->op) {
    case STEP_EMBED:
        embed(f, piece);
        break;
    case STEP_ATTN_NORM:
        norm(f, piece, layer->attn_norm);
        break;
    case STEP_QKV:
        qkv(f, piece, step->layer);
        break;
    case STEP_ATTEND:
        attend(f, piece, step->layer, thread);
        break;
    case STEP_ATTN_OUT:
        add_product(f, piece, &layer->out, &f->heads);
        break;
    case STEP_ATTN_POST:
        post_norm(f, piece, layer->attn_post);
        break;
    case STEP_FFN_NORM:
        norm(f, piece, layer->ffn_norm);
        break;
    case STEP_GATE_UP:
        gate_up(f, piece, layer);
        break;
    case STEP_DOWN:
        add_product(f, piece, &layer->down, &f->ff);
        break;
    case STEP_FFN_POST:
        post_norm(f, piece, layer->ffn_post);
        break;
    case STEP_LAST_NORM:
        last_norm(f, piece);
        break;
    case STEP_HEAD:
        head(f, piece);
        break;
    }
}

static uint64_t now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run_piece(void *arg, size_t index, uint32_t piece, uint32_t thread) {
    struct forward *f = arg;
    uint64_t from;

    if (atomic_load_explicit(f->cancel, memory_order_relaxed))
        return; /* the walk runs out, its results are dropped */
    if (!f->clock || thread >= FORWARD_CLOCK_THREADS) {
        do_piece(f, index, piece, thread);
        return;
    }
    from = now_ns();
    do_piece(f, index, piece, thread);
    f->clock->ns[thread][f->model->steps[f->first_step + index].op] += now_ns() - from;
}

int forward_run(struct forward *f, size_t first_step) {
    const size_t n = f->model->n_steps - first_step;

    f->first_step = first_step;
    for (size_t i = 0; i < n; i++)
        f->pieces[i] = count_pieces(f, &f->model->steps[first_step + i]);
    return pool_walk(f->pool, n, f->pieces, run_piece, f);
}

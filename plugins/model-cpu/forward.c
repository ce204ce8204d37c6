/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c - the model as it stands on paper, one function a step.
 *
 * Every thread walks the same list. Within a step, pieces of work are shared out; between steps all threads
 * meet. Which thread computes a piece never matters: each output is computed whole, in one place, in a fixed
 * order. */
#include "forward.h"

#include <math.h>
#include <string.h>

struct worker {
    struct forward *f;
    uint32_t thread;
    atomic_uint *share; /* this step's counter */
};

#define EACH_PIECE(w, total, chunk, i)                                                                       \
    for (uint32_t first_ = 0, n_ = 0; (n_ = pool_share((w)->share, (total), (chunk), &first_)) > 0;)         \
        for (uint32_t i = first_; i < first_ + n_; i++)

/* x = table[token] */
static void embed(struct worker *w) {
    struct forward *f = w->f;
    const uint32_t n_embd = f->model->arch.n_embd;

    EACH_PIECE(w, f->n, 1, r)
    matrix_read_row(&f->model->table, (uint32_t)f->rows[r].token, f->x + (size_t)r * n_embd);
}

/* h = rmsnorm(x) * weight, in f32 and int8 */
static void norm(struct worker *w, const float *weight) {
    struct forward *f = w->f;
    const struct arch *a = &f->model->arch;

    EACH_PIECE(w, f->n, 1, r) {
        f->kernels->rmsnorm(f->wide.f32 + (size_t)r * a->n_embd, f->x + (size_t)r * a->n_embd, weight,
                            a->n_embd, a->norm_eps);
        f->kernels->quantise(&f->wide, r);
    }
}

/* One of several matrices that read the same activations. */
struct part {
    const struct matrix *matrix;
    struct product to;
};

/* Groups of rows of all parts are shared out as one list. */
static void multiply(struct worker *w, const struct acts *acts, const struct part *parts, size_t n_parts) {
    const uint32_t n_threads = pool_n_threads(w->f->pool);
    uint32_t total = 0, chunk, first, n;

    for (size_t i = 0; i < n_parts; i++)
        total += parts[i].matrix->n_groups;
    chunk = total / (n_threads * 6);
    chunk = n_threads == 1 ? total : chunk == 0 ? 1 : chunk;
    while ((n = pool_share(w->share, total, chunk, &first)) > 0)
        for (size_t i = 0; i < n_parts && n > 0; i++) {
            const uint32_t groups = parts[i].matrix->n_groups;

            if (first < groups) {
                const uint32_t here = groups - first < n ? groups - first : n;

                w->f->kernels->matmul(parts[i].matrix, first, here, acts, &parts[i].to);
                n -= here;
                first = groups;
            }
            first -= groups;
        }
}

/* q, k, v = W h (+ b) */
static void qkv(struct worker *w, const struct layer *layer) {
    struct forward *f = w->f;
    const struct arch *a = &f->model->arch;
    const size_t q = (size_t)a->n_heads * a->head_dim, kv = (size_t)a->n_kv_heads * a->head_dim;
    const struct part parts[] = {
        {&layer->q, {f->q, q, layer->q_bias, false}},
        {&layer->k, {f->k, kv, layer->k_bias, false}},
        {&layer->v, {f->v, kv, layer->v_bias, false}},
    };

    multiply(w, &f->wide, parts, 3);
}

/* Rotate the pairs of one head: (x[i], x[i + half]) or (x[2i], x[2i + 1]). turn: (half, 2) */
static void rotate(float *x, const float *turn, uint32_t half, bool halves) {
    for (uint32_t i = 0; i < half; i++) {
        float *a = halves ? &x[i] : &x[2 * i], *b = halves ? &x[i + half] : &x[2 * i + 1];
        const float c = turn[2 * i], s = turn[2 * i + 1], old = *a;

        *a = old * c - *b * s;
        *b = old * s + *b * c;
    }
}

/* q and k turn by position; k and v go to the cache. */
static void rope(struct worker *w, uint32_t layer) {
    struct forward *f = w->f;
    const struct arch *a = &f->model->arch;
    const uint32_t half = a->rope_dim / 2;

    EACH_PIECE(w, f->n, 1, r) {
        const float *turn = f->turn + (size_t)r * a->rope_dim;
        const uint32_t page = f->rows[r].pages[f->rows[r].pos / KV_PAGE];

        for (uint32_t h = 0; h < a->n_heads; h++)
            rotate(f->q + ((size_t)r * a->n_heads + h) * a->head_dim, turn, half, a->rope_halves);
        for (uint32_t h = 0; h < a->n_kv_heads; h++) {
            float *k = f->k + ((size_t)r * a->n_kv_heads + h) * a->head_dim;

            rotate(k, turn, half, a->rope_halves);
            f->kernels->kv_put(kv_keys(f->kv, page, layer, h), kv_values(f->kv, page, layer, h),
                               f->rows[r].pos % KV_PAGE, k,
                               f->v + ((size_t)r * a->n_kv_heads + h) * a->head_dim, a->head_dim);
        }
    }
}

/* h = softmax(q k' / sqrt(d)) v for one row and one kv head */
static void attend_one(struct worker *w, uint32_t layer, uint32_t r, uint32_t kv_head) {
    struct forward *f = w->f;
    const struct arch *a = &f->model->arch;
    const uint32_t group = a->n_heads / a->n_kv_heads, n = f->rows[r].pos + 1;
    const size_t at = ((size_t)r * a->n_heads + (size_t)kv_head * group) * a->head_dim;
    const uint16_t **k = f->page_list + (size_t)w->thread * 2 * f->max_pages, **v = k + f->max_pages;
    const struct attend job = {
        .q = f->q + at,
        .out = f->heads.f32 + at,
        .scores = f->scores + (size_t)w->thread * group * f->score_stride,
        .score_stride = f->score_stride,
        .n_heads = group,
        .head_dim = a->head_dim,
        .n = n,
        .scale = 1.0f / sqrtf((float)a->head_dim),
        .k = k,
        .v = v,
    };

    for (uint32_t p = 0; p * KV_PAGE < n; p++) {
        k[p] = kv_keys(f->kv, f->rows[r].pages[p], layer, kv_head);
        v[p] = kv_values(f->kv, f->rows[r].pages[p], layer, kv_head);
    }
    f->kernels->attend(&job);
}

static void attend(struct worker *w, uint32_t layer) {
    const uint32_t n_kv_heads = w->f->model->arch.n_kv_heads;

    EACH_PIECE(w, w->f->n * n_kv_heads, 1, i)
    attend_one(w, layer, i / n_kv_heads, i % n_kv_heads);
}

/* The rows of f32 activations also in int8. */
static void quantise_rows(struct worker *w, struct acts *acts) {
    EACH_PIECE(w, acts->n_rows, 1, r)
    w->f->kernels->quantise(acts, r);
}

/* x += W h */
static void add_product(struct worker *w, const struct matrix *matrix, const struct acts *acts) {
    const struct part part = {matrix, {w->f->x, w->f->model->arch.n_embd, NULL, true}};

    multiply(w, acts, &part, 1);
}

/* g, u = W h */
static void gate_up(struct worker *w, const struct layer *layer) {
    struct forward *f = w->f;
    const size_t n_ff = f->model->arch.n_ff;
    const struct part parts[] = {
        {&layer->gate, {f->ff.f32, n_ff, NULL, false}},
        {&layer->up, {f->up, n_ff, NULL, false}},
    };

    multiply(w, &f->wide, parts, 2);
}

/* g = silu(g) * u, in f32 and int8 */
static void swiglu(struct worker *w) {
    struct forward *f = w->f;
    const size_t n_ff = f->model->arch.n_ff;

    EACH_PIECE(w, f->n, 1, r) {
        f->kernels->swiglu(f->ff.f32 + r * n_ff, f->up + r * n_ff, n_ff);
        f->kernels->quantise(&f->ff, r);
    }
}

/* h = rmsnorm(x) * weight for the rows that are asked for */
static void last_norm(struct worker *w) {
    struct forward *f = w->f;
    const struct arch *a = &f->model->arch;

    EACH_PIECE(w, f->n_asked, 1, i) {
        const float *x = f->x + (size_t)f->asked[i] * a->n_embd;

        f->kernels->rmsnorm(f->last.f32 + (size_t)i * a->n_embd, x, f->model->last_norm, a->n_embd,
                            a->norm_eps);
        f->kernels->quantise(&f->last, i);
        f->kernels->quantise(&f->ones[i], 0);
    }
}

/* logits = W h. Groups that every row needs are computed for all rows at once; others row by row. */
static void head(struct worker *w) {
    struct forward *f = w->f;
    const struct matrix *m = &f->model->head;
    const size_t n_vocab = f->model->n_vocab;
    const struct product all = {f->logits, n_vocab, NULL, false};

    EACH_PIECE(w, m->n_groups, 8, g) {
        uint32_t needed = 0;

        for (uint32_t i = 0; i < f->n_asked; i++)
            needed += f->groups[(size_t)i * m->n_groups + g];
        if (needed == f->n_asked) {
            f->kernels->matmul(m, g, 1, &f->last, &all);
            continue;
        }
        for (uint32_t i = 0; i < f->n_asked && needed > 0; i++) {
            const struct product one = {f->logits + i * n_vocab, n_vocab, NULL, false};

            if (f->groups[(size_t)i * m->n_groups + g])
                f->kernels->matmul(m, g, 1, &f->ones[i], &one);
        }
    }
}

static void run_step(struct worker *w, const struct step *step) {
    struct forward *f = w->f;
    const struct layer *layer = &f->model->layers[step->layer];

    switch (step->op) {
    case STEP_EMBED:
        embed(w);
        break;
    case STEP_ATTN_NORM:
        norm(w, layer->attn_norm);
        break;
    case STEP_QKV:
        qkv(w, layer);
        break;
    case STEP_ROPE:
        rope(w, step->layer);
        break;
    case STEP_ATTEND:
        attend(w, step->layer);
        break;
    case STEP_QUANT_HEADS:
        quantise_rows(w, &f->heads);
        break;
    case STEP_ATTN_OUT:
        add_product(w, &layer->out, &f->heads);
        break;
    case STEP_FFN_NORM:
        norm(w, layer->ffn_norm);
        break;
    case STEP_GATE_UP:
        gate_up(w, layer);
        break;
    case STEP_SWIGLU:
        swiglu(w);
        break;
    case STEP_DOWN:
        add_product(w, &layer->down, &f->ff);
        break;
    case STEP_LAST_NORM:
        last_norm(w);
        break;
    case STEP_HEAD:
        head(w);
        break;
    }
}

/* Thread 0 looks at the end of a layer, before the threads meet; all read the answer after they have met. */
static void look_for_cancel(struct forward *f, uint32_t thread, const struct step *step) {
    if (thread == 0 && (step->op == STEP_EMBED || step->op == STEP_DOWN) &&
        atomic_load_explicit(f->cancel, memory_order_relaxed))
        atomic_store_explicit(&f->cancelled, true, memory_order_relaxed);
}

static void walk(void *arg, uint32_t thread) {
    struct forward *f = arg;

    for (size_t i = f->first_step; i < f->model->n_steps; i++) {
        const struct step *step = &f->model->steps[i];
        struct worker w = {f, thread, &f->shares[i]};

        if (step->op == STEP_ATTN_NORM && atomic_load_explicit(&f->cancelled, memory_order_relaxed))
            return;
        if (step->op == STEP_LAST_NORM && f->n_asked == 0)
            return;
        run_step(&w, step);
        look_for_cancel(f, thread, step);
        pool_meet(f->pool);
    }
}

bool forward_run(struct forward *f, size_t first_step) {
    f->first_step = first_step;
    atomic_store(&f->cancelled, false);
    pool_run(f->pool, walk, f);
    return !atomic_load(&f->cancelled);
}

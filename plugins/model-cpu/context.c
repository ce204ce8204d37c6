/* SPDX-License-Identifier: Apache-2.0 */
/* context.c - sequences of tokens over one model.
 *
 * A batch is checked as a whole before anything changes: either all its rows become part of their sequences
 * or none does. Buffers grow to the largest batch seen and stay. */
#include "context.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward.h"

struct context {
    const struct model *model;
    const struct kernels *kernels;
    struct pool *pool;
    struct kv kv;
    uint32_t n_seq;
    uint32_t wide_terms, heads_terms, ff_terms, last_terms;
    atomic_bool cancel;
    uint32_t room;          /* rows that the buffers hold */
    struct forward forward; /* its buffers are owned here */
    struct forward_row *rows;
    uint32_t *asked;
    uint32_t *lengths;            /* [n_seq] before the batch */
    bool has_local;               /* some layers see a window only */
    double *frequencies[N_ROPES]; /* (rope_dim / 2) */
    double magnitudes[N_ROPES];   /* of cosines and sines */
};

/* ---- buffers ---- */

static void *grow(size_t n_bytes, int *err) {
    void *p = *err ? NULL : aligned_alloc(64, (n_bytes + 63) / 64 * 64 + 64);

    if (!p)
        *err = -ENOMEM;
    return p;
}

static void finish_acts(struct acts *acts) {
    free(acts->f32);
    free(acts->tiles);
    memset(acts, 0, sizeof(*acts));
}

static void init_acts(struct acts *acts, uint32_t n_rows, uint32_t n_cols, uint32_t terms, int *err) {
    acts->n_rows = n_rows;
    acts->n_cols = n_cols;
    acts->terms = terms;
    acts->f32 = grow((size_t)n_rows * n_cols * sizeof(float), err);
    acts->tiles = grow(acts_bytes(n_rows, n_cols, terms), err);
}

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* Whether some layer's matrix is content with one term. */
static bool is_coarse(const struct model *m) {
    for (uint32_t i = 0; i < m->arch.n_layers; i++) {
        const struct layer *l = &m->layers[i];
        const struct matrix *all[] = {&l->q, &l->k, &l->v, &l->out, &l->gate, &l->up, &l->down};

        for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++)
            if (acts_terms_for(all[j]->type) == 1)
                return true;
    }
    return false;
}

/* The terms that activations need for all the matrices which read them. A model with K types in its layers
 * has them wherever rows are a multiple of 256 long, and others elsewhere: there too one term is enough,
 * since the logits' error stays that of the K types, and two would cost twice the products. */
static void find_terms(struct context *ctx) {
    const struct model *m = ctx->model;

    ctx->wide_terms = ctx->heads_terms = ctx->ff_terms = ctx->last_terms = 1;
    if (is_coarse(m))
        return;
    ctx->last_terms = acts_terms_for(m->head.type);
    for (uint32_t i = 0; i < m->arch.n_layers; i++) {
        const struct layer *l = &m->layers[i];
        const struct matrix *wide[] = {&l->q, &l->k, &l->v, &l->gate, &l->up};

        for (size_t j = 0; j < sizeof(wide) / sizeof(wide[0]); j++)
            ctx->wide_terms = larger(ctx->wide_terms, acts_terms_for(wide[j]->type));
        ctx->heads_terms = larger(ctx->heads_terms, acts_terms_for(l->out.type));
        ctx->ff_terms = larger(ctx->ff_terms, acts_terms_for(l->down.type));
    }
}

static void free_row_buffers(struct context *ctx) {
    struct forward *f = &ctx->forward;

    finish_acts(&f->wide);
    finish_acts(&f->heads);
    finish_acts(&f->ff);
    free(f->x);
    free(f->q);
    free(f->k);
    free(f->v);
    free(f->up);
    for (int kind = 0; kind < N_ROPES; kind++) {
        free(f->turn[kind]);
        f->turn[kind] = NULL;
    }
    free(ctx->rows);
    free(ctx->asked);
    f->x = f->q = f->k = f->v = f->up = NULL;
    ctx->rows = NULL;
    ctx->asked = NULL;
    ctx->room = 0;
}

/* Buffers that have a row for each token of the batch. */
static int reserve_rows(struct context *ctx, uint32_t n) {
    const struct arch *a = &ctx->model->arch;
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    struct forward *f = &ctx->forward;
    int err = 0;

    if (n <= ctx->room)
        return 0;
    free_row_buffers(ctx);
    n = n <= 8 ? 8 : n <= 64 ? 64 : CONTEXT_MAX_BATCH;
    init_acts(&f->wide, n, a->n_embd, ctx->wide_terms, &err);
    init_acts(&f->heads, n, q, ctx->heads_terms, &err);
    init_acts(&f->ff, n, a->n_ff, ctx->ff_terms, &err);
    f->x = grow((size_t)n * a->n_embd * sizeof(float), &err);
    f->q = grow((size_t)n * q * sizeof(float), &err);
    f->k = grow((size_t)n * kv * sizeof(float), &err);
    f->v = grow((size_t)n * kv * sizeof(float), &err);
    f->up = grow((size_t)n * a->n_ff * sizeof(float), &err);
    for (int kind = 0; kind <= ctx->has_local; kind++)
        f->turn[kind] = grow((size_t)n * a->rope_dim * sizeof(float), &err);
    ctx->rows = grow(n * sizeof(*ctx->rows), &err);
    ctx->asked = grow(n * sizeof(*ctx->asked), &err);
    if (err)
        free_row_buffers(ctx);
    else
        ctx->room = n;
    return err;
}

/* Buffers that do not depend on the batch. */
static int init_fixed(struct context *ctx) {
    const struct model *m = ctx->model;
    const struct arch *a = &m->arch;
    const uint32_t threads = pool_n_threads(ctx->pool);
    struct forward *f = &ctx->forward;
    int err = 0;

    f->max_pages = ctx->kv.pages.max_pages;
    f->score_stride = (size_t)f->max_pages * KV_PAGE;
    f->scores = grow(threads * (a->n_heads / a->n_kv_heads) * f->score_stride * sizeof(float), &err);
    f->page_list = grow((size_t)threads * 2 * f->max_pages * sizeof(*f->page_list), &err);
    f->logits = grow((size_t)CONTEXT_HEAD_ROWS * m->n_vocab * sizeof(float), &err);
    f->groups = grow((size_t)CONTEXT_HEAD_ROWS * m->head.n_groups, &err);
    f->ones = grow(CONTEXT_HEAD_ROWS * sizeof(*f->ones), &err);
    f->pieces = grow(m->n_steps * sizeof(*f->pieces), &err);
    init_acts(&f->last, CONTEXT_HEAD_ROWS, a->n_embd, ctx->last_terms, &err);
    for (uint32_t i = 0; f->ones && i < CONTEXT_HEAD_ROWS; i++) {
        f->ones[i] = (struct acts){.n_rows = 1, .n_cols = a->n_embd, .terms = f->last.terms};
        f->ones[i].f32 = f->last.f32 ? f->last.f32 + (size_t)i * a->n_embd : NULL;
        f->ones[i].tiles = grow(acts_bytes(1, a->n_embd, f->last.terms), &err);
    }
    ctx->lengths = calloc(ctx->n_seq, sizeof(*ctx->lengths));
    for (int kind = 0; kind < N_ROPES; kind++)
        ctx->frequencies[kind] = grow(a->rope_dim / 2 * sizeof(double), &err);
    return ctx->lengths ? err : -ENOMEM;
}

static void init_rope(struct context *ctx) {
    const struct arch *a = &ctx->model->arch;

    for (int kind = 0; kind < N_ROPES; kind++)
        ctx->magnitudes[kind] =
            arch_rope_frequencies(a, kind, ctx->model->rope_factors, ctx->frequencies[kind]);
}

int context_open(const struct model *model, struct pool *pool, const struct kernels *kernels, uint32_t n_seq,
                 uint32_t n_tokens, struct context **out, struct model_fail *fail) {
    struct context *ctx;
    int err;

    if (n_seq == 0 || n_seq > 4096 || n_tokens == 0 || n_tokens > INT32_MAX)
        return model_fail(fail, -EINVAL,
                          "a context of %u sequences and %u positions: at least 1, at most 4096 sequences",
                          n_seq, n_tokens);
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return model_fail(fail, -ENOMEM, "out of memory for a context");
    ctx->model = model;
    ctx->pool = pool;
    ctx->kernels = kernels;
    ctx->n_seq = n_seq;
    find_terms(ctx);
    ctx->has_local = memchr(model->arch.is_local, 1, model->arch.n_layers) != NULL;
    err = kv_init(&ctx->kv, &model->arch, kernels, n_seq, n_tokens);
    if (!err)
        err = init_fixed(ctx);
    if (err) {
        context_close(ctx);
        return model_fail(fail, err,
                          "out of memory for a context of %u sequences and %u positions; ask for fewer",
                          n_seq, n_tokens);
    }
    init_rope(ctx);
    *out = ctx;
    return 0;
}

void context_close(struct context *ctx) {
    struct forward *f;

    if (!ctx)
        return;
    f = &ctx->forward;
    free_row_buffers(ctx);
    for (uint32_t i = 0; f->ones && i < CONTEXT_HEAD_ROWS; i++)
        free(f->ones[i].tiles);
    finish_acts(&f->last);
    free(f->scores);
    free(f->page_list);
    free(f->logits);
    free(f->groups);
    free(f->ones);
    free(f->pieces);
    free(ctx->lengths);
    for (int kind = 0; kind < N_ROPES; kind++)
        free(ctx->frequencies[kind]);
    kv_finish(&ctx->kv);
    free(ctx);
}

/* ---- a batch ---- */

static int check_batch(const struct context *ctx, const struct context_batch *b) {
    uint32_t *next = ctx->lengths;

    if (b->n == 0 || b->n > CONTEXT_MAX_BATCH)
        return -EINVAL;
    for (uint32_t s = 0; s < ctx->n_seq; s++)
        next[s] = ctx->kv.pages.seqs[s].n;
    for (uint32_t r = 0; r < b->n; r++) {
        if (b->seq[r] >= ctx->n_seq || b->token[r] < 0 || (uint32_t)b->token[r] >= ctx->model->n_vocab)
            return -EINVAL;
        if (b->pos[r] < 0 || (uint32_t)b->pos[r] != next[b->seq[r]] ||
            (uint32_t)b->pos[r] >= ctx->model->arch.n_context)
            return -EINVAL;
        next[b->seq[r]]++;
        for (uint32_t i = 0; b->rows[r].ask == ASK_SOME && i < b->rows[r].n_ids; i++)
            if (b->rows[r].ids[i] < 0 || (uint32_t)b->rows[r].ids[i] >= ctx->model->n_vocab)
                return -EINVAL;
    }
    return 0;
}

/* Give every sequence the pages for its rows. next[s] is where it will end. */
static int extend_all(struct context *ctx) {
    for (uint32_t s = 0; s < ctx->n_seq; s++) {
        const uint32_t before = ctx->kv.pages.seqs[s].n, after = ctx->lengths[s];

        ctx->lengths[s] = before;
        if (after > before && pages_extend(&ctx->kv.pages, s, after - before) != 0) {
            for (uint32_t t = 0; t < s; t++)
                pages_trim(&ctx->kv.pages, t, ctx->lengths[t]);
            return -ENOSPC;
        }
    }
    return 0;
}

static void take_back(struct context *ctx) {
    for (uint32_t s = 0; s < ctx->n_seq; s++)
        pages_trim(&ctx->kv.pages, s, ctx->lengths[s]);
}

/* Cosines and sines of a position. */
static void fill_turn(const struct context *ctx, int kind, int32_t pos, float *turn) {
    for (uint32_t i = 0; i < ctx->model->arch.rope_dim / 2; i++) {
        const double angle = pos * ctx->frequencies[kind][i];

        turn[2 * i] = (float)(cos(angle) * ctx->magnitudes[kind]);
        turn[2 * i + 1] = (float)(sin(angle) * ctx->magnitudes[kind]);
    }
}

static void prepare_rows(struct context *ctx, const struct context_batch *b) {
    struct forward *f = &ctx->forward;

    for (uint32_t r = 0; r < b->n; r++) {
        ctx->rows[r] =
            (struct forward_row){ctx->kv.pages.seqs[b->seq[r]].pages, (uint32_t)b->pos[r], b->token[r]};
        for (int kind = 0; kind <= ctx->has_local; kind++)
            fill_turn(ctx, kind, b->pos[r], f->turn[kind] + (size_t)r * ctx->model->arch.rope_dim);
    }
    f->model = ctx->model;
    f->kernels = ctx->kernels;
    f->kv = &ctx->kv;
    f->pool = ctx->pool;
    f->rows = ctx->rows;
    f->asked = ctx->asked;
    f->cancel = &ctx->cancel;
    f->n = f->wide.n_rows = f->heads.n_rows = f->ff.n_rows = b->n;
}

static void mark_groups(struct forward *f, uint32_t i, const struct context_row *row) {
    const uint32_t n_groups = f->model->head.n_groups;
    uint8_t *groups = f->groups + (size_t)i * n_groups;

    memset(groups, row->ask == ASK_ALL, n_groups);
    for (uint32_t j = 0; row->ask == ASK_SOME && j < row->n_ids; j++)
        groups[row->ids[j] / MATRIX_LANES] = 1;
}

/* The next rows that ask, as many as the head's buffers hold. Returns the row to go on from. */
static uint32_t choose_asked(struct context *ctx, const struct context_batch *b, uint32_t from) {
    struct forward *f = &ctx->forward;

    f->n_asked = 0;
    for (; from < b->n && f->n_asked < CONTEXT_HEAD_ROWS; from++)
        if (b->rows[from].ask != ASK_NONE) {
            mark_groups(f, f->n_asked, &b->rows[from]);
            ctx->asked[f->n_asked++] = from;
        }
    f->last.n_rows = f->n_asked;
    return from;
}

static void hand_out(struct context *ctx, context_take take, void *arg) {
    const struct forward *f = &ctx->forward;

    for (uint32_t i = 0; i < f->n_asked; i++)
        take(arg, ctx->asked[i], f->logits + (size_t)i * ctx->model->n_vocab);
}

int context_decode(struct context *ctx, const struct context_batch *b, context_take take, void *arg) {
    struct forward *f = &ctx->forward;
    uint32_t from = 0;
    int err = check_batch(ctx, b);

    if (!err)
        err = reserve_rows(ctx, b->n);
    if (!err)
        err = extend_all(ctx);
    if (err)
        return err;
    atomic_store(&ctx->cancel, false); /* it is for a decode that runs */
    prepare_rows(ctx, b);
    do { /* once, unless more rows ask than the head's buffers hold */
        const size_t first_step = from == 0 ? 0 : ctx->model->n_steps - 2;

        from = choose_asked(ctx, b, from);
        if (first_step == 0 || f->n_asked > 0)
            err = forward_run(f, first_step);
        if (!err && atomic_load(&ctx->cancel))
            err = -ECANCELED;
        if (!err)
            hand_out(ctx, take, arg);
    } while (!err && from < b->n);
    if (err)
        take_back(ctx);
    return err;
}

uint32_t context_length(const struct context *ctx, uint32_t seq) {
    return seq < ctx->n_seq ? ctx->kv.pages.seqs[seq].n : 0;
}

int context_copy(struct context *ctx, uint32_t dst, uint32_t src, uint32_t from, int64_t to) {
    if (dst >= ctx->n_seq || src >= ctx->n_seq)
        return -EINVAL;
    if (to > UINT32_MAX)
        return -EINVAL;
    return pages_share(&ctx->kv.pages, dst, src, from, to < 0 ? ctx->kv.pages.seqs[src].n : (uint32_t)to);
}

int context_trim(struct context *ctx, uint32_t seq, uint32_t from) {
    if (seq >= ctx->n_seq)
        return -EINVAL;
    pages_trim(&ctx->kv.pages, seq, from);
    return 0;
}

void context_cancel(struct context *ctx) {
    atomic_store(&ctx->cancel, true);
}

void context_clock(struct context *ctx, struct forward_clock *clock) {
    ctx->forward.clock = clock;
}

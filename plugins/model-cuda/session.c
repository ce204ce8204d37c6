/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - a batch from its check to its answers.
 *
 * A batch is checked as a whole before anything changes: either all its rows become part of their sequences
 * or none does. What the device needs to know of it is written into one block of host memory and copied once;
 * then the graph of the batch's shape runs. */
#include "session.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"
#include "pass.h"

enum { MAX_GRAPHS = 64, MAX_SEQUENCES = 4096 };

struct kept_graph {
    struct pass_shape shape;
    struct rt_graph *graph;
    uint64_t used;
};

struct session {
    struct weights *weights;
    struct rt *rt;
    struct pass pass;
    struct pages pages;
    enum session_gemm gemm;
    atomic_bool cancel;
    uint32_t *lengths;            /* [n_seq] before the batch */
    double *frequencies[N_ROPES]; /* (rope_dim / 2) */
    double magnitudes[N_ROPES];
    uint8_t *blob; /* of the host: struct batch_head and what lies behind it */
    size_t blob_bytes;
    uint8_t *answer; /* of the host: struct batch_result and what lies behind it */
    struct kept_graph graphs[MAX_GRAPHS];
    uint32_t n_graphs;
    uint64_t clock;
    void *owned[40]; /* device memory */
    uint32_t n_owned;
};

/* ---- buffers ---- */

static void *take(struct session *s, size_t bytes, const char *what) {
    void *memory = rt_alloc(s->rt, bytes, what);

    if (memory)
        s->owned[s->n_owned++] = memory;
    return memory;
}

static struct dacts take_acts(struct session *s, uint32_t n_rows, uint32_t n_cols, uint32_t terms,
                              const char *what) {
    struct dacts acts = {.n_cols = n_cols, .n_slices = n_cols / SLICE, .terms = terms};

    acts.f32 = take(s, (size_t)n_rows * n_cols * sizeof(float), what);
    acts.q = take(s, (size_t)n_rows * n_cols * terms, what);
    acts.meta = take(s, (size_t)n_rows * acts.n_slices * sizeof(struct act_meta), what);
    return acts;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static uint32_t sequences_at_once(const struct session *s) {
    return s->pages.n_seq < MAX_ROWS ? s->pages.n_seq : MAX_ROWS;
}

/* The most that a batch's description takes. */
static size_t blob_bound(const struct session *s) {
    const struct arch *a = &s->weights->arch;
    const size_t n_vocab = s->weights->n_vocab;

    return sizeof(struct batch_head) + MAX_ROWS * (sizeof(struct batch_row) + sizeof(struct batch_tile)) +
           (size_t)sequences_at_once(s) * s->pages.max_pages * sizeof(uint32_t) +
           (size_t)N_ROPES * MAX_ROWS * a->rope_dim * sizeof(float) +
           MAX_ASKED * (sizeof(struct batch_ask) + 2 * n_vocab * sizeof(int32_t) + n_vocab / 8 + 8) +
           n_vocab / 8 + 16 * 16;
}

/* Buffers for the rows of a batch. */
static void take_rows(struct session *s) {
    const struct weights *w = s->weights;
    const struct arch *a = &w->arch;
    const uint32_t q = a->n_heads * a->head_dim;
    const size_t row = MAX_ROWS * sizeof(float), q_padded = w->layers[0].q.n_rows,
                 kv_padded = w->layers[0].k.n_rows;
    struct pass *p = &s->pass;

    p->x = take(s, row * a->n_embd, "the residual stream");
    p->y = a->post_norms ? take(s, row * a->n_embd, "the residual stream") : NULL;
    p->wide = take_acts(s, MAX_ROWS, a->n_embd, w->wide_terms, "activations");
    p->heads = take_acts(s, MAX_ROWS, q, w->heads_terms, "activations");
    p->ff = take_acts(s, MAX_ROWS, a->n_ff, w->ff_terms, "activations");
    p->last = take_acts(s, MAX_ASKED, a->n_embd, w->last_terms, "activations");
    p->q = take(s, row * q, "queries");
    p->raw[0] = take(s, row * larger(q_padded, a->n_ff), "products of prompts");
    p->raw[1] = take(s, row * larger(2 * kv_padded, a->n_ff), "products of prompts");
    p->n_splits = (a->n_context + SPLIT - 1) / SPLIT;
    p->split_o = take(s, SPLIT_ROWS * sizeof(float) * q * p->n_splits, "attention splits");
    p->split_ml = take(s, SPLIT_ROWS * sizeof(float) * 2 * a->n_heads * p->n_splits, "attention splits");
    if (s->gemm == GEMM_CUBLAS) {
        p->panel = take(s, PANEL_BYTES, "a panel of weights");
        p->acts =
            take(s, (size_t)MAX_ROWS * larger(a->n_embd, larger(q, a->n_ff)) * 2, "activations in bf16");
    }
}

/* Buffers for what rows ask, and the pages. */
static void take_rest(struct session *s) {
    const struct weights *w = s->weights;
    struct pass *p = &s->pass;

    p->logits = take(s, (size_t)MAX_ASKED * w->n_vocab * sizeof(float), "logits");
    p->bad = take(s, w->head.n_rows / LANES, "checks of logits");
    p->result = take(s, sizeof(*p->result) + (size_t)MAX_ASKED * w->n_vocab * sizeof(float), "answers");
    p->some = p->result ? (float *)(void *)(p->result + 1) : NULL;
    p->order = take(s, (size_t)MAX_ASKED * 3 * w->n_vocab * sizeof(uint64_t), "candidates");
    p->batch = take(s, s->blob_bytes, "a batch");
    p->page_bytes = session_kv_bytes_per_token(&w->arch) * PAGE;
    p->pages = take(s, s->pages.n_pages * p->page_bytes, "keys and values");
}

size_t session_kv_bytes_per_token(const struct arch *arch) {
    return (size_t)2 * sizeof(uint16_t) * arch->n_layers * arch->n_kv_heads * arch->head_dim;
}

/* ---- a life ---- */

static void copy_positions(void *arg, uint32_t dst, uint32_t src, uint32_t from, uint32_t to) {
    const struct session *s = arg;
    const struct arch *a = &s->weights->arch;
    const struct page_copy_args k = {.pages = s->pass.pages,
                                     .page_bytes = s->pass.page_bytes,
                                     .dst = dst,
                                     .src = src,
                                     .from = from,
                                     .to = to,
                                     .n_heads = a->n_layers * a->n_kv_heads,
                                     .head_dim = a->head_dim};

    rt_launch(s->rt, KERNEL_PAGE_COPY, k.n_heads, 1, 1, &k);
}

static int init_rope(struct session *s) {
    const struct arch *a = &s->weights->arch;

    for (int kind = 0; kind < N_ROPES; kind++) {
        s->frequencies[kind] = calloc(a->rope_dim / 2, sizeof(double));
        if (!s->frequencies[kind])
            return -ENOMEM;
        s->magnitudes[kind] = arch_rope_frequencies(a, kind, s->weights->rope_factors, s->frequencies[kind]);
    }
    return 0;
}

static int open_parts(struct session *s, uint32_t n_seq, uint32_t n_tokens, struct model_fail *fail) {
    int err = pages_init(&s->pages, n_seq, n_tokens, s->weights->arch.n_context, copy_positions, s);

    if (!err)
        err = init_rope(s);
    s->lengths = calloc(n_seq, sizeof(*s->lengths));
    if (err || !s->lengths)
        return model_fail(fail, -ENOMEM, "out of memory for %u sequences", n_seq);
    s->blob_bytes = blob_bound(s);
    take_rows(s);
    take_rest(s);
    err = rt_wait(s->rt, fail);
    if (err)
        return err;
    s->blob = rt_host_alloc(s->rt, s->blob_bytes);
    s->answer = rt_host_alloc(s->rt, sizeof(struct batch_result) +
                                         (size_t)MAX_ASKED * s->weights->n_vocab * sizeof(float));
    if (!s->blob || !s->answer)
        return model_fail(fail, -ENOMEM, "out of memory for batches");
    return s->gemm == GEMM_CUBLAS ? rt_gemm_open(s->rt, fail) : 0;
}

int session_open(struct weights *weights, uint32_t n_seq, uint32_t n_tokens, enum session_gemm gemm,
                 struct session **out, struct model_fail *fail) {
    struct session *s;
    int err;

    if (n_seq == 0 || n_seq > MAX_SEQUENCES || n_tokens == 0 || n_tokens > INT32_MAX)
        return model_fail(fail, -EINVAL,
                          "a context of %u sequences and %u positions: at least 1, at most %d sequences",
                          n_seq, n_tokens, MAX_SEQUENCES);
    s = calloc(1, sizeof(*s));
    if (!s)
        return model_fail(fail, -ENOMEM, "out of memory for a context");
    s->weights = weights;
    s->rt = weights->rt;
    s->gemm = gemm;
    s->pass.weights = weights;
    s->pass.rt = weights->rt;
    pthread_mutex_lock(&weights->lock);
    err = open_parts(s, n_seq, n_tokens, fail);
    pthread_mutex_unlock(&weights->lock);
    if (err)
        session_close(s);
    else
        *out = s;
    return err;
}

void session_close(struct session *s) {
    if (!s)
        return;
    pthread_mutex_lock(&s->weights->lock);
    for (uint32_t i = 0; i < s->n_graphs; i++)
        rt_graph_free(s->rt, s->graphs[i].graph);
    for (uint32_t i = 0; i < s->n_owned; i++)
        rt_free(s->rt, s->owned[i]);
    rt_host_free(s->rt, s->blob);
    rt_host_free(s->rt, s->answer);
    pthread_mutex_unlock(&s->weights->lock);
    pages_finish(&s->pages);
    for (int kind = 0; kind < N_ROPES; kind++)
        free(s->frequencies[kind]);
    free(s->lengths);
    free(s);
}

/* ---- checking a batch ---- */

static int check_row(const struct session *s, const struct session_row *row) {
    const uint32_t n_vocab = s->weights->n_vocab;

    if (row->want == WANT_LOGITS)
        return row->logits ? 0 : -EINVAL;
    if (row->want == WANT_DRAW) {
        for (uint32_t i = 0; i < row->n_seen; i++)
            if (row->seen[i] < 0 || (uint32_t)row->seen[i] >= n_vocab)
                return -EINVAL;
        return row->id ? 0 : -EINVAL;
    }
    if (row->want == WANT_SOME) {
        if (!row->logits || !row->ids || row->n_ids > n_vocab)
            return -EINVAL;
        for (uint32_t i = 0; i < row->n_ids; i++)
            if (row->ids[i] < 0 || (uint32_t)row->ids[i] >= n_vocab)
                return -EINVAL;
    }
    return 0;
}

static int check_batch(const struct session *s, const struct session_batch *b) {
    uint32_t *next = s->lengths;

    if (b->n == 0 || b->n > MAX_ROWS)
        return -EINVAL;
    for (uint32_t i = 0; i < s->pages.n_seq; i++)
        next[i] = s->pages.seqs[i].n;
    for (uint32_t r = 0; r < b->n; r++) {
        if (b->seq[r] >= s->pages.n_seq || b->token[r] < 0 || (uint32_t)b->token[r] >= s->weights->n_vocab)
            return -EINVAL;
        if (b->pos[r] < 0 || (uint32_t)b->pos[r] != next[b->seq[r]] ||
            (uint32_t)b->pos[r] >= s->weights->arch.n_context)
            return -EINVAL;
        next[b->seq[r]]++;
        if (check_row(s, &b->rows[r]) != 0)
            return -EINVAL;
    }
    return 0;
}

static void take_back(struct session *s) {
    for (uint32_t i = 0; i < s->pages.n_seq; i++)
        pages_trim(&s->pages, i, s->lengths[i]);
}

/* Give every sequence the pages for its rows. lengths[i] is where it will end, then where it ended. */
static int extend_all(struct session *s) {
    for (uint32_t i = 0; i < s->pages.n_seq; i++) {
        const uint32_t before = s->pages.seqs[i].n, after = s->lengths[i];

        s->lengths[i] = before;
        if (after > before && pages_extend(&s->pages, i, after - before) != 0) {
            for (uint32_t j = 0; j < i; j++)
                pages_trim(&s->pages, j, s->lengths[j]);
            return -ENOSPC;
        }
    }
    return 0;
}

/* ---- describing a batch ---- */

/* Room for n bytes of the blob, aligned to 16; returns their offset. */
static uint32_t lay(size_t *used, size_t n) {
    const size_t at = (*used + 15) / 16 * 16;

    *used = at + n;
    return (uint32_t)at;
}

#define BLOB(type, s, offset) ((type *)(void *)((s)->blob + (offset)))

/* Rows, each with the row of the page table that is its sequence's. Returns how many sequences there are. */
static uint32_t lay_rows(struct session *s, const struct session_batch *b, size_t *used) {
    struct batch_head *head = BLOB(struct batch_head, s, 0);
    struct batch_row *rows;
    uint32_t n_seq = 0, stride = 0, seqs[MAX_ROWS];
    uint32_t *table;

    head->rows_at = lay(used, b->n * sizeof(*rows));
    rows = BLOB(struct batch_row, s, head->rows_at);
    for (uint32_t r = 0; r < b->n; r++) {
        uint32_t at = 0;

        while (at < n_seq && seqs[at] != b->seq[r])
            at++;
        if (at == n_seq)
            seqs[n_seq++] = b->seq[r];
        rows[r] = (struct batch_row){b->token[r], (uint32_t)b->pos[r], at};
    }
    for (uint32_t i = 0; i < n_seq; i++)
        stride = (uint32_t)larger(stride, pages_for(s->pages.seqs[seqs[i]].n));
    head->table_stride = stride;
    head->table_at = lay(used, (size_t)n_seq * stride * sizeof(*table));
    table = BLOB(uint32_t, s, head->table_at);
    for (uint32_t i = 0; i < n_seq; i++) {
        const struct page_seq *seq = &s->pages.seqs[seqs[i]];

        memcpy(table + (size_t)i * stride, seq->pages, pages_for(seq->n) * sizeof(*table));
    }
    return n_seq;
}

/* Runs of neighbouring rows of one sequence. */
static void lay_tiles(struct session *s, const struct session_batch *b, size_t *used,
                      struct pass_shape *shape) {
    struct batch_head *head = BLOB(struct batch_head, s, 0);
    struct batch_tile *tiles;

    head->tiles_at = lay(used, b->n * sizeof(*tiles));
    tiles = BLOB(struct batch_tile, s, head->tiles_at);
    head->n_tiles = 0;
    for (uint32_t r = 0; r < b->n; r++) {
        struct batch_tile *last = head->n_tiles ? &tiles[head->n_tiles - 1] : NULL;

        if (last && last->n < TILE_ROWS && b->seq[r] == b->seq[r - 1]) {
            last->n++;
            shape->wide_tiles = 1;
        } else {
            tiles[head->n_tiles++] = (struct batch_tile){r, 1};
        }
    }
}

static void lay_turns(struct session *s, const struct session_batch *b, size_t *used) {
    const uint32_t rope_dim = s->weights->arch.rope_dim;
    struct batch_head *head = BLOB(struct batch_head, s, 0);

    for (int kind = 0; kind < N_ROPES; kind++) {
        head->turn_at[kind] = lay(used, (size_t)b->n * rope_dim * sizeof(float));
        for (uint32_t r = 0; r < b->n; r++) {
            float *turn = BLOB(float, s, head->turn_at[kind]) + (size_t)r * rope_dim;

            for (uint32_t i = 0; i < rope_dim / 2; i++) {
                const double angle = b->pos[r] * s->frequencies[kind][i];

                turn[2 * i] = (float)(cos(angle) * s->magnitudes[kind]);
                turn[2 * i + 1] = (float)(sin(angle) * s->magnitudes[kind]);
            }
        }
    }
}

/* The ids of a row behind those of the rows before it. */
static uint32_t lay_ids(uint32_t *n, int32_t *all, const int32_t *ids, uint32_t n_ids) {
    const uint32_t first = *n;

    if (n_ids > 0)
        memcpy(all + first, ids, n_ids * sizeof(*ids));
    *n += n_ids;
    return first;
}

static void mark_needed(uint32_t *need, uint32_t n_groups, const struct session_row *row) {
    if (row->want == WANT_SOME) {
        for (uint32_t i = 0; i < row->n_ids; i++)
            need[(uint32_t)row->ids[i] / LANES / 32] |= 1u << (uint32_t)row->ids[i] / LANES % 32;
        return;
    }
    if (row->want == WANT_DRAW && row->mask) { /* a group is a word of the mask */
        for (uint32_t g = 0; g < n_groups; g++)
            need[g / 32] |= (uint32_t)(row->mask[g] != 0) << g % 32;
        return;
    }
    memset(need, 0xff, (n_groups + 31) / 32 * sizeof(*need));
}

static struct batch_ask ask_of(uint32_t r, const struct session_row *row) {
    return (struct batch_ask){
        .row = r,
        .kind = row->want == WANT_SOME   ? ASKED_SUBSET
                : row->want == WANT_DRAW ? ASKED_SAMPLE
                                         : ASKED_LOGITS,
        .n_ids = row->want == WANT_SOME ? row->n_ids : 0,
        .mask = -1,
        .n_seen = row->want == WANT_DRAW ? row->n_seen : 0,
        .top_k = row->top_k,
        .temperature = row->temperature,
        .top_p = row->top_p,
        .min_p = row->min_p,
        .repeat_penalty = row->repeat_penalty,
        .seed = row->seed,
        .counter = row->counter,
    };
}

/* The rows that ask, from row `from` on, as many as one pass of the head takes. Returns the row to go on
 * from. */
static uint32_t lay_asks(struct session *s, const struct session_batch *b, uint32_t from, size_t *used,
                         struct pass_shape *shape) {
    struct batch_head *head = BLOB(struct batch_head, s, 0);
    const uint32_t n_vocab = s->weights->n_vocab, words = (n_vocab + 31) / 32,
                   n_groups = s->weights->head.n_rows / LANES;
    uint32_t n_seen = 0, n_ids = 0, n_masks = 0, n = 0, rows[MAX_ASKED];
    struct batch_ask *asks;

    for (; from < b->n && n < MAX_ASKED; from++)
        if (b->rows[from].want != WANT_NOTHING) {
            const struct session_row *row = &b->rows[from];

            rows[n++] = from;
            n_ids += row->want == WANT_SOME ? row->n_ids : 0;
            n_seen += row->want == WANT_DRAW ? row->n_seen : 0;
            n_masks += row->want == WANT_DRAW && row->mask;
            shape->draws |= row->want == WANT_DRAW;
        }
    head->n_asked = n;
    head->n_ids = n_ids;
    head->asked_at = lay(used, n * sizeof(*asks));
    head->need_at = lay(used, (n_groups + 31) / 32 * sizeof(uint32_t));
    head->ids_at = lay(used, n_ids * sizeof(int32_t));
    head->seen_at = lay(used, n_seen * sizeof(int32_t));
    head->mask_at = lay(used, (size_t)n_masks * words * sizeof(uint32_t));
    memset(BLOB(uint8_t, s, head->need_at), 0, (n_groups + 31) / 32 * sizeof(uint32_t));
    asks = BLOB(struct batch_ask, s, head->asked_at);
    n_ids = n_seen = n_masks = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct session_row *row = &b->rows[rows[i]];

        asks[i] = ask_of(rows[i], row);
        asks[i].first_id = lay_ids(&n_ids, BLOB(int32_t, s, head->ids_at), row->ids, asks[i].n_ids);
        asks[i].first_seen = lay_ids(&n_seen, BLOB(int32_t, s, head->seen_at), row->seen, asks[i].n_seen);
        if (row->want == WANT_DRAW && row->mask) {
            asks[i].mask = (int32_t)n_masks;
            memcpy(BLOB(uint32_t, s, head->mask_at) + (size_t)n_masks++ * words, row->mask,
                   words * sizeof(uint32_t));
        }
        mark_needed(BLOB(uint32_t, s, head->need_at), n_groups, row);
    }
    return from;
}

static uint16_t bucket(uint32_t n) {
    uint32_t b = 1;

    while (b < n)
        b *= 2;
    return (uint16_t)(n == 0 ? 0 : b);
}

static void shape_of(const struct session *s, const struct session_batch *b, struct pass_shape *shape) {
    const struct batch_head *head = BLOB(struct batch_head, s, 0);
    uint32_t splits = 1;

    for (uint32_t r = 0; r < b->n; r++)
        splits = (uint32_t)larger(splits, ((uint32_t)b->pos[r] + SPLIT) / SPLIT);
    shape->rows = bucket(b->n);
    shape->tiles = bucket(head->n_tiles);
    shape->asked = bucket(head->n_asked);
    shape->splits = bucket(splits);
    if (shape->splits > s->pass.n_splits)
        shape->splits = (uint16_t)s->pass.n_splits;
    shape->blas = s->gemm == GEMM_CUBLAS;
}

/* ---- running it ---- */

static bool same_shape(const struct pass_shape *a, const struct pass_shape *b) {
    return a->rows == b->rows && a->asked == b->asked && a->splits == b->splits && a->tiles == b->tiles &&
           a->wide_tiles == b->wide_tiles && a->draws == b->draws && a->head_only == b->head_only &&
           a->blas == b->blas;
}

/* The graph of a shape, captured when first wanted; the one used longest ago makes room. NULL: the queue
 * failed. */
static struct rt_graph *graph_for(struct session *s, const struct pass_shape *shape) {
    struct kept_graph *place = &s->graphs[0];

    s->clock++;
    for (uint32_t i = 0; i < s->n_graphs; i++) {
        if (same_shape(&s->graphs[i].shape, shape)) {
            s->graphs[i].used = s->clock;
            return s->graphs[i].graph;
        }
        if (s->graphs[i].used < place->used)
            place = &s->graphs[i];
    }
    if (s->n_graphs < MAX_GRAPHS)
        place = &s->graphs[s->n_graphs];
    rt_graph_begin(s->rt);
    pass_queue(&s->pass, shape);
    struct rt_graph *graph = rt_graph_end(s->rt);

    if (!graph)
        return NULL;
    if (place == &s->graphs[s->n_graphs])
        s->n_graphs++;
    else
        rt_graph_free(s->rt, place->graph);
    *place = (struct kept_graph){*shape, graph, s->clock};
    return graph;
}

/* Copy the answers of this pass's rows to where the caller wants them. Logits go there by themselves. */
static void hand_out(struct session *s, const struct session_batch *b) {
    const struct batch_head *head = BLOB(struct batch_head, s, 0);
    const struct batch_ask *asks = BLOB(struct batch_ask, s, head->asked_at);
    const struct batch_result *result = (const struct batch_result *)(void *)s->answer;
    const float *some = (const float *)(const void *)(result + 1);

    for (uint32_t i = 0; i < head->n_asked; i++) {
        const struct session_row *row = &b->rows[asks[i].row];

        if (row->want == WANT_SOME && row->n_ids > 0)
            memcpy(row->logits, some + asks[i].first_id, row->n_ids * sizeof(float));
        if (row->want == WANT_DRAW)
            *row->id = result->id[i];
    }
}

static void fetch(struct session *s, const struct session_batch *b) {
    const struct batch_head *head = BLOB(struct batch_head, s, 0);
    const struct batch_ask *asks = BLOB(struct batch_ask, s, head->asked_at);
    const size_t n_vocab = s->weights->n_vocab;

    if (head->n_asked == 0)
        return;
    rt_download(s->rt, s->answer, s->pass.result, sizeof(struct batch_result) + head->n_ids * sizeof(float));
    for (uint32_t i = 0; i < head->n_asked; i++)
        if (asks[i].kind == ASKED_LOGITS)
            rt_download(s->rt, b->rows[asks[i].row].logits, s->pass.logits + i * n_vocab,
                        n_vocab * sizeof(float));
}

/* One pass: the whole model, or (from > 0) its head for further rows that ask. */
static int run_pass(struct session *s, const struct session_batch *b, uint32_t *from,
                    struct model_fail *fail) {
    struct batch_head *head = BLOB(struct batch_head, s, 0);
    struct pass_shape shape = {.head_only = *from > 0};
    size_t used = sizeof(*head);
    int err;

    head->n = b->n;
    lay_rows(s, b, &used);
    lay_tiles(s, b, &used, &shape);
    lay_turns(s, b, &used);
    *from = lay_asks(s, b, *from, &used, &shape);
    if (shape.head_only && head->n_asked == 0)
        return 0;
    shape_of(s, b, &shape);
    struct rt_graph *graph = graph_for(s, &shape);

    if (graph) {
        rt_upload(s->rt, s->pass.batch, s->blob, used);
        rt_graph_run(s->rt, graph);
        fetch(s, b);
    }
    err = rt_wait(s->rt, fail);
    if (err)
        return err;
    if (head->n_asked > 0 && ((const struct batch_result *)(void *)s->answer)->n_bad > 0)
        return model_fail(
            fail, -EDOM,
            "%u groups of logits hold a number that is none, or infinite: the weights or the device are "
            "damaged; nothing of this batch is kept",
            ((const struct batch_result *)(void *)s->answer)->n_bad);
    hand_out(s, b);
    return 0;
}

static int decode_locked(struct session *s, const struct session_batch *b, struct model_fail *fail) {
    uint32_t from = 0;
    int err = check_batch(s, b);

    if (!err)
        err = extend_all(s);
    if (err)
        return err;
    atomic_store(&s->cancel, false); /* it is for a decode that runs */
    do {
        err = run_pass(s, b, &from, fail);
        if (!err && atomic_load(&s->cancel))
            err = -ECANCELED;
    } while (!err && from < b->n);
    if (err)
        take_back(s);
    if (err == -EIO)
        atomic_store(&s->weights->is_lost, true);
    return err;
}

int session_decode(struct session *s, const struct session_batch *batch, struct model_fail *fail) {
    int err;

    pthread_mutex_lock(&s->weights->lock);
    err = decode_locked(s, batch, fail);
    pthread_mutex_unlock(&s->weights->lock);
    return err;
}

uint32_t session_length(const struct session *s, uint32_t seq) {
    return seq < s->pages.n_seq ? s->pages.seqs[seq].n : 0;
}

int session_copy(struct session *s, uint32_t dst, uint32_t src, uint32_t from, int64_t to) {
    int err;

    if (dst >= s->pages.n_seq || src >= s->pages.n_seq || to > UINT32_MAX)
        return -EINVAL;
    pthread_mutex_lock(&s->weights->lock);
    err = pages_share(&s->pages, dst, src, from, to < 0 ? s->pages.seqs[src].n : (uint32_t)to);
    pthread_mutex_unlock(&s->weights->lock);
    return err;
}

int session_trim(struct session *s, uint32_t seq, uint32_t from) {
    if (seq >= s->pages.n_seq)
        return -EINVAL;
    pages_trim(&s->pages, seq, from);
    return 0;
}

int session_pretend(struct session *s, uint32_t seq, uint32_t n) {
    int err;

    if (seq >= s->pages.n_seq)
        return -EINVAL;
    pthread_mutex_lock(&s->weights->lock);
    const uint32_t before = s->pages.seqs[seq].n / KV_PAGE;

    err = pages_extend(&s->pages, seq, n);
    for (uint32_t i = before; i < pages_for(s->pages.seqs[seq].n) && !err; i++)
        rt_clear(s->rt, s->pass.pages + s->pages.seqs[seq].pages[i] * s->pass.page_bytes, s->pass.page_bytes);
    if (!err)
        err = rt_wait(s->rt, NULL);
    pthread_mutex_unlock(&s->weights->lock);
    return err;
}

void session_cancel(struct session *s) {
    atomic_store(&s->cancel, true);
}

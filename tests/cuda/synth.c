/* SPDX-License-Identifier: Apache-2.0 */
/* synth.c - see synth.h. */
#include "synth.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "quant.h"
#include "session.h"

enum { MAX_BUFFERS = 2048, MAX_ROUNDS = 64, CHUNK = 512 };
#define COPY_BYTES ((size_t)1 << 30)

struct synth {
    struct weights w;
    struct session *session;
    void *owned[MAX_BUFFERS];
    uint32_t n_owned, n_seq;
};

static void *take(struct synth *s, size_t bytes) {
    void *memory = s->n_owned < MAX_BUFFERS ? rt_alloc(s->w.rt, bytes, "synthetic weights") : NULL;

    if (memory)
        s->owned[s->n_owned++] = memory;
    return memory;
}

static void make_matrix(struct synth *s, struct dmatrix *m, uint32_t type, uint32_t rows, uint32_t cols,
                        uint32_t run) {
    weights_shape(m, type, rows, cols, run);
    uint8_t *data = take(s, weights_bytes(m));
    const struct synth_args k = {.m = *m, .data = data, .seed = s->n_owned};

    m->data = data;
    s->w.weight_bytes += weights_bytes(m);
    if (data)
        rt_launch(s->w.rt, KERNEL_SYNTH, m->n_rows / LANES, 1, 1, &k);
}

static float *make_vector(struct synth *s, uint32_t n, float value) {
    float *host = malloc(n * sizeof(float)), *device = take(s, n * sizeof(float));

    for (uint32_t i = 0; host && i < n; i++)
        host[i] = value;
    if (host && device)
        rt_upload(s->w.rt, device, host, n * sizeof(float));
    rt_wait(s->w.rt, NULL); /* a failure stays: the next call reports it */
    free(host);
    return device;
}

static void make_layer(struct synth *s, const struct synth_shape *z, uint32_t i) {
    struct weight_layer *l = &s->w.layers[i];
    const uint32_t q = z->heads * z->head_dim, kv = z->kv_heads * z->head_dim,
                   other = i % 2 ? z->type : z->other;

    make_matrix(s, &l->q, z->type, q, z->embd, z->head_dim);
    make_matrix(s, &l->k, z->type, kv, z->embd, z->head_dim);
    make_matrix(s, &l->v, other, kv, z->embd, z->head_dim);
    make_matrix(s, &l->out, z->type, z->embd, q, z->embd);
    make_matrix(s, &l->gate, z->type, z->ff, z->embd, z->ff);
    make_matrix(s, &l->up, z->type, z->ff, z->embd, z->ff);
    make_matrix(s, &l->down, other, z->embd, z->ff, z->embd);
    l->attn_norm = make_vector(s, z->embd, 1.0f);
    l->ffn_norm = make_vector(s, z->embd, 1.0f);
    if (z->qwen2) {
        l->q_bias = make_vector(s, q, 0.0f);
        l->k_bias = make_vector(s, kv, 0.0f);
        l->v_bias = make_vector(s, kv, 0.0f);
    }
}

static void describe(struct arch *a, const struct synth_shape *z) {
    *a = (struct arch){.rope_halves = z->qwen2,
                       .qkv_bias = z->qwen2,
                       .n_layers = z->layers,
                       .n_embd = z->embd,
                       .n_heads = z->heads,
                       .n_kv_heads = z->kv_heads,
                       .head_dim = z->head_dim,
                       .n_ff = z->ff,
                       .n_context = z->context,
                       .rope_dim = z->head_dim,
                       .norm_eps = 1e-5f,
                       .embed_scale = 1.0f,
                       .attn_scale = 1.0f / sqrtf((float)z->head_dim)};
    for (int kind = 0; kind < N_ROPES; kind++)
        a->rope[kind] = (struct rope){.base = 500000.0f, .factor = 1.0f, .magnitude = 1.0f};
    strcpy(a->name, z->qwen2 ? "qwen2" : "llama");
}

static int make_weights(struct synth *s, const struct synth_shape *z, struct model_fail *fail) {
    struct weights *w = &s->w;
    int err;

    describe(&w->arch, z);
    w->n_vocab = z->vocab;
    w->wide_terms = w->heads_terms = w->ff_terms = w->last_terms = 1; /* K types only */
    w->layers = calloc(z->layers, sizeof(*w->layers));
    w->steps = arch_plan(&w->arch, &w->n_steps);
    if (!w->layers || !w->steps)
        return model_fail(fail, -ENOMEM, "out of memory");
    err = rt_open(0, &w->rt, fail);
    if (err)
        return err;
    make_matrix(s, &w->head, z->other, z->vocab, z->embd, z->vocab);
    w->table = w->head;
    w->last_norm = make_vector(s, z->embd, 1.0f);
    for (uint32_t i = 0; i < z->layers; i++)
        make_layer(s, z, i);
    return rt_wait(w->rt, fail);
}

int synth_open(const struct synth_shape *shape, uint32_t n_seq, uint32_t n_tokens, struct synth **out,
               char why[640]) {
    struct synth *s = calloc(1, sizeof(*s));
    struct model_fail fail = {"out of memory"};
    int err = -ENOMEM;

    if (s && pthread_mutex_init(&s->w.lock, NULL) == 0) {
        s->n_seq = n_seq;
        err = make_weights(s, shape, &fail);
        if (!err)
            err = session_open(&s->w, n_seq, n_tokens, GEMM_EXACT, &s->session, &fail);
    }
    if (err) {
        memcpy(why, fail.text, sizeof(fail.text));
        synth_close(s);
        s = NULL;
    }
    *out = s;
    return err;
}

void synth_close(struct synth *s) {
    if (!s)
        return;
    session_close(s->session);
    for (uint32_t i = 0; i < s->n_owned; i++)
        rt_free(s->w.rt, s->owned[i]);
    rt_close(s->w.rt);
    free(s->w.layers);
    free(s->w.steps);
    pthread_mutex_destroy(&s->w.lock);
    free(s);
}

const char *synth_device(const struct synth *s) {
    return rt_device(s->w.rt);
}

double synth_step_bytes(const struct synth *s, uint32_t n, uint32_t context) {
    return (double)s->w.weight_bytes + (double)n * context * (double)session_kv_bytes_per_token(&s->w.arch);
}

static double now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Every sequence holds `context` positions. */
static int set_contexts(struct synth *s, uint32_t n, uint32_t context) {
    for (uint32_t i = 0; i < s->n_seq; i++)
        session_trim(s->session, i, 0);
    for (uint32_t i = 0; i < n; i++) {
        const int err = session_pretend(s->session, i, context);

        if (err)
            return err;
    }
    return 0;
}

static int one_step(struct synth *s, uint32_t n, uint32_t pos, struct model_fail *fail) {
    static int32_t token[MAX_ROWS], at[MAX_ROWS], drawn[MAX_ROWS];
    static uint32_t seq[MAX_ROWS];
    static struct session_row rows[MAX_ROWS];
    const struct session_batch b = {n, token, at, seq, rows};

    for (uint32_t i = 0; i < n; i++) {
        token[i] = (int32_t)(100 + 7 * i);
        at[i] = (int32_t)pos;
        seq[i] = i;
        rows[i] =
            (struct session_row){.want = WANT_DRAW, .top_p = 1.0f, .repeat_penalty = 1.0f, .id = &drawn[i]};
    }
    return session_decode(s->session, &b, fail);
}

double synth_step(struct synth *s, uint32_t n, uint32_t context, uint32_t rounds, char why[640]) {
    struct model_fail fail = {"no room for the positions"};
    double seconds[MAX_ROUNDS];
    int err = set_contexts(s, n, context);

    rounds = rounds < MAX_ROUNDS ? rounds : MAX_ROUNDS;
    for (uint32_t i = 0; i < 3 && !err; i++) { /* the graph, the caches, the clocks */
        err = one_step(s, n, context, &fail);
        for (uint32_t j = 0; j < n; j++)
            session_trim(s->session, j, context);
    }
    for (uint32_t i = 0; i < rounds && !err; i++) {
        const double start = now();

        err = one_step(s, n, context, &fail);
        seconds[i] = now() - start;
        for (uint32_t j = 0; j < n; j++)
            session_trim(s->session, j, context);
    }
    if (err) {
        memcpy(why, fail.text, sizeof(fail.text));
        return err;
    }
    qsort(seconds, rounds, sizeof(*seconds), by_size);
    return seconds[rounds / 2];
}

double synth_prompt(struct synth *s, uint32_t n, char why[640]) {
    static int32_t token[CHUNK], pos[CHUNK];
    static uint32_t seq[CHUNK];
    static const struct session_row rows[CHUNK];
    struct model_fail fail = {"no room for the positions"};
    double start = 0.0;
    int err = 0;

    for (int round = 0; round < 2 && !err; round++) {
        session_trim(s->session, 0, 0);
        start = now();
        for (uint32_t at = 0; at < n && !err; at += CHUNK) {
            const uint32_t count = n - at < CHUNK ? n - at : CHUNK;
            const struct session_batch b = {count, token, pos, seq, rows};

            for (uint32_t i = 0; i < count; i++) {
                token[i] = (int32_t)(100 + (at + i) * 37 % 10000 % s->w.n_vocab / 2);
                pos[i] = (int32_t)(at + i);
            }
            err = session_decode(s->session, &b, &fail);
        }
    }
    if (err)
        memcpy(why, fail.text, sizeof(fail.text));
    return err ? err : now() - start;
}

double synth_copy_bandwidth(struct synth *s, char why[640]) {
    struct rt *rt = s->w.rt;
    uint8_t *from = rt_alloc(rt, COPY_BYTES, "copy"), *to = rt_alloc(rt, COPY_BYTES, "copy");
    const struct copy_args k = {from, to, COPY_BYTES / 16};
    struct model_fail fail = {""};
    double best = 0.0;
    int err = 0;

    for (int round = 0; round < 5 && from && to && !err; round++) {
        rt_mark(rt, 0);
        rt_launch(rt, KERNEL_COPY, rt_n_processors(rt) * 4, 1, 1, &k);
        rt_mark(rt, 1);
        err = rt_wait(rt, &fail);
        if (!err && 2.0 * (double)COPY_BYTES / rt_elapsed_us(rt) * 1e6 > best)
            best = 2.0 * (double)COPY_BYTES / rt_elapsed_us(rt) * 1e6;
    }
    if (!err)
        err = rt_wait(rt, &fail);
    rt_free(rt, from);
    rt_free(rt, to);
    if (err)
        memcpy(why, fail.text, sizeof(fail.text));
    return err ? err : best;
}

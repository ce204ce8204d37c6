/* SPDX-License-Identifier: Apache-2.0 */
/* weights.c - find and check the weights of a file, bring them to the device, share them within the process.
 */
#include "weights.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layer.h"
#include "quant.h"
#include "shared.h"
#include "tensors.h"

enum { PACK_THREADS = 8, MAX_VOCABULARY = 1 << 24 };

struct loader {
    const struct gguf *file;
    struct tensors tensors;
    struct weights *w;
    struct model_fail *fail;
};

/* ---- device memory that the weights own ---- */

static void *device_memory(struct loader *l, size_t bytes, const char *name) {
    struct weights *w = l->w;
    void *memory = rt_alloc(w->rt, bytes, name);

    if (memory) {
        w->owned[w->n_owned++] = memory;
        w->weight_bytes += bytes;
    }
    return memory;
}

/* Wait for the queue; a lack of memory gets its remedy. */
static int wait_for(struct loader *l) {
    struct model_fail why;
    const int err = rt_wait(l->w->rt, &why);

    if (!err)
        return 0;
    return model_fail(l->fail, err, "%s: %.400s; %s", l->file->path, why.text,
                      err == -ENOMEM ? "use a smaller model, another device, or model-cpu"
                                     : "see the driver's log");
}

/* ---- packing, shared by a few threads ---- */

struct packing {
    const struct dmatrix *m;
    const uint8_t *rows;
    uint8_t *out;
    uint32_t type, n_rows, run;
    atomic_uint next;
};

static void *pack_some(void *arg) {
    struct packing *p = arg;

    for (uint32_t g; (g = atomic_fetch_add(&p->next, 1)) < p->m->n_rows / LANES;)
        weights_pack_group(p->m, p->type, p->rows, p->n_rows, p->run, g, p->out + g * p->m->group_bytes);
    return NULL;
}

static void pack_all(struct packing *p) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[PACK_THREADS];
    int n = 0;

    while (n + 1 < PACK_THREADS && n + 1 < online && pthread_create(&threads[n], NULL, pack_some, p) == 0)
        n++;
    pack_some(p);
    while (n > 0)
        pthread_join(threads[--n], NULL);
}

/* ---- tensors ---- */

/* A vector as floats, on the device. Absent ones stay NULL if optional. */
static int load_vector(struct loader *l, const char *name, uint64_t n, bool optional, float **out) {
    const struct gguf_tensor *t;
    float *values;
    int err = tensors_read(&l->tensors, name, n, 1, optional, &t);

    if (err || !t)
        return err;
    values = malloc(n * sizeof(float));
    if (!values)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory for %s", l->file->path, name);
    quant_dequantise(t->type, t->data, values, n);
    *out = device_memory(l, n * sizeof(float), name);
    if (*out)
        rt_upload(l->w->rt, *out, values, n * sizeof(float));
    err = wait_for(l);
    free(values);
    return err;
}

static int load_matrix(struct loader *l, const char *name, uint32_t n_rows, uint32_t n_cols, uint32_t run,
                       struct dmatrix *out) {
    const struct gguf_tensor *t;
    struct packing p = {.m = out, .n_rows = n_rows, .run = run};
    void *memory;
    int err = tensors_read(&l->tensors, name, n_cols, n_rows, false, &t);

    if (err)
        return err;
    weights_shape(out, t->type, n_rows, n_cols, run);
    p.type = t->type;
    p.rows = t->data;
    p.out = malloc(weights_bytes(out));
    if (!p.out)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory for %s (%zu bytes)", l->file->path, name,
                          weights_bytes(out));
    memory = device_memory(l, weights_bytes(out), name);
    out->data = memory;
    if (memory) {
        pack_all(&p);
        rt_upload(l->w->rt, memory, p.out, weights_bytes(out));
    }
    err = wait_for(l);
    free(p.out);
    return err;
}

/* Rows come in runs, each padded on the device: a head of q, k and v, else the whole matrix. */
static uint32_t run_of(const struct arch *a, enum layer_matrix which, uint32_t n_rows) {
    return which == LAYER_Q || which == LAYER_K || which == LAYER_V ? a->head_dim : n_rows;
}

static int load_layer(struct loader *l, uint32_t i, struct weight_layer *layer) {
    const struct arch *a = &l->w->arch;
    struct dmatrix *const matrices[] = {
        [LAYER_Q] = &layer->q,       [LAYER_K] = &layer->k,       [LAYER_V] = &layer->v,
        [LAYER_OUT] = &layer->out,   [LAYER_GATE] = &layer->gate, [LAYER_UP] = &layer->up,
        [LAYER_DOWN] = &layer->down,
    };
    float **const vectors[] = {
        [LAYER_ATTN_NORM] = &layer->attn_norm, [LAYER_FFN_NORM] = &layer->ffn_norm,
        [LAYER_Q_NORM] = &layer->q_norm,       [LAYER_K_NORM] = &layer->k_norm,
        [LAYER_ATTN_POST] = &layer->attn_post, [LAYER_FFN_POST] = &layer->ffn_post,
        [LAYER_Q_BIAS] = &layer->q_bias,       [LAYER_K_BIAS] = &layer->k_bias,
        [LAYER_V_BIAS] = &layer->v_bias,
    };
    int err = 0;

    for (int j = 0; j < N_LAYER_MATRICES && !err; j++) {
        const enum layer_matrix which = (enum layer_matrix)j;
        const struct layer_tensor t = layer_matrix(a, i, which);

        err = load_matrix(l, t.name, t.n_rows, t.n_cols, run_of(a, which, t.n_rows), matrices[j]);
    }
    for (int j = 0; j < N_LAYER_VECTORS && !err; j++) {
        const struct layer_tensor t = layer_vector(a, i, (enum layer_vector)j);

        if (t.is_there)
            err = load_vector(l, t.name, t.n_rows, t.optional, vectors[j]);
    }
    return err;
}

static int load_rope_factors(struct loader *l) {
    const uint64_t n = l->w->arch.rope_dim / 2;
    const struct gguf_tensor *t;
    int err = tensors_read(&l->tensors, "rope_freqs.weight", n, 1, true, &t);

    if (err || !t)
        return err;
    l->w->rope_factors = malloc(n * sizeof(float));
    if (!l->w->rope_factors)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory", l->file->path);
    quant_dequantise(t->type, t->data, l->w->rope_factors, n);
    return 0;
}

static int load_ends(struct loader *l) {
    struct weights *w = l->w;
    int err = tensors_vocabulary(&l->tensors, tokenizer_n_tokens(w->tokenizer), MAX_VOCABULARY, &w->n_vocab);

    if (!err)
        err = load_matrix(l, "token_embd.weight", w->n_vocab, w->arch.n_embd, w->n_vocab, &w->table);
    if (!err)
        err = load_vector(l, "output_norm.weight", w->arch.n_embd, false, &w->last_norm);
    if (!err)
        err = load_rope_factors(l);
    w->head = w->table;
    if (err || !gguf_tensor(l->file, "output.weight"))
        return err;
    return load_matrix(l, "output.weight", w->n_vocab, w->arch.n_embd, w->n_vocab, &w->head);
}

/* The K types round their scales to six bits, so one term of eight bits does for their activations; the
 * others, and floats, whose activations are not read as integers, get two. As model-cpu decides. */
static uint32_t terms_for(const struct dmatrix *m) {
    return m->form == FORM_K || m->form == FORM_K6 ? 1 : 2;
}
static uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}
static void find_terms(struct weights *w) {
    w->wide_terms = w->heads_terms = w->ff_terms = 1;
    for (uint32_t i = 0; i < w->arch.n_layers; i++) {
        const struct weight_layer *l = &w->layers[i];
        const struct dmatrix *wide[] = {&l->q, &l->k, &l->v, &l->gate, &l->up};

        for (size_t j = 0; j < sizeof(wide) / sizeof(wide[0]); j++)
            w->wide_terms = most(w->wide_terms, terms_for(wide[j]));
        w->heads_terms = most(w->heads_terms, terms_for(&l->out));
        w->ff_terms = most(w->ff_terms, terms_for(&l->down));
    }
    w->last_terms = terms_for(&w->head);
}

/* ---- a life ---- */

static void free_weights(void *weights) {
    struct weights *w = weights;

    for (size_t i = 0; i < w->n_owned; i++)
        rt_free(w->rt, w->owned[i]);
    rt_close(w->rt);
    tokenizer_free(w->tokenizer);
    free(w->owned);
    free(w->layers);
    free(w->steps);
    free(w->rope_factors);
    free(w->title);
    free(w->chat_template);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static int load_parts(struct loader *l) {
    struct weights *w = l->w;
    const char *slash = strrchr(l->file->path, '/');
    int err = arch_read(l->file, &w->arch, l->fail);

    /* attention.cuh gives a warp's lanes whole shares of a head */
    if (!err && w->arch.head_dim % 32 != 0)
        err = model_fail(
            l->fail, -ENOTSUP,
            "%s: heads of %u dimensions; model-cuda runs multiples of 32. model-cpu runs this file",
            l->file->path, w->arch.head_dim);
    if (!err)
        err = tokenizer_load(l->file, &w->tokenizer, l->fail);
    if (err)
        return err;
    w->layers = calloc(w->arch.n_layers, sizeof(*w->layers));
    w->steps = arch_plan(&w->arch, &w->n_steps);
    w->owned = calloc(l->file->n_tensors + 1, sizeof(*w->owned));
    w->title = gguf_text_or(l->file, "general.name", slash ? slash + 1 : l->file->path);
    w->chat_template = gguf_text_or(l->file, "tokenizer.chat_template", "");
    if (!w->layers || !w->steps || !w->owned || !w->title || !w->chat_template)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory", l->file->path);
    err = tensors_init(&l->tensors, l->file, l->fail);
    if (!err)
        err = load_ends(l);
    for (uint32_t i = 0; i < w->arch.n_layers && !err; i++)
        err = load_layer(l, i, &w->layers[i]);
    if (!err)
        err = tensors_refuse_unread(&l->tensors, w->arch.name);
    if (err)
        return err;
    find_terms(w);
    snprintf(w->quant, sizeof(w->quant), "%s",
             quant_name(gguf_tensor(l->file, "blk.0.ffn_gate.weight")->type));
    return 0;
}

/* The file's hash, beside the packing and the copying. */
static void *hash_file(void *arg) {
    const struct loader *l = arg;

    gguf_sha256(l->file, l->w->sha256);
    return NULL;
}

static int load_and_hash(struct loader *l) {
    pthread_t hashing;
    int err;

    if (pthread_create(&hashing, NULL, hash_file, l) != 0)
        return model_fail(l->fail, -EAGAIN, "%s: cannot start a thread", l->file->path);
    err = load_parts(l);
    pthread_join(hashing, NULL);
    return err;
}

/* arg: the device's number */
static int load(void *arg, const char *path, const struct stat *marks, void **out, struct model_fail *fail) {
    struct weights *w = calloc(1, sizeof(*w));
    struct gguf file;
    struct loader loader = {.file = &file, .w = w, .fail = fail};
    int err;

    (void)marks;
    if (!w || pthread_mutex_init(&w->lock, NULL) != 0) {
        free(w);
        return model_fail(fail, -ENOMEM, "%s: out of memory", path);
    }
    err = gguf_open(&file, path, fail);
    if (!err) {
        err = rt_open(*(const uint32_t *)arg, &w->rt, fail);
        if (!err)
            err = load_and_hash(&loader);
        tensors_finish(&loader.tensors);
        gguf_close(&file);
    }
    if (err)
        free_weights(w);
    else
        *out = w;
    return err;
}

static bool is_usable(const void *weights) {
    return !atomic_load(&((const struct weights *)weights)->is_lost);
}

static struct shared_list open_weights = SHARED_LIST(free_weights, is_usable);

int weights_open(const char *path, uint32_t device, struct weights **out, struct model_fail *fail) {
    void *weights = NULL;
    int err = shared_open(&open_weights, path, device, load, &device, &weights, fail);

    if (!err)
        *out = weights;
    return err;
}

void weights_close(struct weights *weights) {
    shared_close(&open_weights, weights);
}

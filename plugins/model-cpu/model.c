/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - find, check and pack the weights of a file, and share them within the process. */
#include "model.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "layer.h"
#include "pool.h"
#include "shared.h"
#include "tensors.h"

enum { HUGE_PAGE = 2 << 20, PACK_CHUNK = 8 };

/* ---- finding tensors ---- */

struct loader {
    const struct gguf *file;
    struct tensors tensors;
    struct model *model;
    struct model_fail *fail;
    const struct stat *marks;         /* of the file */
    const struct packed_cache *cache; /* or NULL */
    struct job {
        struct matrix *matrix;
        const uint8_t *rows;
        size_t at; /* where its packed bytes begin among the weights */
    } * jobs;
    size_t n_jobs;
};

/* A vector of floats, dequantised; absent ones stay NULL if optional. */
static int load_vector(struct loader *l, const char *name, uint64_t n, bool optional, float **out) {
    const struct gguf_tensor *t;
    int err = tensors_read(&l->tensors, name, n, 1, optional, &t);

    if (err || !t)
        return err;
    *out = malloc(n * sizeof(float));
    if (!*out)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory for %s", l->file->path, name);
    quant_dequantise(t->type, t->data, *out, n);
    return 0;
}

static int load_matrix(struct loader *l, const char *name, uint32_t n_rows, uint32_t n_cols,
                       struct matrix *out) {
    const struct gguf_tensor *t;
    int err = tensors_read(&l->tensors, name, n_cols, n_rows, false, &t);

    if (err)
        return err;
    matrix_shape(out, t->type, n_rows, n_cols);
    l->jobs[l->n_jobs++] = (struct job){out, t->data, l->model->weight_bytes};
    l->model->weight_bytes += (matrix_bytes(out) + 63) / 64 * 64;
    return 0;
}

static int load_layer(struct loader *l, uint32_t i, struct layer *layer) {
    const struct arch *a = &l->model->arch;
    struct matrix *const matrices[] = {
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
        const struct layer_tensor t = layer_matrix(a, i, (enum layer_matrix)j);

        err = load_matrix(l, t.name, t.n_rows, t.n_cols, matrices[j]);
    }
    for (int j = 0; j < N_LAYER_VECTORS && !err; j++) {
        const struct layer_tensor t = layer_vector(a, i, (enum layer_vector)j);

        if (t.is_there)
            err = load_vector(l, t.name, t.n_rows, t.optional, vectors[j]);
    }
    return err;
}

static int load_ends(struct loader *l) {
    struct model *m = l->model;
    int err = tensors_vocabulary(&l->tensors, tokenizer_n_tokens(m->tokenizer),
                                 (uint64_t)POOL_MAX_PIECES * MATRIX_LANES, &m->n_vocab);

    if (!err)
        err = load_matrix(l, "token_embd.weight", m->n_vocab, m->arch.n_embd, &m->table);
    if (!err)
        err = load_vector(l, "output_norm.weight", m->arch.n_embd, false, &m->last_norm);
    if (!err)
        err = load_vector(l, "rope_freqs.weight", m->arch.rope_dim / 2, true, &m->rope_factors);
    if (err)
        return err;
    if (!gguf_tensor(l->file, "output.weight"))
        return 0; /* it shares the table: see place_matrices() */
    return load_matrix(l, "output.weight", m->n_vocab, m->arch.n_embd, &m->head);
}

/* ---- packing ---- */

static void pack_piece(void *arg, size_t step, uint32_t piece, uint32_t thread) {
    const struct loader *l = arg;
    const struct job *job = &l->jobs[step];

    (void)thread;
    for (uint32_t g = piece * PACK_CHUNK; g < (piece + 1) * PACK_CHUNK && g < job->matrix->n_groups; g++)
        matrix_pack_group(job->matrix, job->rows, g);
}

static int pack_all(struct loader *l, struct pool *pool) {
    uint32_t *pieces = calloc(l->n_jobs, sizeof(*pieces));
    int err;

    if (!pieces)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory", l->file->path);
    for (size_t j = 0; j < l->n_jobs; j++)
        pieces[j] = (l->jobs[j].matrix->n_groups + PACK_CHUNK - 1) / PACK_CHUNK;
    err = pool_walk(pool, l->n_jobs, pieces, pack_piece, l);
    free(pieces);
    return err ? model_fail(l->fail, err, "%s: out of memory", l->file->path) : 0;
}

/* The file's hash, beside the packing. */
static void *hash_file(void *arg) {
    const struct loader *l = arg;

    gguf_sha256(l->file, l->model->sha256);
    return NULL;
}

static void place_matrices(struct loader *l, uint8_t *weights) {
    struct model *m = l->model;

    m->weights = weights;
    for (size_t j = 0; j < l->n_jobs; j++)
        l->jobs[j].matrix->data = weights + l->jobs[j].at;
    if (!m->head.data)
        m->head = m->table;
}

/* Pack into memory of our own, and find the hash if it is not known. */
static int pack_anew(struct loader *l, struct pool *pool) {
    struct model *m = l->model;
    uint8_t *map = mmap(NULL, m->weight_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool known = m->sha256[0] != '\0';
    pthread_t hashing;
    int err;

    if (map == MAP_FAILED)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory for %zu bytes of weights; use a smaller model",
                          l->file->path, m->weight_bytes);
    if (m->weight_bytes >= HUGE_PAGE)
        madvise(map, m->weight_bytes, MADV_HUGEPAGE); /* a hint: fewer TLB misses */
    place_matrices(l, map);
    if (!known && pthread_create(&hashing, NULL, hash_file, l) != 0)
        return model_fail(l->fail, -EAGAIN, "%s: cannot start a thread", l->file->path);
    err = pack_all(l, pool);
    if (!known)
        pthread_join(hashing, NULL);
    return err;
}

/* From the cache, if it has them; else packed, and kept there. */
static int fill_weights(struct loader *l, struct pool *pool) {
    struct model *m = l->model;
    const struct packed_cache *cache = l->cache && m->weight_bytes >= l->cache->min_bytes ? l->cache : NULL;
    const bool known = cache && packed_sha256(cache, l->marks, m->sha256);
    uint8_t *weights = known ? packed_map(cache, m->sha256, m->weight_bytes, pool, &m->in_use) : NULL;
    int err;

    if (weights) {
        m->weights_are_mapped = true;
        place_matrices(l, weights);
        return 0;
    }
    err = pack_anew(l, pool);
    if (err || !cache)
        return err;
    if (!known)
        packed_note_sha256(cache, l->marks, m->sha256);
    packed_keep(cache, m->sha256, m->weights, m->weight_bytes, pool); /* or not: it is a cache */
    return 0;
}

/* ---- a model's life ---- */

static void free_model(void *model) {
    struct model *m = model;

    if (m->weights_are_mapped)
        packed_unmap(m->weights, m->weight_bytes, m->in_use);
    else if (m->weights)
        munmap(m->weights, m->weight_bytes);
    for (uint32_t i = 0; m->layers && i < m->arch.n_layers; i++) {
        struct layer *layer = &m->layers[i];

        free(layer->attn_norm);
        free(layer->ffn_norm);
        free(layer->attn_post);
        free(layer->ffn_post);
        free(layer->q_norm);
        free(layer->k_norm);
        free(layer->q_bias);
        free(layer->k_bias);
        free(layer->v_bias);
    }
    tokenizer_free(m->tokenizer);
    free(m->layers);
    free(m->steps);
    free(m->last_norm);
    free(m->rope_factors);
    free(m->title);
    free(m->chat_template);
    free(m);
}

static int load_parts(struct loader *l, uint32_t n_threads) {
    struct model *m = l->model;
    const char *slash = strrchr(l->file->path, '/');
    struct pool *pool;
    int err = arch_read(l->file, &m->arch, l->fail);

    if (!err)
        err = tokenizer_load(l->file, &m->tokenizer, l->fail);
    if (err)
        return err;
    m->layers = calloc(m->arch.n_layers, sizeof(*m->layers));
    m->steps = arch_plan(&m->arch, &m->n_steps);
    l->jobs = calloc((size_t)m->arch.n_layers * 7 + 2, sizeof(*l->jobs));
    m->title = gguf_text_or(l->file, "general.name", slash ? slash + 1 : l->file->path);
    m->chat_template = gguf_text_or(l->file, "tokenizer.chat_template", "");
    if (!m->layers || !m->steps || !l->jobs || !m->title || !m->chat_template)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory", l->file->path);
    err = tensors_init(&l->tensors, l->file, l->fail);
    if (!err)
        err = load_ends(l);
    for (uint32_t i = 0; i < m->arch.n_layers && !err; i++)
        err = load_layer(l, i, &m->layers[i]);
    if (!err)
        err = tensors_refuse_unread(&l->tensors, m->arch.name);
    if (err)
        return err;
    snprintf(m->quant, sizeof(m->quant), "%s", quant_name(m->layers[0].gate.type));
    err = pool_create(n_threads, &pool, l->fail);
    if (err)
        return err;
    err = fill_weights(l, pool);
    pool_destroy(pool);
    return err;
}

/* How a model is to be loaded. */
struct loading {
    uint32_t n_threads;
    const struct packed_cache *cache;
};

static int load(void *arg, const char *path, const struct stat *marks, void **out, struct model_fail *fail) {
    const struct loading *how = arg;
    struct gguf file;
    struct loader loader = {.file = &file, .fail = fail, .marks = marks, .cache = how->cache};
    int err = gguf_open(&file, path, fail);

    if (err)
        return err;
    loader.model = calloc(1, sizeof(*loader.model));
    err = loader.model ? load_parts(&loader, how->n_threads)
                       : model_fail(fail, -ENOMEM, "%s: out of memory", path);
    free(loader.jobs);
    tensors_finish(&loader.tensors);
    gguf_close(&file);
    if (err && loader.model)
        free_model(loader.model);
    if (!err)
        *out = loader.model;
    return err;
}

static struct shared_list open_models = SHARED_LIST(free_model, NULL);

int model_open(const char *path, uint32_t n_threads, const struct packed_cache *cache, struct model **out,
               struct model_fail *fail) {
    struct loading how = {n_threads, cache};
    void *model = NULL;
    int err = shared_open(&open_models, path, 0, load, &how, &model, fail);

    if (!err)
        *out = model;
    return err;
}

void model_close(struct model *model) {
    shared_close(&open_models, model);
}

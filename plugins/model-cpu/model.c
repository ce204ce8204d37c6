/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - find, check and pack the weights of a file, and share them within the process. */
#include "model.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <sodium.h>

#include "pool.h"
#include "tensors.h"

enum { HUGE_PAGE = 2 << 20, PACK_CHUNK = 8 };

/* What makes two paths the same weights. */
struct identity {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct model_entry {
    struct identity identity;
    struct model *model;
    unsigned users;
    struct model_entry *next;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct model_entry *open_models;

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

__attribute__((format(printf, 3, 4))) static const struct gguf_tensor *find(struct loader *l, char name[80],
                                                                            const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(name, 80, format, args);
    va_end(args);
    return gguf_tensor(l->file, name);
}

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

static int load_biases(struct loader *l, uint32_t i, struct layer *layer, uint32_t q, uint32_t kv) {
    const bool optional = !l->model->arch.qkv_bias;
    char name[80];
    int err;

    find(l, name, "blk.%u.attn_q.bias", i);
    err = load_vector(l, name, q, optional, &layer->q_bias);
    if (err)
        return err;
    find(l, name, "blk.%u.attn_k.bias", i);
    err = load_vector(l, name, kv, optional, &layer->k_bias);
    if (err)
        return err;
    find(l, name, "blk.%u.attn_v.bias", i);
    return load_vector(l, name, kv, optional, &layer->v_bias);
}

static int load_norms(struct loader *l, uint32_t i, struct layer *layer) {
    const struct arch *a = &l->model->arch;
    const struct {
        const char *name;
        float **vector;
        uint32_t n;
        bool is_there;
    } norms[] = {
        {"attn_norm", &layer->attn_norm, a->n_embd, true},
        {"ffn_norm", &layer->ffn_norm, a->n_embd, true},
        {"attn_q_norm", &layer->q_norm, a->head_dim, a->qk_norm},
        {"attn_k_norm", &layer->k_norm, a->head_dim, a->qk_norm},
        {"post_attention_norm", &layer->attn_post, a->n_embd, a->post_norms},
        {"post_ffw_norm", &layer->ffn_post, a->n_embd, a->post_norms},
    };
    char name[80];
    int err = 0;

    for (size_t j = 0; j < sizeof(norms) / sizeof(norms[0]) && !err; j++) {
        find(l, name, "blk.%u.%s.weight", i, norms[j].name);
        if (norms[j].is_there)
            err = load_vector(l, name, norms[j].n, false, norms[j].vector);
    }
    return err;
}

static int load_layer(struct loader *l, uint32_t i, struct layer *layer) {
    const struct arch *a = &l->model->arch;
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    const struct {
        const char *name;
        struct matrix *matrix;
        uint32_t n_rows, n_cols;
    } parts[] = {
        {"attn_q", &layer->q, q, a->n_embd},
        {"attn_k", &layer->k, kv, a->n_embd},
        {"attn_v", &layer->v, kv, a->n_embd},
        {"attn_output", &layer->out, a->n_embd, q},
        {"ffn_gate", &layer->gate, a->n_ff, a->n_embd},
        {"ffn_up", &layer->up, a->n_ff, a->n_embd},
        {"ffn_down", &layer->down, a->n_embd, a->n_ff},
    };
    char name[80];
    int err = 0;

    for (size_t j = 0; j < sizeof(parts) / sizeof(parts[0]) && !err; j++) {
        find(l, name, "blk.%u.%s.weight", i, parts[j].name);
        err = load_matrix(l, name, parts[j].n_rows, parts[j].n_cols, parts[j].matrix);
    }
    if (!err)
        err = load_norms(l, i, layer);
    return err ? err : load_biases(l, i, layer, q, kv);
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
    unsigned char sum[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(sum, l->file->map, l->file->n_bytes);
    sodium_bin2hex(l->model->sha256, sizeof(l->model->sha256), sum, sizeof(sum));
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

static void free_model(struct model *m) {
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

static int load(const char *path, const struct stat *marks, uint32_t n_threads,
                const struct packed_cache *cache, struct model **out, struct model_fail *fail) {
    struct gguf file;
    struct loader loader = {.file = &file, .fail = fail, .marks = marks, .cache = cache};
    int err = gguf_open(&file, path, fail);

    if (err)
        return err;
    loader.model = calloc(1, sizeof(*loader.model));
    err =
        loader.model ? load_parts(&loader, n_threads) : model_fail(fail, -ENOMEM, "%s: out of memory", path);
    free(loader.jobs);
    tensors_finish(&loader.tensors);
    gguf_close(&file);
    if (err && loader.model)
        free_model(loader.model);
    if (!err)
        *out = loader.model;
    return err;
}

static int same_file(const struct identity *a, const struct identity *b) {
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct model_entry *find_entry(const struct identity *identity) {
    struct model_entry *entry = open_models;

    while (entry && !same_file(&entry->identity, identity))
        entry = entry->next;
    return entry;
}

static int open_locked(const char *path, uint32_t n_threads, const struct packed_cache *cache,
                       struct model **out, struct model_fail *fail) {
    struct model_entry *entry;
    struct identity identity;
    struct stat st;
    int err;

    if (stat(path, &st) != 0)
        return model_fail(
            fail, -errno,
            "%s: cannot open the model: %s; check the path, or fetch it with `telex model pull`", path,
            strerror(errno));
    identity = (struct identity){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    entry = find_entry(&identity);
    if (!entry) {
        entry = calloc(1, sizeof(*entry));
        err = entry ? load(path, &st, n_threads, cache, &entry->model, fail)
                    : model_fail(fail, -ENOMEM, "%s: out of memory", path);
        if (err) {
            free(entry);
            return err;
        }
        entry->identity = identity;
        entry->model->entry = entry;
        entry->next = open_models;
        open_models = entry;
    }
    entry->users++;
    *out = entry->model;
    return 0;
}

int model_open(const char *path, uint32_t n_threads, const struct packed_cache *cache, struct model **out,
               struct model_fail *fail) {
    int err;

    pthread_mutex_lock(&open_lock);
    err = open_locked(path, n_threads, cache, out, fail);
    pthread_mutex_unlock(&open_lock);
    return err;
}

void model_close(struct model *model) {
    struct model_entry **at = &open_models;
    struct model_entry *entry;

    if (!model)
        return;
    pthread_mutex_lock(&open_lock);
    entry = model->entry;
    if (--entry->users == 0) {
        while (*at != entry)
            at = &(*at)->next;
        *at = entry->next;
        free_model(model);
        free(entry);
    }
    pthread_mutex_unlock(&open_lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* encoder-load.c - find, check and pack the weights of a BERT encoder. */
#include "encoder.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium.h>

#include "safetensors.h"
#include "shared.h"

enum { NAME_BYTES = 128, PATH_BYTES = 4096 };

struct loader {
    struct safetensors file;
    struct encoder *encoder;
    struct model_fail *fail;
    const char *prefix; /* of every name: "" or "bert." */
    bool *is_read;      /* (n_tensors) */
};

/* ---- tensors ---- */

/* The float32 tensor of that name and shape; n_cols 0: a vector. NULL with fail filled in. */
static const float *find(struct loader *l, uint32_t n_rows, uint32_t n_cols, const char *name) {
    char whole[NAME_BYTES];
    const struct safetensor *t;

    snprintf(whole, sizeof(whole), "%s%s", l->prefix, name);
    t = safetensors_find(&l->file, whole);
    if (!t) {
        model_fail(l->fail, -EINVAL, "%s: no tensor %s; this is no BERT encoder, or it is not whole",
                   l->file.path, whole);
        return NULL;
    }
    if (strcmp(t->type, "F32") != 0) {
        model_fail(l->fail, -ENOTSUP, "%s: %s is %s; this build reads F32: save the model in float32",
                   l->file.path, whole, t->type);
        return NULL;
    }
    if (t->n_dims != (n_cols ? 2 : 1) || t->dims[0] != n_rows || (n_cols && t->dims[1] != n_cols)) {
        model_fail(l->fail, -EINVAL, "%s: %s has another shape than config.json says: (%u, %u) is wanted",
                   l->file.path, whole, n_rows, n_cols);
        return NULL;
    }
    l->is_read[t - l->file.tensors] = true;
    return (const float *)(const void *)t->data;
}

__attribute__((format(printf, 2, 3))) static const char *name_of(char name[NAME_BYTES], const char *format,
                                                                 ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(name, NAME_BYTES, format, args);
    va_end(args);
    return name;
}

/* A copy of n floats at `at` within *out, which is made `room` floats long where it is NULL. */
static int copy(struct loader *l, const float *from, size_t n, size_t at, size_t room, float **out) {
    if (!from)
        return -EINVAL;
    if (!*out) {
        *out = malloc(room * sizeof(float));
        l->encoder->weight_bytes += room * sizeof(float);
    }
    if (!*out)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory for the weights", l->file.path);
    memcpy(*out + at, from, n * sizeof(float)); /* the file's floats need not be aligned */
    return 0;
}

static int load_vector(struct loader *l, const char *name, uint32_t n, float **out) {
    return copy(l, find(l, n, 0, name), n, 0, n, out);
}

static int load_table(struct loader *l, const char *name, uint32_t n_rows, uint32_t n_cols, uint32_t kept,
                      float **out) {
    return copy(l, find(l, n_rows, n_cols, name), (size_t)kept * n_cols, 0, (size_t)kept * n_cols, out);
}

static int shape_matrix(struct loader *l, uint32_t n_rows, uint32_t n_cols, struct matrix *m) {
    matrix_shape(m, QUANT_F32, n_rows, n_cols);
    m->data = aligned_alloc(64, (matrix_bytes(m) + 63) / 64 * 64);
    l->encoder->weight_bytes += matrix_bytes(m);
    return m->data ? 0 : model_fail(l->fail, -ENOMEM, "%s: out of memory for the weights", l->file.path);
}

/* Rows `at` and up of a matrix, and of its bias. */
static int load_rows(struct loader *l, const char *name, uint32_t at, uint32_t n_rows, struct matrix *m,
                     float **bias) {
    char whole[NAME_BYTES];
    const float *rows = find(l, n_rows, m->n_cols, name_of(whole, "%s.weight", name));
    struct matrix part;

    if (!rows)
        return -EINVAL;
    matrix_shape(&part, QUANT_F32, n_rows, m->n_cols);
    part.data = m->data + at / MATRIX_LANES * m->group_bytes;
    for (uint32_t group = 0; group < part.n_groups; group++)
        matrix_pack_group(&part, (const uint8_t *)rows, group);
    return copy(l, find(l, n_rows, 0, name_of(whole, "%s.bias", name)), n_rows, at, m->n_rows, bias);
}

static int load_matrix(struct loader *l, const char *name, uint32_t n_rows, uint32_t n_cols, struct matrix *m,
                       float **bias) {
    int err = shape_matrix(l, n_rows, n_cols, m);

    return err ? err : load_rows(l, name, 0, n_rows, m, bias);
}

static int load_norm(struct loader *l, const char *name, float **weight, float **bias) {
    char whole[NAME_BYTES];
    int err = load_vector(l, name_of(whole, "%s.LayerNorm.weight", name), l->encoder->bert.n_embd, weight);

    return err ? err
               : load_vector(l, name_of(whole, "%s.LayerNorm.bias", name), l->encoder->bert.n_embd, bias);
}

static int load_attention(struct loader *l, uint32_t i, struct encoder_layer *layer) {
    static const char *const parts[] = {"query", "key", "value"};
    const uint32_t n = l->encoder->bert.n_embd;
    char name[NAME_BYTES];
    int err = shape_matrix(l, 3 * n, n, &layer->qkv);

    for (uint32_t k = 0; k < 3 && !err; k++)
        err = load_rows(l, name_of(name, "encoder.layer.%u.attention.self.%s", i, parts[k]), k * n, n,
                        &layer->qkv, &layer->qkv_bias);
    if (!err)
        err = load_matrix(l, name_of(name, "encoder.layer.%u.attention.output.dense", i), n, n, &layer->out,
                          &layer->out_bias);
    if (!err)
        err = load_norm(l, name_of(name, "encoder.layer.%u.attention.output", i), &layer->attn_norm,
                        &layer->attn_norm_bias);
    return err;
}

static int load_layer(struct loader *l, uint32_t i, struct encoder_layer *layer) {
    const struct bert *b = &l->encoder->bert;
    char name[NAME_BYTES];
    int err = load_attention(l, i, layer);

    if (!err)
        err = load_matrix(l, name_of(name, "encoder.layer.%u.intermediate.dense", i), b->n_ff, b->n_embd,
                          &layer->up, &layer->up_bias);
    if (!err)
        err = load_matrix(l, name_of(name, "encoder.layer.%u.output.dense", i), b->n_embd, b->n_ff,
                          &layer->down, &layer->down_bias);
    if (!err)
        err = load_norm(l, name_of(name, "encoder.layer.%u.output", i), &layer->ffn_norm,
                        &layer->ffn_norm_bias);
    return err;
}

static int load_ends(struct loader *l) {
    struct encoder *e = l->encoder;
    const struct bert *b = &e->bert;
    int err =
        load_table(l, "embeddings.word_embeddings.weight", b->n_vocab, b->n_embd, b->n_vocab, &e->table);

    if (!err)
        err = load_table(l, "embeddings.position_embeddings.weight", b->n_positions, b->n_embd,
                         b->n_positions, &e->positions);
    if (!err)
        err = load_table(l, "embeddings.token_type_embeddings.weight", b->n_types, b->n_embd, 1, &e->type);
    return err ? err : load_norm(l, "embeddings", &e->norm, &e->norm_bias);
}

/* Parts of training and of other uses may lie in the file; anything else that no sum reads is refused. */
static int refuse_unread(const struct loader *l) {
    static const char *const known[] = {"embeddings.position_ids", "pooler.dense.weight",
                                        "pooler.dense.bias"};

    for (size_t i = 0; i < l->file.n_tensors; i++) {
        const char *name = l->file.tensors[i].name;
        bool fine = l->is_read[i] || strncmp(name, "cls.", 4) == 0;

        name += strncmp(name, l->prefix, strlen(l->prefix)) == 0 ? strlen(l->prefix) : 0;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            fine |= strcmp(name, known[k]) == 0;
        if (!fine)
            return model_fail(l->fail, -ENOTSUP,
                              "%s: nothing reads the tensor %s; this build computes plain BERT", l->file.path,
                              l->file.tensors[i].name);
    }
    return 0;
}

/* ---- the folder ---- */

/* The folder of the weights, and their file. */
static int find_paths(const char *path, char folder[PATH_BYTES], char file[PATH_BYTES],
                      struct model_fail *fail) {
    struct stat st;
    const bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    const char *slash = strrchr(path, '/');

    if (strlen(path) > PATH_BYTES - 32)
        return model_fail(fail, -ENAMETOOLONG, "%.100s...: the path is too long", path);
    if (is_folder) {
        snprintf(folder, PATH_BYTES, "%s", path);
        snprintf(file, PATH_BYTES, "%.*s/model.safetensors", PATH_BYTES - 32, path);
    } else {
        snprintf(file, PATH_BYTES, "%s", path);
        snprintf(folder, PATH_BYTES, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    }
    return 0;
}

static int load_parts(struct loader *l, const char *folder) {
    struct encoder *e = l->encoder;
    char path[PATH_BYTES];
    unsigned char sum[crypto_hash_sha256_BYTES];
    int err = bert_read(folder, &e->bert, l->fail);

    snprintf(path, sizeof(path), "%.*s/vocab.txt", PATH_BYTES - 32, folder);
    if (!err)
        err = wordpiece_open(path, &e->words, l->fail);
    if (err)
        return err;
    if (e->words.n_tokens != e->bert.n_vocab)
        return model_fail(l->fail, -EINVAL, "%s: %u tokens, config.json says %u; they are of two models",
                          path, e->words.n_tokens, e->bert.n_vocab);
    e->layers = calloc(e->bert.n_layers, sizeof(*e->layers));
    l->is_read = calloc(l->file.n_tensors + 1, sizeof(*l->is_read));
    e->title = strdup(strrchr(folder, '/') && strrchr(folder, '/')[1] ? strrchr(folder, '/') + 1 : folder);
    if (!e->layers || !l->is_read || !e->title)
        return model_fail(l->fail, -ENOMEM, "%s: out of memory", path);
    l->prefix = safetensors_find(&l->file, "bert.embeddings.word_embeddings.weight") ? "bert." : "";
    err = load_ends(l);
    for (uint32_t i = 0; i < e->bert.n_layers && !err; i++)
        err = load_layer(l, i, &e->layers[i]);
    if (!err)
        err = refuse_unread(l);
    crypto_hash_sha256(sum, l->file.map, l->file.n_bytes);
    sodium_bin2hex(e->sha256, sizeof(e->sha256), sum, sizeof(sum));
    return err;
}

static void drop(void *thing) {
    struct encoder *e = thing;

    for (uint32_t i = 0; e->layers && i < e->bert.n_layers; i++) {
        struct encoder_layer *layer = &e->layers[i];
        void *const all[] = {layer->qkv.data,  layer->out.data, layer->up.data,        layer->down.data,
                             layer->qkv_bias,  layer->out_bias, layer->up_bias,        layer->down_bias,
                             layer->attn_norm, layer->ffn_norm, layer->attn_norm_bias, layer->ffn_norm_bias};

        for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
            free(all[k]);
    }
    wordpiece_close(&e->words);
    free(e->table);
    free(e->positions);
    free(e->type);
    free(e->norm);
    free(e->norm_bias);
    free(e->layers);
    free(e->title);
    free(e);
}

static int load(void *arg, const char *path, const struct stat *marks, void **out, struct model_fail *fail) {
    struct loader l = {.fail = fail};
    int err;

    (void)marks;

    l.encoder = calloc(1, sizeof(*l.encoder));
    if (!l.encoder)
        return model_fail(fail, -ENOMEM, "%s: out of memory", path);
    err = safetensors_open(&l.file, path, fail);
    if (!err)
        err = load_parts(&l, arg);
    safetensors_close(&l.file);
    free(l.is_read);
    if (err)
        drop(l.encoder);
    else
        *out = l.encoder;
    return err;
}

static struct shared_list encoders = SHARED_LIST(drop, NULL);

int encoder_open(const char *path, const struct encoder **out, struct model_fail *fail) {
    char folder[PATH_BYTES], file[PATH_BYTES];
    void *encoder;
    int err = find_paths(path, folder, file, fail);

    if (!err)
        err = shared_open(&encoders, file, 0, load, folder, &encoder, fail);
    if (!err)
        *out = encoder;
    return err;
}

void encoder_close(const struct encoder *encoder) {
    shared_close(&encoders, (void *)(uintptr_t)encoder);
}

bool encoder_is_for(const char *path) {
    const size_t n = strlen(path), tail = strlen(".safetensors");
    struct stat st;

    return (n > tail && strcmp(path + n - tail, ".safetensors") == 0) ||
           (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

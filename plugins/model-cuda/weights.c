/* SPDX-License-Identifier: Apache-2.0 */
/* weights.c - find and check the weights of a file, bring them to the device, share them within the process.
 */
#include "weights.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quant.h"
#include "tensors.h"

enum { PACK_THREADS = 8, MAX_VOCABULARY = 1 << 24 };

/* What makes two paths the same weights on the same device. */
struct weights_entry {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
    uint32_t device;
    struct weights *weights;
    unsigned users;
    struct weights_entry *next;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct weights_entry *open_weights;

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

__attribute__((format(printf, 2, 3))) static const char *name_of(char name[80], const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(name, 80, format, args);
    va_end(args);
    return name;
}

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

/* A padded matrix has rows that the plain one lacks; they take this many rows each. */
static int load_matrices(struct loader *l, uint32_t i, struct weight_layer *layer) {
    const struct arch *a = &l->w->arch;
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    const struct {
        const char *name;
        struct dmatrix *matrix;
        uint32_t n_rows, n_cols, run;
    } parts[] = {
        {"attn_q", &layer->q, q, a->n_embd, a->head_dim},
        {"attn_k", &layer->k, kv, a->n_embd, a->head_dim},
        {"attn_v", &layer->v, kv, a->n_embd, a->head_dim},
        {"attn_output", &layer->out, a->n_embd, q, a->n_embd},
        {"ffn_gate", &layer->gate, a->n_ff, a->n_embd, a->n_ff},
        {"ffn_up", &layer->up, a->n_ff, a->n_embd, a->n_ff},
        {"ffn_down", &layer->down, a->n_embd, a->n_ff, a->n_embd},
    };
    char name[80];
    int err = 0;

    for (size_t j = 0; j < sizeof(parts) / sizeof(parts[0]) && !err; j++)
        err = load_matrix(l, name_of(name, "blk.%u.%s.weight", i, parts[j].name), parts[j].n_rows,
                          parts[j].n_cols, parts[j].run, parts[j].matrix);
    return err;
}

static int load_layer(struct loader *l, uint32_t i, struct weight_layer *layer) {
    const struct arch *a = &l->w->arch;
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    const struct {
        const char *name;
        float **vector;
        uint32_t n;
        bool is_there, optional;
    } parts[] = {
        {"attn_norm.weight", &layer->attn_norm, a->n_embd, true, false},
        {"ffn_norm.weight", &layer->ffn_norm, a->n_embd, true, false},
        {"attn_q_norm.weight", &layer->q_norm, a->head_dim, a->qk_norm, false},
        {"attn_k_norm.weight", &layer->k_norm, a->head_dim, a->qk_norm, false},
        {"post_attention_norm.weight", &layer->attn_post, a->n_embd, a->post_norms, false},
        {"post_ffw_norm.weight", &layer->ffn_post, a->n_embd, a->post_norms, false},
        {"attn_q.bias", &layer->q_bias, q, true, !a->qkv_bias},
        {"attn_k.bias", &layer->k_bias, kv, true, !a->qkv_bias},
        {"attn_v.bias", &layer->v_bias, kv, true, !a->qkv_bias},
    };
    char name[80];
    int err = load_matrices(l, i, layer);

    for (size_t j = 0; j < sizeof(parts) / sizeof(parts[0]) && !err; j++)
        if (parts[j].is_there)
            err = load_vector(l, name_of(name, "blk.%u.%s", i, parts[j].name), parts[j].n, parts[j].optional,
                              parts[j].vector);
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

static void free_weights(struct weights *w) {
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

static int load(const char *path, uint32_t device, struct weights **out, struct model_fail *fail) {
    struct weights *w = calloc(1, sizeof(*w));
    struct gguf file;
    struct loader loader = {.file = &file, .w = w, .fail = fail};
    int err;

    if (!w || pthread_mutex_init(&w->lock, NULL) != 0) {
        free(w);
        return model_fail(fail, -ENOMEM, "%s: out of memory", path);
    }
    err = gguf_open(&file, path, fail);
    if (!err) {
        err = rt_open(device, &w->rt, fail);
        if (!err)
            err = load_parts(&loader);
        tensors_finish(&loader.tensors);
        gguf_close(&file);
    }
    if (err)
        free_weights(w);
    else
        *out = w;
    return err;
}

static struct weights_entry *find_entry(const struct stat *st, uint32_t device) {
    struct weights_entry *e = open_weights;

    while (e && !(e->dev == st->st_dev && e->ino == st->st_ino && e->size == st->st_size &&
                  e->changed.tv_sec == st->st_mtim.tv_sec && e->changed.tv_nsec == st->st_mtim.tv_nsec &&
                  e->device == device && !atomic_load(&e->weights->is_lost)))
        e = e->next;
    return e;
}

static int open_locked(const char *path, uint32_t device, struct weights **out, struct model_fail *fail) {
    struct weights_entry *entry;
    struct stat st;
    int err;

    if (stat(path, &st) != 0)
        return model_fail(
            fail, -errno,
            "%s: cannot open the model: %s; check the path, or fetch it with `telex model pull`", path,
            strerror(errno));
    entry = find_entry(&st, device);
    if (!entry) {
        entry = calloc(1, sizeof(*entry));
        err = entry ? load(path, device, &entry->weights, fail)
                    : model_fail(fail, -ENOMEM, "%s: out of memory", path);
        if (err) {
            free(entry);
            return err;
        }
        *entry = (struct weights_entry){st.st_dev, st.st_ino,      st.st_size, st.st_mtim,
                                        device,    entry->weights, 0,          open_weights};
        entry->weights->entry = entry;
        open_weights = entry;
    }
    entry->users++;
    *out = entry->weights;
    return 0;
}

int weights_open(const char *path, uint32_t device, struct weights **out, struct model_fail *fail) {
    int err;

    pthread_mutex_lock(&open_lock);
    err = open_locked(path, device, out, fail);
    pthread_mutex_unlock(&open_lock);
    return err;
}

void weights_close(struct weights *weights) {
    struct weights_entry **at = &open_weights;
    struct weights_entry *entry;

    if (!weights)
        return;
    pthread_mutex_lock(&open_lock);
    entry = weights->entry;
    if (--entry->users == 0) {
        while (*at != entry)
            at = &(*at)->next;
        *at = entry->next;
        free_weights(weights);
        free(entry);
    }
    pthread_mutex_unlock(&open_lock);
}

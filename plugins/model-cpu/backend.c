/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the class telex.model/1.
 *
 * Here the contract's words meet the plain C of model.h and context.h; no arithmetic happens in this file. A
 * row's answer is written into the caller's memory while the logits are borrowed. */
#include "backend.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex-sdk/option.h>
#include <telex-sdk/plugin.h>

#include "answer.h"
#include "context.h"
#include "cpu.h"
#include "encoder.h"
#include "model.h"
#include "pool.h"
#include "speech.h"

enum { PROBE_SCORE = 10, MAX_THREADS = 256 };

struct backend {
    const struct telex_host *host; /* borrowed */
    struct backend_config config;
    void *config_memory;
    const struct kernels *kernels;
    struct pool *pool;
    struct model *model;           /* shared with every other backend of this file in the process */
    const struct encoder *encoder; /* also; instead of model */
    char device[224];
};

struct backend_context {
    struct backend *backend; /* borrowed */
    struct context *ctx;     /* NULL with an encoder */
    struct context_row rows[CONTEXT_MAX_BATCH];
};

const struct telex_option *const backend_options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct backend_config, path),
                 .doc = "weights: a GGUF file, or a BERT encoder as a safetensors file or its folder"),
    TELEX_OPTION(.name = "threads", .type = TELEX_INT, .offset = offsetof(struct backend_config, threads),
                 .initial = "0", .min = 0, .max = MAX_THREADS,
                 .doc = "threads that decode, the caller's included; 0: one for each processor online"),
    TELEX_OPTION(.name = "cpu", .type = TELEX_CHOICE, .offset = offsetof(struct backend_config, cpu),
                 .initial = "auto",
                 .choices = (const char *const[]){"auto", "amx", "avx512", "avx2", "scalar", NULL},
                 .doc = "kernels to use; all give the same bits. TELEX_CPU in the environment goes first"),
    TELEX_OPTION(
            .name = "precision", .type = TELEX_CHOICE, .offset = offsetof(struct backend_config, precision),
            .initial = "fast", .choices = (const char *const[]){"fast", "exact", NULL},
            .doc = "fast: activations as integers of 15 or 8 bits, keys and values in float16; exact: all in "
                   "float32, several times slower, to measure by"),
    TELEX_OPTION(.name = "kv", .type = TELEX_CHOICE, .offset = offsetof(struct backend_config, kv),
                 .initial = "f16", .choices = (const char *const[]){"f16", "int8", NULL},
                 .doc = "how keys and values are kept. int8: one scale for each head's row, half the memory, "
                        "logits less exact"),
    TELEX_OPTION(.name = "packed_cache", .type = TELEX_BOOL,
                 .offset = offsetof(struct backend_config, packed_cache), .initial = "true",
                 .doc = "keep packed weights in ~/.cache/telex/packed, so that the model opens faster"),
    TELEX_OPTION(.name = "packed_cache_limit", .type = TELEX_SIZE,
                 .offset = offsetof(struct backend_config, packed_cache_limit), .initial = "16GiB",
                 .unit = "bytes", .min = 0, .max = 0x1p62,
                 .doc = "of all packed weights kept; those used longest ago go first, those in use stay"),
    TELEX_DRIVER_OPTIONS(struct backend_config, driver),
    NULL,
};

int32_t backend_probe(void) {
    return PROBE_SCORE;
}

static uint32_t threads_wanted(const struct backend_config *config) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);

    if (config->threads > 0)
        return (uint32_t)config->threads;
    return online < 1 ? 1 : online > MAX_THREADS ? MAX_THREADS : (uint32_t)online;
}

static int open_parts(struct backend *b, struct model_fail *fail) {
    const char *named = getenv("TELEX_CPU"), *wish = named && *named ? named : b->config.cpu;
    const uint32_t n_threads = threads_wanted(&b->config);
    const bool exact = strcmp(b->config.precision, "exact") == 0, small = strcmp(b->config.kv, "int8") == 0;
    struct packed_cache cache;
    const bool cached = b->config.packed_cache && packed_default(&cache);
    cache.max_bytes = (uint64_t)b->config.packed_cache_limit;
    int err = cpu_choose(wish, &b->kernels, fail);
    char path[128];

    if (!err)
        cpu_describe(b->kernels, wish, path, sizeof(path));
    if (!err && exact && small)
        err = model_fail(fail, -EINVAL, "kv: int8 with precision: exact, which keeps float32; leave one out");
    if (!err)
        b->kernels = exact ? b->kernels->exact : small ? b->kernels->int8_kv : b->kernels;
    if (!err && encoder_is_for(b->config.path))
        err = encoder_open(b->config.path, &b->encoder, fail);
    else if (!err)
        err = model_open(b->config.path, n_threads, cached ? &cache : NULL, &b->model, fail);
    if (!err)
        err = pool_create(n_threads, &b->pool, fail);
    if (!err) {
        snprintf(b->device, sizeof(b->device), "cpu %s%s, %u threads", path,
                 exact   ? ", exact"
                 : small ? ", int8 keys and values"
                         : "",
                 n_threads);
    }
    return err;
}

telex_status backend_open(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct backend *b = calloc(1, sizeof(*b));
    struct model_fail fail = {"out of memory"};
    int err = -ENOMEM;

    if (b)
        err = telex_options_read(backend_options, options, &b->config, &b->config_memory);
    if (b && err == -EBADMSG)
        model_fail(&fail, err, "the options are not what the table describes");
    if (!err) {
        b->host = host;
        err = open_parts(b, &fail);
    }
    if (err) {
        backend_close(b);
        return telex_fail(host, 0, TELEX_FATAL, "model-cpu: %s", fail.text);
    }
    *self = b;
    return TELEX_OK;
}

void backend_close(void *self) {
    struct backend *b = self;

    if (!b)
        return;
    pool_destroy(b->pool);
    model_close(b->model);
    encoder_close(b->encoder);
    free(b->config_memory);
    free(b);
}

static void encoder_info(const struct backend *b, struct telex_model_info *out) {
    const struct encoder *e = b->encoder;
    const struct telex_model_info info = {
        .size = sizeof(info),
        .flags =
            TELEX_MODEL_BATCH_INVARIANT | TELEX_MODEL_LOSSY_TEXT | TELEX_MODEL_EMBED | TELEX_MODEL_ENCODER,
        .n_vocab = e->bert.n_vocab,
        .n_embd = e->bert.n_embd,
        .context_tokens = encoder_most_tokens(e),
        .max_batch = CONTEXT_MAX_BATCH,
        .bos = e->words.first,
        .eos = e->words.last,
        .eot = -1,
        .weight_bytes = e->weight_bytes,
        .arch = "bert",
        .quant = "F32",
        .device = b->device,
        .model = e->title,
        .weights_sha256 = e->sha256,
        .chat = "",
    };
    const uint32_t size = out->size < sizeof(info) ? out->size : sizeof(info);

    memcpy(out, &info, size);
    out->size = size;
}

telex_status backend_info(void *self, struct telex_model_info *out) {
    const struct backend *b = self;
    if (b->encoder) {
        encoder_info(b, out);
        return TELEX_OK;
    }
    const struct model *m = b->model;
    const struct speech_model known = {&m->arch, m->tokenizer,     m->n_vocab, m->quant,
                                       m->title, m->chat_template, m->sha256};

    speech_info(&known,
                &(struct telex_model_info){.flags = TELEX_MODEL_BATCH_INVARIANT,
                                           .max_batch = CONTEXT_MAX_BATCH,
                                           .weight_bytes = m->weight_bytes,
                                           .kv_bytes_per_token = kv_bytes_per_token(&m->arch, b->kernels),
                                           .device = b->device},
                out);
    return TELEX_OK;
}

static int64_t encoder_tokenize(const struct encoder *encoder, struct telex_bytes text, uint32_t flags,
                                int32_t *ids, uint64_t capacity) {
    struct token_list list = {0};
    int64_t n = TELEX_LIMIT;

    if (wordpiece_encode(&encoder->words, (const char *)text.data, text.size,
                         flags & TELEX_TOKENIZE_CONTROL ? TOKENIZER_CONTROL : 0, &list) == 0) {
        n = (int64_t)list.n;
        if (list.n > 0 && capacity > 0)
            memcpy(ids, list.ids, (list.n < capacity ? list.n : capacity) * sizeof(*ids));
    }
    free(list.ids);
    return n;
}

int64_t backend_tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                         uint64_t capacity) {
    const struct encoder *encoder = ((const struct backend *)self)->encoder;

    if (encoder)
        return encoder_tokenize(encoder, text, flags, ids, capacity);
    return speech_tokenize(((const struct backend *)self)->model->tokenizer, text, flags, ids, capacity);
}

int64_t backend_detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity) {
    const struct encoder *encoder = ((const struct backend *)self)->encoder;

    if (encoder) {
        const int64_t size = wordpiece_decode(&encoder->words, ids, n, (char *)out, capacity);

        return size < 0 ? TELEX_INVALID : size;
    }
    return speech_detokenize(((const struct backend *)self)->model->tokenizer, ids, n, out, capacity);
}

/* ---- contexts ---- */

telex_status backend_context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context) {
    struct backend *b = self;
    struct backend_context *c = calloc(1, sizeof(*c));
    struct model_fail fail = {"out of memory"};

    if (!c ||
        (!b->encoder && context_open(b->model, b->pool, b->kernels, n_seq, n_tokens, &c->ctx, &fail) != 0)) {
        free(c);
        return telex_fail(b->host, 0, TELEX_LIMIT, "model-cpu: %s", fail.text);
    }
    c->backend = b;
    *context = c;
    return TELEX_OK;
}

void backend_context_close(void *context) {
    struct backend_context *c = context;

    if (!c)
        return;
    if (c->ctx)
        context_close(c->ctx);
    free(c);
}

void backend_cancel(void *context) {
    struct backend_context *c = context;

    if (c->ctx)
        context_cancel(c->ctx);
}

static telex_status status_of(int err) {
    switch (err) {
    case 0:
        return TELEX_OK;
    case -ENOSPC:
    case -ENOMEM:
        return TELEX_AGAIN;
    case -ECANCELED:
        return TELEX_CANCELLED;
    default:
        return TELEX_INVALID;
    }
}

/* What the head has to compute for a row; -EINVAL when the row asks for something impossible. */
static int translate(const struct telex_row *row, uint32_t n_vocab, struct context_row *to) {
    *to = (struct context_row){0};
    if (!row || row->kind == TELEX_ROW_NONE)
        return 0;
    if (row->kind == TELEX_ROW_SUBSET) {
        *to = (struct context_row){ASK_SOME, row->n, row->ids};
        return row->ids && row->logits ? 0 : -EINVAL;
    }
    to->ask = ASK_ALL;
    if (row->kind == TELEX_ROW_LOGITS)
        return row->logits ? 0 : -EINVAL;
    if (row->kind == TELEX_ROW_TOPK)
        return row->ids && row->logits && row->n <= n_vocab ? 0 : -EINVAL;
    return row->kind == TELEX_ROW_SAMPLE && row->ids ? 0 : -EINVAL;
}

struct answering {
    const struct telex_batch *batch;
    uint32_t n_vocab;
};

static void answer(void *arg, uint32_t row, const float *logits) {
    const struct answering *a = arg;

    answer_row(a->batch->rows[row], logits, a->n_vocab);
}

telex_status backend_decode(void *context, const struct telex_batch *batch) {
    struct backend_context *c = context;
    if (!c->ctx)
        return TELEX_UNSUPPORTED;
    const uint32_t n_vocab = c->backend->model->n_vocab;
    struct answering answering = {batch, n_vocab};
    const struct context_batch rows = {batch->n, batch->token, batch->pos, batch->seq, c->rows};

    if (batch->n > CONTEXT_MAX_BATCH)
        return TELEX_INVALID;
    for (uint32_t i = 0; i < batch->n; i++)
        if (translate(batch->rows ? batch->rows[i] : NULL, n_vocab, &c->rows[i]) != 0)
            return TELEX_INVALID;
    return status_of(context_decode(c->ctx, &rows, answer, &answering));
}

telex_status backend_seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to) {
    struct backend_context *c = context;

    return !c->ctx    ? TELEX_UNSUPPORTED
           : from < 0 ? TELEX_INVALID
                      : status_of(context_copy(c->ctx, dst, src, (uint32_t)from, to));
}

telex_status backend_seq_trim(void *context, uint32_t seq, int32_t from) {
    struct backend_context *c = context;

    return !c->ctx    ? TELEX_UNSUPPORTED
           : from < 0 ? TELEX_INVALID
                      : status_of(context_trim(c->ctx, seq, (uint32_t)from));
}

telex_status backend_embed(void *context, const int32_t *ids, uint32_t n, float *out) {
    const struct backend *b = ((const struct backend_context *)context)->backend;
    const struct encoder_text one = {ids, n};
    int err;

    if (!b->encoder)
        return TELEX_UNSUPPORTED;
    err = encoder_embed(b->encoder, encoder_kernels_like(b->kernels), b->pool, &one, 1, out);
    if (err == -EDOM)
        return telex_fail(b->host, 0, TELEX_FATAL,
                          "model-cpu: %s: the vector is no number: the weights are damaged", b->config.path);
    return status_of(err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the class telex.model/1.
 *
 * Here the contract's words meet weights.h and session.h; no arithmetic happens in this file. A failure of
 * the device is named to the host before its status goes back, so that a job's quarantine or retry says why.
 */
#include "backend.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/option.h>
#include <telex-sdk/plugin.h>

#include "answer.h"
#include "session.h"
#include "speech.h"

enum { PROBE_SCORE = 100, MAX_DEVICES = 64 };

struct backend {
    const struct telex_host *host; /* borrowed */
    struct backend_config config;
    void *config_memory;
    struct weights *weights; /* shared with every other backend of this file on this device in the process */
    enum session_gemm gemm;
    char device[320];
};

struct backend_context {
    struct backend *backend; /* borrowed */
    struct session *session;
    struct session_row rows[MAX_ROWS];
    float *logits; /* (MAX_ROWS that ask TOPK, n_vocab); grows */
    uint32_t n_logits;
};

const struct telex_option *const backend_options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct backend_config, path), .doc = "weights, a GGUF file"),
    TELEX_OPTION(.name = "device", .type = TELEX_INT, .offset = offsetof(struct backend_config, device),
                 .initial = "0", .min = 0, .max = MAX_DEVICES,
                 .doc = "number of the GPU, as CUDA counts them"),
    TELEX_OPTION(.name = "prefill", .type = TELEX_CHOICE, .offset = offsetof(struct backend_config, prefill),
                 .initial = "exact", .choices = (const char *const[]){"exact", "cublas", NULL},
                 .doc = "how prompts are multiplied. exact: to the same bits as single tokens; cublas: in "
                        "bf16, after a "
                        "check at the start that rows do not depend on the batch"),
    TELEX_DRIVER_OPTIONS(struct backend_config, driver),
    NULL,
};

int32_t backend_probe(void) {
    char why[256];

    return rt_probe(why, sizeof(why)) ? PROBE_SCORE : 0;
}

static pthread_once_t asked_why = PTHREAD_ONCE_INIT;
static char why_not[256];

static void ask_why(void) {
    if (rt_probe(why_not, sizeof(why_not)))
        why_not[0] = '\0';
}

const char *backend_probe_why(void) {
    pthread_once(&asked_why, ask_why);
    return why_not[0] ? why_not : NULL;
}

/* cuBLAS only where a row's bits do not depend on how many others are in the batch. */
static void choose_prefill(struct backend *b) {
    struct model_fail fail = {""};
    int err;

    b->gemm = GEMM_EXACT;
    if (!b->config.prefill || strcmp(b->config.prefill, "cublas") != 0)
        return;
    err = session_try_cublas(b->weights, &fail);
    if (!err)
        b->gemm = GEMM_CUBLAS;
    else
        telex_say(b->host, TELEX_WARN, 0, "model-cuda: prompts are multiplied exactly, not by cuBLAS: %s",
                  fail.text);
}

static int open_parts(struct backend *b, struct model_fail *fail) {
    char why[256];
    int err;

    if (!rt_probe(why, sizeof(why)))
        return model_fail(fail, -ENODEV, "%s; use model-cpu, or `plugin: auto`", why);
    err = weights_open(b->config.path, (uint32_t)b->config.device, &b->weights, fail);
    if (err)
        return err;
    choose_prefill(b);
    snprintf(b->device, sizeof(b->device), "cuda:%d %.200s, prefill %s", (int)b->config.device,
             rt_device(b->weights->rt), b->gemm == GEMM_CUBLAS ? "cublas bf16" : "exact");
    return 0;
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
        return telex_fail(host, 0, TELEX_FATAL, "model-cuda: %s", fail.text);
    }
    *self = b;
    return TELEX_OK;
}

void backend_close(void *self) {
    struct backend *b = self;

    if (!b)
        return;
    weights_close(b->weights);
    free(b->config_memory);
    free(b);
}

telex_status backend_info(void *self, struct telex_model_info *out) {
    const struct backend *b = self;
    const struct weights *w = b->weights;
    const struct speech_model known = {&w->arch, w->tokenizer,     w->n_vocab, w->quant,
                                       w->title, w->chat_template, w->sha256};

    speech_info(&known,
                &(struct telex_model_info){.flags = b->gemm == GEMM_EXACT ? TELEX_MODEL_BATCH_INVARIANT : 0,
                                           .max_batch = MAX_ROWS,
                                           .weight_bytes = w->weight_bytes,
                                           .kv_bytes_per_token = session_kv_bytes_per_token(&w->arch),
                                           .device = b->device},
                out);
    return TELEX_OK;
}

int64_t backend_tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                         uint64_t capacity) {
    return speech_tokenize(((const struct backend *)self)->weights->tokenizer, text, flags, ids, capacity);
}

int64_t backend_detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity) {
    return speech_detokenize(((const struct backend *)self)->weights->tokenizer, ids, n, out, capacity);
}

/* ---- contexts ---- */

telex_status backend_context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context) {
    struct backend *b = self;
    struct backend_context *c = calloc(1, sizeof(*c));
    struct model_fail fail = {"out of memory"};

    if (!c || session_open(b->weights, n_seq, n_tokens, b->gemm, &c->session, &fail) != 0) {
        free(c);
        return telex_fail(b->host, 0, TELEX_LIMIT,
                          "model-cuda: a context of %u sequences and %u positions: %s", n_seq, n_tokens,
                          fail.text);
    }
    c->backend = b;
    *context = c;
    return TELEX_OK;
}

void backend_context_close(void *context) {
    struct backend_context *c = context;

    if (!c)
        return;
    session_close(c->session);
    free(c->logits);
    free(c);
}

void backend_cancel(void *context) {
    session_cancel(((struct backend_context *)context)->session);
}

/* What a failed decode means to whoever asked. Device memory may be free again later, numbers that are none
 * may come from a passing fault; a lost device is lost until the process begins anew. */
static telex_status status_of(const struct backend *b, int err, const struct model_fail *fail) {
    switch (err) {
    case 0:
        return TELEX_OK;
    case -ENOSPC:
        return TELEX_AGAIN;
    case -ENOMEM:
        return telex_fail(b->host, 0, TELEX_AGAIN, "model-cuda: %s", fail->text);
    case -ECANCELED:
        return TELEX_CANCELLED;
    case -EDOM:
        return telex_fail(b->host, 0, TELEX_RETRY, "model-cuda: %s", fail->text);
    case -EIO:
        return telex_fail(b->host, 0, TELEX_FATAL, "model-cuda: %s", fail->text);
    default:
        return TELEX_INVALID;
    }
}

/* What a row wants; -EINVAL when it asks for something impossible. TOPK chooses among `logits`, n_vocab of
 * our own. */
static int translate(const struct telex_row *row, uint32_t n_vocab, float *logits, struct session_row *to) {
    *to = (struct session_row){.want = WANT_NOTHING};
    if (!row || row->kind == TELEX_ROW_NONE)
        return 0;
    switch (row->kind) {
    case TELEX_ROW_SUBSET:
        to->want = WANT_SOME;
        to->n_ids = row->n;
        to->ids = row->ids;
        to->logits = row->logits;
        return row->ids && row->logits ? 0 : -EINVAL;
    case TELEX_ROW_LOGITS:
        to->want = WANT_LOGITS;
        to->logits = row->logits;
        return row->logits ? 0 : -EINVAL;
    case TELEX_ROW_TOPK:
        to->want = WANT_LOGITS;
        to->logits = logits;
        return row->ids && row->logits && row->n <= n_vocab ? 0 : -EINVAL;
    case TELEX_ROW_SAMPLE:
        to->want = WANT_DRAW;
        to->mask = row->mask;
        to->temperature = row->temperature;
        to->top_p = 1.0f;
        to->repeat_penalty = 1.0f;
        to->seed = row->seed;
        to->counter = row->counter;
        to->id = row->ids;
        return row->ids ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

static bool is_top_k(const struct telex_batch *batch, uint32_t i) {
    return batch->rows && batch->rows[i] && batch->rows[i]->kind == TELEX_ROW_TOPK;
}

/* Room for the logits of rows that ask TOPK. */
static int reserve_logits(struct backend_context *c, const struct telex_batch *batch) {
    uint32_t n = 0;
    float *more;

    for (uint32_t i = 0; i < batch->n; i++)
        n += is_top_k(batch, i);
    if (n <= c->n_logits)
        return 0;
    more = realloc(c->logits, (size_t)n * c->backend->weights->n_vocab * sizeof(float));
    if (!more)
        return -ENOMEM;
    c->logits = more;
    c->n_logits = n;
    return 0;
}

telex_status backend_decode(void *context, const struct telex_batch *batch) {
    struct backend_context *c = context;
    const uint32_t n_vocab = c->backend->weights->n_vocab;
    const struct session_batch rows = {batch->n, batch->token, batch->pos, batch->seq, c->rows};
    struct model_fail fail = {"out of memory"};
    uint32_t n_top = 0;
    int err;

    if (batch->n > MAX_ROWS)
        return TELEX_INVALID;
    err = reserve_logits(c, batch);
    for (uint32_t i = 0; i < batch->n && !err; i++) {
        float *logits = is_top_k(batch, i) ? c->logits + (size_t)n_top++ * n_vocab : NULL;

        err = translate(batch->rows ? batch->rows[i] : NULL, n_vocab, logits, &c->rows[i]);
    }
    if (!err)
        err = session_decode(c->session, &rows, &fail);
    for (uint32_t i = 0; i < batch->n && !err; i++)
        if (is_top_k(batch, i))
            answer_row(batch->rows[i], c->rows[i].logits, n_vocab);
    return status_of(c->backend, err, &fail);
}

telex_status backend_seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to) {
    struct backend_context *c = context;
    struct model_fail fail = {"out of memory"};

    if (from < 0)
        return TELEX_INVALID;
    return status_of(c->backend, session_copy(c->session, dst, src, (uint32_t)from, to), &fail);
}

telex_status backend_seq_trim(void *context, uint32_t seq, int32_t from) {
    struct backend_context *c = context;
    struct model_fail fail = {"out of memory"};

    if (from < 0)
        return TELEX_INVALID;
    return status_of(c->backend, session_trim(c->session, seq, (uint32_t)from), &fail);
}

telex_status backend_embed(void *context, const int32_t *ids, uint32_t n, float *out) {
    (void)context;
    (void)ids;
    (void)n;
    (void)out;
    return TELEX_UNSUPPORTED;
}

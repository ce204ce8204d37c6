/* SPDX-License-Identifier: Apache-2.0 */
/* zoo-model - a backend of the lower level: a token is a byte, and after each letter comes the next one of
 * the alphabet; after 'h', the end. One byte of context is all it looks at, so copies and cuts of a sequence
 * need no memory. */
#include <stdlib.h>

#include "zoo.h"

enum { BOS = 256, EOT = 257, VOCAB = 258 };

static telex_status open_it(const struct telex_host *host, struct telex_bytes options, void **self) {
    static int model;
    (void)host, (void)options;
    *self = &model;
    return TELEX_OK;
}

static telex_status info(void *self, struct telex_model_info *out) {
    (void)self;
    const struct telex_model_info full = {.size = sizeof(full),
                                          .flags = TELEX_MODEL_BATCH_INVARIANT,
                                          .n_vocab = VOCAB,
                                          .n_embd = 1,
                                          .context_tokens = 512,
                                          .max_batch = 64,
                                          .bos = BOS,
                                          .eos = EOT,
                                          .eot = EOT,
                                          .weight_bytes = 1,
                                          .kv_bytes_per_token = 1,
                                          .arch = "alphabet",
                                          .quant = "none",
                                          .device = "any",
                                          .model = "alphabet",
                                          .weights_sha256 = "",
                                          .chat = ""};
    return TELEX_HAS(out, chat) ? zoo_answer(out, &full) : TELEX_INVALID;
}

static int64_t tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                        uint64_t capacity) {
    (void)self, (void)flags;
    for (uint64_t i = 0; i < text.size && i < capacity; i++)
        ids[i] = text.data[i];
    return (int64_t)text.size;
}

static int64_t detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity) {
    int64_t size = 0;
    (void)self;
    for (uint64_t i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < BOS) {
            if ((uint64_t)size < capacity)
                out[size] = (uint8_t)ids[i];
            size++;
        }
    return size;
}

static telex_status context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context) {
    (void)self, (void)n_seq, (void)n_tokens;
    *context = malloc(1);
    return *context ? TELEX_OK : TELEX_RETRY;
}

static float logit(int32_t after, int32_t id) {
    int32_t next = after < 'a' || after >= 'z' ? 'a' : after >= 'h' ? EOT : after + 1;
    return id == next ? 8.0f : -1.0f - (float)id / VOCAB;
}

/* Is a before b: larger, or as large and of a lower id? */
static int before(int32_t after, int32_t a, int32_t b) {
    float x = logit(after, a), y = logit(after, b);
    return x > y || (x == y && a < b);
}

static void top(struct telex_row *row, int32_t after) {
    for (uint32_t n = 0; n < row->n; n++) {
        int32_t best = -1;
        for (int32_t id = 0; id < VOCAB; id++)
            if ((n == 0 || before(after, row->ids[n - 1], id)) && (best < 0 || before(after, id, best)))
                best = id;
        row->ids[n] = best;
        row->logits[n] = logit(after, best);
    }
}

static void draw(struct telex_row *row, int32_t after) {
    row->ids[0] = -1;
    for (int32_t id = 0; id < VOCAB; id++)
        if ((!row->mask || row->mask[id / 32] >> id % 32 & 1) &&
            (row->ids[0] < 0 || before(after, id, row->ids[0])))
            row->ids[0] = id;
}

static telex_status decode(void *context, const struct telex_batch *batch) {
    (void)context;
    if (!TELEX_HAS(batch, rows))
        return TELEX_INVALID;
    for (uint32_t i = 0; i < batch->n; i++) {
        struct telex_row *row = batch->rows ? batch->rows[i] : NULL;
        if (!row || row->kind == TELEX_ROW_NONE)
            continue;
        if (!TELEX_HAS(row, logits))
            return TELEX_INVALID;
        for (uint32_t k = 0; row->kind == TELEX_ROW_LOGITS && k < VOCAB; k++)
            row->logits[k] = logit(batch->token[i], (int32_t)k);
        for (uint32_t k = 0; row->kind == TELEX_ROW_SUBSET && k < row->n; k++)
            row->logits[k] = logit(batch->token[i], row->ids[k]);
        if (row->kind == TELEX_ROW_TOPK)
            top(row, batch->token[i]);
        if (row->kind == TELEX_ROW_SAMPLE)
            draw(row, batch->token[i]);
    }
    return TELEX_OK;
}

static telex_status copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to) {
    (void)context, (void)dst, (void)src, (void)from, (void)to;
    return TELEX_OK;
}

static telex_status trim(void *context, uint32_t seq, int32_t from) {
    (void)context, (void)seq, (void)from;
    return TELEX_OK;
}

static void cancel(void *context) {
    (void)context;
}

static void context_close(void *context) {
    free(context);
}

static void close_it(void *self) {
    (void)self;
}

static const struct telex_model model = {.size = sizeof(model),
                                         .name = "zoo-model",
                                         .version = "1.0.0",
                                         .doc = "a plugin of old",
                                         .open = open_it,
                                         .info = info,
                                         .tokenize = tokenize,
                                         .detokenize = detokenize,
                                         .context_open = context_open,
                                         .decode = decode,
                                         .seq_copy = copy,
                                         .seq_trim = trim,
                                         .cancel = cancel,
                                         .context_close = context_close,
                                         .close = close_it};

ZOO_PLUGIN("zoo-model", TELEX_CLASS_MODEL, model)

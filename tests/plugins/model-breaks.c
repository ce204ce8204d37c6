/* SPDX-License-Identifier: Apache-2.0 */
/* model-breaks - the toy model with one deed that breaks the rule that its option names; `telex check` must
 * find it. With rule `none` it is a good backend. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>

#include "toy.h"

enum { BATCH = 64 };

struct breaks_config {
    const char *rule, *path;
};

static const char *const rules[] = {"none",
                                    "model.open",
                                    "model.says-why",
                                    "model.info",
                                    "model.tokenize",
                                    "model.round-trip",
                                    "model.round-trip-bytes",
                                    "model.control",
                                    "model.detokenize",
                                    "model.context",
                                    "model.finite",
                                    "model.rows",
                                    "model.batch",
                                    "model.chunks",
                                    "model.copy",
                                    "model.trim",
                                    "model.bad-batch",
                                    "model.room",
                                    "model.embed",
                                    "model.cancel",
                                    "model.leak",
                                    "model.two-contexts",
                                    "life.file-left",
                                    "status.unknown",
                                    "life.crash",
                                    "life.hang",
                                    "lossy",
                                    NULL};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "rule", .type = TELEX_CHOICE, .offset = offsetof(struct breaks_config, rule),
                 .initial = "none", .choices = rules, .doc = "the rule to break"),
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct breaks_config, path), .doc = "a file that is there"),
    NULL};

static struct breaks_config config;

static bool is(const char *rule) {
    return strcmp(config.rule, rule) == 0;
}

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static telex_status open_toy(const struct telex_host *host, struct telex_bytes given, void **self) {
    static void *memory;
    struct toy_config settings = {.context = 512, .batch = BATCH, .seed = 1, .chat = "chatml"};
    free(memory);
    memory = NULL;
    if (telex_options_read(options, given, &config, &memory) < 0)
        return telex_fail(host, 0, TELEX_INVALID, "model-breaks: bad options");
    if (access(config.path, R_OK) != 0)
        return is("model.says-why")
                   ? TELEX_FATAL
                   : telex_fail(host, 0, TELEX_FATAL, "model-breaks: no file %s", config.path);
    struct toy *toy = is("model.open") ? NULL : malloc(sizeof(*toy));
    if (!toy)
        return TELEX_OK; /* and no instance */
    toy_init(toy, &settings);
    *self = toy;
    return TELEX_OK;
}

static telex_status info(void *self, struct telex_model_info *out) {
    telex_status status = toy_info(self, out);
    if (status == TELEX_OK && is("model.info"))
        out->eos = (int32_t)out->n_vocab + 5;
    if (status == TELEX_OK && is("lossy"))
        out->flags |= TELEX_MODEL_LOSSY_TEXT;
    return status;
}

static int64_t tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                        uint64_t capacity) {
    int64_t n = toy_tokenize(self, text, is("model.control") ? TELEX_TOKENIZE_CONTROL : flags, ids, capacity),
            kept = 0;
    if (is("model.tokenize") && capacity > 0 && n > (int64_t)capacity)
        ids[capacity] = 7; /* one too many */
    bool drops = is("model.round-trip") || is("model.round-trip-bytes") || is("lossy");
    if (!drops || n > (int64_t)capacity)
        return n;
    int lost = is("model.round-trip-bytes") ? 0xff : is("lossy") ? 0x01 : '\t';
    for (int64_t i = 0; i < n; i++)
        if (ids[i] != TOY_FIRST_BYTE + lost)
            ids[kept++] = ids[i];
    return kept;
}

static int64_t detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity) {
    int64_t size = toy_detokenize(self, ids, n, out, capacity);
    return size < 0 && is("model.detokenize") ? 0 : size;
}

static telex_status context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context) {
    if (is("model.context"))
        return TELEX_LIMIT;
    if (is("model.leak")) {
        char *lost = malloc(64 << 10);
        if (lost)
            memset(lost, 1, 64 << 10);
    }
    if (is("life.file-left") && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return TELEX_RETRY;
    return toy_context_open(self, n_seq, n_tokens, context);
}

static bool has_many_sequences(const struct telex_batch *batch) {
    for (uint32_t i = 1; i < batch->n; i++)
        if (batch->seq[i] != batch->seq[0])
            return true;
    return false;
}

/* What comes after an honest decode: the rows as this rule's author would have them. */
static void spoil(const struct telex_batch *batch, bool busy) {
    for (uint32_t i = 0; batch->rows && i < batch->n; i++) {
        struct telex_row *row = batch->rows[i];
        if (row && row->kind == TELEX_ROW_LOGITS &&
            ((is("model.batch") && has_many_sequences(batch)) || (is("model.two-contexts") && busy) ||
             (is("model.chunks") && !has_many_sequences(batch) && batch->n > 30)))
            row->logits[0] += 0.5f;
        if (row && row->kind == TELEX_ROW_LOGITS && is("model.finite"))
            row->logits[5] = NAN;
        if (row && row->kind == TELEX_ROW_SUBSET && is("model.rows"))
            row->logits[0] += 0.5f;
    }
}

static telex_status decode(void *context, const struct telex_batch *batch) {
    static atomic_int inside;
    static const int32_t zero[BATCH];
    struct telex_batch mended = *batch;
    for (uint32_t i = 0; i < batch->n && is("model.bad-batch"); i++)
        if (batch->token[i] < 0)
            mended.token = zero;
    bool busy = atomic_fetch_add(&inside, 1) > 0;
    if (is("model.two-contexts"))
        nap_ms(2);
    if (is("model.cancel") && batch->n == BATCH)
        nap_ms(1200); /* whatever cancel says */
    if (is("life.hang"))
        nap_ms(60000);
    if (is("life.crash"))
        raise(SIGSEGV);
    telex_status status = toy_decode(context, &mended);
    busy = busy || atomic_load(&inside) > 1;
    atomic_fetch_sub(&inside, 1);
    if (status == TELEX_OK)
        spoil(batch, busy);
    if (status == TELEX_AGAIN && is("model.room"))
        return TELEX_INVALID;
    return status == TELEX_INVALID && is("status.unknown") ? -77 : status;
}

static telex_status seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to) {
    telex_status status = toy_seq_copy(context, dst, src, from, to);
    if (status == TELEX_OK && is("model.copy") && to > from + 1)
        return toy_seq_trim(context, dst, to - 1); /* one short */
    return status;
}

static telex_status seq_trim(void *context, uint32_t seq, int32_t from) {
    return is("model.trim") && from == 1 ? toy_seq_trim(context, seq, 2) : toy_seq_trim(context, seq, from);
}

static telex_status embed(void *context, const int32_t *ids, uint32_t n, float *out) {
    return is("model.embed") ? TELEX_OK : toy_embed(context, ids, n, out);
}

static void cancel(void *context) {
    if (!is("model.cancel"))
        toy_cancel(context);
}

static const struct telex_model model = {
    .size = sizeof(model),
    .name = "model-breaks",
    .version = "0.1.0",
    .doc = "breaks a rule of the contract",
    .options = options,
    .probe = toy_probe,
    .open = open_toy,
    .info = info,
    .tokenize = tokenize,
    .detokenize = detokenize,
    .context_open = context_open,
    .decode = decode,
    .seq_copy = seq_copy,
    .seq_trim = seq_trim,
    .embed = embed,
    .cancel = cancel,
    .context_close = toy_context_close,
    .close = toy_close,
};

TELEX_MODEL_PLUGIN(model, "model-breaks", "0.1.0", "Apache-2.0", "breaks a rule of the contract")

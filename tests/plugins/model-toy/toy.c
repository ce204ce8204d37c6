/* SPDX-License-Identifier: Apache-2.0 */
/* toy.c - the toy's vocabulary and its contexts.
 *
 * A context stores, per position, the hash up to there; a row is computed from the stored hash of the
 * position before it, as attention would read a cache. Room is counted in pages of 64, as a real backend may.
 */
#include "toy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/option.h>
#include <telex-sdk/plugin.h>

#include "sample.h"

enum { PAGE = 64 };

static const char *const controls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

static const char *const pieces[] = {"{\"",        "\"}",          "\":",          "\":\"",
                                     "\",\"",      ",\"",          "\":[",         "\":[\"",
                                     "\":{\"",     "[\"",          "\"]",          "\"]}",
                                     "],\"",       "},{\"",        "}]",           "}]}",
                                     "\"},{\"",    "]}",           "[{\"",         "\":[{\"",
                                     "{}",         "[]",           "true",         "false",
                                     "null",       "false}",       "true,\"",      "00",
                                     "12",         "1987",         "0.",           ".5",
                                     "-1",         "\"The",        "\":\"A",       ".\"",
                                     ".\",\"",     "!\"}",         "a\"",          "\\\"",
                                     "\\\\",       "\\n",          "\\u",          "\\\"}",
                                     "the",        " the",         " The",         " of",
                                     " and",       " to",          " in",          " said",
                                     "in",         "ing",          "er",           "re",
                                     "on",         "an",           "at",           "st",
                                     "en",         "ed",           "es",           "or",
                                     "headline",   "dek",          "body",         "text",
                                     "name",       "title",        "question",     "answer",
                                     "cites",      "head",         "line",         "quest",
                                     "ion",        ". ",           ", ",           "  ",
                                     "    ",       "\n\n",         "\t",           "\xc3\xa9",
                                     "\xc3\xa8",   "\xe4\xb8\xad", "\xe5\x9b\xbd", "\xe4\xb8\xad\xe5\x9b\xbd",
                                     "\xe4\xb8",   "\xad\xe5",     "\xf0\x9f",     "\xf0\x9f\x98",
                                     "\x98\x80",   "\x80\"",       "\xa9 the",     "\xa9\"",
                                     "\xc3\xa9\"", "caf\xc3",      "na\xc3\xaf",   "\xe2\x80",
                                     "\x99s",      "\xe2\x80\x99", "oil",          " oil",
                                     " OPEC",      " Kuwait",      " price",       " prices",
                                     " company",   " dlrs",        " mln",         " pct",
                                     "user",       "assistant",    "system",       "a",
                                     "\x7f",       "\xc2\x85",     "\xed\xa0",     "\xf4\x90",
                                     "\xc0\xaf"};

enum { N_PIECES = sizeof(pieces) / sizeof(pieces[0]) };

const struct telex_option *const toy_options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_TEXT, .offset = offsetof(struct toy_config, path),
                 .doc = "not read: the toy has no weights"),
    TELEX_OPTION(.name = "chat", .type = TELEX_TEXT, .offset = offsetof(struct toy_config, chat),
                 .initial = "chatml", .doc = "chat template to announce"),
    TELEX_OPTION(.name = "context", .type = TELEX_INT, .offset = offsetof(struct toy_config, context),
                 .initial = "2048", .min = 16, .max = 1 << 20, .doc = "positions of one sequence"),
    TELEX_OPTION(.name = "batch", .type = TELEX_INT, .offset = offsetof(struct toy_config, batch),
                 .initial = "64", .min = 1, .max = 4096, .doc = "most rows of a batch"),
    TELEX_OPTION(.name = "delay_us", .type = TELEX_INT, .offset = offsetof(struct toy_config, delay_us),
                 .initial = "0", .min = 0, .max = 1e7, .unit = "us", .doc = "time that each row takes"),
    TELEX_OPTION(.name = "fail_after", .type = TELEX_INT, .offset = offsetof(struct toy_config, fail_after),
                 .initial = "0", .min = 0, .max = 1e9,
                 .doc = "batches until every further one fails; 0: never"),
    TELEX_OPTION(.name = "seed", .type = TELEX_INT, .offset = offsetof(struct toy_config, seed),
                 .initial = "1", .min = 0, .max = 1e9, .doc = "other weights"),
    TELEX_DRIVER_OPTIONS(struct toy_config, driver),
    NULL};

int32_t toy_probe(void) {
    return 1;
}

void toy_init(struct toy *toy, const struct toy_config *config) {
    memset(toy, 0, sizeof(*toy));
    toy->config = *config;
    toy->n_vocab = TOY_FIRST_PIECE + N_PIECES;
}

telex_status toy_open(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct toy *toy = calloc(1, sizeof(*toy));
    if (!toy)
        return TELEX_RETRY;
    struct toy_config config = {.context = 2048, .batch = 64, .seed = 1, .chat = "chatml"};
    void *memory;
    if (telex_options_read(toy_options, options, &config, &memory) < 0) {
        free(toy);
        return telex_fail(host, 0, TELEX_INVALID, "model-toy: options do not match the table");
    }
    toy_init(toy, &config);
    toy->memory = memory;
    *self = toy;
    return TELEX_OK;
}

void toy_close(void *self) {
    struct toy *toy = self;
    free(toy->memory);
    free(toy);
}

telex_status toy_info(void *self, struct telex_model_info *out) {
    struct toy *toy = self;
    if (out->size < sizeof(*out))
        return TELEX_INVALID;
    *out = (struct telex_model_info){.size = sizeof(*out),
                                     .flags = TELEX_MODEL_BATCH_INVARIANT,
                                     .n_vocab = toy->n_vocab,
                                     .n_embd = 1,
                                     .context_tokens = (uint32_t)toy->config.context,
                                     .max_batch = (uint32_t)toy->config.batch,
                                     .bos = -1,
                                     .eos = TOY_END_OF_TEXT,
                                     .eot = TOY_TURN_END,
                                     .add_bos = 0,
                                     .weight_bytes = 1,
                                     .kv_bytes_per_token = 12,
                                     .arch = "toy",
                                     .quant = "none",
                                     .device = "hash",
                                     .model = "Toy",
                                     .weights_sha256 = "",
                                     .chat = toy->config.chat};
    return TELEX_OK;
}

/* ---- tokens ---- */

static uint32_t spell(int32_t id, const char **bytes, char *one) {
    if (id < TOY_FIRST_BYTE)
        return 0;
    if (id >= TOY_FIRST_PIECE) {
        *bytes = pieces[id - TOY_FIRST_PIECE];
        return (uint32_t)strlen(*bytes);
    }
    *one = (char)(id - TOY_FIRST_BYTE);
    *bytes = one;
    return 1;
}

/* The longest piece at the start of the text; of equal ones the first. */
static int32_t longest(struct telex_bytes text, uint32_t flags, size_t *taken) {
    for (int32_t i = 0; i < 3 && (flags & TELEX_TOKENIZE_CONTROL); i++) {
        *taken = strlen(controls[i]);
        if (text.size >= *taken && memcmp(text.data, controls[i], *taken) == 0)
            return i;
    }
    int32_t best = TOY_FIRST_BYTE + text.data[0];
    *taken = 1;
    for (int32_t i = 0; i < N_PIECES; i++) {
        size_t size = strlen(pieces[i]);
        if (size > *taken && size <= text.size && memcmp(text.data, pieces[i], size) == 0) {
            best = TOY_FIRST_PIECE + i;
            *taken = size;
        }
    }
    return best;
}

int64_t toy_tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids, uint64_t capacity) {
    (void)self;
    uint64_t n = 0;
    for (size_t taken; text.size; text.data += taken, text.size -= taken, n++) {
        int32_t id = longest(text, flags, &taken);
        if (n < capacity)
            ids[n] = id;
    }
    return (int64_t)n;
}

int64_t toy_detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity) {
    struct toy *toy = self;
    uint64_t used = 0;
    for (uint64_t i = 0; i < n; i++) {
        const char *bytes;
        char one;
        if (ids[i] < 0 || (uint32_t)ids[i] >= toy->n_vocab)
            return TELEX_INVALID;
        uint32_t size = spell(ids[i], &bytes, &one);
        for (uint32_t k = 0; k < size; k++, used++)
            if (used < capacity)
                out[used] = (uint8_t)bytes[k];
    }
    return (int64_t)used;
}

/* ---- contexts ---- */

struct toy_sequence {
    uint64_t *hash; /* n */
    uint32_t n, capacity;
};

struct toy_context {
    struct toy *toy;
    uint32_t n_seq, n_tokens;
    atomic_bool cancelled;
    struct toy_sequence *seq;
};

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

uint64_t toy_hash(uint64_t hash, int32_t id) {
    return mix(hash * 0x9e3779b97f4a7c15ull + (uint64_t)(uint32_t)id + 1);
}

float toy_logit(uint64_t hash, int32_t id) {
    float logit =
        (float)(mix(hash ^ (uint64_t)(uint32_t)id * 0xd6e8feb86659fd93ull) >> 40) / (float)(1 << 21);
    if (id == TOY_TURN_END && hash % 24 == 0)
        logit += 10.0f; /* texts end now and then */
    if (id == TOY_FIRST_BYTE + '"' && hash % 16 == 1)
        logit += 10.0f;
    return logit;
}

telex_status toy_context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context) {
    struct toy_context *c = calloc(1, sizeof(*c));
    if (!c)
        return TELEX_RETRY;
    c->toy = self;
    c->n_seq = n_seq;
    c->n_tokens = n_tokens;
    c->seq = calloc(n_seq, sizeof(*c->seq));
    if (!c->seq) {
        free(c);
        return TELEX_RETRY;
    }
    *context = c;
    return TELEX_OK;
}

void toy_context_close(void *context) {
    struct toy_context *c = context;
    for (uint32_t i = 0; i < c->n_seq; i++)
        free(c->seq[i].hash);
    free(c->seq);
    free(c);
}

static uint32_t pages(uint32_t n) {
    return (n + PAGE - 1) / PAGE * PAGE;
}

static bool grow(struct toy_sequence *s, uint32_t n) {
    if (n <= s->capacity)
        return true;
    uint64_t *hash = realloc(s->hash, 2 * (size_t)n * sizeof(*hash));
    if (!hash)
        return false;
    s->hash = hash;
    s->capacity = 2 * n;
    return true;
}

static void answer(const struct toy *toy, struct telex_row *row, uint64_t hash, float *all) {
    for (uint32_t id = 0; id < toy->n_vocab; id++)
        all[id] = toy_logit(hash, (int32_t)id);
    switch (row->kind) {
    case TELEX_ROW_LOGITS:
        memcpy(row->logits, all, toy->n_vocab * sizeof(*all));
        break;
    case TELEX_ROW_SUBSET:
        for (uint32_t i = 0; i < row->n; i++)
            row->logits[i] = all[row->ids[i]];
        break;
    case TELEX_ROW_TOPK:
        for (uint32_t i = 0; i < row->n; i++) {
            int32_t best = sample_row(NULL, all, toy->n_vocab, NULL, 0.0f, 0, 0);
            row->ids[i] = best;
            row->logits[i] = all[best];
            all[best] = -1.0f;
        }
        break;
    case TELEX_ROW_SAMPLE:
        row->ids[0] =
            sample_row(NULL, all, toy->n_vocab, row->mask, row->temperature, row->seed, row->counter);
        break;
    default:
        break;
    }
}

static bool is_good_row(const struct toy *toy, const struct telex_row *row) {
    for (uint32_t i = 0; row && row->kind == TELEX_ROW_SUBSET && i < row->n; i++)
        if (row->ids[i] < 0 || (uint32_t)row->ids[i] >= toy->n_vocab)
            return false;
    return !row || row->kind != TELEX_ROW_TOPK || row->n <= toy->n_vocab;
}

/* Check the whole batch before anything changes. */
static telex_status check_batch(const struct toy_context *c, const struct telex_batch *batch) {
    uint32_t *length = calloc(c->n_seq, sizeof(*length)), total = 0;
    if (!length)
        return TELEX_RETRY;
    telex_status status = batch->n && batch->n <= c->toy->config.batch ? TELEX_OK : TELEX_INVALID;
    for (uint32_t i = 0; i < c->n_seq; i++)
        length[i] = c->seq[i].n;
    for (uint32_t i = 0; i < batch->n && status == TELEX_OK; i++) {
        bool known =
            batch->seq[i] < c->n_seq && batch->token[i] >= 0 && (uint32_t)batch->token[i] < c->toy->n_vocab;
        if (!known || batch->pos[i] != (int32_t)length[batch->seq[i]]++ ||
            batch->pos[i] >= c->toy->config.context || (batch->rows && !is_good_row(c->toy, batch->rows[i])))
            status = TELEX_INVALID;
    }
    for (uint32_t i = 0; i < c->n_seq; i++)
        total += pages(length[i]);
    free(length);
    return status == TELEX_OK && total > c->n_tokens ? TELEX_AGAIN : status;
}

static bool wait_cancelled(struct toy_context *c, uint32_t n) {
    for (int64_t left = c->toy->config.delay_us * n; left > 0; left -= 1000) {
        int64_t now = left < 1000 ? left : 1000;
        struct timespec t = {0, now * 1000};
        nanosleep(&t, NULL);
        if (atomic_exchange(&c->cancelled, false))
            return true;
    }
    return false;
}

telex_status toy_decode(void *context, const struct telex_batch *batch) {
    struct toy_context *c = context;
    telex_status status = check_batch(c, batch);
    if (status != TELEX_OK)
        return status;
    if (wait_cancelled(c, batch->n))
        return TELEX_CANCELLED;
    unsigned long long before = atomic_fetch_add(&c->toy->batches, 1);
    if (c->toy->config.fail_after && before >= (unsigned long long)c->toy->config.fail_after)
        return TELEX_FATAL;
    float *all = malloc(c->toy->n_vocab * sizeof(*all));
    if (!all)
        return TELEX_RETRY;
    for (uint32_t i = 0; i < batch->n; i++) {
        struct toy_sequence *s = &c->seq[batch->seq[i]];
        if (!grow(s, s->n + 1))
            abort(); /* a test's machine is out of memory */
        uint64_t hash = s->n ? s->hash[s->n - 1] : (uint64_t)c->toy->config.seed;
        s->hash[s->n] = toy_hash(hash, batch->token[i]);
        s->n++;
        if (batch->rows && batch->rows[i] && batch->rows[i]->kind != TELEX_ROW_NONE) {
            answer(c->toy, batch->rows[i], s->hash[s->n - 1], all);
            atomic_fetch_add(&c->toy->heads, 1);
        }
    }
    free(all);
    atomic_fetch_add(&c->toy->rows, batch->n);
    return TELEX_OK;
}

telex_status toy_seq_trim(void *context, uint32_t seq, int32_t from) {
    struct toy_context *c = context;
    if (seq >= c->n_seq || from < 0)
        return TELEX_INVALID;
    if ((uint32_t)from < c->seq[seq].n)
        c->seq[seq].n = (uint32_t)from;
    return TELEX_OK;
}

telex_status toy_seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to) {
    struct toy_context *c = context;
    if (dst >= c->n_seq || src >= c->n_seq || dst == src || from < 0)
        return TELEX_INVALID;
    struct toy_sequence *a = &c->seq[dst], *b = &c->seq[src];
    uint32_t end = to < 0 ? b->n : (uint32_t)to, begin = (uint32_t)from;
    if (end > b->n || begin > a->n || begin > end || !grow(a, end))
        return TELEX_INVALID;
    memcpy(a->hash + begin, b->hash + begin, (end - begin) * sizeof(*a->hash));
    a->n = end;
    atomic_fetch_add(&c->toy->copies, 1);
    atomic_fetch_add(&c->toy->copied, end - begin);
    return TELEX_OK;
}

telex_status toy_embed(void *context, const int32_t *ids, uint32_t n, float *out) {
    (void)context, (void)ids, (void)n, (void)out;
    return TELEX_UNSUPPORTED;
}

void toy_cancel(void *context) {
    struct toy_context *c = context;
    atomic_store(&c->cancelled, true);
}

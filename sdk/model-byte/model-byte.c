/* SPDX-License-Identifier: Apache-2.0 */
/* model-byte - a telex.model/1 in one file of plain C: a transformer over bytes. A start for your own
 * backend.
 *
 * Token 0..255 is that byte; three control tokens follow. Weights are one little-endian file: the eight bytes
 * "BYTELM1\n", four uint32 (n_embd, n_layers, n_heads, context), float32 matrices row by row, in the order
 * that n_weights() and layer_size() name. A context keeps keys and values of every position; a token is
 * computed by itself, in order: nothing depends on how a prompt was cut or on what else is in the batch. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <driver/options.h>
#include <driver/sample.h>
#include <telex-sdk/plugin.h>

enum { N_BYTES = 256, TURN_START = N_BYTES, TURN_END, TEXT_END, N_VOCAB, MAX_BATCH = 64, HEADER_BYTES = 24 };

static const char *const controls[] = {"<|im_start|>", "<|im_end|>", "<|endoftext|>"};

struct config {
    const char *path;
    struct driver_options driver; /* read by whoever opens the driver */
};

struct model {
    struct config config;
    void *memory;                                /* the config's texts; owned */
    float *weights;                              /* the file behind its header; owned */
    uint32_t n_embd, n_layers, n_heads, context; /* in the file's order */
};

struct sequence {
    float *kv; /* [room][n_layers][key, value][n_embd]; owned */
    uint32_t n;
};

struct context {
    const struct model *model;        /* borrowed */
    uint32_t n_seq, n_tokens, n_used; /* n_used: positions of all sequences together */
    struct sequence *seqs;
    uint32_t *after; /* [n_seq]: lengths that the batch at hand leads to */
    float *x, *h, *q, *up, *scores, *logits;
    atomic_bool cancelled;
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct config, path), .doc = "weights, a file of make-weights.py"),
    TELEX_DRIVER_OPTIONS(struct config, driver), NULL};

/* Floats of one layer: norm1 (n), q, k, v, out (n, n), norm2 (n), up (4n, n), down (n, 4n). */
static size_t layer_size(size_t n) {
    return 2 * n + 12 * n * n;
}

/* Of a file: table (N_VOCAB, n), layers, last norm (n), head (N_VOCAB, n). */
static size_t n_weights(const struct model *m) {
    return ((size_t)2 * N_VOCAB + 1) * m->n_embd + m->n_layers * layer_size(m->n_embd);
}

/* Floats that a context keeps for one position: key and value (n) of each layer. */
static size_t kv_size(const struct model *m) {
    return (size_t)m->n_layers * 2 * m->n_embd;
}

/* NULL, or what is wrong. */
static const char *read_weights(struct model *m, FILE *file) {
    char magic[8];
    if (fread(magic, 1, 8, file) != 8 || memcmp(magic, "BYTELM1\n", 8) != 0 ||
        fread(&m->n_embd, 4, 4, file) != 4)
        return "not a file of make-weights.py";
    if (m->n_embd - 1 > 4095 || m->n_layers - 1 > 255 || m->n_heads == 0 || m->context - 2 > 1u << 20)
        return "impossible sizes";
    if (m->n_embd % (2 * m->n_heads) != 0)
        return "heads must have an even width";
    if (fseek(file, 0, SEEK_END) != 0 || (size_t)ftell(file) != HEADER_BYTES + n_weights(m) * sizeof(float))
        return "shorter or longer than its sizes say; make it again";
    m->weights = malloc(n_weights(m) * sizeof(float));
    if (!m->weights)
        return "out of memory";
    fseek(file, HEADER_BYTES, SEEK_SET);
    return fread(m->weights, sizeof(float), n_weights(m), file) == n_weights(m) ? NULL : "cannot be read";
}

static int32_t byte_probe(void) {
    return 1; /* runs everywhere, and anything better goes first */
}

static void byte_close(void *self) {
    struct model *m = self;
    free(m->weights);
    free(m->memory);
    free(m);
}

static telex_status byte_open(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct model *m = calloc(1, sizeof(*m));
    if (!m)
        return TELEX_RETRY;
    bool good = telex_options_read(options, given, &m->config, &m->memory) >= 0;
    FILE *file = good ? fopen(m->config.path, "rb") : NULL;
    const char *wrong = file   ? read_weights(m, file)
                        : good ? strerror(errno)
                               : "not what the options describe";
    if (file)
        fclose(file);
    if (!wrong) {
        *self = m;
        return TELEX_OK;
    }
    telex_fail(host, 0, TELEX_FATAL, "model-byte: %s: %s", m->config.path ? m->config.path : "", wrong);
    byte_close(m);
    return TELEX_FATAL;
}

static telex_status byte_info(void *self, struct telex_model_info *out) {
    const struct model *m = self;
    /* clang-format off */
    struct telex_model_info info = {
        .size = sizeof(info), .flags = TELEX_MODEL_BATCH_INVARIANT | TELEX_MODEL_EMBED,
        .n_vocab = N_VOCAB, .n_embd = m->n_embd, .context_tokens = m->context, .max_batch = MAX_BATCH,
        .bos = -1, .eos = TEXT_END, .eot = TURN_END, .weight_bytes = n_weights(m) * sizeof(float),
        .kv_bytes_per_token = kv_size(m) * sizeof(float), .arch = "byte", .quant = "F32",
        .device = "plain C", .model = "Byte", .weights_sha256 = "", .chat = "chatml"};
    /* clang-format on */
    return telex_table_fill(out, &info, TELEX_UP_TO(struct telex_model_info, chat)) ? TELEX_OK
                                                                                    : TELEX_INVALID;
}

static int64_t byte_tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                             uint64_t capacity) {
    uint64_t n = 0;
    (void)self;
    for (size_t at = 0, size; at < text.size; at += size, n++) {
        int32_t id = text.data[at];
        size = 1;
        for (int i = 0; i < 3 && flags & TELEX_TOKENIZE_CONTROL; i++) {
            size_t length = strlen(controls[i]);
            if (text.size - at >= length && memcmp(text.data + at, controls[i], length) == 0)
                id = N_BYTES + i, size = length;
        }
        if (n < capacity)
            ids[n] = id;
    }
    return (int64_t)n;
}

static int64_t byte_detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity) {
    uint64_t used = 0;
    (void)self;
    for (uint64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= N_VOCAB)
            return TELEX_INVALID;
        if (ids[i] < N_BYTES && used++ < capacity)
            out[used - 1] = (uint8_t)ids[i];
    }
    return (int64_t)used;
}

static void byte_context_close(void *context) {
    struct context *c = context;
    for (uint32_t i = 0; c->seqs && i < c->n_seq; i++)
        free(c->seqs[i].kv);
    free(c->seqs);
    free(c->after);
    free(c->x);
    free(c);
}

static telex_status byte_context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context) {
    const struct model *m = self;
    struct context *c = n_seq && n_tokens ? calloc(1, sizeof(*c)) : NULL;
    size_t n = m->n_embd, room = n_tokens < m->context ? n_tokens : m->context;
    if (!c)
        return n_seq && n_tokens ? TELEX_RETRY : TELEX_INVALID;
    c->model = m, c->n_seq = n_seq, c->n_tokens = n_tokens;
    c->seqs = calloc(n_seq, sizeof(*c->seqs));
    c->after = calloc(n_seq, sizeof(*c->after));
    c->x = calloc(7 * n + m->context + N_VOCAB, sizeof(float));
    bool whole = c->seqs && c->after && c->x;
    for (uint32_t i = 0; whole && i < n_seq; i++)
        whole = (c->seqs[i].kv = calloc(room * kv_size(m), sizeof(float))) != NULL;
    if (!whole) {
        byte_context_close(c);
        return TELEX_RETRY;
    }
    c->h = c->x + n, c->q = c->h + n, c->up = c->q + n;
    c->scores = c->up + 4 * n, c->logits = c->scores + m->context;
    *context = c;
    return TELEX_OK;
}

/* y = w x, w (rows, cols); every sum here runs in one fixed order. */
static void multiply(float *y, const float *w, const float *x, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++) {
        float sum = 0;
        for (size_t i = 0; i < cols; i++)
            sum += w[r * cols + i] * x[i];
        y[r] = sum;
    }
}

static void normalise(float *y, const float *x, const float *w, size_t n) {
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / sqrtf(sum / (float)n + 1e-5f) * w[i];
}

/* Turn neighbouring pairs of each head by an angle that grows with the position. */
static void rotate(float *x, uint32_t pos, size_t n, size_t width) {
    for (size_t i = 0; i < n; i += 2) {
        float angle = (float)pos * powf(10000.0f, -(float)(i % width) / (float)width);
        float a = x[i], b = x[i + 1], c = cosf(angle), s = sinf(angle);
        x[i] = a * c - b * s, x[i + 1] = a * s + b * c;
    }
}

/* out = softmax(q k' / sqrt(width)) v over positions 0..pos, head by head. kv: this layer's, of position 0.
 */
static void attend(struct context *c, const float *kv, uint32_t pos, float *out) {
    const size_t n = c->model->n_embd, width = n / c->model->n_heads, step = kv_size(c->model);
    for (size_t at = 0; at < n; at += width) {
        float largest = -INFINITY, total = 0;
        for (uint32_t p = 0; p <= pos; p++) {
            c->scores[p] = 0;
            for (size_t i = at; i < at + width; i++)
                c->scores[p] += c->q[i] * kv[p * step + i] / sqrtf((float)width);
            largest = fmaxf(largest, c->scores[p]);
        }
        for (uint32_t p = 0; p <= pos; p++)
            total += c->scores[p] = expf(c->scores[p] - largest);
        memset(out + at, 0, width * sizeof(*out));
        for (uint32_t p = 0; p <= pos; p++)
            for (size_t i = at; i < at + width; i++)
                out[i] += c->scores[p] / total * kv[p * step + n + i];
    }
}

/* Compute position pos of a sequence from those before it; h becomes the normalised last state. */
static void forward(struct context *c, float *kv, uint32_t pos, int32_t token) {
    const struct model *m = c->model;
    size_t n = m->n_embd, width = n / m->n_heads;
    const float *w = m->weights + N_VOCAB * n;
    memcpy(c->x, m->weights + (size_t)token * n, n * sizeof(float));
    for (uint32_t i = 0; i < m->n_layers; i++, w += layer_size(n)) {
        const float *q = w + n, *k = q + n * n, *v = k + n * n, *out = v + n * n;
        const float *norm2 = out + n * n, *up = norm2 + n, *down = up + 4 * n * n;
        float *layer_kv = kv + i * 2 * n, *here = layer_kv + pos * kv_size(m);
        normalise(c->h, c->x, w, n);
        multiply(c->q, q, c->h, n, n);
        multiply(here, k, c->h, n, n);
        multiply(here + n, v, c->h, n, n);
        rotate(c->q, pos, n, width);
        rotate(here, pos, n, width);
        attend(c, layer_kv, pos, c->up);
        multiply(c->h, out, c->up, n, n);
        for (size_t j = 0; j < n; j++)
            c->x[j] += c->h[j];
        normalise(c->h, c->x, norm2, n);
        multiply(c->up, up, c->h, 4 * n, n);
        for (size_t j = 0; j < 4 * n; j++)
            c->up[j] /= 1 + expf(-c->up[j]); /* SiLU */
        multiply(c->h, down, c->up, n, 4 * n);
        for (size_t j = 0; j < n; j++)
            c->x[j] += c->h[j];
    }
    normalise(c->h, c->x, w, n);
}

static void answer(struct context *c, struct telex_row *row) {
    const struct model *m = c->model;
    multiply(c->logits, m->weights + n_weights(m) - N_VOCAB * m->n_embd, c->h, N_VOCAB, m->n_embd);
    if (row->kind == TELEX_ROW_LOGITS)
        memcpy(row->logits, c->logits, N_VOCAB * sizeof(float));
    for (uint32_t i = 0; i < row->n && row->kind == TELEX_ROW_SUBSET; i++)
        row->logits[i] = c->logits[row->ids[i]];
    if (row->kind == TELEX_ROW_SAMPLE)
        row->ids[0] =
            sample_row(NULL, c->logits, N_VOCAB, row->mask, row->temperature, row->seed, row->counter);
    for (uint32_t i = 0; i < row->n && row->kind == TELEX_ROW_TOPK; i++) { /* the largest, then without it */
        row->ids[i] = sample_row(NULL, c->logits, N_VOCAB, NULL, 0, 0, 0);
        row->logits[i] = c->logits[row->ids[i]];
        c->logits[row->ids[i]] = -INFINITY;
    }
}

static bool is_good_row(const struct telex_row *row) {
    for (uint32_t i = 0; row && row->kind == TELEX_ROW_SUBSET && i < row->n; i++)
        if (row->ids[i] < 0 || row->ids[i] >= N_VOCAB)
            return false;
    return !row || (row->kind <= TELEX_ROW_SAMPLE && (row->kind != TELEX_ROW_TOPK || row->n <= N_VOCAB));
}

/* Look at the whole batch before anything changes. */
static telex_status check_batch(struct context *c, const struct telex_batch *b) {
    if (b->n == 0 || b->n > MAX_BATCH)
        return TELEX_INVALID;
    for (uint32_t i = 0; i < c->n_seq; i++)
        c->after[i] = c->seqs[i].n;
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->token[i] < 0 || b->token[i] >= N_VOCAB || b->seq[i] >= c->n_seq || b->pos[i] < 0 ||
            (uint32_t)b->pos[i] != c->after[b->seq[i]]++ || (uint32_t)b->pos[i] >= c->model->context ||
            (b->rows && !is_good_row(b->rows[i])))
            return TELEX_INVALID;
    }
    return b->n <= c->n_tokens - c->n_used ? TELEX_OK : TELEX_AGAIN;
}

static telex_status byte_decode(void *context, const struct telex_batch *b) {
    struct context *c = context;
    telex_status status = check_batch(c, b);
    atomic_store(&c->cancelled, false);
    for (uint32_t i = 0; i < b->n && status == TELEX_OK; i++) {
        struct telex_row *row = b->rows ? b->rows[i] : NULL;
        forward(c, c->seqs[b->seq[i]].kv, (uint32_t)b->pos[i], b->token[i]);
        if (row && row->kind != TELEX_ROW_NONE)
            answer(c, row);
        if (atomic_load(&c->cancelled))
            return TELEX_CANCELLED; /* lengths are as they were: what was computed is forgotten */
    }
    for (uint32_t i = 0; i < c->n_seq && status == TELEX_OK; i++)
        c->seqs[i].n = c->after[i];
    c->n_used += status == TELEX_OK ? b->n : 0;
    return status;
}

static telex_status byte_seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to) {
    struct context *c = context;
    if (dst >= c->n_seq || src >= c->n_seq || dst == src || from < 0)
        return TELEX_INVALID;
    struct sequence *a = &c->seqs[dst], *b = &c->seqs[src];
    uint32_t begin = (uint32_t)from, end = to < 0 ? b->n : (uint32_t)to;
    if (begin > a->n || end > b->n || begin > end)
        return TELEX_INVALID;
    if (c->n_used - a->n + end > c->n_tokens)
        return TELEX_AGAIN;
    size_t step = kv_size(c->model);
    memcpy(a->kv + begin * step, b->kv + begin * step, (end - begin) * step * sizeof(float));
    c->n_used += end - a->n;
    a->n = end;
    return TELEX_OK;
}

static telex_status byte_seq_trim(void *context, uint32_t seq, int32_t from) {
    struct context *c = context;
    if (seq >= c->n_seq || from < 0)
        return TELEX_INVALID;
    struct sequence *s = &c->seqs[seq];
    uint32_t n = (uint32_t)from < s->n ? (uint32_t)from : s->n;
    c->n_used -= s->n - n;
    s->n = n;
    return TELEX_OK;
}

/* Over a sequence of its own; the others stay as they are. */
static telex_status byte_embed(void *context, const int32_t *ids, uint32_t n, float *out) {
    struct context *c = context;
    const struct model *m = c->model;
    double squares = 0;
    bool good = n > 0 && n <= m->context;
    for (uint32_t i = 0; good && i < n; i++)
        good = ids[i] >= 0 && ids[i] < N_VOCAB;
    float *kv = good ? malloc(n * kv_size(m) * sizeof(float)) : NULL;
    if (!kv)
        return good ? TELEX_AGAIN : TELEX_INVALID;
    memset(out, 0, m->n_embd * sizeof(*out));
    for (uint32_t i = 0; i < n; i++) {
        forward(c, kv, i, ids[i]);
        for (uint32_t j = 0; j < m->n_embd; j++)
            out[j] += c->h[j];
    }
    free(kv);
    for (uint32_t j = 0; j < m->n_embd; j++)
        squares += out[j] * out[j];
    for (uint32_t j = 0; j < m->n_embd; j++)
        out[j] = (float)(out[j] / sqrt(squares)); /* the mean points where the sum does */
    return TELEX_OK;
}

static void byte_cancel(void *context) {
    struct context *c = context;
    atomic_store(&c->cancelled, true);
}

/* clang-format off */
static const struct telex_model model = {
    .size = sizeof(model), .name = "model-byte", .version = "0.1.0",
    .doc = "a transformer over bytes in plain C: a start for a backend", .options = options,
    .probe = byte_probe, .open = byte_open, .info = byte_info, .tokenize = byte_tokenize,
    .detokenize = byte_detokenize, .context_open = byte_context_open, .decode = byte_decode,
    .seq_copy = byte_seq_copy, .seq_trim = byte_seq_trim, .embed = byte_embed, .cancel = byte_cancel,
    .context_close = byte_context_close, .close = byte_close};
/* clang-format on */

TELEX_MODEL_PLUGIN(model, "model-byte", "0.1.0", "Apache-2.0", "a transformer over bytes in plain C")

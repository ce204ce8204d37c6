/* SPDX-License-Identifier: Apache-2.0 */
/* wordpiece.c - words of normalised text into the longest tokens that the vocabulary has, from left to right.
 * A token that goes on within a word is written with ## before it. */
#include "wordpiece.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bert_text.h"

enum {
    MAX_FILE_BYTES = 64 << 20,
    MAX_TOKENS = 1 << 22,
    MAX_TOKEN_BYTES = 512,
    MAX_WORD = 100, /* characters; a longer word is unknown, in the reference too */
    MARK = 2,       /* bytes of ## */
};

/* ---- the vocabulary ---- */

static int read_file(const char *path, char **bytes, size_t *n, struct model_fail *fail) {
    struct stat st;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

    if (fd < 0 || fstat(fd, &st) != 0)
        err = model_fail(fail, -errno, "%s: cannot open the vocabulary: %s; it lies beside the weights", path,
                         strerror(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > MAX_FILE_BYTES)
        err =
            model_fail(fail, -EINVAL,
                       "%s: not a vocabulary: a file of 1 byte to 64 MiB, one token a line, is wanted", path);
    else if (!(*bytes = malloc((size_t)st.st_size)))
        err = model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", path);
    for (*n = 0; !err && got > 0 && *n<(size_t)st.st_size; *n += got> 0 ? (size_t)got : 0)
        got = read(fd, *bytes + *n, (size_t)st.st_size - *n);
    if (!err && got < 0)
        err = model_fail(fail, -EIO, "%s: cannot read: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

/* The line at p, without its end. */
static struct gguf_text line_at(const char *p, const char *end) {
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    size_t n = (size_t)((stop ? stop : end) - p);

    return (struct gguf_text){p, n > 0 && p[n - 1] == '\r' ? n - 1 : n};
}

static int fill(struct wordpiece *w, const char *path, size_t n_bytes, struct model_fail *fail) {
    const char *end = w->bytes + n_bytes, *p = w->bytes;

    for (uint32_t i = 0; i < w->n_tokens; i++) {
        const struct gguf_text token = line_at(p, end);
        const char *stop = memchr(p, '\n', (size_t)(end - p));

        if (token.n == 0 || token.n > MAX_TOKEN_BYTES)
            return model_fail(fail, -EINVAL,
                              "%s: line %u has %zu bytes; a token has 1 to %d; get the model again", path,
                              i + 1, token.n, MAX_TOKEN_BYTES);
        if (texthash_put(&w->ids, token, i) != 0)
            return model_fail(fail, -EINVAL,
                              "%s: line %u: \"%.*s\" is in the vocabulary twice; get the model again", path,
                              i + 1, (int)token.n, token.p);
        w->tokens[i] = token;
        w->longest = token.n > w->longest ? (uint32_t)token.n : w->longest;
        p = stop ? stop + 1 : end;
    }
    return 0;
}

static int find_control(struct wordpiece *w, const char *path, struct model_fail *fail) {
    const struct {
        const char *name;
        int32_t *id;
        bool optional;
    } all[] = {{"[UNK]", &w->unknown, false},
               {"[CLS]", &w->first, false},
               {"[SEP]", &w->last, false},
               {"[PAD]", &w->padding, true},
               {"[MASK]", &w->mask, true}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *all[i].id = texthash_get(&w->ids, (struct gguf_text){all[i].name, strlen(all[i].name)});
        if (*all[i].id < 0 && !all[i].optional)
            return model_fail(fail, -EINVAL, "%s: no token %s: this is no vocabulary of a BERT model", path,
                              all[i].name);
    }
    return 0;
}

int wordpiece_open(const char *path, struct wordpiece *w, struct model_fail *fail) {
    size_t n_bytes;
    int err = read_file(path, &w->bytes, &n_bytes, fail);

    if (err)
        return err;
    for (size_t i = 0; i < n_bytes; i++)
        w->n_tokens += w->bytes[i] == '\n' || i + 1 == n_bytes;
    if (w->n_tokens > MAX_TOKENS)
        return model_fail(fail, -EINVAL, "%s: %u tokens; %d are the most", path, w->n_tokens, MAX_TOKENS);
    w->tokens = calloc(w->n_tokens, sizeof(*w->tokens));
    if (!w->tokens || texthash_init(&w->ids, w->n_tokens) != 0)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", path);
    err = fill(w, path, n_bytes, fail);
    return err ? err : find_control(w, path, fail);
}

void wordpiece_close(struct wordpiece *w) {
    texthash_finish(&w->ids);
    free(w->tokens);
    free(w->bytes);
    memset(w, 0, sizeof(*w));
}

bool wordpiece_is_control(const struct wordpiece *w, int32_t id) {
    return id == w->first || id == w->last || id == w->unknown ||
           (id >= 0 && (id == w->padding || id == w->mask));
}

/* ---- text to ids ---- */

/* A word as it grows. */
struct word {
    char bytes[MARK + 4 * (MAX_WORD + 1)]; /* behind room for a mark */
    uint32_t n;                            /* bytes */
    uint32_t n_chars;
};

static uint32_t put_utf8(uint32_t code, char *out) {
    const uint32_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    if (n == 1)
        out[0] = (char)code;
    for (uint32_t i = n; n > 1 && i > 0; i--, code >>= 6)
        out[i - 1] = (char)(i > 1 ? 0x80 | (code & 0x3f) : (0xf00u >> n & 0xff) | code);
    return n;
}

static int put_id(struct token_list *out, int32_t id) {
    if (out->n == out->capacity) {
        const size_t capacity = out->capacity ? 2 * out->capacity : 64;
        int32_t *ids = realloc(out->ids, capacity * sizeof(*ids));

        if (!ids)
            return -ENOMEM;
        out->ids = ids;
        out->capacity = capacity;
    }
    out->ids[out->n++] = id;
    return 0;
}

/* The longest token at byte `at` of the word, -1: none. *n is then its bytes there. What lies before `at` has
 * been matched and gives its room to the mark. */
static int32_t longest_at(const struct wordpiece *w, struct word *word, uint32_t at, uint32_t *n) {
    char *p = word->bytes + MARK + at;
    const uint32_t mark = at > 0 ? MARK : 0, left = word->n - at;

    if (mark)
        memcpy(p - MARK, "##", MARK);
    for (*n = left + mark < w->longest ? left : w->longest > mark ? w->longest - mark : 0; *n > 0; --*n) {
        const bool whole = *n == left || ((unsigned char)p[*n] & 0xc0) != 0x80;
        const int32_t id = whole ? texthash_get(&w->ids, (struct gguf_text){p - mark, *n + mark}) : -1;

        if (id >= 0)
            return id;
    }
    return -1;
}

/* Append a word's tokens, and begin another. A word that does not come out even is one unknown token. */
static int end_word(const struct wordpiece *w, struct word *word, struct token_list *out) {
    const size_t before = out->n;
    int err = 0;

    for (uint32_t at = 0, n; at < word->n && !err; at += n) {
        const int32_t id = word->n_chars > MAX_WORD ? -1 : longest_at(w, word, at, &n);

        if (id < 0) {
            out->n = before;
            err = put_id(out, w->unknown);
            break;
        }
        err = put_id(out, id);
    }
    word->n = word->n_chars = 0;
    return err;
}

static int add_char(const struct wordpiece *w, uint32_t code, enum bert_kind kind, struct word *word,
                    struct token_list *out) {
    int err = kind == BERT_LETTER ? 0 : end_word(w, word, out);

    if (err || kind == BERT_SPACE)
        return err;
    if (word->n_chars++ < MAX_WORD)
        word->n += put_utf8(code, word->bytes + MARK + word->n);
    return kind == BERT_ALONE ? end_word(w, word, out) : 0;
}

/* The control token that is written at p, or -1. */
static int32_t control_at(const struct wordpiece *w, const uint8_t *p, const uint8_t *end, size_t *n) {
    const int32_t all[] = {w->unknown, w->first, w->last, w->padding, w->mask};

    for (size_t i = 0; *p == '[' && i < sizeof(all) / sizeof(all[0]); i++) {
        const struct gguf_text token = all[i] >= 0 ? w->tokens[all[i]] : (struct gguf_text){"", 0};

        *n = token.n;
        if (token.n > 0 && token.n <= (size_t)(end - p) && memcmp(token.p, p, token.n) == 0)
            return all[i];
    }
    return -1;
}

static int encode(const struct wordpiece *w, const uint8_t *p, const uint8_t *end, unsigned flags,
                  struct token_list *out) {
    struct word word = {.n = 0};
    int err = 0;

    while (p < end && !err) {
        uint32_t code, made[BERT_MOST], n;
        enum bert_kind kind[BERT_MOST];
        size_t used;
        const int32_t control = flags & TOKENIZER_CONTROL ? control_at(w, p, end, &used) : -1;

        if (control >= 0) {
            err = end_word(w, &word, out);
            if (!err)
                err = put_id(out, control);
            p += used;
            continue;
        }
        used = unicode_decode(p, end, &code);
        n = code == UNICODE_INVALID ? 0 : bert_map(code, made, kind);
        for (uint32_t i = 0; i < n && !err; i++)
            err = add_char(w, made[i], kind[i], &word, out);
        p += used;
    }
    return err ? err : end_word(w, &word, out);
}

int wordpiece_encode(const struct wordpiece *w, const char *text, size_t n, unsigned flags,
                     struct token_list *out) {
    const uint8_t *p = (const uint8_t *)text;
    const size_t before = out->n;
    int err = encode(w, p, p + n, flags, out);

    if (err)
        out->n = before;
    return err;
}

/* ---- ids to text ---- */

int64_t wordpiece_decode(const struct wordpiece *w, const int32_t *ids, uint64_t n, char *out,
                         uint64_t capacity) {
    uint64_t used = 0;

    for (uint64_t i = 0; i < n; i++) {
        struct gguf_text token;

        if (ids[i] < 0 || (uint32_t)ids[i] >= w->n_tokens)
            return -EINVAL;
        if (wordpiece_is_control(w, ids[i]))
            continue;
        token = w->tokens[ids[i]];
        if (token.n > MARK && memcmp(token.p, "##", MARK) == 0) {
            token.p += MARK;
            token.n -= MARK;
        } else if (used > 0) {
            if (used < capacity)
                out[used] = ' ';
            used++;
        }
        if (used < capacity)
            memcpy(out + used, token.p, token.n < capacity - used ? token.n : capacity - used);
        used += token.n;
    }
    return (int64_t)used;
}

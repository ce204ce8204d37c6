/* SPDX-License-Identifier: Apache-2.0 */
/* vocab.c - the tokens of a file as plain bytes, and how they are found.
 *
 * Byte-level BPE writes each byte as a printable character (GPT-2's table); SPM writes spaces as U+2581 and
 * single bytes as <0xNN>. Here all are the bytes that they stand for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer-impl.h"
#include "unicode.h"

enum { N_BYTES = 256 };

/* ---- from the file's spelling to bytes ---- */

/* GPT-2's table: printable Latin-1 stands for itself, the other bytes are moved to U+0100 and up. */
static bool stands_for_itself(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

static void fill_byte_chars(uint16_t chars[N_BYTES]) {
    uint16_t next = 0x100;

    for (unsigned b = 0; b < N_BYTES; b++)
        chars[b] = stands_for_itself(b) ? (uint16_t)b : next++;
}

/* Undo the table. Returns the bytes written, at most text.n; characters outside the table pass as they are.
 */
static size_t bpe_bytes(struct gguf_text text, const uint16_t chars[N_BYTES], uint8_t *out) {
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
    size_t n = 0;

    while (p < end) {
        uint32_t code;
        size_t used = unicode_decode(p, end, &code);
        unsigned b = code < 0x100 && stands_for_itself(code) ? code : 0;

        if (!b && code >= 0x100 && code < 0x200)
            for (b = 0; b < N_BYTES && chars[b] != code; b++)
                ;
        if (code < 0x200 && b < N_BYTES && chars[b] == code) {
            out[n++] = (uint8_t)b;
        } else {
            memcpy(out + n, p, used);
            n += used;
        }
        p += used;
    }
    return n;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that "<0xNN>" names, or -1. */
static int byte_named(struct gguf_text text) {
    if (text.n != 6 || memcmp(text.p, "<0x", 3) != 0 || text.p[5] != '>' || hex_digit(text.p[3]) < 0 ||
        hex_digit(text.p[4]) < 0)
        return -1;
    return hex_digit(text.p[3]) * 16 + hex_digit(text.p[4]);
}

static size_t spm_bytes(struct gguf_text text, uint8_t kind, uint8_t *out) {
    const char *p = text.p, *end = p + text.n;
    size_t n = 0;

    if (kind == KIND_BYTE && byte_named(text) >= 0) {
        *out = (uint8_t)byte_named(text);
        return 1;
    }
    while (p < end) {
        const bool is_space = end - p >= 3 && memcmp(p, "\xe2\x96\x81", 3) == 0;

        out[n++] = is_space ? ' ' : (uint8_t)*p;
        p += is_space ? 3 : 1;
    }
    return n;
}

static void find_byte_tokens(struct tokenizer *tok, const struct texthash *names) {
    uint16_t chars[N_BYTES];
    char utf8[2];

    fill_byte_chars(chars);
    for (unsigned b = 0; b < N_BYTES; b++) {
        size_t n = 1;

        utf8[0] = (char)chars[b];
        if (chars[b] >= 0x80) {
            utf8[0] = (char)(0xc0 | chars[b] >> 6);
            utf8[1] = (char)(0x80 | (chars[b] & 0x3f));
            n = 2;
        }
        tok->byte_ids[b] = texthash_get(names, (struct gguf_text){utf8, n});
    }
}

/* ---- special tokens ---- */

struct special {
    const uint8_t *bytes;
    size_t n;
    int32_t id;
};

static int order_specials(const void *a, const void *b) {
    const struct special *x = a, *y = b;

    if (x->bytes[0] != y->bytes[0])
        return x->bytes[0] < y->bytes[0] ? -1 : 1;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : (x->id > y->id) - (x->id < y->id);
}

/* Collect the tokens whose kind is in `kinds`, a set of bits. */
static int specials_init(const struct tokenizer *tok, unsigned kinds, struct specials *out) {
    struct special *all = calloc(tok->n_tokens, sizeof(*all));
    uint32_t n = 0;

    for (uint32_t i = 0; all && i < tok->n_tokens; i++)
        if ((kinds >> tok->kinds[i] & 1) && tok->starts[i + 1] > tok->starts[i])
            all[n++] = (struct special){tok->bytes + tok->starts[i], tok->starts[i + 1] - tok->starts[i],
                                        (int32_t)i};
    out->ids = calloc(n + 1, sizeof(*out->ids));
    if (!all || !out->ids) {
        free(all);
        return -ENOMEM;
    }
    qsort(all, n, sizeof(*all), order_specials);
    for (uint32_t i = 0; i < n; i++) {
        out->ids[i] = all[i].id;
        out->starts[all[i].bytes[0] + 1]++;
    }
    for (unsigned b = 0; b < N_BYTES; b++)
        out->starts[b + 1] += out->starts[b];
    free(all);
    return 0;
}

int32_t specials_find(const struct tokenizer *tok, const struct specials *specials, const uint8_t *p,
                      const uint8_t *end) {
    for (uint32_t i = specials->starts[*p]; i < specials->starts[*p + 1]; i++) {
        const int32_t id = specials->ids[i];
        const size_t n = tok->starts[id + 1] - tok->starts[id];

        if (n <= (size_t)(end - p) && memcmp(tok->bytes + tok->starts[id], p, n) == 0)
            return id;
    }
    return -1;
}

/* ---- normal tokens by their bytes ---- */

static uint64_t hash_bytes(const uint8_t *p, size_t n) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 29;
}

static size_t piece_place(const struct tokenizer *tok, const uint8_t *bytes, size_t n) {
    size_t i = hash_bytes(bytes, n) & tok->pieces.mask;

    for (; tok->pieces.ids[i] >= 0; i = (i + 1) & tok->pieces.mask) {
        const uint32_t *start = &tok->starts[tok->pieces.ids[i]];

        if (start[1] - start[0] == n && memcmp(tok->bytes + start[0], bytes, n) == 0)
            break;
    }
    return i;
}

int32_t pieces_find(const struct tokenizer *tok, const uint8_t *bytes, size_t n) {
    return tok->pieces.ids[piece_place(tok, bytes, n)];
}

int pieces_init(struct tokenizer *tok) {
    size_t places = 16;

    while (places < 2 * (size_t)tok->n_tokens)
        places *= 2;
    tok->pieces.ids = malloc(places * sizeof(*tok->pieces.ids));
    if (!tok->pieces.ids)
        return -ENOMEM;
    memset(tok->pieces.ids, 0xff, places * sizeof(*tok->pieces.ids));
    tok->pieces.mask = places - 1;
    for (uint32_t i = 0; i < tok->n_tokens; i++) {
        const uint8_t *bytes = tok->bytes + tok->starts[i];
        const size_t n = tok->starts[i + 1] - tok->starts[i], place = piece_place(tok, bytes, n);

        if (tok->kinds[i] != KIND_NORMAL || n == 0 || tok->pieces.ids[place] >= 0)
            continue; /* of two that stand for the same bytes the first one counts */
        tok->pieces.ids[place] = (int32_t)i;
        tok->pieces.longest = n > tok->pieces.longest ? n : tok->pieces.longest;
    }
    return 0;
}

/* ---- loading ---- */

static int load_kinds(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, "tokenizer.ggml.token_type");

    if (!v || !v->is_array || v->type == GGUF_STRING || v->count != tok->n_tokens)
        return model_fail(fail, -EINVAL,
                          "%s: tokenizer.ggml.token_type does not have one entry for each of %u tokens; "
                          "convert the model again",
                          file->path, tok->n_tokens);
    for (uint32_t i = 0; i < tok->n_tokens; i++) {
        int64_t kind = gguf_array_int(v, i);

        tok->kinds[i] = kind >= KIND_NORMAL && kind <= KIND_BYTE ? (uint8_t)kind : KIND_UNUSED;
    }
    return 0;
}

static int load_texts(const struct gguf *file, struct tokenizer *tok, const struct gguf_value *v,
                      struct texthash *names, struct model_fail *fail) {
    uint16_t chars[N_BYTES];
    const uint8_t *at = v->at;

    fill_byte_chars(chars);
    tok->starts[0] = 0;
    for (uint32_t i = 0; i < tok->n_tokens; i++) {
        struct gguf_text text = gguf_next_text(&at);
        uint8_t *out = tok->bytes + tok->starts[i];
        size_t n;

        if (text.n > TOKENIZER_LONGEST)
            return model_fail(fail, -EINVAL, "%s: token %u is %zu bytes long; convert the model again",
                              file->path, i, text.n);
        if (texthash_put(names, text, i) != 0)
            return model_fail(fail, -EINVAL,
                              "%s: token %u \"%.*s\" is in the vocabulary twice; convert the model again",
                              file->path, i, (int)text.n, text.p);
        n = tok->is_spm ? spm_bytes(text, tok->kinds[i], out) : bpe_bytes(text, chars, out);
        tok->starts[i + 1] = tok->starts[i] + (uint32_t)n;
        if (tok->is_spm && tok->kinds[i] == KIND_BYTE && n == 1)
            tok->byte_ids[*out] = (int32_t)i;
    }
    return 0;
}

int vocab_load(const struct gguf *file, struct tokenizer *tok, struct texthash *names,
               struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, "tokenizer.ggml.tokens");
    int err;

    if (!v || !v->is_array || v->type != GGUF_STRING || v->count == 0 || v->count > TOKENIZER_MAX_TOKENS)
        return model_fail(
            fail, -EINVAL,
            "%s: tokenizer.ggml.tokens is missing, empty or not a list of texts; convert the model again",
            file->path);
    tok->n_tokens = (uint32_t)v->count;
    tok->kinds = malloc(tok->n_tokens);
    tok->starts = malloc((tok->n_tokens + 1) * sizeof(*tok->starts));
    tok->bytes = malloc((size_t)(v->end - v->at) + 1);
    if (!tok->kinds || !tok->starts || !tok->bytes || texthash_init(names, tok->n_tokens) != 0)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", file->path);
    memset(tok->byte_ids, 0xff, sizeof(tok->byte_ids));
    err = load_kinds(file, tok, fail);
    if (!err)
        err = load_texts(file, tok, v, names, fail);
    if (err)
        return err;
    if (!tok->is_spm)
        find_byte_tokens(tok, names);
    if (specials_init(tok, 1u << KIND_CONTROL | 1u << KIND_USER | 1u << KIND_UNKNOWN, &tok->control) != 0 ||
        specials_init(tok, tok->is_spm ? 1u << KIND_USER : 0, &tok->user) != 0)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", file->path);
    return 0;
}

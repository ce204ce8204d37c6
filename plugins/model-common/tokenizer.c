/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.c - byte-level BPE.
 *
 * The file writes each byte as a printable character (GPT-2's table); here tokens are their plain bytes.
 * A merge is a pair of ids with a rank and the id it makes; within a word the lowest rank merges first, the
 * leftmost among equals. A merge never makes a control token: such a file is refused. */
#include "tokenizer.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pretoken.h"
#include "texthash.h"
#include "tokenizer-impl.h"
#include "unicode.h"

enum { N_BYTES = 256, MAX_TOKENS = 1 << 22, LONGEST_TOKEN = 1 << 16 };

/* The kinds of token in the file. */
enum { KIND_NORMAL = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER, KIND_UNUSED, KIND_BYTE };

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
static size_t plain_bytes(struct gguf_text text, const uint16_t chars[N_BYTES], uint8_t *out) {
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

static int order_specials(const void *a, const void *b) {
    const struct tokenizer_special *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n ? 1 : -1) : (x->id > y->id) - (x->id < y->id);
}

/* Control and user-defined tokens, longest first, with a table of the bytes that one may begin with. */
static int collect_specials(struct tokenizer *tok) {
    size_t n = 0;

    for (uint32_t i = 0; i < tok->n_tokens; i++)
        n += tok->kinds[i] == KIND_CONTROL || tok->kinds[i] == KIND_USER;
    tok->specials = calloc(n + 1, sizeof(*tok->specials));
    if (!tok->specials)
        return -ENOMEM;
    for (uint32_t i = 0; i < tok->n_tokens; i++) {
        const char *bytes;
        size_t len;

        if (tok->kinds[i] != KIND_CONTROL && tok->kinds[i] != KIND_USER)
            continue;
        len = tokenizer_piece(tok, (int32_t)i, &bytes);
        if (len == 0)
            continue;
        tok->specials[tok->n_specials++] = (struct tokenizer_special){bytes, len, (int32_t)i};
        tok->begins_special[(uint8_t)bytes[0]] = true;
    }
    qsort(tok->specials, tok->n_specials, sizeof(*tok->specials), order_specials);
    return 0;
}

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

/* Copy the vocabulary; `names` maps the file's spelling of a token to its id. */
static int load_tokens(const struct gguf *file, struct tokenizer *tok, struct texthash *names,
                       struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, "tokenizer.ggml.tokens");
    uint16_t chars[N_BYTES];
    const uint8_t *at;
    int err;

    if (!v || !v->is_array || v->type != GGUF_STRING || v->count == 0 || v->count > MAX_TOKENS)
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
    err = load_kinds(file, tok, fail);
    if (err)
        return err;
    fill_byte_chars(chars);
    at = v->at;
    tok->starts[0] = 0;
    for (uint32_t i = 0; i < tok->n_tokens; i++) {
        struct gguf_text text = gguf_next_text(&at);
        uint8_t *out = tok->bytes + tok->starts[i];

        if (text.n > LONGEST_TOKEN)
            return model_fail(fail, -EINVAL, "%s: token %u is %zu bytes long; convert the model again",
                              file->path, i, text.n);
        if (texthash_put(names, text, i) != 0)
            return model_fail(fail, -EINVAL,
                              "%s: token %u \"%.*s\" is in the vocabulary twice; convert the model again",
                              file->path, i, (int)text.n, text.p);
        tok->starts[i + 1] = tok->starts[i] + (uint32_t)plain_bytes(text, chars, out);
    }
    return collect_specials(tok)
               ? model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", file->path)
               : 0;
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

/* "left right" -> ids. The right part begins behind the first space that is not the text's first byte. */
static int parse_merge(const struct texthash *names, struct gguf_text text, char *joined, int32_t ids[3]) {
    const char *space = text.n > 2 && text.n <= LONGEST_TOKEN ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
    size_t left;

    if (!space)
        return -EINVAL;
    left = (size_t)(space - text.p);
    memcpy(joined, text.p, left);
    memcpy(joined + left, space + 1, text.n - left - 1);
    ids[0] = texthash_get(names, (struct gguf_text){text.p, left});
    ids[1] = texthash_get(names, (struct gguf_text){space + 1, text.n - left - 1});
    ids[2] = texthash_get(names, (struct gguf_text){joined, text.n - 1});
    return ids[0] < 0 || ids[1] < 0 || ids[2] < 0 ? -EINVAL : 0;
}

static int load_merges(const struct gguf *file, struct tokenizer *tok, const struct texthash *names,
                       struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, "tokenizer.ggml.merges");
    static const char *const wants = "convert the model again";
    char *joined;
    const uint8_t *at;
    int err = 0;

    if (!v || !v->is_array || v->type != GGUF_STRING || v->count > MAX_TOKENS)
        return model_fail(fail, -EINVAL, "%s: tokenizer.ggml.merges is missing or not a list of texts; %s",
                          file->path, wants);
    joined = malloc(LONGEST_TOKEN + 1);
    if (!joined || merges_init(&tok->merges, v->count) != 0) {
        free(joined);
        return model_fail(fail, -ENOMEM, "%s: out of memory for the merges", file->path);
    }
    at = v->at;
    for (uint32_t rank = 0; rank < v->count && !err; rank++) {
        struct gguf_text text = gguf_next_text(&at);
        int32_t ids[3];

        if (parse_merge(names, text, joined, ids) != 0)
            err = model_fail(fail, -EINVAL, "%s: merge %u \"%.*s\" is not two tokens that make a third; %s",
                             file->path, rank, (int)(text.n < 100 ? text.n : 100), text.p, wants);
        else if (tok->kinds[ids[2]] == KIND_CONTROL || tok->kinds[ids[2]] == KIND_USER)
            err =
                model_fail(fail, -EINVAL,
                           "%s: merge %u makes the control token %d out of plain text; do not use this file",
                           file->path, rank, ids[2]);
        else
            merges_put(&tok->merges, ids[0], ids[1], rank, ids[2]);
    }
    free(joined);
    return err;
}

/* An id in the metadata: -1 when absent, an error when outside the vocabulary. */
static int load_id(const struct gguf *file, const struct tokenizer *tok, const char *key, int32_t *id,
                   struct model_fail *fail) {
    uint32_t n = UINT32_MAX;
    int err = gguf_u32(file, key, UINT32_MAX, &n, fail);

    if (!err && n != UINT32_MAX && n >= tok->n_tokens)
        err = model_fail(fail, -EINVAL,
                         "%s: %s is %u, outside the vocabulary of %u tokens; convert the model again",
                         file->path, key, n, tok->n_tokens);
    *id = n == UINT32_MAX ? -1 : (int32_t)n;
    return err;
}

static int load_parts(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    struct texthash names = {0};
    struct gguf_text model, pre = {"", 0};
    int err = gguf_text_required(file, "tokenizer.ggml.model", &model, fail);

    if (!err && !gguf_text_is(model, "gpt2"))
        return model_fail(fail, -ENOTSUP,
                          "%s: the tokenizer model %.*s is not known; this build reads gpt2 (byte-level BPE)",
                          file->path, (int)model.n, model.p);
    if (!err)
        err = gguf_text_required(file, "tokenizer.ggml.pre", &pre, fail);
    if (err)
        return err;
    tok->pre = pretoken_find(pre);
    if (!tok->pre)
        return model_fail(fail, -ENOTSUP, "%s: the pre-tokenizer %.*s is not known; this build knows %s",
                          file->path, (int)pre.n, pre.p, pretoken_list());
    err = load_tokens(file, tok, &names, fail);
    if (!err) {
        find_byte_tokens(tok, &names);
        err = load_merges(file, tok, &names, fail);
    }
    texthash_finish(&names);
    if (!err)
        err = load_id(file, tok, "tokenizer.ggml.bos_token_id", &tok->bos, fail);
    if (!err)
        err = load_id(file, tok, "tokenizer.ggml.eos_token_id", &tok->eos, fail);
    if (!err)
        err = gguf_bool(file, "tokenizer.ggml.add_bos_token", false, &tok->adds_bos, fail);
    return err;
}

int tokenizer_load(const struct gguf *file, struct tokenizer **out, struct model_fail *fail) {
    struct tokenizer *tok = calloc(1, sizeof(*tok));
    int err;

    if (!tok)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the tokenizer", file->path);
    err = load_parts(file, tok, fail);
    if (err) {
        tokenizer_free(tok);
        return err;
    }
    *out = tok;
    return 0;
}

void tokenizer_free(struct tokenizer *tok) {
    if (!tok)
        return;
    merges_finish(&tok->merges);
    free(tok->specials);
    free(tok->bytes);
    free(tok->starts);
    free(tok->kinds);
    free(tok);
}

size_t tokenizer_piece(const struct tokenizer *tok, int32_t id, const char **bytes) {
    *bytes = "";
    if (id < 0 || (uint32_t)id >= tok->n_tokens || tok->kinds[id] == KIND_UNUSED)
        return 0;
    *bytes = (const char *)tok->bytes + tok->starts[id];
    return tok->starts[id + 1] - tok->starts[id];
}

bool tokenizer_is_control(const struct tokenizer *tok, int32_t id) {
    return id >= 0 && (uint32_t)id < tok->n_tokens && tok->kinds[id] == KIND_CONTROL;
}

int32_t tokenizer_find_control(const struct tokenizer *tok, const char *name) {
    size_t n = strlen(name);

    for (size_t i = 0; i < tok->n_specials; i++)
        if (tok->specials[i].n == n && memcmp(tok->specials[i].bytes, name, n) == 0)
            return tok->specials[i].id;
    return -1;
}

uint32_t tokenizer_n_tokens(const struct tokenizer *tok) {
    return tok->n_tokens;
}

int32_t tokenizer_bos(const struct tokenizer *tok) {
    return tok->bos;
}

int32_t tokenizer_eos(const struct tokenizer *tok) {
    return tok->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *tok) {
    return tok->adds_bos;
}

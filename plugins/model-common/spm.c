/* SPDX-License-Identifier: Apache-2.0 */
/* spm.c - SentencePiece's BPE: characters are the first symbols, and any two that spell a token together may
 * merge, the highest score first.
 *
 * The file writes a space as U+2581; here tokens have plain spaces, and text that contains U+2581 is read as
 * a space, as the reference does. User-defined tokens were cut out before (encode.c). Only normal tokens come
 * out of merging, so no text makes a control token. What stays no token goes byte by byte. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer-impl.h"
#include "unicode.h"

static const uint8_t block[] = {0xe2, 0x96, 0x81}; /* U+2581 */

static bool is_block(const uint8_t *p, const uint8_t *end) {
    return end - p >= 3 && memcmp(p, block, 3) == 0;
}

/* ---- loading ---- */

/* Falling scores as rising numbers. */
static uint32_t rank_of(float score) {
    uint32_t bits;

    score += 0.0f; /* one zero */
    memcpy(&bits, &score, sizeof(bits));
    return bits >> 31 ? bits : 0x7fffffffu - bits;
}

static int load_scores(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, "tokenizer.ggml.scores");

    if (!v || !v->is_array || v->type != GGUF_F32 || v->count != tok->n_tokens)
        return model_fail(fail, -EINVAL,
                          "%s: tokenizer.ggml.scores does not have one number for each of %u tokens; convert "
                          "the model again",
                          file->path, tok->n_tokens);
    tok->ranks = malloc(tok->n_tokens * sizeof(*tok->ranks));
    if (!tok->ranks)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", file->path);
    for (uint32_t i = 0; i < tok->n_tokens; i++) {
        float score;

        memcpy(&score, v->at + i * sizeof(score), sizeof(score));
        if (isnan(score))
            return model_fail(fail, -EINVAL,
                              "%s: the score of token %u is no number; convert the model again", file->path,
                              i);
        tok->ranks[i] = rank_of(score);
    }
    return 0;
}

/* Where no token spans the end of a word, words can be merged one by one. */
static bool words_stand_apart(const struct tokenizer *tok) {
    for (uint32_t i = 0; i < tok->n_tokens; i++)
        for (uint32_t at = tok->starts[i] + 1; at < tok->starts[i + 1] && tok->kinds[i] == KIND_NORMAL; at++)
            if (tok->bytes[at] == ' ' && tok->bytes[at - 1] != ' ')
                return false;
    return true;
}

int spm_load(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    int err = load_scores(file, tok, fail);

    if (err)
        return err;
    tok->words_apart = words_stand_apart(tok);
    if (pieces_init(tok) != 0)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", file->path);
    return gguf_bool(file, "tokenizer.ggml.add_space_prefix", true, &tok->adds_space, fail);
}

/* ---- encoding ---- */

static void put_bytes(const struct tokenizer *tok, const uint8_t *p, size_t n, struct token_list *out) {
    for (size_t i = 0; i < n; i++) {
        const int32_t id = tok->byte_ids[p[i]] >= 0 ? tok->byte_ids[p[i]] : tok->unknown;

        if (id >= 0)
            out->ids[out->n++] = id;
    }
}

static int encode_word(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, struct scratch *s,
                       struct token_list *out) {
    int32_t n = 0;

    if (scratch_reserve(s, (size_t)(end - p)) != 0 || list_reserve(out, (size_t)(end - p)) != 0)
        return -ENOMEM;
    for (const uint8_t *at = p; at < end; n++) {
        uint32_t code;
        const size_t used = unicode_decode(at, end, &code);

        s->symbols[n] =
            (struct symbol){pieces_find(tok, at, used), n - 1, n + 1, (uint32_t)(at - p), (uint32_t)used};
        at += used;
    }
    if (n == 0)
        return 0;
    s->symbols[n - 1].next = -1;
    s->word = p;
    merge_symbols(tok, s, n);
    for (int32_t i = 0; i >= 0; i = s->symbols[i].next) {
        if (s->symbols[i].id >= 0)
            out->ids[out->n++] = s->symbols[i].id;
        else
            put_bytes(tok, p + s->symbols[i].at, s->symbols[i].n, out);
    }
    return 0;
}

/* The text with plain spaces, and one in front if the model wants it. Returns its bytes. */
static size_t plain_spaces(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, bool is_first,
                           uint8_t *out) {
    size_t n = 0;

    if (is_first && tok->adds_space && p < end)
        out[n++] = ' ';
    while (p < end) {
        const bool is_space = is_block(p, end);

        out[n++] = is_space ? ' ' : *p;
        p += is_space ? 3 : 1;
    }
    return n;
}

/* Behind the word at p: up to the first space that follows something else. */
static const uint8_t *word_end(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p == ' ')
        p++;
    while (p < end && *p != ' ')
        p++;
    return p;
}

int spm_encode(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, bool is_first,
               struct scratch *s, struct token_list *out) {
    const size_t room = (size_t)(end - p) + 1;
    const uint8_t *at;
    size_t n;
    int err = 0;

    if (s->text_room < room) {
        free(s->text);
        s->text = malloc(room);
        s->text_room = s->text ? room : 0;
        if (!s->text)
            return -ENOMEM;
    }
    n = plain_spaces(tok, p, end, is_first, s->text);
    at = s->text;
    while (at < s->text + n && !err) {
        const uint8_t *word = at;

        at = tok->words_apart ? word_end(at, s->text + n) : s->text + n;
        err = encode_word(tok, word, at, s, out);
    }
    return err;
}

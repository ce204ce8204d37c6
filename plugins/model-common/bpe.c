/* SPDX-License-Identifier: Apache-2.0 */
/* bpe.c - byte-level BPE: a pre-tokenizer cuts words, bytes are the first symbols, and the file's list of
 * pairs says what merges.
 *
 * A merge is a pair of ids with a rank and the id it makes. A merge never makes a control token: such a file
 * is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer-impl.h"
#include "unicode.h"

#define EMPTY_PAIR UINT64_MAX

/* ---- the table of merges ---- */

static uint64_t mix(uint64_t pair) {
    pair *= UINT64_C(0x9e3779b97f4a7c15);
    return pair ^ pair >> 32;
}

static int merges_init(struct merges *merges, uint64_t n) {
    size_t places = 16;

    while (places < 2 * n)
        places *= 2;
    merges->places = malloc(places * sizeof(*merges->places));
    if (!merges->places)
        return -ENOMEM;
    for (size_t i = 0; i < places; i++)
        merges->places[i].pair = EMPTY_PAIR;
    merges->mask = places - 1;
    return 0;
}

void merges_finish(struct merges *merges) {
    free(merges->places);
    memset(merges, 0, sizeof(*merges));
}

static struct merge *merge_place(const struct merges *merges, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = mix(pair) & merges->mask;

    while (merges->places[i].pair != pair && merges->places[i].pair != EMPTY_PAIR)
        i = (i + 1) & merges->mask;
    return &merges->places[i];
}

/* Of two merges of one pair the first one counts. */
static void merges_put(struct merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t id) {
    struct merge *place = merge_place(merges, left, right);

    if (place->pair == EMPTY_PAIR)
        *place = (struct merge){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank, id};
}

bool bpe_pair(const struct tokenizer *tok, int32_t left, int32_t right, struct candidate *to) {
    const struct merge *place = merge_place(&tok->merges, left, right);

    if (place->pair == EMPTY_PAIR)
        return false;
    to->rank = place->rank;
    to->id = place->id;
    return true;
}

/* ---- loading ---- */

/* "left right" -> ids. The right part begins behind the first space that is not the text's first byte. */
static int parse_merge(const struct texthash *names, struct gguf_text text, char *joined, int32_t ids[3]) {
    const char *space =
        text.n > 2 && text.n <= TOKENIZER_LONGEST ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
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

    if (!v || !v->is_array || v->type != GGUF_STRING || v->count > TOKENIZER_MAX_TOKENS)
        return model_fail(fail, -EINVAL, "%s: tokenizer.ggml.merges is missing or not a list of texts; %s",
                          file->path, wants);
    joined = malloc(TOKENIZER_LONGEST + 1);
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

int bpe_load(const struct gguf *file, struct tokenizer *tok, const struct texthash *names,
             struct model_fail *fail) {
    int err = load_merges(file, tok, names, fail);

    if (!err && pretoken_takes_whole_words(tok->pre) && pieces_init(tok) != 0)
        err = model_fail(fail, -ENOMEM, "%s: out of memory for the vocabulary", file->path);
    return err;
}

/* ---- encoding ---- */

static int encode_word(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, struct scratch *s,
                       struct token_list *out) {
    int32_t n = 0, whole;

    if (scratch_reserve(s, (size_t)(end - p)) != 0 || list_reserve(out, (size_t)(end - p)) != 0)
        return -ENOMEM;
    whole = tok->pieces.ids ? pieces_find(tok, p, (size_t)(end - p)) : -1;
    if (whole >= 0) {
        out->ids[out->n++] = whole;
        return 0;
    }
    for (const uint8_t *at = p; at < end; at++) {
        if (tok->byte_ids[*at] < 0)
            continue;
        s->symbols[n] = (struct symbol){tok->byte_ids[*at], n - 1, n + 1, (uint32_t)(at - p), 1};
        n++;
    }
    if (n == 0)
        return 0;
    s->symbols[n - 1].next = -1;
    s->word = p;
    merge_symbols(tok, s, n);
    for (int32_t i = 0; i >= 0; i = s->symbols[i].next)
        out->ids[out->n++] = s->symbols[i].id;
    return 0;
}

int bpe_encode(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, struct scratch *s,
               struct token_list *out) {
    int err = 0;

    while (p < end && !err) {
        const uint8_t *word = p;

        p = pretoken_next(tok->pre, p, end);
        err = encode_word(tok, word, p, s, out);
    }
    return err;
}

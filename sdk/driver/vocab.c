/* SPDX-License-Identifier: Apache-2.0 */
/* vocab.c - builds the tries and classes of vocab.h, and walks them with a grammar.
 *
 * A walk visits a node only when the grammar takes the bytes up to it, so outside strings it touches a
 * handful of nodes. Inside a string nearly every token fits; there the class of plain tokens answers for most
 * of the vocabulary, and only tokens with a quote or a backslash are walked. */
#include "vocab.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN_MAX_BYTES = 4096 };

/* ---- reading ---- */

static telex_status read_bytes(struct vocab *v, const struct telex_model *model_class, void *model) {
    size_t capacity = 8 * (size_t)v->n + TOKEN_MAX_BYTES, used = 0;
    v->bytes = malloc(capacity);
    v->offset = calloc((size_t)v->n + 1, sizeof(*v->offset));
    if (!v->bytes || !v->offset)
        return TELEX_RETRY;
    for (uint32_t id = 0; id < v->n; id++) {
        if (capacity - used < TOKEN_MAX_BYTES) {
            uint8_t *grown = realloc(v->bytes, 2 * capacity);
            if (!grown)
                return TELEX_RETRY;
            v->bytes = grown;
            capacity *= 2;
        }
        int32_t one = (int32_t)id;
        int64_t size = model_class->detokenize(model, &one, 1, v->bytes + used, TOKEN_MAX_BYTES);
        if (size < 0)
            return (telex_status)size;
        if (size > TOKEN_MAX_BYTES || used + (size_t)size > UINT32_MAX)
            return TELEX_INVALID;
        v->offset[id] = (uint32_t)used;
        used += vocab_ends(v, one) ? 0 : (size_t)size;
        v->offset[id + 1] = (uint32_t)used;
        if (!vocab_ends(v, one) && (uint32_t)size > v->max_bytes)
            v->max_bytes = (uint32_t)size;
    }
    return v->max_bytes ? TELEX_OK : TELEX_INVALID;
}

static int compare_tokens(const void *a, const void *b, void *arg) {
    const struct vocab *v = arg;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    uint32_t x_size = vocab_size(v, x), y_size = vocab_size(v, y), n = x_size < y_size ? x_size : y_size;
    int order = memcmp(vocab_bytes(v, x), vocab_bytes(v, y), n);
    if (order)
        return order;
    return x_size != y_size ? (x_size > y_size) - (x_size < y_size) : (x > y) - (x < y);
}

static telex_status sort_tokens(struct vocab *v) {
    v->order = calloc(v->n, sizeof(*v->order));
    v->same = malloc(v->n * sizeof(*v->same));
    if (!v->order || !v->same)
        return TELEX_RETRY;
    for (uint32_t id = 0; id < v->n; id++) {
        v->same[id] = -1;
        if (vocab_size(v, (int32_t)id))
            v->order[v->n_order++] = (int32_t)id;
    }
    qsort_r(v->order, v->n_order, sizeof(*v->order), compare_tokens, v);
    return TELEX_OK;
}

/* ---- the tries ---- */

static bool trie_add(struct trie *t, uint16_t depth, uint8_t byte) {
    if (t->n == t->capacity) {
        uint32_t capacity = t->capacity ? 2 * t->capacity : 4096;
        struct trie_node *nodes = realloc(t->nodes, capacity * sizeof(*nodes));
        if (!nodes)
            return false;
        t->nodes = nodes;
        t->capacity = capacity;
    }
    t->nodes[t->n++] = (struct trie_node){.token = -1, .depth = depth, .byte = byte};
    return true;
}

/* Build a trie of those tokens of v->order for which skip is zero (NULL: all). `open` holds the node at each
 * depth above the current one; a node's end is known when a token leaves it. */
static telex_status build_trie(struct vocab *v, const int16_t *skip, struct trie *t) {
    uint32_t *open = malloc(((size_t)v->max_bytes + 1) * sizeof(*open)), depth = 0;
    int32_t last = -1;
    if (!open)
        return TELEX_RETRY;
    for (uint32_t i = 0; i < v->n_order; i++) {
        int32_t id = v->order[i];
        if (skip && skip[id])
            continue;
        uint32_t size = vocab_size(v, id), common = 0;
        const uint8_t *bytes = vocab_bytes(v, id);
        while (common < depth && common < size && t->nodes[open[common]].byte == bytes[common])
            common++;
        while (depth > common)
            t->nodes[open[--depth]].end = t->n;
        if (common == size) { /* the same bytes as the token before */
            v->same[last] = id;
            last = id;
            continue;
        }
        for (; depth < size; depth++) {
            if (!trie_add(t, (uint16_t)(depth + 1), bytes[depth])) {
                free(open);
                return TELEX_RETRY;
            }
            open[depth] = t->n - 1;
        }
        t->nodes[t->n - 1].token = id;
        last = id;
    }
    while (depth > 0)
        t->nodes[open[--depth]].end = t->n;
    free(open);
    return TELEX_OK;
}

/* ---- plain tokens ---- */

/* How many characters a token has when all its bytes may stand in a string as they are, else 0. The grammar
 * of a string decides, so that there is one rule. */
static int16_t count_plain(const struct vocab *v, const struct grammar *string, int32_t id) {
    struct grammar_state state;
    grammar_start(string, &state);
    grammar_step(string, &state, '"');
    uint32_t full, room;
    grammar_in_string(string, &state, &full);
    const uint8_t *bytes = vocab_bytes(v, id);
    for (uint32_t i = 0; i < vocab_size(v, id); i++)
        if (bytes[i] == '"' || bytes[i] == '\\' || !grammar_step(string, &state, bytes[i]))
            return 0;
    bool inside = !grammar_in_string(string, &state, &room);
    if (inside && !v->any_character)
        return 0;
    uint32_t chars = 0;
    for (uint32_t i = 0; i < vocab_size(v, id); i++)
        chars += (bytes[i] & 0xc0) != 0x80;
    return (int16_t)chars;
}

static bool has_continuations(const struct vocab *v) {
    bool seen[256] = {false};
    for (uint32_t i = 0; i < v->n_order; i++)
        if (vocab_size(v, v->order[i]) == 1)
            seen[vocab_bytes(v, v->order[i])[0]] = true;
    for (int byte = 0x80; byte <= 0xbf; byte++)
        if (!seen[byte])
            return false;
    return true;
}

static void set_bit(uint32_t *bits, int32_t id) {
    bits[(uint32_t)id / 32] |= 1u << ((uint32_t)id % 32);
}

static telex_status sort_plain(struct vocab *v, const int16_t *chars) {
    uint32_t n = 0;
    for (uint32_t id = 0; id < v->n; id++)
        if (chars[id] > (int32_t)v->plain_max)
            v->plain_max = (uint32_t)chars[id];
    v->plain_ids = calloc(v->n, sizeof(*v->plain_ids));
    v->plain_upto = calloc((size_t)v->plain_max + 1, sizeof(*v->plain_upto));
    if (!v->plain_ids || !v->plain_upto)
        return TELEX_RETRY;
    for (uint32_t id = 0; id < v->n; id++)
        if (chars[id])
            v->plain_upto[chars[id]]++;
    for (uint32_t k = 1; k <= v->plain_max; k++)
        v->plain_upto[k] += v->plain_upto[k - 1];
    for (uint32_t id = v->n; id-- > 0;) /* from the end, so that each run ascends */
        if (chars[id]) {
            v->plain_ids[--v->plain_upto[chars[id]]] = (int32_t)id;
            set_bit(v->plain_mask, (int32_t)id);
            n++;
        }
    for (uint32_t k = 1; k <= v->plain_max; k++) /* upto holds each run's start now; make it the end */
        v->plain_upto[k - 1] = v->plain_upto[k];
    v->plain_upto[v->plain_max] = n;
    return TELEX_OK;
}

static telex_status classify(struct vocab *v, int16_t *chars) {
    struct telex_bytes schema = {(const uint8_t *)"{\"type\":\"string\"}", 17};
    struct grammar *string = NULL;
    char why[128];
    telex_status status = grammar_compile(schema, &string, why, sizeof(why));
    if (status != TELEX_OK)
        return status;
    v->any_character = has_continuations(v);
    for (uint32_t i = 0; i < v->n_order; i++)
        chars[v->order[i]] = count_plain(v, string, v->order[i]);
    grammar_destroy(string);
    for (uint32_t i = 0; i < v->n_order; i++)
        set_bit(v->text_mask, v->order[i]);
    v->text_count = v->n_order;
    int32_t ends[2] = {v->eot, v->eos};
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0 && (i == 0 || ends[1] != ends[0])) {
            set_bit(v->text_mask, ends[i]);
            v->text_count++;
        }
    return sort_plain(v, chars);
}

telex_status vocab_create(const struct telex_model *model_class, void *model,
                          const struct telex_model_info *info, struct vocab **out) {
    struct vocab *v = calloc(1, sizeof(*v));
    int16_t *chars = calloc((size_t)info->n_vocab + 1, sizeof(*chars));
    telex_status status = v && chars ? TELEX_OK : TELEX_RETRY;
    if (status == TELEX_OK && (info->n_vocab == 0 || info->n_vocab > 1u << 24))
        status = TELEX_INVALID;
    if (status == TELEX_OK) {
        v->n = info->n_vocab;
        v->n_words = (v->n + 31) / 32;
        v->eot = info->eot < (int32_t)v->n ? info->eot : -1;
        v->eos = info->eos < (int32_t)v->n ? info->eos : -1;
        v->plain_mask = calloc(v->n_words, sizeof(uint32_t));
        v->text_mask = calloc(v->n_words, sizeof(uint32_t));
        status = v->plain_mask && v->text_mask ? read_bytes(v, model_class, model) : TELEX_RETRY;
    }
    if (status == TELEX_OK)
        status = sort_tokens(v);
    if (status == TELEX_OK)
        status = classify(v, chars);
    if (status == TELEX_OK)
        status = build_trie(v, NULL, &v->whole);
    if (status == TELEX_OK)
        status = build_trie(v, chars, &v->breaks);
    free(chars);
    if (status == TELEX_OK)
        *out = v;
    else
        vocab_destroy(v);
    return status;
}

void vocab_destroy(struct vocab *v) {
    if (!v)
        return;
    free(v->bytes);
    free(v->offset);
    free(v->order);
    free(v->same);
    free(v->whole.nodes);
    free(v->breaks.nodes);
    free(v->plain_ids);
    free(v->plain_upto);
    free(v->plain_mask);
    free(v->text_mask);
    free(v);
}

bool vocab_extends(const struct vocab *v, const uint8_t *bytes, uint32_t size) {
    uint32_t low = 0, high = v->n_order; /* the first token that sorts behind `bytes` itself */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int32_t id = v->order[middle];
        uint32_t n = vocab_size(v, id) < size ? vocab_size(v, id) : size;
        int order = memcmp(vocab_bytes(v, id), bytes, n);
        if (order < 0 || (order == 0 && vocab_size(v, id) <= size))
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->n_order && vocab_size(v, v->order[low]) > size &&
           memcmp(vocab_bytes(v, v->order[low]), bytes, size) == 0;
}

static void walk(const struct vocab *v, const struct trie *t, const struct grammar *grammar,
                 struct grammar_state *states, uint32_t *bits) {
    for (uint32_t i = 0; i < t->n;) {
        const struct trie_node *node = &t->nodes[i];
        grammar_copy(&states[node->depth], &states[node->depth - 1]);
        if (!grammar_step(grammar, &states[node->depth], node->byte)) {
            i = node->end;
            continue;
        }
        bool completable = v->any_character || !grammar_in_character(grammar, &states[node->depth]);
        for (int32_t id = completable ? node->token : -1; id >= 0; id = v->same[id])
            set_bit(bits, id);
        /* a whole text takes no more bytes */
        i = states[node->depth].depth == 0 ? node->end : i + 1;
    }
}

void vocab_mask(const struct vocab *v, const struct grammar *grammar, const struct grammar_state *state,
                struct grammar_state *scratch, uint32_t *bits) {
    uint32_t room;
    grammar_copy(&scratch[0], state);
    if (!grammar_in_string(grammar, state, &room)) {
        walk(v, &v->whole, grammar, scratch, bits);
    } else {
        if (room >= v->plain_max)
            memcpy(bits, v->plain_mask, v->n_words * sizeof(*bits));
        else
            for (uint32_t i = 0; i < v->plain_upto[room]; i++)
                set_bit(bits, v->plain_ids[i]);
        walk(v, &v->breaks, grammar, scratch, bits);
    }
    int32_t ends[2] = {v->eot, v->eos};
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0 && grammar_may_end(grammar, state))
            set_bit(bits, ends[i]);
}

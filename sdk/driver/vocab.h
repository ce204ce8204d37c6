/* SPDX-License-Identifier: Apache-2.0 */
/* vocab.h - what every token of a model spells, arranged for masks.
 *
 * Built once from detokenize of all ids and immutable afterwards. A token that spells nothing is a control
 * token; it is never allowed in a text, except that eot and eos end one. */
#ifndef SDK_DRIVER_VOCAB_H
#define SDK_DRIVER_VOCAB_H

#include <telex/model.h>

#include "grammar.h"

/* Tokens as a trie in depth-first order: from node i the first child is i + 1, the next sibling is `end`. */
struct trie_node {
    uint32_t end;
    int32_t token;  /* -1: none ends here */
    uint16_t depth; /* bytes up to and with this node, at least 1 */
    uint8_t byte;
};

struct trie {
    struct trie_node *nodes;
    uint32_t n, capacity;
};

struct vocab {
    uint32_t n, n_words; /* tokens; words of a mask */
    uint32_t max_bytes;  /* of the longest token */
    int32_t eot, eos;
    bool any_character; /* single bytes can complete every character, so a token may end inside one */
    uint8_t *bytes;     /* all tokens' bytes, one after the other */
    uint32_t *offset;   /* n + 1 */
    int32_t *order;     /* tokens with bytes, sorted by them, then by id */
    uint32_t n_order;
    int32_t *same;      /* the next token with the same bytes, or -1 */
    struct trie whole;  /* all tokens */
    struct trie breaks; /* those that are not plain */
    /* Plain tokens are made of characters that may stand in a JSON string as they are; one may end inside a
     * character. plain_ids lists them by number of characters; those with at most k are the first
     * plain_upto[k]. */
    int32_t *plain_ids;
    uint32_t *plain_upto; /* plain_max + 1 */
    uint32_t plain_max;
    uint32_t *plain_mask; /* all of them */
    uint32_t *text_mask;  /* free text: all tokens that spell something, and those that end a text */
    uint32_t text_count;
};

static inline uint32_t vocab_size(const struct vocab *v, int32_t id) {
    return v->offset[id + 1] - v->offset[id];
}

static inline const uint8_t *vocab_bytes(const struct vocab *v, int32_t id) {
    return v->bytes + v->offset[id];
}

static inline bool vocab_ends(const struct vocab *v, int32_t id) {
    return id >= 0 && (id == v->eot || id == v->eos);
}

/* Read the vocabulary of an open model. OK, or what detokenize said, INVALID (no token spells anything, or
 * one is longer than 4096 bytes), RETRY (out of memory). Gives it (vocab_destroy). */
telex_status vocab_create(const struct telex_model *model_class, void *model,
                          const struct telex_model_info *info, struct vocab **out);
void vocab_destroy(struct vocab *vocab);

/* True when a token spells these bytes and more. */
bool vocab_extends(const struct vocab *vocab, const uint8_t *bytes, uint32_t size);

/* Set the bits of the tokens that the grammar takes from this state. `bits` has n_words zeroed words;
 * `scratch` max_bytes + 1 states. */
void vocab_mask(const struct vocab *vocab, const struct grammar *grammar, const struct grammar_state *state,
                struct grammar_state *scratch, uint32_t *bits);

#endif

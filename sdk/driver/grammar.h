/* SPDX-License-Identifier: Apache-2.0 */
/* grammar.h - a JSON Schema as an automaton over bytes.
 *
 * The language is the canonical JSON text of the values that satisfy the schema: no white space, properties
 * in the order of the schema, characters as themselves (only \" and \\ are escaped), no control characters,
 * no exponents. It is a subset of what the schema allows, so every finished text satisfies it.
 *
 * Supported: object (properties, all of them required, additionalProperties absent or false), array (items,
 * minItems, maxItems), string (minLength, maxLength, in characters), integer (minimum and maximum, at most
 * 4096 apart), number, boolean, null, enum, const, and the annotations title, description, default, examples,
 * $schema, $id, $comment. Anything else is UNSUPPORTED, with the keyword named: a constraint is never skipped
 * in silence.
 *
 * Every reachable state can be finished: a string at its maximum length has only its closing quote left. */
#ifndef SDK_DRIVER_GRAMMAR_H
#define SDK_DRIVER_GRAMMAR_H

#include <stdbool.h>

#include <telex/abi.h>

enum {
    GRAMMAR_MAX_DEPTH = 16,
    GRAMMAR_MAX_NODES = 4096,
    GRAMMAR_MAX_BYTES = 256 << 10, /* of a schema */
    GRAMMAR_KEY_BYTES = GRAMMAR_MAX_DEPTH * 12
};

struct grammar; /* immutable once compiled; shared between threads */

/* One open value. What a and b count is grammar_step.c's. */
struct grammar_frame {
    uint16_t node;
    uint8_t phase, utf8;
    uint32_t a, b;
};

/* A place in the text: a plain value, copied freely. */
struct grammar_state {
    uint32_t depth; /* 0: the text is whole */
    struct grammar_frame frames[GRAMMAR_MAX_DEPTH];
};

/* Compile. OK; INVALID (no JSON, contradiction) or UNSUPPORTED with the reason in why; LIMIT (size, depth).
 * The result belongs to the caller (grammar_destroy). [any] */
telex_status grammar_compile(struct telex_bytes schema, struct grammar **out, char *why, size_t why_size);
void grammar_destroy(struct grammar *grammar);

void grammar_start(const struct grammar *grammar, struct grammar_state *state);

/* Take one byte. False when it cannot come here; the state is then spoilt. */
bool grammar_step(const struct grammar *grammar, struct grammar_state *state, uint8_t byte);

/* The text may end here. */
bool grammar_may_end(const struct grammar *grammar, const struct grammar_state *state);

/* The bytes that must come next, at most `capacity`; the state is not changed. */
size_t grammar_forced(const struct grammar *grammar, const struct grammar_state *state, uint8_t *out,
                      size_t capacity);

/* Inside a string between two characters: true, with how many more characters it may take. */
bool grammar_in_string(const struct grammar *grammar, const struct grammar_state *state, uint32_t *room);

/* A string has just been opened. */
bool grammar_string_begins(const struct grammar *grammar, const struct grammar_state *state);

/* Inside a string and inside a character. */
bool grammar_in_character(const struct grammar *grammar, const struct grammar_state *state);

/* A name of the state such that equal names allow the same texts of up to `clip` bytes. Its length. */
size_t grammar_key(const struct grammar *grammar, const struct grammar_state *state, uint32_t clip,
                   uint8_t out[GRAMMAR_KEY_BYTES]);

/* Copy only what is used. */
static inline void grammar_copy(struct grammar_state *to, const struct grammar_state *from) {
    to->depth = from->depth;
    for (uint32_t i = 0; i < from->depth; i++)
        to->frames[i] = from->frames[i];
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* grammar.c - walks a compiled schema byte by byte.
 *
 * A state is a stack of open values. A value that closes itself (object, array, string, a choice with nothing
 * longer left) is popped with its last byte; a number and a choice that could go on are popped by the first
 * byte that does not fit them, which then belongs to the value around. At most one of the two readings of a
 * byte is ever possible, because what may follow a value (, ] }) never continues a number or a choice.
 *
 * Frames: object: a property, b bytes of its literal done. array: a items done. string: a characters begun,
 * utf8 what the next byte must be. number: a digits done. choice: b bytes done, a the first text still
 * possible. */
#include "grammar.h"

#include <string.h>

#include "grammar_node.h"

enum { DIGITS_MAX = 15 }; /* of an integer part and of a fraction: what a double holds */

enum { OBJECT_LITERAL, OBJECT_CLOSE };
enum { ARRAY_OPEN, ARRAY_FIRST, ARRAY_AFTER };
enum { STRING_OPEN, STRING_BODY, STRING_ESCAPE };
enum {
    NUMBER_START,
    NUMBER_MINUS,
    NUMBER_ZERO,
    NUMBER_MINUS_ZERO,
    NUMBER_WHOLE,
    NUMBER_POINT,
    NUMBER_FRACTION
};

/* What the next byte of a character must be: how many continuation bytes are due, and a range for the next
 * one. */
enum { UTF8_NONE, UTF8_ONE, UTF8_TWO, UTF8_THREE, UTF8_C2, UTF8_E0, UTF8_ED, UTF8_F0, UTF8_F4 };
static const struct {
    uint8_t low, high, then;
} utf8_next[] = {
    [UTF8_ONE] = {0x80, 0xbf, UTF8_NONE},  [UTF8_TWO] = {0x80, 0xbf, UTF8_ONE},
    [UTF8_THREE] = {0x80, 0xbf, UTF8_TWO}, [UTF8_C2] = {0xa0, 0xbf, UTF8_NONE}, /* no C1 controls */
    [UTF8_E0] = {0xa0, 0xbf, UTF8_ONE},    [UTF8_ED] = {0x80, 0x9f, UTF8_ONE},
    [UTF8_F0] = {0x90, 0xbf, UTF8_TWO},    [UTF8_F4] = {0x80, 0x8f, UTF8_TWO},
};

enum took { DENIED, TAKEN, AGAIN /* the stack changed; offer the byte again */ };

static struct grammar_frame *top(struct grammar_state *s) {
    return &s->frames[s->depth - 1];
}

static void push(struct grammar_state *s, uint16_t node) {
    struct grammar_frame fresh = {.node = node};
    s->frames[s->depth++] = fresh;
}

/* The top value is whole: tell the one around it. */
static void pop(const struct grammar *g, struct grammar_state *s) {
    s->depth--;
    if (s->depth == 0)
        return;
    struct grammar_frame *f = top(s);
    const struct node *node = &g->nodes[f->node];
    f->a++;
    f->b = 0;
    if (node->kind == NODE_OBJECT)
        f->phase = f->a < node->n ? OBJECT_LITERAL : OBJECT_CLOSE;
    else
        f->phase = ARRAY_AFTER;
}

static enum took step_object(const struct grammar *g, struct grammar_state *s, uint8_t byte) {
    struct grammar_frame *f = top(s);
    const struct node *node = &g->nodes[f->node];
    if (f->phase == OBJECT_CLOSE) {
        if (byte != '}')
            return DENIED;
        pop(g, s);
        return TAKEN;
    }
    const struct literal *literal = &node->literals[f->a];
    if (byte != (uint8_t)literal->text[f->b])
        return DENIED;
    if (++f->b == literal->size)
        push(s, node->children[f->a]);
    return TAKEN;
}

static enum took step_array(const struct grammar *g, struct grammar_state *s, uint8_t byte) {
    struct grammar_frame *f = top(s);
    const struct node *node = &g->nodes[f->node];
    if (f->phase == ARRAY_OPEN) {
        if (byte != '[')
            return DENIED;
        f->phase = ARRAY_FIRST;
        if (node->min > 0)
            push(s, node->children[0]);
        return TAKEN;
    }
    if (byte == ']' && f->a >= node->min) {
        pop(g, s);
        return TAKEN;
    }
    if (f->a >= node->max)
        return DENIED;
    if (f->phase == ARRAY_FIRST) {
        push(s, node->children[0]);
        return AGAIN;
    }
    if (byte != ',')
        return DENIED;
    push(s, node->children[0]);
    return TAKEN;
}

/* The first byte of a character: what must follow it, or -1. */
static int utf8_lead(uint8_t byte) {
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && byte < 0xc2) || byte > 0xf4)
        return -1;
    if (byte < 0x80)
        return UTF8_NONE;
    switch (byte) {
    case 0xc2:
        return UTF8_C2;
    case 0xe0:
        return UTF8_E0;
    case 0xed:
        return UTF8_ED;
    case 0xf0:
        return UTF8_F0;
    case 0xf4:
        return UTF8_F4;
    default:
        return byte < 0xe0 ? UTF8_ONE : byte < 0xf0 ? UTF8_TWO : UTF8_THREE;
    }
}

static enum took step_string(const struct grammar *g, struct grammar_state *s, uint8_t byte) {
    struct grammar_frame *f = top(s);
    const struct node *node = &g->nodes[f->node];
    if (f->phase == STRING_OPEN) {
        f->phase = STRING_BODY;
        return byte == '"' ? TAKEN : DENIED;
    }
    if (f->utf8 != UTF8_NONE) {
        if (byte < utf8_next[f->utf8].low || byte > utf8_next[f->utf8].high)
            return DENIED;
        f->utf8 = utf8_next[f->utf8].then;
        return TAKEN;
    }
    if (f->phase == STRING_ESCAPE) {
        f->phase = STRING_BODY;
        f->a++;
        return byte == '"' || byte == '\\' ? TAKEN : DENIED;
    }
    if (byte == '"') {
        if (f->a < node->min)
            return DENIED;
        pop(g, s);
        return TAKEN;
    }
    if (f->a >= node->max)
        return DENIED;
    if (byte == '\\') {
        f->phase = STRING_ESCAPE;
        return TAKEN;
    }
    int lead = utf8_lead(byte);
    if (lead < 0)
        return DENIED;
    f->utf8 = (uint8_t)lead;
    f->a++;
    return TAKEN;
}

static bool number_whole(const struct grammar_frame *f) {
    return f->phase == NUMBER_ZERO || f->phase == NUMBER_WHOLE || f->phase == NUMBER_FRACTION;
}

static bool digit_fits(const struct node *node, struct grammar_frame *f, uint8_t byte) {
    switch (f->phase) {
    case NUMBER_START:
        f->phase = byte == '0' ? NUMBER_ZERO : NUMBER_WHOLE;
        f->a = 1;
        return true;
    case NUMBER_MINUS:
        f->phase = byte == '0' ? NUMBER_MINUS_ZERO : NUMBER_WHOLE;
        f->a = 1;
        return byte != '0' || node->kind == NODE_NUMBER; /* -0 only as the start of -0.5 */
    case NUMBER_POINT:
        f->phase = NUMBER_FRACTION;
        f->a = 1;
        return true;
    case NUMBER_WHOLE:
    case NUMBER_FRACTION:
        return f->a++ < DIGITS_MAX;
    default:
        return false;
    }
}

static enum took step_number(const struct grammar *g, struct grammar_state *s, uint8_t byte) {
    struct grammar_frame *f = top(s);
    const struct node *node = &g->nodes[f->node];
    if (byte >= '0' && byte <= '9')
        return digit_fits(node, f, byte) ? TAKEN : DENIED;
    if (byte == '-' && f->phase == NUMBER_START) {
        f->phase = NUMBER_MINUS;
        return TAKEN;
    }
    bool point = f->phase == NUMBER_ZERO || f->phase == NUMBER_MINUS_ZERO || f->phase == NUMBER_WHOLE;
    if (byte == '.' && node->kind == NODE_NUMBER && point) {
        f->phase = NUMBER_POINT;
        return TAKEN;
    }
    if (!number_whole(f))
        return DENIED;
    pop(g, s);
    return AGAIN;
}

/* The end of the run of texts, from `first` on, that share its first `bytes` bytes. */
static uint32_t choice_end(const struct node *node, uint32_t first, uint32_t bytes) {
    uint32_t end = first + 1;
    while (end < node->n && node->literals[end].size >= bytes &&
           memcmp(node->literals[end].text, node->literals[first].text, bytes) == 0)
        end++;
    return end;
}

static bool choice_whole(const struct node *node, const struct grammar_frame *f) {
    return node->literals[f->a].size == f->b; /* the shortest of a run stands first */
}

static enum took step_choice(const struct grammar *g, struct grammar_state *s, uint8_t byte) {
    struct grammar_frame *f = top(s);
    const struct node *node = &g->nodes[f->node];
    uint32_t end = choice_end(node, f->a, f->b), i = f->a;
    while (i < end && (node->literals[i].size == f->b || (uint8_t)node->literals[i].text[f->b] != byte))
        i++;
    if (i == end) {
        if (!choice_whole(node, f))
            return DENIED;
        pop(g, s);
        return AGAIN;
    }
    f->a = i;
    f->b++;
    if (choice_whole(node, f) && choice_end(node, f->a, f->b) == f->a + 1)
        pop(g, s);
    return TAKEN;
}

static enum took step_top(const struct grammar *g, struct grammar_state *s, uint8_t byte) {
    switch (g->nodes[top(s)->node].kind) {
    case NODE_OBJECT:
        return step_object(g, s, byte);
    case NODE_ARRAY:
        return step_array(g, s, byte);
    case NODE_STRING:
        return step_string(g, s, byte);
    case NODE_CHOICE:
        return step_choice(g, s, byte);
    default:
        return step_number(g, s, byte);
    }
}

void grammar_start(const struct grammar *grammar, struct grammar_state *state) {
    (void)grammar;
    state->depth = 0;
    push(state, 0);
}

bool grammar_step(const struct grammar *grammar, struct grammar_state *state, uint8_t byte) {
    enum took took = AGAIN;
    while (took == AGAIN && state->depth > 0)
        took = step_top(grammar, state, byte);
    return took == TAKEN;
}

bool grammar_may_end(const struct grammar *grammar, const struct grammar_state *state) {
    if (state->depth != 1)
        return state->depth == 0;
    const struct grammar_frame *f = &state->frames[0];
    const struct node *node = &grammar->nodes[f->node];
    if (node->kind == NODE_CHOICE)
        return choice_whole(node, f);
    return (node->kind == NODE_INTEGER || node->kind == NODE_NUMBER) && number_whole(f);
}

/* The only byte that can come next, or -1 when there are several or none. */
static int forced_byte(const struct grammar *g, const struct grammar_state *s) {
    if (s->depth == 0)
        return -1;
    const struct grammar_frame *f = &s->frames[s->depth - 1];
    const struct node *node = &g->nodes[f->node];
    uint32_t end;
    switch (node->kind) {
    case NODE_OBJECT:
        return f->phase == OBJECT_CLOSE ? '}' : (uint8_t)node->literals[f->a].text[f->b];
    case NODE_ARRAY:
        if (f->phase == ARRAY_OPEN)
            return '[';
        if (f->a >= node->max)
            return ']';
        return f->phase == ARRAY_AFTER && f->a < node->min ? ',' : -1;
    case NODE_STRING:
        if (f->phase == STRING_OPEN)
            return '"';
        return f->phase == STRING_BODY && f->utf8 == UTF8_NONE && f->a >= node->max ? '"' : -1;
    case NODE_CHOICE:
        end = choice_end(node, f->a, f->b) - 1;
        if (choice_whole(node, f) || node->literals[end].text[f->b] != node->literals[f->a].text[f->b])
            return -1;
        return (uint8_t)node->literals[f->a].text[f->b];
    default:
        return -1;
    }
}

size_t grammar_forced(const struct grammar *grammar, const struct grammar_state *state, uint8_t *out,
                      size_t capacity) {
    struct grammar_state at;
    grammar_copy(&at, state);
    size_t n = 0;
    for (int byte; n < capacity && (byte = forced_byte(grammar, &at)) >= 0; n++) {
        out[n] = (uint8_t)byte;
        grammar_step(grammar, &at, out[n]);
    }
    return n;
}

bool grammar_in_string(const struct grammar *grammar, const struct grammar_state *state, uint32_t *room) {
    if (state->depth == 0)
        return false;
    const struct grammar_frame *f = &state->frames[state->depth - 1];
    const struct node *node = &grammar->nodes[f->node];
    if (node->kind != NODE_STRING || f->phase != STRING_BODY || f->utf8 != UTF8_NONE)
        return false;
    *room = node->max - f->a;
    return true;
}

bool grammar_string_begins(const struct grammar *grammar, const struct grammar_state *state) {
    uint32_t room;
    return grammar_in_string(grammar, state, &room) && state->frames[state->depth - 1].a == 0;
}

bool grammar_in_character(const struct grammar *grammar, const struct grammar_state *state) {
    return state->depth > 0 && grammar->nodes[state->frames[state->depth - 1].node].kind == NODE_STRING &&
           state->frames[state->depth - 1].utf8 != UTF8_NONE;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

size_t grammar_key(const struct grammar *grammar, const struct grammar_state *state, uint32_t clip,
                   uint8_t out[GRAMMAR_KEY_BYTES]) {
    for (uint32_t i = 0; i < state->depth; i++) {
        struct grammar_frame f = state->frames[i];
        const struct node *node = &grammar->nodes[f.node];
        if (node->kind == NODE_ARRAY || node->kind == NODE_STRING) {
            f.b = f.a < node->min ? least(node->min - f.a, clip) : 0; /* still needed */
            f.a = least(node->max - f.a, clip);                       /* still allowed */
        }
        memcpy(out + i * sizeof(f), &f, sizeof(f));
    }
    return state->depth * sizeof(struct grammar_frame);
}

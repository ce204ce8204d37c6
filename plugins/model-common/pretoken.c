/* SPDX-License-Identifier: Apache-2.0 */
/* pretoken.c - cut text into words.
 *
 * Each pre-tokenizer is published as a regular expression. Written out as code, its alternatives are tried in
 * the expression's order, and each function below returns the end of its match, or p for no match. */
#include "pretoken.h"

#include <stdbool.h>
#include <string.h>

#include "unicode.h"

typedef const uint8_t *(*word_fn)(const uint8_t *p, const uint8_t *end);

struct pretoken {
    const char *name;
    word_fn next;
    bool takes_whole_words, adds_bos;
};

/* The class of the character at p, and where it ends. */
static enum unicode_class look(const uint8_t *p, const uint8_t *end, const uint8_t **after) {
    uint32_t code;

    *after = p + unicode_decode(p, end, &code);
    return unicode_class(code);
}

static bool is_class(const uint8_t *p, const uint8_t *end, enum unicode_class class) {
    const uint8_t *after;

    return p < end && look(p, end, &after) == class;
}

/* Behind the run of characters of one class that begins at p. */
static const uint8_t *run_end(const uint8_t *p, const uint8_t *end, enum unicode_class class) {
    const uint8_t *after;

    while (p < end && look(p, end, &after) == class)
        p = after;
    return p;
}

/* 's 't 're 've 'm 'll 'd. Without regard to case, U+017F counts as an s. */
static const uint8_t *contraction(const uint8_t *p, const uint8_t *end, bool any_case) {
    uint8_t a, b;

    if (*p != '\'' || end - p < 2)
        return p;
    if (any_case && end - p >= 3 && p[1] == 0xc5 && p[2] == 0xbf)
        return p + 3;
    a = p[1];
    b = end - p >= 3 ? p[2] : 0;
    if (any_case) {
        a = a >= 'A' && a <= 'Z' ? a | 32 : a;
        b = b >= 'A' && b <= 'Z' ? b | 32 : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return p + 2;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
        return p + 3;
    return p;
}

/* \s+(?!\S)|\s+ : a run of spaces leaves its last one for the word that follows, if it has two or more.
 * Where numbers are cut off first, one that follows is no word in this sense. */
static const uint8_t *spaces(const uint8_t *p, const uint8_t *end, bool numbers_are_cut) {
    const uint8_t *last = p, *at = p, *after;

    while (at < end && look(at, end, &after) == UNICODE_SPACE) {
        last = at;
        at = after;
    }
    if (at == end || last == p || (numbers_are_cut && is_class(at, end, UNICODE_NUMBER)))
        return at;
    return last;
}

/* smollm: \p{N} is cut off first, each a word of its own; what lies between is cut as GPT-2 does:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static const uint8_t *smollm_word(const uint8_t *p, const uint8_t *end) {
    const uint8_t *at, *after;
    enum unicode_class class;

    if (look(p, end, &after) == UNICODE_NUMBER)
        return after;
    at = contraction(p, end, false);
    if (at > p)
        return at;
    at = p + (*p == ' ');
    if (at < end) {
        class = look(at, end, &after);
        if (class == UNICODE_LETTER || class == UNICODE_OTHER)
            return run_end(after, end, class);
    }
    return spaces(p, end, true);
}

/* \s*[\r\n]+ : a run of spaces up to its last line end. */
static const uint8_t *line_ends(const uint8_t *p, const uint8_t *end) {
    const uint8_t *found = p, *after;

    for (const uint8_t *at = p; at < end && look(at, end, &after) == UNICODE_SPACE; at = after)
        if (*at == '\r' || *at == '\n')
            found = after;
    return found;
}

/* [^\r\n\p{L}\p{N}]?\p{L}+ */
static const uint8_t *word_of_letters(const uint8_t *p, const uint8_t *end) {
    const uint8_t *after;
    enum unicode_class class = look(p, end, &after);

    if (class == UNICODE_LETTER)
        return run_end(after, end, UNICODE_LETTER);
    if (*p == '\r' || *p == '\n' || class == UNICODE_NUMBER || !is_class(after, end, UNICODE_LETTER))
        return p;
    return run_end(after, end, UNICODE_LETTER);
}

/* \p{N}{1,most} */
static const uint8_t *digits(const uint8_t *p, const uint8_t *end, int most) {
    const uint8_t *after;

    for (int n = 0; n < most && p < end && look(p, end, &after) == UNICODE_NUMBER; n++)
        p = after;
    return p;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static const uint8_t *word_with_digits(const uint8_t *p, const uint8_t *end, int most) {
    const uint8_t *at = contraction(p, end, true);

    if (at > p)
        return at;
    at = word_of_letters(p, end);
    if (at > p)
        return at;
    at = digits(p, end, most);
    if (at > p)
        return at;
    at = p + (*p == ' ');
    if (is_class(at, end, UNICODE_OTHER)) {
        at = run_end(at, end, UNICODE_OTHER);
        while (at < end && (*at == '\r' || *at == '\n'))
            at++;
        return at;
    }
    at = line_ends(p, end);
    return at > p ? at : spaces(p, end, false);
}

static const uint8_t *qwen2_word(const uint8_t *p, const uint8_t *end) {
    return word_with_digits(p, end, 1);
}

static const uint8_t *llama3_word(const uint8_t *p, const uint8_t *end) {
    return word_with_digits(p, end, 3);
}

/* The reference of Llama 3 takes a word that is a token before it looks at merges, and puts bos first. */
static const struct pretoken pretokens[] = {
    {"smollm", smollm_word, false, false},
    {"qwen2", qwen2_word, false, false},
    {"llama-bpe", llama3_word, true, true},
    {"llama3", llama3_word, true, true}, /* as older files call it */
};

const struct pretoken *pretoken_find(struct gguf_text name) {
    for (size_t i = 0; i < sizeof(pretokens) / sizeof(pretokens[0]); i++)
        if (gguf_text_is(name, pretokens[i].name))
            return &pretokens[i];
    return NULL;
}

const char *pretoken_list(void) {
    return "smollm, qwen2, llama-bpe";
}

bool pretoken_takes_whole_words(const struct pretoken *pre) {
    return pre->takes_whole_words;
}

bool pretoken_adds_bos(const struct pretoken *pre) {
    return pre->adds_bos;
}

const uint8_t *pretoken_next(const struct pretoken *pre, const uint8_t *p, const uint8_t *end) {
    return pre->next(p, end);
}

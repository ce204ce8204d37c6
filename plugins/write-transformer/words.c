/* SPDX-License-Identifier: Apache-2.0 */
/* words.c - a sentence as words.
 *
 * A number and the letters behind it are two words ("26B"), so are the parts of a hyphened word; dots
 * stay inside an acronym ("U.S.") and points inside a number. Clauses end at strong punctuation and
 * before a conjunction that a comma precedes. */
#include "words.h"

#include <errno.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>

#include "lexicon.h"
#include "text.h"

#define STEM_BYTES 64

struct reader {
    struct arena *arena;
    const char *text;
    size_t len, at;
    struct word *words;
    size_t n;
    uint8_t clause;
    bool quoted, seen;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter_at(const struct reader *r, size_t at, size_t *n) {
    uint32_t code = 0;
    *n = at < r->len ? text_char(r->text + at, r->len - at, &code) : 0;
    return *n && uc_is_alpha(code);
}

/* Bytes of the number at `at`: digits with commas and points between digits. */
static size_t number_bytes(const struct reader *r, size_t at) {
    size_t i = at;
    while (i < r->len && (is_digit(r->text[i]) || ((r->text[i] == ',' || r->text[i] == '.') && i > at &&
                                                   i + 1 < r->len && is_digit(r->text[i + 1]))))
        i++;
    return i - at;
}

/* Bytes of the word at `at`: letters, with an apostrophe, "&" or an acronym's dots inside. */
static size_t letter_bytes(const struct reader *r, size_t at) {
    size_t i = at, n = 0;
    while (i < r->len) {
        if (is_letter_at(r, i, &n) || (i > at && is_digit(r->text[i]))) {
            i += n ? n : 1;
            continue;
        }
        char c = r->text[i];
        bool inside = i > at && is_letter_at(r, i + 1, &n);
        bool acronym = c == '.' && i > 0 && (i == at + 1 || (i >= 2 && r->text[i - 2] == '.'));
        if ((c == '\'' || c == '&') && inside)
            i++;
        else if (acronym && (inside || i > at + 1))
            i++;
        else
            break;
    }
    return i - at;
}

static char *lower(struct arena *arena, const char *text, size_t len) {
    char *low = arena_alloc(arena, len * 3 + 1);
    if (!low)
        return NULL;
    for (size_t i = 0, out = 0; i < len;) {
        uint32_t code = 0;
        size_t n = text_char(text + i, len - i, &code);
        if (n == 1) {
            low[out++] = code >= 'A' && code <= 'Z' ? (char)(code + 32) : (char)code;
        } else if (n) {
            size_t got = len * 3 - out;
            if (u8_tolower((const uint8_t *)text + i, n, NULL, NULL, (uint8_t *)low + out, &got))
                out += got;
        }
        i += n ? n : 1;
    }
    return low;
}

/* Take "'s", and the full stop of an acronym, off the lower-case form. */
static bool take_endings(char *low) {
    size_t len = strlen(low);
    bool possessive = false;
    if (len > 2 && strcmp(low + len - 2, "'s") == 0) {
        low[len -= 2] = '\0';
        possessive = true;
    }
    if (len > 2 && low[len - 1] == '.')
        low[len - 1] = '\0';
    return possessive;
}

static void read_case(const struct reader *r, struct word *word) {
    size_t n_letters = 0, n_upper = 0;
    for (size_t i = 0; i < word->len;) {
        uint32_t code = 0;
        size_t n = text_char(r->text + word->start + i, word->len - i, &code);
        if (uc_is_alpha(code)) {
            n_upper += uc_is_upper(code);
            if (i == 0)
                word->cap = uc_is_upper(code);
            n_letters++;
        }
        i += n ? n : 1;
    }
    word->caps = n_letters >= 2 && n_upper == n_letters;
}

static int add_word(struct reader *r, size_t bytes, enum word_kind kind) {
    if (r->n == WORDS_MAX)
        return -E2BIG;
    struct word *word = &r->words[r->n];
    word->start = (uint32_t)r->at;
    word->len = (uint32_t)bytes;
    word->kind = kind;
    word->joined = r->at > 0 && r->text[r->at - 1] != ' ';
    char *low = kind == WORD_TEXT ? lower(r->arena, r->text + r->at, bytes)
                                  : arena_copy(r->arena, r->text + r->at, bytes);
    if (!low)
        return -ENOMEM;
    word->low = low;
    word->canon = low;
    if (kind == WORD_TEXT) {
        read_case(r, word);
        word->possessive = take_endings(low);
        word->flags = lexicon_flags(low);
        char stem[STEM_BYTES];
        const char *canon = lexicon_canon(low, stem, sizeof(stem));
        word->canon = canon == stem ? arena_copy(r->arena, stem, strlen(stem)) : canon;
        if (!word->canon)
            return -ENOMEM;
    }
    bool strong = kind == WORD_PUNCT && strchr(",;:", low[0]) != NULL;
    bool turns =
        kind == WORD_TEXT && (word->flags & LEX_CONJ) && r->n > 0 && r->words[r->n - 1].low[0] == ',';
    r->clause = (uint8_t)(r->clause + ((turns || (strong && low[0] != ',')) && r->clause < 255));
    word->clause = r->clause;
    word->first = kind != WORD_PUNCT && !r->seen;
    r->seen |= kind != WORD_PUNCT;
    if (kind == WORD_PUNCT && low[0] == '"')
        r->quoted = !r->quoted;
    word->quoted = r->quoted;
    r->at += bytes;
    r->n++;
    return 0;
}

int words_read(struct arena *arena, const char *text, struct word **words, size_t *n_words) {
    struct reader r = {.arena = arena, .text = text, .len = strlen(text)};
    r.words = arena_alloc(arena, (r.len < WORDS_MAX ? r.len + 1 : WORDS_MAX) * sizeof(*r.words));
    if (!r.words)
        return -ENOMEM;
    int err = 0;
    while (r.at < r.len && err == 0) {
        size_t n = 0;
        uint32_t code = 0;
        if (r.text[r.at] == ' ')
            r.at++;
        else if (is_digit(r.text[r.at]))
            err = add_word(&r, number_bytes(&r, r.at), WORD_NUMBER);
        else if (is_letter_at(&r, r.at, &n))
            err = add_word(&r, letter_bytes(&r, r.at), WORD_TEXT);
        else if ((n = text_char(r.text + r.at, r.len - r.at, &code)))
            err = add_word(&r, n, WORD_PUNCT);
        else
            r.at++;
    }
    *words = r.words;
    *n_words = r.n;
    return err;
}

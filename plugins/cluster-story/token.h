/* SPDX-License-Identifier: Apache-2.0 */
/* token.h - folded words of one text, with what stood between them. */
#ifndef CLUSTER_TOKEN_H
#define CLUSTER_TOKEN_H

#include "text.h"

enum { TOKENS_MAX = 384, TOKEN_TEXT_BYTES = 6144, TOKEN_BYTES_MAX = 48 };

enum token_flag {
    TOKEN_CAP = 1 << 0,   /* begins with a capital */
    TOKEN_UPPER = 1 << 1, /* has two or more letters, all capitals */
    TOKEN_DIGIT = 1 << 2, /* begins with a digit */
    TOKEN_ALPHA = 1 << 3, /* has a letter */
    TOKEN_MIXED = 1 << 4, /* letters and digits: H200, 18A, 2nm */
    TOKEN_IDEO = 1 << 5,  /* one ideograph or kana; words of such scripts are not spaced */
    TOKEN_STOP = 1 << 6,  /* WORD_STOP among its sorts */
    TOKEN_START = 1 << 7, /* first of its text or sentence */
};

/* What stood before a token. */
enum token_gap {
    GAP_SPACE = 1 << 0,
    GAP_DOT = 1 << 1,
    GAP_COMMA = 1 << 2,
    GAP_AMP = 1 << 3,
    GAP_HYPHEN = 1 << 4,
    GAP_MONEY = 1 << 5,
    GAP_BAR = 1 << 6,   /* | or a dash with spaces around it */
    GAP_BREAK = 1 << 7, /* anything else: a name or pair does not reach across it */
};

struct token {
    uint64_t hash; /* text_hash of the folded word */
    uint16_t at;   /* into the list's text */
    uint8_t len;
    uint8_t flags;   /* enum token_flag */
    uint8_t gap;     /* enum token_gap */
    uint16_t sorts;  /* enum word_sort */
    uint8_t percent; /* a % sign follows */
};

struct token_list {
    struct token tokens[TOKENS_MAX];
    uint32_t n;
    uint32_t used; /* bytes of text */
    char text[TOKEN_TEXT_BYTES];
};

/* Fold `text` into words: lower case, no accents, possessives gone, 1,000 and 3.5 and U.S. and S&P in one
 * piece (also as "3 . 5" and "U . S ."). What does not fit the limits is left out. Invalid UTF-8 separates
 * words. */
void token_list_read(struct token_list *list, struct text_slice text);

/* ---- text.c: what is read off a row of tokens ---- */

/* The hash under which a word is known (stemmed, and one for words that newsrooms use for the same thing),
 * and in how many of a thousand headlines it stands beforehand. [any] */
uint64_t text_word_hash(const char *word, size_t len, uint8_t *per_mille);
/* Whether most words are capitalised, so that capitals tell nothing about names. [any] */
bool text_title_case(const struct token_list *list);
/* Narrow [from, to) to the headline proper: outlets sign theirs at either end, behind a dash or bar. [any] */
void text_headline(const struct token_list *list, struct text_slice outlet, uint32_t *from, uint32_t *to);
/* Whether tokens [from, to) have the form of what reports no event: "Morning briefing", "Tech roundup"
 * (collections); "10 stocks with easy gains", "Top tips for ..." (lists); "X buys 300 shares of Y", "Is Y
 * stock a buy?" (notices that differ in one name). [any] */
bool text_column(const struct token_list *list, uint32_t from, uint32_t to);
/* Whether a token goes on with the one before it: nothing but a space or hyphen between them. [any] */
bool text_near(const struct token *token);

static inline const char *token_text(const struct token_list *list, uint32_t i) {
    return list->text + list->tokens[i].at;
}

#endif

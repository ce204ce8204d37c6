/* SPDX-License-Identifier: Apache-2.0 */
/* words.h - a sentence as words. */
#ifndef DESK_WORDS_H
#define DESK_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

enum word_kind { WORD_TEXT, WORD_NUMBER, WORD_PUNCT };
enum word_part { PART_PLAIN, PART_NUMBER, PART_NAME }; /* set by numbers.c and names.c */

struct word {
    const char *low;     /* lower case, without possessive; for punctuation and numbers as written */
    const char *canon;   /* what it and its synonyms are compared by */
    uint32_t start, len; /* bytes of the sentence */
    uint32_t flags;      /* enum lexicon_class */
    uint8_t kind;
    uint8_t part;
    uint8_t clause; /* counted from 0 */
    bool cap;       /* begins with a capital letter */
    bool caps;      /* all its letters are capital, two or more */
    bool first;     /* no word stands before it */
    bool possessive;
    bool quoted; /* inside quotation marks */
    bool joined; /* no white space before it */
};

#define WORDS_MAX 256

/* Read at most WORDS_MAX words of a clean sentence. 0, or -ENOMEM, or -E2BIG for a longer one. [any] */
int words_read(struct arena *arena, const char *text, struct word **words, size_t *n_words);

#endif

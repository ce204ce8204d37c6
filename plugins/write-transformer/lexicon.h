/* SPDX-License-Identifier: Apache-2.0 */
/* lexicon.h - the English that the desk knows: classes of words, and which words mean the same. */
#ifndef DESK_LEXICON_H
#define DESK_LEXICON_H

#include <stddef.h>
#include <stdint.h>

enum lexicon_class {
    LEX_STOP = 1 << 0,    /* carries no content of its own */
    LEX_NEG = 1 << 1,     /* not, no, never */
    LEX_DENY = 1 << 2,    /* denied, refused, ruled (out) */
    LEX_MODAL = 1 << 3,   /* may, might, could */
    LEX_EXPECT = 1 << 4,  /* expected, forecast, estimate */
    LEX_PLAN = 1 << 5,    /* plans, agreed to, proposed, considering */
    LEX_RUMOUR = 1 << 6,  /* rumour, speculation, apparently */
    LEX_REPORT = 1 << 7,  /* said, told, added */
    LEX_CERTAIN = 1 << 8, /* announced, confirmed, will: only as a record has it */
    LEX_CAUSAL = 1 << 9,  /* because, therefore, due: only as a record has it */
    LEX_EVAL = 1 << 10,   /* significant, crucial: only as a record has it */
    LEX_UP = 1 << 11,     /* rose, higher, above */
    LEX_DOWN = 1 << 12,   /* fell, lower, below */
    LEX_MONTH = 1 << 13,
    LEX_WEEKDAY = 1 << 14,
    LEX_PRONOUN = 1 << 15, /* stands for something said before */
    LEX_ROLE = 1 << 16,    /* minister, analysts, company: speaks without a name */
    LEX_BE = 1 << 17,      /* forms of to be and to have */
    LEX_PREP = 1 << 18,
    LEX_UNIT = 1 << 19,  /* barrels, dollars: counted things, no novelty of their own */
    LEX_WORDY = 1 << 20, /* listed at all: a common word, not an unknown name */
    LEX_CONJ = 1 << 21,  /* begins another clause */
    LEX_OPEN = 1 << 22,  /* may open a sentence in capitals without being a name */
    LEX_WH = 1 << 23,
    LEX_ASK = 1 << 24, /* what a question may ask for without a source saying the word */
};

/* The classes of a lower-case word as it stands, 0 for one that is not listed. [any] */
uint32_t lexicon_flags(const char *low);

/* The one form that stands for a word and its relatives: the head of its synonyms, else its stem, which
 * is written to `stem` (`cap` bytes). Valid as long as `stem`. [any] */
const char *lexicon_canon(const char *low, char *stem, size_t cap);

/* Cut endings off a lower-case word, in place. [any] */
void lexicon_stem(char *word);

#endif

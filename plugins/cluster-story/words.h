/* SPDX-License-Identifier: Apache-2.0 */
/* words.h - the few word lists that stand in for statistics which a young stream does not have yet. */
#ifndef CLUSTER_WORDS_H
#define CLUSTER_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum word_sort {
    WORD_STOP = 1,     /* says nothing about which event is meant: "the", "says", "update" */
    WORD_ORDINAL = 2,  /* its number names a thing: day 21, part 2, magnitude 5 */
    WORD_EXCHANGE = 4, /* the short name of a stock exchange, as before a ticker */
    WORD_LISTED = 8,   /* what lists are of: stocks, tips, reasons */
    WORD_PAPER = 16,   /* what share notices are about */
    WORD_TRADE = 32,   /* and what they say happened */
    WORD_COUNT = 64,   /* a number in words */
    WORD_FIRST = 128,  /* may begin a compound */
    WORD_DIGEST = 256, /* in the title of what collects many events */
};

/* Every sort of a folded word, by its text_hash. [any] */
unsigned words_sorts(uint64_t hash);

/* The hash under which a stem is known: its own, or that of the word which newsrooms use for the same thing.
 * Sets in how many of a thousand headlines it stands, as far as is known beforehand. [any] */
uint64_t words_known(uint64_t stem_hash, uint8_t *per_mille);

/* The stem that two folded words side by side are known by ("self-driving", "United States"); NULL: they are
 * two. */
const char *words_compound(const char *first, size_t first_len, const char *second, size_t second_len);

/* prior.c: words that about one headline in fifty, two hundred and five hundred has; stems, a space behind
 * each. */
extern const char prior_every_page[], prior_common[], prior_frequent[], prior_known[];

#endif

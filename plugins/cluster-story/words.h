/* SPDX-License-Identifier: Apache-2.0 */
/* words.h - the few word lists that stand in for statistics which a young stream does not have yet. */
#ifndef CLUSTER_WORDS_H
#define CLUSTER_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A word that says nothing about which event is meant ("the", "says", "update"). Folded, not stemmed. */
bool words_stop(const char *word, size_t len);

/* In how many of a thousand headlines a common word stands ("shares", "launch"); 0 for any other.
 * By the text_hash of its stem. [any] */
unsigned words_per_mille(uint64_t hash);

/* A word whose number names a thing: "day 21", "part 2", "magnitude 5". Folded. */
bool words_ordinal(const char *word, size_t len);

/* What a word says about the form of its headline. Folded. */
enum { WORDS_LISTED = 1, WORDS_PAPER = 2, WORDS_TRADE = 4 };
unsigned words_column(const char *word, size_t len);

/* The short name of a stock exchange, as before a ticker. Folded. */
bool words_exchange(const char *word, size_t len);

/* One spelling for words that newsrooms use for one thing. Stemmed in, stemmed out; NULL when there is none.
 */
const char *words_same(const char *stem, size_t len);

/* The stem that two folded words side by side are known by ("self-driving", "United States"); NULL: they are
 * two. */
const char *words_compound(const char *first, size_t first_len, const char *second, size_t second_len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - which words are names, learnt from the story itself.
 *
 * Capitals say little: a headline shouts, and every sentence begins with one. So a story's records fill a
 * book first: a word that has its capital in the middle of running text is a name, and the first
 * word of a sentence is one only if the book has it. */
#ifndef DESK_NAMES_H
#define DESK_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "words.h"

struct name_entry;

struct name_book {
    struct arena *arena;         /* borrowed */
    struct name_entry **buckets; /* in the arena */
    size_t n;
};

#define NAMES_MAX 48

struct name {
    uint32_t first, last; /* words, last excluded */
};

/* 0 or -ENOMEM. [any] */
int name_book_init(struct name_book *book, struct arena *arena);

/* Learn from the words of one sentence of running text. 0 or -ENOMEM. [any] */
int name_book_learn(struct name_book *book, const char *text, const struct word *words, size_t n_words);

/* How a lower-case word is written in running text ("opec" -> "OPEC"), or NULL when it is not a name there.
 * [any] */
const char *name_book_form(const struct name_book *book, const char *low);

/* The same for any word, if it has its capital there at least as often as not. [any] */
const char *name_book_usual(const struct name_book *book, const char *low);

/* Whether running text has the word in lower case. [any] */
bool name_book_plain(const struct name_book *book, const char *low);

/* Whether the words are set like a headline: none of those that could be lower case is. [any] */
bool words_are_titled(const struct word *words, size_t n_words);

/* Find runs of name words, mark them PART_NAME. Numbers must be marked already. Returns how many. [any] */
size_t names_read(const struct name_book *book, struct word *words, size_t n_words, struct name *out);

/* Whether two lower-case name words mean one thing: equal, or a land and its people ("kuwait", "kuwaiti").
 * [any] */
bool name_words_match(const char *a, const char *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* facts.h - what one sentence claims: numbers, names, negations, hedges, speakers, quotations. */
#ifndef DESK_FACTS_H
#define DESK_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "names.h"
#include "numbers.h"
#include "words.h"

#define CUES_MAX     24
#define SPEECHES_MAX 8
#define QUOTES_MAX   8

enum cue_kind { CUE_NEGATION, CUE_HEDGE };

/* A word that changes what its surroundings claim, and how far it reaches. */
struct cue {
    uint8_t kind;
    uint32_t flags;       /* LEX_NEG or LEX_DENY; LEX_MODAL, LEX_EXPECT, LEX_PLAN, LEX_RUMOUR */
    uint32_t word;        /* the cue itself */
    uint32_t first, last; /* words in its scope, last excluded */
};

/* Who says it: the words between which the speaker stands. */
struct speech {
    uint32_t verb;
    uint32_t first, last; /* speaker, last excluded; equal when none was found */
    uint32_t near_first;  /* the nearest part of it: behind the last comma, where that says anything */
};

struct quote {
    uint32_t start, end; /* bytes between the quotation marks */
};

struct facts {
    const char *text; /* borrowed, clean */
    struct word *words;
    size_t n_words;
    struct number numbers[NUMBERS_MAX];
    size_t n_numbers;
    struct name names[NAMES_MAX];
    size_t n_names;
    struct cue cues[CUES_MAX];
    size_t n_cues;
    struct speech speeches[SPEECHES_MAX];
    size_t n_speeches;
    struct quote quotes[QUOTES_MAX];
    size_t n_quotes;
    uint32_t *keys; /* of the content and name words, each once, ascending */
    size_t n_keys;
    bool titled;          /* set like a headline */
    bool unbalanced;      /* an odd number of quotation marks, or a bracket left open */
    int64_t published_ms; /* 0: unknown */
};

/* Read a clean sentence, which must live as long as the facts. `published_ms` settles "today"; 0 where there
 * is none. 0, -ENOMEM, or -E2BIG for more than WORDS_MAX words. [any] */
int facts_read(struct facts *facts, struct arena *arena, const struct name_book *book, const char *text,
               int64_t published_ms);

/* Whether a word carries content: text, no number, no name, no stop word. [any] */
bool word_has_content(const struct word *word);

/* Whether any word of the facts has this canon. [any] */
bool facts_have(const struct facts *facts, const char *canon);

/* The first pronoun, or "the company" at the head, that stands for somebody whom the sentence does not name
 * before it; n_words where there is none. [any] */
size_t facts_unsettled(const struct facts *facts);

/* Share of the content and name words of `a` (each counted once) that `b` has too, 0 to 1. [any] */
double facts_overlap(const struct facts *a, const struct facts *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* gate.h - may this sentence stand, given the sentences that it cites?
 *
 * Ten rules, each with a name that appears in the evidence. The gate compares what a draft claims with
 * what its sources claim; it never asks a model and never rewrites. */
#ifndef DESK_GATE_H
#define DESK_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts.h"

enum gate_rule {
    GATE_NUMBERS,     /* every number, date and day is in the sources, by value and unit */
    GATE_NAMES,       /* every name is in the sources or the record's title */
    GATE_TOGETHER,    /* a clause's numbers and names stand together, and each name does what it does there */
    GATE_POLARITY,    /* negation, denial and direction are as in the sources */
    GATE_HEDGE,       /* may, plans, expected survive; announced, confirmed, will are not added */
    GATE_ATTRIBUTION, /* who says it survives; quotations are verbatim and have a speaker */
    GATE_NOVELTY,     /* few words of its own, no reasons or judgements of its own */
    GATE_WHOLE,       /* one complete sentence that can stand alone */
    GATE_NOT_AGAIN,   /* says nothing that stands already */
    GATE_QUESTION,    /* the answer is what the question asks for */
    GATE_RULES
};

enum gate_field {
    FIELD_HEADLINE,
    FIELD_DEK,
    FIELD_HEADING,
    FIELD_BODY,
    FIELD_QUESTION,
    FIELD_ANSWER,
    FIELDS
};

/* Stated lengths of each field, in bytes of UTF-8, both included. */
struct gate_length {
    uint32_t min_bytes, max_bytes;
};
extern const struct gate_length gate_lengths[FIELDS];
extern const char *const gate_field_names[FIELDS];

#define GATE_SOURCES_MAX 4
#define GATE_WHY_BYTES   120

/* The sentences that a draft cites. Those of one record stand in order; `follows[i]` says that sentence i
 * comes directly behind sentence i - 1 in its record. */
struct gate_sources {
    const struct facts *sentences[GATE_SOURCES_MAX]; /* borrowed */
    bool follows[GATE_SOURCES_MAX];
    size_t n;
    size_t main;               /* the one that the draft is to say; others give it context */
    const struct facts *title; /* of the main one's record; may be NULL */
};

struct gate_input {
    enum gate_field field;
    const struct facts *draft;
    const struct gate_sources *sources;
    const struct name_book *book;
    const struct facts *const *earlier; /* what already stands */
    size_t n_earlier;
    const struct facts
        *before; /* the sentence before it in its paragraph if it names whom a pronoun means, or NULL */
    const struct facts *question; /* FIELD_ANSWER: what was asked, or NULL */
};

struct gate_verdict {
    uint32_t failed;                      /* bit i: rule i */
    char why[GATE_RULES][GATE_WHY_BYTES]; /* "" where the rule holds */
};

/* The name of a rule as the evidence has it: "numbers", "not again". [any] */
const char *gate_rule_name(enum gate_rule rule);

/* Judge a draft by every rule that its field obeys. True when it may stand. [any] */
bool gate_check(const struct gate_input *input, struct gate_verdict *verdict);

/* ---- the rules, for gate.c and the tests ---- */

/* Note that a rule does not hold, keeping the first reason. */
void gate_fail(struct gate_verdict *verdict, enum gate_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void gate_numbers(const struct gate_input *input, struct gate_verdict *verdict);     /* gate-facts.c */
void gate_names(const struct gate_input *input, struct gate_verdict *verdict);       /* gate-facts.c */
void gate_together(const struct gate_input *input, struct gate_verdict *verdict);    /* gate-together.c */
void gate_polarity(const struct gate_input *input, struct gate_verdict *verdict);    /* gate-stance.c */
void gate_hedge(const struct gate_input *input, struct gate_verdict *verdict);       /* gate-stance.c */
void gate_attribution(const struct gate_input *input, struct gate_verdict *verdict); /* gate-speech.c */
void gate_novelty(const struct gate_input *input, struct gate_verdict *verdict);     /* gate-words.c */
void gate_whole(const struct gate_input *input, struct gate_verdict *verdict);       /* gate-words.c */
void gate_not_again(const struct gate_input *input, struct gate_verdict *verdict);   /* gate-words.c */
void gate_question(const struct gate_input *input, struct gate_verdict *verdict);    /* gate-question.c */

/* Whether some source has the number, or the name word (also in the title when `title` is set). */
bool gate_has_number(const struct gate_sources *sources, const struct number *number);
bool gate_has_name(const struct gate_sources *sources, const struct word *word, bool title);
bool facts_have_number(const struct facts *facts, const struct number *number);
bool facts_have_name(const struct facts *facts, const struct word *word);
/* Whether some source, or the title, has the word or a relative of it. */
bool gate_has_word(const struct gate_sources *sources, const struct word *word, bool title);
/* Whether a source uses this very word, or a form of it, in that class. (gate-stance.c) */
bool gate_own_word(const struct gate_sources *sources, const struct word *word, uint32_t word_class);
bool word_related(const struct word *a, const struct word *b);

#endif

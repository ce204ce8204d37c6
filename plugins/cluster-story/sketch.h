/* SPDX-License-Identifier: Apache-2.0 */
/* sketch.h - a title as a row of content words, and how two such rows differ.
 *
 * Likeness counts what two titles share. What tells two fillings of one form apart is what they do not share,
 * and where it stands: "wildfire near Kelowna" and "wildfire near Kamloops". */
#ifndef CLUSTER_SKETCH_H
#define CLUSTER_SKETCH_H

#include "text.h"

enum { SKETCH_WORDS_MAX = 32, SKETCH_MARKS_MAX = 12 };

enum sketch_flag {
    SKETCH_NAME = 1 << 0,   /* written as a name */
    SKETCH_MAYBE = 1 << 1,  /* may be a name: an uncommon word where capitals do not tell */
    SKETCH_PLACE = 1 << 2,  /* behind "in", "near", "off": where it happened */
    SKETCH_NUMBER = 1 << 3, /* a value; its hash is that of value and unit */
    SKETCH_NEXT = 1 << 4,   /* goes on with the name before it */
    SKETCH_COMMON = 1 << 5, /* one of the words that any newsroom uses daily */
    SKETCH_TOLL = 1 << 6,   /* a count of the dead or hurt, which grows while a story lasts */
};

struct sketch_word {
    uint64_t prefix; /* first eight bytes of the folded word, zero-padded */
    uint32_t hash;   /* of the stem or value */
    uint8_t flags;   /* enum sketch_flag */
    uint8_t len;     /* bytes of the folded word, at most 255 */
};

/* What kind of value a title gives. Two titles with values of one kind and subject that have none in common
 * contradict each other. */
enum sketch_kind {
    SKETCH_ORDER,   /* day 21, flight 9, second Test, GPT-6, X200 */
    SKETCH_PERIOD,  /* Q3, first quarter */
    SKETCH_SCORE,   /* 31-28 */
    SKETCH_DATE,    /* 4 May */
    SKETCH_MONTH,   /* May */
    SKETCH_WEEKDAY, /* Tuesday */
    SKETCH_YEAR,    /* 2027 */
    SKETCH_MONEY,
    SKETCH_PERCENT,
    SKETCH_COUNT, /* 310,000 cars */
    SKETCH_WAY,   /* up or down, won or lost: subject is the pair, value the side */
    SKETCH_KINDS,
};

struct sketch_mark {
    uint64_t value;
    uint32_t subject;
    uint8_t kind; /* enum sketch_kind */
};

struct sketch {
    struct sketch_word words[SKETCH_WORDS_MAX];
    struct sketch_mark marks[SKETCH_MARKS_MAX];
    uint32_t n_words, n_marks;
    bool column; /* in the form of a list or a share notice */
};

/* Read a title. Pure; never fails; what is over a limit is left out. [any] */
void sketch_read(struct sketch *sketch, struct text_slice title, struct text_slice outlet);

#endif

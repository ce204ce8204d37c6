/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_words.h - words that say when, where, how many and which way. */
#ifndef CLUSTER_SKETCH_WORDS_H
#define CLUSTER_SKETCH_WORDS_H

#include <stdint.h>

/* Pairs of sides that a title can take: up and down, won and lost. */
enum { SKETCH_WAYS = 6 };

enum sketch_sort {
    SORT_MONTH = 1 << 0,        /* nth: 1 to 12 */
    SORT_WEEKDAY = 1 << 1,      /* nth: 1 to 7 */
    SORT_ORDINAL = 1 << 2,      /* nth: 1 to 10 */
    SORT_BEFORE_MONTH = 1 << 3, /* behind it, "may" and "march" are months */
    SORT_BEFORE_PLACE = 1 << 4, /* behind it, a name is that of a place */
    SORT_SIDE = 1 << 5,         /* may stand between the two: "in southern Chile" */
    SORT_TOLL = 1 << 6,         /* what a count beside it is of grows while a story lasts */
    SORT_WAY = 1 << 7,          /* first of SKETCH_WAYS bits for one side, then as many for the other */
    SORT_OTHER_WAY = SORT_WAY << SKETCH_WAYS,
};

struct sketch_known {
    uint64_t hash;
    uint32_t sorts; /* enum sketch_sort */
    uint8_t nth;    /* of months, weekdays or ordinals; 0: none of them */
};

/* What is known of a folded word, by its text_hash; a word in no list has no sorts. [any] */
const struct sketch_known *sketch_known(uint64_t hash);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* numbers.h - the numbers, dates and days of a sentence, by value and unit. */
#ifndef DESK_NUMBERS_H
#define DESK_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "words.h"

enum number_kind {
    NUMBER_COUNT,   /* value with a unit */
    NUMBER_ORDINAL, /* first, 14th */
    NUMBER_FACTOR,  /* half, double, one-fifth */
    NUMBER_YEAR,
    NUMBER_DATE,    /* month * 100 + day, day 0 where only the month is said */
    NUMBER_WEEKDAY, /* 1 Monday .. 7 Sunday */
    NUMBER_PERIOD,  /* last week, next year: the canon of the unit, value -1, 0 or 1 */
    NUMBER_DAY,     /* yesterday -1, today 0, tomorrow 1 */
};

enum number_bound { BOUND_NONE, BOUND_ABOUT, BOUND_OVER, BOUND_UNDER };

#define NUMBER_UNIT_BYTES 24
#define NUMBERS_MAX       48

struct number {
    double value;
    double alternate; /* the value if the next number's multiplier holds for it too; else equals value */
    uint8_t kind;
    uint8_t bound;
    bool hard;                    /* its unit is money, a share of a whole, or a measure */
    char unit[NUMBER_UNIT_BYTES]; /* canon, "" where none is said */
    char per[NUMBER_UNIT_BYTES];  /* "a barrel", "per day"; "" where none is said */
    uint32_t first, last;         /* words, last excluded */
};

/* Find the numbers among the words and mark these as PART_NUMBER. Returns how many, at most NUMBERS_MAX.
 * [any] */
size_t numbers_read(struct word *words, size_t n_words, struct number *out);

/* Add what "today", "yesterday" and "tomorrow" mean for a text published at `published_ms` (UTC). [any] */
size_t numbers_resolve_days(struct number *numbers, size_t n, int64_t published_ms);

/* Whether a word is a unit of money or measure, and the form in which units are compared. [any] */
bool number_counts_by(const struct word *word);
const char *number_unit_of(const struct word *word);

/* Whether `said` is what `source` says. `unit_near`: its unit stands beside another number of the source.
 * [any] */
bool number_same(const struct number *said, const struct number *source, bool unit_near);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* differ.h - whether two titles that share words are two fillings of one form. */
#ifndef CLUSTER_DIFFER_H
#define CLUSTER_DIFFER_H

#include "sketch.h"

/* What speaks for two events, each 0 to 1 unless said otherwise. */
struct differ {
    double shared;  /* words that both have */
    double names;   /* names that both have */
    double values;  /* values that both have */
    double frame;   /* share of the shorter title that stands in the other in the same order */
    double moved;   /* share of the shared words that stand in another order */
    double swapped; /* share of words that stand in the place of others */
    double slots, cover, head, tail, inserted;
    double others;    /* names of each that the other lacks, the fewer of both, among all */
    double place;     /* both say where, and not the same */
    double order;     /* order, period or score contradict */
    double date;      /* day, month or year contradict */
    double value;     /* money, percent or counts contradict */
    double way;       /* one went up and the other down */
    double strangers; /* both have names and share none */
    double column;
};

/* Compare two titles; the order does not matter. Pure. [any] */
void differ_read(struct differ *differ, const struct sketch *a, const struct sketch *b);

/* How much speaks for two events, as log odds: below 0 rather one, above rather two. */
double differ_weigh(const struct differ *differ);

#endif

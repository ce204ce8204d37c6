/* SPDX-License-Identifier: Apache-2.0 */
/* differ.h - whether two titles that share words are two fillings of one form. */
#ifndef CLUSTER_DIFFER_H
#define CLUSTER_DIFFER_H

#include "sketch.h"

/* How two titles differ. Shares are 0 to 1. */
struct differ {
    uint32_t shared; /* words that both have */
    uint32_t names;  /* names that both have */
    uint32_t values; /* values that both have */
    double frame;    /* share of the shorter title that stands in the other in the same order */
    double cover;    /* of the longer title likewise */
    double moved;    /* share of the shared words that stand in another order */
    double swapped;  /* share of words that stand in the place of others */
    double slots;    /* likewise, of names and values alone */
    double inserted; /* share of the longer title that stands in the place of nothing */
    double others;   /* names of each that the other lacks, the fewer of both, among all */
    bool head;       /* the titles begin with words in the place of others */
    bool clash;      /* orders, periods, scores, dates, sums, percentages or counts contradict */
    bool way;        /* one went up and the other down */
    bool column;     /* both have the form of a list or a share notice */
};

/* Compare two titles; the order does not matter. Pure. [any] */
void differ_read(struct differ *differ, const struct sketch *a, const struct sketch *b);

/* How much speaks for two events, as log odds: below 0 rather one, above rather two. */
double differ_weigh(const struct differ *differ);

#endif

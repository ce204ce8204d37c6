/* SPDX-License-Identifier: Apache-2.0 */
/* number.h - a number as a value and a unit, however a newsroom spells it. */
#ifndef CLUSTER_NUMBER_H
#define CLUSTER_NUMBER_H

#include "token.h"

enum number_kind {
    NUMBER_PLAIN,
    NUMBER_SMALL,   /* up to twelve, without a unit: says little */
    NUMBER_YEAR,    /* 1900 to 2099, without a unit */
    NUMBER_QUARTER, /* Q4, 4Q, fourth quarter */
};

struct number {
    uint64_t value; /* in thousandths, saturated: 12.5 mln is 12500000000 */
    uint64_t unit;  /* hash of "money", "percent", "quarter"; 0 when it has none */
    enum number_kind kind;
};

/* Read the number that begins at token `i`. Gives how many tokens it took; 0 when there is none there, or
 * when the token is a name that only looks like one (18A, 5G, 2nm). */
uint32_t number_read(const struct token_list *list, uint32_t i, struct number *number);

#endif

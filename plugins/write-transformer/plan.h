/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - which sentence of the brief supports which part of the dispatch. */
#ifndef DESK_PLAN_H
#define DESK_PLAN_H

#include "brief.h"

enum { PLAN_BODY_MAX = 5, PLAN_FAQ_MAX = 3, PLAN_PICKS_MAX = 40 };

struct plan {
    uint32_t lead;                /* headline and dek */
    uint32_t body[PLAN_BODY_MAX]; /* in the order of the paragraph */
    size_t n_body;
    uint32_t faq[PLAN_FAQ_MAX];
    size_t n_faq;
    uint32_t spare[PLAN_PICKS_MAX]; /* best first: for what fails */
    size_t n_spare, next_spare;
};

/* 0, or -ENODATA when the records hold fewer than `min_sentences` that can be used. [any] */
int plan_make(const struct brief *brief, size_t min_sentences, struct plan *plan);

#endif

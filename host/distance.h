/* SPDX-License-Identifier: Apache-2.0 */
/* distance.h - how far the logits of one model are from those of another. */
#ifndef HOST_DISTANCE_H
#define HOST_DISTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of two rows of logits, `ours` against `reference`. */
struct distance {
    double nmse;    /* sum (ours - reference)^2 / sum reference^2 */
    double kl;      /* sum p ln(p / q), p = softmax(reference), q = softmax(ours); nats, never below 0 */
    bool same_best; /* the largest logit has the same id; of equal ones the lowest */
    bool finite;    /* all values are; else nmse and kl are infinite */
};

struct distance distance_of(const float *ours, const float *reference, size_t n);

/* Over many rows. Zeroed at first. */
struct distances {
    size_t n, n_same;
    double nmse_sum, nmse_max, kl_sum, kl_max;
};

void distances_add(struct distances *all, struct distance one);

#endif

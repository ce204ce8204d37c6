/* SPDX-License-Identifier: Apache-2.0 */
/* distance.c - distances between rows of logits, in double precision. */
#include "distance.h"

#include <math.h>

static size_t best_of(const float *row, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

/* ln of the sum of exp(row), and whether every value is finite. */
static double log_sum(const float *row, size_t n, size_t best, bool *finite) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        *finite = *finite && isfinite(row[i]);
        sum += exp((double)row[i] - row[best]);
    }
    return row[best] + log(sum);
}

struct distance distance_of(const float *ours, const float *reference, size_t n) {
    struct distance d = {.finite = true};
    const size_t our_best = best_of(ours, n), best = best_of(reference, n);
    const double our_sum = log_sum(ours, n, our_best, &d.finite),
                 sum = log_sum(reference, n, best, &d.finite);
    double error = 0, power = 0;
    d.same_best = our_best == best;
    if (!d.finite) {
        d.nmse = d.kl = INFINITY;
        return d;
    }
    for (size_t i = 0; i < n; i++) {
        const double r = reference[i], e = ours[i] - r, lp = r - sum;
        error += e * e;
        power += r * r;
        d.kl += exp(lp) * (lp - (ours[i] - our_sum));
    }
    d.nmse = error == 0 ? 0 : error / power;
    d.kl = d.kl > 0 ? d.kl : 0; /* rounding */
    return d;
}

void distances_add(struct distances *all, struct distance one) {
    all->n++;
    all->n_same += one.same_best;
    all->nmse_sum += one.nmse;
    all->kl_sum += one.kl;
    all->nmse_max = one.nmse > all->nmse_max ? one.nmse : all->nmse_max;
    all->kl_max = one.kl > all->kl_max ? one.kl : all->kl_max;
}

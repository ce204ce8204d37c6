/* SPDX-License-Identifier: Apache-2.0 */
/* sample.h - how a token is drawn: the reference semantics of TELEX_ROW_SAMPLE and of struct telex_sampler.
 *
 * A choice is a pure function of the logits of the allowed ids, the settings, the seed and the counter. The
 * steps, always in this order:
 *
 *   1. mask            only ids whose bit is set take part (NULL: all)
 *   2. repeat penalty  l > 0 ? l / p : l * p, in float, for ids that the job has already put out
 *   3. top-k           keep the k largest; of equal ones the lower id goes first
 *   4. top-p           keep the shortest run of the largest whose share of the softmax reaches p; at least
 * one
 *   5. min-p           keep those whose share is at least min_p times that of the largest
 *   6. temperature     0: take the largest, of equal ones the lower id; nothing is drawn
 *   7. draw            the id with the largest  (double)l / temperature + gumbel(seed, counter, id),
 *                      of equal ones the lower id
 *
 * TELEX_ROW_SAMPLE is steps 1, 6 and 7. `counter` is the number of tokens that the job has put out before, so
 * a draw depends neither on the batch nor on what was forced or cached.
 *
 * gumbel(seed, counter, id) = -ln(-ln(u)), u = (w + 0.5) / 2^32, where w is word id % 4 of Philox4x32-10 with
 * the key {seed low, seed high} and the counter block {id / 4, counter low, counter high, 0}. ln is sample_ln
 * below: double precision, each operation rounded by itself (no fused multiply-add), so that every machine
 * gets the same bits. A NaN logit counts as minus infinity. */
#ifndef SDK_DRIVER_SAMPLE_H
#define SDK_DRIVER_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

/* Four words of Philox4x32-10. */
void sample_philox(const uint32_t key[2], const uint32_t block[4], uint32_t out[4]);

/* e^x for x <= 0, within 2 ulp; 0 below -700. Shares of a softmax are sample_exp(l - largest), and the sum of
 * all of them is taken in 256 parts, by id % 256, which are then added in ascending order: the same bits
 * everywhere. */
double sample_exp(double x);

/* Natural logarithm of 0 < x < 2^1023, within 2 ulp, the same bits everywhere. */
double sample_ln(double x);

double sample_gumbel(uint64_t seed, uint64_t counter, uint32_t id);

/* Steps 1, 6, 7 over n logits. ids NULL: logit i belongs to id i, else to ids[i] (any order). -1 when no id
 * is allowed. [any] */
int32_t sample_row(const int32_t *ids, const float *logits, size_t n, const uint32_t *mask, float temperature,
                   uint64_t seed, uint64_t counter);

struct sample_settings {
    uint32_t top_k;
    float temperature, top_p, min_p, repeat_penalty;
};

/* True when steps 2 to 5 are off, so that a backend can draw by itself. */
int sample_is_plain(const struct sample_settings *settings);

/* Memory for sample_choose; grows as needed. Zeroed at first; free with sample_scratch_finish. */
struct sample_scratch {
    struct sample_item {
        float logit;
        int32_t id;
    } * items;
    size_t capacity;
};

void sample_scratch_finish(struct sample_scratch *scratch);

/* All seven steps. `seen` lists the ids already put out (repeats are fine). -1 when no id is allowed, -2 when
 * out of memory. [any] */
int32_t sample_choose(const struct sample_settings *settings, const int32_t *ids, const float *logits,
                      size_t n, const uint32_t *mask, const int32_t *seen, size_t n_seen, uint64_t seed,
                      uint64_t counter, struct sample_scratch *scratch);

#endif

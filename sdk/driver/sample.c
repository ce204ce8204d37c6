/* SPDX-License-Identifier: Apache-2.0 */
/* sample.c - the sampler of sample.h.
 *
 * Compiled with -ffp-contract=off: the bits of ln and of the scores are part of the contract. The kept
 * candidates are taken from a heap, largest first, so that a vocabulary is never sorted. */
#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double GUMBEL_MAX = 22.9; /* above -ln(-ln(1 - 2^-33)) */

void sample_philox(const uint32_t key[2], const uint32_t block[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1], c[4];
    memcpy(c, block, sizeof(c));
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1,
                            (uint32_t)a};
        memcpy(c, next, sizeof(c));
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof(c));
}

/* x = m * 2^e with m in (sqrt(1/2), sqrt(2)]; ln m = 2 atanh((m - 1) / (m + 1)) as a series in the square. */
double sample_ln(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    int e = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffull) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof(m));
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
    for (int k = 23; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * z;
    return e * 0.693147180559945309417 + 2.0 * s * (1.0 + sum);
}

/* e^x = 2^n e^r, n = round(x / ln 2); e^r, |r| <= ln 2 / 2, as its series by Horner's rule. */
double sample_exp(double x) {
    if (!(x > -700.0))
        return 0.0;
    double n = rint(x * 1.44269504088896340736);
    double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double sum = 1.0;
    for (int k = 13; k >= 1; k--)
        sum = 1.0 + sum * r / k;
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof(power));
    return sum * power;
}

static double gumbel_of(uint32_t word) {
    double u = ((double)word + 0.5) * (1.0 / 4294967296.0);
    return -sample_ln(-sample_ln(u));
}

double sample_gumbel(uint64_t seed, uint64_t counter, uint32_t id) {
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, words[4];
    uint32_t block[4] = {id / 4, (uint32_t)counter, (uint32_t)(counter >> 32), 0};
    sample_philox(key, block, words);
    return gumbel_of(words[id % 4]);
}

static float logit_of(float logit) {
    return isnan(logit) ? -INFINITY : logit;
}

static int allowed(const uint32_t *mask, int32_t id) {
    return !mask || (mask[(uint32_t)id / 32] >> ((uint32_t)id % 32) & 1);
}

/* a stands before b: larger logit, then lower id. */
static int before(float a, int32_t a_id, float b, int32_t b_id) {
    return a > b || (a == b && a_id < b_id);
}

/* Index of the largest allowed logit, or n. */
static size_t largest(const int32_t *ids, const float *logits, size_t n, const uint32_t *mask) {
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        int32_t id = ids ? ids[i] : (int32_t)i;
        if (!allowed(mask, id))
            continue;
        if (best == n ||
            before(logit_of(logits[i]), id, logit_of(logits[best]), ids ? ids[best] : (int32_t)best))
            best = i;
    }
    return best;
}

int32_t sample_row(const int32_t *ids, const float *logits, size_t n, const uint32_t *mask, float temperature,
                   uint64_t seed, uint64_t counter) {
    size_t top = largest(ids, logits, n, mask);
    if (top == n)
        return -1;
    int32_t best = ids ? ids[top] : (int32_t)top;
    if (!(temperature > 0.0f))
        return best;
    /* The largest logit goes first, so that nearly all others are passed by without a draw. */
    double best_score =
        (double)logit_of(logits[top]) / temperature + sample_gumbel(seed, counter, (uint32_t)best);
    for (size_t i = 0; i < n; i++) {
        int32_t id = ids ? ids[i] : (int32_t)i;
        double scaled = (double)logit_of(logits[i]) / temperature;
        if (!allowed(mask, id) || scaled + GUMBEL_MAX < best_score)
            continue;
        double score = scaled + sample_gumbel(seed, counter, (uint32_t)id);
        if (score > best_score || (score == best_score && id < best)) {
            best_score = score;
            best = id;
        }
    }
    return best;
}

int sample_is_plain(const struct sample_settings *s) {
    return s->top_k == 0 && !(s->top_p < 1.0f) && !(s->min_p > 0.0f) &&
           (s->repeat_penalty == 1.0f || s->repeat_penalty <= 0.0f);
}

void sample_scratch_finish(struct sample_scratch *scratch) {
    free(scratch->items);
    memset(scratch, 0, sizeof(*scratch));
}

static void sift(struct sample_item *heap, size_t n, size_t at) {
    struct sample_item item = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n &&
            before(heap[child + 1].logit, heap[child + 1].id, heap[child].logit, heap[child].id))
            child++;
        if (!before(heap[child].logit, heap[child].id, item.logit, item.id))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

/* Step 2. Items stand in the order of the ids given; without a list that order ascends, so each seen id is
 * searched. */
static void penalise(float p, const int32_t *seen, size_t n_seen, int sorted, struct sample_item *items,
                     size_t n) {
    for (size_t k = 0; k < n_seen; k++) {
        int again = 0;
        for (size_t j = 0; j < k && !again; j++)
            again = seen[j] == seen[k];
        size_t low = 0, high = n;
        while (sorted && low < high) {
            size_t middle = low + (high - low) / 2;
            if (items[middle].id < seen[k])
                low = middle + 1;
            else
                high = middle;
        }
        while (!sorted && low < n && items[low].id != seen[k])
            low++;
        if (again || low == n || items[low].id != seen[k])
            continue;
        float l = items[low].logit;
        items[low].logit = l > 0.0f ? l / p : l * p;
    }
}

/* Steps 1 and 2: the allowed candidates into scratch. Their number, or -1 when out of memory. */
static long gather(const struct sample_settings *settings, const int32_t *ids, const float *logits, size_t n,
                   const uint32_t *mask, const int32_t *seen, size_t n_seen, struct sample_scratch *scratch) {
    if (scratch->capacity < n) {
        struct sample_item *items = realloc(scratch->items, n * sizeof(*items));
        if (!items)
            return -1;
        scratch->items = items;
        scratch->capacity = n;
    }
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = ids ? ids[i] : (int32_t)i;
        if (!allowed(mask, id))
            continue;
        scratch->items[count].logit = logit_of(logits[i]);
        scratch->items[count++].id = id;
    }
    if (settings->repeat_penalty > 0.0f && settings->repeat_penalty != 1.0f)
        penalise(settings->repeat_penalty, seen, n_seen, !ids, scratch->items, count);
    return (long)count;
}

/* Move the largest item of a heap of n behind it. */
static struct sample_item take(struct sample_item *heap, size_t n) {
    struct sample_item top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sift(heap, n - 1, 0);
    return top;
}

/* The sum of all shares, in an order that many threads can keep: 256 sums by id, then those ascending. */
static double total_share(const struct sample_item *items, size_t n) {
    double lanes[256] = {0.0}, largest = -INFINITY, total = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = items[i].logit > largest ? items[i].logit : largest;
    for (size_t i = 0; i < n; i++)
        lanes[(uint32_t)items[i].id % 256] += sample_exp(items[i].logit - largest);
    for (int lane = 0; lane < 256; lane++)
        total += lanes[lane];
    return total;
}

/* Steps 3 to 5. The kept ones end up at the end of the array, smallest first; returns how many they are. */
static size_t keep(const struct sample_settings *settings, struct sample_item *items, size_t n) {
    int top_k = settings->top_k > 0 && settings->top_k < n, top_p = settings->top_p < 1.0f;
    size_t limit = top_k ? settings->top_k : n, kept = 0;
    if (!top_k && !top_p && !(settings->min_p > 0.0f))
        return n;
    double total = top_p && !top_k ? total_share(items, n) : 0.0, sum = 0.0;
    for (size_t i = n / 2; i-- > 0;)
        sift(items, n, i);
    double largest_logit = items[0].logit;
    for (size_t i = 0; i < limit && top_k; i++)
        total += sample_exp(take(items, n - i).logit - largest_logit);
    for (; kept < limit; kept++) { /* with top-k they are in place already, else each is taken now */
        double share = sample_exp((top_k ? items[n - kept - 1] : items[0]).logit - largest_logit);
        if (kept > 0 && ((settings->min_p > 0.0f && share < settings->min_p) ||
                         (top_p && sum >= (double)settings->top_p * total)))
            break;
        if (!top_k)
            take(items, n - kept);
        sum += share;
    }
    return kept;
}

int32_t sample_choose(const struct sample_settings *settings, const int32_t *ids, const float *logits,
                      size_t n, const uint32_t *mask, const int32_t *seen, size_t n_seen, uint64_t seed,
                      uint64_t counter, struct sample_scratch *scratch) {
    if (sample_is_plain(settings))
        return sample_row(ids, logits, n, mask, settings->temperature, seed, counter);
    long count = gather(settings, ids, logits, n, mask, seen, n_seen, scratch);
    if (count <= 0)
        return count < 0 ? -2 : -1;
    struct sample_item *items = scratch->items;
    size_t kept = keep(settings, items, (size_t)count);
    struct sample_item *from = items + count - kept;
    int32_t best = -1;
    double best_score = 0.0;
    for (size_t i = 0; i < kept; i++) {
        double score = settings->temperature > 0.0f ? (double)from[i].logit / settings->temperature +
                                                          sample_gumbel(seed, counter, (uint32_t)from[i].id)
                                                    : (double)from[i].logit;
        if (best < 0 || score > best_score || (score == best_score && from[i].id < best)) {
            best = from[i].id;
            best_score = score;
        }
    }
    return best;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* sample.cuh - how a token is drawn on the device: the steps of sdk/driver/sample.h, to the same bits.
 *
 * Double precision, each operation rounded by itself. A row a block. */
#ifndef TELEX_SAMPLE_CUH
#define TELEX_SAMPLE_CUH

#include "product_kernels.cuh"

enum { SAMPLE_THREADS = 256, DIGITS = 16, DIGIT_BITS = 4 };

/* ---- numbers ---- */

DEVICE void philox(uint32_t k0, uint32_t k1, uint32_t c[4]) {
    for (int round = 0; round < 10; round++) {
        const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * c[0],
                       b = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
        const uint32_t c1 = c[1], c3 = c[3];

        c[0] = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
        c[1] = static_cast<uint32_t>(b);
        c[2] = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
        c[3] = static_cast<uint32_t>(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* sample_ln of sample.c. */
DEVICE double ln_d(double x) {
    uint64_t bits = double_bits(x);
    int e = static_cast<int>(bits >> 52) - 1023;
    double m = bits_double((bits & 0xfffffffffffffull) | static_cast<uint64_t>(1023) << 52);

    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    double sum = 0.0;
    for (int k = 23; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * z;
    return e * 0.693147180559945309417 + 2.0 * s * (1.0 + sum);
}

/* sample_exp of sample.c, x <= 0. */
DEVICE double exp_d(double x) {
    if (!(x > -700.0))
        return 0.0;
    const double n = rint(x * 1.44269504088896340736);
    const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double sum = 1.0;
    for (int k = 13; k >= 1; k--)
        sum = 1.0 + sum * r / k;
    return sum * bits_double(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
}

DEVICE double gumbel(const batch_ask &ask, uint32_t id) {
    uint32_t c[4] = {id / 4, static_cast<uint32_t>(ask.counter), static_cast<uint32_t>(ask.counter >> 32), 0};

    philox(static_cast<uint32_t>(ask.seed), static_cast<uint32_t>(ask.seed >> 32), c);
    const uint32_t word = id % 4 == 0 ? c[0] : id % 4 == 1 ? c[1] : id % 4 == 2 ? c[2] : c[3];
    const double u = (static_cast<double>(word) + 0.5) * (1.0 / 4294967296.0);
    return -ln_d(-ln_d(u));
}

/* ---- the best of a block ---- */

struct choice {
    double score;
    int32_t id; /* -1: none */
};
DEVICE choice better(const choice &a, const choice &b) {
    if (a.id < 0 || b.id < 0)
        return a.id < 0 ? b : a;
    return b.score > a.score || (b.score == a.score && b.id < a.id) ? b : a;
}

/* Every thread gets the block's best: the larger score, of equal ones the lower id. Waits for the block
 * twice. */
DEVICE choice block_best(choice own) {
    SHARED(double, scores, SAMPLE_THREADS);
    SHARED(int32_t, ids, SAMPLE_THREADS);

    scores[threadIdx.x] = own.score;
    ids[threadIdx.x] = own.id;
    for (uint32_t half = SAMPLE_THREADS / 2; half > 0; half /= 2) {
        sync_block();
        if (threadIdx.x < half) {
            const choice best = better({scores[threadIdx.x], ids[threadIdx.x]},
                                       {scores[threadIdx.x + half], ids[threadIdx.x + half]});
            scores[threadIdx.x] = best.score;
            ids[threadIdx.x] = best.id;
        }
    }
    sync_block();
    const choice best = {scores[0], ids[0]};
    sync_block();
    return best;
}

DEVICE float logit_of(float logit) {
    return logit == logit ? logit : bits_float(0xff800000u);
}
DEVICE bool is_allowed(const uint32_t *mask, uint32_t id) {
    return !mask || (mask[id / 32] >> id % 32 & 1);
}

/* Mask, temperature, draw. */
DEVICE int32_t draw_plain(const batch_ask &ask, const float *logits, const uint32_t *mask, uint32_t n_vocab) {
    choice best = {0.0, -1};

    for (uint32_t id = threadIdx.x; id < n_vocab; id += SAMPLE_THREADS)
        if (is_allowed(mask, id))
            best = better(best, {static_cast<double>(logit_of(logits[id])), static_cast<int32_t>(id)});
    best = block_best(best);
    if (best.id < 0 || !(ask.temperature > 0.0f))
        return best.id;
    /* A gumbel is below 22.9: what cannot reach the largest logit's score is passed by. */
    const double temperature = ask.temperature;
    best.score = best.score / temperature + gumbel(ask, static_cast<uint32_t>(best.id));
    choice own = best;
    for (uint32_t id = threadIdx.x; id < n_vocab; id += SAMPLE_THREADS) {
        const double scaled = static_cast<double>(logit_of(logits[id])) / temperature;

        if (is_allowed(mask, id) && !(scaled + 22.9 < best.score))
            own = better(own, {scaled + gumbel(ask, id), static_cast<int32_t>(id)});
    }
    return block_best(own).id;
}

/* ---- penalty, top-k, top-p, min-p ---- */

/* A key that ascends as logits descend; zeros of both signs are one. */
DEVICE uint32_t key_of(float logit) {
    const uint32_t bits = float_bits(logit + 0.0f);
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}
DEVICE float key_logit(uint32_t key) {
    const uint32_t bits = ~key;
    return bits_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

/* Candidate seen[j], unless it was seen before: l / p, or l * p below zero. Ids ascend in `out`. */
DEVICE void penalise(float p, const int32_t *seen, uint32_t j, uint64_t *out, uint32_t n) {
    const uint32_t id = static_cast<uint32_t>(seen[j]);
    uint32_t low = 0, high = n;

    for (uint32_t i = 0; i < j; i++)
        if (seen[i] == seen[j])
            return;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (static_cast<uint32_t>(out[middle]) < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || static_cast<uint32_t>(out[low]) != id)
        return;
    const float l = key_logit(static_cast<uint32_t>(out[low] >> 32));
    out[low] = static_cast<uint64_t>(key_of(l > 0.0f ? l / p : l * p)) << 32 | id;
}

/* The allowed candidates, (key, id), ids ascending; returns how many. */
DEVICE uint32_t gather(const batch_ask &ask, const float *logits, const uint32_t *mask, const int32_t *seen,
                       uint32_t n_vocab, uint64_t *out) {
    SHARED(uint32_t, counts, SAMPLE_THREADS);
    const uint32_t each = (n_vocab + SAMPLE_THREADS - 1) / SAMPLE_THREADS, first = threadIdx.x * each;
    const uint32_t end = first + each < n_vocab ? first + each : n_vocab;
    const float p = ask.repeat_penalty;
    uint32_t n = 0, at = 0, total = 0;

    for (uint32_t id = first; id < end; id++)
        n += is_allowed(mask, id);
    counts[threadIdx.x] = n;
    sync_block();
    for (uint32_t t = 0; t < SAMPLE_THREADS; t++) {
        at += t < threadIdx.x ? counts[t] : 0;
        total += counts[t];
    }
    for (uint32_t id = first; id < end; id++)
        if (is_allowed(mask, id))
            out[at++] = static_cast<uint64_t>(key_of(logit_of(logits[id]))) << 32 | id;
    sync_block();
    for (uint32_t j = threadIdx.x; j < ask.n_seen && p > 0.0f && p != 1.0f; j += SAMPLE_THREADS)
        penalise(p, seen, j, out, total);
    sync_block();
    return total;
}

/* One stable pass of a radix sort by four bits of the key. */
DEVICE void sort_pass(const uint64_t *from, uint64_t *to, uint32_t n, uint32_t shift) {
    SHARED(uint32_t, counts, DIGITS * SAMPLE_THREADS); /* (digit, thread) */
    SHARED(uint32_t, starts, DIGITS);
    const uint32_t each = (n + SAMPLE_THREADS - 1) / SAMPLE_THREADS, first = threadIdx.x * each;
    const uint32_t end = first + each < n ? first + each : n;

    for (uint32_t d = 0; d < DIGITS; d++)
        counts[d * SAMPLE_THREADS + threadIdx.x] = 0;
    for (uint32_t i = first; i < end; i++)
        counts[(from[i] >> shift) % DIGITS * SAMPLE_THREADS + threadIdx.x]++;
    sync_block();
    if (threadIdx.x < DIGITS) { /* within a digit, threads ascending */
        uint32_t sum = 0;

        for (uint32_t t = 0; t < SAMPLE_THREADS; t++) {
            const uint32_t own = counts[threadIdx.x * SAMPLE_THREADS + t];
            counts[threadIdx.x * SAMPLE_THREADS + t] = sum;
            sum += own;
        }
        starts[threadIdx.x] = sum;
    }
    sync_block();
    if (threadIdx.x == 0) {
        uint32_t sum = 0;

        for (uint32_t d = 0; d < DIGITS; d++) {
            const uint32_t own = starts[d];
            starts[d] = sum;
            sum += own;
        }
    }
    sync_block();
    for (uint32_t i = first; i < end; i++) {
        const uint32_t d = static_cast<uint32_t>(from[i] >> shift) % DIGITS;
        to[starts[d] + counts[d * SAMPLE_THREADS + threadIdx.x]++] = from[i];
    }
    sync_block();
}

/* How many of the sorted candidates stay. */
DEVICE uint32_t keep(const batch_ask &ask, const uint64_t *sorted, const uint64_t *by_id, uint32_t n) {
    SHARED(double, lanes, SAMPLE_THREADS);
    SHARED(uint32_t, kept_here, 1);
    const bool top_k = ask.top_k > 0 && ask.top_k < n, top_p = ask.top_p<1.0f, min_p = ask.min_p> 0.0f;
    const double largest = key_logit(static_cast<uint32_t>(sorted[0] >> 32));

    lanes[threadIdx.x] = 0.0;
    if (top_p && !top_k) /* by_id ascends in ids: each lane adds those with its remainder, ascending */
        for (uint32_t i = 0; i < n; i++)
            if (static_cast<uint32_t>(by_id[i]) % SAMPLE_THREADS == threadIdx.x)
                lanes[threadIdx.x] += exp_d(key_logit(static_cast<uint32_t>(by_id[i] >> 32)) - largest);
    sync_block();
    if (threadIdx.x == 0) {
        const uint32_t limit = top_k ? ask.top_k : n;
        double total = 0.0, sum = 0.0;
        uint32_t kept = 0;

        for (uint32_t t = 0; t < SAMPLE_THREADS && !top_k; t++)
            total += lanes[t];
        for (uint32_t i = 0; i < limit && top_k && top_p; i++)
            total += exp_d(key_logit(static_cast<uint32_t>(sorted[i] >> 32)) - largest);
        for (; kept < limit && (top_p || min_p); kept++) {
            const double share = exp_d(key_logit(static_cast<uint32_t>(sorted[kept] >> 32)) - largest);

            if (kept > 0 &&
                ((min_p && share < ask.min_p) || (top_p && sum >= static_cast<double>(ask.top_p) * total)))
                break;
            sum += share;
        }
        kept_here[0] = top_p || min_p ? kept : limit;
    }
    sync_block();
    return kept_here[0];
}

/* All seven steps. order: 2 runs of n_vocab. */
DEVICE int32_t draw_kept(const batch_ask &ask, const float *logits, const uint32_t *mask, const int32_t *seen,
                         uint32_t n_vocab, uint64_t *first, uint64_t *second, uint64_t *by_id) {
    const uint32_t n = gather(ask, logits, mask, seen, n_vocab, by_id);
    const uint64_t *sorted = by_id;
    choice own = {0.0, -1};

    if (n == 0)
        return -1;
    for (uint32_t pass = 0; pass < 32 / DIGIT_BITS; pass++) {
        uint64_t *to = pass % 2 ? second : first;
        sort_pass(sorted, to, n, 32 + DIGIT_BITS * pass);
        sorted = to;
    }
    const uint32_t kept = keep(ask, sorted, by_id, n);
    for (uint32_t i = threadIdx.x; i < kept; i += SAMPLE_THREADS) {
        const uint32_t id = static_cast<uint32_t>(sorted[i]);
        const double l = key_logit(static_cast<uint32_t>(sorted[i] >> 32));
        const double score = ask.temperature > 0.0f ? l / ask.temperature + gumbel(ask, id) : l;

        own = better(own, {score, static_cast<int32_t>(id)});
    }
    return block_best(own).id;
}

/* One row that asks a block. */
KERNEL BOUNDS(SAMPLE_THREADS, 1) sample(const sample_args k) {
    const batch_head *b = k.batch;

    if (blockIdx.x >= b->n_asked)
        return;
    const batch_ask ask = BATCH_AT(batch_ask, b, asked_at)[blockIdx.x];
    if (ask.kind != ASKED_SAMPLE)
        return;
    const float *logits = k.logits + static_cast<uint64_t>(blockIdx.x) * k.n_vocab;
    const uint32_t words = (k.n_vocab + 31) / 32;
    const uint32_t *mask =
        ask.mask < 0 ? nullptr : BATCH_AT(uint32_t, b, mask_at) + static_cast<uint64_t>(ask.mask) * words;
    const bool plain = ask.top_k == 0 && !(ask.top_p < 1.0f) && !(ask.min_p > 0.0f) &&
                       (ask.repeat_penalty == 1.0f || ask.repeat_penalty <= 0.0f);
    uint64_t *order = k.order + static_cast<uint64_t>(blockIdx.x) * 3 * k.n_vocab;
    const int32_t id =
        plain ? draw_plain(ask, logits, mask, k.n_vocab)
              : draw_kept(ask, logits, mask, BATCH_AT(int32_t, b, seen_at) + ask.first_seen, k.n_vocab, order,
                          order + k.n_vocab, order + 2 * static_cast<uint64_t>(k.n_vocab));

    if (threadIdx.x == 0)
        k.result->id[blockIdx.x] = id;
}

/* The SUBSET logits, and whether any logit is no number. One block. */
KERNEL BOUNDS(SAMPLE_THREADS, 1) finish(const finish_args k) {
    const batch_head *b = k.batch;
    SHARED(uint32_t, counts, SAMPLE_THREADS);
    uint32_t bad = 0;

    for (uint32_t g = threadIdx.x; g < k.n_groups; g += SAMPLE_THREADS)
        bad += is_needed(b, g) && k.bad[g];
    counts[threadIdx.x] = bad;
    sync_block();
    if (threadIdx.x == 0) {
        for (uint32_t t = 1; t < SAMPLE_THREADS; t++)
            bad += counts[t];
        k.result->n_bad = bad;
    }
    for (uint32_t row = 0; row < b->n_asked; row++) {
        const batch_ask ask = BATCH_AT(batch_ask, b, asked_at)[row];

        for (uint32_t i = threadIdx.x; i < ask.n_ids; i += SAMPLE_THREADS)
            k.some[ask.first_id + i] =
                k.logits[static_cast<uint64_t>(row) * k.n_vocab +
                         static_cast<uint32_t>(BATCH_AT(int32_t, b, ids_at)[ask.first_id + i])];
    }
}

#endif

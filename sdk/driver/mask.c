/* SPDX-License-Identifier: Apache-2.0 */
/* mask.c - the cache of masks and the rule for forced tokens.
 *
 * Masks hang in a hash table and in one list from newest to oldest use; the oldest unpinned ones go when
 * their memory is over the limit. */
#include "mask.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUCKETS = 1024 };

struct mask_cache {
    const struct vocab *vocab;             /* borrowed */
    const struct telex_model *model_class; /* borrowed */
    void *model;                           /* borrowed */
    size_t limit;
    struct mask *buckets[BUCKETS];
    struct mask *newest, *oldest;
    struct grammar_state *scratch; /* max_bytes + 1 */
    struct mask_stats stats;
};

struct mask_cache *mask_cache_create(const struct vocab *vocab, const struct telex_model *model_class,
                                     void *model, size_t limit) {
    struct mask_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->vocab = vocab;
    cache->model_class = model_class;
    cache->model = model;
    cache->limit = limit;
    cache->scratch = malloc(((size_t)vocab->max_bytes + 1) * sizeof(*cache->scratch));
    if (!cache->scratch) {
        free(cache);
        return NULL;
    }
    return cache;
}

static void free_mask(struct mask *m) {
    free(m->ids);
    free(m->bits);
    free(m);
}

void mask_cache_destroy(struct mask_cache *cache) {
    if (!cache)
        return;
    while (cache->newest) {
        struct mask *m = cache->newest;
        cache->newest = m->older;
        free_mask(m);
    }
    free(cache->scratch);
    free(cache);
}

struct mask_stats mask_cache_stats(const struct mask_cache *cache) {
    return cache->stats;
}

/* ---- the table ---- */

static uint64_t hash_key(uint64_t grammar_id, const uint8_t *key, size_t n) {
    uint64_t h = 1469598103934665603ull ^ grammar_id * 0x9E3779B97F4A7C15ull;
    for (size_t i = 0; i < n; i++)
        h = (h ^ key[i]) * 1099511628211ull;
    return h ^ h >> 29;
}

static void unlink_use(struct mask_cache *cache, struct mask *m) {
    *(m->newer ? &m->newer->older : &cache->newest) = m->older;
    *(m->older ? &m->older->newer : &cache->oldest) = m->newer;
}

static void link_newest(struct mask_cache *cache, struct mask *m) {
    m->newer = NULL;
    m->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = m;
    cache->newest = m;
}

static void evict(struct mask_cache *cache) {
    for (struct mask *m = cache->oldest, *newer; m && cache->stats.bytes > cache->limit; m = newer) {
        newer = m->newer;
        if (m->pins)
            continue;
        struct mask **at = &cache->buckets[m->hash % BUCKETS];
        while (*at != m)
            at = &(*at)->hash_next;
        *at = m->hash_next;
        unlink_use(cache, m);
        cache->stats.bytes -= m->cost;
        free_mask(m);
    }
}

/* ---- forced bytes ---- */

/* The model's own tokens for some bytes. How many, or 0 when they do not spell the same bytes again. */
static uint32_t tokens_of(struct mask_cache *cache, const uint8_t *bytes, size_t n,
                          int32_t ids[FORCED_MAX_BYTES]) {
    const struct vocab *v = cache->vocab;
    struct telex_bytes text = {bytes, n};
    int64_t count = cache->model_class->tokenize(cache->model, text, 0, ids, FORCED_MAX_BYTES);
    if (count <= 0 || count > FORCED_MAX_BYTES)
        return 0;
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= v->n)
            return 0;
        uint32_t size = vocab_size(v, ids[i]);
        if (size == 0 || size > n - at || memcmp(vocab_bytes(v, ids[i]), bytes + at, size) != 0)
            return 0;
        at += size;
    }
    return at == n ? (uint32_t)count : 0;
}

uint32_t mask_forced(struct mask_cache *cache, const struct constraint *constraint,
                     struct grammar_state *state, int32_t *out, uint32_t capacity) {
    uint8_t bytes[FORCED_MAX_BYTES];
    int32_t ids[FORCED_MAX_BYTES];
    uint32_t total = 0;
    for (;;) {
        size_t n = grammar_forced(constraint->grammar, state, bytes, sizeof(bytes));
        uint32_t count = n ? tokens_of(cache, bytes, n, ids) : 0, at = 0, kept = 0;
        struct grammar_state end;
        grammar_copy(&end, state);
        for (size_t i = 0; i < n; i++)
            grammar_step(constraint->grammar, &end, bytes[i]);
        while (kept < count && total + kept < capacity) {
            /* a whole text cannot be continued, so nothing is held back */
            if (end.depth > 0 && vocab_extends(cache->vocab, bytes + at, (uint32_t)n - at))
                break;
            at += vocab_size(cache->vocab, ids[kept]);
            out[total + kept] = ids[kept];
            kept++;
        }
        for (uint32_t i = 0; i < at; i++)
            grammar_step(constraint->grammar, state, bytes[i]);
        total += kept;
        if (kept == 0 || n < sizeof(bytes) || total == capacity)
            return total;
    }
}

/* Where forced bytes are held back: of the tokens allowed, leave the model's own one and those that reach the
 * end of the forced bytes. */
static void leave_canonical(struct mask_cache *cache, const struct constraint *constraint,
                            const struct grammar_state *state, uint32_t *bits) {
    const struct vocab *v = cache->vocab;
    uint8_t bytes[FORCED_MAX_BYTES];
    int32_t ids[FORCED_MAX_BYTES];
    size_t n = grammar_forced(constraint->grammar, state, bytes, sizeof(bytes));
    uint32_t count = n ? tokens_of(cache, bytes, n, ids) : 0;
    if (count == 0)
        return;
    for (uint32_t w = 0; w < v->n_words; w++)
        for (uint32_t rest = bits[w]; rest; rest &= rest - 1) {
            int32_t id = (int32_t)(w * 32 + (uint32_t)__builtin_ctz(rest));
            if (id != ids[0] && vocab_size(v, id) < n)
                bits[w] &= ~(rest & -rest);
        }
}

/* ---- masks ---- */

static bool fill(struct mask_cache *cache, const struct constraint *constraint,
                 const struct grammar_state *state, struct mask *m) {
    const struct vocab *v = cache->vocab;
    m->bits = calloc(v->n_words, sizeof(*m->bits));
    if (!m->bits)
        return false;
    vocab_mask(v, constraint->grammar, state, cache->scratch, m->bits);
    leave_canonical(cache, constraint, state, m->bits);
    for (uint32_t w = 0; w < v->n_words; w++)
        m->count += (uint32_t)__builtin_popcount(m->bits[w]);
    m->cost = sizeof(*m) + v->n_words * sizeof(*m->bits);
    if (m->count > MASK_LIST_MAX)
        return true;
    m->ids = malloc((m->count + 1) * sizeof(*m->ids));
    if (!m->ids)
        return false;
    m->cost += m->count * sizeof(*m->ids);
    uint32_t n = 0;
    for (uint32_t w = 0; w < v->n_words; w++)
        for (uint32_t rest = m->bits[w]; rest; rest &= rest - 1)
            m->ids[n++] = (int32_t)(w * 32 + (uint32_t)__builtin_ctz(rest));
    return true;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct mask *mask_get(struct mask_cache *cache, const struct constraint *constraint,
                      const struct grammar_state *state) {
    uint8_t key[GRAMMAR_KEY_BYTES];
    size_t n = grammar_key(constraint->grammar, state, cache->vocab->max_bytes + 1, key);
    uint64_t hash = hash_key(constraint->id, key, n);
    struct mask **bucket = &cache->buckets[hash % BUCKETS], *m = *bucket;
    while (m && !(m->hash == hash && m->grammar_id == constraint->id && m->key_bytes == n &&
                  memcmp(m->key, key, n) == 0))
        m = m->hash_next;
    if (m) {
        cache->stats.hits++;
        unlink_use(cache, m);
    } else {
        uint64_t start = now_ns();
        m = calloc(1, sizeof(*m));
        if (!m || !fill(cache, constraint, state, m)) {
            if (m)
                free_mask(m);
            return NULL;
        }
        m->hash = hash;
        m->grammar_id = constraint->id;
        m->key_bytes = (uint32_t)n;
        memcpy(m->key, key, n);
        m->hash_next = *bucket;
        *bucket = m;
        cache->stats.misses++;
        cache->stats.bytes += m->cost;
        cache->stats.miss_ns += now_ns() - start;
    }
    link_newest(cache, m);
    m->pins++;
    evict(cache);
    return m;
}

void mask_unpin(struct mask *mask) {
    mask->pins--;
}

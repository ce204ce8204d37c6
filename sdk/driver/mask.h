/* SPDX-License-Identifier: Apache-2.0 */
/* mask.h - which tokens may come next, and which must.
 *
 * A mask is a function of the grammar's state alone, and is kept under the state's name, so in steady state a
 * token costs one look-up. Everything here belongs to one thread, the scheduler's.
 *
 * Forced bytes (punctuation, property names) are tokenised as the model itself would, and put out without
 * asking the model. The last of those tokens are held back while a longer token could begin there; at such a
 * place only the model's own tokenisation and tokens that reach beyond the forced bytes are allowed, so a
 * text is never cut into tokens that the model has not seen in training. */
#ifndef SDK_DRIVER_MASK_H
#define SDK_DRIVER_MASK_H

#include "grammar.h"
#include "vocab.h"

enum {
    MASK_LIST_MAX = 2048, /* up to so many allowed tokens are listed */
    FORCED_MAX_BYTES = 256
};

struct mask {
    struct mask *hash_next, *older, *newer; /* the cache's */
    uint64_t hash, grammar_id;
    uint32_t key_bytes, pins; /* pins: users; a pinned mask stays */
    uint32_t count;           /* allowed tokens */
    int32_t *ids;             /* ascending, when count <= MASK_LIST_MAX, else NULL */
    uint32_t *bits;
    size_t cost; /* bytes of memory */
    uint8_t key[GRAMMAR_KEY_BYTES];
};

/* A grammar in use; counted by the driver. */
struct constraint {
    const struct grammar *grammar;
    uint64_t id; /* never reused */
};

struct mask_cache;

struct mask_stats {
    uint64_t hits, misses, miss_ns, bytes;
};

/* `limit` bytes at most, apart from pinned masks. vocab, model_class and model are borrowed. NULL: out of
 * memory. */
struct mask_cache *mask_cache_create(const struct vocab *vocab, const struct telex_model *model_class,
                                     void *model, size_t limit);
void mask_cache_destroy(struct mask_cache *cache);

/* The mask of a state, pinned (mask_unpin it). NULL: out of memory. */
struct mask *mask_get(struct mask_cache *cache, const struct constraint *constraint,
                      const struct grammar_state *state);
void mask_unpin(struct mask *mask);

static inline void mask_pin(struct mask *mask) {
    mask->pins++;
}

/* Tokens that must come next; the state moves over them. Writes at most `capacity`, returns how many. */
uint32_t mask_forced(struct mask_cache *cache, const struct constraint *constraint,
                     struct grammar_state *state, int32_t *ids, uint32_t capacity);

struct mask_stats mask_cache_stats(const struct mask_cache *cache);

#endif

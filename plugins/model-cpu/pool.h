/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - a few threads that walk the same list of steps together.
 *
 * A team runs one function on every thread, the caller's included; inside it, threads meet at barriers and
 * share out numbered pieces of work. Waiting spins for some microseconds, then sleeps. */
#ifndef TELEX_POOL_H
#define TELEX_POOL_H

#include <stdatomic.h>
#include <stdint.h>

#include "fail.h"

struct pool;

/* Threads besides the caller are started now. n_threads >= 1. Gives *out (pool_destroy). 0 or negative errno.
 */
int pool_create(uint32_t n_threads, struct pool **out, struct model_fail *fail);
void pool_destroy(struct pool *pool);
uint32_t pool_n_threads(const struct pool *pool);

/* Run fn(arg, thread) for every thread 0..n-1 and return when all have returned. One run at a time; a second
 * caller waits. [any] */
void pool_run(struct pool *pool, void (*fn)(void *arg, uint32_t thread), void *arg);

/* Inside fn: return once every thread is here. */
void pool_meet(struct pool *pool);

/* Inside fn: take up to `chunk` pieces of `total`; *first is the first. Returns how many, 0 when none are
 * left. All threads use one counter, zero at the start, which nobody else touches. */
static inline uint32_t pool_share(atomic_uint *counter, uint32_t total, uint32_t chunk, uint32_t *first) {
    const uint32_t at = atomic_fetch_add_explicit(counter, chunk, memory_order_relaxed);

    *first = at;
    return at >= total ? 0 : total - at < chunk ? total - at : chunk;
}

#endif

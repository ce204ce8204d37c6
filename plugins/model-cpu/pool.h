/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - a few threads that walk a list of steps together.
 *
 * A step is a number of pieces that may be done in any order by anyone; the next step begins when all of them
 * are done. What is waited for is work, never a thread: one that the system has not given a processor holds
 * nobody up, and the caller alone would finish the list. Waiting spins for some microseconds, then sleeps. */
#ifndef TELEX_POOL_H
#define TELEX_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "fail.h"

enum { POOL_MAX_PIECES = (1 << 20) - 1, POOL_MAX_THREADS = 256 };

struct pool;

/* Do piece `piece` of step `step`, on thread 0..n-1 (0 is the caller's). */
typedef void (*pool_fn)(void *arg, size_t step, uint32_t piece, uint32_t thread);

/* Threads besides the caller are started now. 1 <= n_threads <= POOL_MAX_THREADS. Gives *out (pool_destroy).
 * 0 or negative errno. */
int pool_create(uint32_t n_threads, struct pool **out, struct model_fail *fail);
void pool_destroy(struct pool *pool);
uint32_t pool_n_threads(const struct pool *pool);

/* Walk steps 0..n_steps-1, where step i has pieces[i] pieces (0: it is passed by; at most POOL_MAX_PIECES),
 * and return when all are done. One walk at a time; a second caller waits. 0 or -ENOMEM (nothing was done).
 * [any] */
int pool_walk(struct pool *pool, size_t n_steps, const uint32_t *pieces, pool_fn fn, void *arg);

#endif

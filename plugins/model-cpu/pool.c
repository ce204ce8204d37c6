/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - a few threads that walk the same list of steps together.
 *
 * Everything waits on a number that only grows: `round` for the next job, `phase` for the barrier. A waiter
 * spins on it and then sleeps in a futex on it, so a wake-up cannot be missed: the number has changed by
 * then. */
#include "pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 4000, MAX_THREADS = 256, CACHE_LINE = 64 };

struct member {
    struct pool *pool;
    uint32_t thread;
    pthread_t id;
};

struct pool {
    uint32_t n_threads;
    uint32_t n_started;
    pthread_mutex_t one_run;
    struct member *members;
    void (*fn)(void *arg, uint32_t thread);
    void *arg;
    bool stopping;
    _Alignas(CACHE_LINE) atomic_uint round; /* grows when a job is posted */
    _Alignas(CACHE_LINE) atomic_uint phase; /* grows when all have met */
    _Alignas(CACHE_LINE) atomic_uint arrived;
    _Alignas(CACHE_LINE) atomic_uint sleepers;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Return once *number is no longer `old`. */
static void wait_for_change(struct pool *pool, atomic_uint *number, uint32_t old) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(number, memory_order_acquire) != old)
            return;
        relax();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(number) == old)
        syscall(SYS_futex, number, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void advance(struct pool *pool, atomic_uint *number) {
    atomic_fetch_add(number, 1);
    if (atomic_load(&pool->sleepers) > 0)
        syscall(SYS_futex, number, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void pool_meet(struct pool *pool) {
    const uint32_t phase = atomic_load_explicit(&pool->phase, memory_order_acquire);

    if (pool->n_threads == 1)
        return;
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->n_threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        advance(pool, &pool->phase);
    } else {
        wait_for_change(pool, &pool->phase, phase);
    }
}

static void *member_main(void *arg) {
    struct member *self = arg;
    struct pool *pool = self->pool;

    for (uint32_t round = 0;; round++) {
        wait_for_change(pool, &pool->round, round);
        if (pool->stopping)
            return NULL;
        pool->fn(pool->arg, self->thread);
        pool_meet(pool);
    }
}

void pool_run(struct pool *pool, void (*fn)(void *arg, uint32_t thread), void *arg) {
    pthread_mutex_lock(&pool->one_run);
    pool->fn = fn;
    pool->arg = arg;
    if (pool->n_threads > 1)
        advance(pool, &pool->round);
    fn(arg, 0);
    pool_meet(pool);
    pthread_mutex_unlock(&pool->one_run);
}

int pool_create(uint32_t n_threads, struct pool **out, struct model_fail *fail) {
    struct pool *pool;
    int err;

    if (n_threads == 0 || n_threads > MAX_THREADS)
        return model_fail(fail, -EINVAL, "threads: %u is not between 1 and %d", n_threads, MAX_THREADS);
    pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
    if (!pool)
        return model_fail(fail, -ENOMEM, "out of memory for %u threads", n_threads);
    memset(pool, 0, sizeof(*pool));
    pool->n_threads = n_threads;
    pthread_mutex_init(&pool->one_run, NULL);
    pool->members = calloc(n_threads, sizeof(*pool->members));
    for (pool->n_started = 1; pool->members && pool->n_started < n_threads; pool->n_started++) {
        struct member *member = &pool->members[pool->n_started];

        *member = (struct member){.pool = pool, .thread = pool->n_started};
        err = pthread_create(&member->id, NULL, member_main, member);
        if (err)
            break;
    }
    if (!pool->members || pool->n_started < n_threads) {
        pool_destroy(pool);
        return model_fail(fail, -EAGAIN, "cannot start %u threads; set a smaller number of threads",
                          n_threads);
    }
    *out = pool;
    return 0;
}

void pool_destroy(struct pool *pool) {
    if (!pool)
        return;
    pool->stopping = true;
    advance(pool, &pool->round);
    for (uint32_t i = 1; pool->members && i < pool->n_started; i++)
        pthread_join(pool->members[i].id, NULL);
    pthread_mutex_destroy(&pool->one_run);
    free(pool->members);
    free(pool);
}

uint32_t pool_n_threads(const struct pool *pool) {
    return pool->n_threads;
}

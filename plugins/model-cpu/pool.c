/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - a few threads that walk a list of steps together.
 *
 * Each step has one word: the number of the walk, how many pieces it has, which is next. A piece is taken by
 * a compare-and-swap of the whole word, so a thread that slept through the end of a walk finds another number
 * there and takes nothing. `tick` grows whenever somebody may have something to wake up for: a walk begins or
 * a step ends. */
#include "pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 3000, CACHE_LINE = 64, PIECE_BITS = 20, WALK_BITS = 24 };

struct step {
    _Atomic uint64_t word; /* walk << 40 | pieces << 20 | next */
    atomic_uint done;
};

struct member {
    struct pool *pool;
    uint32_t thread;
    pthread_t id;
};

struct pool {
    uint32_t n_threads, n_started;
    pthread_mutex_t one_walk;
    struct member *members;
    struct steps {
        struct steps *older; /* outgrown lists stay until the end: a late thread may look at one */
        size_t n;
        struct step at[];
    } * _Atomic steps;
    atomic_size_t n_steps;
    pool_fn _Atomic fn;
    void *_Atomic arg;
    atomic_bool stopping;
    _Alignas(CACHE_LINE) atomic_uint walk; /* number of the current walk, WALK_BITS wide */
    _Alignas(CACHE_LINE) atomic_uint tick;
    atomic_uint sleepers;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void wake_all(struct pool *pool) {
    atomic_fetch_add(&pool->tick, 1);
    if (atomic_load(&pool->sleepers) > 0)
        syscall(SYS_futex, &pool->tick, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Return soon after tick is no longer `old`. */
static void sleep_on(struct pool *pool, uint32_t old) {
    atomic_fetch_add(&pool->sleepers, 1);
    if (atomic_load(&pool->tick) == old)
        syscall(SYS_futex, &pool->tick, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static uint32_t walk_of(uint64_t word) {
    return (uint32_t)(word >> 2 * PIECE_BITS);
}

static uint32_t pieces_of(uint64_t word) {
    return (uint32_t)(word >> PIECE_BITS) & POOL_MAX_PIECES;
}

/* Take the next piece of the step: false when none is left or another walk has begun. */
static bool take(struct step *step, uint32_t walk, uint32_t *piece) {
    uint64_t word = atomic_load_explicit(&step->word, memory_order_acquire);

    do {
        *piece = (uint32_t)word & POOL_MAX_PIECES;
        if (walk_of(word) != walk || *piece >= pieces_of(word))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&step->word, &word, word + 1, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

static bool is_over(struct step *step, uint32_t walk) {
    const uint64_t word = atomic_load_explicit(&step->word, memory_order_acquire);

    return walk_of(word) != walk ||
           atomic_load_explicit(&step->done, memory_order_acquire) >= pieces_of(word);
}

static void wait_for_step(struct pool *pool, struct step *step, uint32_t walk) {
    for (int i = 0; i < SPINS; i++) {
        if (is_over(step, walk))
            return;
        relax();
    }
    for (;;) {
        const uint32_t tick = atomic_load(&pool->tick);

        if (is_over(step, walk))
            return;
        sleep_on(pool, tick);
    }
}

static void walk_steps(struct pool *pool, uint32_t walk, uint32_t thread) {
    struct steps *steps = atomic_load(&pool->steps);
    const size_t n = atomic_load(&pool->n_steps);

    for (size_t i = 0; i < n && i < steps->n; i++) {
        struct step *step = &steps->at[i];
        uint32_t piece;

        while (take(step, walk, &piece)) {
            atomic_load (&pool->fn)(atomic_load(&pool->arg), i, piece, thread);
            if (atomic_fetch_add(&step->done, 1) + 1 == pieces_of(atomic_load(&step->word)))
                wake_all(pool);
        }
        if (walk_of(atomic_load_explicit(&step->word, memory_order_relaxed)) != walk)
            return;
        wait_for_step(pool, step, walk);
    }
}

/* The number of a walk other than `last`, or `last` once the pool stops. */
static uint32_t wait_for_walk(struct pool *pool, uint32_t last) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->walk, memory_order_acquire) != last)
            return atomic_load(&pool->walk);
        relax();
    }
    for (;;) {
        const uint32_t tick = atomic_load(&pool->tick), walk = atomic_load(&pool->walk);

        if (walk != last || atomic_load(&pool->stopping))
            return walk;
        sleep_on(pool, tick);
    }
}

static void *member_main(void *arg) {
    struct member *self = arg;
    struct pool *pool = self->pool;

    for (uint32_t last = 0;;) {
        const uint32_t walk = wait_for_walk(pool, last);

        if (atomic_load(&pool->stopping))
            return NULL;
        last = walk;
        walk_steps(pool, walk, self->thread);
    }
}

static int reserve(struct pool *pool, size_t n_steps) {
    struct steps *old = atomic_load(&pool->steps), *steps;

    if (old && old->n >= n_steps)
        return 0;
    steps = calloc(1, sizeof(*steps) + n_steps * sizeof(steps->at[0]));
    if (!steps)
        return -ENOMEM;
    steps->n = n_steps;
    steps->older = old;
    atomic_store(&pool->steps, steps);
    return 0;
}

int pool_walk(struct pool *pool, size_t n_steps, const uint32_t *pieces, pool_fn fn, void *arg) {
    struct step *steps;
    uint32_t walk;

    pthread_mutex_lock(&pool->one_walk);
    if (reserve(pool, n_steps) != 0) {
        pthread_mutex_unlock(&pool->one_walk);
        return -ENOMEM;
    }
    steps = atomic_load(&pool->steps)->at;
    walk = (atomic_load(&pool->walk) + 1) & ((1u << WALK_BITS) - 1);
    atomic_store(&pool->fn, fn);
    atomic_store(&pool->arg, arg);
    atomic_store(&pool->n_steps, n_steps);
    for (size_t i = 0; i < n_steps; i++) {
        atomic_store_explicit(&steps[i].done, 0, memory_order_relaxed);
        atomic_store_explicit(&steps[i].word,
                              (uint64_t)walk << 2 * PIECE_BITS | (uint64_t)pieces[i] << PIECE_BITS,
                              memory_order_release);
    }
    atomic_store(&pool->walk, walk);
    if (pool->n_threads > 1)
        wake_all(pool);
    walk_steps(pool, walk, 0);
    pthread_mutex_unlock(&pool->one_walk);
    return 0;
}

int pool_create(uint32_t n_threads, struct pool **out, struct model_fail *fail) {
    struct pool *pool;

    if (n_threads == 0 || n_threads > POOL_MAX_THREADS)
        return model_fail(fail, -EINVAL, "threads: %u is not between 1 and %d", n_threads, POOL_MAX_THREADS);
    pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
    if (!pool)
        return model_fail(fail, -ENOMEM, "out of memory for %u threads", n_threads);
    memset(pool, 0, sizeof(*pool));
    pool->n_threads = n_threads;
    pthread_mutex_init(&pool->one_walk, NULL);
    pool->members = calloc(n_threads, sizeof(*pool->members));
    for (pool->n_started = 1; pool->members && pool->n_started < n_threads; pool->n_started++) {
        struct member *member = &pool->members[pool->n_started];

        *member = (struct member){.pool = pool, .thread = pool->n_started};
        if (pthread_create(&member->id, NULL, member_main, member) != 0)
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
    struct steps *steps;

    if (!pool)
        return;
    atomic_store(&pool->stopping, true);
    wake_all(pool);
    for (uint32_t i = 1; pool->members && i < pool->n_started; i++)
        pthread_join(pool->members[i].id, NULL);
    pthread_mutex_destroy(&pool->one_walk);
    for (steps = atomic_load(&pool->steps); steps;) {
        struct steps *older = steps->older;

        free(steps);
        steps = older;
    }
    free(pool->members);
    free(pool);
}

uint32_t pool_n_threads(const struct pool *pool) {
    return pool->n_threads;
}

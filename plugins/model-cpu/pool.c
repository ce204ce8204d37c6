/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - a few threads that walk a list of steps together.
 *
 * Handing a cache line from one core to another may cost more than a piece of work. So every thread has a
 * share of a step's pieces and takes from it by a counter on a line of its own; only when the others are slow
 * to finish does it look into their shares. Counters carry the number of the walk: whoever finds an older
 * number starts the count anew, a thread that slept through the end of a walk finds a newer one and takes
 * nothing, and nothing has to be reset in between. `tick` grows whenever somebody may have something to wake
 * up for: a walk begins or a step ends. */
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

enum { SPINS = 3000, SPINS_BEFORE_HELPING = 60, CACHE_LINE = 64 };

/* walk << 32 | count. A walk's number is 32 bits wide and may wrap around. */
typedef _Atomic uint64_t counted;

/* A count on a line of its own. */
struct counter {
    _Alignas(CACHE_LINE) counted word;
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
        counted *pieces;      /* [n] of each step */
        struct counter *done; /* [n] pieces done */
        struct counter *next; /* (n, n_threads) pieces taken of a thread's share */
    } * _Atomic steps;
    atomic_size_t n_steps;
    pool_fn _Atomic fn;
    void *_Atomic arg;
    atomic_bool stopping;
    _Alignas(CACHE_LINE) atomic_uint walk; /* number of the current walk */
    _Alignas(CACHE_LINE) atomic_uint tick;
    atomic_uint sleepers;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* What somebody may sleep for has happened. They count themselves before they look for it a last time. */
static void wake_all(struct pool *pool) {
    if (atomic_load(&pool->sleepers) == 0)
        return;
    atomic_fetch_add(&pool->tick, 1);
    syscall(SYS_futex, &pool->tick, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void sleep_until(struct pool *pool, bool (*happened)(const void *), const void *arg) {
    for (bool done = false; !done;) {
        uint32_t tick;

        atomic_fetch_add(&pool->sleepers, 1);
        tick = atomic_load(&pool->tick);
        done = happened(arg);
        if (!done)
            syscall(SYS_futex, &pool->tick, FUTEX_WAIT_PRIVATE, tick, NULL, NULL, 0);
        atomic_fetch_sub(&pool->sleepers, 1);
    }
}

static bool spin_until(bool (*happened)(const void *), const void *arg, int spins) {
    for (int i = 0; i < spins; i++) {
        if (happened(arg))
            return true;
        relax();
    }
    return false;
}

static uint64_t count_of(uint32_t walk, uint32_t n) {
    return (uint64_t)walk << 32 | n;
}

static uint32_t walk_of(uint64_t word) {
    return (uint32_t)(word >> 32);
}

static bool is_newer(uint32_t walk, uint32_t than) {
    return (int32_t)(walk - than) > 0;
}

/* Add n to a count of this walk, which may begin now. Returns what it was before, or UINT32_MAX with nothing
 * changed when it is `end` already or belongs to a newer walk. */
static uint32_t add_to(counted *word, uint32_t walk, uint32_t n, uint32_t end) {
    uint64_t old = atomic_load(word);

    for (;;) {
        const uint32_t before = walk_of(old) == walk ? (uint32_t)old : 0;

        if (is_newer(walk_of(old), walk) || before >= end)
            return UINT32_MAX;
        if (atomic_compare_exchange_weak(word, &old, count_of(walk, before + n)))
            return before;
    }
}

/* One walk as one thread sees it. */
struct walker {
    struct pool *pool;
    struct steps *steps;
    uint32_t walk, thread;
    pool_fn fn;
    void *arg;
};

/* Take pieces of `owner`'s share until none is left. Returns how many this thread did. */
static uint32_t work_on(const struct walker *w, size_t step, uint32_t n_pieces, uint32_t owner) {
    const uint32_t n_threads = w->pool->n_threads;
    const uint32_t first = (uint32_t)((uint64_t)n_pieces * owner / n_threads);
    const uint32_t end = (uint32_t)((uint64_t)n_pieces * (owner + 1) / n_threads);
    counted *next = &w->steps->next[step * n_threads + owner].word;
    uint32_t n = 0, piece;

    while (first < end && (piece = add_to(next, w->walk, 1, end - first)) != UINT32_MAX) {
        w->fn(w->arg, step, first + piece, w->thread);
        n++;
    }
    return n;
}

static void note_done(const struct walker *w, size_t step, uint32_t n, uint32_t n_pieces) {
    if (n > 0 && add_to(&w->steps->done[step].word, w->walk, n, UINT32_MAX) + n == n_pieces)
        wake_all(w->pool);
}

/* A step that a thread waits for. */
struct awaited {
    const counted *done;
    uint32_t walk, n_pieces;
};

static bool is_over(const void *arg) {
    const struct awaited *a = arg;
    const uint64_t word = atomic_load(a->done);

    return walk_of(word) == a->walk ? (uint32_t)word >= a->n_pieces : is_newer(walk_of(word), a->walk);
}

/* Do one's share, then, if the others take long, what they have not begun; then wait for what they have. */
static void do_step(const struct walker *w, size_t step, uint32_t n_pieces) {
    const struct awaited end = {&w->steps->done[step].word, w->walk, n_pieces};
    const uint32_t n_threads = w->pool->n_threads;

    note_done(w, step, work_on(w, step, n_pieces, w->thread), n_pieces);
    if (spin_until(is_over, &end, SPINS_BEFORE_HELPING))
        return;
    for (uint32_t i = 1; i < n_threads; i++)
        note_done(w, step, work_on(w, step, n_pieces, (w->thread + i) % n_threads), n_pieces);
    if (!spin_until(is_over, &end, SPINS))
        sleep_until(w->pool, is_over, &end);
}

static void walk_steps(struct pool *pool, uint32_t walk, uint32_t thread) {
    const struct walker w = {
        pool, atomic_load(&pool->steps), walk, thread, atomic_load(&pool->fn), atomic_load(&pool->arg),
    };
    const size_t n = atomic_load(&pool->n_steps);

    for (size_t i = 0; i < n && i < w.steps->n; i++) {
        /* While this holds the walk's own number, its pieces, and fn and arg above, are this walk's. */
        const uint64_t pieces = atomic_load_explicit(&w.steps->pieces[i], memory_order_acquire);

        if (walk_of(pieces) != walk)
            return;
        if ((uint32_t)pieces > 0)
            do_step(&w, i, (uint32_t)pieces);
    }
}

struct next_walk {
    struct pool *pool;
    uint32_t last;
};

static bool has_begun(const void *arg) {
    const struct next_walk *next = arg;

    return atomic_load(&next->pool->walk) != next->last || atomic_load(&next->pool->stopping);
}

static void *member_main(void *arg) {
    struct member *self = arg;
    struct pool *pool = self->pool;
    struct next_walk next = {pool, 0};

    for (;;) {
        if (!spin_until(has_begun, &next, SPINS))
            sleep_until(pool, has_begun, &next);
        if (atomic_load(&pool->stopping))
            return NULL;
        next.last = atomic_load(&pool->walk);
        walk_steps(pool, next.last, self->thread);
    }
}

static void free_steps(struct steps *steps) {
    while (steps) {
        struct steps *older = steps->older;

        free(steps->pieces);
        free(steps->done);
        free(steps->next);
        free(steps);
        steps = older;
    }
}

static struct counter *new_counters(size_t n) {
    struct counter *counters = aligned_alloc(CACHE_LINE, n * sizeof(*counters));

    for (size_t i = 0; counters && i < n; i++)
        atomic_init(&counters[i].word, 0);
    return counters;
}

static int reserve(struct pool *pool, size_t n_steps) {
    struct steps *old = atomic_load(&pool->steps), *steps;

    if (old && old->n >= n_steps)
        return 0;
    steps = calloc(1, sizeof(*steps));
    if (!steps)
        return -ENOMEM;
    steps->n = n_steps;
    steps->pieces = calloc(n_steps, sizeof(*steps->pieces));
    steps->done = new_counters(n_steps);
    steps->next = new_counters(n_steps * pool->n_threads);
    if (!steps->pieces || !steps->done || !steps->next) {
        free_steps(steps);
        return -ENOMEM;
    }
    steps->older = old;
    atomic_store(&pool->steps, steps);
    return 0;
}

int pool_walk(struct pool *pool, size_t n_steps, const uint32_t *pieces, pool_fn fn, void *arg) {
    struct steps *steps;
    uint32_t walk;

    if (n_steps == 0)
        return 0;
    pthread_mutex_lock(&pool->one_walk);
    if (reserve(pool, n_steps) != 0) {
        pthread_mutex_unlock(&pool->one_walk);
        return -ENOMEM;
    }
    steps = atomic_load(&pool->steps);
    walk = atomic_load(&pool->walk) + 1;
    for (size_t i = 0; i < n_steps; i++) /* from here on a late thread finds nothing of the walk before */
        atomic_store_explicit(&steps->pieces[i], count_of(walk, pieces[i]), memory_order_release);
    atomic_store(&pool->fn, fn);
    atomic_store(&pool->arg, arg);
    atomic_store(&pool->n_steps, n_steps);
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
    if (!pool)
        return;
    atomic_store(&pool->stopping, true);
    wake_all(pool);
    for (uint32_t i = 1; pool->members && i < pool->n_started; i++)
        pthread_join(pool->members[i].id, NULL);
    pthread_mutex_destroy(&pool->one_walk);
    free_steps(atomic_load(&pool->steps));
    free(pool->members);
    free(pool);
}

uint32_t pool_n_threads(const struct pool *pool) {
    return pool->n_threads;
}

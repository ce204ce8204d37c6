/* SPDX-License-Identifier: Apache-2.0 */
/* The ring and the slots between host and runner, both halves in one process. */
#include <errno.h>
#include <setjmp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <poll.h>
#include <unistd.h>

#include <cmocka.h>

#include "runner/lease_table.h"
#include "runner/link.h"

enum { ARENA_BYTES = 64 << 20, MESSAGES = 200000 };

struct pair {
    struct region a, b; /* a writes to b */
    struct link_out out;
    struct link_in in;
    int wake;
};

static struct region make_region(void) {
    struct region region = {.bytes = region_bytes(ARENA_BYTES)};
    region.base = calloc(1, region.bytes);
    assert_non_null(region.base);
    return region;
}

static void pair_init(struct pair *pair) {
    pair->a = make_region();
    pair->b = make_region();
    pair->wake = eventfd(0, 0);
    assert_int_equal(link_out_init(&pair->out, &pair->a, &pair->b, pair->wake), 0);
    link_in_init(&pair->in, &pair->b, &pair->a);
}

static void pair_finish(struct pair *pair) {
    link_out_finish(&pair->out);
    close(pair->wake);
    free(pair->a.base);
    free(pair->b.base);
}

static void a_full_ring_says_so_and_goes_on(void **state) {
    (void)state;
    struct pair pair;
    uint8_t inline_bytes[INLINE_MAX_BYTES], payload[1000];
    struct message m = {.type = 1}, got;
    memset(payload, 'x', sizeof(payload));
    pair_init(&pair);
    for (int round = 0; round < 5; round++) { /* the ring wraps in between */
        uint64_t sent = 0, taken = 0;
        for (m.a = 0; link_send(&pair.out, m, payload, sizeof(payload)) == 0; m.a++)
            sent++;
        assert_true(link_is_awaited(&pair.in));
        assert_int_equal(sent, RING_BYTES / (64 + 1000));
        while (link_take(&pair.in, &got, inline_bytes) == 1) {
            assert_int_equal(got.a, taken++);
            assert_memory_equal(inline_bytes, payload, sizeof(payload));
            link_done(&pair.in);
        }
        assert_int_equal(taken, sent);
    }
    assert_int_equal(link_send(&pair.out, m, NULL, 0), 0);
    assert_false(link_is_awaited(&pair.in));
    pair_finish(&pair);
}

static void *read_at_the_brink(void *arg) {
    struct pair *pair = arg;
    uint8_t inline_bytes[INLINE_MAX_BYTES];
    struct message got;
    uintptr_t wrong = 0;
    for (uint64_t taken = 0; taken < MESSAGES && !wrong;) {
        int n = link_take(&pair->in, &got, inline_bytes);
        wrong = n < 0 || (n == 1 && got.a != taken);
        taken += n == 1;
        if (n == 1)
            link_done(&pair->in);
    }
    return (void *)wrong;
}

/* The writer finds the ring full nearly always, and the reader makes room while it looks. */
static void a_ring_that_is_always_full_is_never_written_over(void **state) {
    (void)state;
    struct pair pair;
    struct message m = {.type = 1};
    uint8_t payload[1000] = {0};
    pthread_t reader;
    void *wrong;
    pair_init(&pair);
    while (link_send(&pair.out, m, payload, sizeof(payload)) == 0)
        m.a++;
    assert_int_equal(pthread_create(&reader, NULL, read_at_the_brink, &pair), 0);
    for (; m.a < MESSAGES && pthread_tryjoin_np(reader, &wrong) == EBUSY;)
        m.a += link_send(&pair.out, m, payload, sizeof(payload)) == 0;
    if (m.a == MESSAGES)
        pthread_join(reader, &wrong);
    assert_null(wrong);
    assert_int_equal(m.a, MESSAGES);
    pair_finish(&pair);
}

static void a_slot_comes_back_once_its_message_is_taken(void **state) {
    (void)state;
    struct pair pair;
    uint8_t inline_bytes[INLINE_MAX_BYTES];
    struct message m = {.type = 1}, got;
    struct telex_bytes payload;
    size_t size = 3 << 20;
    uint8_t *large = malloc(size);
    assert_non_null(large);
    memset(large, 7, size);
    pair_init(&pair);
    for (int i = 0; i < 200; i++) { /* far more than the arena holds */
        assert_int_equal(link_send(&pair.out, m, large, size), 0);
        assert_int_equal(link_take(&pair.in, &got, inline_bytes), 1);
        assert_true(link_payload(&pair.in, &got, inline_bytes, &payload));
        assert_int_equal(payload.size, size);
        assert_memory_equal(payload.data, large, size);
        link_done(&pair.in);
    }
    int sent = 0;
    while (link_send(&pair.out, m, large, size) == 0)
        sent++;
    assert_in_range(sent, ARENA_BYTES / (4 << 20) - 1, ARENA_BYTES / (4 << 20)); /* slots are powers of two */
    free(large);
    pair_finish(&pair);
}

static void slots_never_overlap(void **state) {
    (void)state;
    struct arena arena;
    struct {
        uint64_t slot, bytes;
    } held[256] = {{0, 0}};
    uint8_t *base = calloc(1, ARENA_BYTES);
    assert_non_null(base);
    arena_init(&arena, base, 4096, ARENA_BYTES);
    srand(5);
    for (int i = 0; i < 100000; i++) {
        int at = rand() % 256;
        for (uint64_t k = 0; held[at].slot && k < held[at].bytes; k += 64)
            assert_int_equal(base[held[at].slot + k], at);
        arena_give(&arena, held[at].slot, held[at].bytes);
        held[at].bytes = (uint64_t)(1 << rand() % 18) + (uint64_t)(rand() % 100);
        held[at].slot = arena_take(&arena, held[at].bytes);
        assert_true(held[at].slot == 0 || held[at].slot + held[at].bytes <= ARENA_BYTES);
        if (held[at].slot)
            memset(base + held[at].slot, at, held[at].bytes);
    }
    assert_int_equal(arena_take(&arena, (uint64_t)1 << 26), 0); /* larger than any class */
    for (int at = 0; at < 256; at++)
        arena_give(&arena, held[at].slot, held[at].bytes);
    assert_int_equal(arena.used_bytes, 0);
    arena_finish(&arena);
    free(base);
}

static void *write_all(void *arg) {
    struct pair *pair = arg;
    uint8_t payload[512];
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct message m = {.type = 9, .a = i};
        memset(payload, (int)(i & 255), sizeof(payload));
        while (link_send(&pair->out, m, payload, i % 512) == -EAGAIN) {
            link_wake(&pair->out);
            usleep(50);
        }
        link_wake(&pair->out);
    }
    return NULL;
}

static void a_sleeping_reader_misses_nothing(void **state) {
    (void)state;
    struct pair pair;
    uint8_t inline_bytes[INLINE_MAX_BYTES];
    struct message m;
    pthread_t writer;
    uint64_t seen = 0, count;
    pair_init(&pair);
    assert_int_equal(pthread_create(&writer, NULL, write_all, &pair), 0);
    while (seen < MESSAGES) {
        int got = link_take(&pair.in, &m, inline_bytes);
        assert_in_range(got, 0, 1);
        if (got == 1) {
            assert_int_equal(m.a, seen);
            assert_int_equal(m.inline_size, seen % 512);
            assert_true(m.inline_size == 0 || inline_bytes[m.inline_size - 1] == (seen & 255));
            seen++;
            link_done(&pair.in);
        } else if (link_may_sleep(&pair.in)) {
            struct pollfd fd = {.fd = pair.wake, .events = POLLIN};
            assert_int_equal(poll(&fd, 1, 20000), 1); /* a wake that is lost would wait here */
            assert_int_equal(read(pair.wake, &count, sizeof(count)), sizeof(count));
            link_awake(&pair.in);
        }
    }
    pthread_join(writer, NULL);
    pair_finish(&pair);
}

static void a_lease_is_found_by_number_only_while_it_is_open(void **state) {
    (void)state;
    static struct lease_node nodes[2000];
    struct lease_table table = {.n = 0};
    for (size_t i = 0; i < 2000; i++) {
        nodes[i].lease = (uint64_t)(i + 1) << 24 | (i % 3);
        lease_add(&table, &nodes[i]);
    }
    for (size_t i = 0; i < 2000; i += 2)
        assert_ptr_equal(lease_take(&table, nodes[i].lease), &nodes[i]);
    for (size_t i = 0; i < 2000; i++)
        assert_ptr_equal(lease_find(&table, nodes[i].lease), i % 2 ? &nodes[i] : NULL);
    assert_null(lease_take(&table, nodes[0].lease));
    size_t left = 0;
    while (lease_take_any(&table))
        left++;
    assert_int_equal(left, 1000);
    assert_int_equal(table.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_ring_says_so_and_goes_on),
        cmocka_unit_test(a_ring_that_is_always_full_is_never_written_over),
        cmocka_unit_test(a_slot_comes_back_once_its_message_is_taken),
        cmocka_unit_test(slots_never_overlap),
        cmocka_unit_test(a_sleeping_reader_misses_nothing),
        cmocka_unit_test(a_lease_is_found_by_number_only_while_it_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

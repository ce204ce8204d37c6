/* SPDX-License-Identifier: Apache-2.0 */
/* scan_test.c - the scan of message bodies against bytes that mean harm.
 *
 * Whatever telex_scan lets through, telex_map_open must be able to read and to walk; the sanitizer builds see
 * to it that neither reads beyond the body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include <telex-sdk/message.h>

static int scan(const void *data, size_t size) {
    /* An allocation of exactly this size, so that a read beyond it is seen. */
    uint8_t *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    if (size)
        memcpy(exact, data, size);
    struct telex_bytes body = {exact, size};
    int err = telex_scan(body);
    free(exact);
    return err;
}

#define SCAN(literal) scan(literal, sizeof(literal) - 1)

static void a_map_with_text_keys_is_good(void **state) {
    (void)state;
    assert_int_equal(SCAN("\x80"), 0);
    assert_int_equal(SCAN("\x81\xa1"
                          "a\x01"),
                     0);
    assert_int_equal(SCAN("\x82\xa1"
                          "a\x92\x01\x02\xa1"
                          "b\x81\xa1"
                          "c\xc0"),
                     0);
    assert_int_equal(SCAN("\xdf\x00\x00\x00\x01\xd9\x01"
                          "a\xcb\x00\x00\x00\x00\x00\x00\x00\x00"),
                     0);
}

static void anything_but_one_map_is_refused(void **state) {
    (void)state;
    assert_int_equal(SCAN(""), -EBADMSG);
    assert_int_equal(SCAN("\x01"), -EBADMSG);
    assert_int_equal(SCAN("\xa1"
                          "a"),
                     -EBADMSG);
    assert_int_equal(SCAN("\x90"), -EBADMSG);
    assert_int_equal(SCAN("\x80\x80"), -EBADMSG); /* two of them */
    assert_int_equal(SCAN("\x80\x00"), -EBADMSG); /* a byte too many */
}

static void a_key_that_is_no_text_is_refused(void **state) {
    (void)state;
    assert_int_equal(SCAN("\x81\x01\x01"), -EBADMSG);
    assert_int_equal(SCAN("\x81\xc4\x01"
                          "a\x01"),
                     -EBADMSG);
    assert_int_equal(SCAN("\x81\xa1"
                          "a\x81\x90\x01"),
                     -EBADMSG);
}

static void a_claimed_size_beyond_the_body_is_refused(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "\x81",                                 /* one pair, none there */
        "\xde\xff\xff",                         /* map16 */
        "\xdf\xff\xff\xff\xff",                 /* map32: 8 thousand million objects */
        "\x81\xa1\x61\xdd\xff\xff\xff\xff",     /* array32 */
        "\x81\xa1\x61\xdb\xff\xff\xff\xff",     /* str32 */
        "\x81\xa1\x61\xc6\xff\xff\xff\xff",     /* bin32 */
        "\x81\xa1\x61\xc9\xff\xff\xff\xff\x01", /* ext32 */
        "\x81\xbf\x61",                         /* str of 31 */
        "\x81\xa1\x61\xcf\x01\x02",             /* half an integer */
        "\x81\xa1\x61\xd9",                     /* no length */
    };
    static const size_t sizes[] = {1, 3, 5, 8, 8, 8, 9, 3, 6, 4};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        assert_int_equal(scan(bodies[i], sizes[i]), -EBADMSG);
}

static void the_unused_tag_is_refused(void **state) {
    (void)state;
    assert_int_equal(SCAN("\x81\xa1"
                          "a\xc1"),
                     -EBADMSG);
}

static void depth_is_bounded_exactly(void **state) {
    (void)state;
    uint8_t body[3 * 64];
    for (int depth = 1; depth <= 40; depth++) {
        size_t size = 0;
        for (int i = 0; i < depth - 1; i++) {
            memcpy(body + size, "\x81\xa1\x61", 3);
            size += 3;
        }
        body[size++] = 0x80;
        assert_int_equal(scan(body, size), depth <= TELEX_BODY_MAX_DEPTH ? 0 : -EBADMSG);
    }
}

static void size_is_bounded_exactly(void **state) {
    (void)state;
    size_t size = TELEX_BODY_MAX_BYTES + 1;
    uint8_t *body = calloc(1, size);
    assert_non_null(body);
    uint32_t text = TELEX_BODY_MAX_BYTES - 8;
    memcpy(body, "\x81\xa1\x61\xdb", 4);
    for (int i = 0; i < 4; i++)
        body[4 + i] = (uint8_t)(text >> (24 - 8 * i));
    assert_int_equal(scan(body, size - 1), 0);
    assert_int_equal(scan(body, size), -E2BIG);
    free(body);
}

/* ---- mutation ---- */

/* xorshift64*: the same bytes on every machine. */
static uint64_t next(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 2685821657736338717u;
}

static size_t walk(const msgpack_object *object) {
    size_t n = 1;
    if (object->type == MSGPACK_OBJECT_MAP)
        for (uint32_t i = 0; i < object->via.map.size; i++)
            n += walk(&object->via.map.ptr[i].key) + walk(&object->via.map.ptr[i].val);
    if (object->type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < object->via.array.size; i++)
            n += walk(&object->via.array.ptr[i]);
    return n;
}

static size_t good_body(uint8_t *out) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_text(&b, "0123456789abcdef0123456789abcdef");
    telex_build_key(&b, "version"), telex_build_int(&b, 3);
    telex_build_key(&b, "links"), telex_build_array(&b, 3);
    telex_build_text(&b, "https://a.example/"), telex_build_real(&b, 0.5), telex_build_nil(&b);
    telex_build_key(&b, "inner");
    telex_build_map_begin(&b);
    telex_build_key(&b, "deep"), telex_build_flag(&b, true);
    telex_build_map_end(&b);
    telex_build_map_end(&b);
    struct telex_bytes body = telex_build_body(&b);
    memcpy(out, body.data, body.size);
    size_t size = body.size;
    telex_build_finish(&b);
    return size;
}

static void what_the_scan_lets_through_can_be_read(void **state) {
    (void)state;
    uint8_t good[512], bad[512];
    uint64_t seed = 20261124;
    size_t size = good_body(good), n_good = 0;
    for (int round = 0; round < 200000; round++) {
        size_t n = next(&seed) % 8 == 0 ? next(&seed) % (size + 1) : size;
        memcpy(bad, good, size);
        for (uint64_t flips = 1 + next(&seed) % 4; flips > 0; flips--)
            bad[next(&seed) % size] = (uint8_t)next(&seed);
        uint8_t *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, bad, n);
        struct telex_bytes body = {exact, n};
        struct telex_head head;
        struct telex_map map;
        int scanned = telex_scan(body);
        assert_int_equal(telex_scan_head(body, &head), scanned);
        assert_int_equal(telex_map_open(&map, body), scanned);
        if (scanned == 0) {
            n_good++;
            assert_true(walk(map.root) <= n + 1);
            assert_true(head.id.size == 0 ||
                        (head.id.data >= exact && head.id.data + head.id.size <= exact + n));
        }
        telex_map_close(&map);
        free(exact);
    }
    assert_true(n_good > 1000); /* some mutations are harmless, so the readers were really run */
}

static void random_bytes_never_harm(void **state) {
    (void)state;
    uint8_t bytes[64];
    uint64_t seed = 7;
    for (int round = 0; round < 200000; round++) {
        size_t n = next(&seed) % sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)next(&seed);
        if (n > 0 && round % 2)
            bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x0f));
        int err = scan(bytes, n);
        assert_true(err == 0 || err == -EBADMSG);
    }
}

static void the_head_is_what_the_map_says(void **state) {
    (void)state;
    uint8_t good[512];
    struct telex_head head;
    struct telex_bytes body = {good, good_body(good)};
    assert_int_equal(telex_scan_head(body, &head), 0);
    assert_true(telex_bytes_equal(head.schema, "telex.record/1"));
    assert_true(telex_bytes_equal(head.id, "0123456789abcdef0123456789abcdef"));
    assert_int_equal(head.version, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_with_text_keys_is_good),
        cmocka_unit_test(anything_but_one_map_is_refused),
        cmocka_unit_test(a_key_that_is_no_text_is_refused),
        cmocka_unit_test(a_claimed_size_beyond_the_body_is_refused),
        cmocka_unit_test(the_unused_tag_is_refused),
        cmocka_unit_test(depth_is_bounded_exactly),
        cmocka_unit_test(size_is_bounded_exactly),
        cmocka_unit_test(what_the_scan_lets_through_can_be_read),
        cmocka_unit_test(random_bytes_never_harm),
        cmocka_unit_test(the_head_is_what_the_map_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

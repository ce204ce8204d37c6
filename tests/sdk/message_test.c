/* SPDX-License-Identifier: Apache-2.0 */
/* message_test.c - messages built, read, and turned into JSON and back; ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include <telex-sdk/id.h>
#include <telex-sdk/json.h>
#include <telex-sdk/message.h>

static void build_sample(struct telex_builder *b) {
    telex_build_init(b);
    telex_build_map_begin(b);
    telex_build_key(b, "schema"), telex_build_text(b, "telex.record/1");
    telex_build_key(b, "id"), telex_build_text(b, "r1");
    telex_build_key(b, "small"), telex_build_int(b, -5);
    telex_build_key(b, "large"), telex_build_int(b, INT64_MAX);
    telex_build_key(b, "least"), telex_build_int(b, INT64_MIN);
    telex_build_key(b, "half"), telex_build_real(b, 0.5);
    telex_build_key(b, "yes"), telex_build_flag(b, true);
    telex_build_key(b, "none"), telex_build_nil(b);
    telex_build_key(b, "empty"), telex_build_text(b, "");
    telex_build_key(b, "list"), telex_build_array(b, 2);
    telex_build_text(b, "a"), telex_build_int(b, 2);
    telex_build_key(b, "map");
    telex_build_map_begin(b);
    telex_build_map_end(b);
    telex_build_map_end(b);
}

static void what_is_built_is_read_back(void **state) {
    (void)state;
    struct telex_builder b;
    struct telex_map map;
    uint32_t count;
    build_sample(&b);
    assert_int_equal(telex_map_open(&map, telex_build_body(&b)), 0);
    assert_true(telex_bytes_equal(telex_map_text(map.root, "schema"), "telex.record/1"));
    assert_int_equal(telex_map_int(map.root, "small", 0), -5);
    assert_true(telex_map_int(map.root, "large", 0) == INT64_MAX);
    assert_true(telex_map_int(map.root, "least", 0) == INT64_MIN);
    assert_true(telex_map_real(map.root, "half", 0) == 0.5);
    assert_true(telex_map_real(map.root, "small", 0) == -5.0);
    assert_true(telex_map_flag(map.root, "yes", false));
    assert_int_equal(telex_map_text(map.root, "empty").size, 0);
    assert_non_null(telex_map_array(map.root, "list", &count));
    assert_int_equal(count, 2);
    assert_int_equal(telex_map_find(map.root, "map")->via.map.size, 0);
    telex_map_close(&map);
    telex_build_finish(&b);
}

static void a_missing_key_or_another_type_gives_the_default(void **state) {
    (void)state;
    struct telex_builder b;
    struct telex_map map;
    uint32_t count = 9;
    build_sample(&b);
    assert_int_equal(telex_map_open(&map, telex_build_body(&b)), 0);
    assert_null(telex_map_find(map.root, "absent"));
    assert_null(telex_map_find(NULL, "absent"));
    assert_int_equal(telex_map_int(map.root, "id", 42), 42);
    assert_int_equal(telex_map_int(map.root, "half", 42), 42);
    assert_false(telex_map_flag(map.root, "id", false));
    assert_int_equal(telex_map_text(map.root, "small").size, 0);
    assert_null(telex_map_array(map.root, "id", &count));
    assert_int_equal(count, 0);
    telex_map_close(&map);
    telex_map_close(&map); /* again is harmless */
    telex_build_finish(&b);
}

static void a_builder_that_is_not_closed_does_not_commit(void **state) {
    (void)state;
    struct telex_builder b;
    telex_build_init(&b);
    for (int i = 0; i < TELEX_BODY_MAX_DEPTH + 1; i++)
        telex_build_map_begin(&b);
    assert_true(b.broken);
    telex_build_finish(&b);
    telex_build_init(&b);
    telex_build_key(&b, "no map is open");
    assert_true(b.broken);
    telex_build_finish(&b);
    telex_build_init(&b);
    telex_build_map_end(&b);
    assert_true(b.broken);
    telex_build_finish(&b);
    memset(&b, 0, sizeof(b));
    telex_build_finish(&b);
}

static void the_jsonl_form_keeps_keys_and_their_order(void **state) {
    (void)state;
    struct telex_builder b, again;
    char why[128];
    build_sample(&b);
    char *line = telex_json_line(telex_build_body(&b));
    assert_string_equal(
        line, "{\"schema\":\"telex.record/1\",\"id\":\"r1\",\"small\":-5,\"large\":9223372036854775807,"
              "\"least\":-9223372036854775808,\"half\":0.5,\"yes\":true,\"none\":null,\"empty\":\"\","
              "\"list\":[\"a\",2],\"map\":{}}");
    telex_build_init(&again);
    assert_int_equal(telex_json_parse(line, strlen(line), &again, why, sizeof(why)), 0);
    struct telex_bytes one = telex_build_body(&b), two = telex_build_body(&again);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    free(line);
    telex_build_finish(&again);
    telex_build_finish(&b);
}

static int parse_line(const char *line, char *why, size_t why_size) {
    struct telex_builder b;
    telex_build_init(&b);
    int err = telex_json_parse(line, strlen(line), &b, why, why_size);
    telex_build_finish(&b);
    return err;
}

static void a_line_that_is_no_object_is_refused_with_the_reason(void **state) {
    (void)state;
    char why[128] = "";
    static const char *const lines[] = {
        "", "{", "[1]", "\"text\"", "{\"a\":1} x", "{\"a\":1,}", "{\"a\":\"\\ud800\"}"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        *why = 0;
        assert_int_equal(parse_line(lines[i], why, sizeof(why)), -EBADMSG);
        assert_true(*why);
    }
    char deep[200] = "{\"a\":";
    memset(deep + 5, '[', 60);
    memset(deep + 65, ']', 60);
    strcpy(deep + 125, "}");
    assert_int_equal(parse_line(deep, why, sizeof(why)), -EBADMSG);
}

static void text_that_is_not_utf8_is_repaired(void **state) {
    (void)state;
    size_t size;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
        {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* cut short */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *repaired = telex_utf8_repair(cases[i][0], strlen(cases[i][0]), &size);
        assert_string_equal(repaired, cases[i][1]);
        assert_int_equal(size, strlen(cases[i][1]));
        free(repaired);
    }
}

static void binary_becomes_hex_and_nan_null(void **state) {
    (void)state;
    static const uint8_t body[] = "\x82\xa1"
                                  "b\xc4\x02\x0a\xff\xa1"
                                  "n\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00";
    char *line = telex_json_line((struct telex_bytes){body, sizeof(body) - 1});
    assert_string_equal(line, "{\"b\":\"0aff\",\"n\":null}");
    free(line);
    assert_null(telex_json_line((struct telex_bytes){body, 3}));
}

/* These values are on disk in every journal: they never change. */
static void ids_are_stable(void **state) {
    (void)state;
    char id[33], hex[65];
    struct telex_bytes parts[] = {telex_text("https://a.example/1"), telex_text("guid-1")};
    telex_id(id, "record", parts, 2);
    assert_string_equal(id, "f11da8fb47dccaba1b3311c1a8226a80");
    telex_id(id, "story", parts, 2);
    assert_string_equal(id, "d4322d4ec58430c5790a7e9875127ebe");
    telex_id(id, "record", NULL, 0);
    assert_string_equal(id, "1ee8e8ae492b0facf1929d25fdc2a4fc");
    telex_sha256_hex(hex, telex_text(""));
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    telex_sha256_hex(hex, telex_text("abc"));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void parts_do_not_run_together(void **state) {
    (void)state;
    char one[33], two[33];
    struct telex_bytes ab_c[] = {telex_text("ab"), telex_text("c")},
                       a_bc[] = {telex_text("a"), telex_text("bc")};
    telex_id(one, "record", ab_c, 2);
    telex_id(two, "record", a_bc, 2);
    assert_string_not_equal(one, two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_built_is_read_back),
        cmocka_unit_test(a_missing_key_or_another_type_gives_the_default),
        cmocka_unit_test(a_builder_that_is_not_closed_does_not_commit),
        cmocka_unit_test(the_jsonl_form_keeps_keys_and_their_order),
        cmocka_unit_test(a_line_that_is_no_object_is_refused_with_the_reason),
        cmocka_unit_test(text_that_is_not_utf8_is_repaired),
        cmocka_unit_test(binary_becomes_hex_and_nan_null),
        cmocka_unit_test(ids_are_stable),
        cmocka_unit_test(parts_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

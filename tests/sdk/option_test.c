/* SPDX-License-Identifier: Apache-2.0 */
/* option_test.c - from the host's checked map to a plugin's own struct. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include <telex-sdk/message.h>
#include <telex-sdk/option.h>

struct sample {
    const char *text, *choice, *path, *secret;
    int64_t number, duration_ms, bytes;
    double real;
    bool flag;
    struct telex_texts list, other;
};

#define ROW(name_, type_, member)                                                                            \
    TELEX_OPTION(.name = name_, .type = type_, .offset = offsetof(struct sample, member))

static const struct telex_option *const table[] = {
    ROW("text", TELEX_TEXT, text),    ROW("choice", TELEX_CHOICE, choice),
    ROW("path", TELEX_PATH, path),    ROW("secret", TELEX_SECRET, secret),
    ROW("number", TELEX_INT, number), ROW("duration", TELEX_DURATION, duration_ms),
    ROW("bytes", TELEX_SIZE, bytes),  ROW("real", TELEX_REAL, real),
    ROW("flag", TELEX_BOOL, flag),    ROW("list", TELEX_LIST, list),
    ROW("other", TELEX_LIST, other),  NULL,
};

static void begin(struct telex_builder *b) {
    telex_build_init(b);
    telex_build_map_begin(b);
}

static int read_all(struct telex_builder *b, struct sample *sample, void **memory) {
    telex_build_map_end(b);
    memset(sample, 0, sizeof(*sample));
    int err = telex_options_read(table, telex_build_body(b), sample, memory);
    telex_build_finish(b); /* what was read must not point into it */
    return err;
}

static void every_type_reaches_its_member(void **state) {
    (void)state;
    struct telex_builder b;
    struct sample s;
    void *memory;
    begin(&b);
    telex_build_key(&b, "text"), telex_build_text(&b, "hello");
    telex_build_key(&b, "choice"), telex_build_text(&b, "red");
    telex_build_key(&b, "path"), telex_build_text(&b, "/tmp/x");
    telex_build_key(&b, "secret"), telex_build_text(&b, "");
    telex_build_key(&b, "list"), telex_build_array(&b, 3);
    telex_build_text(&b, "a"), telex_build_text(&b, ""), telex_build_text(&b, "three");
    telex_build_key(&b, "other"), telex_build_array(&b, 1), telex_build_text(&b, "z");
    telex_build_key(&b, "number"), telex_build_int(&b, -7);
    telex_build_key(&b, "duration"), telex_build_int(&b, 1500);
    telex_build_key(&b, "bytes"), telex_build_int(&b, 1ll << 40);
    telex_build_key(&b, "real"), telex_build_real(&b, 2.5);
    telex_build_key(&b, "flag"), telex_build_flag(&b, true);
    telex_build_key(&b, "of another plugin"), telex_build_int(&b, 1);
    assert_int_equal(read_all(&b, &s, &memory), 0);
    assert_string_equal(s.text, "hello");
    assert_string_equal(s.choice, "red");
    assert_string_equal(s.path, "/tmp/x");
    assert_string_equal(s.secret, "");
    assert_int_equal(s.list.count, 3);
    assert_string_equal(s.list.items[0], "a");
    assert_string_equal(s.list.items[1], "");
    assert_string_equal(s.list.items[2], "three");
    assert_int_equal(s.other.count, 1);
    assert_string_equal(s.other.items[0], "z");
    assert_int_equal(s.number, -7);
    assert_int_equal(s.duration_ms, 1500);
    assert_true(s.bytes == 1ll << 40);
    assert_true(s.real == 2.5);
    assert_true(s.flag);
    free(memory);
}

static void an_absent_or_nil_option_leaves_its_member_and_text_is_never_null(void **state) {
    (void)state;
    struct telex_builder b;
    struct sample s;
    void *memory;
    begin(&b);
    telex_build_key(&b, "text"), telex_build_nil(&b);
    assert_int_equal(read_all(&b, &s, &memory), 0);
    assert_string_equal(s.text, "");
    assert_string_equal(s.path, "");
    assert_string_equal(s.secret, "");
    assert_int_equal(s.list.count, 0);
    assert_int_equal(s.number, 0);
    free(memory);
}

static void a_whole_number_is_a_real(void **state) {
    (void)state;
    struct telex_builder b;
    struct sample s;
    void *memory;
    begin(&b);
    telex_build_key(&b, "real"), telex_build_int(&b, 3);
    assert_int_equal(read_all(&b, &s, &memory), 0);
    assert_true(s.real == 3.0);
    free(memory);
    begin(&b);
    telex_build_key(&b, "real"), telex_build_int(&b, -3);
    assert_int_equal(read_all(&b, &s, &memory), 0);
    assert_true(s.real == -3.0);
    free(memory);
}

static void another_type_is_refused_and_nothing_is_left_to_free(void **state) {
    (void)state;
    static const char *const names[] = {"text", "number", "duration", "bytes", "real", "flag", "list"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct telex_builder b;
        struct sample s;
        void *memory = &s;
        begin(&b);
        telex_build_key(&b, names[i]);
        telex_build_map_begin(&b);
        telex_build_map_end(&b);
        assert_int_equal(read_all(&b, &s, &memory), -EBADMSG);
        assert_null(memory);
    }
}

static void a_zero_byte_in_text_is_refused(void **state) {
    (void)state;
    struct telex_builder b;
    struct sample s;
    void *memory;
    begin(&b);
    telex_build_key(&b, "text"), telex_build_bytes(&b, (struct telex_bytes){(const uint8_t *)"a\0b", 3});
    assert_int_equal(read_all(&b, &s, &memory), -EBADMSG);
}

static void a_list_of_anything_but_text_is_refused(void **state) {
    (void)state;
    struct telex_builder b;
    struct sample s;
    void *memory;
    begin(&b);
    telex_build_key(&b, "list"), telex_build_array(&b, 2), telex_build_text(&b, "a"), telex_build_int(&b, 1);
    assert_int_equal(read_all(&b, &s, &memory), -EBADMSG);
}

static void a_map_that_is_none_is_refused(void **state) {
    (void)state;
    struct sample s;
    void *memory = &s;
    assert_int_equal(telex_options_read(table, telex_text("\x90"), &s, &memory), -EBADMSG);
    assert_null(memory);
    assert_int_equal(telex_options_read(NULL, (struct telex_bytes){(const uint8_t *)"\x80", 1}, &s, &memory),
                     0);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_reaches_its_member),
        cmocka_unit_test(an_absent_or_nil_option_leaves_its_member_and_text_is_never_null),
        cmocka_unit_test(a_whole_number_is_a_real),
        cmocka_unit_test(another_type_is_refused_and_nothing_is_left_to_free),
        cmocka_unit_test(a_zero_byte_in_text_is_refused),
        cmocka_unit_test(a_list_of_anything_but_text_is_refused),
        cmocka_unit_test(a_map_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* config_fuzz_test.c - configs that were changed at random: refused or read, never more.
 *
 * Every error has a place and a remedy, whatever the file is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"

static const char sample[] =
    "pipeline: everything\n"
    "journal: {path: \"${env:HOME:-var}/x.journal\", durability: normal, retention: 7d}\n"
    "http: {listen: \"127.0.0.1:0\", admin: \"[::1]:8081\"}\n"
    "stages:\n"
    "  source: &s\n"
    "    plugin: source-count\n"
    "    options: {count: 12, bytes: 4KiB, batch: 3, every: 10ms}\n"
    "  hold:\n"
    "    plugin: stage-noop\n"
    "    from: {stage: source, where: {outlet: [a, b]}, keyed: true, capacity: 9}\n"
    "    timeout: 1m\n"
    "  sink: {plugin: sink-count, from: [hold, {stage: source}], attempts: 4}\n";

static uint64_t next(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 2685821657736338717u;
}

static size_t change(char *text, size_t size, uint64_t *seed) {
    static const char *const pieces[] = {"*s", "&s ",    "<<: ", "- ",   "\n  ", ": ",    "{",    "}",
                                         "[",  "]",      "\"",   "'",    "\t",   "---\n", "!!x ", "|\n",
                                         "? ", "${env:", "$",    "\xff", "#",    "\r",    "@",    "%"};
    switch (next(seed) % 3) {
    case 0: { /* a piece more */
        const char *piece = pieces[next(seed) % (sizeof(pieces) / sizeof(*pieces))];
        size_t at = next(seed) % (size + 1), n = strlen(piece);
        memmove(text + at + n, text + at, size - at);
        memcpy(text + at, piece, n);
        return size + n;
    }
    case 1: { /* some bytes less */
        size_t at = next(seed) % size, n = 1 + next(seed) % 12;
        if (at + n > size)
            n = size - at;
        memmove(text + at, text + at + n, size - at - n);
        return size - n;
    }
    default: /* another byte */
        text[next(seed) % size] = (char)next(seed);
        return size;
    }
}

static void check_errors(const struct config_errors *errors) {
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *e = &errors->items[i];
        bool remedy = strpbrk(e->text, ";?") || strstr(e->text, "known here");
        if (!remedy || e->line < 1 || e->column < 1)
            print_message("%s:%d:%d: %s: %s\n", e->file, e->line, e->column, e->path, e->text);
        assert_true(remedy);
        assert_true(e->line >= 1 && e->column >= 1);
        assert_true(*e->path && *e->file);
    }
}

static void a_changed_config_is_read_or_refused(void **state) {
    const char *path = *state, *const dirs[] = {getenv("TELEX_TEST_PLUGINS"), NULL};
    struct registry *registry = registry_create(dirs);
    uint64_t seed = 5;
    size_t n_good = 0;
    char text[4096];
    for (int round = 0; round < 3000; round++) {
        size_t size = sizeof(sample) - 1;
        struct config_errors errors = {0};
        struct config *config;
        memcpy(text, sample, size);
        for (uint64_t changes = next(&seed) % 4; changes > 0; changes--)
            size = change(text, size, &seed);
        FILE *file = fopen(path, "w");
        fwrite(text, 1, size, file);
        fclose(file);
        int n = config_check(path, NULL, registry, &errors, &config);
        assert_int_equal(n, errors.count);
        assert_true((n == 0) == (config != NULL));
        check_errors(&errors);
        n_good += n == 0;
        config_errors_finish(&errors);
        config_destroy(config);
    }
    assert_true(n_good > 300); /* the unchanged ones at least */
    registry_destroy(registry);
}

static void a_changed_override_is_read_or_refused(void **state) {
    const char *path = *state, *const dirs[] = {getenv("TELEX_TEST_PLUGINS"), NULL};
    struct registry *registry = registry_create(dirs);
    uint64_t seed = 9;
    char text[512];
    FILE *file = fopen(path, "w");
    fwrite(sample, 1, sizeof(sample) - 1, file);
    fclose(file);
    for (int round = 0; round < 2000; round++) {
        static const char start[] = "stages.hold.from={stage: source, capacity: 4}";
        size_t size = sizeof(start) - 1;
        struct config_errors errors = {0};
        struct config *config;
        memcpy(text, start, size);
        for (uint64_t changes = next(&seed) % 4; changes > 0; changes--)
            size = change(text, size, &seed);
        text[size] = 0;
        const char *const overrides[] = {text, NULL};
        int n = config_check(path, overrides, registry, &errors, &config);
        assert_true((n == 0) == (config != NULL));
        check_errors(&errors);
        config_errors_finish(&errors);
        config_destroy(config);
    }
    registry_destroy(registry);
}

static int make_path(void **state) {
    char path[] = "/tmp/telex-config-fuzz-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    *state = strdup(path);
    return 0;
}

static int remove_path(void **state) {
    unlink(*state);
    free(*state);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_config_is_read_or_refused),
        cmocka_unit_test(a_changed_override_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}

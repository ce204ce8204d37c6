/* SPDX-License-Identifier: Apache-2.0 */
/* elf_test.c - the reader of plugin files against files that mean harm.
 *
 * A real plugin is mutated at random places and cut at random lengths; the reader may refuse it or read it,
 * and the sanitizer builds see to it that it never reads beyond its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "elf_file.h"
#include "plugin_file.h"

static uint8_t *good;
static size_t good_size;

static int read_good(void **state) {
    (void)state;
    struct plugin_file file;
    char why[256];
    if (plugin_file_read(&file, getenv("TELEX_TEST_PLUGIN"), why, sizeof(why)) < 0)
        return -1;
    good_size = file.size;
    good = malloc(good_size);
    memcpy(good, file.data, good_size);
    plugin_file_finish(&file);
    return 0;
}

static int free_good(void **state) {
    (void)state;
    free(good);
    return 0;
}

/* xorshift64*: the same bytes on every machine. */
static uint64_t next(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 2685821657736338717u;
}

static void count_name(void *arg, const char *name) {
    *(size_t *)arg += 1 + strlen(name);
}

/* Everything that the loader and the kit ask of a file. */
static int read_all(const uint8_t *data, size_t size) {
    struct elf elf;
    char why[256] = "";
    size_t n = 0, section_size;
    if (elf_open(&elf, data, size, why, sizeof(why)) < 0) {
        assert_true(*why);
        return -1;
    }
    elf_section(&elf, ".telex.manifest", &section_size);
    assert_true(section_size <= size);
    elf_each_export(&elf, count_name, &n);
    elf_each_constructor(&elf, count_name, &n);
    elf_has_static_tls(&elf);
    return 0;
}

static void a_good_file_is_read(void **state) {
    (void)state;
    struct elf elf;
    char why[256];
    size_t size, n = 0;
    assert_int_equal(elf_open(&elf, good, good_size, why, sizeof(why)), 0);
    const char *manifest = elf_section(&elf, ".telex.manifest", &size);
    assert_non_null(manifest);
    assert_non_null(memmem(manifest, size, "TELEXMF1{", 9));
    assert_true(elf_each_export(&elf, count_name, &n));
    assert_int_equal(n, 1 + strlen("telex_entry_v1"));
    assert_null(elf_section(&elf, ".no.such.section", &size));
    assert_int_equal(size, 0);
}

static void a_file_cut_anywhere_does_no_harm(void **state) {
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 400; round++) {
        size_t size = round < 200 ? (size_t)round : next(&seed) % good_size;
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, good, size);
        read_all(exact, size);
        free(exact);
    }
}

static void changed_headers_do_no_harm(void **state) {
    (void)state;
    uint64_t seed = 11;
    size_t n_read = 0;
    uint8_t *bad = malloc(good_size);
    Elf64_Ehdr head;
    memcpy(&head, good, sizeof(head));
    for (int round = 0; round < 20000; round++) {
        memcpy(bad, good, good_size);
        /* In turn: the header, the section headers, anywhere. Half of the values are extreme. */
        for (uint64_t flips = 1 + next(&seed) % 3; flips > 0; flips--) {
            size_t sections = head.e_shnum * sizeof(Elf64_Shdr);
            size_t at = round % 3 == 0   ? next(&seed) % sizeof(head)
                        : round % 3 == 1 ? head.e_shoff + next(&seed) % sections
                                         : next(&seed) % good_size;
            bad[at] = next(&seed) % 2 ? (uint8_t)next(&seed) : 0xff;
        }
        n_read += read_all(bad, good_size) == 0;
    }
    assert_true(n_read > 1000);
    free(bad);
}

static void changed_tables_do_no_harm(void **state) {
    (void)state;
    uint64_t seed = 17;
    uint8_t *bad = malloc(good_size);
    Elf64_Ehdr head;
    memcpy(&head, good, sizeof(head));
    for (int round = 0; round < 5000; round++) {
        memcpy(bad, good, good_size);
        Elf64_Shdr section;
        uint8_t *at = bad + head.e_shoff + next(&seed) % head.e_shnum * sizeof(section);
        memcpy(&section, at, sizeof(section));
        uint64_t *const fields[] = {&section.sh_offset, &section.sh_size, &section.sh_addralign,
                                    &section.sh_entsize};
        *fields[next(&seed) % 4] =
            next(&seed) % 2 ? UINT64_MAX - next(&seed) % 4096 : next(&seed) % (2 * good_size);
        if (next(&seed) % 2)
            section.sh_link = (uint32_t)next(&seed);
        if (next(&seed) % 4 == 0)
            section.sh_type = (uint32_t)(next(&seed) % 20);
        memcpy(at, &section, sizeof(section));
        read_all(bad, good_size);
    }
    free(bad);
}

static void inspection_of_changed_files_ends_in_a_reason(void **state) {
    (void)state;
    uint64_t seed = 23;
    size_t n_refused = 0;
    for (int round = 0; round < 2000; round++) {
        struct plugin_file file = {.data = malloc(good_size), .size = good_size};
        char why[1024] = "";
        memcpy(file.data, good, good_size);
        for (int flips = 0; flips < 8; flips++)
            file.data[next(&seed) % good_size] = (uint8_t)next(&seed);
        if (plugin_file_inspect(&file, why, sizeof(why)) < 0) {
            n_refused++;
            assert_non_null(strchr(why, ';'));
        }
        plugin_file_finish(&file);
    }
    assert_true(n_refused > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(a_file_cut_anywhere_does_no_harm),
        cmocka_unit_test(changed_headers_do_no_harm),
        cmocka_unit_test(changed_tables_do_no_harm),
        cmocka_unit_test(inspection_of_changed_files_ends_in_a_reason),
    };
    return cmocka_run_group_tests(tests, read_good, free_good);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* test_amx.c - the way to AMX tiles: the trial on this machine, the calibration, and what emulated tiles
 * refuse. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TELEX_TILES_EMULATED
#include "amx.h"
#include "cpu.h"
#include "tiles.h"

static const struct tile_config good = {
    .palette = 1,
    .row_bytes = {64, 32, 64},
    .rows = {5, 5, 8},
};

/* ---- this machine ---- */

static void what_stands_in_the_way_of_tiles_is_named(void **state) {
    const char *lack = amx_lack();

    (void)state;
    if (lack && strncmp(lack, "the kernel does not grant it: ", 30) != 0)
        assert_non_null(strstr("not in this processor, the system does not save its registers", lack));
}

static void without_tiles_the_best_other_path_is_chosen(void **state) {
    const struct kernels *chosen = NULL;
    struct model_fail fail;
    char text[128];

    (void)state;
    assert_int_equal(cpu_choose(NULL, &chosen, &fail), 0);
    cpu_describe(chosen, NULL, text, sizeof(text));
    if (amx_lack()) {
        assert_string_not_equal(chosen->name, "amx");
        assert_int_not_equal(cpu_choose("amx", &chosen, &fail), 0);
        assert_non_null(strstr(fail.text, "TELEX_CPU=amx: "));
        if (strcmp(chosen->name, "avx512") == 0)
            assert_non_null(strstr(text, amx_lack()));
    } else {
        assert_int_equal(cpu_choose("amx", &chosen, &fail), 0);
    }
}

/* ---- calibration ---- */

/* Emulated tiles are many times slower than either, and the other way round faster. */
static void calibration_takes_what_is_faster(void **state) {
    uint8_t least[AMX_KINDS];

    (void)state;
    if (!__builtin_cpu_supports("avx512vnni"))
        skip();
    memset(least, 0, sizeof(least));
    amx_calibrate(&kernels_amx_emulated, &kernels_avx2, least);
    assert_int_equal(least[2 * QUANT_Q4_K], AMX_NEVER);
    assert_int_equal(least[2 * QUANT_Q8_0 + 1], AMX_NEVER);
    amx_calibrate(&kernels_avx2, &kernels_amx_emulated, least);
    assert_int_equal(least[2 * QUANT_Q4_K], 2);
    assert_int_equal(least[2 * QUANT_Q8_0 + 1], 2);
    memset(least, AMX_NEVER, sizeof(least));
    assert_int_equal(amx_pays_from(least), AMX_NEVER);
    least[9] = 4;
    assert_int_equal(amx_pays_from(least), 4);
}

/* ---- emulated tiles ---- */

static void a_product_is_that_of_the_bytes(void **state) {
    int8_t a[5][32], b[8][64];
    int32_t c[5][16];

    (void)state;
    for (size_t i = 0; i < sizeof(a); i++)
        a[i / 32][i % 32] = (int8_t)(i * 37 + 11);
    for (size_t i = 0; i < sizeof(b); i++)
        b[i / 64][i % 64] = (int8_t)(i * 101 + 7);
    TILE_CONFIGURE(&good);
    TILE_ZERO(0);
    TILE_LOAD(1, a, 32);
    TILE_LOAD(2, b, 64);
    TILE_DOT(0, 1, 2);
    TILE_DOT(0, 1, 2); /* adds */
    TILE_STORE(0, c, 64);
    TILE_RELEASE();
    for (int m = 0; m < 5; m++)
        for (int n = 0; n < 16; n++) {
            int32_t want = 0;

            for (int k = 0; k < 32; k++)
                want += a[m][k] * b[k / 4][4 * n + k % 4];
            assert_int_equal(c[m][n], 2 * want);
        }
}

static void no_palette(void) {
    struct tile_config c = good;
    c.palette = 0;
    TILE_CONFIGURE(&c);
}
static void too_many_rows(void) {
    struct tile_config c = good;
    c.rows[3] = 17, c.row_bytes[3] = 64;
    TILE_CONFIGURE(&c);
}
static void reserved_bytes(void) {
    struct tile_config c = good;
    c.reserved_too[3] = 1;
    TILE_CONFIGURE(&c);
}
static void nothing_configured(void) {
    TILE_ZERO(0);
}
static void nothing_after_release(void) {
    TILE_CONFIGURE(&good);
    TILE_RELEASE();
    TILE_ZERO(0);
}
static void unknown_tile(void) {
    uint8_t bytes[1024] = {0};
    TILE_CONFIGURE(&good);
    TILE_LOAD(3, bytes, 64);
}
static void shapes_that_do_not_fit(void) {
    TILE_CONFIGURE(&good);
    TILE_DOT(0, 2, 1);
}
static void one_tile_twice(void) {
    TILE_CONFIGURE(&good);
    TILE_DOT(0, 1, 1);
}
static void rows_that_overlap(void) {
    uint8_t bytes[1024];
    TILE_CONFIGURE(&good);
    TILE_STORE(0, bytes, 32);
}

static void misuse_ends_the_process(void **state) {
    void (*const misuses[])(void) = {
        no_palette,   too_many_rows,          reserved_bytes, nothing_configured, nothing_after_release,
        unknown_tile, shapes_that_do_not_fit, one_tile_twice, rows_that_overlap,
    };
    const struct rlimit no_core = {0, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
        int status = 0;
        const pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            setrlimit(RLIMIT_CORE, &no_core);
            close(2);
            signal(SIGABRT, SIG_DFL);
            misuses[i]();
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_in_the_way_of_tiles_is_named),
        cmocka_unit_test(without_tiles_the_best_other_path_is_chosen),
        cmocka_unit_test(calibration_takes_what_is_faster),
        cmocka_unit_test(a_product_is_that_of_the_bytes),
        cmocka_unit_test(misuse_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

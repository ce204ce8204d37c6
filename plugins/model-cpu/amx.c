/* SPDX-License-Identifier: Apache-2.0 */
/* amx.c - see amx.h.
 *
 * A processor may announce tiles that its system does not save, or that the kernel does not grant. Where XCR0
 * has both bits and the kernel granted the state, the instructions run; a product says that they are right.
 * No fault is caught: signal handlers are the host's. */
#include "amx.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

uint8_t amx_least[AMX_KINDS];

uint8_t amx_pays_from(const uint8_t least[AMX_KINDS]) {
    uint8_t from = AMX_NEVER;

    for (int i = 0; i < AMX_KINDS; i++)
        if (least[i] < from)
            from = least[i];
    return from;
}

/* ---- what tiles gain ---- */

enum { TRIAL_ROWS = 128, TRIAL_COLS = 1024, TRIAL_LAPS = 7 };

static uint64_t now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The shortest of some laps: what disturbs one only makes it longer. */
static uint64_t time_product(const struct kernels *kernels, const struct matrix *m, const struct acts *acts,
                             float *y) {
    const struct product to = {y, TRIAL_ROWS, NULL, false};
    uint64_t best = UINT64_MAX;

    for (int lap = 0; lap < TRIAL_LAPS; lap++) {
        const uint64_t from = now_ns();
        uint64_t took;

        kernels->matmul(m, 0, m->n_groups, acts, &to);
        took = now_ns() - from;
        best = took < best ? took : best;
    }
    return best;
}

/* Zeros do: no time here depends on the numbers. */
static void calibrate_kind(const struct kernels *tiles, const struct kernels *plain, uint32_t type,
                           uint32_t terms, uint8_t *least) {
    struct acts acts = {.n_cols = TRIAL_COLS, .terms = terms};
    const size_t n_acts = acts_bytes(ACTS_TILE, TRIAL_COLS, terms);
    const size_t n_y = ACTS_TILE * TRIAL_ROWS * sizeof(float);
    struct matrix m;
    uint8_t *memory;

    *least = AMX_NEVER;
    matrix_shape(&m, type, TRIAL_ROWS, TRIAL_COLS);
    memory = aligned_alloc(64, (matrix_bytes(&m) + n_acts + n_y + 63) / 64 * 64);
    if (!memory)
        return;
    memset(memory, 0, matrix_bytes(&m) + n_acts + n_y);
    m.data = memory;
    acts.tiles = memory + matrix_bytes(&m);
    for (uint32_t rows = ACTS_TILE; rows >= 2; rows /= 2) {
        float *y = (float *)(void *)(acts.tiles + n_acts);

        acts.n_rows = rows;
        if (time_product(tiles, &m, &acts, y) >= time_product(plain, &m, &acts, y))
            break;
        *least = (uint8_t)rows;
    }
    free(memory);
}

void amx_calibrate(const struct kernels *tiles, const struct kernels *plain, uint8_t least[AMX_KINDS]) {
    static const uint8_t types[] = {QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
                                    QUANT_Q8_0, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K};

    for (size_t i = 0; i < sizeof(types); i++)
        for (uint32_t terms = 1; terms <= 2; terms++)
            calibrate_kind(tiles, plain, types[i], terms, &least[2 * types[i] + terms - 1]);
}

/* ---- whether there are any ---- */

#if defined(__x86_64__)
#include <cpuid.h>

#include "tiles.h"

enum {
    ARCH_REQ_XCOMP_PERM_CALL = 0x1023,
    XFEATURE_XTILEDATA = 18,
    CPUID_AMX_TILE = 1 << 24,
    CPUID_AMX_INT8 = 1 << 25
};
enum { XCR0_TILES = 3 << 17 /* configuration and data */ };

static bool is_announced(void) {
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & CPUID_AMX_TILE) && (d & CPUID_AMX_INT8);
}

/* Whether the system saves the registers. */
static bool is_enabled(void) {
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & XCR0_TILES) == XCR0_TILES;
}

/* c = a b', for a of ones and b of twos: 64 * 2 everywhere. */
static bool multiply_ones_and_twos(void) {
    struct tile_config config = {.palette = 1};
    _Alignas(64) int8_t ones[16][64], twos[16][64];
    _Alignas(64) int32_t sums[16][16] = {{0}};
    bool right = true;

    for (int t = 0; t < 3; t++) {
        config.rows[t] = 16;
        config.row_bytes[t] = 64;
    }
    memset(ones, 1, sizeof(ones));
    memset(twos, 2, sizeof(twos));
    TILE_CONFIGURE(&config);
    TILE_ZERO(0);
    TILE_LOAD(1, ones, 64);
    TILE_LOAD(2, twos, 64);
    TILE_DOT(0, 1, 2);
    TILE_STORE(0, sums, 64);
    TILE_RELEASE();
    for (int i = 0; i < 256; i++)
        right = right && sums[i / 16][i % 16] == 128;
    return right;
}

static char lack_text[96];

static void calibrate(void) {
    uint8_t least[AMX_KINDS];

    memset(amx_least, 2, sizeof(amx_least)); /* what is timed runs on tiles */
    memset(least, AMX_NEVER, sizeof(least));
    amx_calibrate(&kernels_amx, &kernels_avx512, least);
    memcpy(amx_least, least, sizeof(amx_least));
}

/* NULL, or what stands in the way. */
static const char *find_lack(void) {
    if (!is_announced())
        return "not in this processor";
    if (!is_enabled())
        return "the system does not save its registers";
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_CALL, XFEATURE_XTILEDATA) != 0) {
        snprintf(lack_text, sizeof(lack_text), "the kernel does not grant it: %s", strerror(errno));
        return lack_text;
    }
    if (!multiply_ones_and_twos())
        return "a product on tiles is wrong";
    calibrate();
    return NULL;
}
#else
static const char *find_lack(void) {
    return "not in this processor";
}
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *found_lack;

static void find_once(void) {
    found_lack = find_lack();
}

const char *amx_lack(void) {
    pthread_once(&once, find_once);
    return found_lack;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model-bench.c - model-tool bench: laps that tests/bench/decode.py asks for, one command a line on stdin.
 *
 *   prompt N           N tokens into an empty sequence, logits of the last
 *   generate N AT      N single tokens behind a prompt of AT, logits of each
 *   together S N AT    S sequences with prompts of their own, N batches of one token of each
 *   profile S N AT     as together; then a line for each kind of step
 *   read               a buffer of the weights' size, by as many threads: bytes a second
 *   multiply           int8 multiply-adds a second, out of registers (on tiles where the kernels use them),
 * by as many threads memory             the process's resident set
 *
 * An answer is "work seconds processor-seconds" on one line; `memory` answers in bytes. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "context.h"
#include "forward.h"
#include "model-tool.h"
#include "tiles.h"

enum { READ_PIECE = 1 << 20, MULTIPLY_ROUNDS = 4000000, MULTIPLY_PIECES = 16, BENCH_SEQS = 16 };

static double seconds_of(clockid_t clock) {
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Wall and processor time; on a busy machine only the second one means anything. */
struct lap {
    double wall, cpu;
};

static struct lap lap_begin(void) {
    return (struct lap){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static void lap_end(struct lap from, double work) {
    const struct lap now = lap_begin();

    printf("%.0f %.6f %.6f\n", work, now.wall - from.wall, now.cpu - from.cpu);
}

/* ---- tokens ---- */

static void drop_logits(void *arg, uint32_t row, const float *logits) {
    (void)row;
    *(float *)arg = logits[0];
}

static int32_t token_at(const struct runner *r, uint32_t seq, uint32_t i) {
    return (int32_t)((100 + seq * 501 + i * 37 % 10000) % r->model->n_vocab);
}

/* Tokens [at, at + n) of each of the sequences [first, first + n_seqs), in one batch. */
static int feed(struct runner *r, uint32_t first, uint32_t n_seqs, uint32_t at, uint32_t n, enum ask last) {
    static int32_t token[CONTEXT_MAX_BATCH], pos[CONTEXT_MAX_BATCH];
    static uint32_t seq[CONTEXT_MAX_BATCH];
    static struct context_row rows[CONTEXT_MAX_BATCH];
    const struct context_batch batch = {n * n_seqs, token, pos, seq, rows};
    float sink;

    for (uint32_t i = 0; i < n * n_seqs; i++) {
        seq[i] = first + i / n;
        pos[i] = (int32_t)(at + i % n);
        token[i] = token_at(r, seq[i], at + i % n);
        rows[i] = (struct context_row){.ask = i % n + 1 == n ? last : ASK_NONE};
    }
    return context_decode(r->ctx, &batch, drop_logits, &sink);
}

static int prompt(struct runner *r, uint32_t seq, uint32_t n) {
    int err = 0;

    context_trim(r->ctx, seq, 0);
    for (uint32_t at = 0, part; at < n && !err; at += part) {
        part = n - at < CONTEXT_MAX_BATCH ? n - at : CONTEXT_MAX_BATCH;
        err = feed(r, seq, 1, at, part, at + part == n ? ASK_ALL : ASK_NONE);
    }
    return err;
}

static int generate(struct runner *r, uint32_t n_seqs, uint32_t n, uint32_t at) {
    struct lap lap;
    int err = 0;

    for (uint32_t s = 0; s < n_seqs && !err; s++)
        err = prompt(r, s, at);
    lap = lap_begin();
    for (uint32_t i = 0; i < n && !err; i++)
        err = feed(r, 0, n_seqs, at + i, 1, ASK_ALL);
    lap_end(lap, (double)n * n_seqs);
    return err;
}

static int profile(struct runner *r, uint32_t n_seqs, uint32_t n, uint32_t at) {
    struct forward_clock *clock = calloc(1, sizeof(*clock));
    int err;

    if (!clock)
        return -1;
    context_clock(r->ctx, clock);
    err = generate(r, n_seqs, n, at);
    context_clock(r->ctx, NULL);
    for (int op = 0; op < FORWARD_CLOCK_OPS; op++) {
        double ns = 0;

        for (int t = 0; t < FORWARD_CLOCK_THREADS; t++)
            ns += (double)clock->ns[t][op];
        if (ns > 0)
            printf("  step %2d: %9.3f ms\n", op, ns * 1e-6);
    }
    free(clock);
    return err;
}

/* ---- what the machine can do ---- */

struct reading {
    const uint8_t *buffer;
    _Atomic uint64_t sum;
};

static void read_piece(void *arg, size_t step, uint32_t piece, uint32_t thread) {
    struct reading *r = arg;
    const uint64_t *p = (const uint64_t *)(const void *)(r->buffer + (size_t)piece * READ_PIECE);
    uint64_t sum[8] = {0};

    (void)step;
    (void)thread;
    for (size_t i = 0; i < READ_PIECE / sizeof(*p); i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += p[i + j];
    for (size_t j = 0; j < 8; j++)
        atomic_fetch_add_explicit(&r->sum, sum[j], memory_order_relaxed);
}

static int read_buffer(struct runner *r) {
    const uint32_t n = (uint32_t)(r->model->weight_bytes / READ_PIECE) + 1;
    const size_t n_bytes = (size_t)n * READ_PIECE;
    uint8_t *map = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct reading reading = {map, 0};
    struct lap lap;
    int err;

    if (map == MAP_FAILED)
        return -1;
    madvise(map, n_bytes, MADV_HUGEPAGE);
    memset(map, 1, n_bytes);
    err = pool_walk(r->pool, 1, &n, read_piece, &reading); /* warm */
    lap = lap_begin();
    for (int i = 0; i < 3 && !err; i++)
        err = pool_walk(r->pool, 1, &n, read_piece, &reading);
    lap_end(lap, 3.0 * (double)n_bytes);
    munmap(map, n_bytes);
    return err;
}

#if defined(__x86_64__)
/* Eight independent chains hide the latency of any of these. */
#define EIGHT_TIMES(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
#define DPBUSD(i)      "vpdpbusd %%zmm8, %%zmm9, %%zmm" #i "\n\t"
#define MADDUBS(i)     "vpmaddubsw %%ymm8, %%ymm9, %%ymm" #i "\n\tvpmaddwd %%ymm8, %%ymm" #i ", %%ymm" #i "\n\t"

static uint64_t multiply_avx512(void) {
    for (int n = 0; n < MULTIPLY_ROUNDS; n++)
        __asm__ volatile(EIGHT_TIMES(DPBUSD)::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    return (uint64_t)MULTIPLY_ROUNDS * 8 * 64;
}

static uint64_t multiply_avx2(void) {
    for (int n = 0; n < MULTIPLY_ROUNDS; n++)
        __asm__ volatile(EIGHT_TIMES(MADDUBS)::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    return (uint64_t)MULTIPLY_ROUNDS * 8 * 32;
}

static uint64_t multiply_amx(void) {
    struct tile_config config = {.palette = 1};

    for (int t = 0; t < 8; t++) {
        config.rows[t] = 16;
        config.row_bytes[t] = 64;
    }
    TILE_CONFIGURE(&config);
    for (int n = 0; n < MULTIPLY_ROUNDS / 16; n++) {
        TILE_DOT(0, 4, 5);
        TILE_DOT(1, 4, 5);
        TILE_DOT(2, 4, 5);
        TILE_DOT(3, 4, 5);
    }
    TILE_RELEASE();
    return (uint64_t)(MULTIPLY_ROUNDS / 16) * 4 * 16 * 16 * 64;
}
#endif

static uint64_t multiply_once(bool tiles) {
#if defined(__x86_64__)
    if (tiles)
        return multiply_amx();
    return __builtin_cpu_supports("avx512vnni") ? multiply_avx512() : multiply_avx2();
#else
    (void)tiles;
    return 0;
#endif
}

struct multiplying {
    bool tiles;
    _Atomic uint64_t done;
};

static void multiply_piece(void *arg, size_t step, uint32_t piece, uint32_t thread) {
    struct multiplying *m = arg;

    (void)step;
    (void)piece;
    (void)thread;
    atomic_fetch_add_explicit(&m->done, multiply_once(m->tiles), memory_order_relaxed);
}

static bool is_on_tiles(const char *kernels) {
    return strncmp(kernels, "amx", 3) == 0 && kernels[3] != '-';
}

static int multiply(struct runner *r) {
    const uint32_t n = MULTIPLY_PIECES;
    struct multiplying multiplying = {is_on_tiles(r->kernels->name), 0};
    const struct lap lap = lap_begin();
    const int err = pool_walk(r->pool, 1, &n, multiply_piece, &multiplying);

    lap_end(lap, (double)multiplying.done);
    return err;
}

static int memory(void) {
    unsigned long long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f)
        return -1;
    if (fscanf(f, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(f);
    printf("%llu\n", resident * 4096);
    return 0;
}

static int command(struct runner *r, const char *line) {
    char name[16] = "";
    uint32_t a = 0, b = 0, c = 0;

    if (sscanf(line, "%15s %" SCNu32 " %" SCNu32 " %" SCNu32, name, &a, &b, &c) < 1)
        return -1;
    if (strcmp(name, "prompt") == 0) {
        const struct lap lap = lap_begin();
        const int err = prompt(r, 0, a);

        lap_end(lap, a);
        return err;
    }
    if (strcmp(name, "generate") == 0)
        return generate(r, 1, a, b);
    if (strcmp(name, "together") == 0 && a > 0 && a <= BENCH_SEQS)
        return generate(r, a, b, c);
    if (strcmp(name, "profile") == 0 && a > 0 && a <= BENCH_SEQS)
        return profile(r, a, b, c);
    if (strcmp(name, "read") == 0)
        return read_buffer(r);
    if (strcmp(name, "multiply") == 0)
        return multiply(r);
    return strcmp(name, "memory") == 0 ? memory() : -1;
}

int tool_bench(struct options o) {
    const struct lap start = lap_begin();
    char line[128];
    struct runner r;

    if (runner_open(&r, o.path, o.numbers[0], BENCH_SEQS) != 0)
        return 1;
    printf("%.3f %s %zu\n", lap_begin().wall - start.wall, r.kernels->name, r.model->weight_bytes);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (command(&r, line) != 0) {
            fprintf(stderr, "model-tool: bench: cannot do: %s", line);
            runner_close(&r);
            return 1;
        }
        fflush(stdout);
    }
    runner_close(&r);
    return 0;
}

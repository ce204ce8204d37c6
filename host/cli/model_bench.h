/* SPDX-License-Identifier: Apache-2.0 */
/* model_bench.h - one backend under measurement, and one measurement of it. */
#ifndef HOST_CLI_MODEL_BENCH_H
#define HOST_CLI_MODEL_BENCH_H

#include <stdbool.h>

#include "model_feed.h"
#include "model_open.h"

enum { BENCH_CASES_MAX = 64, BENCH_ROUNDS_MAX = 101 };

/* What is timed: a prompt of `tokens` on an empty context (batch 0), or `tokens` steps in which each of
 * `batch` sequences that hold `depth` positions gets one more. */
struct bench_case {
    uint32_t tokens, batch, depth;
    bool left_out; /* does not fit */
    char why[160];
    double ms[BENCH_ROUNDS_MAX];          /* for the whole case, by round */
    double tokens_done[BENCH_ROUNDS_MAX]; /* that the time bought */
};

struct bench {
    const char *spec;
    struct opened_model opened;
    struct feed feed;        /* zeroed for a backend that only answers jobs */
    int32_t *ids;            /* of the built-in text, n_ids */
    uint32_t n_ids, n_asked; /* n_asked: jobs so far, so that no two prompts begin alike */
    double load_ms;
    long long resident_bytes; /* grown by load and context */
    struct bench_case cases[BENCH_CASES_MAX];
    size_t n_cases;
};

/* Open a backend with a context large enough for its cases. 0, or an exit code with the reason printed. */
int bench_open(struct bench *bench, const struct model_args *args);
void bench_close(struct bench *bench);

/* Measure a case once, as round `round`. A case that does not fit is marked. */
void bench_run(struct bench *bench, size_t which, size_t round);

#endif

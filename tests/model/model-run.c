/* SPDX-License-Identifier: Apache-2.0 */
/* model-run.c - the commands of model-tool that run a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "cpu.h"
#include "model-tool.h"

enum { MAX_TOKENS = 8192 };

struct runner {
    struct model *model;
    struct pool *pool;
    struct context *ctx;
    const struct kernels *kernels;
};

static int report(const struct model_fail *fail) {
    fprintf(stderr, "model-tool: %s\n", fail->text);
    return 1;
}

static int runner_open(struct runner *r, const char *path, uint32_t n_threads, uint32_t n_seq) {
    struct model_fail fail;

    memset(r, 0, sizeof(*r));
    if (cpu_choose(getenv("TELEX_CPU"), &r->kernels, &fail) != 0)
        return report(&fail);
    if (model_open(path, n_threads ? n_threads : 1, &r->model, &fail) != 0)
        return report(&fail);
    if (pool_create(n_threads ? n_threads : 1, &r->pool, &fail) != 0)
        return report(&fail);
    if (context_open(r->model, r->pool, r->kernels, n_seq, MAX_TOKENS, &r->ctx, &fail) != 0)
        return report(&fail);
    return 0;
}

static void runner_close(struct runner *r) {
    context_close(r->ctx);
    pool_destroy(r->pool);
    model_close(r->model);
}

int tool_plan(struct options o) {
    struct runner r;

    if (runner_open(&r, o.path, 1, 1) != 0)
        return 1;
    arch_print_plan(&r.model->arch, r.model->steps, r.model->n_steps, stdout);
    runner_close(&r);
    return 0;
}

static void write_logits(void *arg, uint32_t row, const float *logits) {
    const struct runner *r = arg;

    (void)row;
    fwrite(logits, sizeof(float), r->model->n_vocab, stdout);
}

static void drop_logits(void *arg, uint32_t row, const float *logits) {
    (void)row;
    *(float *)arg = logits[0];
}

/* Feed ids[at .. at + n) of sequence 0, asking for the logits of positions >= from. */
static int feed(struct runner *r, const int32_t *ids, uint32_t at, uint32_t n, uint32_t from,
                context_take take, void *arg) {
    static const uint32_t seq[CONTEXT_MAX_BATCH];
    struct context_row rows[CONTEXT_MAX_BATCH] = {0};
    int32_t pos[CONTEXT_MAX_BATCH];
    const struct context_batch batch = {n, ids + at, pos, seq, rows};

    for (uint32_t i = 0; i < n; i++) {
        pos[i] = (int32_t)(at + i);
        rows[i].ask = at + i >= from ? ASK_ALL : ASK_NONE;
    }
    return context_decode(r->ctx, &batch, take, arg);
}

static int read_ids(uint32_t *n, uint32_t *from, int32_t *ids) {
    return fread(n, 4, 1, stdin) == 1 && fread(from, 4, 1, stdin) == 1 && *n <= MAX_TOKENS &&
           fread(ids, 4, *n, stdin) == *n;
}

int tool_logits(struct options o) {
    static int32_t ids[MAX_TOKENS];
    uint32_t n, from, chunk = o.numbers[1] ? o.numbers[1] : 1;
    struct runner r;
    int err = runner_open(&r, o.path, o.numbers[0], 1);

    chunk = chunk > CONTEXT_MAX_BATCH ? CONTEXT_MAX_BATCH : chunk;
    while (!err && read_ids(&n, &from, ids)) {
        context_trim(r.ctx, 0, 0);
        for (uint32_t at = 0; at < n && !err; at += chunk)
            err = feed(&r, ids, at, n - at < chunk ? n - at : chunk, from, write_logits, &r);
        if (err)
            fprintf(stderr, "model-tool: decode failed: %s\n", strerror(-err));
    }
    runner_close(&r);
    return err ? 1 : 0;
}

static double seconds_of(clockid_t clock) {
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Wall and processor time; on a busy machine only the second one means anything. */
struct lap {
    double wall, cpu;
};

static struct lap lap_since(struct lap before) {
    return (struct lap){seconds_of(CLOCK_MONOTONIC) - before.wall,
                        seconds_of(CLOCK_PROCESS_CPUTIME_ID) - before.cpu};
}

int tool_bench(struct options o) {
    static int32_t ids[MAX_TOKENS];
    const uint32_t n_prompt = o.numbers[1], n_gen = o.numbers[2], rounds = o.numbers[3] ? o.numbers[3] : 1;
    struct lap start = lap_since((struct lap){0}), prompt, generated;
    struct runner r;
    float sink;
    int err = runner_open(&r, o.path, o.numbers[0], 1);

    if (err || n_prompt + n_gen > MAX_TOKENS)
        return 1;
    printf("load %.2f s, %s\n", lap_since(start).wall, r.kernels->name);
    for (uint32_t i = 0; i < n_prompt + n_gen; i++)
        ids[i] = (int32_t)(100 + i * 37 % 10000);
    for (uint32_t round = 0; round < rounds && !err; round++) {
        context_trim(r.ctx, 0, 0);
        start = lap_since((struct lap){0});
        for (uint32_t at = 0, n; at < n_prompt && !err; at += n) {
            n = n_prompt - at < CONTEXT_MAX_BATCH ? n_prompt - at : CONTEXT_MAX_BATCH;
            err = feed(&r, ids, at, n, n_prompt - 1, drop_logits, &sink);
        }
        prompt = lap_since(start);
        start = lap_since((struct lap){0});
        for (uint32_t at = n_prompt; at < n_prompt + n_gen && !err; at++)
            err = feed(&r, ids, at, 1, 0, drop_logits, &sink);
        generated = lap_since(start);
        printf("prompt %.1f tok/s (%.1f a processor second), generated %.1f tok/s (%.1f)\n",
               n_prompt / prompt.wall, n_prompt / prompt.cpu, n_gen / generated.wall, n_gen / generated.cpu);
        fflush(stdout);
    }
    runner_close(&r);
    return err ? 1 : 0;
}

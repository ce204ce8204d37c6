/* SPDX-License-Identifier: Apache-2.0 */
/* model-run.c - the commands of model-tool that run a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "model-tool.h"

enum { MAX_TOKENS = 8192 };

static int report(const struct model_fail *fail) {
    fprintf(stderr, "model-tool: %s\n", fail->text);
    return 1;
}

int runner_open(struct runner *r, const char *path, uint32_t n_threads, uint32_t n_seq) {
    const char *dir = getenv("TELEX_TEST_PACKED"), *limit = getenv("TELEX_TEST_PACKED_LIMIT");
    struct packed_cache cache = {.max_bytes = limit ? strtoull(limit, NULL, 10) : UINT64_MAX};
    struct model_fail fail;

    if (dir)
        snprintf(cache.dir, sizeof(cache.dir), "%s", dir);
    memset(r, 0, sizeof(*r));
    if (cpu_choose(getenv("TELEX_CPU"), &r->kernels, &fail) != 0)
        return report(&fail);
    if (getenv("TELEX_PRECISION") && strcmp(getenv("TELEX_PRECISION"), "exact") == 0)
        r->kernels = r->kernels->exact;
    else if (getenv("TELEX_KV") && strcmp(getenv("TELEX_KV"), "int8") == 0)
        r->kernels = r->kernels->int8_kv;
    if (model_open(path, n_threads ? n_threads : 1, dir ? &cache : NULL, &r->model, &fail) != 0)
        return report(&fail);
    if (pool_create(n_threads ? n_threads : 1, &r->pool, &fail) != 0)
        return report(&fail);
    if (context_open(r->model, r->pool, r->kernels, n_seq, MAX_TOKENS, &r->ctx, &fail) != 0)
        return report(&fail);
    return 0;
}

void runner_close(struct runner *r) {
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

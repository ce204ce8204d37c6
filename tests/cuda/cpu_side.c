/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_side.c - see cpu_side.h. */
#include "cpu_side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "cpu.h"

struct taking {
    float *next;
    uint32_t n_vocab;
};

static void take(void *arg, uint32_t row, const float *logits) {
    struct taking *t = arg;

    (void)row;
    memcpy(t->next, logits, t->n_vocab * sizeof(float));
    t->next += t->n_vocab;
}

uint32_t cpu_logits(const char *path, const int32_t *ids, uint32_t n, uint32_t from, float *logits) {
    struct context_row rows[CONTEXT_MAX_BATCH] = {{.ask = ASK_NONE}};
    static const uint32_t seq[CONTEXT_MAX_BATCH];
    int32_t pos[CONTEXT_MAX_BATCH];
    const struct context_batch batch = {n, ids, pos, seq, rows};
    const struct kernels *kernels = NULL;
    struct context *ctx = NULL;
    struct model *model = NULL;
    struct pool *pool = NULL;
    struct model_fail fail = {""};
    struct taking t = {logits, 0};
    int err = cpu_choose(NULL, &kernels, &fail);

    for (uint32_t i = 0; i < n; i++) {
        pos[i] = (int32_t)i;
        rows[i].ask = i >= from ? ASK_ALL : ASK_NONE;
    }
    if (!err)
        err = model_open(path, 1, NULL, &model, &fail);
    if (!err)
        err = pool_create(1, &pool, &fail);
    if (!err)
        err = context_open(model, pool, kernels, 1, n, &ctx, &fail);
    if (!err) {
        t.n_vocab = model->n_vocab;
        err = context_decode(ctx, &batch, take, &t);
    }
    if (err)
        printf("model-cpu: %d %s\n", err, fail.text);
    context_close(ctx);
    pool_destroy(pool);
    model_close(model);
    return err ? 0 : t.n_vocab;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model-tool.h - the commands of model-tool that run a model. */
#ifndef TELEX_MODEL_TOOL_H
#define TELEX_MODEL_TOOL_H

#include <stdint.h>

#include "context.h"

struct options {
    const char *path;
    const char *what;
    uint32_t numbers[4];
};

struct runner {
    struct model *model;
    struct pool *pool;
    struct context *ctx;
    const struct kernels *kernels;
};

/* A model and a context of n_seq sequences, by n_threads. 0, or 1 with the reason on stderr. */
int runner_open(struct runner *r, const char *path, uint32_t n_threads, uint32_t n_seq);
void runner_close(struct runner *r);

int tool_plan(struct options o);
int tool_logits(struct options o);
int tool_bench(struct options o);

#endif

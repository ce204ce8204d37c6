/* SPDX-License-Identifier: Apache-2.0 */
/* model-tool.h - the commands of model-tool that run a model. */
#ifndef TELEX_MODEL_TOOL_H
#define TELEX_MODEL_TOOL_H

#include <stdint.h>

struct options {
    const char *path;
    const char *what;
    uint32_t numbers[4];
};

int tool_plan(struct options o);
int tool_logits(struct options o);
int tool_bench(struct options o);

#endif

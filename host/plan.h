/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - what it takes to get from the config that a pipeline runs to another one. */
#ifndef HOST_PLAN_H
#define HOST_PLAN_H

#include "config.h"
#include "swap.h"

struct plan {
    enum swap_act acts[ENGINE_STAGES_MAX]; /* of each stage of the new config */
    size_t n_replaced;
    bool rules_changed; /* something else did: an edge's rules, drain, retention */
};

/* Compare `to` with what the engine runs. A stage differs when its plugin's file, its options, its models or
 * any of its keys do, and when it is down. What cannot change while the pipeline runs is told in `errors`,
 * with its place and remedy. Until it returns no other config may take the place of the engine's. */
void plan_make(struct plan *plan, struct engine *engine, const struct config *to,
               struct config_errors *errors);

#endif

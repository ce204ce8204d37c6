/* SPDX-License-Identifier: Apache-2.0 */
/* cluster-story - groups the records that report one event. */
#include <telex-sdk/plugin.h>

#include "settings.h"
#include "stage.h"

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "records", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "stories", "telex.story/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_CLUSTER,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = STAGE_OUTPUTS_MAX,
    .name = "cluster-story",
    .version = "0.1.0",
    .doc = "groups the records that report one event, online and deterministic",
    .ports = ports,
    .options = settings_table, /* settings.c */
    .create = stage_create,    /* stage.c */
    .start = stage_start,      /* stage.c: replays the log, state.c */
    .process = stage_process,  /* stage.c: one record into the core, cluster.c */
    .destroy = stage_destroy,  /* stage.c */
};

TELEX_STAGE_PLUGIN(stage, "cluster-story", "0.1.0", "Apache-2.0",
                   "groups the records that report one event, online and deterministic")

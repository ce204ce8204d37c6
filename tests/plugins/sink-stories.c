/* SPDX-License-Identifier: Apache-2.0 */
/* sink-stories - a wire that takes stories and nothing else; configs are checked against it. */
#include "filter.h"

static telex_status stories_process(void *self, telex_lease lease, struct telex_rec *in) {
    (void)self, (void)lease, (void)in;
    return TELEX_OK;
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "stories", "telex.story/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WIRE,
    .name = "sink-stories",
    .version = "0.1.0",
    .doc = "takes stories and nothing else",
    .ports = ports,
    .create = filter_create,
    .process = stories_process,
    .destroy = filter_destroy,
};

TELEX_STAGE_PLUGIN(stage, "sink-stories", "0.1.0", "Apache-2.0", "takes stories and nothing else")

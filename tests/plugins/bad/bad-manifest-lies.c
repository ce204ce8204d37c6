/* SPDX-License-Identifier: Apache-2.0 */
/* bad-manifest-lies - its class has another version than its manifest. */
#include "../filter.h"

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = "bad-manifest-lies",
    .version = "0.2.0",
    .doc = "disagrees with its manifest",
    .ports = filter_ports,
    .create = filter_create,
    .process = noop_process,
    .destroy = filter_destroy,
};

TELEX_STAGE_PLUGIN(stage, "bad-manifest-lies", "0.1.0", "Apache-2.0", "disagrees with its manifest")

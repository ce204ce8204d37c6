/* SPDX-License-Identifier: Apache-2.0 */
/* stage-crash-create - reads through NULL while it is made. */
#include "filter.h"

static telex_status crash_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    volatile int *nowhere = NULL;
    (void)host, (void)options, (void)self;
    return *nowhere;
}

static telex_status crash_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("stage-crash-create", "crashes in create", .create = crash_create, .process = crash_process)

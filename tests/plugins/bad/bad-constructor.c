/* SPDX-License-Identifier: Apache-2.0 */
/* bad-constructor - runs code when it is loaded. A host takes it; `telex check` does not. */
#include "../filter.h"

static volatile int loaded;

__attribute__((constructor)) static void count_a_load(void) {
    loaded++;
}

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("bad-constructor", "runs code when it is loaded", .create = filter_create,
              .process = noop_process)

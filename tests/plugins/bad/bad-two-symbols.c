/* SPDX-License-Identifier: Apache-2.0 */
/* bad-two-symbols - a good filter, linked without the version script. */
#include "../filter.h"

__attribute__((visibility("default"))) int leaked_helper(int x);

int leaked_helper(int x) {
    return x + 1;
}

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("bad-two-symbols", "exports two symbols", .create = filter_create, .process = noop_process)

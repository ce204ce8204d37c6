/* SPDX-License-Identifier: Apache-2.0 */
/* bad-symbol - would start a program. A host takes it; `telex check` does not. */
#include "../filter.h"

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    if (filter->calls < 0 && system("true") != 0)
        return TELEX_RETRY;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("bad-symbol", "would start a program", .create = filter_create, .process = noop_process)

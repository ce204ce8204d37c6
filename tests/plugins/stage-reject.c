/* SPDX-License-Identifier: Apache-2.0 */
/* stage-reject - rejects every record, with a reason. */
#include "filter.h"

static telex_status reject_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    (void)in;
    return telex_fail(filter->host, lease, TELEX_REJECT, "this stage rejects everything");
}

FILTER_PLUGIN("stage-reject", "rejects every record", .create = filter_create, .process = reject_process)

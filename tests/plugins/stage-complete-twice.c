/* SPDX-License-Identifier: Apache-2.0 */
/* stage-complete-twice - completes each lease a second time; a host refuses it and nothing else happens. */
#include "filter.h"

static telex_status twice_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    telex_status status = filter->host->forward(filter->host, lease, 0, in);
    filter->host->complete(filter->host, lease, status);
    if (filter->host->complete(filter->host, lease, TELEX_REJECT) == TELEX_OK)
        telex_say(filter->host, TELEX_ERROR, 0, "the host took a second completion");
    return TELEX_PENDING;
}

FILTER_PLUGIN("stage-complete-twice", "completes each lease twice", .create = filter_create,
              .process = twice_process)

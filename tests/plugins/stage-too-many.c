/* SPDX-License-Identifier: Apache-2.0 */
/* stage-too-many - gives two records where it declared one. */
#include "filter.h"

static telex_status many_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    telex_status status = filter->host->forward(filter->host, lease, 0, in);
    return status == TELEX_OK ? filter->host->forward(filter->host, lease, 0, in) : status;
}

FILTER_PLUGIN("stage-too-many", "gives more outputs than it declares", .create = filter_create,
              .process = many_process)

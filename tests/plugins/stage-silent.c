/* SPDX-License-Identifier: Apache-2.0 */
/* stage-silent - keeps every lease open for ever. */
#include "filter.h"

static telex_status silent_process(void *self, telex_lease lease, struct telex_rec *in) {
    (void)self, (void)lease, (void)in;
    return TELEX_PENDING;
}

FILTER_PLUGIN("stage-silent", "never completes a lease", .create = filter_create, .process = silent_process)

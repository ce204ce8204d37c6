/* SPDX-License-Identifier: Apache-2.0 */
/* stage-hang - never returns from process, whatever it is asked. */
#include <time.h>

#include "filter.h"

static telex_status hang_process(void *self, telex_lease lease, struct telex_rec *in) {
    (void)self, (void)lease, (void)in;
    for (volatile int forever = 1; forever;)
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    return TELEX_OK;
}

FILTER_PLUGIN("stage-hang", "hangs in process", .create = filter_create, .process = hang_process)

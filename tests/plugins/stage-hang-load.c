/* SPDX-License-Identifier: Apache-2.0 */
/* stage-hang-load - has a constructor that hangs where TELEX_TEST_HANG_LOAD says: in the child that
 * "describe"s it, in the "runner", in the "host". */
#include <string.h>
#include <unistd.h>

#include "filter.h"

__attribute__((constructor)) static void hang_where_told(int argc, char **argv) {
    const char *where = getenv("TELEX_TEST_HANG_LOAD");
    const char *here = argc > 1 && strcmp(argv[1], "--describe-plugin") == 0 ? "describe"
                       : argc > 0 && strcmp(argv[0], "telex-runner") == 0    ? "runner"
                                                                             : "host";
    while (where && strcmp(where, here) == 0)
        pause();
}

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("stage-hang-load", "may hang when it is loaded", .create = filter_create,
              .process = noop_process)

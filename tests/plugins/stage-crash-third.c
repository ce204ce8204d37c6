/* SPDX-License-Identifier: Apache-2.0 */
/* stage-crash-third - reads through NULL when it sees the third record: the one with number 2, or its third
 * call. */
#include "filter.h"

static telex_status crash_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct filter *filter = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    volatile int *nowhere = NULL;
    int64_t number = filter->calls++;
    if (filter->host->view(filter->host, in, &view) == TELEX_OK && telex_map_open(&map, view.body) == 0) {
        number = telex_map_int(map.root, "number", number);
        telex_map_close(&map);
    }
    if (number == 2)
        return *nowhere;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("stage-crash-third", "crashes on the third record", .create = filter_create,
              .process = crash_process)

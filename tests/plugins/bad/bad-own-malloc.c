/* SPDX-License-Identifier: Apache-2.0 */
/* bad-own-malloc - brings a malloc for the whole process: a good filter otherwise. */
#include <stddef.h>

#include "../filter.h"

__attribute__((visibility("default"))) void *malloc(size_t size) {
    static char room[1 << 20];
    static size_t used;
    size_t at = (used + 15) & ~(size_t)15;
    if (size > sizeof(room) || at > sizeof(room) - size)
        return NULL;
    used = at + size;
    return room + at;
}

static telex_status own_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("bad-own-malloc", "brings a malloc for the whole process", .create = filter_create,
              .process = own_process)

/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-default - the default of its option is outside the option's own range. */
#include "../filter.h"

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "size", .type = TELEX_INT, .initial = "20", .min = 1, .max = 10,
                 .doc = "out of its range"),
    NULL,
};

FILTER_PLUGIN("bad-option-default", "has a bad default", .create = filter_create, .process = noop_process,
              .options = options)

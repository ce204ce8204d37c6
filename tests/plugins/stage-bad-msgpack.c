/* SPDX-License-Identifier: Apache-2.0 */
/* stage-bad-msgpack - commits a map that claims four thousand million entries, and says that all is well. */
#include "filter.h"

static telex_status bad_process(void *self, telex_lease lease, struct telex_rec *in) {
    static const uint8_t body[] = {0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61, 0x01};
    const struct filter *filter = self;
    struct telex_loan loan = {.size = sizeof(loan)};
    (void)in;
    telex_status status = filter->host->loan(filter->host, lease, 0, sizeof(body), &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, body, sizeof(body));
    filter->host->commit(filter->host, &loan, sizeof(body));
    return TELEX_OK;
}

FILTER_PLUGIN("stage-bad-msgpack", "commits invalid msgpack", .create = filter_create, .process = bad_process)

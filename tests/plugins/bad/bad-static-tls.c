/* SPDX-License-Identifier: Apache-2.0 */
/* bad-static-tls - keeps a thread-local variable where only a program should. */
#include "../filter.h"

static _Thread_local int calls __attribute__((tls_model("initial-exec")));

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    calls++;
    return filter->host->forward(filter->host, lease, 0, in);
}

FILTER_PLUGIN("bad-static-tls", "uses static TLS", .create = filter_create, .process = noop_process)

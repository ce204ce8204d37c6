/* SPDX-License-Identifier: Apache-2.0 */
/* models.c - telex.models/1 inside a runner. */
#include "remote.h"

#include <stdio.h>

int models_start(struct remote *remote, char *why, size_t why_size) {
    if (remote->setup.n_models == 0)
        return 0;
    snprintf(why, why_size, "this runner opens no models");
    return -1;
}

void models_cancel_lease(struct remote *remote, telex_lease lease) {
    (void)remote;
    (void)lease;
}

void models_stop(struct remote *remote) {
    (void)remote;
}

const struct telex_models models_table = {.size = sizeof(models_table)};

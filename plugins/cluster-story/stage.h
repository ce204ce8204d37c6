/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h - the stage around the core. */
#ifndef CLUSTER_STAGE_H
#define CLUSTER_STAGE_H

#include <telex/stage.h>

enum { STAGE_OUTPUTS_MAX = 32 };

telex_status stage_create(const struct telex_host *host, struct telex_bytes options, void **self);
telex_status stage_start(void *self);
telex_status stage_process(void *self, telex_lease lease, struct telex_rec *in);
void stage_destroy(void *self);

#endif

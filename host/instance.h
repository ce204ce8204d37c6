/* SPDX-License-Identifier: Apache-2.0 */
/* instance.h - one life of a stage's plugin object: make, begin, end. */
#ifndef HOST_INSTANCE_H
#define HOST_INSTANCE_H

#include "engine.h"

/* A new instance of the stage, refs 1, set as the stage's living one. NULL when out of memory. */
struct instance *instance_create_locked(struct stage *stage);

/* create(), with what it needs (models, a runner). Runs plugin code: call without the lock. */
telex_status instance_build(struct instance *instance);

/* start(). Runs plugin code: call without the lock. */
telex_status instance_begin(struct instance *instance);

/* stop() and destroy() as far as it got. Runs plugin code: call without the lock. */
void instance_end(struct instance *instance);

/* End an isolated instance's process now; its open steps then complete with `why`. Nothing in-process. [any]
 */
void instance_kill(struct instance *instance, const char *why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* confine.h - what a runner gives up before it loads a plugin. */
#ifndef RUNNER_CONFINE_H
#define RUNNER_CONFINE_H

#include <stddef.h>
#include <sys/types.h>

#include "../isolate.h"

/* First thing in main: die with `host`, gain no privileges, keep no descriptor but those of protocol.h,
 * with so many images of plugins. 0, or
 * a negative errno; -ESRCH when the host is gone already. */
int confine_early(pid_t host, int n_images);

/* Apply the limits of the set-up. 0, or -1 with the reason in why. */
int confine_limits(const struct isolate_limits *limits, char *why, size_t why_size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - the bounds of a runner.
 *
 * The parent-death signal follows the thread that started the runner; the proxy starts it from a thread that
 * lives as long as the runner does. It is asked for first and the parent compared after, so that a host which
 * ended in between is noticed. */
#include "confine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "link.h"

int confine_early(pid_t host, int n_images) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    if (getppid() != host)
        return -ESRCH;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (close_range((unsigned)(FD_IMAGES + n_images), ~0u, 0) < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int set_limit(int what, const char *name, uint64_t value, char *why, size_t why_size) {
    struct rlimit limit;
    if (value == 0)
        return 0;
    if (getrlimit((__rlimit_resource_t)what, &limit) == 0 && limit.rlim_max > value)
        limit.rlim_max = value;
    limit.rlim_cur = limit.rlim_max < value ? limit.rlim_max : value;
    if (setrlimit((__rlimit_resource_t)what, &limit) == 0)
        return 0;
    snprintf(why, why_size, "cannot limit %s to %llu: %s", name, (unsigned long long)value, strerror(errno));
    return -1;
}

int confine_limits(const struct isolate_limits *limits, char *why, size_t why_size) {
    uint64_t memory = limits->memory_bytes;
    if (memory)
        memory += region_bytes(HOST_ARENA_BYTES) + region_bytes(RUNNER_ARENA_BYTES);
    if (limits->nice != 0) {
        errno = 0;
        if (nice(limits->nice) == -1 && errno != 0) {
            snprintf(why, why_size, "cannot add %d to the priority: %s", limits->nice, strerror(errno));
            return -1;
        }
    }
    if (set_limit(RLIMIT_AS, "memory", memory, why, why_size) < 0 ||
        set_limit(RLIMIT_NOFILE, "open files", limits->files, why, why_size) < 0 ||
        set_limit(RLIMIT_NPROC, "processes", limits->processes, why, why_size) < 0)
        return -1;
    return 0;
}

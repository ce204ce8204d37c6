/* SPDX-License-Identifier: Apache-2.0 */
/* telex/ext/io.h - "telex.io/1": wait for a file descriptor without a thread. */
#ifndef TELEX_EXT_IO_H
#define TELEX_EXT_IO_H

#include "../host.h"

#define TELEX_IO "telex.io/1"

enum { TELEX_READABLE = 1, TELEX_WRITABLE = 2 };

struct telex_io {
    uint32_t size;
    /* Once: when fd is ready for one of `events`, run fn(arg, ready events) on the strand. The descriptor stays the
     * plugin's. Watching it again replaces the watch. OK, LIMIT, INVALID. [any] */
    telex_status (*watch)(const struct telex_host *host, int32_t fd, uint32_t events,
                          void (*fn)(void *arg, uint32_t ready), void *arg);
    void (*unwatch)(const struct telex_host *host, int32_t fd); /* before the descriptor is closed [any] */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/table.h - tables that grow at their end, met from the other side of the ABI.
 *
 * A table from the other side was compiled with another minor: it may be shorter than ours or longer. `size` says how
 * long; what lies behind it is never read or written. */
#ifndef TELEX_SDK_TABLE_H
#define TELEX_SDK_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The size of a table up to and with a member: what the release that appended it called the whole. */
#define TELEX_UP_TO(type, member) ((uint32_t)(offsetof(type, member) + sizeof(((type *)0)->member)))

/* Answer into a caller's table: as much of `full` as the caller knows, and out->size says how much that was.
 * full->size is set. False, with nothing written, when out is NULL or shorter than `least` bytes. [any] */
static inline int telex_table_fill(void *out, const void *full, uint32_t least) {
    uint32_t out_size, size;
    if (!out)
        return 0;
    memcpy(&out_size, out, sizeof(out_size));
    memcpy(&size, full, sizeof(size));
    if (out_size < least)
        return 0;
    if (out_size < size)
        size = out_size;
    memcpy(out, full, size);
    memcpy(out, &size, sizeof(size));
    return 1;
}

/* Copy a table that the other side made into ours of `out_size` bytes: members that it does not know are zero, ours
 * that we do not know are left. out->size becomes out_size. [any] */
static inline void telex_table_read(void *out, uint32_t out_size, const void *given) {
    uint32_t size;
    memcpy(&size, given, sizeof(size));
    memset(out, 0, out_size);
    memcpy(out, given, size < out_size ? size : out_size);
    memcpy(out, &out_size, sizeof(out_size));
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* telex/abi.h - what every other contract header stands on.
 *
 * The headers under telex/ are the only binary interface between the host and a plugin. They are
 * freestanding C11 and parse as C++17. No struct holds bool, enum, long, size_t or a bit field.
 *
 * Growth. Every table begins with `size`, the size its maker compiled it with, and grows only at its end.
 * Before reading a member that a later minor appended, ask TELEX_HAS. Lists are NULL-ended arrays of pointers,
 * so that their elements can grow. A member is never removed or reused; it may come to answer UNSUPPORTED.
 * Reserved flags are zero.
 *
 * Threads. Each call carries one tag:
 *   [control] the control thread: one call at a time per instance, never concurrent with [strand] calls of
 *             its own instance before start and after stop
 *   [strand]  one call at a time per instance, on any thread; may block
 *   [any]     any thread, several at once, between create and the return of stop
 *
 * Ownership, in four words: borrowed (until when is said), owned, takes (also on failure), gives (the caller frees). */
#ifndef TELEX_ABI_H
#define TELEX_ABI_H

#include <stddef.h>
#include <stdint.h>

#define TELEX_ABI_MAJOR 1u
#define TELEX_ABI_MINOR 1u

/* True when the table behind p was compiled with the member. */
#define TELEX_HAS(p, member) ((p)->size >= offsetof(__typeof__(*(p)), member) + sizeof((p)->member))

/* Results. Zero or above is success. */
typedef int32_t telex_status;
enum {
    TELEX_OK = 0,
    TELEX_PENDING = 1,      /* process(): the lease stays open, complete() will follow */
    TELEX_AGAIN = -1,       /* no room or no credit now; try after on_credit */
    TELEX_REJECT = -2,      /* this record is bad; counts against it */
    TELEX_RETRY = -3,       /* a passing fault; the record is delivered again after a pause */
    TELEX_FATAL = -4,       /* the instance is unusable; the host recreates it from its state */
    TELEX_CANCELLED = -5,   /* stopped because it was asked to */
    TELEX_UNSUPPORTED = -6, /* this side does not know how */
    TELEX_INVALID = -7,     /* the contract was broken by the caller; the log names the rule */
    TELEX_NOT_FOUND = -8,   /* no such record, key or name */
    TELEX_LIMIT = -9        /* over a stated bound: size, depth, number of outputs */
};

/* A run of bytes. Borrowed unless a call says otherwise. Text is UTF-8 without a terminating zero. */
struct telex_bytes {
    const uint8_t *data;
    uint64_t size;
};

/* Names one open step. Numbers are never reused within a run; 0 names none. A lease that is late, complete
 * or made up is refused with INVALID, never dereferenced. */
typedef uint64_t telex_lease;

/* Log levels. */
enum { TELEX_DEBUG = 0, TELEX_INFO = 1, TELEX_WARN = 2, TELEX_ERROR = 3 };

/* Clocks. EVENT time belongs to the records and is theirs to say; these two are the host's. */
enum {
    TELEX_CLOCK_WALL = 0, /* milliseconds since 1970, may jump */
    TELEX_CLOCK_MONO = 1  /* milliseconds since an arbitrary start, never back */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* protocol.h - what a host and its telex-runner say to each other.
 *
 * Two regions of shared memory, each written by one side only. The host's region is mapped read-only into the
 * runner (and sealed against a second, writable mapping), so a plugin cannot change a record it was given;
 * the runner's region is mapped read-only into the host. Both are sealed against a change of size. A region
 * is
 *
 *     struct region_page | ring of messages to the other side | arena of slots for what is too large for the
 * ring
 *
 * A message is a struct message and `inline_size` bytes, padded to eight. What is larger lies in a slot,
 * named by offset and size in the sender's region. Who reads a ring says in its own page how far it has come,
 * and whether it sleeps: only then does the writer wake it through the eventfd, so a busy pair exchanges no
 * system calls.
 *
 * Each side copies a message before it looks at it, and believes no number in it. */
#ifndef RUNNER_PROTOCOL_H
#define RUNNER_PROTOCOL_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include <telex/record.h>

#define PROTOCOL_VERSION 1u

enum {
    REGION_PAGE_BYTES = 4096,
    RING_BYTES = 1 << 20,          /* a power of two */
    INLINE_MAX_BYTES = 4096,       /* what a message may carry in the ring */
    TEXT_MAX_BYTES = 64 << 10,     /* a log line or a reason; longer ones are cut */
    HOST_ARENA_BYTES = 1 << 30,    /* records that the runner holds; pages exist once they are used */
    RUNNER_ARENA_BYTES = 256 << 20 /* outputs on their way */
};

/* What the writer of a region publishes in its first page. */
struct region_page {
    uint32_t version; /* PROTOCOL_VERSION */
    uint32_t reserved;
    _Atomic uint64_t written;   /* bytes ever put into this region's ring */
    _Atomic uint64_t read;      /* bytes ever taken from the other region's ring */
    _Atomic uint32_t naps;      /* odd: the reader of the other ring sleeps; one higher each change */
    _Atomic uint32_t ring_full; /* the writer waits for room: wake it after taking from its ring */
    _Atomic uint32_t doing;     /* runner: enum doing */
    _Atomic uint32_t reserved2;
    _Atomic uint64_t begun; /* runner: deliveries whose process() has been called */
};
static_assert(sizeof(struct region_page) <= REGION_PAGE_BYTES, "fits its page");

/* What the runner's strand is in, for the reason of its death. */
enum doing {
    DOING_NOTHING,
    DOING_LOAD,
    DOING_MODELS,
    DOING_CREATE,
    DOING_START,
    DOING_PROCESS,
    DOING_CREDIT,
    DOING_TIMER,
    DOING_POSTED,
    DOING_IO,
    DOING_DRAIN,
    DOING_STOP,
    DOING_DESTROY,
    DOING_KINDS
};

struct message {
    uint32_t type, inline_size;
    uint64_t call;  /* a question's number; its answer repeats it. 0: none is wanted */
    uint64_t lease; /* 0: none */
    uint64_t a, b;  /* by type */
    uint64_t slot, slot_size;
    int32_t status;
    uint32_t port;
};

/* Where the host found what it reads of a body, so that a runner need not look again. */
struct delivered {
    uint64_t version;
    uint32_t schema_at, schema_size, id_at, id_size; /* in the body */
};

static_assert(sizeof(struct message) == 64 && sizeof(struct message) % 8 == 0, "one cache line");

/* Host to runner. Text, keys and bodies are the payload: inline, or the slot when slot_size is not 0. */
enum {
    TO_CREATE = 1, /* question. payload: msgpack map, see setup.h */
    TO_START,      /* question */
    TO_DELIVER,    /* lease, a: record handle, b: number of the delivery from 1, payload: body; inline beside
                      its slot: struct delivered, or nothing */
    TO_CREDIT,
    TO_TIMER,   /* a: timer */
    TO_CANCEL,  /* lease */
    TO_DRAIN,   /* question. a: deadline_ms */
    TO_STOP,    /* question */
    TO_DESTROY, /* question; the runner ends after its answer */
    TO_ANSWER   /* call, status, a, b, payload */
};

/* Runner to host. */
enum {
    FROM_ANSWER = 64, /* call, status */
    FROM_LOG,         /* lease, a: level, payload: text */
    FROM_FAIL,        /* lease, status, payload: reason */
    FROM_COMPLETE,    /* lease, status, a: record handle to release or 0; a question when call is not 0 */
    FROM_RELEASE,     /* a: record handle */
    FROM_LOAN,        /* question. lease, port, a: capacity. Would the host lend this? */
    FROM_OUTPUT,      /* lease, port, a: length, slot: body. A question when call is not 0 */
    FROM_FORWARD,     /* lease, port, a: record handle. A question when call is not 0 */
    FROM_GET,         /* question. lease, b: version, a: size of the schema; payload: schema, id.
                         Answer: a: record handle, payload: body */
    FROM_OPEN,        /* question. Answer: a: lease */
    FROM_NOW,         /* question. a: clock. Answer: a: milliseconds */
    FROM_EXHAUSTED,
    FROM_KV_GET,  /* question. lease, payload: key. Answer: status, payload: value */
    FROM_KV_PUT,  /* question. lease, a: size of the key, payload: key, value */
    FROM_KV_DEL,  /* question. lease, payload: key */
    FROM_KV_SCAN, /* question. lease, payload: prefix. Answers: port: 1 while more follow; payload: entries,
                     each uint32 key size, uint32 value size, key, value */
    FROM_METRIC_DEFINE, /* question. a: kind, b: size of the name, payload: name, doc. Answer: status */
    FROM_METRIC_ADD,    /* a: metric, b: bits of the double */
    FROM_METRIC_SET,    /* the same */
    FROM_TIMER_SET,     /* question. a: timer, b: delay_ms */
    FROM_TIMER_CLEAR,   /* a: timer */
    FROM_SITE,          /* question. payload: root */
    FROM_BASE,          /* question. Answer: payload: text */
    FROM_LAST
};

/* Which services the host has: bits of "services" in the setup map. */
enum { SERVICE_KV = 1, SERVICE_METRICS = 2, SERVICE_TIMER = 4, SERVICE_HTTP = 8, SERVICE_IO = 16 };

/* How a runner ends that has a reason of its own; the reason stands on its stderr. */
enum { EXIT_DESCRIPTORS = 70, EXIT_PROTOCOL = 71, EXIT_MEMORY = 72, EXIT_SETUP = 73 };

/* Descriptors that a runner starts with. */
enum {
    FD_CHANNEL = 3,
    FD_HOST_REGION = 4,
    FD_RUNNER_REGION = 5,
    FD_WAKE_RUNNER = 6,
    FD_WAKE_HOST = 7,
    FD_AFTER = 8,
    FD_IMAGES = FD_AFTER /* plugins in sealed memory, as many as its command line says */
};

#endif

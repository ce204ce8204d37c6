/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - the two halves of a conversation over shared memory, the same code in host and runner.
 *
 * A link_out writes this side's region: its ring and its arena. A link_in reads the other side's. Neither
 * locks: the caller lets one thread at a time into a half. */
#ifndef RUNNER_LINK_H
#define RUNNER_LINK_H

#include <stdbool.h>

#include "arena.h"
#include "protocol.h"

struct region {
    uint8_t *base;
    uint64_t bytes;
};

/* Bytes of a region with an arena of so many bytes. */
static inline uint64_t region_bytes(uint64_t arena_bytes) {
    return REGION_PAGE_BYTES + (uint64_t)RING_BYTES + arena_bytes;
}

/* Map a region from its descriptor. 0 or a negative errno. */
int region_map(struct region *region, int fd, uint64_t bytes, bool writable);
void region_unmap(struct region *region);

/* A slot on its way: it is free once the other side has taken the message that names it. */
struct flight {
    uint64_t after; /* bytes written when its message was complete */
    uint64_t slot, bytes;
};

struct link_out {
    struct region_page *mine;
    const struct region_page *theirs;
    struct arena arena;
    uint64_t written, seen_read; /* seen_read: how far the reader had come when it was last asked */
    uint32_t woken;              /* the nap that was last interrupted */
    int wake_fd;                 /* eventfd, borrowed */
    struct flight *flights;      /* owned: a queue in a ring of n_flights_max, a power of two */
    size_t first_flight, n_flights, n_flights_max;
};

/* 0 or -ENOMEM. */
int link_out_init(struct link_out *out, const struct region *mine, const struct region *theirs, int wake_fd);
void link_out_finish(struct link_out *out);

/* A slot to write into, at link_at(out, slot); 0 when there is no room. Give it back with link_slot_give, or
 * send it with link_send_slot, after which it comes back by itself. */
uint64_t link_slot_take(struct link_out *out, uint64_t bytes);
void link_slot_give(struct link_out *out, uint64_t slot, uint64_t bytes);
static inline uint8_t *link_at(const struct link_out *out, uint64_t slot) {
    return out->arena.base + slot;
}

/* Send a message with a payload: inline when it is small, in a slot otherwise. 0, -EAGAIN while the ring is
 * full (the other side will wake this one), -ENOMEM when the arena is. Nothing was sent then. */
int link_send(struct link_out *out, struct message message, const void *payload, uint64_t bytes);
/* Send a message whose slot the caller has filled in; `passes`: the slot comes back once the message is
 * taken. `beside`: message->inline_size bytes that travel in the ring. */
int link_send_slot(struct link_out *out, const struct message *message, const void *beside,
                   uint64_t slot_bytes, bool passes);
/* Wake the other side if it sleeps. */
void link_wake(struct link_out *out);

struct link_in {
    struct region_page *mine;
    const struct region_page *theirs;
    struct region from;
    uint64_t read;
};

void link_in_init(struct link_in *in, const struct region *mine, const struct region *theirs);

/* The next message and its inline bytes, copied. 1, 0 when there is none, or -EPROTO when the other side
 * broke the rules. Call link_done when its slot is no longer needed. */
int link_take(struct link_in *in, struct message *message, uint8_t payload[INLINE_MAX_BYTES]);
void link_done(struct link_in *in);
/* The payload of a message: `inline_bytes` or its slot, which lies in the other side's memory and may change
 * while it is read. false when the slot is not inside the arena. */
bool link_payload(const struct link_in *in, const struct message *message, const uint8_t *inline_bytes,
                  struct telex_bytes *out);

/* Before sleeping: says so, and returns true when there is still nothing to take. After waking: link_awake.
 */
bool link_may_sleep(struct link_in *in);
void link_awake(struct link_in *in);
/* The other side waits for room in its ring. */
static inline bool link_is_awaited(const struct link_in *in) {
    return atomic_load(&in->theirs->ring_full) != 0;
}

#endif

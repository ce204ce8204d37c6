/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - rings of messages and their slots.
 *
 * `written` and `read` only grow; what lies between them in a ring belongs to the reader. A nap number is odd
 * while a reader sleeps: the reader announces the nap, looks once more, then sleeps; a writer publishes first
 * and looks at the nap after. Sequentially consistent accesses make one of the two see the other. */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FLIGHTS_START = 64 };

int region_map(struct region *region, int fd, uint64_t bytes, bool writable) {
    void *base = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    region->base = base;
    region->bytes = bytes;
    return 0;
}

void region_unmap(struct region *region) {
    if (region->base)
        munmap(region->base, region->bytes);
    memset(region, 0, sizeof(*region));
}

static struct region_page *page_of(const struct region *region) {
    return (struct region_page *)(void *)region->base;
}

static uint64_t padded(uint64_t bytes) {
    return (bytes + 7) & ~UINT64_C(7);
}

/* ---- sending ---- */

int link_out_init(struct link_out *out, const struct region *mine, const struct region *theirs, int wake_fd) {
    memset(out, 0, sizeof(*out));
    out->flights = calloc(FLIGHTS_START, sizeof(*out->flights));
    if (!out->flights)
        return -ENOMEM;
    out->n_flights_max = FLIGHTS_START;
    out->mine = page_of(mine);
    out->theirs = page_of(theirs);
    out->wake_fd = wake_fd;
    arena_init(&out->arena, mine->base, region_bytes(0), mine->bytes);
    return 0;
}

void link_out_finish(struct link_out *out) {
    arena_finish(&out->arena);
    free(out->flights);
    memset(out, 0, sizeof(*out));
}

/* Take back the slots of messages that the other side has read. A reader that lies here spoils only what it
 * reads. */
static void land_flights(struct link_out *out) {
    uint64_t read = atomic_load(&out->theirs->read);
    while (out->n_flights > 0) {
        struct flight *flight = &out->flights[out->first_flight & (out->n_flights_max - 1)];
        if (flight->after > read)
            return;
        arena_give(&out->arena, flight->slot, flight->bytes);
        out->first_flight++;
        out->n_flights--;
    }
}

static int reserve_flight(struct link_out *out) {
    if (out->n_flights < out->n_flights_max)
        return 0;
    struct flight *wider = calloc(2 * out->n_flights_max, sizeof(*wider));
    if (!wider)
        return -ENOMEM;
    for (size_t i = 0; i < out->n_flights; i++)
        wider[i] = out->flights[(out->first_flight + i) & (out->n_flights_max - 1)];
    free(out->flights);
    out->flights = wider;
    out->first_flight = 0;
    out->n_flights_max *= 2;
    return 0;
}

uint64_t link_slot_take(struct link_out *out, uint64_t bytes) {
    land_flights(out);
    return arena_take(&out->arena, bytes);
}

void link_slot_give(struct link_out *out, uint64_t slot, uint64_t bytes) {
    arena_give(&out->arena, slot, bytes);
}

static uint8_t *ring_of(const struct link_out *out) {
    return out->arena.base + REGION_PAGE_BYTES;
}

static void ring_write(const struct link_out *out, uint64_t at, const void *data, uint64_t bytes) {
    uint64_t offset = at & (RING_BYTES - 1), first = RING_BYTES - offset;
    if (first > bytes)
        first = bytes;
    memcpy(ring_of(out) + offset, data, first);
    if (bytes > first)
        memcpy(ring_of(out), (const uint8_t *)data + first, bytes - first);
}

/* Look where the reader is. Written is never more than a ring ahead of seen_read, so a reader that claims to
 * be ahead of the writer is not believed: no room, ever; its owner will be ended for silence. */
static bool has_room_now(struct link_out *out, uint64_t bytes) {
    uint64_t read = atomic_load(&out->theirs->read);
    if (out->written - read > RING_BYTES)
        return false;
    out->seen_read = read;
    return RING_BYTES - (out->written - read) >= bytes;
}

static bool has_room(struct link_out *out, uint64_t bytes) {
    if (RING_BYTES - (out->written - out->seen_read) >= bytes || has_room_now(out, bytes))
        return true;
    atomic_store(&out->mine->ring_full, 1);
    return has_room_now(out, bytes);
}

static int put(struct link_out *out, const struct message *message, const void *payload) {
    uint64_t bytes = sizeof(*message) + padded(message->inline_size);
    if (!has_room(out, bytes))
        return -EAGAIN;
    if (atomic_load_explicit(&out->mine->ring_full, memory_order_relaxed))
        atomic_store(&out->mine->ring_full, 0);
    ring_write(out, out->written, message, sizeof(*message));
    if (payload)
        ring_write(out, out->written + sizeof(*message), payload, message->inline_size);
    out->written += bytes;
    atomic_store(&out->mine->written, out->written);
    return 0;
}

int link_send_slot(struct link_out *out, const struct message *message, const void *beside,
                   uint64_t slot_bytes, bool passes) {
    if (passes && reserve_flight(out) < 0)
        return -ENOMEM;
    int err = put(out, message, beside);
    if (err < 0 || !passes)
        return err;
    struct flight flight = {out->written, message->slot, slot_bytes};
    out->flights[(out->first_flight + out->n_flights++) & (out->n_flights_max - 1)] = flight;
    return 0;
}

int link_send(struct link_out *out, struct message message, const void *payload, uint64_t bytes) {
    message.slot = message.slot_size = 0;
    message.inline_size = 0;
    if (bytes <= INLINE_MAX_BYTES) {
        message.inline_size = (uint32_t)bytes;
        return put(out, &message, payload);
    }
    message.slot = link_slot_take(out, bytes);
    message.slot_size = bytes;
    if (message.slot == 0)
        return -ENOMEM;
    memcpy(link_at(out, message.slot), payload, bytes);
    int err = link_send_slot(out, &message, NULL, bytes, true);
    if (err < 0)
        link_slot_give(out, message.slot, bytes);
    return err;
}

void link_wake(struct link_out *out) {
    uint32_t nap = atomic_load(&out->theirs->naps);
    if (nap % 2 == 0 || nap == out->woken)
        return;
    out->woken = nap;
    uint64_t one = 1;
    (void)!write(out->wake_fd, &one, sizeof(one));
}

/* ---- receiving ---- */

void link_in_init(struct link_in *in, const struct region *mine, const struct region *theirs) {
    in->mine = page_of(mine);
    in->theirs = page_of(theirs);
    in->from = *theirs;
    in->read = 0;
}

static void ring_read(const struct link_in *in, uint64_t at, void *data, uint64_t bytes) {
    const uint8_t *ring = in->from.base + REGION_PAGE_BYTES;
    uint64_t offset = at & (RING_BYTES - 1), first = RING_BYTES - offset;
    if (first > bytes)
        first = bytes;
    memcpy(data, ring + offset, first);
    if (bytes > first)
        memcpy((uint8_t *)data + first, ring, bytes - first);
}

int link_take(struct link_in *in, struct message *message, uint8_t payload[INLINE_MAX_BYTES]) {
    uint64_t waiting = atomic_load(&in->theirs->written) - in->read;
    if (waiting == 0)
        return 0;
    if (waiting > RING_BYTES || waiting < sizeof(*message) || waiting % 8 != 0)
        return -EPROTO;
    ring_read(in, in->read, message, sizeof(*message));
    uint64_t bytes = sizeof(*message) + padded(message->inline_size);
    if (message->inline_size > INLINE_MAX_BYTES || bytes > waiting)
        return -EPROTO;
    ring_read(in, in->read + sizeof(*message), payload, message->inline_size);
    in->read += bytes;
    return 1;
}

void link_done(struct link_in *in) {
    atomic_store(&in->mine->read, in->read);
}

bool link_payload(const struct link_in *in, const struct message *message, const uint8_t *inline_bytes,
                  struct telex_bytes *out) {
    if (message->slot_size == 0) {
        out->data = inline_bytes;
        out->size = message->inline_size;
        return true;
    }
    uint64_t start = region_bytes(0), end = in->from.bytes;
    if (message->slot < start || message->slot > end || message->slot_size > end - message->slot)
        return false;
    out->data = in->from.base + message->slot;
    out->size = message->slot_size;
    return true;
}

bool link_may_sleep(struct link_in *in) {
    atomic_fetch_add(&in->mine->naps, 1);
    if (atomic_load(&in->theirs->written) == in->read)
        return true;
    atomic_fetch_add(&in->mine->naps, 1);
    return false;
}

void link_awake(struct link_in *in) {
    atomic_fetch_add(&in->mine->naps, 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - slots in a region of shared memory.
 *
 * The book-keeping is private memory of the side that writes the region, so the other side cannot spoil it.
 * Slots are powers of two from 256 bytes; offsets count from the start of the region. The caller locks. */
#ifndef RUNNER_ARENA_H
#define RUNNER_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum {
    ARENA_SMALLEST_BITS = 8,
    ARENA_LARGEST_BITS = 25,
    ARENA_CLASSES = ARENA_LARGEST_BITS - ARENA_SMALLEST_BITS + 1
};

struct arena {
    uint8_t *base;     /* of the region, borrowed */
    uint64_t top, end; /* what no slot has used yet */
    struct {
        uint64_t *slots; /* owned */
        size_t n, capacity;
    } spare[ARENA_CLASSES];
    uint64_t used_bytes; /* in slots handed out */
};

/* Slots come from [start, end) of the region at base. */
void arena_init(struct arena *arena, uint8_t *base, uint64_t start, uint64_t end);
void arena_finish(struct arena *arena);

/* The offset of a slot of at least `bytes`, or 0 when there is no room or it is more than 32 MiB. */
uint64_t arena_take(struct arena *arena, uint64_t bytes);
/* Give a slot back; `bytes` as it was asked for. Large ones give their pages back to the system. */
void arena_give(struct arena *arena, uint64_t slot, uint64_t bytes);

#endif

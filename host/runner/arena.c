/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - slots by size class: a spare one of the class, else fresh memory, else a spare one of a larger
 * class.
 *
 * A slot is always as large as its class says, so it can go back by the size that was asked for; one taken
 * from a larger class is remembered nowhere and joins the smaller class for good. */
#include "arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GIVE_PAGES_BITS = 20 }; /* from 1 MiB on */

static int class_of(uint64_t bytes) {
    int bits = ARENA_SMALLEST_BITS;
    while (bits <= ARENA_LARGEST_BITS && (UINT64_C(1) << bits) < bytes)
        bits++;
    return bits - ARENA_SMALLEST_BITS;
}

void arena_init(struct arena *arena, uint8_t *base, uint64_t start, uint64_t end) {
    memset(arena, 0, sizeof(*arena));
    arena->base = base;
    arena->top = start;
    arena->end = end;
}

void arena_finish(struct arena *arena) {
    for (int i = 0; i < ARENA_CLASSES; i++)
        free(arena->spare[i].slots);
    memset(arena, 0, sizeof(*arena));
}

uint64_t arena_take(struct arena *arena, uint64_t bytes) {
    int class = class_of(bytes);
    if (class >= ARENA_CLASSES)
        return 0;
    uint64_t size = UINT64_C(1) << (class + ARENA_SMALLEST_BITS), slot = 0;
    if (arena->spare[class].n > 0) {
        slot = arena->spare[class].slots[--arena->spare[class].n];
    } else if (arena->end - arena->top >= size) {
        slot = arena->top;
        arena->top += size;
    }
    for (int i = class + 1; slot == 0 && i < ARENA_CLASSES; i++)
        if (arena->spare[i].n > 0)
            slot = arena->spare[i].slots[--arena->spare[i].n];
    if (slot != 0)
        arena->used_bytes += size;
    return slot;
}

void arena_give(struct arena *arena, uint64_t slot, uint64_t bytes) {
    int class = class_of(bytes);
    if (slot == 0 || class >= ARENA_CLASSES)
        return;
    uint64_t size = UINT64_C(1) << (class + ARENA_SMALLEST_BITS);
    arena->used_bytes -= size;
    if (class + ARENA_SMALLEST_BITS >= GIVE_PAGES_BITS)
        (void)madvise(arena->base + slot, size, MADV_REMOVE);
    if (arena->spare[class].n == arena->spare[class].capacity) {
        size_t capacity = arena->spare[class].capacity ? 2 * arena->spare[class].capacity : 16;
        uint64_t *slots = realloc(arena->spare[class].slots, capacity * sizeof(*slots));
        if (!slots)
            return; /* this slot is lost, nothing else */
        arena->spare[class].slots = slots;
        arena->spare[class].capacity = capacity;
    }
    arena->spare[class].slots[arena->spare[class].n++] = slot;
}

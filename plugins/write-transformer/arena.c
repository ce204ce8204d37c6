/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - memory of one story, given back in one go. */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 * 1024)
#define ALIGN_BYTES _Alignof(max_align_t)

struct arena_block {
    struct arena_block *older;
    size_t capacity_bytes;
    max_align_t data[];
};

static int grow(struct arena *arena, size_t bytes) {
    size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    struct arena_block *block = calloc(1, sizeof(*block) + capacity);
    if (!block)
        return -1;
    block->older = arena->blocks;
    block->capacity_bytes = capacity;
    arena->blocks = block;
    arena->used_bytes = 0;
    return 0;
}

void *arena_alloc(struct arena *arena, size_t bytes) {
    if (bytes > (size_t)1 << 30)
        return NULL;
    bytes = (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    if (arena->limit_bytes && arena->total_bytes + bytes > arena->limit_bytes)
        return NULL;
    if (!arena->blocks || arena->blocks->capacity_bytes - arena->used_bytes < bytes)
        if (grow(arena, bytes) < 0)
            return NULL;
    void *memory = (char *)arena->blocks->data + arena->used_bytes;
    arena->used_bytes += bytes;
    arena->total_bytes += bytes;
    return memory;
}

char *arena_copy(struct arena *arena, const char *text, size_t len) {
    char *copy = arena_alloc(arena, len + 1);
    if (copy && len)
        memcpy(copy, text, len);
    return copy;
}

char *arena_print(struct arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
    if (text)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void arena_finish(struct arena *arena) {
    if (!arena)
        return;
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->older;
        free(block);
    }
    arena->used_bytes = 0;
    arena->total_bytes = 0;
}

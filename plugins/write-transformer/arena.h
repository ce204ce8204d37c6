/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory of one story, given back in one go.
 *
 * Everything that the desk reads or makes for a story lives until the dispatch is out, so nothing
 * in it is freed alone. A fresh arena is all zeros. */
#ifndef DESK_ARENA_H
#define DESK_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* owned, newest first */
    size_t used_bytes;          /* of the newest block */
    size_t total_bytes;         /* asked for so far */
    size_t limit_bytes;         /* 0: none; beyond it an allocation fails */
};

/* Zeroed memory, aligned for any type, or NULL when there is none or the limit is reached. [any] */
void *arena_alloc(struct arena *arena, size_t bytes);

/* A copy of `len` bytes with a NUL behind it, or NULL. [any] */
char *arena_copy(struct arena *arena, const char *text, size_t len);

/* A formatted string, or NULL. [any] */
char *arena_print(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Give everything back. The arena is fresh again; NULL and a fresh arena are fine. [any] */
void arena_finish(struct arena *arena);

#endif

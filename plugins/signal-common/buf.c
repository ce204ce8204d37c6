/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c - growing bytes and arenas.
 *
 * A buffer never holds more than its limit and an arena never hands out more than its own, so that a hostile
 * document costs what the caller allowed and no more. */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_START_BYTES   256
#define ARENA_BLOCK_BYTES ((size_t)32 << 10)
#define ARENA_ALIGN       16

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ARENA_ALIGN) char data[];
};

static size_t limit_of(const struct buf *buf) {
    return buf->limit ? buf->limit : BUF_LIMIT_BYTES;
}

/* Room for n bytes and the NUL, never more of it than the limit has: buf_add looks at nothing else. n fits.
 */
static bool make_room(struct buf *buf, size_t n) {
    size_t most = limit_of(buf) + 1, cap = buf->cap ? buf->cap : BUF_START_BYTES;
    if (n < buf->cap - buf->len)
        return true;
    while (cap - buf->len <= n)
        cap *= 2;
    cap = cap < most ? cap : most;
    char *data = realloc(buf->data, cap);
    if (!data)
        return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

void buf_add_slowly(struct buf *buf, const void *data, size_t n) {
    size_t left = limit_of(buf) - buf->len;
    if (buf->full)
        return;
    if (n > left) {
        n = left;
        buf->full = true;
    }
    if (!make_room(buf, n)) {
        buf->full = true;
        return;
    }
    if (n)
        memcpy(buf->data + buf->len, data, n);
    buf->len += n;
    buf->data[buf->len] = 0;
}

void buf_reserve(struct buf *buf, size_t n) {
    size_t left = limit_of(buf) - buf->len, cap = buf->len + (n < left ? n : left) + 1;
    char *data = cap > buf->cap ? realloc(buf->data, cap) : NULL;
    if (data) {
        buf->data = data;
        buf->cap = cap;
        buf->data[buf->len] = 0;
    }
}

void buf_add_rune(struct buf *buf, uint32_t rune) {
    char out[4];
    size_t n;
    if (rune < 0x80) {
        out[0] = (char)rune;
        n = 1;
    } else if (rune < 0x800) {
        out[0] = (char)(0xC0 | rune >> 6);
        out[1] = (char)(0x80 | (rune & 0x3F));
        n = 2;
    } else if (rune < 0x10000) {
        out[0] = (char)(0xE0 | rune >> 12);
        out[1] = (char)(0x80 | (rune >> 6 & 0x3F));
        out[2] = (char)(0x80 | (rune & 0x3F));
        n = 3;
    } else {
        out[0] = (char)(0xF0 | (rune >> 18 & 0x07));
        out[1] = (char)(0x80 | (rune >> 12 & 0x3F));
        out[2] = (char)(0x80 | (rune >> 6 & 0x3F));
        out[3] = (char)(0x80 | (rune & 0x3F));
        n = 4;
    }
    buf_add(buf, out, n);
}

const char *buf_text(const struct buf *buf) {
    return buf->data ? buf->data : "";
}

void buf_finish(struct buf *buf) {
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
    buf->full = false;
}

/* arena_take whose memory holds anything. */
static void *take(struct arena *arena, size_t n) {
    if (n > SIZE_MAX / 2)
        goto refuse;
    n = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (arena->limit && n > arena->limit - arena->used)
        goto refuse;
    struct arena_block *block = arena->head;
    if (!block || block->cap - block->used < n) {
        size_t cap = n > ARENA_BLOCK_BYTES ? n : ARENA_BLOCK_BYTES;
        block = malloc(sizeof(*block) + cap);
        if (!block)
            goto refuse;
        block->used = 0;
        block->cap = cap;
        block->next = arena->head;
        arena->head = block;
    }
    void *at = block->data + block->used;
    block->used += n;
    arena->used += n;
    return at;
refuse:
    arena->full = true;
    return NULL;
}

void *arena_take(struct arena *arena, size_t n) {
    void *at = take(arena, n);
    if (at)
        memset(at, 0, n);
    return at;
}

char *arena_copy(struct arena *arena, const char *text, size_t n) {
    char *copy = n < SIZE_MAX ? take(arena, n + 1) : NULL;
    if (copy && n)
        memcpy(copy, text, n);
    if (copy)
        copy[n] = 0;
    return copy;
}

char *arena_text(struct arena *arena, const char *text) {
    return text ? arena_copy(arena, text, strlen(text)) : NULL;
}

void arena_finish(struct arena *arena) {
    while (arena->head) {
        struct arena_block *next = arena->head->next;
        free(arena->head);
        arena->head = next;
    }
    arena->used = 0;
    arena->full = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - bytes that grow up to a stated limit, and memory that is freed in one go.
 *
 * Both remember their first failure, so a caller appends freely and asks once at the end.
 * Neither is shared between threads. */
#ifndef SIGNAL_BUF_H
#define SIGNAL_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes with room to grow. Zeroed memory with `limit` set is an empty buffer. `data` is owned and always ends
 * with a NUL that `len` does not count, except that it is NULL while nothing was ever appended. */
struct buf {
    char *data;
    size_t len, cap;
    size_t limit; /* most bytes it may hold; 0 means BUF_LIMIT_BYTES */
    bool full;    /* something did not fit; what is there is a prefix of what was appended */
};

#define BUF_LIMIT_BYTES ((size_t)256 << 20)

/* buf_add where there is no room, or perhaps none. */
void buf_add_slowly(struct buf *buf, const void *data, size_t n);
/* Room for n more bytes without another allocation, as far as memory and the limit allow. */
void buf_reserve(struct buf *buf, size_t n);

/* Append n bytes; what does not fit is left off and `full` is set. */
static inline void buf_add(struct buf *buf, const void *data, size_t n) {
    if (n && n < buf->cap - buf->len && !buf->full) { /* cap never exceeds the limit by more than the NUL */
        memcpy(buf->data + buf->len, data, n);
        buf->len += n;
        buf->data[buf->len] = 0;
    } else {
        buf_add_slowly(buf, data, n);
    }
}
static inline void buf_add_text(struct buf *buf, const char *text) {
    buf_add(buf, text, strlen(text));
}
static inline void buf_add_byte(struct buf *buf, char byte) {
    buf_add(buf, &byte, 1);
}
/* Append one code point as UTF-8. */
void buf_add_rune(struct buf *buf, uint32_t rune);
/* The bytes as text, never NULL. Borrowed until the next call on the buffer. */
const char *buf_text(const struct buf *buf);
/* Free the bytes and forget the failure; the limit stays. Accepts zeroed memory. */
void buf_finish(struct buf *buf);

/* Memory that lives and dies together. Zeroed memory with `limit` set is an empty arena. */
struct arena {
    struct arena_block *head; /* owned */
    size_t used, limit;       /* bytes handed out; most that may be, 0 means no limit */
    bool full;                /* a request was refused */
};

/* n bytes aligned for any type, zeroed, or NULL past the limit or without memory. Borrowed from the arena. */
void *arena_take(struct arena *arena, size_t n);
/* A copy of n bytes with a NUL behind them, or NULL. */
char *arena_copy(struct arena *arena, const char *text, size_t n);
/* A copy of a C string; NULL stays NULL. */
char *arena_text(struct arena *arena, const char *text);
void arena_finish(struct arena *arena);

#endif

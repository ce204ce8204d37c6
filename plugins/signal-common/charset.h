/* SPDX-License-Identifier: Apache-2.0 */
/* charset.h - any document to UTF-8. */
#ifndef SIGNAL_CHARSET_H
#define SIGNAL_CHARSET_H

#include "buf.h"

/* What a decoded document is. */
struct charset_result {
    const char *name; /* the encoding it was read as; a constant */
    const char
        *as_is; /* the document behind its mark, as_is_n bytes, where it is valid UTF-8 throughout; or NULL */
    size_t as_is_n;
    bool repaired; /* bytes that the encoding does not allow were read as windows-1252, or replaced */
};

/* Append n bytes as UTF-8, without a byte order mark. The encoding is, in this order: the byte order mark;
 * the charset of `content_type` (an HTTP header's value, or NULL); the XML declaration; the shape of the
 * first four bytes; UTF-8. A name that is not known or does not fit the bytes is passed over. Encodings that
 * hide ASCII (UTF-7) are never used. */
void charset_decode(struct buf *out, const char *data, size_t n, const char *content_type,
                    struct charset_result *result);

/* The same, except that nothing is appended where `as_is` is set. */
void charset_view(struct buf *out, const char *data, size_t n, const char *content_type,
                  struct charset_result *result);

#endif

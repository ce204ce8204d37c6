/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - text that is safe to pass on: valid UTF-8, NFC, no control or invisible characters. */
#ifndef SIGNAL_TEXT_H
#define SIGNAL_TEXT_H

#include "buf.h"

enum text_shape {
    TEXT_LINE,       /* one line: every run of white space is one space, none at the ends */
    TEXT_PARAGRAPHS, /* lines stay; runs of blanks are one space; paragraphs are separated by one blank line
                      */
};

#define TEXT_RUNE_BAD 0xFFFDu

/* Read one code point at *at (before `end`), moving *at behind it. A byte that is no valid UTF-8 gives U+FFFD
 * and moves by one. *at < end on entry. */
static inline uint32_t text_rune(const char **at, const char *end) {
    const unsigned char *p = (const unsigned char *)*at;
    size_t left = (size_t)(end - *at);
    uint32_t lead = p[0], rune;
    size_t n;
    *at += 1;
    if (lead < 0x80)
        return lead;
    if (lead >= 0xC2 && lead <= 0xDF) {
        n = 1;
        rune = lead & 0x1F;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        n = 2;
        rune = lead & 0x0F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        n = 3;
        rune = lead & 0x07;
    } else {
        return TEXT_RUNE_BAD;
    }
    if (left <= n)
        return TEXT_RUNE_BAD;
    for (size_t i = 1; i <= n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return TEXT_RUNE_BAD;
        rune = rune << 6 | (p[i] & 0x3F);
    }
    if ((n == 2 && rune < 0x800) || (n == 3 && (rune < 0x10000 || rune > 0x10FFFF)) ||
        (rune >= 0xD800 && rune <= 0xDFFF))
        return TEXT_RUNE_BAD;
    *at += n;
    return rune;
}

/* True when n bytes are valid UTF-8. */
bool text_is_utf8(const char *text, size_t n);

/* Append a clean copy of n bytes to `out`: invalid bytes become U+FFFD; NFC; U+0080 to U+009F are
 * what windows-1252 has there; removed are controls,
 * bidi overrides, embeddings and isolates, zero-width and other invisible characters, noncharacters,
 * private-use tags (U+E0000 block). Joiners (U+200C, U+200D) stay: Persian, Indic scripts and emoji are
 * spelled with them. */
void text_clean(struct buf *out, const char *text, size_t n, enum text_shape shape);

/* True when text_clean has nothing to remove or replace; white space and composition are not looked at. */
bool text_is_clean(const char *text, size_t n);

/* The longest prefix of at most `limit` bytes that does not cut a code point in two. */
size_t text_prefix(const char *text, size_t n, size_t limit);

#endif

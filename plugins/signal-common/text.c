/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - clean text.
 *
 * Everything that leaves the signal stages as text went through text_clean, so what holds after it (valid
 * UTF-8, NFC, nothing invisible, no controls but a line feed) holds for every record. */
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <uninorm.h>

#define RUNE_BAD 0xFFFDu

uint32_t text_rune(const char **at, const char *end) {
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
        return RUNE_BAD;
    }
    if (left <= n)
        return RUNE_BAD;
    for (size_t i = 1; i <= n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return RUNE_BAD;
        rune = rune << 6 | (p[i] & 0x3F);
    }
    if ((n == 2 && rune < 0x800) || (n == 3 && (rune < 0x10000 || rune > 0x10FFFF)) ||
        (rune >= 0xD800 && rune <= 0xDFFF))
        return RUNE_BAD;
    *at += n;
    return rune;
}

bool text_is_utf8(const char *text, size_t n) {
    const char *at = text, *end = text + n;
    while (at < end) {
        const char *was = at;
        if (text_rune(&at, end) == RUNE_BAD && at - was == 1)
            return false;
    }
    return true;
}

/* Numbers from 128 to 159 are controls that nobody uses; who writes them means windows-1252. 0 stays what it
 * is. */
static uint32_t from_c1(uint32_t rune) {
    static const uint16_t cp1252[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                        0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                        0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                        0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
    return rune >= 0x80 && rune <= 0x9F && cp1252[rune - 0x80] ? cp1252[rune - 0x80] : rune;
}

static bool is_blank(uint32_t rune) {
    return rune == ' ' || rune == '\t' || rune == '\r' || rune == '\f' || rune == '\v' || rune == 0xA0 ||
           rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200A) || rune == 0x202F || rune == 0x205F ||
           rune == 0x3000;
}

static bool is_break(uint32_t rune) {
    return rune == '\n' || rune == 0x2028 || rune == 0x2029;
}

/* Characters that a reader cannot see but a model or a terminal obeys. */
static bool is_invisible(uint32_t rune) {
    return rune < 0x20 || (rune >= 0x7F && rune <= 0x9F) || rune == 0xAD || rune == 0x34F || rune == 0x61C ||
           rune == 0x115F || rune == 0x1160 || rune == 0x17B4 || rune == 0x17B5 || rune == 0x180E ||
           rune == 0x200B || rune == 0x200E || rune == 0x200F || (rune >= 0x202A && rune <= 0x202E) ||
           (rune >= 0x2060 && rune <= 0x206F) || rune == 0x3164 || rune == 0xFEFF || rune == 0xFFA0 ||
           (rune >= 0xFDD0 && rune <= 0xFDEF) || (rune >= 0xFFF0 && rune <= 0xFFFB) ||
           (rune >= 0x1D173 && rune <= 0x1D17A) || (rune >= 0xE0000 && rune <= 0xE0FFF) ||
           (rune & 0xFFFE) == 0xFFFE;
}

/* Append with the shape's white space; `blank` and `lines` are what is pending since the last visible
 * character. */
static void shape_runes(struct buf *out, const char *text, size_t n, enum text_shape shape) {
    const char *at = text, *end = text + n;
    size_t start = out->len;
    bool blank = false;
    int lines = 0;
    while (at < end) {
        uint32_t rune = from_c1(text_rune(&at, end));
        if (is_break(rune)) {
            lines += rune == 0x2029 ? 2 : 1;
            continue;
        }
        if (is_blank(rune)) {
            blank = true;
            continue;
        }
        if (is_invisible(rune))
            continue;
        if (out->len > start) {
            if (lines && shape == TEXT_PARAGRAPHS)
                buf_add_text(out, lines > 1 ? "\n\n" : "\n");
            else if (lines || blank)
                buf_add_byte(out, ' ');
        }
        blank = false;
        lines = 0;
        buf_add_rune(out, rune);
    }
}

static bool is_ascii(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

void text_clean(struct buf *out, const char *text, size_t n, enum text_shape shape) {
    if (is_ascii(text, n)) {
        shape_runes(out, text, n, shape);
        return;
    }
    struct buf valid = {.limit = BUF_LIMIT_BYTES};
    shape_runes(&valid, text, n, shape);
    size_t len = 0;
    uint8_t *nfc = u8_normalize(UNINORM_NFC, (const uint8_t *)buf_text(&valid), valid.len, NULL, &len);
    if (nfc)
        buf_add(out, nfc, len);
    else
        buf_add(out, valid.data, valid.len);
    free(nfc);
    buf_finish(&valid);
}

bool text_is_clean(const char *text, size_t n) {
    const char *at = text, *end = text + n;
    while (at < end) {
        const char *was = at;
        uint32_t rune = text_rune(&at, end);
        bool white = is_blank(rune) || is_break(rune);
        if ((rune == RUNE_BAD && at - was == 1) || (!white && is_invisible(rune)) || rune == '\r')
            return false;
    }
    return true;
}

size_t text_prefix(const char *text, size_t n, size_t limit) {
    if (n <= limit)
        return n;
    while (limit > 0 && ((unsigned char)text[limit] & 0xC0) == 0x80)
        limit--;
    return limit;
}

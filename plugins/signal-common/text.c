/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - clean text.
 *
 * Everything that leaves the signal stages as text went through text_clean, so what holds after it (valid
 * UTF-8, NFC, nothing invisible, no controls but a line feed) holds for every record. */
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <uninorm.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

bool text_is_utf8(const char *text, size_t n) {
    const char *at = text, *end = text + n;
    while (at < end) {
        const char *was = at;
        if (text_rune(&at, end) == TEXT_RUNE_BAD && at - was == 1)
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

/* True when a character stays what it is in NFC and what follows it does too, whatever its neighbours: no
 * mark, and none that NFC replaces (NFC_QC of the Unicode Character Database). A "no" only costs time. */
static bool is_steady(uint32_t rune) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0, 0x2FF},       {0x388, 0x3CE},   {0x400, 0x482},   {0x48A, 0x52F},   {0x5D0, 0x5EA},
        {0x60C, 0x60F},   {0x61B, 0x64A},   {0x660, 0x66F},   {0x671, 0x6D5},   {0x6F0, 0x6FF},
        {0x1E00, 0x1EFF}, {0x2010, 0x2027}, {0x2030, 0x205E}, {0x20A0, 0x20BF}, {0x2100, 0x2125},
        {0x2127, 0x2129}, {0x212C, 0x2328}, {0x232B, 0x2ADB}, {0x3001, 0x3029}, {0x3041, 0x3096},
        {0x30A1, 0x30FC}, {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}, {0xFF01, 0xFF5E}, {0x1F300, 0x1F6FF},
    };
    size_t i = 0;
    while (i < sizeof(ranges) / sizeof(*ranges) && rune > ranges[i].last)
        i++;
    return i < sizeof(ranges) / sizeof(*ranges) && rune >= ranges[i].first;
}

/* Letters of the scripts that feeds are mostly written in: visible and steady. */
static inline bool is_common(uint32_t rune) {
    if (rune < 0x800)
        return (rune > 0xA0 && rune < 0x300 && rune != 0xAD) || (rune >= 0x400 && rune <= 0x482) ||
               (rune >= 0x620 && rune <= 0x64A) || (rune >= 0x671 && rune <= 0x6D5) ||
               (rune >= 0x388 && rune <= 0x3CE) || (rune >= 0x5D0 && rune <= 0x5EA);
    return (rune >= 0x2010 && rune <= 0x2027) || (rune >= 0x4E00 && rune <= 0x9FFF) ||
           (rune >= 0x3041 && rune <= 0x3096) || (rune >= 0x30A1 && rune <= 0x30FC) ||
           (rune >= 0xAC00 && rune <= 0xD7A3);
}

/* What a byte begins: 0 visible ASCII, 1 anything to look at. */
static const bool to_look_at[256] = {
#define EIGHT(n)                                                                                             \
    [n] = true, [n + 1] = true, [n + 2] = true, [n + 3] = true, [n + 4] = true, [n + 5] = true,              \
    [n + 6] = true, [n + 7] = true
    EIGHT(0),    EIGHT(8),    EIGHT(16),   EIGHT(24),   EIGHT(0x80),  EIGHT(0x88),   EIGHT(0x90), EIGHT(0x98),
    EIGHT(0xA0), EIGHT(0xA8), EIGHT(0xB0), EIGHT(0xB8), EIGHT(0xC0),  EIGHT(0xC8),   EIGHT(0xD0), EIGHT(0xD8),
    EIGHT(0xE0), EIGHT(0xE8), EIGHT(0xF0), EIGHT(0xF8), [' '] = true, [0x7F] = true,
#undef EIGHT
};

/* True when the character at *at is visible and stays as it is; then *at is behind it. *composed is cleared
 * where normalisation has to look. */
static bool pass_rune(const char **at, const char *end, bool *composed) {
    const char *next = *at;
    if ((unsigned char)*next < 0x80) {
        *at += !to_look_at[(unsigned char)*next];
        return *at != next;
    }
    uint32_t rune = text_rune(&next, end);
    if (is_common(rune)) {
        *at = next;
        return true;
    }
    if ((rune == TEXT_RUNE_BAD && next - *at == 1) || rune <= 0xA0)
        return false;
    if (rune == 0xAD || (rune >= 0x300 && (is_blank(rune) || is_break(rune) || is_invisible(rune))))
        return false;
    *composed &= is_steady(rune);
    *at = next;
    return true;
}

/* The same as run_end for ASCII in blocks of sixteen, as far as there are any. */
static const char *plain_blocks(const char *at, const char *end) {
#ifdef __SSE2__
    const char *start = at;
    unsigned after_space = 1; /* no space begins a run */
    while (end - at >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i low = _mm_cmplt_epi8(x, _mm_set1_epi8(0x20)); /* signed: from 0x80 on, too */
        unsigned other =
            (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7F))));
        unsigned spaces = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(' ')));
        unsigned stop = other | (spaces & (spaces << 1 | after_space));
        if (stop) {
            at += __builtin_ctz(stop);
            break;
        }
        after_space = spaces >> 15;
        at += 16;
    }
    return at > start && at[-1] == ' ' ? at - 1 : at;
#else
    (void)end;
    return at;
#endif
}

/* Behind the characters from `at` that are appended as they are: visible ones, and single spaces between
 * them. */
static const char *run_end(const char *at, const char *end, bool *composed) {
    const char *start = at;
    for (;;) {
        at = plain_blocks(at, end);
        while (at < end && !to_look_at[(unsigned char)*at])
            at++;
        if (at == end)
            return at;
        const char *space = at;
        at += *at == ' ' && at > start;
        if (at == end || !pass_rune(&at, end, composed))
            return space;
    }
}

/* What is pending since the last visible character. */
static void add_white(struct buf *out, int lines, bool blank, enum text_shape shape) {
    if (lines && shape == TEXT_PARAGRAPHS)
        buf_add_text(out, lines > 1 ? "\n\n" : "\n");
    else if (lines || blank)
        buf_add_byte(out, ' ');
}

/* Append with the shape's white space. True when the result needs no normalisation. */
static bool shape_runes(struct buf *out, const char *text, size_t n, enum text_shape shape) {
    const char *at = text, *end = text + n;
    size_t start = out->len;
    bool blank = false, composed = true;
    int lines = 0;
    while (at < end) {
        const char *from = at;
        at = run_end(at, end, &composed);
        if (at == from) {
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
            if (out->len > start)
                add_white(out, lines, blank, shape);
            buf_add_rune(out, rune);
            composed &= is_steady(rune) || rune == TEXT_RUNE_BAD;
        } else {
            if (out->len > start)
                add_white(out, lines, blank, shape);
            buf_add(out, from, (size_t)(at - from));
        }
        blank = false;
        lines = 0;
    }
    return composed;
}

void text_clean(struct buf *out, const char *text, size_t n, enum text_shape shape) {
    size_t start = out->len, len = 0;
    buf_reserve(out, n);
    if (shape_runes(out, text, n, shape) || out->len == start)
        return;
    uint8_t *nfc =
        u8_normalize(UNINORM_NFC, (const uint8_t *)out->data + start, out->len - start, NULL, &len);
    if (nfc) {
        out->len = start;
        buf_add(out, nfc, len);
    }
    free(nfc);
}

bool text_is_clean(const char *text, size_t n) {
    const char *at = text, *end = text + n;
    while (at < end) {
        const char *was = at;
        uint32_t rune = text_rune(&at, end);
        bool white = is_blank(rune) || is_break(rune);
        if ((rune == TEXT_RUNE_BAD && at - was == 1) || (!white && is_invisible(rune)) || rune == '\r')
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

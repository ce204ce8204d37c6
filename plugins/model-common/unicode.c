/* SPDX-License-Identifier: Apache-2.0 */
/* unicode.c - see unicode.h. */
#include "unicode.h"

#include <stdbool.h>

static bool in_ranges(uint32_t code, const struct unicode_range *ranges, size_t n) {
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (code > ranges[mid].last)
            low = mid + 1;
        else if (code < ranges[mid].first)
            high = mid;
        else
            return true;
    }
    return false;
}

static bool is_space(uint32_t code) {
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
           code == 0x205f || code == 0x3000;
}

enum unicode_class unicode_class(uint32_t code) {
    if (code < 0x80) {
        if ((code | 32) >= 'a' && (code | 32) <= 'z')
            return UNICODE_LETTER;
        if (code >= '0' && code <= '9')
            return UNICODE_NUMBER;
        return is_space(code) ? UNICODE_SPACE : UNICODE_OTHER;
    }
    if (is_space(code))
        return UNICODE_SPACE;
    if (in_ranges(code, unicode_letters, unicode_n_letters))
        return UNICODE_LETTER;
    if (in_ranges(code, unicode_numbers, unicode_n_numbers))
        return UNICODE_NUMBER;
    return UNICODE_OTHER;
}

size_t unicode_decode(const uint8_t *p, const uint8_t *end, uint32_t *code) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    uint32_t c;

    if (n == 1) {
        *code = *p;
        return 1;
    }
    *code = UNICODE_INVALID;
    if (n == 0 || (size_t)(end - p) < n)
        return 1;
    c = *p & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 1;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 1;
    *code = c;
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* unicode.h - the three character classes that pre-tokenizers split by. */
#ifndef TELEX_UNICODE_H
#define TELEX_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* A character is in exactly one class. */
enum unicode_class {
    UNICODE_OTHER,
    UNICODE_LETTER, /* \p{L} */
    UNICODE_NUMBER, /* \p{N} */
    UNICODE_SPACE,  /* \s, that is White_Space */
};

struct unicode_range {
    uint32_t first, last;
};

extern const struct unicode_range unicode_letters[];
extern const size_t unicode_n_letters;
extern const struct unicode_range unicode_numbers[];
extern const size_t unicode_n_numbers;

enum unicode_class unicode_class(uint32_t code);

/* Decode one character at p (p < end). Returns its bytes and sets *code. A byte that begins no valid
 * UTF-8 sequence counts as one character of class OTHER: *code is then UNICODE_INVALID. */
#define UNICODE_INVALID 0x110000u
size_t unicode_decode(const uint8_t *p, const uint8_t *end, uint32_t *code);

#endif

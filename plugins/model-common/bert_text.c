/* SPDX-License-Identifier: Apache-2.0 */
/* bert_text.c - one character of text as BERT's uncased models read it. */
#include "bert_text.h"

#include <stdbool.h>

/* Hangul syllables: the Unicode standard, section 3.12. */
enum {
    SYLLABLE = 0xac00,
    N_SYLLABLES = 11172,
    LEADING = 0x1100,
    VOWEL = 0x1161,
    TRAILING = 0x11a7,
    N_VOWELS = 21,
    N_TRAILING = 28
};

static bool in_ranges(const struct unicode_range *ranges, size_t n, uint32_t code) {
    size_t low = 0, high = n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && code >= ranges[low].first;
}

static uint32_t syllable(uint32_t code, uint32_t out[BERT_MOST]) {
    const uint32_t i = code - SYLLABLE, trailing = i % N_TRAILING;

    out[0] = LEADING + i / (N_VOWELS * N_TRAILING);
    out[1] = VOWEL + i % (N_VOWELS * N_TRAILING) / N_TRAILING;
    out[2] = TRAILING + trailing;
    return trailing ? 3 : 2;
}

/* What the table makes of a character that stays. */
static uint32_t mapped(uint32_t code, uint32_t out[BERT_MOST]) {
    size_t low = 0, high = bert_n_pairs;
    uint32_t n = 0;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (code > bert_pairs[middle].from)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == bert_n_pairs || bert_pairs[low].from != code || bert_pairs[low].to < BERT_LONG) {
        out[0] = low < bert_n_pairs && bert_pairs[low].from == code ? bert_pairs[low].to : code;
        return 1;
    }
    for (; n < BERT_MOST && bert_long[bert_pairs[low].to - BERT_LONG][n]; n++)
        out[n] = bert_long[bert_pairs[low].to - BERT_LONG][n];
    return n;
}

uint32_t bert_map(uint32_t code, uint32_t out[BERT_MOST], enum bert_kind kind[BERT_MOST]) {
    const bool plain = code < 0x80;
    uint32_t n;

    if (plain && code > ' ' && code < 0x7f) {
        const bool letter = (code | 32) >= 'a' && (code | 32) <= 'z', digit = code >= '0' && code <= '9';

        out[0] = code >= 'A' && code <= 'Z' ? code | 32 : code;
        kind[0] = letter || digit ? BERT_LETTER : BERT_ALONE;
        return 1;
    }
    if (code == ' ' || in_ranges(bert_spaces, bert_n_spaces, code)) {
        out[0] = ' ';
        kind[0] = BERT_SPACE;
        return 1;
    }
    if (in_ranges(bert_removed, bert_n_removed, code))
        return 0;
    n = code >= SYLLABLE && code < SYLLABLE + N_SYLLABLES ? syllable(code, out) : mapped(code, out);
    for (uint32_t i = 0; i < n; i++)
        kind[i] = in_ranges(bert_punctuation, bert_n_punctuation, out[i]) ||
                          in_ranges(bert_ideographs, bert_n_ideographs, code)
                      ? BERT_ALONE
                      : BERT_LETTER;
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bert_text.h - text as BERT's uncased models read it: cleaned, lower case, without accents, in words.
 *
 * After Devlin et al. 2019 and its published tokenizer: control characters go, white space is one space,
 * ideographs stand alone, characters are decomposed (NFD), nonspacing marks go, the rest becomes lower case;
 * then punctuation characters stand alone. A character is mapped by itself, so two spacing marks of different
 * combining classes behind one letter keep their order, which NFD would exchange; only notations of music and
 * old scripts have such. */
#ifndef TELEX_BERT_TEXT_H
#define TELEX_BERT_TEXT_H

#include <stdint.h>

#include "unicode.h"

enum { BERT_MOST = 3 /* characters that one becomes */, BERT_LONG = 0x110000 };

/* `to` is a character, or BERT_LONG + a place in bert_long. */
struct bert_pair {
    uint32_t from, to;
};

extern const struct unicode_range bert_removed[], bert_spaces[], bert_ideographs[], bert_punctuation[];
extern const size_t bert_n_removed, bert_n_spaces, bert_n_ideographs, bert_n_punctuation, bert_n_pairs;
extern const struct bert_pair bert_pairs[];
extern const uint32_t bert_long[][BERT_MOST]; /* ends with 0 where shorter */

/* Where words end. */
enum bert_kind { BERT_LETTER, BERT_SPACE, BERT_ALONE /* ideographs and punctuation: a word each */ };

/* What a character becomes: n characters in out, of one kind each (kinds differ only where the character is
 * an ideograph or one character). Returns n, 0 for one that goes. A space comes as one BERT_SPACE. */
uint32_t bert_map(uint32_t code, uint32_t out[BERT_MOST], enum bert_kind kind[BERT_MOST]);

#endif

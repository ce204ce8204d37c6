/* SPDX-License-Identifier: Apache-2.0 */
/* bert.h - the numbers of a BERT encoder, as config.json beside its weights states them. */
#ifndef TELEX_BERT_H
#define TELEX_BERT_H

#include <stdint.h>

#include "fail.h"

enum { BERT_MAX_POSITIONS = 8192 };

struct bert {
    uint32_t n_vocab, n_embd, n_ff, n_heads, n_layers, n_positions, n_types;
    float norm_eps;
};

/* Read the folder's config.json, and tokenizer_config.json and 1_Pooling/config.json where they are. What
 * they declare and this build does not compute (cased text, another activation, relative positions, pooling
 * other than the mean) is refused by name. 0 or negative errno. */
int bert_read(const char *folder, struct bert *out, struct model_fail *fail);

#endif

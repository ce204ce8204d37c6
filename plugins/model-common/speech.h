/* SPDX-License-Identifier: Apache-2.0 */
/* speech.h - the text side of the class telex.model/1, the same for every backend that reads GGUF. */
#ifndef TELEX_SPEECH_H
#define TELEX_SPEECH_H

#include <telex/model.h>

#include "arch.h"
#include "tokenizer.h"

/* tokenize and detokenize as telex/model.h states. [any] */
int64_t speech_tokenize(const struct tokenizer *tok, struct telex_bytes text, uint32_t flags, int32_t *ids,
                        uint64_t capacity);
int64_t speech_detokenize(const struct tokenizer *tok, const int32_t *ids, uint64_t n, uint8_t *out,
                          uint64_t capacity);

/* What any backend of GGUF files knows of a model. All borrowed. */
struct speech_model {
    const struct arch *arch;
    const struct tokenizer *tokenizer;
    uint32_t n_vocab;
    const char *quant, *title, *chat_template, *sha256;
};

/* Fill the caller's table: these members, and of `own` flags, max_batch, weight_bytes, kv_bytes_per_token and
 * device. */
void speech_info(const struct speech_model *model, const struct telex_model_info *own,
                 struct telex_model_info *out);

/* Which chat template the weights were trained with, told by its control tokens; "" for none. *eot becomes
 * the token that ends a turn, or -1. */
const char *speech_chat(const struct tokenizer *tok, const char *chat_template, int32_t *eot);

#endif

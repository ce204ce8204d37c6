/* SPDX-License-Identifier: Apache-2.0 */
/* speech.h - the text side of the class telex.model/1, the same for every backend that reads GGUF. */
#ifndef TELEX_SPEECH_H
#define TELEX_SPEECH_H

#include <telex/model.h>

#include "tokenizer.h"

/* tokenize and detokenize as telex/model.h states. [any] */
int64_t speech_tokenize(const struct tokenizer *tok, struct telex_bytes text, uint32_t flags, int32_t *ids,
                        uint64_t capacity);
int64_t speech_detokenize(const struct tokenizer *tok, const int32_t *ids, uint64_t n, uint8_t *out,
                          uint64_t capacity);

/* Which chat template the weights were trained with, told by its control tokens; "" for none. *eot becomes
 * the token that ends a turn, or -1. */
const char *speech_chat(const struct tokenizer *tok, const char *chat_template, int32_t *eot);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* pretoken.h - cut text into the words that BPE works on. */
#ifndef TELEX_PRETOKEN_H
#define TELEX_PRETOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf.h"

struct pretoken;

/* The pre-tokenizer that GGUF files call by this name, or NULL. */
const struct pretoken *pretoken_find(struct gguf_text name);
/* "smollm, qwen2, ...", for error messages. */
const char *pretoken_list(void);

/* True if a word that is a token is that token, whatever the merges say. */
bool pretoken_takes_whole_words(const struct pretoken *pre);
/* True if a prompt begins with bos unless the file says otherwise. */
bool pretoken_adds_bos(const struct pretoken *pre);

/* The end of the word that begins at p, p < end. Words cover the text without gaps. */
const uint8_t *pretoken_next(const struct pretoken *pre, const uint8_t *p, const uint8_t *end);

#endif

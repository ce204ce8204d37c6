/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.h - text to token ids and back, with the vocabulary of a GGUF file: byte-level BPE ("gpt2") or
 * SentencePiece's BPE ("llama").
 *
 * Ids are those of the reference tokenizers, to the last one. Control tokens come out of text only when the
 * caller says so: a source text that contains "<|im_start|>" is nine harmless tokens, not a chat turn.
 * A tokenizer is immutable after tokenizer_load; any number of threads may use it at once. */
#ifndef TELEX_TOKENIZER_H
#define TELEX_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf.h"

struct tokenizer;

enum tokenizer_flag {
    TOKENIZER_CONTROL = 1, /* match control and user-defined tokens in the text, the longest at each place */
};

/* A growing list of ids. Zeroed is empty; the owner frees `ids`. */
struct token_list {
    int32_t *ids;
    size_t n;
    size_t capacity;
};

/* Read the tokenizer of `file`; the file may be closed afterwards. Unknown models and pre-tokenizers are
 * refused by name. Gives *out (tokenizer_free). 0 or negative errno. */
int tokenizer_load(const struct gguf *file, struct tokenizer **out, struct model_fail *fail);
void tokenizer_free(struct tokenizer *tok);

/* Append the ids of text[0..n) to `out`; bos is never added. Any bytes are accepted; invalid UTF-8 goes byte
 * by byte. A byte for which the vocabulary has no token is dropped, as the reference does. SentencePiece
 * models cut out user-defined tokens in any text, and may put a space in front of it. 0 or -ENOMEM (`out` is
 * then cut back). */
int tokenizer_encode(const struct tokenizer *tok, const char *text, size_t n, unsigned flags,
                     struct token_list *out);

/* The bytes that `id` stands for; not always whole characters. Borrowed until tokenizer_free. Control tokens
 * give their name. *bytes is "" and the result 0 for ids out of range and unused ones. */
size_t tokenizer_piece(const struct tokenizer *tok, int32_t id, const char **bytes);

/* True for control tokens, which never belong in text shown to a reader. */
bool tokenizer_is_control(const struct tokenizer *tok, int32_t id);

/* The id of the control or user-defined token with exactly this name, or -1. */
int32_t tokenizer_find_control(const struct tokenizer *tok, const char *name);

uint32_t tokenizer_n_tokens(const struct tokenizer *tok);
/* -1 when the file names none. */
int32_t tokenizer_bos(const struct tokenizer *tok);
int32_t tokenizer_eos(const struct tokenizer *tok);
/* True if the file asks for the bos token in front of every prompt. */
bool tokenizer_adds_bos(const struct tokenizer *tok);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* wordpiece.h - text to token ids and back with the vocabulary of a BERT uncased model: a text file, one
 * token a line, an id is a line's number.
 *
 * Ids are those of the reference tokenizers (bert_text.h names the one difference). Control tokens come out
 * of text only when the caller says so. A tokenizer is immutable after wordpiece_open; any number of threads
 * may use it at once. */
#ifndef TELEX_WORDPIECE_H
#define TELEX_WORDPIECE_H

#include <stdbool.h>

#include "fail.h"
#include "texthash.h"
#include "tokenizer.h"

struct wordpiece {
    char *bytes; /* owned: the file */
    struct texthash ids;
    struct gguf_text *tokens; /* owned: (n_tokens), in bytes */
    uint32_t n_tokens;
    uint32_t longest;                            /* bytes of a token */
    int32_t unknown, first, last, padding, mask; /* [UNK] [CLS] [SEP]; [PAD] [MASK]: -1 where there is none */
};

/* Read the vocabulary at `path`. [UNK], [CLS] and [SEP] must be in it, and no token twice. 0 or negative
 * errno; wordpiece_close in both cases, with *out zeroed before. */
int wordpiece_open(const char *path, struct wordpiece *out, struct model_fail *fail);
void wordpiece_close(struct wordpiece *wordpiece);

/* Append the ids of text[0..n) to `out`, without [CLS] and [SEP] around them. Any bytes are accepted; what is
 * no UTF-8 is passed over. `flags`: TOKENIZER_CONTROL. 0 or -ENOMEM (`out` is then cut back). */
int wordpiece_encode(const struct wordpiece *wordpiece, const char *text, size_t n, unsigned flags,
                     struct token_list *out);

bool wordpiece_is_control(const struct wordpiece *wordpiece, int32_t id);

/* Ids as text: a space between words, nothing for control tokens. Returns the number of bytes whatever the
 * capacity, or -EINVAL for an id outside the vocabulary. */
int64_t wordpiece_decode(const struct wordpiece *wordpiece, const int32_t *ids, uint64_t n, char *out,
                         uint64_t capacity);

#endif

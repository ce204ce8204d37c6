/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer-impl.h - the inside of a tokenizer: tokenizer.c and vocab.c load it, encode.c cuts text at
 * special tokens, bpe.c and spm.c cut what lies between into symbols, merge.c joins them. */
#ifndef TELEX_TOKENIZER_IMPL_H
#define TELEX_TOKENIZER_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pretoken.h"
#include "texthash.h"
#include "tokenizer.h"

enum { TOKENIZER_MAX_TOKENS = 1 << 22, TOKENIZER_LONGEST = 1 << 16 };

/* The kinds of token in the file. */
enum { KIND_NORMAL = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER, KIND_UNUSED, KIND_BYTE };

/* Tokens that are found in the text as they stand, by first byte, longest first. */
struct specials {
    int32_t *ids;         /* owned */
    uint32_t starts[257]; /* ids[starts[b] .. starts[b + 1]) begin with byte b */
};

struct merge {
    uint64_t pair; /* left id << 32 | right id; EMPTY_PAIR marks a free place */
    uint32_t rank;
    int32_t id;
};

/* An open-addressing table, never more than half full. */
struct merges {
    struct merge *places;
    size_t mask;
};

/* The normal tokens by their bytes: an open-addressing table of ids, -1 where free. */
struct pieces {
    int32_t *ids;
    size_t mask;
    size_t longest; /* bytes */
};

struct tokenizer {
    uint32_t n_tokens;
    uint8_t *kinds;   /* [n_tokens] */
    uint32_t *starts; /* [n_tokens + 1] into bytes */
    uint8_t *bytes;
    int32_t byte_ids[256];   /* -1: no token for this byte */
    struct specials control; /* control, user-defined and unknown tokens */
    struct specials user;    /* user-defined ones; SPM finds them in any text, BPE has none here */
    bool is_spm;
    bool adds_bos;
    int32_t bos, eos;

    /* BPE */
    struct merges merges;
    const struct pretoken *pre;

    /* SPM, and BPE of the kind that takes a word which is a token as it is */
    struct pieces pieces;

    /* SPM */
    uint32_t *ranks;  /* [n_tokens] by falling score: the lowest rank merges first */
    bool adds_space;  /* before the text, and behind special tokens */
    bool words_apart; /* no token holds a space behind another character */
    int32_t unknown;
};

/* A stretch of text that has become one token, or not yet. */
struct symbol {
    int32_t id;         /* -1: no token */
    int32_t prev, next; /* -1 at the ends */
    uint32_t at, n;     /* bytes of the word */
};

struct candidate {
    uint32_t rank;
    int32_t at;               /* the left symbol */
    int32_t id;               /* what it makes */
    uint32_t left_n, right_n; /* a symbol that has grown since then does not fit any more */
};

/* Working memory of one encode call. */
struct scratch {
    const uint8_t *word;
    struct symbol *symbols;
    struct candidate *heap;
    size_t room; /* symbols; the heap has three times as much */
    size_t n_heap;
    uint8_t *text; /* SPM: the word with spaces as tokens have them */
    size_t text_room;
};

/* tokenizer.c: fill in the parts of a model that the file calls "gpt2" or "llama". 0 or negative errno. */
int bpe_load(const struct gguf *file, struct tokenizer *tok, const struct texthash *names,
             struct model_fail *fail);
int spm_load(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail);

/* Copy the vocabulary; `names` maps the file's spelling of a token to its id. */
int vocab_load(const struct gguf *file, struct tokenizer *tok, struct texthash *names,
               struct model_fail *fail);
/* Index the normal tokens. 0 or -ENOMEM. */
int pieces_init(struct tokenizer *tok);
/* The normal token with these bytes, or -1. */
int32_t pieces_find(const struct tokenizer *tok, const uint8_t *bytes, size_t n);
/* The longest special token at p, or -1. */
int32_t specials_find(const struct tokenizer *tok, const struct specials *specials, const uint8_t *p,
                      const uint8_t *end);

/* Append the ids of text without special tokens. `is_first`: it opens the text or follows a special token.
 * 0 or -ENOMEM. */
int bpe_encode(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, struct scratch *s,
               struct token_list *out);
int spm_encode(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, bool is_first,
               struct scratch *s, struct token_list *out);
/* BPE: fills in rank and id if the two symbols merge. */
bool bpe_pair(const struct tokenizer *tok, int32_t left, int32_t right, struct candidate *to);
void merges_finish(struct merges *merges);

/* Room for n symbols, or ids. 0 or -ENOMEM. */
int scratch_reserve(struct scratch *s, size_t n);
int list_reserve(struct token_list *list, size_t more);
/* Join the n symbols of s->word, prev, next, at and n being set, until nothing fits any more. */
void merge_symbols(const struct tokenizer *tok, struct scratch *s, int32_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer-impl.h - the inside of a tokenizer: tokenizer.c loads it, bpe.c encodes with it. */
#ifndef TELEX_TOKENIZER_IMPL_H
#define TELEX_TOKENIZER_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pretoken.h"

/* A control or user-defined token; bytes are borrowed from the tokenizer. */
struct tokenizer_special {
    const char *bytes;
    size_t n;
    int32_t id;
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

struct tokenizer {
    uint32_t n_tokens;
    uint8_t *kinds;   /* [n_tokens] */
    uint32_t *starts; /* [n_tokens + 1] into bytes */
    uint8_t *bytes;
    int32_t byte_ids[256]; /* -1: no token for this byte */
    struct merges merges;
    const struct pretoken *pre;
    struct tokenizer_special *specials; /* longest first */
    size_t n_specials;
    bool begins_special[256];
    bool adds_bos;
    int32_t bos, eos;
};

int merges_init(struct merges *merges, uint64_t n);
void merges_finish(struct merges *merges);
/* Of two merges of one pair the first one counts. */
void merges_put(struct merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t id);
/* NULL if the two do not merge. */
const struct merge *merges_get(const struct merges *merges, int32_t left, int32_t right);

#endif

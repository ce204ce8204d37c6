/* SPDX-License-Identifier: Apache-2.0 */
/* texthash.h - texts to numbers, for as long as a vocabulary is being loaded. Texts stay borrowed. */
#ifndef TELEX_TEXTHASH_H
#define TELEX_TEXTHASH_H

#include <stddef.h>
#include <stdint.h>

#include "gguf.h"

struct texthash {
    struct gguf_text *keys; /* p == NULL: free place */
    uint32_t *values;
    size_t mask;
};

/* Room for n texts. 0 or -ENOMEM. */
int texthash_init(struct texthash *hash, size_t n);
void texthash_finish(struct texthash *hash);
/* 0, or -EEXIST. At most n puts. */
int texthash_put(struct texthash *hash, struct gguf_text key, uint32_t value);
/* -1 when absent. */
int32_t texthash_get(const struct texthash *hash, struct gguf_text key);

#endif

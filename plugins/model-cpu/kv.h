/* SPDX-License-Identifier: Apache-2.0 */
/* kv.h - keys and values of many sequences, in shared pages (model-common/pages.h).
 *
 * A page holds 64 positions of every layer. Keys lie as (tile of 16 positions, dimension, position), values
 * as (16 dimensions, position, dimension), in f16, or in f32 for exact.c. One caller at a
 * time. */
#ifndef TELEX_KV_H
#define TELEX_KV_H

#include <stddef.h>
#include <stdint.h>

#include "arch.h"
#include "kernels.h"
#include "pages.h"

struct kv {
    uint32_t n_layers, n_kv_heads, head_dim;
    uint32_t value_bytes; /* of a number: 2 or 4 */
    size_t page_bytes;
    uint8_t *bytes;     /* mapped; zero until written */
    struct pages pages; /* whose they are */
};

/* Room for n_seq sequences that together hold n_tokens positions. 0 or -ENOMEM. */
int kv_init(struct kv *kv, const struct arch *arch, uint32_t value_bytes, uint32_t n_seq, uint32_t n_tokens);
void kv_finish(struct kv *kv);

size_t kv_bytes_per_token(const struct arch *arch, uint32_t value_bytes);

/* Keys and values of one kv head in one page; exact.c reads them as floats. */
static inline uint16_t *kv_keys(const struct kv *kv, uint32_t page, uint32_t layer, uint32_t head) {
    const size_t one = (size_t)KV_PAGE * kv->head_dim * kv->value_bytes;

    return (uint16_t *)(void *)(kv->bytes + page * kv->page_bytes +
                                2 * one * ((size_t)layer * kv->n_kv_heads + head));
}
static inline uint16_t *kv_values(const struct kv *kv, uint32_t page, uint32_t layer, uint32_t head) {
    return kv_keys(kv, page, layer, head) +
           (size_t)KV_PAGE * kv->head_dim * kv->value_bytes / sizeof(uint16_t);
}

#endif

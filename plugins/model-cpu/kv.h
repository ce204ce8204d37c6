/* SPDX-License-Identifier: Apache-2.0 */
/* kv.h - keys and values of many sequences, in shared pages (model-common/pages.h).
 *
 * A page holds 64 positions of every layer. Keys lie as (tile of 16 positions, dimension, position), values
 * as (16 dimensions, position, dimension), in f16, or in f32 for exact.c. As int8 a position's key, and its
 * value, of one head has a scale, and behind the 64 * head_dim integers lie the 64 scales, f32. One caller at
 * a time. */
#ifndef TELEX_KV_H
#define TELEX_KV_H

#include <stddef.h>
#include <stdint.h>

#include "arch.h"
#include "kernels.h"
#include "pages.h"

struct kv {
    uint32_t n_layers, n_kv_heads, head_dim;
    uint32_t value_bytes; /* of a number: 1, 2 or 4 */
    uint32_t scale_bytes; /* of a position's scale: 4 for int8, else 0 */
    size_t part_bytes;    /* the keys, or the values, of one head in one page */
    size_t page_bytes;
    uint8_t *bytes;     /* mapped; zero until written */
    struct pages pages; /* whose they are */
};

/* Room for n_seq sequences that together hold n_tokens positions, as these kernels keep them. 0 or -ENOMEM.
 */
int kv_init(struct kv *kv, const struct arch *arch, const struct kernels *kernels, uint32_t n_seq,
            uint32_t n_tokens);
void kv_finish(struct kv *kv);

size_t kv_bytes_per_token(const struct arch *arch, const struct kernels *kernels);

/* Keys and values of one kv head in one page. */
static inline void *kv_keys(const struct kv *kv, uint32_t page, uint32_t layer, uint32_t head) {
    return kv->bytes + page * kv->page_bytes + 2 * kv->part_bytes * ((size_t)layer * kv->n_kv_heads + head);
}
static inline void *kv_values(const struct kv *kv, uint32_t page, uint32_t layer, uint32_t head) {
    return (uint8_t *)kv_keys(kv, page, layer, head) + kv->part_bytes;
}

#endif

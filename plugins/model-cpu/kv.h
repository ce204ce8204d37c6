/* SPDX-License-Identifier: Apache-2.0 */
/* kv.h - keys and values of many sequences, in shared pages.
 *
 * A page holds 64 positions of every layer. Sequences that copied from each other share whole pages; a page
 * is copied when someone is about to write to one that others still read. Keys lie as (tile of 16 positions,
 * dimension, position), values as (16 dimensions, position, dimension), in f16. One caller at a time. */
#ifndef TELEX_KV_H
#define TELEX_KV_H

#include <stddef.h>
#include <stdint.h>

#include "arch.h"
#include "kernels.h"

struct kv_seq {
    uint32_t *pages; /* (pages of n positions), room for max_pages */
    uint32_t n;      /* positions */
};

struct kv {
    uint32_t n_layers, n_kv_heads, head_dim;
    uint32_t n_pages, n_free, n_seq, max_pages;
    size_t page_bytes;
    uint8_t *pages;       /* mapped; zero until written */
    uint32_t *users;      /* [n_pages] */
    uint32_t *free_pages; /* stack of n_free */
    struct kv_seq *seqs;  /* [n_seq] */
};

/* Room for n_seq sequences that together hold n_tokens positions. 0 or -ENOMEM. */
int kv_init(struct kv *kv, const struct arch *arch, uint32_t n_seq, uint32_t n_tokens);
void kv_finish(struct kv *kv);

size_t kv_bytes_per_token(const struct arch *arch);

/* Make positions [n, n + more) of a sequence writable and part of it. 0, or -ENOSPC with nothing changed. */
int kv_extend(struct kv *kv, uint32_t seq, uint32_t more);

/* Forget positions >= from. */
void kv_trim(struct kv *kv, uint32_t seq, uint32_t from);

/* dst's positions [from, to) become src's; dst is cut at `from` first and must reach it. 0, -EINVAL or
 * -ENOSPC (dst is then cut at `from`). */
int kv_copy(struct kv *kv, uint32_t dst, uint32_t src, uint32_t from, uint32_t to);

/* Keys and values of one kv head in one page. */
static inline uint16_t *kv_keys(const struct kv *kv, uint32_t page, uint32_t layer, uint32_t head) {
    const size_t one = (size_t)KV_PAGE * kv->head_dim;

    return (uint16_t *)(void *)(kv->pages + page * kv->page_bytes) +
           2 * one * ((size_t)layer * kv->n_kv_heads + head);
}
static inline uint16_t *kv_values(const struct kv *kv, uint32_t page, uint32_t layer, uint32_t head) {
    return kv_keys(kv, page, layer, head) + (size_t)KV_PAGE * kv->head_dim;
}

#endif

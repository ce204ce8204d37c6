/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c - see kv.h. */
#include "kv.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A head's key, or value, at one position. */
static size_t bytes_of(const struct arch *arch, const struct kernels *kernels) {
    return (size_t)arch->head_dim * kernels->kv_value_bytes + kernels->kv_scale_bytes;
}

size_t kv_bytes_per_token(const struct arch *arch, const struct kernels *kernels) {
    return 2 * bytes_of(arch, kernels) * arch->n_layers * arch->n_kv_heads;
}

/* Copy positions [from, to) within one page, of every layer and head. */
static void copy_positions(void *arg, uint32_t dst, uint32_t src, uint32_t from, uint32_t to) {
    const struct kv *kv = arg;
    const size_t size = kv->value_bytes, scales = (size_t)KV_PAGE * kv->head_dim * size;
    const size_t scale = kv->scale_bytes;

    for (uint32_t i = 0; i < kv->n_layers * kv->n_kv_heads; i++) {
        uint8_t *k = kv_keys(kv, dst, 0, i), *v = kv_values(kv, dst, 0, i);
        const uint8_t *k_src = kv_keys(kv, src, 0, i), *v_src = kv_values(kv, src, 0, i);

        memcpy(k + scales + from * scale, k_src + scales + from * scale, (to - from) * scale);
        memcpy(v + scales + from * scale, v_src + scales + from * scale, (to - from) * scale);

        for (uint32_t d = 0; d < kv->head_dim; d++)
            for (uint32_t p = from; p < to; p++) {
                const size_t k_at = ((size_t)(p / KV_TILE) * kv->head_dim + d) * KV_TILE + p % KV_TILE;
                const size_t v_at = (size_t)(d / 16) * 16 * KV_PAGE + 16 * p + d % 16;

                memcpy(k + k_at * size, k_src + k_at * size, size);
                memcpy(v + v_at * size, v_src + v_at * size, size);
            }
    }
}

int kv_init(struct kv *kv, const struct arch *arch, const struct kernels *kernels, uint32_t n_seq,
            uint32_t n_tokens) {
    void *map;
    int err;

    memset(kv, 0, sizeof(*kv));
    kv->n_layers = arch->n_layers;
    kv->n_kv_heads = arch->n_kv_heads;
    kv->head_dim = arch->head_dim;
    kv->value_bytes = kernels->kv_value_bytes;
    kv->scale_bytes = kernels->kv_scale_bytes;
    kv->part_bytes = bytes_of(arch, kernels) * KV_PAGE;
    kv->page_bytes = kv_bytes_per_token(arch, kernels) * KV_PAGE;
    err = pages_init(&kv->pages, n_seq, n_tokens, arch->n_context, copy_positions, kv);
    if (err)
        return err;
    if (kv->pages.n_pages > SIZE_MAX / 2 / kv->page_bytes) {
        kv_finish(kv);
        return -ENOMEM;
    }
    map = mmap(NULL, kv->pages.n_pages * kv->page_bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        kv_finish(kv);
        return -ENOMEM;
    }
    kv->bytes = map;
    return 0;
}

void kv_finish(struct kv *kv) {
    if (kv->bytes)
        munmap(kv->bytes, kv->pages.n_pages * kv->page_bytes);
    pages_finish(&kv->pages);
    memset(kv, 0, sizeof(*kv));
}

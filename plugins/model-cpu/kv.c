/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c - keys and values in shared pages. users[p] is the number of sequences that list page p; a page with
 * none is on the free stack. */
#include "kv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint32_t pages_for(uint32_t n) {
    return n / KV_PAGE + (n % KV_PAGE != 0);
}

size_t kv_bytes_per_token(const struct arch *arch) {
    return (size_t)2 * sizeof(uint16_t) * arch->n_layers * arch->n_kv_heads * arch->head_dim;
}

int kv_init(struct kv *kv, const struct arch *arch, uint32_t n_seq, uint32_t n_tokens) {
    void *map;

    memset(kv, 0, sizeof(*kv));
    kv->n_layers = arch->n_layers;
    kv->n_kv_heads = arch->n_kv_heads;
    kv->head_dim = arch->head_dim;
    kv->n_seq = n_seq;
    kv->n_pages = pages_for(n_tokens) + n_seq; /* each sequence may leave most of its last page empty */
    kv->max_pages = pages_for(arch->n_context);
    kv->page_bytes = kv_bytes_per_token(arch) * KV_PAGE;
    if (kv->n_pages > SIZE_MAX / 2 / kv->page_bytes)
        return -ENOMEM;
    map = mmap(NULL, kv->n_pages * kv->page_bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return -ENOMEM;
    kv->pages = map;
    kv->users = calloc(kv->n_pages, sizeof(*kv->users));
    kv->free_pages = calloc(kv->n_pages, sizeof(*kv->free_pages));
    kv->seqs = calloc(n_seq, sizeof(*kv->seqs));
    for (uint32_t i = 0; kv->seqs && i < n_seq; i++)
        kv->seqs[i].pages = calloc(kv->max_pages, sizeof(uint32_t));
    if (!kv->users || !kv->free_pages || !kv->seqs || !kv->seqs[n_seq - 1].pages) {
        kv_finish(kv);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < kv->n_pages; i++)
        kv->free_pages[kv->n_free++] = kv->n_pages - 1 - i;
    return 0;
}

void kv_finish(struct kv *kv) {
    for (uint32_t i = 0; kv->seqs && i < kv->n_seq; i++)
        free(kv->seqs[i].pages);
    if (kv->pages)
        munmap(kv->pages, kv->n_pages * kv->page_bytes);
    free(kv->seqs);
    free(kv->users);
    free(kv->free_pages);
    memset(kv, 0, sizeof(*kv));
}

static void drop_page(struct kv *kv, uint32_t page) {
    if (--kv->users[page] == 0)
        kv->free_pages[kv->n_free++] = page;
}

/* There is a free page. */
static uint32_t take_page(struct kv *kv) {
    const uint32_t page = kv->free_pages[--kv->n_free];

    kv->users[page] = 1;
    return page;
}

static bool last_is_shared(const struct kv *kv, const struct kv_seq *s) {
    return s->n % KV_PAGE != 0 && kv->users[s->pages[s->n / KV_PAGE]] > 1;
}

int kv_extend(struct kv *kv, uint32_t seq, uint32_t more) {
    struct kv_seq *s = &kv->seqs[seq];
    const uint32_t have = pages_for(s->n), want = pages_for(s->n + more);

    if (want > kv->max_pages || want - have + last_is_shared(kv, s) > kv->n_free)
        return -ENOSPC;
    if (more > 0 && last_is_shared(kv, s)) {
        uint32_t *last = &s->pages[s->n / KV_PAGE];
        const uint32_t own = take_page(kv);

        memcpy(kv->pages + own * kv->page_bytes, kv->pages + *last * kv->page_bytes, kv->page_bytes);
        drop_page(kv, *last);
        *last = own;
    }
    for (uint32_t i = have; i < want; i++)
        s->pages[i] = take_page(kv);
    s->n += more;
    return 0;
}

void kv_trim(struct kv *kv, uint32_t seq, uint32_t from) {
    struct kv_seq *s = &kv->seqs[seq];

    if (from >= s->n)
        return;
    for (uint32_t i = pages_for(from); i < pages_for(s->n); i++)
        drop_page(kv, s->pages[i]);
    s->n = from;
}

/* Copy positions [from, to) within one page, of every layer and head. */
static void copy_positions(struct kv *kv, uint32_t dst, uint32_t src, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < kv->n_layers * kv->n_kv_heads; i++) {
        uint16_t *k = kv_keys(kv, dst, 0, i), *v = kv_values(kv, dst, 0, i);
        const uint16_t *k_src = kv_keys(kv, src, 0, i), *v_src = kv_values(kv, src, 0, i);

        for (uint32_t d = 0; d < kv->head_dim; d++)
            for (uint32_t p = from; p < to; p++) {
                const size_t k_at = ((size_t)(p / KV_TILE) * kv->head_dim + d) * KV_TILE + p % KV_TILE;
                const size_t v_at = (size_t)(d / 16) * 16 * KV_PAGE + 16 * p + d % 16;

                k[k_at] = k_src[k_at];
                v[v_at] = v_src[v_at];
            }
    }
}

int kv_copy(struct kv *kv, uint32_t dst, uint32_t src, uint32_t from, uint32_t to) {
    struct kv_seq *d = &kv->seqs[dst];
    const struct kv_seq *s = &kv->seqs[src];
    uint32_t head_end = from;
    int err;

    if (dst == src || from > d->n || to > s->n || from > to)
        return -EINVAL;
    kv_trim(kv, dst, from);
    if (from % KV_PAGE != 0) { /* finish the page that dst has begun with positions of its own */
        head_end = from / KV_PAGE * KV_PAGE + KV_PAGE < to ? from / KV_PAGE * KV_PAGE + KV_PAGE : to;
        err = kv_extend(kv, dst, head_end - from);
        if (err)
            return err;
        copy_positions(kv, d->pages[from / KV_PAGE], s->pages[from / KV_PAGE], from % KV_PAGE,
                       (head_end - 1) % KV_PAGE + 1);
    }
    for (uint32_t i = head_end / KV_PAGE; head_end < to && i < pages_for(to); i++) {
        d->pages[i] = s->pages[i];
        kv->users[d->pages[i]]++;
    }
    d->n = to;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pages.h - which pages of a key-value store belong to which sequence.
 *
 * A page holds 64 positions. Sequences that copied from each other share whole pages; a page is copied when
 * someone is about to write to one that others still read. Only numbers live here: where a page's bytes are,
 * and how positions are copied, is the backend's. One caller at a time. */
#ifndef TELEX_PAGES_H
#define TELEX_PAGES_H

#include <stddef.h>
#include <stdint.h>

enum { KV_PAGE = 64 /* positions */ };

struct page_seq {
    uint32_t *pages; /* (pages of n positions), room for max_pages */
    uint32_t n;      /* positions */
};

/* Copy positions [from, to) of page src, 0 <= from < to <= KV_PAGE, to the same places of page dst. */
typedef void (*pages_copy_fn)(void *arg, uint32_t dst, uint32_t src, uint32_t from, uint32_t to);

struct pages {
    uint32_t n_pages, n_free, n_seq, max_pages;
    uint32_t *users;       /* [n_pages] */
    uint32_t *free_pages;  /* stack of n_free */
    struct page_seq *seqs; /* [n_seq] */
    pages_copy_fn copy;
    void *copy_arg; /* borrowed */
};

/* Room for n_seq sequences of up to n_context positions that together hold n_tokens. 0 or -ENOMEM. */
int pages_init(struct pages *pages, uint32_t n_seq, uint32_t n_tokens, uint32_t n_context, pages_copy_fn copy,
               void *copy_arg);
void pages_finish(struct pages *pages);

/* Make positions [n, n + more) of a sequence writable and part of it. 0, or -ENOSPC with nothing changed. */
int pages_extend(struct pages *pages, uint32_t seq, uint32_t more);

/* Forget positions >= from. */
void pages_trim(struct pages *pages, uint32_t seq, uint32_t from);

/* dst's positions [from, to) become src's; dst is cut at `from` first and must reach it. 0, -EINVAL or
 * -ENOSPC (dst is then cut at `from`). */
int pages_share(struct pages *pages, uint32_t dst, uint32_t src, uint32_t from, uint32_t to);

static inline uint32_t pages_for(uint32_t n) {
    return n / KV_PAGE + (n % KV_PAGE != 0);
}

#endif

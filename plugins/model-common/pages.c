/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - users[p] is the number of sequences that list page p; a page with none is on the free stack. */
#include "pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int pages_init(struct pages *pages, uint32_t n_seq, uint32_t n_tokens, uint32_t n_context, pages_copy_fn copy,
               void *copy_arg) {
    memset(pages, 0, sizeof(*pages));
    pages->n_seq = n_seq;
    pages->n_pages = pages_for(n_tokens) + n_seq; /* each sequence may leave most of its last page empty */
    pages->max_pages = pages_for(n_context); /* a file may claim any context; room is what is asked for */
    if (pages->max_pages > pages->n_pages)
        pages->max_pages = pages->n_pages;
    pages->copy = copy;
    pages->copy_arg = copy_arg;
    pages->users = calloc(pages->n_pages, sizeof(*pages->users));
    pages->free_pages = calloc(pages->n_pages, sizeof(*pages->free_pages));
    pages->seqs = calloc(n_seq, sizeof(*pages->seqs));
    for (uint32_t i = 0; pages->seqs && i < n_seq; i++) {
        pages->seqs[i].pages = calloc(pages->max_pages, sizeof(uint32_t));
        if (!pages->seqs[i].pages) {
            pages_finish(pages);
            return -ENOMEM;
        }
    }
    if (!pages->users || !pages->free_pages || !pages->seqs) {
        pages_finish(pages);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < pages->n_pages; i++)
        pages->free_pages[pages->n_free++] = pages->n_pages - 1 - i;
    return 0;
}

void pages_finish(struct pages *pages) {
    for (uint32_t i = 0; pages->seqs && i < pages->n_seq; i++)
        free(pages->seqs[i].pages);
    free(pages->seqs);
    free(pages->users);
    free(pages->free_pages);
    memset(pages, 0, sizeof(*pages));
}

static void drop_page(struct pages *pages, uint32_t page) {
    if (--pages->users[page] == 0)
        pages->free_pages[pages->n_free++] = page;
}

/* There is a free page. */
static uint32_t take_page(struct pages *pages) {
    const uint32_t page = pages->free_pages[--pages->n_free];

    pages->users[page] = 1;
    return page;
}

static bool last_is_shared(const struct pages *pages, const struct page_seq *s) {
    return s->n % KV_PAGE != 0 && pages->users[s->pages[s->n / KV_PAGE]] > 1;
}

int pages_extend(struct pages *pages, uint32_t seq, uint32_t more) {
    struct page_seq *s = &pages->seqs[seq];
    const uint32_t have = pages_for(s->n), want = pages_for(s->n + more);

    if (want > pages->max_pages || want - have + last_is_shared(pages, s) > pages->n_free)
        return -ENOSPC;
    if (more > 0 && last_is_shared(pages, s)) {
        uint32_t *last = &s->pages[s->n / KV_PAGE];
        const uint32_t own = take_page(pages);

        pages->copy(pages->copy_arg, own, *last, 0, s->n % KV_PAGE);
        drop_page(pages, *last);
        *last = own;
    }
    for (uint32_t i = have; i < want; i++)
        s->pages[i] = take_page(pages);
    s->n += more;
    return 0;
}

void pages_trim(struct pages *pages, uint32_t seq, uint32_t from) {
    struct page_seq *s = &pages->seqs[seq];

    if (from >= s->n)
        return;
    for (uint32_t i = pages_for(from); i < pages_for(s->n); i++)
        drop_page(pages, s->pages[i]);
    s->n = from;
}

int pages_share(struct pages *pages, uint32_t dst, uint32_t src, uint32_t from, uint32_t to) {
    struct page_seq *d = &pages->seqs[dst];
    const struct page_seq *s = &pages->seqs[src];
    uint32_t head_end = from;
    int err;

    if (dst == src || from > d->n || to > s->n || from > to)
        return -EINVAL;
    pages_trim(pages, dst, from);
    if (from % KV_PAGE != 0 && from < to) { /* finish the page that dst has begun with positions of its own */
        head_end = from / KV_PAGE * KV_PAGE + KV_PAGE < to ? from / KV_PAGE * KV_PAGE + KV_PAGE : to;
        err = pages_extend(pages, dst, head_end - from);
        if (err)
            return err;
        pages->copy(pages->copy_arg, d->pages[from / KV_PAGE], s->pages[from / KV_PAGE], from % KV_PAGE,
                    (head_end - 1) % KV_PAGE + 1);
    }
    for (uint32_t i = head_end / KV_PAGE; head_end < to && i < pages_for(to); i++) {
        d->pages[i] = s->pages[i];
        pages->users[d->pages[i]]++;
    }
    d->n = to;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pages.h - which pages of the context idle sequences hold in common, as the driver counts them.
 *
 * A backend that shares pages between sequences holds a common prefix once. The driver counts what is only
 * kept in that way, so that many stories' prompts stay at hand. A backend that does not share answers AGAIN
 * sooner, and then kept sequences are given up; what running jobs have reserved is counted in full, so that
 * they always fit. */
#ifndef SDK_DRIVER_PAGES_H
#define SDK_DRIVER_PAGES_H

#include <stdbool.h>
#include <stdint.h>

enum { PAGES_TOKENS = 64 /* positions of a page */ };

/* The pages of one sequence, in order. Zeroed at first. */
struct page_list {
    uint32_t *ids; /* owned */
    uint32_t n;
};

struct page_table {
    uint32_t *users, *free_ids, n_ids, n_free; /* lists owned */
    uint32_t *counted, count;                  /* the count that met a page last; owned */
    uint32_t list_max;
};

/* For n_lists lists of at most list_max pages. 0 or -ENOMEM. */
int pages_init(struct page_table *table, uint32_t n_lists, uint32_t list_max);
void pages_finish(struct page_table *table);

int page_list_init(struct page_list *list, const struct page_table *table);
void page_list_finish(struct page_list *list);

static inline uint32_t pages_for(uint32_t tokens) {
    return (tokens + PAGES_TOKENS - 1) / PAGES_TOKENS;
}

/* The list holds so many tokens: it gets pages of its own, or gives its last ones up. */
void pages_resize(struct page_table *table, struct page_list *list, uint32_t tokens);

/* `to`, which is empty, begins with the whole pages among the first `tokens` of `from`. */
void pages_share(struct page_table *table, struct page_list *to, const struct page_list *from,
                 uint32_t tokens);

/* Count pages of several lists, common ones once: begin, then add each list's new ones. */
static inline void pages_count_begin(struct page_table *table) {
    table->count++;
}
uint32_t pages_count(struct page_table *table, const struct page_list *list);

#endif

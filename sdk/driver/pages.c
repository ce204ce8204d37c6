/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - pages by number, with the number of lists that hold each; those that none holds are on a stack.
 */
#include "pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pages_init(struct page_table *table, uint32_t n_lists, uint32_t list_max) {
    memset(table, 0, sizeof(*table));
    table->list_max = list_max;
    table->n_ids = table->n_free = n_lists * list_max;
    table->users = calloc(table->n_ids, sizeof(*table->users));
    table->free_ids = calloc(table->n_ids, sizeof(*table->free_ids));
    table->counted = calloc(table->n_ids, sizeof(*table->counted));
    if (!table->users || !table->free_ids || !table->counted)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->n_ids; i++)
        table->free_ids[i] = i;
    return 0;
}

void pages_finish(struct page_table *table) {
    free(table->users);
    free(table->free_ids);
    free(table->counted);
    memset(table, 0, sizeof(*table));
}

int page_list_init(struct page_list *list, const struct page_table *table) {
    list->n = 0;
    list->ids = calloc(table->list_max, sizeof(*list->ids));
    return list->ids ? 0 : -ENOMEM;
}

void page_list_finish(struct page_list *list) {
    free(list->ids);
    memset(list, 0, sizeof(*list));
}

void pages_resize(struct page_table *table, struct page_list *list, uint32_t tokens) {
    uint32_t want = pages_for(tokens);
    want = want < table->list_max ? want : table->list_max;
    while (list->n > want) {
        uint32_t id = list->ids[--list->n];
        if (--table->users[id] == 0)
            table->free_ids[table->n_free++] = id;
    }
    while (list->n < want) {
        uint32_t id = table->free_ids[--table->n_free]; /* there are as many as all lists can hold */
        table->users[id] = 1;
        list->ids[list->n++] = id;
    }
}

void pages_share(struct page_table *table, struct page_list *to, const struct page_list *from,
                 uint32_t tokens) {
    uint32_t whole = tokens / PAGES_TOKENS;
    for (uint32_t i = 0; i < whole && i < from->n; i++) {
        table->users[from->ids[i]]++;
        to->ids[to->n++] = from->ids[i];
    }
}

uint32_t pages_count(struct page_table *table, const struct page_list *list) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        uint32_t *counted = &table->counted[list->ids[i]];
        n += *counted != table->count;
        *counted = table->count;
    }
    return n;
}

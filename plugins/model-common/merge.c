/* SPDX-License-Identifier: Apache-2.0 */
/* merge.c - join the symbols of a word, the lowest rank first, the leftmost among equals.
 *
 * Symbols form a linked list in an array; a heap holds the pairs that could merge. A pair that went stale is
 * recognised when it is popped: one of the two symbols has grown, or is gone. So a word of n bytes takes
 * O(n log n), also when it is a megabyte of one letter. */
#include <errno.h>
#include <stdlib.h>

#include "tokenizer-impl.h"

int list_reserve(struct token_list *list, size_t more) {
    size_t want = list->n + more, capacity = list->capacity ? list->capacity : 64;
    int32_t *ids;

    if (want <= list->capacity)
        return 0;
    while (capacity < want)
        capacity *= 2;
    ids = realloc(list->ids, capacity * sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    list->ids = ids;
    list->capacity = capacity;
    return 0;
}

int scratch_reserve(struct scratch *s, size_t n) {
    if (n <= s->room)
        return 0;
    n = n < 256 ? 256 : n;
    free(s->symbols);
    free(s->heap);
    s->symbols = malloc(n * sizeof(*s->symbols));
    s->heap = malloc(3 * n * sizeof(*s->heap));
    s->room = s->symbols && s->heap ? n : 0;
    return s->room ? 0 : -ENOMEM;
}

static bool comes_first(const struct candidate *a, const struct candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct scratch *s, struct candidate new) {
    size_t i = s->n_heap++;

    for (; i > 0 && comes_first(&new, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = new;
}

static struct candidate heap_pop(struct scratch *s) {
    struct candidate top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= s->n_heap)
            break;
        if (child + 1 < s->n_heap && comes_first(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!comes_first(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

/* SPM merges whatever two symbols spell a token together. */
static bool spm_pair(const struct tokenizer *tok, const struct scratch *s, const struct symbol *left,
                     const struct symbol *right, struct candidate *to) {
    if ((size_t)left->n + right->n > tok->pieces.longest)
        return false;
    to->id = pieces_find(tok, s->word + left->at, (size_t)left->n + right->n);
    if (to->id < 0)
        return false;
    to->rank = tok->ranks[to->id];
    return true;
}

static void propose(const struct tokenizer *tok, struct scratch *s, int32_t at) {
    struct candidate c = {.at = at};
    const struct symbol *left, *right;

    if (at < 0 || s->symbols[at].next < 0)
        return;
    left = &s->symbols[at];
    right = &s->symbols[left->next];
    c.left_n = left->n;
    c.right_n = right->n;
    if (tok->is_spm ? spm_pair(tok, s, left, right, &c) : bpe_pair(tok, left->id, right->id, &c))
        heap_push(s, c);
}

/* Merge the pair if it still stands as it was proposed. */
static void apply(const struct tokenizer *tok, struct scratch *s, struct candidate c) {
    struct symbol *left = &s->symbols[c.at], *right;

    if (left->n != c.left_n || left->next < 0 || s->symbols[left->next].n != c.right_n)
        return;
    right = &s->symbols[left->next];
    left->id = c.id;
    left->n += right->n;
    right->n = 0;
    left->next = right->next;
    if (left->next >= 0)
        s->symbols[left->next].prev = c.at;
    propose(tok, s, left->prev);
    propose(tok, s, c.at);
}

void merge_symbols(const struct tokenizer *tok, struct scratch *s, int32_t n) {
    s->n_heap = 0;
    for (int32_t i = 0; i < n - 1; i++)
        propose(tok, s, i);
    while (s->n_heap > 0)
        apply(tok, s, heap_pop(s));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bpe.c - encode text with a tokenizer.
 *
 * Within a word, symbols form a linked list in an array; a heap holds the pairs that could merge. A pair that
 * went stale is recognised when it is popped: its merge no longer fits the two symbols at its place. So a
 * word of n bytes takes O(n log n), also when it is a megabyte of one letter. */
#include "tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer-impl.h"

#define EMPTY_PAIR UINT64_MAX

struct symbol {
    int32_t id;         /* -1 once merged into its left neighbour */
    int32_t prev, next; /* -1 at the ends */
};

struct candidate {
    uint32_t rank;
    int32_t at; /* the left symbol */
    int32_t left_id, right_id;
};

/* Working memory of one encode call. */
struct scratch {
    struct symbol *symbols;
    struct candidate *heap;
    size_t room; /* symbols; the heap has three times as much */
    size_t n_heap;
};

static uint64_t mix(uint64_t pair) {
    pair *= UINT64_C(0x9e3779b97f4a7c15);
    return pair ^ pair >> 32;
}

int merges_init(struct merges *merges, uint64_t n) {
    size_t places = 16;

    while (places < 2 * n)
        places *= 2;
    merges->places = malloc(places * sizeof(*merges->places));
    if (!merges->places)
        return -ENOMEM;
    for (size_t i = 0; i < places; i++)
        merges->places[i].pair = EMPTY_PAIR;
    merges->mask = places - 1;
    return 0;
}

void merges_finish(struct merges *merges) {
    free(merges->places);
    memset(merges, 0, sizeof(*merges));
}

static struct merge *merge_place(const struct merges *merges, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = mix(pair) & merges->mask;

    while (merges->places[i].pair != pair && merges->places[i].pair != EMPTY_PAIR)
        i = (i + 1) & merges->mask;
    return &merges->places[i];
}

void merges_put(struct merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t id) {
    struct merge *place = merge_place(merges, left, right);

    if (place->pair == EMPTY_PAIR)
        *place = (struct merge){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank, id};
}

const struct merge *merges_get(const struct merges *merges, int32_t left, int32_t right) {
    const struct merge *place = merge_place(merges, left, right);

    return place->pair == EMPTY_PAIR ? NULL : place;
}

static int list_reserve(struct token_list *list, size_t more) {
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

static int scratch_reserve(struct scratch *scratch, size_t n) {
    if (n <= scratch->room)
        return 0;
    n = n < 256 ? 256 : n;
    free(scratch->symbols);
    free(scratch->heap);
    scratch->symbols = malloc(n * sizeof(*scratch->symbols));
    scratch->heap = malloc(3 * n * sizeof(*scratch->heap));
    scratch->room = scratch->symbols && scratch->heap ? n : 0;
    return scratch->room ? 0 : -ENOMEM;
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

static void propose(const struct tokenizer *tok, struct scratch *s, int32_t at) {
    const struct merge *merge;
    int32_t next;

    if (at < 0 || s->symbols[at].next < 0)
        return;
    next = s->symbols[at].next;
    merge = merges_get(&tok->merges, s->symbols[at].id, s->symbols[next].id);
    if (merge)
        heap_push(s, (struct candidate){merge->rank, at, s->symbols[at].id, s->symbols[next].id});
}

/* Merge the pair if it still stands as it was proposed. */
static void apply(const struct tokenizer *tok, struct scratch *s, struct candidate c) {
    struct symbol *left = &s->symbols[c.at], *right;

    if (left->id != c.left_id || left->next < 0 || s->symbols[left->next].id != c.right_id)
        return;
    right = &s->symbols[left->next];
    left->id = merges_get(&tok->merges, c.left_id, c.right_id)->id;
    right->id = -1;
    left->next = right->next;
    if (left->next >= 0)
        s->symbols[left->next].prev = c.at;
    propose(tok, s, left->prev);
    propose(tok, s, c.at);
}

static int encode_word(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, struct scratch *s,
                       struct token_list *out) {
    int32_t n = 0;

    if (scratch_reserve(s, (size_t)(end - p)) != 0 || list_reserve(out, (size_t)(end - p)) != 0)
        return -ENOMEM;
    for (; p < end; p++) {
        if (tok->byte_ids[*p] < 0)
            continue;
        s->symbols[n] = (struct symbol){tok->byte_ids[*p], n - 1, n + 1};
        n++;
    }
    if (n == 0)
        return 0;
    s->symbols[n - 1].next = -1;
    s->n_heap = 0;
    for (int32_t i = 0; i < n - 1; i++)
        propose(tok, s, i);
    while (s->n_heap > 0)
        apply(tok, s, heap_pop(s));
    for (int32_t i = 0; i >= 0; i = s->symbols[i].next)
        out->ids[out->n++] = s->symbols[i].id;
    return 0;
}

static int encode_plain(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, struct scratch *s,
                        struct token_list *out) {
    int err = 0;

    while (p < end && !err) {
        const uint8_t *word = p;

        p = pretoken_next(tok->pre, p, end);
        err = encode_word(tok, word, p, s, out);
    }
    return err;
}

/* The longest special token at p, or NULL. */
static const struct tokenizer_special *special_at(const struct tokenizer *tok, const uint8_t *p,
                                                  const uint8_t *end) {
    if (!tok->begins_special[*p])
        return NULL;
    for (size_t i = 0; i < tok->n_specials; i++) {
        const struct tokenizer_special *special = &tok->specials[i];

        if (special->n <= (size_t)(end - p) && memcmp(special->bytes, p, special->n) == 0)
            return special;
    }
    return NULL;
}

static int encode_text(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, unsigned flags,
                       struct scratch *s, struct token_list *out) {
    const uint8_t *plain = p;
    int err = 0;

    while (p < end && (flags & TOKENIZER_CONTROL) && !err) {
        const struct tokenizer_special *special = special_at(tok, p, end);

        if (!special) {
            p++;
            continue;
        }
        err = encode_plain(tok, plain, p, s, out);
        if (!err)
            err = list_reserve(out, 1);
        if (!err)
            out->ids[out->n++] = special->id;
        p += special->n;
        plain = p;
    }
    return err ? err : encode_plain(tok, plain, end, s, out);
}

int tokenizer_encode(const struct tokenizer *tok, const char *text, size_t n, unsigned flags,
                     struct token_list *out) {
    const uint8_t *p = (const uint8_t *)text;
    struct scratch scratch = {0};
    size_t before = out->n;
    int err;

    if (n > INT32_MAX / 4)
        return -ENOMEM;
    err = encode_text(tok, p, p + n, flags, &scratch, out);
    if (err)
        out->n = before;
    free(scratch.symbols);
    free(scratch.heap);
    return err;
}

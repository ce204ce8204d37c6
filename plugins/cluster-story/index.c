/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - a hash table of terms with their postings.
 *
 * Nothing iterates over the table, so its order never shows. */
#include "index.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_TABLE = 8192, TABLE_START = 1024, TERMS_START = 512 };

/* log2 by repeated squaring: exact operations only, so that no libm decides about a story. */
static double log2_slow(double x) {
    double result = 0, bit = 1;
    for (; x >= 2; x /= 2)
        result += 1;
    for (int i = 0; i < 30; i++) {
        x *= x;
        bit /= 2;
        if (x >= 2) {
            x /= 2;
            result += bit;
        }
    }
    return result;
}

double index_log2(uint32_t n) {
    static double table[LOG_TABLE]; /* written with the same values by whoever comes first */
    static bool ready;
    if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
        for (uint32_t i = 1; i < LOG_TABLE; i++) {
            double value = log2_slow(i);
            __atomic_store(&table[i], &value, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&ready, true, __ATOMIC_RELEASE);
    }
    double shift = 0;
    for (; n >= LOG_TABLE; n /= 2)
        shift += 1;
    return shift + table[n ? n : 1];
}

int index_init(struct index *index, uint32_t prior) {
    memset(index, 0, sizeof(*index));
    index->free_list = UINT32_MAX;
    index->prior = prior;
    index->table = calloc(TABLE_START, sizeof(*index->table));
    if (!index->table)
        return -ENOMEM;
    index->table_size = TABLE_START;
    return 0;
}

void index_finish(struct index *index) {
    for (uint32_t i = 0; i < index->n_terms; i++)
        free(index->terms[i].room ? index->terms[i].many : NULL);
    free(index->terms);
    free(index->table);
    memset(index, 0, sizeof(*index));
}

static uint32_t home(const struct index *index, uint64_t hash) {
    return (uint32_t)(hash >> 20) & (index->table_size - 1);
}

static uint32_t probe(const struct index *index, uint64_t hash) {
    uint32_t slot = home(index, hash);
    while (index->table[slot] && index->terms[index->table[slot] - 1].hash != hash)
        slot = (slot + 1) & (index->table_size - 1);
    return slot;
}

static int grow_table(struct index *index) {
    uint32_t size = index->table_size;
    uint32_t *old = index->table;
    uint32_t *table = calloc(size * 2u, sizeof(*table));
    if (!table)
        return -ENOMEM;
    index->table = table;
    index->table_size = size * 2u;
    for (uint32_t i = 0; i < size; i++) {
        if (old[i])
            table[probe(index, index->terms[old[i] - 1].hash)] = old[i];
    }
    free(old);
    return 0;
}

/* A free number for a new term; UINT32_MAX when out of memory. */
static uint32_t new_number(struct index *index) {
    if (index->free_list != UINT32_MAX) {
        uint32_t number = index->free_list;
        index->free_list = index->terms[number].n_stories;
        return number;
    }
    if (index->n_terms == index->capacity) {
        uint32_t capacity = index->capacity ? index->capacity + index->capacity / 4 : TERMS_START;
        struct term *terms = realloc(index->terms, capacity * sizeof(*terms));
        if (!terms)
            return UINT32_MAX;
        index->terms = terms;
        index->capacity = capacity;
    }
    return index->n_terms++;
}

static void weigh(struct term *term) {
    uint32_t n = term->before + term->n_stories;
    term->spread = (float)index_log2(n ? n : 1);
}

uint32_t index_take(struct index *index, uint64_t hash, uint32_t kind, uint32_t per_mille) {
    uint32_t slot = probe(index, hash);
    if (index->table[slot]) {
        index->terms[index->table[slot] - 1].users++;
        return index->table[slot] - 1;
    }
    if (index->table_used * 4ull >= index->table_size * 3ull) {
        if (grow_table(index) != 0)
            return UINT32_MAX;
        slot = probe(index, hash);
    }
    uint32_t number = new_number(index);
    if (number == UINT32_MAX)
        return number;
    index->terms[number] = (struct term){
        .hash = hash, .users = 1, .kind = kind & 0x7f, .before = per_mille * index->prior / 1000 & 0xffff};
    weigh(&index->terms[number]);
    index->table[slot] = number + 1;
    index->table_used++;
    return number;
}

uint32_t index_find(const struct index *index, uint64_t hash) {
    uint32_t slot = probe(index, hash);
    return index->table[slot] ? index->table[slot] - 1 : UINT32_MAX;
}

/* Close the hole at `slot` so that every entry stays reachable from its home. */
static void close_hole(struct index *index, uint32_t slot) {
    uint32_t mask = index->table_size - 1;
    uint32_t next = (slot + 1) & mask;
    while (index->table[next]) {
        uint32_t wanted = home(index, index->terms[index->table[next] - 1].hash);
        if (((next - wanted) & mask) >= ((next - slot) & mask)) {
            index->table[slot] = index->table[next];
            slot = next;
        }
        next = (next + 1) & mask;
    }
    index->table[slot] = 0;
    index->table_used--;
}

void index_drop(struct index *index, uint32_t number) {
    struct term *term = &index->terms[number];
    if (--term->users)
        return;
    close_hole(index, probe(index, term->hash));
    free(term->room ? term->many : NULL);
    *term = (struct term){.n_stories = index->free_list};
    index->free_list = number;
}

int index_reserve(struct index *index, uint32_t number) {
    struct term *term = &index->terms[number];
    if (term->n_stories < 1u << term->room)
        return 0;
    uint32_t room = term->room + 1;
    struct posting *many = realloc(term->room ? term->many : NULL, sizeof(*many) << room);
    if (!many)
        return -ENOMEM;
    if (!term->room)
        many[0] = term->one;
    term->many = many;
    term->room = room & 0xff;
    return 0;
}

uint32_t index_post(struct index *index, uint32_t number, struct posting posting) {
    struct term *term = &index->terms[number];
    index_postings(term)[term->n_stories++] = posting;
    weigh(term);
    return term->n_stories - 1;
}

int index_unpost(struct index *index, uint32_t number, uint32_t place, struct posting *moved) {
    struct term *term = &index->terms[number];
    struct posting *postings = index_postings(term);
    uint32_t last = --term->n_stories;
    weigh(term);
    if (place == last)
        return false;
    postings[place] = postings[last];
    *moved = postings[place];
    return true;
}

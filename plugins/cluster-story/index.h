/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - the terms of all live stories, each with the stories that hold it.
 *
 * Everything here is a function of the live stories alone: a term that no story uses any more is forgotten,
 * so memory is bounded by what is live, and an index rebuilt from the log equals the one that was lost. */
#ifndef CLUSTER_INDEX_H
#define CLUSTER_INDEX_H

#include <stdint.h>

/* Where a story holds a term. */
struct posting {
    uint32_t story; /* slot */
    uint32_t at;    /* position in that story's terms */
    uint32_t sum;   /* of the story's weights for it */
};

struct term {
    uint64_t hash;
    uint32_t users; /* references: records and stories */
    uint32_t n_stories;
    uint32_t epoch;       /* marks the terms of the record that is being scored */
    float weight;         /* that record's weight for the term, valid for its epoch */
    float spread;         /* log2 of `before` and n_stories together, at least of 1 */
    unsigned before : 16; /* stories taken to hold it before any was seen */
    unsigned kind : 7;    /* the caller's: what sort of term it is */
    unsigned telling : 1; /* whether it tells what the marked record is about */
    unsigned room : 8;    /* log2 of how many postings fit; 0: one, kept here */
    union {
        struct posting one;
        struct posting *many; /* owned */
    };
};

struct index {
    struct term *terms; /* owned; a term's number is its place and is reused once it is forgotten */
    uint32_t n_terms, capacity;
    uint32_t free_list; /* chained through n_stories; UINT32_MAX: empty */
    uint32_t *table;    /* owned; open addressing, number + 1 */
    uint32_t table_size, table_used;
    uint32_t epoch;
    uint32_t prior; /* stories taken as seen before the first */
};

int index_init(struct index *index, uint32_t prior);
void index_finish(struct index *index); /* accepts zeroed memory */

/* log2 of a count, the same bits on every machine. [any] */
double index_log2(uint32_t n);

/* The term's number, made if new, with one reference more. `per_mille`: stories of a thousand taken to hold
 * it before any was seen. UINT32_MAX when out of memory. */
uint32_t index_take(struct index *index, uint64_t hash, uint32_t kind, uint32_t per_mille);

/* Give one reference back; the last one forgets the term. */
void index_drop(struct index *index, uint32_t number);

/* The term's number, or UINT32_MAX. */
uint32_t index_find(const struct index *index, uint64_t hash);

/* Its n_stories postings, in no order that may matter. Valid until the index changes. */
static inline struct posting *index_postings(struct term *term) {
    return term->room ? term->many : &term->one;
}

/* Room for one more posting of this term: 0 or -ENOMEM. Posting after it cannot fail. */
int index_reserve(struct index *index, uint32_t number);
/* Gives the posting's place, which the caller keeps for index_unpost. */
uint32_t index_post(struct index *index, uint32_t number, struct posting posting);
/* Remove a posting. When another had to move to its place, gives true and that one in *moved. */
int index_unpost(struct index *index, uint32_t number, uint32_t place, struct posting *moved);

#endif

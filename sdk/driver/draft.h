/* SPDX-License-Identifier: Apache-2.0 */
/* draft.h - what a job may repeat: an index over the texts that it was given and over what it has put out.
 *
 * The index works on bytes, since the same word is other tokens behind a quote mark than behind a space;
 * whoever uses a match cuts it into tokens afresh. A draft is a guess: whatever stands in it never changes a
 * result. */
#ifndef SDK_DRIVER_DRAFT_H
#define SDK_DRIVER_DRAFT_H

#include <stdbool.h>

#include <telex/model.h>

enum {
    DRAFT_KEY_BYTES = 4,            /* the shortest match */
    DRAFT_MATCH_MAX = 64,           /* a longer one counts as this */
    DRAFT_SOURCES_MAX = 128 << 10,  /* bytes of drafts that are kept */
    DRAFT_MESSAGES_MAX = 128 << 10, /* and of messages, the last ones first */
    DRAFT_STARTS_MAX = 64           /* drafts whose beginning is remembered */
};

struct draft_index {
    uint8_t *bytes;  /* messages, drafts, then what was put out. owned, as all lists here */
    uint32_t *older; /* for each place: the one before it with the same key, + 1; 0: none */
    uint32_t n, capacity;
    uint32_t *newest; /* n_buckets: the last place with such a key, + 1 */
    uint32_t n_buckets;
    uint32_t *ends; /* where each source ends, ascending */
    uint32_t n_ends, text_at;
    uint32_t starts[DRAFT_STARTS_MAX], n_starts; /* where each draft begins */
};

/* What follows a place that agrees with the end of the text. */
struct draft_match {
    const uint8_t *bytes; /* borrowed until the index changes */
    uint32_t n, matched;  /* bytes that agree before it; 0: the beginning of a draft */
    uint32_t rival;       /* bytes that agree before the best place with another byte behind it; 0: none */
    bool whole;           /* the source ends behind these bytes */
};

/* Index a job's drafts and messages. With `json` they are indexed as they would stand in a JSON string, each
 * draft with its quotes. 0 or -ENOMEM, *index is then as draft_finish leaves it. [any] */
int draft_init(struct draft_index *index, const struct telex_job *job, bool json);
void draft_finish(struct draft_index *index);

/* More of the text was put out. 0 or -ENOMEM (nothing changed). */
int draft_extend(struct draft_index *index, const uint8_t *bytes, uint32_t n);

/* The longest match, of equal ones the latest source. False: none of at least DRAFT_KEY_BYTES. */
bool draft_find(const struct draft_index *index, struct draft_match *out);

/* The beginning of draft i. False: there are not so many. */
bool draft_start(const struct draft_index *index, uint32_t i, struct draft_match *out);

#endif

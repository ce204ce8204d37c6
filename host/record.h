/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - the host's side of struct telex_rec: one immutable message, counted. */
#ifndef HOST_RECORD_H
#define HOST_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <telex/record.h>

/* Header and body are one block. */
struct telex_rec {
    atomic_uint refs;
    int64_t seq; /* its place in the journal; 0 until its step commits */
    uint64_t version;
    struct telex_bytes schema, id, body; /* all in data */
    struct telex_rec *same_bucket;       /* this and the next are journal_memory.c's */
    uint64_t hash;
    uint8_t data[];
};

/* Room for a body of at most so many bytes, at data. NULL: out of memory. */
struct telex_rec *record_alloc(uint64_t capacity);

/* Make a record with one reference of the first `length` bytes that were written into its room, which was for
 * `capacity`. Takes it; NULL with why when they are not one msgpack map with a schema and an id of 1 to 64
 * bytes. */
struct telex_rec *record_seal(struct telex_rec *rec, uint64_t capacity, uint64_t length, const char **why);

/* The same from borrowed bytes. */
struct telex_rec *record_copy(struct telex_bytes body, const char **why);

struct telex_rec *record_retain(struct telex_rec *rec);
void record_release(struct telex_rec *rec); /* accepts NULL */

bool record_same_id(const struct telex_rec *a, const struct telex_rec *b);

static inline bool record_is(const struct telex_rec *rec, const char *schema) {
    size_t n = strlen(schema);
    return rec->schema.size == n && memcmp(rec->schema.data, schema, n) == 0;
}

#endif

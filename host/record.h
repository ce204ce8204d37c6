/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - the host's side of struct telex_rec: one immutable message, counted. */
#ifndef HOST_RECORD_H
#define HOST_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <telex/record.h>

struct telex_rec {
    atomic_uint refs;
    int64_t seq; /* its place in the journal; 0 until its step commits */
    uint64_t version;
    struct telex_bytes schema, id, body; /* schema and id lie in body */
    uint8_t *data;                       /* owned */
};

/* Take a malloc'd body (also on failure) and make a record of it. NULL with why when it is not one msgpack
 * map with a schema and an id of 1 to 64 bytes. */
struct telex_rec *record_create(uint8_t *data, uint64_t size, const char **why);

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

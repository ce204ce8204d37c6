/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - messages in memory. A body is scanned once, when it becomes a record, and trusted from then on.
 */
#include "record.h"

#include <stdlib.h>

#include <telex-sdk/message.h>

enum { WASTE_MAX_BYTES = 1024 };

struct telex_rec *record_alloc(uint64_t capacity) {
    return malloc(sizeof(struct telex_rec) + capacity);
}

static bool read_head(struct telex_rec *rec, const char **why) {
    struct telex_head head;
    if (telex_scan_head(rec->body, &head) < 0)
        *why = "body is not one well-formed msgpack map";
    else if (head.schema.size == 0 || head.schema.size > TELEX_ID_MAX_BYTES)
        *why = "body has no schema";
    else if (head.id.size == 0 || head.id.size > TELEX_ID_MAX_BYTES)
        *why = "body has no id of 1 to 64 bytes";
    else {
        rec->version = head.version;
        rec->schema = head.schema;
        rec->id = head.id;
        return true;
    }
    return false;
}

struct telex_rec *record_seal(struct telex_rec *rec, uint64_t capacity, uint64_t length, const char **why) {
    if (length > capacity) {
        *why = "longer than the loan";
        free(rec);
        return NULL;
    }
    if (capacity - length > WASTE_MAX_BYTES) {
        struct telex_rec *smaller = realloc(rec, sizeof(*rec) + length);
        rec = smaller ? smaller : rec;
    }
    atomic_init(&rec->refs, 1);
    rec->seq = 0;
    rec->body = (struct telex_bytes){rec->data, length};
    if (read_head(rec, why))
        return rec;
    free(rec);
    return NULL;
}

struct telex_rec *record_copy(struct telex_bytes body, const char **why) {
    struct telex_rec *rec = record_alloc(body.size);
    if (!rec) {
        *why = "out of memory";
        return NULL;
    }
    if (body.size)
        memcpy(rec->data, body.data, body.size);
    return record_seal(rec, body.size, body.size, why);
}

struct telex_rec *record_retain(struct telex_rec *rec) {
    atomic_fetch_add_explicit(&rec->refs, 1, memory_order_relaxed);
    return rec;
}

void record_release(struct telex_rec *rec) {
    if (!rec || atomic_fetch_sub_explicit(&rec->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(rec);
}

bool record_same_id(const struct telex_rec *a, const struct telex_rec *b) {
    return a->id.size == b->id.size && memcmp(a->id.data, b->id.data, a->id.size) == 0 &&
           a->schema.size == b->schema.size && memcmp(a->schema.data, b->schema.data, a->schema.size) == 0;
}

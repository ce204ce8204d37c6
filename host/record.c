/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - messages in memory. A body is scanned once, when it becomes a record, and trusted from then on.
 */
#include "record.h"

#include <stdlib.h>

#include <telex-sdk/message.h>

struct telex_rec *record_create(uint8_t *data, uint64_t size, const char **why) {
    struct telex_bytes body = {data, size};
    struct telex_head head;
    struct telex_rec *rec = NULL;
    if (telex_scan_head(body, &head) < 0)
        *why = "body is not one well-formed msgpack map";
    else if (head.schema.size == 0 || head.schema.size > TELEX_ID_MAX_BYTES)
        *why = "body has no schema";
    else if (head.id.size == 0 || head.id.size > TELEX_ID_MAX_BYTES)
        *why = "body has no id of 1 to 64 bytes";
    else if (!(rec = malloc(sizeof(*rec))))
        *why = "out of memory";
    if (!rec) {
        free(data);
        return NULL;
    }
    atomic_init(&rec->refs, 1);
    rec->seq = 0;
    rec->version = head.version;
    rec->schema = head.schema;
    rec->id = head.id;
    rec->body = body;
    rec->data = data;
    return rec;
}

struct telex_rec *record_copy(struct telex_bytes body, const char **why) {
    uint8_t *data = malloc(body.size ? body.size : 1);
    if (!data) {
        *why = "out of memory";
        return NULL;
    }
    if (body.size)
        memcpy(data, body.data, body.size);
    return record_create(data, body.size, why);
}

struct telex_rec *record_retain(struct telex_rec *rec) {
    atomic_fetch_add_explicit(&rec->refs, 1, memory_order_relaxed);
    return rec;
}

void record_release(struct telex_rec *rec) {
    if (!rec || atomic_fetch_sub_explicit(&rec->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(rec->data);
    free(rec);
}

bool record_same_id(const struct telex_rec *a, const struct telex_rec *b) {
    return a->id.size == b->id.size && memcmp(a->id.data, b->id.data, a->id.size) == 0 &&
           a->schema.size == b->schema.size && memcmp(a->schema.data, b->schema.data, a->schema.size) == 0;
}

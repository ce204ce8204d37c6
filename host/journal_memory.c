/* SPDX-License-Identifier: Apache-2.0 */
/* journal_memory.c - a chained hash of messages by id, in order of arrival for forgetting. */
#include "journal_memory.h"

#include <stdlib.h>

enum { FIRST_SIZE = 1024 };

struct memory_store {
    struct telex_rec **buckets;    /* each newest first */
    struct telex_rec **ring;       /* in order of arrival */
    size_t size, first, n_records; /* size of both, a power of two */
    uint64_t bytes;
};

/* The oldest lie cold in memory: they are fetched a few puts before they are forgotten. */
enum { AHEAD_BUCKET = 4, AHEAD_RECORD = 8 };

/* FNV-1a over words of eight bytes. */
static uint64_t hash_id(struct telex_bytes id) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < id.size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, id.data + i, id.size - i < 8 ? id.size - i : 8);
        hash = (hash ^ word) * 0x100000001b3u;
    }
    return hash ^ hash >> 32;
}

static struct telex_rec **bucket_of(struct memory_store *store, uint64_t hash) {
    return &store->buckets[hash & (store->size - 1)];
}

static struct telex_rec **in_ring(struct memory_store *store, size_t n) {
    return &store->ring[(store->first + n) & (store->size - 1)];
}

struct memory_store *memory_create(void) {
    struct memory_store *store = calloc(1, sizeof(*store));
    if (!store)
        return NULL;
    store->size = FIRST_SIZE;
    store->buckets = calloc(store->size, sizeof(struct telex_rec *));
    store->ring = calloc(store->size, sizeof(struct telex_rec *));
    if (store->buckets && store->ring)
        return store;
    memory_destroy(store);
    return NULL;
}

void memory_destroy(struct memory_store *store) {
    if (!store)
        return;
    for (size_t i = 0; i < store->n_records; i++)
        record_release(*in_ring(store, i));
    free(store->buckets);
    free(store->ring);
    free(store);
}

static void forget_oldest(struct memory_store *store) {
    struct telex_rec *rec = *in_ring(store, 0);
    struct telex_rec **at = bucket_of(store, rec->hash);
    while (*at != rec)
        at = &(*at)->same_bucket;
    *at = rec->same_bucket;
    store->first++;
    store->n_records--;
    store->bytes -= rec->body.size + sizeof(*rec);
    record_release(rec);
}

static void chain(struct memory_store *store, struct telex_rec *rec) {
    struct telex_rec **bucket = bucket_of(store, rec->hash);
    rec->same_bucket = *bucket;
    *bucket = rec;
}

/* Double both; in order of arrival, so that chains stay newest first. False: out of memory. */
static bool grow(struct memory_store *store) {
    size_t size = store->size * 2;
    struct telex_rec **buckets = calloc(size, sizeof(struct telex_rec *));
    struct telex_rec **ring = calloc(size, sizeof(struct telex_rec *));
    if (!buckets || !ring) {
        free(buckets);
        free(ring);
        return false;
    }
    for (size_t i = 0; i < store->n_records; i++)
        ring[i] = *in_ring(store, i);
    free(store->buckets);
    free(store->ring);
    store->buckets = buckets;
    store->ring = ring;
    store->size = size;
    store->first = 0;
    for (size_t i = 0; i < store->n_records; i++)
        chain(store, ring[i]);
    return true;
}

void memory_expect(struct memory_store *store, struct telex_rec *rec) {
    rec->hash = hash_id(rec->id);
    __builtin_prefetch(bucket_of(store, rec->hash), 1);
}

void memory_put(struct memory_store *store, struct telex_rec *rec) {
    if (store->n_records == store->size && !grow(store))
        forget_oldest(store);
    *in_ring(store, store->n_records++) = record_retain(rec);
    chain(store, rec);
    store->bytes += rec->body.size + sizeof(*rec);
    if (store->n_records > AHEAD_RECORD) {
        __builtin_prefetch(*in_ring(store, AHEAD_RECORD), 1);
        __builtin_prefetch(bucket_of(store, (*in_ring(store, AHEAD_BUCKET))->hash), 1);
    }
    while (store->bytes > MEMORY_MAX_BYTES && store->n_records > 1)
        forget_oldest(store);
}

struct telex_rec *memory_get(struct memory_store *store, const char *schema, struct telex_bytes id,
                             uint64_t version) {
    struct telex_rec *best = NULL;
    uint64_t hash = hash_id(id);
    for (struct telex_rec *rec = *bucket_of(store, hash); rec; rec = rec->same_bucket) {
        if (rec->hash != hash || !record_is(rec, schema) || rec->id.size != id.size ||
            memcmp(rec->id.data, id.data, id.size) != 0)
            continue;
        if (version == UINT64_MAX ? !best || rec->version > best->version : rec->version == version)
            best = rec;
    }
    return best ? record_retain(best) : NULL;
}

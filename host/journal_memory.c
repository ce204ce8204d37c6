/* SPDX-License-Identifier: Apache-2.0 */
/* journal_memory.c - a chained hash of messages by id, in order of arrival for forgetting. */
#include "journal_memory.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 1024 };

struct item {
    struct item *chain; /* same bucket, newest first */
    struct item *next;  /* arrived next */
    uint64_t hash;
    struct telex_rec *rec;
};

struct memory_store {
    struct item **buckets;
    size_t n_buckets, n_items;
    struct item *oldest, *newest;
    uint64_t bytes;
};

/* FNV-1a, 64 bits. */
static uint64_t hash_id(struct telex_bytes id) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < id.size; i++)
        hash = (hash ^ id.data[i]) * 0x100000001b3u;
    return hash;
}

struct memory_store *memory_create(void) {
    struct memory_store *store = calloc(1, sizeof(*store));
    if (!store)
        return NULL;
    store->n_buckets = FIRST_BUCKETS;
    store->buckets = calloc(store->n_buckets, sizeof(*store->buckets));
    if (store->buckets)
        return store;
    free(store);
    return NULL;
}

static void forget_oldest(struct memory_store *store) {
    struct item *item = store->oldest;
    struct item **at = &store->buckets[item->hash % store->n_buckets];
    while (*at != item)
        at = &(*at)->chain;
    *at = item->chain;
    store->oldest = item->next;
    if (!store->oldest)
        store->newest = NULL;
    store->bytes -= item->rec->body.size + sizeof(*item);
    store->n_items--;
    record_release(item->rec);
    free(item);
}

void memory_destroy(struct memory_store *store) {
    if (!store)
        return;
    while (store->oldest)
        forget_oldest(store);
    free(store->buckets);
    free(store);
}

/* Double the buckets; in order of arrival, so that chains stay newest first. */
static void grow(struct memory_store *store) {
    size_t n = store->n_buckets * 2;
    struct item **buckets = calloc(n, sizeof(*buckets));
    if (!buckets)
        return;
    for (struct item *item = store->oldest; item; item = item->next) {
        item->chain = buckets[item->hash % n];
        buckets[item->hash % n] = item;
    }
    free(store->buckets);
    store->buckets = buckets;
    store->n_buckets = n;
}

int memory_put(struct memory_store *store, struct telex_rec *rec) {
    struct item *item = malloc(sizeof(*item));
    if (!item)
        return -ENOMEM;
    if (store->n_items >= store->n_buckets)
        grow(store);
    item->hash = hash_id(rec->id);
    item->rec = record_retain(rec);
    item->next = NULL;
    struct item **bucket = &store->buckets[item->hash % store->n_buckets];
    item->chain = *bucket;
    *bucket = item;
    if (store->newest)
        store->newest->next = item;
    else
        store->oldest = item;
    store->newest = item;
    store->n_items++;
    store->bytes += rec->body.size + sizeof(*item);
    while (store->bytes > MEMORY_MAX_BYTES && store->oldest != item)
        forget_oldest(store);
    return 0;
}

struct telex_rec *memory_get(struct memory_store *store, const char *schema, struct telex_bytes id,
                             uint64_t version) {
    struct telex_rec *best = NULL;
    uint64_t hash = hash_id(id);
    for (struct item *item = store->buckets[hash % store->n_buckets]; item; item = item->chain) {
        struct telex_rec *rec = item->rec;
        if (item->hash != hash || !record_is(rec, schema) || rec->id.size != id.size ||
            memcmp(rec->id.data, id.data, id.size) != 0)
            continue;
        if (version == UINT64_MAX ? !best || rec->version > best->version : rec->version == version)
            best = rec;
    }
    return best ? record_retain(best) : NULL;
}

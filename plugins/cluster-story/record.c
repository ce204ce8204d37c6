/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - live records, by id and by what makes two of them one text.
 *
 * A record has up to eight keys: its address, its words, its title at its outlet, and the four quarters of
 * its similarity hash. Records under one key form a chain, newest first, that no look-up follows further than
 * CHAIN_MAX, so a flood of equal records costs a bounded time each. */
#include "story.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { TITLE_BYTES_KEPT = 240, OUTLET_BYTES_KEPT = 120 };
_Static_assert(CLUSTER_ID_BYTES <= UINT8_MAX && TITLE_BYTES_KEPT <= UINT8_MAX,
               "a record keeps lengths in a byte");
_Static_assert((RECORD_KEYS & (RECORD_KEYS - 1)) == 0 && RECORD_KEYS <= _Alignof(max_align_t),
               "a chain's head has a key's number in its lowest bits");
enum { TABLE_START = 1024, CHAIN_MAX = 32, NEAR_BITS = 3, TITLE_WORDS_MIN = 4, KEYS_OF_SIMHASH = 4 };
static const int64_t SAME_TITLE_MS = 24 * 3600 * 1000;

int records_init(struct cluster *cluster) {
    cluster->ids = calloc(TABLE_START, sizeof(struct record *));
    cluster->keys = calloc(TABLE_START, sizeof(key_head));
    cluster->key_marks = calloc(TABLE_START, 1);
    cluster->ids_size = cluster->keys_size = TABLE_START;
    return cluster->ids && cluster->keys && cluster->key_marks ? 0 : -ENOMEM;
}

void records_finish(struct cluster *cluster) {
    free(cluster->ids);
    free(cluster->keys);
    free(cluster->key_marks);
}

/* The length of a text cut to at most `most` bytes, not inside a character. */
static size_t cut_text(struct text_slice text, size_t most) {
    if (text.len <= most)
        return text.len;
    while (most > 0 && ((unsigned char)text.data[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static uint64_t tagged(uint64_t tag, uint64_t a, uint64_t b) {
    uint64_t parts[3] = {tag, a, b};
    return text_hash(parts, sizeof(parts));
}

/* Work out a record's keys, the one of its page first; gives how many. */
static uint32_t name_keys(const struct text_doc *doc, uint64_t page, uint64_t outlet_key,
                          uint64_t keys[RECORD_KEYS]) {
    uint32_t n = 0;
    if (page)
        keys[n++] = tagged('u', page, 0);
    if (doc->n_words >= TITLE_WORDS_MIN)
        keys[n++] = tagged('w', doc->whole_hash, 0);
    if (doc->title_hash && doc->n_title_terms >= TITLE_WORDS_MIN)
        keys[n++] = tagged('t', doc->title_hash, outlet_key);
    if (doc->n_words >= TEXT_SIMHASH_WORDS) {
        for (uint64_t i = 0; i < KEYS_OF_SIMHASH; i++)
            keys[n++] = tagged('s', i, doc->simhash >> (16 * i) & 0xffff);
    }
    return n;
}

/* Memory for a record of so many terms, keys and anchors and these texts, the texts in place. */
static struct record *make_record(const struct text_doc *doc, uint32_t n_keys, struct text_slice id,
                                  struct text_slice title, struct text_slice outlet) {
    struct record *record = calloc(
        1, sizeof(*record) + doc->n_terms * sizeof(struct record_term) + n_keys * sizeof(struct key_link) +
               doc->n_anchors * sizeof(struct text_anchor) + id.len + title.len + outlet.len + 1);
    if (!record)
        return NULL;
    record->n_terms = (uint8_t)doc->n_terms;
    record->n_keys = (uint8_t)n_keys;
    record->n_anchors = (uint8_t)doc->n_anchors;
    record->id_len = (uint8_t)id.len;
    record->title_len = (uint8_t)title.len;
    record->outlet_len = (uint8_t)outlet.len;
    memcpy(record_anchors(record), doc->anchors, doc->n_anchors * sizeof(struct text_anchor));
    char *text = (char *)(record_anchors(record) + record->n_anchors);
    struct text_slice parts[] = {id, title, outlet};
    for (int i = 0; i < 3; i++) {
        if (parts[i].len)
            memcpy(text, parts[i].data, parts[i].len);
        text += parts[i].len;
    }
    return record;
}

struct record *record_new(struct cluster *cluster, const struct cluster_record *from, int64_t event_ms) {
    const struct text_doc *doc = &cluster->doc;
    struct text_slice title = from->title, outlet = from->outlet;
    title.len = cut_text(title, TITLE_BYTES_KEPT);
    outlet.len = cut_text(outlet, OUTLET_BYTES_KEPT);
    uint64_t keys[RECORD_KEYS];
    struct text_slice owner = from->owner.len ? from->owner : from->outlet;
    uint64_t outlet_key = owner.len ? text_hash(owner.data, owner.len) : OUTLET_UNKNOWN;
    uint64_t page = text_url_hash(from->url);
    uint32_t n_keys = name_keys(doc, page, outlet_key, keys);
    struct record *record = make_record(doc, n_keys, from->id, title, outlet);
    if (!record)
        return NULL;
    for (uint32_t i = 0; i < n_keys; i++)
        record_keys(record)[i].key = keys[i];
    record->page = page != 0;
    record->outlet_key = outlet_key;
    record->outlet_term = UINT32_MAX;
    if (record->outlet_key != OUTLET_UNKNOWN)
        record->outlet_term = index_take(&cluster->index, ~record->outlet_key, 0, 0);
    for (uint32_t i = 0; i < doc->n_terms; i++) {
        const struct text_term *term = &doc->terms[i];
        uint32_t number = index_take(&cluster->index, term->hash, term->kind, term->per_mille);
        if (number == UINT32_MAX) {
            record->n_terms = (uint8_t)i; /* what record_free gives back */
            record_free(cluster, record);
            return NULL;
        }
        record->terms[i] = (struct record_term){number, term->weight, term->kind, term->title, term->telling};
    }
    record->version = from->version;
    record->event_ms = event_ms;
    record->primary = from->primary;
    record->column = doc->column;
    record->simhash = doc->simhash;
    record->whole_hash = doc->whole_hash;
    record->title_hash = doc->title_hash;
    record->n_words = doc->n_words;
    record->n_title_terms = (uint8_t)doc->n_title_terms;
    record->id_hash = (uint32_t)text_hash(from->id.data, from->id.len);
    return record;
}

/* ---- by id ---- */

struct record *record_find(const struct cluster *cluster, struct text_slice id) {
    uint64_t hash = text_hash(id.data, id.len);
    struct record *record = cluster->ids[hash & (cluster->ids_size - 1)];
    while (record && (record->id_len != id.len || memcmp(record_id(record).data, id.data, id.len) != 0))
        record = record->next_by_id;
    return record;
}

static int grow_ids(struct cluster *cluster) {
    uint32_t size = cluster->ids_size * 2;
    struct record **ids = calloc(size, sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    for (uint32_t i = 0; i < cluster->ids_size; i++) {
        struct record *record = cluster->ids[i];
        while (record) {
            struct record *next = record->next_by_id;
            record->next_by_id = ids[record->id_hash & (size - 1)];
            ids[record->id_hash & (size - 1)] = record;
            record = next;
        }
    }
    free(cluster->ids);
    cluster->ids = ids;
    cluster->ids_size = size;
    return 0;
}

/* ---- by key ---- */

static struct record *newest_of(key_head head) {
    return (struct record *)(head & ~(key_head)(RECORD_KEYS - 1));
}

/* The key of a chain; 0: there is none. */
static uint64_t key_of(key_head head) {
    return head ? record_keys(newest_of(head))[head & (RECORD_KEYS - 1)].key : 0;
}

static key_head head_of(const struct record *newest, const struct key_link *link) {
    return (key_head)newest | (key_head)(link - record_keys(newest));
}

static uint8_t mark_of(uint64_t key) {
    return (uint8_t)(key >> 56) | 1;
}

static uint32_t key_slot(const struct cluster *cluster, uint64_t key) {
    uint32_t slot = (uint32_t)(key >> 16) & (cluster->keys_size - 1);
    uint8_t mark = mark_of(key);
    while (cluster->key_marks[slot] &&
           (cluster->key_marks[slot] != mark || key_of(cluster->keys[slot]) != key))
        slot = (slot + 1) & (cluster->keys_size - 1);
    return slot;
}

static void put_head(struct cluster *cluster, uint32_t slot, key_head head, uint64_t key) {
    cluster->keys[slot] = head;
    cluster->key_marks[slot] = mark_of(key);
}

static int grow_keys(struct cluster *cluster) {
    uint32_t size = cluster->keys_size;
    key_head *old = cluster->keys, *keys = calloc(size * 2u, sizeof(*keys));
    uint8_t *marks = calloc(size * 2u, 1);
    if (!keys || !marks) {
        free(keys);
        free(marks);
        return -ENOMEM;
    }
    free(cluster->key_marks);
    cluster->keys = keys;
    cluster->key_marks = marks;
    cluster->keys_size = size * 2u;
    for (uint32_t i = 0; i < size; i++) {
        if (old[i])
            put_head(cluster, key_slot(cluster, key_of(old[i])), old[i], key_of(old[i]));
    }
    free(old);
    return 0;
}

static struct key_link *link_of(struct record *record, uint64_t key) {
    for (int i = 0; i < record->n_keys; i++) {
        if (record_keys(record)[i].key == key)
            return &record_keys(record)[i];
    }
    return NULL;
}

static void close_hole(struct cluster *cluster, uint32_t slot) {
    uint32_t mask = cluster->keys_size - 1, next = (slot + 1) & mask;
    while (cluster->keys[next]) {
        uint32_t wanted = (uint32_t)(key_of(cluster->keys[next]) >> 16) & mask;
        if (((next - wanted) & mask) >= ((next - slot) & mask)) {
            put_head(cluster, slot, cluster->keys[next], key_of(cluster->keys[next]));
            slot = next;
        }
        next = (next + 1) & mask;
    }
    cluster->keys[slot] = 0;
    cluster->key_marks[slot] = 0;
    cluster->keys_used--;
}

int record_link(struct cluster *cluster, struct record *record) {
    if (cluster->n_records >= cluster->ids_size && grow_ids(cluster) != 0)
        return -ENOMEM;
    struct record **head = &cluster->ids[record->id_hash & (cluster->ids_size - 1)];
    record->next_by_id = *head;
    *head = record;
    cluster->n_records++;
    if (record->likeness == CLUSTER_COPY)
        return 0; /* the original answers for it */
    while ((cluster->keys_used + record->n_keys) * 4ull >= cluster->keys_size * 3ull) {
        if (grow_keys(cluster) != 0)
            return -ENOMEM;
    }
    record->linked = true;
    for (int i = 0; i < record->n_keys; i++) {
        struct key_link *link = &record_keys(record)[i];
        uint32_t slot = key_slot(cluster, link->key);
        cluster->keys_used += cluster->keys[slot] == 0;
        link->older = newest_of(cluster->keys[slot]);
        if (link->older)
            link_of(link->older, link->key)->newer = record;
        put_head(cluster, slot, head_of(record, link), link->key);
    }
    return 0;
}

static void unlink_keys(struct cluster *cluster, struct record *record) {
    for (int i = 0; record->linked && i < record->n_keys; i++) {
        struct key_link *link = &record_keys(record)[i];
        uint32_t slot = key_slot(cluster, link->key);
        if (link->older)
            link_of(link->older, link->key)->newer = link->newer;
        if (link->newer)
            link_of(link->newer, link->key)->older = link->older;
        else if (link->older)
            cluster->keys[slot] = head_of(link->older, link_of(link->older, link->key));
        else
            close_hole(cluster, slot);
    }
}

void record_unlink(struct cluster *cluster, struct record *record) {
    struct record **link = &cluster->ids[record->id_hash & (cluster->ids_size - 1)];
    while (*link && *link != record)
        link = &(*link)->next_by_id;
    if (!*link)
        return;
    *link = record->next_by_id;
    cluster->n_records--;
    unlink_keys(cluster, record);
    record->linked = false;
}

void record_free(struct cluster *cluster, struct record *record) {
    record_unlink(cluster, record);
    for (uint32_t i = 0; i < record->n_terms; i++)
        index_drop(&cluster->index, record->terms[i].term);
    if (record->outlet_term != UINT32_MAX)
        index_drop(&cluster->index, record->outlet_term);
    free(record);
}

/* ---- likeness ---- */

static bool same_day(const struct record *a, const struct record *b) {
    int64_t apart = a->event_ms > b->event_ms ? a->event_ms - b->event_ms : b->event_ms - a->event_ms;
    return apart <= SAME_TITLE_MS;
}

bool record_recurs(const struct record *a, const struct record *b) {
    return a->title_hash && a->title_hash == b->title_hash && a->outlet_key == b->outlet_key &&
           !same_day(a, b);
}

static bool long_text(const struct record *record) {
    return record->n_words >= TEXT_SIMHASH_WORDS;
}

/* How `record` relates to an older one under a common key; `page`: the key is their address. An equal title
 * alone makes no copy: a column has the same title every week, so the day must be the same, and the text too
 * where there is one. */
static enum cluster_likeness compare(const struct record *record, const struct record *older, bool page) {
    int bits = __builtin_popcountll(record->simhash ^ older->simhash);
    bool both_long = long_text(record) && long_text(older);
    if (record->whole_hash == older->whole_hash && (page || both_long || same_day(record, older)))
        return CLUSTER_COPY;
    if (page)
        return CLUSTER_REVISION;
    if (both_long)
        return bits <= NEAR_BITS ? CLUSTER_REVISION : CLUSTER_NEW;
    if (record->title_hash == older->title_hash && record->outlet_key == older->outlet_key &&
        record->outlet_key != OUTLET_UNKNOWN && same_day(record, older) && !long_text(record) &&
        !long_text(older))
        return CLUSTER_COPY;
    return CLUSTER_NEW;
}

struct record *record_like(struct cluster *cluster, const struct record *record,
                           enum cluster_likeness *likeness) {
    struct record *best = NULL;
    *likeness = CLUSTER_NEW;
    for (int i = 0; i < record->n_keys && *likeness != CLUSTER_COPY; i++) {
        uint64_t key = record_keys(record)[i].key;
        struct record *older = newest_of(cluster->keys[key_slot(cluster, key)]);
        for (int n = 0; older && n < CHAIN_MAX; n++) {
            enum cluster_likeness found = compare(record, older, i == 0 && record->page);
            if (found > *likeness) {
                *likeness = found;
                best = older;
            }
            older = link_of(older, key)->older;
        }
    }
    return best;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* story.c - a story's sums: members, terms, profile, anchors, outlets.
 *
 * Members stand in order of joining, those of a story that was absorbed behind the others. Every term of a
 * story is posted in the index exactly once, under the story's slot. */
#include "story.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/id.h>

/* Above LOOKUP_TERMS a story has a table to find its terms by. */
enum { LOOKUP_TERMS = 32, LOOKUP_START = 128 };

/* Make room for `more` elements. The first may lie at `inside`, which is not to be freed; NULL: it does not.
 */
static int grow_by(void *array, uint32_t n, uint32_t more, uint32_t *capacity, size_t size, void *inside) {
    void **place = array;
    if (more <= *capacity && n <= *capacity - more)
        return 0;
    uint32_t wanted = *capacity + *capacity / 2;
    wanted = wanted > n + more ? wanted : n + more;
    bool moves = inside && *place == inside;
    void *grown = realloc(moves ? NULL : *place, wanted * size);
    if (!grown)
        return -ENOMEM;
    if (moves)
        memcpy(grown, inside, n * size);
    *place = grown;
    *capacity = wanted;
    return 0;
}

static int grow(void *array, uint32_t n, uint32_t *capacity, size_t size) {
    return grow_by(array, n, 1, capacity, size, NULL);
}

static int take_slot(struct cluster *cluster, struct story *story) {
    if (cluster->n_free) {
        story->slot = cluster->free_slots[--cluster->n_free];
        cluster->stories[story->slot] = story;
        return 0;
    }
    if (cluster->n_slots == cluster->slots_capacity) {
        uint32_t capacity = cluster->slots_capacity ? cluster->slots_capacity / 4 * 5 : 256;
        void *arrays[] = {&cluster->stories, &cluster->free_slots, &cluster->walk, &cluster->touched};
        size_t sizes[] = {sizeof(struct story *), sizeof(uint32_t), sizeof(struct slot), sizeof(uint32_t)};
        for (int i = 0; i < 4; i++) {
            void *grown = realloc(*(void **)arrays[i], capacity * sizes[i]);
            if (!grown)
                return -ENOMEM;
            *(void **)arrays[i] = grown;
        }
        memset(cluster->walk + cluster->n_slots, 0, (capacity - cluster->n_slots) * sizeof(struct slot));
        cluster->slots_capacity = capacity;
    }
    story->slot = cluster->n_slots;
    cluster->stories[cluster->n_slots++] = story;
    return 0;
}

struct story *story_by_seq(const struct cluster *cluster, uint64_t seq) {
    if (!cluster->by_seq_size)
        return NULL;
    struct story *story = cluster->by_seq[seq & (cluster->by_seq_size - 1)];
    while (story && story->seq != seq)
        story = story->next_by_seq;
    return story;
}

static int link_seq(struct cluster *cluster, struct story *story) {
    if (cluster->n_stories >= cluster->by_seq_size) {
        uint32_t size = cluster->by_seq_size ? cluster->by_seq_size * 2 : 256;
        struct story **table = calloc(size, sizeof(struct story *));
        if (!table)
            return -ENOMEM;
        for (uint32_t i = 0; i < cluster->by_seq_size; i++) {
            for (struct story *moved = cluster->by_seq[i], *next; moved; moved = next) {
                next = moved->next_by_seq;
                moved->next_by_seq = table[moved->seq & (size - 1)];
                table[moved->seq & (size - 1)] = moved;
            }
        }
        free(cluster->by_seq);
        cluster->by_seq = table;
        cluster->by_seq_size = size;
    }
    struct story **head = &cluster->by_seq[story->seq & (cluster->by_seq_size - 1)];
    story->next_by_seq = *head;
    *head = story;
    return 0;
}

static void unlink_seq(struct cluster *cluster, struct story *story) {
    struct story **link = &cluster->by_seq[story->seq & (cluster->by_seq_size - 1)];
    while (*link != story)
        link = &(*link)->next_by_seq;
    *link = story->next_by_seq;
}

static void unlink_touch(struct cluster *cluster, struct story *story) {
    *(story->newer ? &story->newer->older : &cluster->newest) = story->older;
    *(story->older ? &story->older->newer : &cluster->oldest) = story->newer;
    story->newer = story->older = NULL;
}

static void link_touch(struct cluster *cluster, struct story *story) {
    story->older = cluster->newest;
    *(cluster->newest ? &cluster->newest->newer : &cluster->oldest) = story;
    cluster->newest = story;
}

void story_touch(struct cluster *cluster, struct story *story) {
    unlink_touch(cluster, story);
    link_touch(cluster, story);
    story->touched_ms = cluster->clock_ms;
}

struct story *story_new(struct cluster *cluster, uint64_t seq) {
    struct story *story = calloc(1, sizeof(*story));
    if (!story)
        return NULL;
    story->seq = story->memory.story = seq;
    story->members = &story->founder;
    story->outlets = &story->first_outlet;
    story->members_capacity = story->outlets_capacity = 1;
    story->split_at = SPLIT_FIRST;
    if (take_slot(cluster, story) != 0 || link_seq(cluster, story) != 0) {
        free(story);
        return NULL;
    }
    story->touched_ms = cluster->clock_ms;
    link_touch(cluster, story);
    cluster->n_stories++;
    return story;
}

void story_id(const struct story *story, char out[33]) {
    struct text_slice founder = record_id(story->members[0]);
    struct telex_bytes part = {(const uint8_t *)founder.data, founder.len};
    telex_id(out, "story", &part, 1);
}

/* ---- terms ---- */

static uint32_t lookup_slot(const struct story *story, uint32_t term) {
    uint32_t slot = (term * 0x9e3779b1u) >> 7 & (story->lookup_size - 1);
    while (story->lookup[slot] && story->terms[story->lookup[slot] - 1].term != term)
        slot = (slot + 1) & (story->lookup_size - 1);
    return slot;
}

/* Position of a term, or UINT32_MAX. */
static uint32_t find(const struct story *story, uint32_t term) {
    if (story->lookup) {
        uint32_t slot = lookup_slot(story, term);
        return story->lookup[slot] ? story->lookup[slot] - 1 : UINT32_MAX;
    }
    for (uint32_t i = 0; i < story->n_terms; i++) {
        if (story->terms[i].term == term)
            return i;
    }
    return UINT32_MAX;
}

const struct story_term *story_find(const struct story *story, uint32_t term) {
    uint32_t at = find(story, term);
    return at == UINT32_MAX ? NULL : &story->terms[at];
}

static int grow_lookup(struct story *story) {
    uint32_t size = story->lookup ? story->lookup_size * 2 : LOOKUP_START;
    uint32_t *lookup = calloc(size, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    free(story->lookup);
    story->lookup = lookup;
    story->lookup_size = size;
    for (uint32_t i = 0; i < story->n_terms; i++)
        story->lookup[lookup_slot(story, story->terms[i].term)] = i + 1;
    return 0;
}

/* Add to a term's sum, posting the story under it when it is new here. Gives its position, or -ENOMEM. */
static int64_t add_term(struct cluster *cluster, struct story *story, uint32_t term, uint32_t sum,
                        uint32_t n) {
    uint32_t at = find(story, term);
    if (at != UINT32_MAX) {
        struct story_term *entry = &story->terms[at];
        entry->sum += sum;
        entry->n += n;
        index_postings(&cluster->index.terms[term])[entry->place].sum = entry->sum;
        return at;
    }
    if (story->n_terms >= LOOKUP_TERMS && story->n_terms * 2 >= story->lookup_size && grow_lookup(story) != 0)
        return -ENOMEM;
    if (grow(&story->terms, story->n_terms, &story->terms_capacity, sizeof(*story->terms)) != 0 ||
        index_reserve(&cluster->index, term) != 0)
        return -ENOMEM;
    cluster->index.terms[term].users++;
    at = story->n_terms++;
    uint32_t place = index_post(&cluster->index, term, (struct posting){story->slot, at, sum});
    story->terms[at] = (struct story_term){term, sum, place, n};
    if (story->lookup)
        story->lookup[lookup_slot(story, term)] = at + 1;
    return at;
}

static void drop_terms(struct cluster *cluster, struct story *story) {
    for (uint32_t i = 0; i < story->n_terms; i++) {
        struct story_term *entry = &story->terms[i];
        struct posting moved;
        if (index_unpost(&cluster->index, entry->term, entry->place, &moved))
            cluster->stories[moved.story]->terms[moved.at].place = entry->place;
        index_drop(&cluster->index, entry->term);
    }
    story->n_terms = 0;
}

/* ---- profile ---- */

static bool heavier(const struct cluster *cluster, const struct story_term *a, const struct story_term *b) {
    if (a->sum != b->sum)
        return a->sum > b->sum;
    return cluster->index.terms[a->term].hash < cluster->index.terms[b->term].hash;
}

/* A term's sum has grown: move it to where it belongs among the heaviest, if it does. */
static void raise_in_profile(const struct cluster *cluster, struct story *story, uint32_t at) {
    const struct story_term *entry = &story->terms[at];
    uint32_t i = 0;
    while (i < PROFILE_MAX && story->ranked[i] != at)
        i++;
    if (i == PROFILE_MAX) {
        if (!heavier(cluster, entry, &story->terms[story->ranked[i - 1]]))
            return;
        i--;
    }
    for (; i > 0 && heavier(cluster, entry, &story->terms[story->ranked[i - 1]]); i--)
        story->ranked[i] = story->ranked[i - 1];
    story->ranked[i] = at;
}

/* Rank the heaviest terms, once there are more than a profile has. */
static int rank_terms(const struct cluster *cluster, struct story *story) {
    story->ranked = malloc(PROFILE_MAX * sizeof(*story->ranked));
    if (!story->ranked)
        return -ENOMEM;
    uint32_t n = 0;
    for (uint32_t at = 0; at < story->n_terms; at++) {
        uint32_t i = n < PROFILE_MAX ? n++ : PROFILE_MAX;
        if (i == PROFILE_MAX && !heavier(cluster, &story->terms[at], &story->terms[story->ranked[--i]]))
            continue;
        for (; i > 0 && heavier(cluster, &story->terms[at], &story->terms[story->ranked[i - 1]]); i--)
            story->ranked[i] = story->ranked[i - 1];
        story->ranked[i] = at;
    }
    return 0;
}

/* Add to a term's sum and keep the profile right. 0 or -ENOMEM. */
static int count_term(struct cluster *cluster, struct story *story, uint32_t term, uint32_t sum, uint32_t n) {
    int64_t at = add_term(cluster, story, term, sum, n);
    if (at < 0)
        return (int)at;
    if (story->ranked)
        raise_in_profile(cluster, story, (uint32_t)at);
    else if (story->n_terms > PROFILE_MAX)
        return rank_terms(cluster, story);
    return 0;
}

/* ---- anchors and outlets ---- */

static int add_anchor(struct story *story, const struct text_anchor *anchor, uint32_t n) {
    for (uint32_t i = 0; i < story->n_anchors; i++) {
        struct story_anchor *known = &story->anchors[i];
        if (known->subject == anchor->subject && known->value == anchor->value) {
            known->n += n;
            return 0;
        }
    }
    if (story->n_anchors == 4 * TEXT_ANCHORS_MAX)
        return 0; /* a story that says so many values contradicts nobody */
    if (grow(&story->anchors, story->n_anchors, &story->anchors_capacity, sizeof(*story->anchors)) != 0)
        return -ENOMEM;
    story->anchors[story->n_anchors++] =
        (struct story_anchor){anchor->subject, anchor->value, n, anchor->strong};
    return 0;
}

static int add_outlet(struct story *story, struct record *first, uint64_t key, uint32_t reports) {
    for (uint32_t i = 0; i < story->n_outlets; i++) {
        if (story->outlets[i].key == key) {
            story->outlets[i].reports += reports;
            return 0;
        }
    }
    if (grow_by(&story->outlets, story->n_outlets, 1, &story->outlets_capacity, sizeof(*story->outlets),
                &story->first_outlet) != 0)
        return -ENOMEM;
    story->outlets[story->n_outlets++] = (struct story_outlet){key, first, reports};
    return 0;
}

/* ---- joining ---- */

static void widen(struct story *story, int64_t first_ms, int64_t last_ms) {
    bool empty = story->n_members == 0;
    story->first_ms = empty || first_ms < story->first_ms ? first_ms : story->first_ms;
    story->last_ms = empty || last_ms > story->last_ms ? last_ms : story->last_ms;
}

static void count_reports(struct cluster *cluster, struct story *story, uint32_t more) {
    story->n_reports += more;
    if (story->n_reports >= story->split_at) {
        story->split_due = true;
        story->split_at = 2 * story->n_reports;
    }
    if (story->n_reports)
        cluster->walk[story->slot].inverse = 1.0f / (float)(TEXT_WEIGHT_ONE * story->n_reports);
}

static int add_report(struct cluster *cluster, struct story *story, const struct record *record) {
    count_reports(cluster, story, 1);
    story->primary |= record->primary;
    if (story->n_terms == 0 &&
        grow_by(&story->terms, 0, record->n_terms, &story->terms_capacity, sizeof(*story->terms), NULL) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < record->n_terms; i++) {
        if (count_term(cluster, story, record->terms[i].term, record->terms[i].weight, 1) != 0)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < record->n_anchors; i++) {
        if (add_anchor(story, &record_anchors(record)[i], 1) != 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_member(struct story *story, struct record *record) {
    if (grow_by(&story->members, story->n_members, 1, &story->members_capacity, sizeof(*story->members),
                &story->founder) != 0)
        return -ENOMEM;
    story->members[story->n_members++] = record;
    record->story = story;
    return 0;
}

int story_add(struct cluster *cluster, struct story *story, struct record *record) {
    widen(story, record->event_ms, record->event_ms);
    if (add_member(story, record) != 0 ||
        (record->likeness != CLUSTER_COPY && add_report(cluster, story, record) != 0))
        return -ENOMEM;
    /* A revision is the same hand again: it makes no outlet independent. */
    if (record->outlet_key != OUTLET_UNKNOWN &&
        add_outlet(story, record, record->outlet_key, record->likeness == CLUSTER_NEW) != 0)
        return -ENOMEM;
    story_check(story);
    return 0;
}

int story_note_event(struct story *story, uint64_t seq) {
    if (seq == story->seq)
        return 0; /* that one needs no note */
    if (grow(&story->events, story->n_events, &story->events_capacity, sizeof(*story->events)) != 0)
        return -ENOMEM;
    story->events[story->n_events++] = seq;
    return 0;
}

void story_dissolve(struct cluster *cluster, struct story *story) {
    drop_terms(cluster, story);
    unlink_touch(cluster, story);
    unlink_seq(cluster, story);
    cluster->stories[story->slot] = NULL;
    cluster->free_slots[cluster->n_free++] = story->slot;
    cluster->n_stories--;
    free(story->members == &story->founder ? NULL : story->members);
    free(story->terms);
    free(story->lookup);
    free(story->ranked);
    free(story->anchors);
    free(story->outlets == &story->first_outlet ? NULL : story->outlets);
    free(story->events);
    free(story);
}

void story_free(struct cluster *cluster, struct story *story) {
    for (uint32_t i = 0; i < story->n_members; i++)
        record_free(cluster, story->members[i]);
    story_dissolve(cluster, story);
}

int story_absorb(struct cluster *cluster, struct story *into, struct story *from) {
    widen(into, from->first_ms, from->last_ms);
    for (uint32_t i = 0; i < from->n_members; i++) {
        if (add_member(into, from->members[i]) != 0)
            return -ENOMEM;
    }
    count_reports(cluster, into, from->n_reports);
    into->primary |= from->primary;
    for (uint32_t i = 0; i < from->n_terms; i++) {
        if (count_term(cluster, into, from->terms[i].term, from->terms[i].sum, from->terms[i].n) != 0)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < from->n_anchors; i++) {
        struct text_anchor anchor = {from->anchors[i].subject, from->anchors[i].value,
                                     from->anchors[i].strong};
        if (add_anchor(into, &anchor, from->anchors[i].n) != 0)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < from->n_outlets; i++) {
        if (add_outlet(into, from->outlets[i].first, from->outlets[i].key, from->outlets[i].reports) != 0)
            return -ENOMEM;
    }
    if (story_note_event(into, from->seq) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < from->n_events; i++) {
        if (story_note_event(into, from->events[i]) != 0)
            return -ENOMEM;
    }
    into->memory.copies += from->memory.copies;
    if (into->memory.version < from->memory.version)
        into->memory.version = from->memory.version; /* the absorbed id may come back by a split */
    into->memory.facts += from->memory.facts;
    story_dissolve(cluster, from);
    story_check(into);
    return 0;
}

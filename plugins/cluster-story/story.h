/* SPDX-License-Identifier: Apache-2.0 */
/* story.h - what the core keeps in memory; private to this folder's core.
 *
 * A record belongs to exactly one live story. A story's terms are the sums over its reports (copies add
 * nothing); its profile is its 64 heaviest terms. All sums are integers, so the order of joining never shows.
 */
#ifndef CLUSTER_STORY_H
#define CLUSTER_STORY_H

#include <assert.h>

#include "cluster.h"
#include "differ.h"
#include "index.h"

enum { PROFILE_MAX = 64, RECORD_KEYS = 8, OUTLET_UNKNOWN = 0 };

struct story;
struct record;

/* A chain of records under one near-duplicate key, newest first. */
struct key_link {
    uint64_t key; /* 0: unused */
    struct record *newer, *older;
};

/* Where a chain begins: the newest record, and in the lowest bits, which allocation leaves free, which of its
 * keys the chain is under; 0: none. */
typedef uintptr_t key_head;

struct record_term {
    uint32_t term;
    uint8_t weight; /* in units of TEXT_WEIGHT_ONE */
    uint8_t kind;
    uint8_t title;
    uint8_t telling; /* names or counts what the title is about */
};
_Static_assert(TEXT_TERMS_MAX <= UINT8_MAX, "a record counts its terms in a byte");

struct record {
    uint64_t seq;
    uint64_t version;
    struct story *story; /* borrowed */
    int64_t event_ms;
    uint64_t outlet_key; /* hash of the owner or outlet; OUTLET_UNKNOWN */
    uint64_t simhash, whole_hash, title_hash;
    uint64_t like;
    struct record *next_by_id; /* chain of the id table */
    uint32_t id_hash;
    uint32_t outlet_term; /* counts the live records of that outlet in the index; UINT32_MAX: none */
    uint32_t n_words;
    uint8_t n_terms;
    uint8_t likeness; /* enum cluster_likeness */
    uint8_t primary;
    uint8_t column; /* a list or notice by its form */
    uint8_t n_anchors;
    uint8_t n_keys; /* of keys, those it has */
    uint8_t n_title_terms;
    bool page;   /* its first key is its address */
    bool linked; /* it is known by its keys */
    uint8_t id_len, title_len, outlet_len;
    struct record_term terms[]; /* behind them its keys, its anchors, its id, title and outlet */
};
_Static_assert(sizeof(struct record) % sizeof(uint64_t) == 0 &&
                   sizeof(struct record_term) == sizeof(uint64_t),
               "keys follow the terms without a gap");

static inline struct key_link *record_keys(const struct record *record) {
    return (struct key_link *)(record->terms + record->n_terms);
}
static inline struct text_anchor *record_anchors(const struct record *record) {
    return (struct text_anchor *)(record_keys(record) + record->n_keys);
}
static inline struct text_slice record_id(const struct record *record) {
    return (struct text_slice){(const char *)(record_anchors(record) + record->n_anchors), record->id_len};
}
static inline struct text_slice record_title(const struct record *record) {
    return (struct text_slice){record_id(record).data + record->id_len, record->title_len};
}
static inline struct text_slice record_outlet(const struct record *record) {
    return (struct text_slice){record_title(record).data + record->title_len, record->outlet_len};
}

struct story_term {
    uint32_t term;
    uint32_t sum;   /* of the reports' weights */
    uint32_t place; /* of its posting */
    uint32_t n;     /* reports that have it */
};

struct story_anchor {
    uint64_t subject, value;
    uint32_t n;
    bool strong;
};

struct story_outlet {
    uint64_t key;
    struct record *first; /* borrowed: where its name stands */
    uint32_t reports;
};

struct story {
    uint32_t slot; /* its number in postings, reused */
    uint32_t n_members, members_capacity;
    uint32_t n_reports;
    uint64_t seq;            /* of the join that founded it: its age and its name in the log */
    struct record **members; /* owned array or &founder, order of joining */
    struct record *founder;
    struct story_term *terms; /* owned */
    uint32_t n_terms, terms_capacity;
    uint32_t *lookup; /* owned; open addressing over terms, position + 1; NULL while they are few */
    uint32_t *ranked; /* owned; the PROFILE_MAX heaviest terms' positions, ties by hash; NULL: all terms */
    uint32_t lookup_size;
    uint32_t n_anchors, anchors_capacity;
    uint32_t n_outlets, outlets_capacity;
    uint32_t n_events, events_capacity;
    struct story_anchor *anchors; /* owned */
    struct story_outlet *outlets; /* owned, or &first_outlet */
    struct story_outlet first_outlet;
    uint64_t *events; /* owned: seqs of its events but the first, to take back when it retires */
    int64_t first_ms, last_ms;
    int64_t touched_ms; /* event clock at the last join or merge */
    struct cluster_memory memory;
    struct story *newer, *older; /* list by touch */
    struct story *next_by_seq;   /* chain of the seq table */
    uint32_t split_at;           /* reports at which it is looked at whole */
    bool split_due;
    bool primary;
};

/* What is known of a slot while the terms of a record or story are walked. */
struct slot {
    double walked; /* what the walk adds up, valid for its epoch */
    uint32_t epoch;
    float inverse; /* one over the weight that all the story's reports could give a term */
};

struct candidate {
    struct story *story;
    double score; /* after the walk: an estimate; after scoring: the score */
    double profile, member, evidence, contrast, form, conflict, accord, outlet, time, need;
    double form_odds;           /* with the nearest report */
    uint32_t agree, contradict; /* anchors */
    struct record *nearest;
    bool formed; /* form was asked: the score without it was at its threshold or above */
    bool recurs; /* nearest is the same column on another day */
};

enum { CANDIDATES_MAX = 8, WALK_TERMS = 8, POSTINGS_MAX = 96, PAIRS_MAX = 32, MEMBERS_SCORED = 12 };
enum { SPLIT_FIRST = 4, SPLIT_MAX = 32 };

struct cluster {
    struct cluster_options options;
    struct cluster_sink sink;
    struct text_rules rules;
    struct index index;
    struct story **stories; /* owned, by slot; NULL: free */
    uint32_t n_slots, slots_capacity;
    uint32_t *free_slots; /* owned stack */
    uint32_t n_free;
    uint32_t n_stories, n_records;
    struct story *newest, *oldest; /* by touch */
    struct story **by_seq;         /* owned table of chains */
    uint32_t by_seq_size;
    struct record **ids; /* owned table of chains, by id */
    key_head *keys;      /* owned table of chains, by near-duplicate key */
    uint8_t
        *key_marks; /* owned, by slot of keys: some bits of the key, so that few others are read; 0: free */
    uint32_t ids_size, keys_size, keys_used;
    struct slot *walk; /* owned, by slot */
    uint32_t *touched; /* owned, slots met by the walk */
    uint32_t n_touched, epoch;
    double marked;      /* length of the vector whose terms are marked in the index */
    double marked_mass; /* and the sum of its weights */
    double unwalked;    /* the most that terms left out of the walk can add to a story's product with it */
    uint32_t marked_telling; /* and how many of them are telling */
    uint64_t next_seq;
    int64_t clock_ms;
    struct text_doc doc;            /* of the record in hand */
    struct sketch sketch;           /* of its title, once it was asked for */
    const struct record *sketch_of; /* borrowed; NULL: of none */
    char why[1280];                 /* what was weighed for it, where the sink wants it */
    uint32_t why_size;
};

/* ---- record.c: records by id and by near-duplicate key ---- */

int records_init(struct cluster *cluster);
void records_finish(struct cluster *cluster);
/* Make a live record from cluster->doc. Takes a reference to each of its terms. Gives it (record_free). */
struct record *record_new(struct cluster *cluster, const struct cluster_record *from, int64_t event_ms);

void record_free(struct cluster *cluster, struct record *record); /* also unlinks it */
struct record *record_find(const struct cluster *cluster, struct text_slice id);
/* Make it known by its id and, unless it is a copy, by its keys. 0 or -ENOMEM. */
int record_link(struct cluster *cluster, struct record *record);
void record_unlink(struct cluster *cluster, struct record *record);
/* Whether two records are one column on two days: the same title at one outlet, and at least a day between
 * them. */
bool record_recurs(const struct record *a, const struct record *b);
/* The record that the one in hand copies or revises, and which of both; NULL: neither. */
struct record *record_like(struct cluster *cluster, const struct record *record,
                           enum cluster_likeness *likeness);

/* ---- story.c: what a story is made of ---- */

struct story *story_new(struct cluster *cluster, uint64_t seq);
void story_free(struct cluster *cluster, struct story *story); /* with its records */
int story_add(struct cluster *cluster, struct story *story, struct record *record);
void story_dissolve(struct cluster *cluster, struct story *story);                 /* without its records */
int story_absorb(struct cluster *cluster, struct story *into, struct story *from); /* frees from */
int story_note_event(struct story *story, uint64_t seq);
void story_touch(struct cluster *cluster, struct story *story);
struct story *story_by_seq(const struct cluster *cluster, uint64_t seq);
/* The story's entry of a term, or NULL. */
const struct story_term *story_find(const struct story *story, uint32_t term);
/* Its id, which comes from the record that founded it. */
void story_id(const struct story *story, char out[33]);

/* The terms of its profile: the heaviest, or all while they are few. */
static inline uint32_t story_profile_size(const struct story *story) {
    return story->n_terms < PROFILE_MAX ? story->n_terms : PROFILE_MAX;
}
static inline const struct story_term *story_profile(const struct story *story, uint32_t i) {
    return &story->terms[story->ranked ? story->ranked[i] : i];
}

/* ---- score.c ---- */

/* How much a term says now: 0 to 1. */
double score_rarity(const struct cluster *cluster, const struct term *term);
/* Stories worth a look for a record, best first; at most CANDIDATES_MAX. */
uint32_t score_candidates(struct cluster *cluster, const struct record *record, struct candidate *out);
/* Stories worth a look for a story. */
uint32_t score_neighbours(struct cluster *cluster, const struct story *story, struct candidate *out);
/* Fill in a candidate's score for the record that score_candidates was last asked about. */
void score_join(struct cluster *cluster, const struct record *record, struct candidate *candidate);
/* Whether what the walk showed leaves a candidate a chance of that score. Its score must still be the walk's.
 */
bool score_may_reach(const struct cluster *cluster, const struct candidate *candidate, double need);
/* How alike `other` and the story are that score_neighbours was last asked about. */
double score_story(const struct cluster *cluster, const struct story *other);
/* Make `record` the one that score_with compares to. */
void score_mark(struct cluster *cluster, const struct record *record);
/* What is left of a likeness, 0 to 1, when the marked record and another of `story` fill one form with other
 * names and numbers: "airport in Beirut reopens", "airport in Sana'a reopens". Each that only one of them has
 * takes its part, where the other has one in its place; the larger the story, the less one member says. */
double score_contrast(const struct cluster *cluster, const struct record *record, const struct story *story);
double score_with(const struct cluster *cluster, const struct record *other);
/* What is taken off every threshold in a stream of many reports a story. */
double score_ease(const struct cluster *cluster);
/* What a distance in time leaves of a score. */
double score_time(const struct cluster *cluster, int64_t apart_ms);
double score_age_need(const struct cluster *cluster, const struct story *story);
double score_need(const struct cluster *cluster, const struct story *story);
bool anchors_conflict(const struct story *a, const struct story *b);

/* ---- form.c ---- */

void form_read(struct sketch *sketch, const struct record *record);
/* What is left of a likeness, 0 to 1, when two titles may fill one form with other things; `prior`: log odds
 * for one event that are known beforehand. */
double form_left(const struct cluster *cluster, const struct sketch *a, const struct sketch *b, double prior);
/* Such odds where both records have a text, 0 elsewhere. */
double form_text(const struct record *a, const struct record *b);
/* Such odds in a story of so many reports. */
double form_prior(const struct cluster *cluster, uint32_t reports);
/* Fill in a candidate's form and form_odds: what is left of the likeness of a record and a story, whose
 * nearest report counts most. */
void form_of_story(struct cluster *cluster, const struct record *record, struct candidate *candidate);

/* ---- merge.c ---- */

/* Join stories that turned out to be one around `story`; *story is the one it lives on in. */
int merge_around(struct cluster *cluster, struct story **story);

/* ---- split.c ---- */

/* Look at a story whole where it has doubled since it last was; *story is what the founder then is in. Its
 * parts are reported, *story itself is not yet. */
int split_check(struct cluster *cluster, struct story **story);

/* ---- cluster.c ---- */

/* Put a record in its story, founding it where `event` says so. Takes the record, also on failure. */
int cluster_join(struct cluster *cluster, const struct cluster_event *event, struct record *record,
                 struct story **out);
/* Take back every event of a story, and its memory. */
int cluster_forget_events(struct cluster *cluster, const struct story *story);

/* ---- gate.c ---- */

enum gate_change { GATE_FACT = 1, GATE_COPY = 2, GATE_MENDED = 4 }; /* mended: merged or split */

/* After a change: report the story where it is due, and note what is to be remembered. */
int gate_report(struct cluster *cluster, struct story *story, const char *reason, unsigned change);
int gate_report_split(struct cluster *cluster, struct story *part);
int gate_report_merged(struct cluster *cluster, struct story *gone, const struct story *into);
bool gate_fact(struct cluster *cluster, const struct story *story, const struct record *record);
uint32_t gate_independent(const struct story *story);

void cluster_explain(struct cluster *cluster, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What holds for every story between any two calls on it. */
static inline void story_check(const struct story *story) {
    assert(story->n_members > 0 && story->n_members <= story->members_capacity);
    assert(story->n_reports > 0 && story->n_reports <= story->n_members);
    assert(story->first_ms <= story->last_ms);
    (void)story;
}

#endif

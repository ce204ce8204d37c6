/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.h - records in, stories out: the pure core of this stage.
 *
 * It reads no clock, no file and no random number, and knows nothing of the host. Its state is a function of
 * the events it reported (cluster_event) and of the records they name, so that a new instance fed with the
 * events that were not taken back continues byte for byte where the old one stopped. One thread at a time per
 * cluster.
 *
 * Any function that returns -ENOMEM or an error of a sink leaves the cluster unusable: destroy it and
 * restore. */
#ifndef CLUSTER_H
#define CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

enum { CLUSTER_ID_BYTES = 64, CLUSTER_MERGES_MAX = 4, CLUSTER_RETIRED_MAX = 4 };

/* What a config sets; settings.c documents each. The tests' driver and the plugin fill it from the same
 * table. */
struct cluster_options {
    const char *outlet; /* for records that name none; "": unknown */
    const char *emit;   /* "all": every new version of a story, "gated": only what the gate lets through */
    bool explain;
    int64_t gate_outlets, gate_records; /* 0: never by these */
    bool gate_primary;
    double gate_growth;
    int64_t retire_ms, half_life_ms;
    int64_t max_records, max_listed, lead_bytes;
    bool names;
    double join, join_rise, age_rise, merge, density, evidence, member;
    double quorum, quorum_pair, split;
    double form, conflict, contrast, accord, same_outlet, column;
    int64_t prior;
};

struct cluster_record {
    struct text_slice id; /* 1 to CLUSTER_ID_BYTES bytes */
    uint64_t version;
    struct text_slice outlet, owner, url, title, text;
    bool primary;
    int64_t published_ms, fetched_ms; /* 0: not given */
};

enum cluster_event_kind { CLUSTER_JOIN = 1, CLUSTER_MERGE = 2 };
enum cluster_likeness { CLUSTER_NEW = 0, CLUSTER_REVISION = 1, CLUSTER_COPY = 2 };

/* One line of the assignment log. `seq` counts up over a cluster's life and is never reused. */
struct cluster_event {
    uint64_t seq;
    enum cluster_event_kind kind;
    int64_t clock_ms; /* the event clock after it */
    uint64_t story;   /* the seq of the join that founded the story */
    uint64_t into;    /* CLUSTER_MERGE: the story that goes on */
    /* CLUSTER_JOIN: */
    struct text_slice record;
    uint64_t version;
    enum cluster_likeness likeness;
    uint64_t like; /* the seq of the record it is a revision or copy of */
    /* What was weighed when it came, for a reader; empty unless the sink wants it. Lines of fields separated
     * by blanks: first "weights" and their values, then one for each story that was looked at, best first. Of
     * a record that a split moved or left where it was: first "split" (split.c). */
    struct text_slice why;
};

/* What a story remembers besides its records. */
struct cluster_memory {
    uint64_t story;
    uint64_t version;    /* of the last message, 0: none yet */
    uint64_t handed;     /* reports when it was last handed to the writer, 0: never */
    uint64_t facts;      /* reports with new facts since */
    uint64_t copies;     /* copies counted but not listed */
    uint64_t reported;   /* reports at the last message */
    char split_from[33]; /* the story that it left, "" for one of its own */
};

/* One message about a story. Everything is borrowed for the call. */
struct cluster_story {
    char id[33];
    uint64_t version;
    const struct text_slice *records; /* ids, oldest arrival first */
    uint32_t n_records;
    const struct text_slice *outlets; /* in order of arrival, each once */
    uint32_t n_outlets;
    uint32_t n_reports;     /* records that are not copies */
    uint32_t n_independent; /* owners or outlets with a report of their own */
    uint64_t n_copies;      /* copies, listed or not */
    int64_t first_ms, last_ms;
    double breaking;
    struct text_slice label;
    const char *state;    /* "open" or "merged" */
    const char *gate;     /* "open" or "shut" */
    const char *reason;   /* why it is reported now */
    bool news;            /* the writer should write it (again) */
    char merged_into[33]; /* "" unless merged */
    char split_from[33];  /* "" unless it is a part that left that story; the same in every version */
};

/* Where results go. Each call returns 0, or a negative error that ends cluster_add with it. */
struct cluster_sink {
    void *arg;
    int (*story)(void *arg, const struct cluster_story *story);
    int (*event)(void *arg, const struct cluster_event *event);
    int (*forget)(void *arg, uint64_t seq); /* take an event back: its story has retired */
    int (*remember)(void *arg, const struct cluster_memory *memory);
    int (*forget_memory)(void *arg, uint64_t story);
    void (*explain)(void *arg, const char *line); /* NULL: nobody reads it */
    bool why;                                     /* fill in cluster_event.why */
};

struct cluster;

/* Make an empty cluster. `options` is copied, its text and `sink` are borrowed until destroy. 0 or -ENOMEM.
 */
int cluster_create(const struct cluster_options *options, const struct cluster_sink *sink,
                   struct cluster **out);
void cluster_destroy(struct cluster *cluster); /* accepts NULL */

/* Take one record: it joins, founds or copies; stories may merge or retire. 0, -EINVAL (no id, or too long),
 * -ENOMEM, or what a sink said. Borrowed until it returns. */
int cluster_add(struct cluster *cluster, const struct cluster_record *record);

/* Rebuild, before the first add: the events that were not taken back in order of seq, a join with its record
 * (NULL when the record cannot be read any more), then the memories. Reports nothing. 0, -EBADMSG (an event
 * that cannot follow), -ENOMEM. */
int cluster_restore_event(struct cluster *cluster, const struct cluster_event *event,
                          const struct cluster_record *record);
int cluster_restore_memory(struct cluster *cluster, const struct cluster_memory *memory);
/* The counter behind seq and the event clock, which outlive every story. */
void cluster_restore_clock(struct cluster *cluster, uint64_t next_seq, int64_t clock_ms);
uint64_t cluster_next_seq(const struct cluster *cluster);
int64_t cluster_clock_ms(const struct cluster *cluster);

/* For metrics and tests. */
uint32_t cluster_live_stories(const struct cluster *cluster);
uint32_t cluster_live_records(const struct cluster *cluster);

#endif

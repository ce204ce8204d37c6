/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h - the pipeline's memory: one SQLite file, one writer.
 *
 * A step is one transaction: its outputs appended to their edges, its state changed, its input marked done.
 * Operations are handed in from any thread and applied in that order by the journal's own thread, many to a
 * commit. When `done` says so, they are durable as the pipeline's `durability` promises.
 *
 * Layout (meta "layout" = 1):
 *   msg(seq, schema, id, version, origin, at_ms, body)  every committed message once; origin = "stage.port"
 *   edge(id, name, n_in, n_delivered, n_superseded, n_quarantined, n_dropped, n_expired, since_seq, schemas)
 *   delivery(edge, seq, state, attempts)                one row a message and edge
 *   kv(stage, key, value)                               what stages keep
 *   quarantine(edge, seq, stage, plugin, reason, attempts, at_ms)
 * Conservation, at every commit: n_in = n_delivered + n_superseded + n_quarantined + n_dropped + waiting
 * rows. */
#ifndef HOST_JOURNAL_H
#define HOST_JOURNAL_H

#include <stdbool.h>

#include "record.h"

enum delivery_state {
    DELIVERY_WAITING = 0,
    DELIVERY_DONE = 1,
    DELIVERY_SUPERSEDED = 2,
    DELIVERY_QUARANTINED = 3,
    DELIVERY_DROPPED = 4 /* by a rule that has a name: the edge's `where`, or an operator's drop */
};

/* A message on its way into the journal. */
struct journal_put {
    struct telex_rec *rec;  /* counted reference, released by the journal's user in done */
    const char *origin;     /* borrowed until done */
    bool stored;            /* forwarded: the body is in the journal already */
    struct journal_target { /* owned by the user */
        uint32_t edge;
        uint8_t state;  /* DELIVERY_WAITING or DELIVERY_DROPPED */
        uint32_t place; /* the user's own */
    } * targets;
    uint32_t n_targets;
};

struct journal_change {
    struct telex_bytes key, value;
    bool deleted;
};

enum journal_kind {
    JOURNAL_STEP,       /* puts + changes + input done */
    JOURNAL_ATTEMPT,    /* the input's attempts = `attempts` */
    JOURNAL_QUARANTINE, /* the input leaves its edge for the quarantine */
    JOURNAL_SUPERSEDE,  /* the input was replaced by a newer version */
    JOURNAL_RETRY,      /* the input returns from the quarantine to its edge */
    JOURNAL_DROP,       /* the input leaves the quarantine for good */
    JOURNAL_BARRIER     /* nothing; done means all before it is committed */
};

/* One operation. Lives until done is called; everything it points to as well. */
struct journal_op {
    struct journal_op *next; /* the journal's */
    enum journal_kind kind;
    uint32_t edge; /* of the input; 0: none */
    int64_t seq;   /* of the input */
    uint32_t attempts;
    const char *stage, *plugin, *reason;
    struct journal_put *puts;
    uint32_t n_puts;
    struct journal_change *changes;
    uint32_t n_changes;
    void *arg; /* the user's */
};

struct journal;

struct journal_user {
    /* A run of operations, linked by next, is committed. On the journal's thread. */
    void (*done)(void *arg, struct journal_op *first);
    /* The file cannot be written or trusted any more; nothing further will be committed. */
    void (*broken)(void *arg, const char *why);
    void *arg;
};

/* Open or make the journal at path and start its thread. Only one process may have it open for writing. 0,
 * -EBUSY (another host, `why` names its pid), -EBADMSG (not a journal, or of a newer layout) or -errno, with
 * the reason and remedy in why. */
int journal_open(struct journal **out, const char *path, int durability, const char *pipeline,
                 const struct journal_user *user, char *why, size_t why_size);

/* Commit what was handed in, checkpoint, close. */
void journal_close(struct journal *journal);

/* Hand in operations, linked by next. Takes them until done. [any] */
void journal_submit(struct journal *journal, struct journal_op *first);

/* The number behind an edge's name, made when new. `schemas` is what it carries, each between commas
 * (",a,b,"; ",*," for any): the audit must know what should have been there. Only before the first submit. */
uint32_t journal_edge(struct journal *journal, const char *name, const char *schemas);

/* With `durability: memory`: apply the JOURNAL_STEPs of a list at once and never call done. [any] */
void journal_apply_memory(struct journal *journal, const struct journal_op *first);

/* A text that changes when the journal is a new one: the epoch of event ids. */
void journal_epoch(struct journal *journal, char out[13]);

/* The highest seq ever given. */
int64_t journal_last_seq(struct journal *journal);

/* Reads, through a second connection; they see what is committed. [any] */
int journal_each_waiting(struct journal *journal, uint32_t edge,
                         void (*visit)(void *arg, struct telex_rec *rec, uint32_t attempts), void *arg);
/* The newest version when version is UINT64_MAX. Gives a reference; NULL when there is none. */
struct telex_rec *journal_get(struct journal *journal, const char *schema, struct telex_bytes id,
                              uint64_t version);
/* Copies at most capacity bytes; the whole size, or -ENOENT. */
int64_t journal_kv_get(struct journal *journal, const char *stage, struct telex_bytes key, void *out,
                       uint64_t capacity);
int journal_kv_scan(struct journal *journal, const char *stage, struct telex_bytes prefix,
                    int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value), void *arg);

/* The newest `limit` telex.event/1 messages, in the order they were committed. */
int journal_last_events(struct journal *journal, uint32_t limit,
                        void (*visit)(void *arg, struct telex_rec *rec), void *arg);

/* A record in quarantine. Gives a reference; NULL when it is not there. */
struct telex_rec *journal_quarantined(struct journal *journal, uint32_t edge, int64_t seq);

/* Delete messages older than before_ms that no edge waits for and whose schema is not kept for good; at most
 * `limit`. Counted in the edges, so that the books still balance. Queued like any operation. */
void journal_expire(struct journal *journal, int64_t before_ms);

#endif

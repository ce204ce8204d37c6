/* SPDX-License-Identifier: Apache-2.0 */
/* check_host.h - a host in memory that watches one instance of a stage. */
#ifndef HOST_CHECK_HOST_H
#define HOST_CHECK_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include <telex/plugin.h>
#include <telex-sdk/message.h>

enum { CHECK_POSTS_MAX = 1024, CHECK_TIMERS_MAX = 64, CHECK_WATCHES_MAX = 64 };

/* A record of the check host. Its memory lives as long as the host, so that a use after its end is seen, not
 * felt. */
struct telex_rec {
    struct telex_rec *next;
    struct telex_head head;
    struct telex_bytes body; /* owned */
    uint8_t *original;       /* owned: body as it was given */
    int32_t refs;            /* the plugin's, by retain */
    bool lent;               /* a process() call has it now */
};

struct check_lease {
    telex_lease id;
    bool open, cancelled;
    uint32_t n_outputs, n_loans;
    telex_status status;
};

struct check_loan {
    struct check_loan *next;
    uint64_t handle, capacity;
    telex_lease lease;
    uint32_t port;
    bool open;
    uint8_t *data; /* owned: capacity and a guard */
};

struct check_pair {
    struct check_pair *next; /* in byte order of the key */
    struct telex_bytes key, value;
};

struct isolate_spec;

struct check_host {
    struct telex_host table; /* impl is the check_host */
    pthread_mutex_t lock;    /* guards all below */
    const struct telex_stage *stage;
    const char *scenario;
    FILE *out;         /* findings, one JSON object a line */
    pthread_t control; /* the thread that makes the [control] and [strand] calls */
    bool drained;      /* drain has returned: no step is begun */
    bool stopped;      /* stop has returned: only destroy is left */
    bool destroyed;
    bool exhausted;
    uint32_t n_inputs, n_outputs; /* ports */
    uint32_t credits;             /* steps that open() still gives */
    uint32_t n_refused;           /* times it gave none since credit was given */
    struct isolate_spec *spec;    /* borrowed; of a life in another process, or NULL */
    bool refuse_loans;            /* every loan answers LIMIT */
    struct check_lease *leases;   /* owned; id - 1 is the index */
    size_t n_leases;
    struct check_loan *loans;
    uint64_t n_loans;
    struct telex_rec *records;
    struct check_pair
        *pairs; /* kv; what an open step wrote is kept even if it fails: the kit asks nothing of it */
    struct {
        void (*fn)(void *arg);
        void *arg;
    } posts[CHECK_POSTS_MAX];
    size_t n_posts;
    int64_t timers[CHECK_TIMERS_MAX]; /* due in milliseconds, by number; -1: clear */
    uint64_t timer_names[CHECK_TIMERS_MAX];
    struct {
        int32_t fd;
        uint32_t events;
        void (*fn)(void *arg, uint32_t ready);
        void *arg;
    } watches[CHECK_WATCHES_MAX];
    size_t n_watches;
    uint32_t n_jobs; /* model jobs whose done is still to be called */
    char *outputs;   /* bodies in the order of their commits, as JSON lines; owned by the stream */
    size_t outputs_size;
    FILE *outputs_stream;
    char last_fail[200];                      /* what the stage said last through fail() */
    uint64_t n_committed, n_good, n_rejected; /* outputs; steps by status */
};

void check_host_init(struct check_host *host, const struct telex_stage *stage, const char *scenario,
                     FILE *out);
/* After destroy: what is still held is a finding. */
void check_host_finish(struct check_host *host);

/* Say that a rule is broken; each rule once a scenario. */
__attribute__((format(printf, 3, 4))) void check_find(struct check_host *host, const char *rule,
                                                      const char *format, ...);

/* A record of a body. Copied. The host owns it. NULL when the body is no message. */
struct telex_rec *check_record(struct check_host *host, struct telex_bytes body);

/* A finding when the stage wrote into a record. */
void check_record_unchanged(struct check_host *host, const struct telex_rec *rec);

/* Free what a finished host holds. No thread of the plugin may come in any more. */
void check_host_free(struct check_host *host);

/* State, copied and freed; both accept NULL (check_ext.c). */
struct check_pair *check_pairs_copy(const struct check_pair *pairs);
void check_pairs_free(struct check_pair *pairs);

/* Open a lease as delivery does. */
telex_lease check_lease_open(struct check_host *host);
/* What process() returned for a lease. */
void check_lease_returned(struct check_host *host, telex_lease lease, telex_status status);
size_t check_leases_open(struct check_host *host);

/* The extension tables (check_ext.c). */
const void *check_ext(const struct telex_host *table, const char *id);

int64_t check_now_ms(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - the runner from the inside: one plugin instance, and a host that is reached by messages.
 *
 * Threads: the strand (main, strand.c) makes every [strand] and [control] call on the plugin; the hearer
 * (hear.c) takes messages from the host and never runs plugin code; a canceller and a watcher start when they
 * are first needed.
 *
 * The plugin's struct telex_host answers at once where the answer is certain (an output that passes every
 * check, a lease known to be open) and asks the host otherwise, so that what a plugin may do, and what it
 * hears when it breaks the contract, is decided in one place. */
#ifndef RUNNER_REMOTE_H
#define RUNNER_REMOTE_H

#include <pthread.h>
#include <stdbool.h>

#include <telex/ext/http.h>
#include <telex/ext/io.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/models.h>
#include <telex/ext/timer.h>
#include <telex/stage.h>

#include "../surroundings.h"
#include "fault.h"
#include "lease_table.h"
#include "link.h"
#include "setup.h"

/* A record that the host lent. Body and so on lie in the host's region, read-only. */
struct telex_rec {
    uint64_t handle;
    _Atomic uint32_t refs;
    struct telex_head head;
    struct telex_bytes body;
};

struct open_lease {
    struct lease_node node;
    uint32_t outputs; /* committed or lent */
    bool cancelled;
};

struct open_loan {
    uint64_t handle; /* 0: free */
    telex_lease lease;
    uint32_t port;
    uint64_t slot, capacity;
};

/* A question that waits for its answer, on the asker's stack. */
struct question {
    struct question *next;
    pthread_cond_t answered;
    uint64_t call;
    bool done, broken; /* broken: no memory for the answer */
    bool stays;        /* the payload is a record's body: leave it in its slot */
    telex_status status;
    uint64_t a, b;
    uint8_t *data; /* owned unless it stays */
    uint64_t size;
};

/* What the strand does next. */
enum { WORK_POSTED = 200, WORK_IO };
struct work {
    uint32_t kind; /* TO_CREATE .. TO_DESTROY, WORK_POSTED, WORK_IO */
    uint64_t call, a, b;
    telex_lease lease;
    struct telex_bytes body; /* TO_DELIVER: in the host's region; TO_CREATE: owned */
    struct delivered head;   /* TO_DELIVER: where the host found what it reads; all zero: not said */
    void (*fn)(void *arg);
    void *arg;
};

/* In order. */
struct work_list {
    struct work *items; /* owned */
    size_t n, capacity;
};

struct watcher; /* watch.c */
struct models;  /* ../models.h */

struct remote {
    struct telex_host host;
    const char *name;
    struct region theirs, ours;
    struct link_in in; /* the hearer's */
    struct setup setup;
    const struct telex_stage *stage;
    struct fault_page *faults; /* NULL: none are planned */
    uint32_t n_outputs;
    const struct telex_port *outputs[64];
    void *self;

    pthread_mutex_t lock; /* guards what follows */
    struct link_out out;
    struct question *questions;
    uint64_t last_call;
    struct lease_table leases;
    struct open_loan *loans; /* owned */
    size_t n_loans;
    uint64_t last_loan;
    char *base;         /* telex.http/1's answer, owned */
    telex_lease *early; /* owned: cancelled before the strand came to them */
    size_t n_early, n_early_max;
    uint32_t n_unwoken; /* completions since the host was last woken for one */
    int64_t woken_ms;   /* when that was */

    pthread_mutex_t work_lock;
    pthread_cond_t work_came;
    struct work_list queue;
    atomic_bool stopping;                    /* work but the end of life is dropped */
    atomic_bool done;                        /* the strand has ended: so does the hearer, once woken */
    bool goes_on;                            /* the strand's own: it has more to do after this */
    _Atomic telex_lease lease;               /* of the record in process(); 0: none. The strand changes it */
    struct thread_surroundings surroundings; /* the strand's own */
    int64_t looked_ms;
    bool looks_each, caught;
    uint32_t n_unlooked; /* records since it last looked at its surroundings */

    pthread_mutex_t cancel_lock;
    pthread_cond_t cancel_came;
    pthread_t canceller;
    bool canceller_runs, canceller_ends;
    telex_lease *cancels; /* owned */
    size_t n_cancels, n_cancels_max;

    pthread_mutex_t watch_lock;
    struct watcher *watcher; /* owned, NULL until the first watch */
    struct models *models;   /* owned, NULL without models */
};

/* ---- remote.c ---- */
int remote_init(struct remote *remote, const char *name); /* 0 or a negative errno */
void remote_finish(struct remote *remote);

/* Send a message that wants no answer; waits for room. `wake`: the host should look at it soon. */
void remote_say(struct remote *remote, struct message message, const void *payload, uint64_t size, bool wake);
/* Ask and wait. The answer's status; LIMIT when the question did not fit. `question` is finished by
 * question_finish unless NULL is passed. Not on the hearer. */
telex_status remote_ask(struct remote *remote, struct message message, const void *payload, uint64_t size,
                        struct question *question);
void question_finish(struct question *question);
/* A line about a rule that the plugin broke, with the record that the strand is in. */
void remote_broken(struct remote *remote, const char *rule, const char *what);
/* A line for the host's log from the runner itself. */
__attribute__((format(printf, 3, 4))) void remote_log(struct remote *remote, int32_t level,
                                                      const char *format, ...);

/* A record from the host's region, with one reference. `head` may be NULL or say nothing: then the body is
 * scanned. NULL when out of memory. */
struct telex_rec *rec_create(uint64_t handle, struct telex_bytes body, const struct delivered *head);
/* Drop a reference; the handle to tell the host when it was the last, else 0. */
uint64_t rec_drop(struct telex_rec *rec);

/* Remember a lease that the plugin is about to hear of. 1, 0 when it was cancelled before, or -ENOMEM. */
int remote_lease_begin(struct remote *remote, telex_lease lease);
bool remote_lease_is_open(struct remote *remote, telex_lease lease);
/* End a lease with the release of a record (0: none) in the same message. */
telex_status remote_complete(struct remote *remote, telex_lease lease, telex_status status, uint64_t release);

/* ---- services.c ---- */
const void *services_ext(const struct telex_host *host, const char *id);

/* ---- hear.c ---- */
void *hear_main(void *remote); /* a thread; ends the process when the host is gone or breaks the rules */

/* ---- strand.c ---- */
/* Add work to a list; false when out of memory. */
bool work_add(struct work_list *list, const struct work *work);
/* Queue work for the strand, in order, and empty the list. What a work owns goes along. False when out of
 * memory: nothing was queued. */
bool strand_add_all(struct remote *remote, struct work_list *list);
bool strand_add(struct remote *remote, const struct work *work);
bool strand_is_this(void);              /* called on the strand */
int strand_main(struct remote *remote); /* until destroy; the exit status */
void strand_cancel(struct remote *remote, telex_lease lease);
static inline void doing(struct remote *remote, uint32_t what) {
    struct region_page *page = (struct region_page *)(void *)remote->ours.base;
    atomic_store_explicit(&page->doing, what, memory_order_release);
}

/* ---- watch.c: telex.io/1 ---- */
extern const struct telex_io watch_table;
void watch_run(struct remote *remote, const struct work *work); /* on the strand */
void watch_stop(struct remote *remote);                         /* no watch fires after it */

/* ---- jobs.c: telex.models/1 ---- */
extern const struct telex_models jobs_table;
/* Open every model of the setup. 0, or -1 with the reason in why. */
int jobs_start(struct remote *remote, char *why, size_t why_size);
void jobs_cancel_lease(struct remote *remote, telex_lease lease);
void jobs_stop(struct remote *remote);

#endif

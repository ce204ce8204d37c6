/* SPDX-License-Identifier: Apache-2.0 */
/* isolate_internal.h - the proxy of one isolated stage.
 *
 * One thread (isolate_serve.c) starts the runner, takes its messages, makes the host calls they stand for,
 * and sees it end; it lives as long as the runner, because the runner's death signal follows it. The engine's
 * threads (isolate.c) only put messages in. `lock` guards what both touch; it is never held across a call on
 * the host. */
#ifndef HOST_ISOLATE_INTERNAL_H
#define HOST_ISOLATE_INTERNAL_H

#include <pthread.h>

#include <telex/ext/http.h>
#include <telex/ext/io.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/timer.h>

#include "isolate.h"
#include "runner/lease_table.h"
#include "runner/link.h"
#include "runner/setup.h"

enum { WHY_BYTES = 512, LINE_BYTES = 4096, METRICS_MAX = 64, ISOLATE_WORDS_MAX = 250 };

/* Words of the runner's command line. */
struct isolate_words {
    char *items[ISOLATE_WORDS_MAX + 1]; /* owned; NULL-ended */
    size_t n;
};

/* A record that the runner may look at. */
struct lent {
    struct telex_rec *rec; /* one reference; NULL: free */
    uint64_t slot, bytes;
    uint32_t generation, next_free;
};

/* An open step of the runner's. */
struct step {
    struct lease_node node;
    uint64_t number;      /* of its delivery; 0: opened by the stage */
    telex_status spoiled; /* the host refused an output that the runner had let pass: what it said */
    char id[TELEX_ID_MAX_BYTES + 1];
};

/* A question to the runner that an engine's thread waits for. */
struct call {
    struct call *next;
    uint64_t number;
    bool done;
    bool is_last; /* stop: once it is answered the host hears nothing more */
    telex_status status;
};

/* A message that found the ring full. */
struct outgoing {
    struct outgoing *next;
    struct message message;
    uint64_t slot_bytes;
    bool passes;
    uint8_t inline_bytes[];
};

/* One end of the plugin's stdout or stderr. */
struct line_reader {
    int fd; /* owned; -1 once closed */
    int32_t level;
    size_t n;
    int64_t second; /* whose lines are counted */
    uint32_t lines, dropped;
    char text[LINE_BYTES];
};

struct isolate {
    const struct telex_host *host; /* borrowed */
    char *name, *runner, *plugin;  /* owned */
    struct isolate_words bounds;   /* owned; runner/sandbox.h */
    struct isolate_images images;  /* until isolate_create has returned */
    void (*died)(void *arg, const char *why);
    void *died_arg;
    void (*gather)(void *arg, bool begins);
    void *gather_arg;
    void (*blame)(void *arg, const telex_lease *begun, size_t n);
    void *blame_arg;
    int64_t create_timeout_ms, start_timeout_ms, stop_timeout_ms;
    const struct telex_kv *kv; /* NULL: the host has none */
    const struct telex_metrics *metrics;
    const struct telex_timer *timer;
    const struct telex_http *http;

    pthread_t thread;
    int pidfd, channel, wake_runner, wake_host; /* owned */
    struct line_reader output[2];
    struct region ours, theirs;
    struct link_in in;
    int nap_ms;         /* how long to sleep before looking by itself; -1: until woken */
    struct step *spent; /* owned; ended, to join free_steps */
    int32_t known_metrics[METRICS_MAX];
    size_t n_metrics;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    pid_t pid; /* 0: not started or gone */
    struct link_out out;
    struct outgoing *first, **last;
    size_t n_outgoing;
    struct lent *lent; /* owned */
    uint32_t n_lent, free_lent;
    struct lease_table steps;
    struct step *free_steps; /* owned, linked by node.next */
    bool holds;              /* a batch of deliveries is under way */
    uint32_t n_unwoken;
    struct call *calls;
    uint64_t last_call, deliveries;
    int64_t turn_ms;     /* when the runner last completed a step, and so could turn to the next */
    int start_error;     /* 1 until the thread has tried */
    bool created;        /* create returned OK: its end will be told */
    bool stopping;       /* stop was sent: its end needs no telling */
    bool ending;         /* destroy was sent: its end is wanted */
    bool stopped;        /* stop was answered: the host hears nothing more */
    bool dead;           /* nothing can be sent any more */
    bool settled;        /* dead, and every lease completed */
    char why[WHY_BYTES]; /* why it was killed or died; empty before */
};

/* ---- isolate.c ---- */
/* Send under the lock; kept until there is room. A payload is copied. 0 or -ENOMEM (no room in the arena). */
int isolate_send(struct isolate *iso, struct message message, const void *payload, uint64_t size);
/* The same for a slot that was filled already and stays (`passes` false) or passes. */
int isolate_send_slot(struct isolate *iso, const struct message *message, uint64_t slot_bytes, bool passes);
/* Send what was kept. The lock is held. */
void isolate_flush(struct isolate *iso);
/* The step whose process() the runner is in, or NULL. The lock is held. */
const struct step *isolate_step_in_process(struct isolate *iso);
/* Copy a record's body into a slot and give it a handle. Takes the reference on success only. 0: no room. The
 * lock is held. */
uint64_t isolate_lend(struct isolate *iso, struct telex_rec *rec, struct telex_bytes body, uint64_t *slot);
struct lent *isolate_lent(struct isolate *iso, uint64_t handle); /* NULL: not held. The lock is held */
/* Take a lent record back; gives the reference, NULL when it was not held. The lock is held. */
struct telex_rec *isolate_take_back(struct isolate *iso, uint64_t handle);
int64_t isolate_clock_ms(void); /* TELEX_CLOCK_MONO */
/* Kill under the lock. The first reason counts. */
void isolate_kill_locked(struct isolate *iso, const char *why);

/* ---- isolate_serve.c ---- */
void *isolate_serve(void *isolate); /* the proxy's thread */

/* ---- isolate_calls.c ---- */
/* Make the host call that a message stands for. NULL, or which rule the runner broke. Serving thread. */
const char *isolate_hear(struct isolate *iso, const struct message *m, struct telex_bytes payload);

/* ---- isolate_bounds.c ---- */
/* What the runner of a stage may do, as words of its command line. 0 or a negative errno
 * (isolate_words_finish in both cases). */
int isolate_bounds(const struct isolate_spec *spec, struct isolate_words *words);
void isolate_words_finish(struct isolate_words *words);

/* ---- isolate_process.c ---- */
/* Start the runner on the calling thread, which must outlive it. 0 or a negative errno. */
int isolate_spawn(struct isolate *iso);
/* Shared memory, eventfds and the descriptors' ends: what exists before there is a runner. */
int isolate_open(struct isolate *iso);
void isolate_close(struct isolate *iso); /* accepts what isolate_open left unfinished */
/* Pass lines of the plugin's output to the log; `last`: nothing more will come. */
void isolate_read_output(struct isolate *iso, struct line_reader *reader, bool last);
/* Wait for the ended process, its whole group gone, and put the reason into why. */
void isolate_reap(struct isolate *iso);

#endif

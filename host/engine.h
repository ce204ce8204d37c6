/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - a running pipeline, from the inside.
 *
 * One lock guards everything here (engine->lock), held for short moments and never across a plugin call or a
 * write. Threads: the uv loop (timers, signals, listeners; runs no plugin code), the journal's writer, and
 * one thread per stage instance, which is both its control thread and its strand: create, start, process, ...
 * stop, destroy run there one after another.
 *
 * The way of a record:   edge.c  waits on an edge  ->  strand.c  taken as a step  ->  service.c  outputs
 * gather under its lease  ->  step.c  completed, handed to the journal  ->  step.c  committed: pushed onto
 * the next edges. */
#ifndef HOST_ENGINE_H
#define HOST_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

#include <telex/ext/io.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/models.h>
#include <telex/ext/timer.h>
#include <telex/stage.h>

#include "config.h"
#include "journal.h"
#include "models.h"
#include "record.h"

struct engine;
struct stage;
struct instance;

/* One message waiting on an edge. Owned by the edge's list, or by the step that took it. */
struct entry {
    struct entry *next;
    struct telex_rec *rec; /* counted */
    uint32_t attempts, retries;
    int64_t not_before_ms; /* monotonic; 0: now */
};

struct edge {
    const struct config_edge *config;
    uint32_t id; /* the journal's */
    struct stage *from, *to;
    struct entry *first, **last; /* waiting, in order of seq but for those put back */
    uint32_t n_waiting;
    uint32_t n_reserved; /* outputs handed to the journal, not pushed yet */
    uint32_t n_taken;    /* in open or committing steps */
    uint64_t n_in, n_delivered, n_superseded, n_quarantined, n_dropped;
};

/* One output of a step. */
struct output {
    struct telex_rec *rec; /* counted */
    uint32_t port;
    bool forwarded;
};

/* A state change made in a step, newest last. */
struct change {
    struct change *next;
    struct telex_bytes key, value; /* owned, in one block with the change */
    bool deleted;
};

enum step_state { STEP_FREE, STEP_OPEN, STEP_COMMITTING };

/* Room handed out and not yet committed. */
struct loan {
    struct loan *next;
    uint64_t handle;
    telex_lease lease;
    uint32_t port;
    uint64_t capacity;
    uint8_t *data; /* owned */
};

struct step {
    enum step_state state;
    telex_lease lease;
    struct instance *instance;
    struct edge *edge;   /* of the input; NULL: a source's or timer's step */
    struct entry *entry; /* owned */
    struct output *outputs;
    uint32_t n_outputs, n_loans, outputs_capacity;
    struct change *changes, **last_change;
    char *reason; /* owned; from fail() */
    bool cancelled, overdue;
    bool told; /* the plugin and its models know that it is cancelled */
    int64_t deadline_ms;
    struct step *next_pending; /* committing steps with changes, oldest first, per stage */
    struct journal_op op;
    struct step *next_free;
};

/* A call to run on the strand. */
struct task {
    struct task *next;
    void (*fn)(void *arg);
    void *arg;
};

enum { INSTANCE_TIMERS = 64, INSTANCE_METRICS = 64 };

struct metric {
    char *name, *doc;
    int32_t kind;
    double value;
};

enum instance_state { INSTANCE_STARTING, INSTANCE_RUNNING, INSTANCE_STOPPING, INSTANCE_GONE };

/* One life of a stage's plugin object. */
struct instance {
    struct stage *stage;
    struct telex_host host;          /* what the plugin sees; impl = this */
    const struct telex_stage *calls; /* the plugin's table, or the runner's proxy for it */
    void *self;                      /* the plugin's */
    bool created;
    struct models *models; /* owned; what the config gives the stage, in its order */
    char *why;             /* owned; the last fail() that named no lease */
    enum instance_state state;
    bool dead;    /* its calls are refused: it overran a deadline in-process and was left behind */
    bool starved; /* a source was told AGAIN, or has not been asked yet */
    bool in_call; /* its thread is inside the plugin */
    bool watched; /* the watchdog is inside its cancel() */
    struct loan *loans;
    uint64_t last_loan;
    struct task *first_task, **last_task;
    struct {
        uint64_t id;
        int64_t due_ms; /* 0: off */
    } timers[INSTANCE_TIMERS];
    uint32_t n_open; /* steps open */
    uint32_t refs;   /* its thread and every step of it */
};

enum stage_state { STAGE_IDLE, STAGE_RUNNING, STAGE_BACKOFF, STAGE_FAILED, STAGE_STOPPED };

struct stage {
    struct engine *engine;
    const struct config_stage *config;
    const struct telex_stage *class;
    size_t index;
    struct edge **inputs;
    size_t n_inputs, next_input;
    struct edge **outputs; /* all edges that leave it */
    size_t n_outputs;
    const char **out_origins; /* "stage.port" per output port */
    uint32_t n_out_ports;
    enum stage_state state;
    pthread_t thread; /* of the living instance */
    pthread_cond_t wake;
    struct instance *instance; /* the living one */
    bool source, exhausted;
    bool drain_due, drained;
    bool stopping;       /* its thread is to end */
    bool started, ended; /* its thread was made; has ended, or is about to */
    bool restart;        /* its instance is to be recreated */
    char *failure;       /* why it failed for good */
    int64_t restarts[8]; /* monotonic times of the latest restarts */
    uint32_t n_restarts;
    uint64_t steps_at_restart; /* n_steps then */
    uint64_t n_steps, n_rejects, n_retries, n_quarantined, n_crashes, n_outputs_total;
    struct metric metrics[INSTANCE_METRICS];
    uint32_t n_metrics;
    struct step *pending, **last_pending; /* committing steps with state changes, oldest first */
};

/* RUN -> FLUSH (once: sources are exhausted, stages are drained in order) -> DRAIN (no new input) -> STOP. */
enum engine_phase { PHASE_RUN, PHASE_FLUSH, PHASE_DRAIN, PHASE_STOP };

struct engine {
    const struct config *config;
    struct journal *journal;
    bool memory;
    uv_loop_t *loop;
    uv_async_t nudge;
    uv_timer_t tick;
    pthread_t watchdog;
    pthread_cond_t watch;
    pthread_mutex_t lock;
    enum engine_phase phase;
    bool once;   /* end when sources are exhausted and all is drained */
    bool broken; /* the journal is */
    int exit_code;
    bool watched, unwatch; /* the watchdog's thread was made; is to end */
    int64_t started_ms, stop_by_ms, expired_ms;
    struct stage *stages;
    size_t n_stages;
    struct edge *edges;
    size_t n_edges;
    int64_t last_seq;
    struct step **slots; /* lease = slot | life << 24 */
    uint32_t n_slots;
    uint64_t lives;
    struct step *free_steps;
    struct watch *watches; /* service_io.c */
    uint32_t n_committing;
    size_t flush_next; /* index of the stage whose drain is due in PHASE_FLUSH */
    void (*on_event)(void *arg, struct telex_rec *event); /* a committed telex.event/1 [any] */
    void (*on_site)(void *arg, const char *root);
    const char *base_url;
    void *hooks_arg;
};

/* Lines that callers hold engine->lock for say so by the suffix _locked. */

/* clock */
int64_t mono_ms(void);
int64_t wall_clock_ms(void);

/* edge.c */
void edge_init(struct edge *edge);
void edge_finish(struct edge *edge);
/* Put a committed message on an edge; on a keyed edge an older waiting version goes. Takes entry. */
void edge_push_locked(struct engine *engine, struct edge *edge, struct entry *entry);
/* Put a taken entry back, to be delivered again after a pause. Takes entry. */
void edge_put_back_locked(struct engine *engine, struct edge *edge, struct entry *entry, int64_t delay_ms);
/* The next deliverable entry, or NULL; *due_ms gets the earliest moment worth another look (0: none). */
struct entry *edge_take_locked(struct edge *edge, int64_t now_ms, int64_t *due_ms);
bool edge_has_room(const struct edge *edge);
bool edge_accepts(const struct edge *edge,
                  const struct telex_rec *rec); /* schema and, for counting apart, no where */
bool edge_passes_where(const struct edge *edge, const struct telex_rec *rec);
struct entry *entry_create(struct telex_rec *rec); /* retains */
void entry_destroy(struct entry *entry);

/* step.c */
struct step *step_open_locked(struct instance *instance, struct edge *edge, struct entry *entry);
struct step *step_find_locked(struct engine *engine, telex_lease lease, const struct instance *instance);
telex_status step_complete(struct instance *instance, telex_lease lease, telex_status status);
/* Drop every open step of an instance and put the inputs back; the one under `guilty` counts. */
void step_abandon_all_locked(struct instance *instance, telex_lease guilty, const char *reason);
void steps_committed(void *arg, struct journal_op *first);
void engine_journal_broken(void *arg, const char *why);
void steps_free(struct engine *engine);

/* strand.c */
int strand_start(struct stage *stage);
void strand_wake_locked(struct stage *stage);
bool post_task(struct instance *instance, void (*fn)(void *arg), void *arg);
bool stage_has_room_locked(const struct stage *stage);
void stage_restart_locked(struct stage *stage, const char *why);
void instance_unref_locked(struct instance *instance);

/* service.c: the tables a plugin sees */
void service_fill(struct instance *instance);
extern const struct telex_kv service_kv;
extern const struct telex_io service_io;
extern const struct telex_models service_models;
const void *service_ext(const struct telex_host *host, const char *id);

/* service_io.c: bring the loop's handles into line with the watches [loop]; end an instance's watches and
 * tasks */
void io_look(struct engine *engine);
void io_drop_all_locked(struct instance *instance);

/* A quarantined record returns to its edge. */
int engine_quarantine(struct engine *engine, bool retry, uint32_t edge, int64_t seq, char *why,
                      size_t why_size);

/* watchdog.c */
void *watchdog_thread(void *engine);

/* engine.c */
int engine_create(struct engine **out, const struct config *config, uv_loop_t *loop, char *why,
                  size_t why_size);
int engine_start(struct engine *engine, char *why, size_t why_size);
void engine_stop(struct engine *engine); /* begin to drain, as on SIGTERM */
void engine_destroy(struct engine *engine);
int engine_exit_code(struct engine *engine);
bool engine_hangs(struct engine *engine); /* a thread of it may still be inside a plugin */
void engine_nudge(struct engine *engine); /* have the loop look again [any] */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - a running pipeline, from the inside.
 *
 * Two kinds of locks, held for short moments and never across a plugin call or a write. engine->lock guards
 * edges, phases and the lives of instances. stage->lock guards the steps of one stage, open to completed,
 * with what its plugin does to them: a call that names a lease takes this one only. Who needs both takes the
 * engine's first. Threads: the uv loop (timers, signals, listeners; runs no plugin code), the journal's
 * writer, and one thread per stage instance, which is both its control thread and its strand: create, start,
 * process, ... stop, destroy run there one after another.
 *
 * A stage or an edge keeps its place in memory while a config takes another's place; what a swap changes of
 * an edge (to, from, config, takes_any) changes under engine->lock and the lock of the stage that the edge
 * leaves.
 *
 * The way of a record:   edge.c  waits on an edge  ->  strand.c  taken in a batch, opened as a step when its
 * turn comes  ->  service.c  outputs gather under its lease  ->  step.c  completed, gathered with others
 * (done)
 * ->  step.c  handed to the journal  ->  step.c  committed: pushed onto the next edges.
 *
 * Batches group how entries are taken and how steps are handed over, nothing else: each step has its own
 * lease, deadline and outcome. A batch never waits for another record: it is what waits already, and what is
 * done goes on when the batch ends, when a clock tick (4 ms) has passed, or with the loop's tick. */
#ifndef HOST_ENGINE_H
#define HOST_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
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

/* One message waiting on an edge. Owned by the edge's list, or by the batch or step that took it. */
struct entry {
    struct entry *next;
    struct telex_rec *rec; /* counted */
    uint32_t attempts, retries;
    int64_t not_before_ms;    /* monotonic; 0: now */
    struct stage *suspect_of; /* which may have ended because of it (suspect.c); NULL */
};

struct edge {
    const struct config_edge *config;
    uint32_t id; /* the journal's */
    struct stage *from, *to;
    bool takes_any;              /* its input port takes every schema */
    struct entry *first, **last; /* waiting, in order of seq but for those put back */
    uint32_t n_waiting;
    uint32_t n_reserved; /* outputs handed to the journal, not pushed yet */
    uint32_t n_taken;    /* in a batch, or in open or committing steps */
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

/* OPEN: its plugin may name it. CLOSED: completed; whoever completed it, then the holder of engine->lock,
 * owns it. */
enum step_state { STEP_FREE, STEP_OPEN, STEP_CLOSED };

/* Room handed out and not yet committed. */
struct loan {
    struct loan *next;
    uint64_t handle;
    telex_lease lease;
    uint32_t port;
    uint64_t capacity;
    struct telex_rec *rec; /* owned; the room is its body */
};

/* What the end of its runner means for a step: it counts against the record; it may, with others; not at all.
 */
enum blame { BLAME_UNKNOWN, BLAME_COUNTS, BLAME_SUSPECT, BLAME_NONE };

struct step {
    enum step_state state;
    enum blame blame;
    telex_lease lease;
    struct instance *instance; /* counted */
    struct edge *edge;         /* of the input; NULL: a source's or timer's step */
    struct entry *entry;       /* owned */
    struct output *outputs;    /* kept for the slot's next life */
    uint32_t n_outputs, n_loans, outputs_capacity;
    struct change *changes, **last_change;
    char *reason; /* owned; from fail() */
    bool cancelled, overdue;
    bool told; /* the plugin and its models know that it is cancelled */
    int64_t deadline_ms;
    uint64_t turn;             /* of its instance when it was found to be overdue */
    struct step *next_pending; /* completed steps with changes, oldest first, per stage */
    struct journal_op op;
    void *block; /* of op: puts, targets and changes; kept for the slot's next life */
    size_t block_bytes;
    struct step *next; /* in the list of those done, or free */
};

/* A call to run on the strand. */
struct task {
    struct task *next;
    void (*fn)(void *arg);
    void *arg;
};

enum { INSTANCE_TIMERS = 64, INSTANCE_METRICS = 64, BATCH_MAX = 256 };

struct metric {
    char *name, *doc;
    int32_t kind;
    double value;
};

struct taken {
    struct edge *edge;
    struct entry *entry; /* owned */
};

enum instance_state { INSTANCE_STARTING, INSTANCE_RUNNING, INSTANCE_STOPPING, INSTANCE_GONE };

/* One life of a stage's plugin object. */
struct instance {
    struct stage *stage;
    struct telex_host host;          /* what the plugin sees; impl = this */
    const struct telex_stage *calls; /* the plugin's table, or the runner's proxy for it */
    void *self;                      /* the plugin's */
    bool created, begun;             /* create() succeeded; start() was called */
    struct models *models;           /* owned; what the config gives the stage, in its order */
    char *why;                       /* owned; the last fail() that named no lease; under stage->lock */
    enum instance_state state;
    bool dead;        /* its calls are refused: it was left behind in a call; changes under both locks */
    atomic_bool over; /* it was stopped and destroyed, or left behind */
    bool starved;     /* a source was told AGAIN, or has not been asked yet */
    bool in_call;     /* its thread is inside the plugin */
    bool watched;     /* the watchdog is inside its cancel() */
    atomic_uint_least64_t turns;     /* calls begun */
    struct loan *loans, *free_loans; /* under stage->lock, like what follows to the gap */
    uint64_t last_loan;
    struct taken *batch; /* owned, BATCH_MAX: from their edges, to be opened one after another */
    uint32_t batch_at, n_batch;

    struct task *first_task, **last_task;
    struct {
        uint64_t id;
        int64_t due_ms; /* 0: off */
    } timers[INSTANCE_TIMERS];
    atomic_uint n_open; /* steps open; changes under stage->lock */
    atomic_uint n_held; /* steps open or done; falls under engine->lock */
    atomic_uint refs;   /* its thread and every step of it */
    const char *plugin; /* its name, which outlives its stage */
    struct instance *next_ended;
};

enum stage_state { STAGE_IDLE, STAGE_RUNNING, STAGE_BACKOFF, STAGE_FAILED, STAGE_STOPPED };

/* A stage that is to take the place of another in a running pipeline (swap.c), in this order; NO: it is part
 * of the pipeline. CREATED waits for the word to start, STARTED for the word to work. */
enum stage_join { JOIN_NO, JOIN_CREATING, JOIN_CREATED, JOIN_STARTING, JOIN_STARTED, JOIN_FAILED };

/* A stage as one config describes it: another config, class or isolation is another struct stage. Its memory
 * is used again for other stages and not freed before the engine, so that it may be signalled late. */
struct stage {
    pthread_cond_t wake;
    pthread_mutex_t lock; /* guards what stands at the end */
    struct engine *engine;
    const struct config *pipeline; /* which `config` is part of */
    const struct config_stage *config;
    const struct telex_stage *class; /* the plugin's; made of its description when isolated */
    bool isolated;                   /* runs in a process of its own */
    struct stage *next;              /* in engine->others, engine->spares */
    enum stage_join join;
    bool held;                    /* a swap looks at it: it stays when it has ended */
    bool pausing;                 /* no new input, no new steps: its strand freezes when none is open */
    bool frozen;                  /* its strand sleeps with no step open, and runs nothing while pausing */
    char *failure;                /* owned: why it could not join */
    char *site;                   /* owned: the site that it announced before it joined */
    uint32_t n_instances;         /* not freed yet */
    uint64_t n_lives, generation; /* instances made; of the config when it joined */
    size_t index;
    struct edge **inputs;
    size_t n_inputs, next_input;
    struct edge **outputs; /* all edges that leave it */
    size_t n_outputs;
    const char **out_origins; /* "stage.port" per output port */
    uint32_t n_out_ports;
    enum stage_state state;
    pthread_t thread;          /* of the living instance */
    bool sleeping;             /* its thread waits for wake */
    bool wake_due;             /* it has input and sleeps on: the stage before it will wake it */
    bool blocked;              /* it found an edge behind it full */
    atomic_bool beckoned;      /* its thread is to look up from its batch */
    uint32_t batch_size;       /* how many entries it takes at once: fewer where they take long */
    struct instance *instance; /* the living one */
    bool source, exhausted;
    bool drain_due, drained;
    bool stopping;       /* its thread is to end */
    bool started, ended; /* its thread was made; has ended, or is about to */
    bool restart;        /* its instance is to be recreated */
    int64_t restarts[8]; /* monotonic times of the latest restarts */
    uint32_t n_restarts;
    uint64_t steps_at_restart; /* n_steps then */
    bool narrows;              /* its latest end told suspects apart */
    atomic_uint n_suspects;    /* entries of its edges, waiting or taken; changes under engine->lock */
    int64_t ended_ms;          /* when its instance ended; 0: it has done a step since */
    uint64_t n_steps, n_rejects, n_retries, n_quarantined, n_crashes, n_outputs_total;

    /* Under `lock`. */
    struct metric metrics[INSTANCE_METRICS];
    uint32_t n_metrics;
    struct step **slots; /* lease = slot | life << 20; not freed before the stage */
    uint32_t n_slots;
    uint64_t lives; /* those of stage i are i modulo ENGINE_STAGES_MAX */
    struct step *free_steps;
    struct step *done, **last_done; /* completed with OK, not handed over yet, in order */
    atomic_uint n_done, n_done_outputs;
    struct step *pending, **last_pending; /* completed steps with state changes, oldest first */
    int64_t rules_second;                 /* lines about broken rules are counted by the second */
    uint32_t rules_said;
    bool looked_after; /* its strand's: it changed what it should leave alone, so each call is looked at */
};

/* RUN -> FLUSH (once: sources are exhausted, stages are drained in order) -> DRAIN (no new input) -> STOP. */
enum engine_phase { PHASE_RUN, PHASE_FLUSH, PHASE_DRAIN, PHASE_STOP };

enum { ENGINE_STAGES_MAX = 64 };

struct engine {
    const struct config *config; /* changes under lock, with generation */
    uint64_t generation;         /* 1; one more with each config that took another's place */
    bool swapping;               /* stages are being replaced (swap.c) */
    pthread_cond_t moved;        /* a stage's join or frozen did */
    struct journal *journal;
    bool memory;
    uv_loop_t *loop;
    uv_async_t nudge;
    uv_timer_t tick;
    pthread_t watchdog;
    pthread_cond_t watch;
    pthread_mutex_t lock;
    _Atomic enum engine_phase phase; /* changes under lock */
    bool once;                       /* end when sources are exhausted and all is drained */
    bool broken;                     /* the journal is */
    int exit_code;
    bool watched, unwatch; /* the watchdog's thread was made; is to end */
    int64_t started_ms, stop_by_ms, expired_ms;
    struct stage **stages; /* in the order of the config */
    size_t n_stages;
    struct stage *others; /* that are to join, or have left and are ending */
    struct stage *spares;
    struct edge **edges;
    size_t n_edges;
    int64_t last_seq;
    struct entry *free_entries;
    struct stage *wakes[64]; /* to be woken by engine_unlock */
    uint32_t n_wakes;
    bool holds_back;       /* what is pushed now comes from a strand that goes on pushing; never left set */
    struct watch *watches; /* service_io.c */
    uint32_t n_committing;
    size_t flush_next; /* index of the stage whose drain is due in PHASE_FLUSH */
    void (*on_event)(void *arg, struct telex_rec *event); /* a committed telex.event/1 [any] */
    void (*on_site)(void *arg, const char *root);
    const char *base_url;
    void *hooks_arg;
    struct reload *reload; /* reload.h; NULL: this pipeline keeps its config */
};

/* Functions that are called with engine->lock held end in _locked, with the stage's in _held. */

/* clock */
int64_t mono_ms(void);
int64_t tick_ms(void); /* the same clock as of its last tick, up to 4 ms ago; costs next to nothing */
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
bool edge_accepts(const struct edge *edge,
                  const struct telex_rec *rec); /* schema and, for counting apart, no where */
bool edge_passes_where(const struct edge *edge, const struct telex_rec *rec);
struct entry *entry_create_locked(struct engine *engine, struct telex_rec *rec); /* takes on success */
void entry_destroy_locked(struct engine *engine, struct entry *entry);           /* accepts NULL */

/* step.c */
struct step *step_open_held(struct instance *instance, struct edge *edge, struct entry *entry);
/* The open step behind a lease of this instance, or NULL; NULL for every lease of a dead instance. */
struct step *step_find_held(const struct instance *instance, telex_lease lease);
telex_status step_complete(struct instance *instance, telex_lease lease, telex_status status);
/* What this thread completes of the stage from here on is gathered, until steps_gathered_locked. A plugin's
 * call may lie between the two, so the loop hands over what stays for longer than its tick. */
void steps_gather(struct stage *stage);
void steps_gathered_locked(struct stage *stage);
bool steps_are_gathered(const struct stage *stage); /* by this thread */
/* Hand over what is done, in order. */
void steps_hand_over_locked(struct stage *stage);
/* Release a closed step's outputs and forget its changes. True when it had touched state. */
bool step_drop_effects(struct step *step);
/* A closed step's slot is free again. */
void step_free_locked(struct step *step);
void steps_committed(void *arg, struct journal_op *first);
void engine_journal_broken(void *arg, const char *why);
void steps_free(struct stage *stage);

/* step_fail.c: what becomes of a step that did not end well. The step is closed; its slot is freed. */
void step_fail_locked(struct step *step, telex_status status);
/* Drop every open step of an instance and put the inputs back; the one under `guilty` counts. */
void step_abandon_all_locked(struct instance *instance, telex_lease guilty, const char *reason);
struct mark; /* an operation on one entry, on its way to the journal */
void mark_committed_locked(struct engine *engine, struct journal_op *op);

/* suspect.c */
/* The runner of an instance has ended with these leases begun: whose doing was it? Before they are completed.
 */
void suspect_blame(struct instance *instance, const telex_lease *begun, size_t n);
void suspect_clear_locked(struct entry *entry);
/* How many steps may be open at once, of `limit`. */
uint32_t suspect_limit(const struct stage *stage, uint32_t limit);

/* strand.c */
int strand_start(struct stage *stage);
void strand_wake_locked(struct stage *stage); /* there may be input or room */
void strand_call_locked(struct stage *stage); /* there is something that comes before the rest of a batch */
/* Wake when the lock is let go, by engine_unlock: for what happens often. */
void strand_wake_later_locked(struct stage *stage);
void engine_unlock(struct engine *engine);
/* Take engine->lock, trying for about 30 us before sleeping: to be woken takes longer than it is held. */
void engine_lock(struct engine *engine);
/* Wake those after the stage that have input and were not woken for it. */
void strand_wake_next_locked(struct stage *stage);
/* Entries of a batch that were not begun go back. */
void batch_put_back_locked(struct instance *instance);
bool post_task(struct instance *instance, void (*fn)(void *arg), void *arg);
bool stage_has_room_locked(struct stage *stage);
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

/* stage.c */
/* A stage of `pipeline`, with its class loaded, outside the engine's pipeline. Its leases are `index` modulo
 * ENGINE_STAGES_MAX. 0 or -errno with the reason in why. Without the lock. */
int stage_make(struct stage **out, struct engine *engine, const struct config *pipeline, size_t at,
               size_t index, char *why, size_t why_size);
/* Take a stage apart that has ended, with no instance left. */
void stage_recycle_locked(struct stage *stage);
void stage_destroy(struct stage *stage); /* accepts NULL; nothing of it may run */
/* Make an edge of engine->config between its stages, with what waits on it. */
int edge_connect_locked(struct engine *engine, size_t at);
/* Whether the port takes every schema; ",a,b," in out. */
bool edge_schemas(const struct config_edge *config, const struct telex_stage *to, char *out, size_t size);

/* watchdog.c */
void *watchdog_thread(void *engine);

/* engine.c */
int engine_create(struct engine **out, const struct config *config, uv_loop_t *loop, char *why,
                  size_t why_size);
int engine_start(struct engine *engine, char *why, size_t why_size);
void engine_stop(struct engine *engine); /* begin to drain, as on SIGTERM */
void engine_destroy(struct engine *engine);
int64_t engine_drain_ms(struct engine *engine); /* the config's `drain` */
uint64_t engine_generation(struct engine *engine);
int engine_exit_code(struct engine *engine);
bool engine_hangs(struct engine *engine); /* a thread of it may still be inside a plugin */
void engine_nudge(struct engine *engine); /* have the loop look again [any] */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* telex/stage.h - the class "telex.stage/1": a step on the way from signal to wire.
 *
 * Life: create -> start -> process | on_credit | on_timer ... -> drain -> stop -> destroy. The host may end a life
 * after create (destroy follows at once) and may recreate an instance at any time from its kv state. `stop` is the
 * barrier: no thread, timer or callback of the instance is alive when it returns. */
#ifndef TELEX_STAGE_H
#define TELEX_STAGE_H

#include "host.h"
#include "option.h"

/* Where a stage stands. A filter takes and gives the same schema. */
enum { TELEX_SIGNAL = 1, TELEX_CLUSTER = 2, TELEX_WRITE = 3, TELEX_WIRE = 4, TELEX_FILTER = 5 };

enum {
    TELEX_STAGE_STATEFUL = 1 /* keeps state through kv: the host opens one step at a time */
};

enum { TELEX_IN = 1, TELEX_OUT = 2 };

/* One input or output. Inputs and outputs are numbered apart, each from 0 in the order of the list. */
struct telex_port {
    uint32_t size, direction;
    const char *name;
    const char *const *schemas; /* NULL-ended; {"*", NULL} takes any */
};

struct telex_stage {
    uint32_t size, role, flags;
    uint32_t max_outputs; /* the most messages one step may commit; at least 1 unless it has no outputs */
    const char *name;     /* equals the plugin's file name without .so, never changes */
    const char *version;
    const char *doc;                           /* one line */
    const struct telex_port *const *ports;     /* NULL-ended; no input: a source */
    const struct telex_option *const *options; /* NULL-ended, or NULL */
    const char *const *needs;                  /* NULL-ended: "net" "fs:read" "fs:write" "gpu" "model" "http" */

    /* Make an instance from its checked options (msgpack map, borrowed). `host` outlives destroy. Sets *self only
     * on OK. Starts no thread. [control] */
    telex_status (*create)(const struct telex_host *host, struct telex_bytes options, void **self);

    /* Threads may begin here; kv can be read with lease 0. NULL is fine. [strand] */
    telex_status (*start)(void *self);

    /* Handle one step. `in` is borrowed until it returns (retain it to keep it). OK: the host completes the lease;
     * PENDING: complete() will follow; a failure completes it with that status. Sources leave it NULL. [strand] */
    telex_status (*process)(void *self, telex_lease lease, struct telex_rec *in);

    /* A source may open steps now: called after start and whenever an output edge has room again. [strand] */
    void (*on_credit)(void *self);

    /* A timer set through telex.timer/1 is due. [strand] */
    void (*on_timer)(void *self, uint64_t timer);

    /* The step should end early; complete() is still due. NULL is fine. [any] */
    void (*cancel)(void *self, telex_lease lease);

    /* Open no further steps, finish what is held before `deadline_ms` (TELEX_CLOCK_MONO). NULL is fine. [strand] */
    void (*drain)(void *self, int64_t deadline_ms);

    /* No thread, timer or callback of the instance is alive after it returns. NULL is fine. [control] */
    void (*stop)(void *self);

    /* Free the instance. Called once, after stop where start was called. [control] */
    void (*destroy)(void *self);
};

#endif

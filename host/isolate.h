/* SPDX-License-Identifier: Apache-2.0 */
/* isolate.h - a stage that runs in a process of its own.
 *
 * The engine treats an isolated stage as an instance like any other: isolate_create stands for the plugin's
 * create, the table isolate_stage for the rest. Behind it a telex-runner loads the same .so; every host call
 * that the plugin makes there becomes a call on the very same struct telex_host that an instance in this
 * process would have got, made by one thread of the proxy. process() hands the record over and returns
 * PENDING; complete() follows.
 *
 * When the runner ends unasked (a crash, exit(), isolate_kill), each open lease is completed with a reason:
 * FATAL where its step had begun, AGAIN where it had only been handed over. `died` is called once after that.
 * The instance then only answers AGAIN until it is stopped and destroyed; the engine makes a new one.
 *
 * The runner is never trusted: it cannot write what it was given, and what it says is copied and checked
 * before it is used. It dies with the host. */
#ifndef HOST_ISOLATE_H
#define HOST_ISOLATE_H

#include <stdbool.h>
#include <sys/types.h>

#include <telex/stage.h>

#include "loader.h"

/* A model that the stage asks for; it is opened inside the runner. */
struct isolate_model {
    const char *role; /* under which name the stage knows it; "" for its first */
    const char *name; /* the config's name, for messages */
    const struct plugin_desc *plugin;
    struct telex_bytes options; /* checked map */
};

/* Bounds of the process; 0 leaves the host's own. */
struct isolate_limits {
    int32_t nice; /* added to the host's */
    uint64_t
        memory_bytes;   /* address space of the stage and its models. Not for CUDA, which reserves far more */
    uint64_t files;     /* open descriptors */
    uint64_t processes; /* of the user; does not bind root */
};

struct isolate_spec {
    const char *runner; /* path of telex-runner, or NULL: isolate_runner_path */
    const char *name;   /* the stage's name, for messages */
    const struct plugin_desc *plugin;
    struct telex_bytes options; /* checked map */
    const struct isolate_model *models;
    size_t n_models;
    struct isolate_limits limits;
    bool sandbox_off;          /* leave out the bounds of runner/sandbox.h */
    int64_t create_timeout_ms; /* loading, models and create; 0: 180 s */
    int64_t start_timeout_ms;  /* 0: 60 s */
    int64_t stop_timeout_ms;   /* stop, and again destroy, before the runner is killed; 0: 5 s */
    /* The runner ended unasked. Called once, after the open leases were completed, on the proxy's thread;
     * must not call isolate_stop or isolate_destroy there. NULL is fine. */
    void (*died)(void *arg, const char *why);
    void *died_arg;
    /* What the runner said is heard in runs: told before one begins and after it, on the proxy's thread, so
     * that completions can be taken together. NULL is fine. */
    void (*gather)(void *arg, bool begins);
    void *gather_arg;
    /* The runner ended with these leases begun and not completed; called before they are. NULL is fine. */
    void (*blame)(void *arg, const telex_lease *begun, size_t n);
    void *blame_arg;
};

/* Start a runner and create the instance in it. Everything in spec but strings of `died_arg` is borrowed
 * until it returns; host must outlive isolate_destroy. What the plugin's create returned, or FATAL when there
 * is no runner; the reason went to host->fail. [control] */
telex_status isolate_create(const struct isolate_spec *spec, const struct telex_host *host, void **self);

/* start, process, on_credit, on_timer, cancel, drain, stop and destroy of an isolated instance; no create,
 * ports or options, which are the plugin's own. */
extern const struct telex_stage isolate_stage;

/* Between true and false the runner is not woken for every record that process() gives it. [strand] */
void isolate_hold(void *self, bool holds);

/* Kill the runner, for a step past its deadline; what follows is as for a crash, with `why` as the reason.
 * [any] */
void isolate_kill(void *self, const char *why);

/* When the runner could turn to a step, in TELEX_CLOCK_MONO: steps wait there for their turn, and a deadline
 * counts from this moment, not from process(). 0 for a lease that is not open here, or one that was begun
 * earlier than the last. [any] */
int64_t isolate_turn_ms(void *self, telex_lease lease);

/* The process, for the operator's eyes; 0 once it is gone. [any] */
pid_t isolate_pid(void *self);

/* TELEX_RUNNER, or telex-runner beside this program, or where it is installed. */
void isolate_runner_path(char *out, size_t size);

#endif

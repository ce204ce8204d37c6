/* SPDX-License-Identifier: Apache-2.0 */
/* memory_host.h - a host in memory, for tests of one stage.
 *
 * It keeps the contract's promises about leases, outputs and kv, and remembers everything that a plugin told
 * it. Its clock is scripted: each question is answered with the next millisecond, so two runs can be compared
 * byte for byte. All functions may be called from any thread. */
#ifndef TESTS_MEMORY_HOST_H
#define TESTS_MEMORY_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include <telex/ext/http.h>
#include <telex/ext/io.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/timer.h>
#include <telex/stage.h>

enum { MEMORY_STEPS_MAX = 1 << 16, MEMORY_TEXT_MAX = 1 << 20 };

struct memory_pair {
    struct memory_pair *next;
    struct telex_bytes key, value; /* in one block with the pair */
    bool deleted;
};

struct memory_output {
    struct memory_output *next;
    uint32_t port;
    struct telex_rec *rec; /* counted */
};

struct memory_step {
    bool open;
    telex_status status;
    uint32_t n_outputs;
    struct memory_output *outputs, **last_output;
    struct memory_pair *changes;
    char reason[600];
};

struct memory_host {
    struct telex_host host;
    const struct telex_stage *class; /* borrowed; NULL: any port, any schema, no bound */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct memory_step *steps; /* lease n is steps[n] */
    uint64_t n_steps, n_open, n_completed;
    struct memory_output *outputs, **last_output; /* committed, in order */
    uint64_t n_outputs;
    bool keeps_outputs; /* default; false: only counts them */
    struct memory_pair *kv;
    struct telex_rec *stored[64]; /* what get() finds */
    size_t n_stored;
    struct memory_loan {
        uint64_t handle, capacity;
        telex_lease lease;
        uint32_t port;
        uint8_t *data;
        struct memory_loan *next;
    } * loans;
    uint64_t last_loan;
    int64_t clock_ms;
    int32_t opens_left; /* how often open() says OK before AGAIN */
    bool exhausted;
    char *log; /* every line, "level lease text\n" */
    size_t log_size;
    char reason[600]; /* of fail() with lease 0 */
    double metrics[64];
    int32_t n_metrics;
    uint64_t timer;
    int64_t timer_ms;
    char site[256];
    bool stopped;          /* the test says so: any call after it is counted */
    uint64_t n_late_calls; /* calls that came after */
    uint64_t n_records;    /* live records made here */
};

struct memory_host *memory_host_create(const struct telex_stage *class);
/* Fails the test when a record is still held. */
void memory_host_destroy(struct memory_host *mh);

/* Store a record for get(). Borrowed body. */
void memory_host_store(struct memory_host *mh, struct telex_bytes body);

/* Open a lease for a body and call process(); completes it when process() answers at once. Gives the lease.
 */
telex_lease memory_host_deliver(struct memory_host *mh, const struct telex_stage *calls, void *self,
                                struct telex_bytes body);

/* Wait until a lease is complete, or `timeout_ms`. Its status; TELEX_PENDING when it is late. */
telex_status memory_host_await(struct memory_host *mh, telex_lease lease, int64_t timeout_ms);
/* Wait until nothing is open. false when it takes longer. */
bool memory_host_idle(struct memory_host *mh, int64_t timeout_ms);
/* Wait until the stage has said that it has nothing more. */
bool memory_host_exhausted(struct memory_host *mh, int64_t timeout_ms);
const char *memory_host_reason(struct memory_host *mh, telex_lease lease);

/* Wait until a text is in the log. */
bool memory_host_logged(struct memory_host *mh, const char *text, int64_t timeout_ms);

/* SHA-256 over everything committed: outputs in order with ports, then kv by key. Hex. */
void memory_host_digest(struct memory_host *mh, char out[65]);

/* A telex.record/1 with an id and a text of so many bytes. Gives the bytes (free data). */
struct telex_bytes memory_record(const char *id, uint64_t version, const char *command, size_t text_bytes);

#endif

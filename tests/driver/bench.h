/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - a test's workbench: a driver over the toy model, and jobs that are handed in and waited for. */
#ifndef TESTS_DRIVER_BENCH_H
#define TESTS_DRIVER_BENCH_H

#include <pthread.h>

#include <driver/driver.h>

#include "toy.h"

/* A host that only logs (to stderr). */
extern const struct telex_host quiet_host;

/* One job and, once waited for, its result. */
struct request {
    const char *system, *user, *schema;
    uint32_t max_tokens;
    uint64_t seed;
    int64_t timeout_ms;
    struct telex_sampler sampler; /* size 0: greedy */
    const struct telex_bytes *drafts;
    uint32_t n_drafts;

    uint64_t id;
    telex_status accepted;
    char why[256];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls; /* of done */
    telex_status status;
    uint32_t finish, prompt_tokens, cached_tokens, output_tokens;
    uint32_t passes, forced_tokens, drafted_tokens, accepted_tokens;
    int64_t prefill_us, decode_us;
    char *text, *error;
};

void request_start(struct driver *driver, struct request *r);
/* Waits at most 20 s; returns the status. */
telex_status request_wait(struct request *r);
void request_free(struct request *r);
/* Start and wait. */
telex_status request_run(struct driver *driver, struct request *r);

/* A driver over a toy; fails the test when it does not open. */
struct driver *bench_open(struct toy *toy, const struct toy_config *toy_config,
                          const struct driver_config *config);

#endif

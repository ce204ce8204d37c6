/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c - see bench.h. */
#include "bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void log_line(const struct telex_host *host, int32_t level, telex_lease lease,
                     struct telex_bytes text) {
    (void)host, (void)lease;
    if (level >= TELEX_WARN)
        fprintf(stderr, "%.*s\n", (int)text.size, (const char *)text.data);
}

static telex_status fail_line(const struct telex_host *host, telex_lease lease, telex_status status,
                              struct telex_bytes why) {
    log_line(host, TELEX_ERROR, lease, why);
    return status;
}

const struct telex_host quiet_host = {.size = sizeof(quiet_host), .log = log_line, .fail = fail_line};

static void on_done(void *arg, const struct telex_result *result) {
    struct request *r = arg;
    pthread_mutex_lock(&r->lock);
    r->calls++;
    r->status = result->status;
    r->finish = result->finish;
    r->prompt_tokens = result->prompt_tokens;
    r->cached_tokens = result->cached_tokens;
    r->output_tokens = result->output_tokens;
    r->passes = result->passes;
    r->forced_tokens = result->forced_tokens;
    r->drafted_tokens = result->drafted_tokens;
    r->accepted_tokens = result->accepted_tokens;
    r->prefill_us = result->prefill_us;
    r->decode_us = result->decode_us;
    r->text = strndup((const char *)result->text.data, result->text.size);
    r->error = strndup((const char *)result->error.data, result->error.size);
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static struct telex_message message(uint32_t role, const char *text) {
    struct telex_message m = {.size = sizeof(m), .role = role, .text = {(const uint8_t *)text, strlen(text)}};
    return m;
}

void request_start(struct driver *driver, struct request *r) {
    struct telex_message system = message(TELEX_ROLE_SYSTEM, r->system ? r->system : "");
    struct telex_message user = message(TELEX_ROLE_USER, r->user ? r->user : "");
    const struct telex_message *both[2] = {&system, &user};
    struct telex_job job = {.size = sizeof(job),
                            .n_messages = r->system ? 2 : 1,
                            .messages = both + !r->system,
                            .max_tokens = r->max_tokens,
                            .seed = r->seed,
                            .timeout_ms = r->timeout_ms,
                            .n_drafts = r->n_drafts,
                            .drafts = r->drafts,
                            .sampler = r->sampler.size ? &r->sampler : NULL,
                            .schema = {(const uint8_t *)r->schema, r->schema ? strlen(r->schema) : 0}};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->accepted = driver_generate(driver, &job, on_done, r, &r->id, r->why, sizeof(r->why));
}

telex_status request_wait(struct request *r) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&r->lock);
    while (r->calls == 0)
        if (pthread_cond_timedwait(&r->changed, &r->lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&r->lock);
    assert_int_equal(r->calls, 1);
    return r->status;
}

void request_free(struct request *r) {
    free(r->text);
    free(r->error);
    r->text = r->error = NULL;
    r->calls = 0;
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
}

telex_status request_run(struct driver *driver, struct request *r) {
    request_start(driver, r);
    if (r->accepted != TELEX_OK)
        fail_msg("not accepted: %d %s", r->accepted, r->why);
    return request_wait(r);
}

struct driver *bench_open(struct toy *toy, const struct toy_config *toy_config,
                          const struct driver_config *config) {
    struct driver *driver = NULL;
    char why[256];
    toy_init(toy, toy_config);
    if (driver_open(&quiet_host, &toy_model, toy, config, &driver, why, sizeof(why)) != TELEX_OK)
        fail_msg("%s", why);
    return driver;
}

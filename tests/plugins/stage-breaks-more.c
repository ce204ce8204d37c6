/* SPDX-License-Identifier: Apache-2.0 */
/* stage-breaks-more - breaks the rule that its option names, where a single call is not enough to see it:
 * rules of restarts, threads, time, other processes and made-up records. With rule `none` it is a good
 * filter. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex/ext/metrics.h>
#include <telex-sdk/plugin.h>

struct more {
    const struct telex_host *host; /* borrowed */
    const char *rule;              /* in memory */
    int64_t size;
    void *memory; /* owned */
    pthread_t slow;
    pid_t maker; /* the thread that made it */
    int64_t n_seen;
    telex_lease held;
    bool slow_runs;
};

static atomic_int n_living;
static void *volatile lost; /* what nobody frees */

static const char *const rules[] = {"none",
                                    "life.leak",
                                    "life.shared",
                                    "life.surroundings",
                                    "life.kill",
                                    "thread.control",
                                    "thread.moves",
                                    "drain.late",
                                    "cancel.ignored",
                                    "state.restart",
                                    "isolated.dies",
                                    "isolated.differs",
                                    "record.changed",
                                    "fuzz.crash",
                                    "option.says-why",
                                    "life.output",
                                    NULL};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "rule", .type = TELEX_CHOICE, .offset = offsetof(struct more, rule),
                 .initial = "none", .choices = rules, .doc = "the rule to break"),
    TELEX_OPTION(.name = "size", .type = TELEX_INT, .offset = offsetof(struct more, size), .initial = "1",
                 .min = 0, .max = 100, .doc = "a number that may be too large"),
    NULL,
};

static bool is(const struct more *more, const char *rule) {
    return strcmp(more->rule, rule) == 0;
}

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static telex_status more_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct more *more = calloc(1, sizeof(*more));
    if (!more || telex_options_read(options, given, more, &more->memory) < 0) {
        free(more);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    if (is(more, "option.says-why") && more->size == 100) {
        free(more->memory);
        free(more);
        return TELEX_FATAL;
    }
    more->host = host;
    more->maker = gettid();
    atomic_fetch_add(&n_living, 1);
    if (is(more, "life.leak"))
        lost = malloc(4096);
    *self = more;
    return TELEX_OK;
}

static void *define(void *arg) {
    const struct telex_host *host = arg;
    const struct telex_metrics *metrics = host->ext(host, TELEX_METRICS);
    metrics->define(host, TELEX_COUNTER, "seen", "records seen");
    return NULL;
}

static telex_status more_start(void *self) {
    const struct more *more = self;
    pthread_t thread;
    if (is(more, "thread.control") && pthread_create(&thread, NULL, define, (void *)more->host) == 0)
        pthread_join(thread, NULL);
    return TELEX_OK;
}

static telex_status emit(const struct more *more, telex_lease lease, int64_t number) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_text(&b, "x");
    telex_build_key(&b, "number"), telex_build_int(&b, number);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, more->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static void *finish_late(void *arg) {
    struct more *more = arg;
    nap_ms(1600);
    more->host->complete(more->host, more->held, TELEX_OK);
    return NULL;
}

static void join_slow(struct more *more) {
    if (more->slow_runs)
        pthread_join(more->slow, NULL);
    more->slow_runs = false;
}

static telex_status be_slow(struct more *more, telex_lease lease) {
    join_slow(more);
    more->held = lease;
    more->slow_runs = pthread_create(&more->slow, NULL, finish_late, more) == 0;
    return more->slow_runs ? TELEX_PENDING : TELEX_RETRY;
}

/* What is made up by the kit only: a title that is a list of several. */
static bool has_listed_title(const struct more *more, const struct telex_rec *in) {
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    uint32_t n = 0;
    if (more->host->view(more->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return false;
    telex_map_array(map.root, "title", &n);
    telex_map_close(&map);
    return n > 1;
}

static void spoil(const struct more *more, const struct telex_rec *in) {
    struct telex_view view = {.size = sizeof(view)};
    if (more->host->view(more->host, in, &view) == TELEX_OK)
        ((uint8_t *)(uintptr_t)view.body.data)[view.body.size - 1] ^= 1;
}

static telex_status more_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct more *more = self;
    bool there = strcmp(program_invocation_short_name, "telex-runner") == 0;
    sigset_t term;
    more->n_seen++;
    if (is(more, "life.output"))
        puts("{\"not\": \"a finding\"}"), fflush(stdout);
    if (is(more, "life.surroundings"))
        sigemptyset(&term), sigaddset(&term, SIGTERM), pthread_sigmask(SIG_BLOCK, &term, NULL);
    if (is(more, "life.kill"))
        kill(getppid(), SIGKILL);
    if ((is(more, "isolated.dies") && there) || (is(more, "fuzz.crash") && has_listed_title(more, in)))
        raise(SIGSEGV);
    if (is(more, "record.changed"))
        spoil(more, in);
    if (is(more, "cancel.ignored"))
        return be_slow(more, lease);
    return emit(more, lease,
                is(more, "life.shared")        ? atomic_load(&n_living)
                : is(more, "thread.moves")     ? more->maker == gettid()
                : is(more, "state.restart")    ? more->n_seen
                : is(more, "isolated.differs") ? there
                                               : 0);
}

static void more_drain(void *self, int64_t deadline_ms) {
    const struct more *more = self;
    (void)deadline_ms;
    if (is(more, "drain.late"))
        nap_ms(2500);
}

static void more_stop(void *self) {
    join_slow(self);
}

static void more_destroy(void *self) {
    struct more *more = self;
    atomic_fetch_sub(&n_living, 1);
    free(more->memory);
    free(more);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "out", "telex.record/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "stage-breaks-more",
    .version = "0.1.0",
    .doc = "breaks a rule of the contract",
    .ports = ports,
    .options = options,
    .create = more_create,
    .start = more_start,
    .process = more_process,
    .drain = more_drain,
    .stop = more_stop,
    .destroy = more_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-breaks-more", "0.1.0", "Apache-2.0", "breaks a rule of the contract")

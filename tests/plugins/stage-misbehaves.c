/* SPDX-License-Identifier: Apache-2.0 */
/* stage-misbehaves - does on one record what the contract forbids: the option `act` says what, `at` on which.
 *
 * Each act is a row of docs/misbehaviour.md; tests/host/test_misbehaviour.py runs each one in the host's
 * process and in a process of its own. Every other record is forwarded. */
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex/ext/metrics.h>

#include <telex-sdk/plugin.h>

/* misbehave-throw.cpp */
void misbehave_throw(void);

struct misbehaves {
    const struct telex_host *host; /* borrowed */
    const char *act;               /* in memory */
    int64_t at;                    /* the record's `number` */
    void *memory;                  /* owned, of the options */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "act", .type = TELEX_TEXT, .offset = offsetof(struct misbehaves, act),
                 .initial = "none", .doc = "what to do wrong"),
    TELEX_OPTION(.name = "at", .type = TELEX_INT, .offset = offsetof(struct misbehaves, at), .initial = "2",
                 .doc = "on which record"),
    NULL,
};

static telex_status misbehaves_create(const struct telex_host *host, struct telex_bytes given, void **out) {
    struct misbehaves *self = calloc(1, sizeof(*self));
    if (!self || telex_options_read(options, given, self, &self->memory) < 0) {
        free(self);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    self->host = host;
    *out = self;
    return TELEX_OK;
}

/* ---- what is wrong with messages ---- */

static telex_status commit_bytes(const struct misbehaves *self, telex_lease lease, const void *body,
                                 size_t size) {
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = self->host->loan(self->host, lease, 0, size, &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, body, size);
    return self->host->commit(self->host, &loan, size);
}

/* A map whose one value is a thousand arrays in one another. */
static telex_status commit_deep(const struct misbehaves *self, telex_lease lease) {
    uint8_t body[1024];
    static const uint8_t head[] = "\x83\xa6schema\xaetelex.record/1\xa2id\xa4"
                                  "deep\xa4nest";
    memset(body, 0x91, sizeof(body));
    memcpy(body, head, sizeof(head) - 1);
    body[sizeof(body) - 1] = 0xc0;
    return commit_bytes(self, lease, body, sizeof(body));
}

/* A map that claims four billion pairs, in twelve bytes. */
static telex_status commit_claim(const struct misbehaves *self, telex_lease lease) {
    static const uint8_t body[] = "\xdf\xff\xff\xff\xff\xa6schema\xdb\xff\xff\xff\xff";
    return commit_bytes(self, lease, body, sizeof(body) - 1);
}

static telex_status take_4gib(const struct misbehaves *self, telex_lease lease) {
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = self->host->loan(self->host, lease, 0, (uint64_t)4 << 30, &loan);
    return status == TELEX_OK ? TELEX_FATAL : status;
}

static telex_status write_on(const struct misbehaves *self, telex_lease lease) {
    static const uint8_t body[] = "\x83\xa6schema\xaetelex.record/1\xa2id\xa4late\xa6number\x02";
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = self->host->loan(self->host, lease, 0, sizeof(body), &loan);
    if (status != TELEX_OK)
        return status;
    uint8_t *data = loan.data;
    memcpy(data, body, sizeof(body) - 1);
    status = self->host->commit(self->host, &loan, sizeof(body) - 1);
    data[0] = 0xc1; /* no msgpack begins so */
    return status;
}

/* ---- threads ---- */

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void *define_a_metric(void *arg) {
    const struct misbehaves *self = arg;
    const struct telex_metrics *metrics = self->host->ext(self->host, TELEX_METRICS);
    int32_t metric = metrics->define(self->host, TELEX_COUNTER, "late_metric", "from a thread");
    return metric < 0 ? arg : NULL;
}

static void on_a_thread(struct misbehaves *self, void *(*fn)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, fn, self) == 0)
        pthread_join(thread, NULL);
}

/* Outlives its instance, whose memory is gone: it has what it needs. */
static void *call_for_ever(void *arg) {
    const struct telex_host *host = arg;
    static const char text[] = "still here";
    for (int i = 0; i < 100; i++, nap_ms(10)) {
        telex_lease lease;
        host->log(host, TELEX_INFO, 0, telex_text(text));
        if (host->open(host, &lease) == TELEX_OK)
            (void)host->complete(host, lease, TELEX_OK);
        host->exhausted(host);
    }
    return NULL;
}

static void leave_a_thread(const struct misbehaves *self) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, call_for_ever, (void *)(uintptr_t)self->host) == 0)
        pthread_detach(thread);
}

/* ---- what ends a process ---- */

static jmp_buf nowhere;

static __attribute__((noinline)) int arm(void) {
    return setjmp(nowhere);
}

static void jump_into_a_dead_frame(void) {
    if (arm() == 0)
        longjmp(nowhere, 1);
    abort(); /* a libc that lets it pass has come back to a frame that is gone */
}

/* ---- what all of a process shares ---- */

static void block_signals(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void take_signal(int sig) {
    (void)sig;
}

static int act_is(const struct misbehaves *self, const char *act) {
    return strcmp(self->act, act) == 0;
}

static telex_status of_the_process(const struct misbehaves *self) {
    if (act_is(self, "closes stdin"))
        close(STDIN_FILENO);
    if (act_is(self, "sets the locale"))
        setlocale(LC_ALL, "C.UTF-8");
    if (act_is(self, "blocks signals"))
        block_signals();
    if (act_is(self, "takes SIGTERM"))
        signal(SIGTERM, take_signal);
    return TELEX_OK;
}

static telex_status misbehave(struct misbehaves *self, telex_lease lease, struct telex_rec *in) {
    const struct telex_host *host = self->host;
    if (act_is(self, "completes twice")) {
        (void)host->forward(host, lease, 0, in);
        (void)host->complete(host, lease, TELEX_OK);
        (void)host->complete(host, lease, TELEX_OK);
        return TELEX_PENDING;
    }
    if (act_is(self, "answers an unknown status"))
        return 77;
    if (act_is(self, "asks for 4 GiB"))
        return take_4gib(self, lease);
    if (act_is(self, "commits a nested bomb"))
        return commit_deep(self, lease);
    if (act_is(self, "commits a claimed bomb"))
        return commit_claim(self, lease);
    if (act_is(self, "writes after commit"))
        return write_on(self, lease);
    if (act_is(self, "names a lease it never got"))
        (void)host->complete(host, 0x123456789, TELEX_OK);
    if (act_is(self, "calls from the wrong thread"))
        on_a_thread(self, define_a_metric);
    if (act_is(self, "calls after stop")) {
        leave_a_thread(self);
        return telex_fail(host, lease, TELEX_FATAL, "wants a new life");
    }
    if (act_is(self, "jumps with longjmp"))
        jump_into_a_dead_frame();
    if (act_is(self, "throws an exception"))
        misbehave_throw();
    if (act_is(self, "calls exit"))
        exit(0);
    if (act_is(self, "calls abort"))
        abort();
    if (act_is(self, "ends its thread"))
        pthread_exit(NULL);
    if (act_is(self, "hangs"))
        for (;;)
            pause();
    return of_the_process(self);
}

static int64_t number_of(const struct misbehaves *self, struct telex_rec *in) {
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    if (self->host->view(self->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return -1;
    int64_t number = telex_map_int(map.root, "number", -1);
    telex_map_close(&map);
    return number;
}

static telex_status misbehaves_process(void *arg, telex_lease lease, struct telex_rec *in) {
    struct misbehaves *self = arg;
    if (number_of(self, in) == self->at) {
        telex_status status = misbehave(self, lease, in);
        if (status != TELEX_OK || act_is(self, "writes after commit"))
            return status;
    }
    return self->host->forward(self->host, lease, 0, in);
}

static void misbehaves_destroy(void *arg) {
    struct misbehaves *self = arg;
    free(self->memory);
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "out", "*"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 2,
    .name = "stage-misbehaves",
    .version = "0.1.0",
    .doc = "does what the contract forbids",
    .ports = ports,
    .options = options,
    .create = misbehaves_create,
    .process = misbehaves_process,
    .destroy = misbehaves_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-misbehaves", "0.1.0", "Apache-2.0", "does what the contract forbids")

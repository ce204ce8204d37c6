/* SPDX-License-Identifier: Apache-2.0 */
/* stage-breaks - breaks the rule of the contract that its option names; `telex check` must find it.
 *
 * With rule `none` it is a good filter. Each deed is small and done in the call where a careless author would
 * do it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <telex/ext/http.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/timer.h>
#include <telex-sdk/plugin.h>

struct breaks {
    const struct telex_host *host; /* borrowed */
    const char *rule;              /* in memory */
    void *memory;                  /* owned */
    struct telex_rec *kept;        /* owned when not NULL */
};

static const char *const rules[] = {"none",
                                    "life.create",
                                    "life.start",
                                    "life.exit",
                                    "life.after-stop",
                                    "life.thread-left",
                                    "life.file-left",
                                    "lease.returned",
                                    "lease.unknown",
                                    "lease.closed",
                                    "loan.kept",
                                    "loan.dead",
                                    "loan.overrun",
                                    "loan.length",
                                    "output.identity",
                                    "output.schema",
                                    "output.port",
                                    "output.differs",
                                    "record.unknown",
                                    "record.release",
                                    "record.after-end",
                                    "record.kept",
                                    "status.unknown",
                                    "table.size",
                                    "kv.lease",
                                    "kv.undeclared",
                                    "timer.handler",
                                    "log.text",
                                    "log.level",
                                    "metrics.name",
                                    "http.root",
                                    NULL};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "rule", .type = TELEX_CHOICE, .offset = offsetof(struct breaks, rule),
                 .initial = "none", .choices = rules, .doc = "the rule to break"),
    NULL,
};

static bool is(const struct breaks *breaks, const char *rule) {
    return strcmp(breaks->rule, rule) == 0;
}

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void *linger(void *arg) {
    const struct telex_host *host = arg;
    if (host) {
        nap_ms(20);
        for (int i = 0; i < 5; i++, nap_ms(10))
            host->now_ms(host, TELEX_CLOCK_MONO);
    }
    nap_ms(20000);
    return NULL;
}

static void leave_thread(void *arg) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, linger, arg) == 0)
        pthread_detach(thread);
}

static telex_status breaks_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct breaks *breaks = calloc(1, sizeof(*breaks));
    if (!breaks || telex_options_read(options, given, breaks, &breaks->memory) < 0) {
        free(breaks);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    breaks->host = host;
    if (is(breaks, "metrics.name")) {
        const struct telex_metrics *metrics = host->ext(host, TELEX_METRICS);
        metrics->define(host, TELEX_COUNTER, "Not A Name", "a metric");
    }
    if (is(breaks, "life.create")) {
        free(breaks->memory);
        free(breaks);
        return TELEX_FATAL;
    }
    *self = breaks;
    return TELEX_OK;
}

static telex_status breaks_start(void *self) {
    const struct breaks *breaks = self;
    if (is(breaks, "life.file-left") && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return TELEX_FATAL;
    if (is(breaks, "life.thread-left"))
        leave_thread(NULL);
    if (is(breaks, "http.root")) {
        const struct telex_http *http = breaks->host->ext(breaks->host, TELEX_HTTP);
        http->site(breaks->host, "relative/folder");
    }
    if (is(breaks, "timer.handler")) {
        const struct telex_timer *timer = breaks->host->ext(breaks->host, TELEX_TIMER);
        timer->set(breaks->host, 1, 10);
    }
    return is(breaks, "life.start") ? TELEX_FATAL : TELEX_OK;
}

static telex_status emit(const struct breaks *breaks, telex_lease lease, const char *schema, const char *id,
                         int64_t number) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, schema);
    telex_build_key(&b, "id"), telex_build_text(&b, id);
    telex_build_key(&b, "number"), telex_build_int(&b, number);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, breaks->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static telex_status break_loan(const struct breaks *breaks, telex_lease lease) {
    static const uint8_t body[] = "\x82\xa6schema\xaetelex.record/1\xa2id\xa1x";
    const struct telex_host *host = breaks->host;
    struct telex_loan loan = {.size = is(breaks, "table.size") ? 0 : sizeof(loan)};
    uint64_t size = sizeof(body) - 1;
    telex_status status = host->loan(host, lease, 0, size, &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, body, size);
    if (is(breaks, "loan.kept"))
        return TELEX_OK;
    if (is(breaks, "loan.overrun"))
        loan.data[size] = 0;
    status = host->commit(host, &loan, is(breaks, "loan.length") ? size + 1000 : size);
    if (is(breaks, "loan.dead"))
        host->commit(host, &loan, size);
    return status;
}

static telex_status break_record(struct breaks *breaks, telex_lease lease, struct telex_rec *in) {
    const struct telex_host *host = breaks->host;
    struct telex_view view = {.size = sizeof(view)};
    if (is(breaks, "record.unknown"))
        host->view(host, (const struct telex_rec *)breaks, &view);
    if (is(breaks, "record.release"))
        host->release(host, in);
    if (is(breaks, "record.kept"))
        host->retain(host, in);
    if (is(breaks, "record.after-end") && breaks->kept)
        host->view(host, breaks->kept, &view);
    breaks->kept = in;
    return host->forward(host, lease, 0, in);
}

static telex_status break_rest(const struct breaks *breaks, telex_lease lease) {
    const struct telex_host *host = breaks->host;
    const struct telex_kv *kv = host->ext(host, TELEX_KV);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (is(breaks, "life.exit"))
        syscall(SYS_exit_group, 0); /* not by a function that lint sees */
    if (is(breaks, "kv.lease"))
        kv->put(host, 0, telex_text("key"), telex_text("value"));
    if (is(breaks, "kv.undeclared"))
        kv->put(host, lease, telex_text("key"), telex_text("value"));
    if (is(breaks, "log.text"))
        host->log(host, TELEX_INFO, lease, telex_text("two\nlines"));
    if (is(breaks, "log.level"))
        host->log(host, 17, lease, telex_text("loud"));
    if (is(breaks, "output.identity"))
        return emit(breaks, lease, "telex.record/1", "", 0);
    if (is(breaks, "output.schema"))
        return emit(breaks, lease, "telex.story/1", "x", 0);
    if (is(breaks, "output.differs"))
        return emit(breaks, lease, "telex.record/1", "x", now.tv_nsec);
    if (is(breaks, "status.unknown"))
        return 77;
    return emit(breaks, lease, "telex.record/1", "x", 0);
}

static telex_status breaks_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct breaks *breaks = self;
    const struct telex_host *host = breaks->host;
    if (is(breaks, "lease.unknown"))
        host->complete(host, lease + 1000000, TELEX_OK);
    if (is(breaks, "lease.closed") || is(breaks, "lease.returned")) {
        host->complete(host, lease, TELEX_OK);
        if (is(breaks, "lease.closed"))
            host->forward(host, lease, 0, in);
        return is(breaks, "lease.closed") ? TELEX_PENDING : TELEX_OK;
    }
    if (is(breaks, "output.port"))
        return host->forward(host, lease, 3, in);
    if (strncmp(breaks->rule, "loan.", 5) == 0 || is(breaks, "table.size"))
        return break_loan(breaks, lease);
    if (strncmp(breaks->rule, "record.", 7) == 0)
        return break_record(breaks, lease, in);
    return break_rest(breaks, lease);
}

static void breaks_stop(void *self) {
    const struct breaks *breaks = self;
    if (is(breaks, "life.after-stop"))
        leave_thread((void *)breaks->host);
}

static void breaks_destroy(void *self) {
    struct breaks *breaks = self;
    free(breaks->memory);
    free(breaks);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "out", "telex.record/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 2,
    .name = "stage-breaks",
    .version = "0.1.0",
    .doc = "breaks a rule of the contract",
    .ports = ports,
    .options = options,
    .create = breaks_create,
    .start = breaks_start,
    .process = breaks_process,
    .stop = breaks_stop,
    .destroy = breaks_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-breaks", "0.1.0", "Apache-2.0", "breaks a rule of the contract")

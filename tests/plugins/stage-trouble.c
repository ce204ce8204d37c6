/* SPDX-License-Identifier: Apache-2.0 */
/* stage-trouble - misbehaves on request: the option `act` says how, `at` on which record (from 1).
 *
 * Until then, and after, it forwards what it gets. Some acts belong to another call than process():
 * "create-*", "start-*", "stop-*", "destroy-*". */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>
#include <telex/ext/io.h>
#include <telex/ext/kv.h>

struct config {
    const char *act;
    int64_t at;
};

struct trouble {
    const struct telex_host *host; /* borrowed */
    struct config config;
    void *memory;
    int64_t n;
    telex_lease held;
    int pipe[2];
    pthread_t source;
    int source_runs;
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "act", .type = TELEX_TEXT, .offset = offsetof(struct config, act), .initial = "",
                 .doc = "what to do wrong"),
    TELEX_OPTION(.name = "at", .type = TELEX_INT, .offset = offsetof(struct config, at), .initial = "1",
                 .doc = "on which record"),
    NULL,
};

static int acts(const struct trouble *trouble, const char *act) {
    return strcmp(trouble->config.act, act) == 0;
}

static void crash(void) {
    volatile int *nowhere = NULL;
    *nowhere = 1;
}

static _Noreturn void hang(void) {
    for (;;)
        pause();
}

static void overflow(volatile char *below) {
    volatile char frame[4096];
    frame[0] = below ? below[0] : 1;
    if (frame[0])
        overflow(frame);
    frame[1] = frame[0];
}

static telex_status trouble_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct trouble *trouble = calloc(1, sizeof(*trouble));
    if (!trouble || telex_options_read(options, given, &trouble->config, &trouble->memory) < 0) {
        free(trouble);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    trouble->host = host;
    if (!trouble->config.act)
        trouble->config.act = "";
    if (acts(trouble, "create-crash"))
        crash();
    if (acts(trouble, "create-hang"))
        hang();
    if (acts(trouble, "create-fail")) {
        free(trouble->memory);
        free(trouble);
        return telex_fail(host, 0, TELEX_RETRY, "no luck today");
    }
    *self = trouble;
    return TELEX_OK;
}

static void on_ready(void *arg, uint32_t ready) {
    struct trouble *trouble = arg;
    char byte = 0;
    if (ready & TELEX_READABLE)
        (void)!read(trouble->pipe[0], &byte, 1);
    telex_say(trouble->host, TELEX_INFO, trouble->held, "read %c from the pipe", byte);
    (void)trouble->host->complete(trouble->host, trouble->held, TELEX_OK);
}

static telex_status watch_pipe(struct trouble *trouble, telex_lease lease) {
    const struct telex_io *io = trouble->host->ext(trouble->host, TELEX_IO);
    if (!io || pipe2(trouble->pipe, O_CLOEXEC) < 0)
        return TELEX_FATAL;
    trouble->held = lease;
    if (io->watch(trouble->host, 1000000, TELEX_READABLE, on_ready, trouble) != TELEX_INVALID)
        return TELEX_FATAL;
    telex_status status = io->watch(trouble->host, trouble->pipe[0], TELEX_READABLE, on_ready, trouble);
    (void)!write(trouble->pipe[1], "x", 1);
    return status == TELEX_OK ? TELEX_PENDING : status;
}

/* A source on a thread of its own, as signal-feed is one: opens steps, commits, completes. */
static void *run_source(void *arg) {
    struct trouble *trouble = arg;
    const struct telex_host *host = trouble->host;
    telex_lease lease;
    while (host->open(host, &lease) == TELEX_OK) {
        struct telex_builder b;
        char id[32];
        snprintf(id, sizeof(id), "made-%lld", (long long)trouble->n++);
        telex_build_init(&b);
        telex_build_map_begin(&b);
        telex_build_key(&b, "schema");
        telex_build_text(&b, "telex.record/1");
        telex_build_key(&b, "id");
        telex_build_text(&b, id);
        telex_build_map_end(&b);
        telex_status status = telex_build_commit(&b, host, lease, 0);
        telex_build_finish(&b);
        (void)host->complete(host, lease, status);
    }
    host->exhausted(host);
    return NULL;
}

static telex_status trouble_start(void *self) {
    struct trouble *trouble = self;
    if (acts(trouble, "start-crash"))
        crash();
    if (acts(trouble, "start-fail"))
        return telex_fail(trouble->host, 0, TELEX_FATAL, "cannot begin");
    if (acts(trouble, "source"))
        trouble->source_runs = pthread_create(&trouble->source, NULL, run_source, trouble) == 0;
    return TELEX_OK;
}

static telex_status take_memory(struct trouble *trouble, telex_lease lease) {
    size_t bytes = (size_t)1 << 30;
    char *memory = malloc(bytes);
    if (!memory)
        return telex_fail(trouble->host, lease, TELEX_RETRY, "no memory for 1 GiB");
    memset(memory, 1, bytes);
    int first = memory[bytes / 2];
    free(memory);
    return first == 1 ? TELEX_OK : TELEX_FATAL;
}

static telex_status leave_child(struct trouble *trouble, telex_lease lease) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        for (;;)
            pause();
    }
    telex_say(trouble->host, TELEX_INFO, lease, "child %d", (int)pid);
    crash();
    return TELEX_OK;
}

static telex_status misbehave(struct trouble *trouble, telex_lease lease) {
    if (acts(trouble, "crash"))
        crash();
    if (acts(trouble, "exit"))
        exit(3);
    if (acts(trouble, "abort"))
        abort();
    if (acts(trouble, "overflow"))
        overflow(NULL);
    if (acts(trouble, "hang")) {
        telex_say(trouble->host, TELEX_INFO, lease, "hangs");
        hang();
    }
    if (acts(trouble, "stopped"))
        raise(SIGSTOP);
    if (acts(trouble, "memory"))
        return take_memory(trouble, lease);
    if (acts(trouble, "child"))
        return leave_child(trouble, lease);
    if (acts(trouble, "close"))
        close_range(3, ~0u, 0);
    if (acts(trouble, "close") || acts(trouble, "hold"))
        return TELEX_PENDING;
    if (acts(trouble, "fatal"))
        return telex_fail(trouble->host, lease, TELEX_FATAL, "wants a new life");
    if (acts(trouble, "print")) {
        printf("hello from stdout\n");
        fprintf(stderr, "hello from stderr, \xff no newline");
        fflush(NULL);
    }
    if (acts(trouble, "flood"))
        for (int i = 0; i < 20000; i++)
            printf("line %d of a plugin that prints too much\n", i);
    if (acts(trouble, "watch"))
        return watch_pipe(trouble, lease);
    return TELEX_OK;
}

static telex_status trouble_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct trouble *trouble = self;
    if (++trouble->n == trouble->config.at) {
        telex_status status = misbehave(trouble, lease);
        if (status != TELEX_OK)
            return status;
    }
    return trouble->host->forward(trouble->host, lease, 0, in);
}

static void trouble_cancel(void *self, telex_lease lease) {
    struct trouble *trouble = self;
    telex_say(trouble->host, TELEX_INFO, lease, "cancel was heard, cancelled() is %d",
              trouble->host->cancelled(trouble->host, lease) != 0);
    if (acts(trouble, "hold"))
        (void)trouble->host->complete(trouble->host, lease, TELEX_CANCELLED);
}

static void trouble_on_credit(void *self) {
    struct trouble *trouble = self;
    telex_say(trouble->host, TELEX_INFO, 0, "credit");
    if (acts(trouble, "credit-crash"))
        crash();
}

static void trouble_stop(void *self) {
    struct trouble *trouble = self;
    if (trouble->source_runs)
        pthread_join(trouble->source, NULL);
    trouble->source_runs = 0;
    if (acts(trouble, "stop-hang"))
        hang();
}

static void trouble_destroy(void *self) {
    struct trouble *trouble = self;
    if (acts(trouble, "destroy-crash"))
        crash();
    free(trouble->memory);
    free(trouble);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "out", "*"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = "stage-trouble",
    .version = "0.1.0",
    .doc = "misbehaves on request",
    .ports = ports,
    .options = options,
    .create = trouble_create,
    .start = trouble_start,
    .process = trouble_process,
    .on_credit = trouble_on_credit,
    .cancel = trouble_cancel,
    .stop = trouble_stop,
    .destroy = trouble_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-trouble", "0.1.0", "Apache-2.0", "misbehaves on request")

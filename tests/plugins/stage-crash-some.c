/* SPDX-License-Identifier: Apache-2.0 */
/* stage-crash-some - ends its process on some records, each time another way.
 *
 * Every fourth record (number 3, 7, 11 ...) ends it once: a file in `folder` remembers that it did. Every
 * fortieth of them ends it always. The ways: SIGKILL, abort, exit, a write through NULL, memory without end,
 * processes without end, threads without end; every `hang`th of them hangs instead. For isolated stages only,
 * with bounds: it takes what it can get. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>

enum { SOME = 4, POISON = 40, WAYS = 7, BLOCK_BYTES = 16 << 20 };

struct crash {
    const struct telex_host *host; /* borrowed */
    const char *folder;            /* in memory */
    int64_t hang;
    void *memory; /* owned, of the options */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "folder", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct crash, folder), .doc = "where it remembers what it did"),
    TELEX_OPTION(.name = "hang", .type = TELEX_INT, .offset = offsetof(struct crash, hang), .initial = "0",
                 .doc = "every how many'th crash is a hang; 0: none"),
    NULL,
};

static telex_status crash_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct crash *crash = calloc(1, sizeof(*crash));
    if (!crash || telex_options_read(options, given, crash, &crash->memory) < 0) {
        free(crash);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    crash->host = host;
    *self = crash;
    return TELEX_OK;
}

/* True when this is the first visit of the record. */
static bool is_first(const struct crash *crash, int64_t number) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/crashed-%lld", crash->folder, (long long)number);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void write_nowhere(void) {
    volatile int *nowhere = NULL;
    *nowhere = 1;
}

/* Use memory until there is none, as a leak does, and not look at what malloc says. */
static void take_all_memory(void) {
    for (;;) {
        char *block = malloc(BLOCK_BYTES);
        for (size_t i = 0; i < BLOCK_BYTES; i += 4096)
            ((volatile char *)block)[i] = 1;
    }
}

static void *wait_for_ever(void *arg) {
    for (;;)
        pause();
    return arg;
}

static void make_processes(void) {
    for (;;) {
        pid_t pid = fork();
        if (pid < 0)
            abort();
        if (pid == 0)
            wait_for_ever(NULL);
    }
}

static void make_threads(void) {
    pthread_t thread;
    while (pthread_create(&thread, NULL, wait_for_ever, NULL) == 0)
        ;
    abort();
}

static void end_process(const struct crash *crash, int64_t number) {
    int64_t nth = number / SOME;
    if (crash->hang > 0 && nth % crash->hang == crash->hang - 1)
        wait_for_ever(NULL);
    switch (nth % WAYS) {
    case 0:
        raise(SIGKILL);
        break;
    case 1:
        abort();
    case 2:
        _exit(3);
    case 3:
        take_all_memory();
        break;
    case 4:
        make_processes();
        break;
    case 5:
        make_threads();
        break;
    default:
        write_nowhere();
    }
}

static telex_status crash_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct crash *crash = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    if (crash->host->view(crash->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return TELEX_REJECT;
    int64_t number = telex_map_int(map.root, "number", 0);
    telex_map_close(&map);
    if (number % POISON == POISON - 1 || (number % SOME == SOME - 1 && is_first(crash, number)))
        end_process(crash, number);
    return crash->host->forward(crash->host, lease, 0, in);
}

static void crash_destroy(void *self) {
    struct crash *crash = self;
    free(crash->memory);
    free(crash);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "out", "*"),
    NULL,
};

static const char *const needs[] = {"fs:write", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = "stage-crash-some",
    .version = "0.1.0",
    .doc = "ends its process on some records",
    .ports = ports,
    .options = options,
    .needs = needs,
    .create = crash_create,
    .process = crash_process,
    .destroy = crash_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-crash-some", "0.1.0", "Apache-2.0", "ends its process on some records")

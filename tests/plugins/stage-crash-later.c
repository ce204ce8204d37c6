/* SPDX-License-Identifier: Apache-2.0 */
/* stage-crash-later - answers on a thread of its own once it holds `gather` records or has waited for 50 ms,
 * and ends its process when that thread comes to a record with `poison` as a factor of its number plus one.
 *
 * So the host cannot see which of them it was. Each delivery is one line of `log`: the record's number. For
 * isolated stages only. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>

enum { HELD_MAX = 1024, PATIENCE_MS = 50 };

struct held {
    telex_lease lease;
    struct telex_rec *rec; /* one reference */
    int64_t number;
};

struct later {
    const struct telex_host *host; /* borrowed */
    const char *log;               /* in memory */
    int64_t gather, poison;
    void *memory; /* owned, of the options */
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct held held[HELD_MAX];
    size_t n;
    int ends;
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "log", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct later, log), .doc = "a line for each delivery"),
    TELEX_OPTION(.name = "gather", .type = TELEX_INT, .offset = offsetof(struct later, gather),
                 .initial = "64", .min = 1, .max = HELD_MAX, .doc = "how many records it waits for"),
    TELEX_OPTION(.name = "poison", .type = TELEX_INT, .offset = offsetof(struct later, poison),
                 .initial = "0", .doc = "every how many'th record ends it; 0: none"),
    NULL,
};

static telex_status later_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct later *later = calloc(1, sizeof(*later));
    if (!later || telex_options_read(options, given, later, &later->memory) < 0) {
        free(later);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    later->host = host;
    later->fd = -1;
    pthread_mutex_init(&later->lock, NULL);
    pthread_cond_init(&later->changed, NULL);
    *self = later;
    return TELEX_OK;
}

static void answer(struct later *later, const struct held *held) {
    if (later->poison > 0 && held->number % later->poison == later->poison - 1)
        raise(SIGKILL);
    telex_status status = later->host->forward(later->host, held->lease, 0, held->rec);
    later->host->release(later->host, held->rec);
    (void)later->host->complete(later->host, held->lease, status);
}

/* Answer what is held, in the order in which it came. */
static void answer_all(struct later *later) {
    struct held all[HELD_MAX];
    size_t n = later->n;
    memcpy(all, later->held, n * sizeof(*all));
    later->n = 0;
    pthread_mutex_unlock(&later->lock);
    for (size_t i = 0; i < n; i++)
        answer(later, &all[i]);
    pthread_mutex_lock(&later->lock);
}

static void *answer_main(void *arg) {
    struct later *later = arg;
    pthread_mutex_lock(&later->lock);
    while (!later->ends) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PATIENCE_MS * 1000000L;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        int late = 0;
        while (!later->ends && later->n < (size_t)later->gather && late == 0)
            late = pthread_cond_timedwait(&later->changed, &later->lock, &until);
        answer_all(later);
    }
    pthread_mutex_unlock(&later->lock);
    return NULL;
}

static telex_status later_start(void *self) {
    struct later *later = self;
    later->fd = open(later->log, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    if (later->fd < 0 || pthread_create(&later->thread, NULL, answer_main, later) != 0)
        return telex_fail(later->host, 0, TELEX_FATAL, "cannot start");
    return TELEX_OK;
}

static telex_status later_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct later *later = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    char line[32];
    if (later->host->view(later->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return TELEX_REJECT;
    struct held held = {lease, in, telex_map_int(map.root, "number", 0)};
    telex_map_close(&map);
    int n = snprintf(line, sizeof(line), "%lld\n", (long long)held.number);
    (void)!write(later->fd, line, (size_t)n);
    later->host->retain(later->host, in);
    pthread_mutex_lock(&later->lock);
    bool room = later->n < HELD_MAX;
    if (room)
        later->held[later->n++] = held;
    pthread_cond_signal(&later->changed);
    pthread_mutex_unlock(&later->lock);
    if (!room)
        later->host->release(later->host, in);
    return room ? TELEX_PENDING : TELEX_AGAIN;
}

static void later_stop(void *self) {
    struct later *later = self;
    pthread_mutex_lock(&later->lock);
    later->ends = 1;
    pthread_cond_signal(&later->changed);
    pthread_mutex_unlock(&later->lock);
    pthread_join(later->thread, NULL);
    close(later->fd);
}

static void later_destroy(void *self) {
    struct later *later = self;
    pthread_mutex_destroy(&later->lock);
    pthread_cond_destroy(&later->changed);
    free(later->memory);
    free(later);
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
    .name = "stage-crash-later",
    .version = "0.1.0",
    .doc = "ends its process when several records are in its hands",
    .ports = ports,
    .options = options,
    .needs = needs,
    .create = later_create,
    .start = later_start,
    .process = later_process,
    .stop = later_stop,
    .destroy = later_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-crash-later", "0.1.0", "Apache-2.0",
                   "ends its process when several records are in its hands")

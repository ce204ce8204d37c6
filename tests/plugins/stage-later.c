/* SPDX-License-Identifier: Apache-2.0 */
/* stage-later - answers PENDING and completes each lease from a thread of its own: the asynchronous way, done
 * well.
 *
 * `lock` guards the queue. Every record in it is retained once and released when its lease is complete. */
#include <pthread.h>
#include <stdlib.h>

#include <telex-sdk/plugin.h>

enum { QUEUE_MAX = 4096 };

struct later {
    const struct telex_host *host; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, stopping;
    size_t first, count;
    struct {
        telex_lease lease;
        struct telex_rec *rec;
    } queue[QUEUE_MAX];
};

static telex_status later_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    (void)options;
    struct later *later = calloc(1, sizeof(*later));
    if (!later)
        return TELEX_FATAL;
    later->host = host;
    pthread_mutex_init(&later->lock, NULL);
    pthread_cond_init(&later->changed, NULL);
    *self = later;
    return TELEX_OK;
}

static void *work(void *arg) {
    struct later *later = arg;
    const struct telex_host *host = later->host;
    pthread_mutex_lock(&later->lock);
    for (;;) {
        while (later->count == 0 && !later->stopping)
            pthread_cond_wait(&later->changed, &later->lock);
        if (later->count == 0)
            break;
        telex_lease lease = later->queue[later->first].lease;
        struct telex_rec *rec = later->queue[later->first].rec;
        bool stopping = later->stopping;
        later->first = (later->first + 1) % QUEUE_MAX;
        later->count--;
        pthread_mutex_unlock(&later->lock);
        host->complete(host, lease, stopping ? TELEX_CANCELLED : host->forward(host, lease, 0, rec));
        host->release(host, rec);
        pthread_mutex_lock(&later->lock);
    }
    pthread_mutex_unlock(&later->lock);
    return NULL;
}

static telex_status later_start(void *self) {
    struct later *later = self;
    if (pthread_create(&later->thread, NULL, work, later) != 0)
        return telex_fail(later->host, 0, TELEX_FATAL, "no thread can be started");
    later->started = true;
    return TELEX_OK;
}

static telex_status later_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct later *later = self;
    pthread_mutex_lock(&later->lock);
    bool room = later->count < QUEUE_MAX;
    if (room) {
        size_t at = (later->first + later->count++) % QUEUE_MAX;
        later->host->retain(later->host, in);
        later->queue[at].lease = lease;
        later->queue[at].rec = in;
        pthread_cond_signal(&later->changed);
    }
    pthread_mutex_unlock(&later->lock);
    return room ? TELEX_PENDING : TELEX_RETRY;
}

static void later_stop(void *self) {
    struct later *later = self;
    if (!later->started)
        return;
    pthread_mutex_lock(&later->lock);
    later->stopping = true;
    pthread_cond_signal(&later->changed);
    pthread_mutex_unlock(&later->lock);
    pthread_join(later->thread, NULL);
    later->started = false;
}

static void later_destroy(void *self) {
    struct later *later = self;
    pthread_cond_destroy(&later->changed);
    pthread_mutex_destroy(&later->lock);
    free(later);
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
    .name = "stage-later",
    .version = "0.1.0",
    .doc = "passes records on from a thread of its own",
    .ports = ports,
    .create = later_create,
    .start = later_start,
    .process = later_process,
    .stop = later_stop,
    .destroy = later_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-later", "0.1.0", "Apache-2.0", "passes records on from a thread of its own")

/* SPDX-License-Identifier: Apache-2.0 */
#include "load_limit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 20000, EXIT_HANGS = 1 };

static long limit_ms(void) {
    const char *given = getenv("TELEX_LOAD_LIMIT_MS");
    long ms = given ? strtol(given, NULL, 10) : 0;
    return ms > 0 ? ms : LIMIT_MS;
}

static void *watch(void *arg) {
    struct load_limit *limit = arg;
    struct timespec until;
    long ms = limit_ms();
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&limit->lock);
    int late = 0;
    while (!limit->done && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&limit->changed, &limit->lock, &until);
    bool done = limit->done;
    pthread_mutex_unlock(&limit->lock);
    if (done)
        return NULL;
    char line[256];
    int n =
        snprintf(line, sizeof(line),
                 "plugin %.64s broke rule lint.constructor: it is not loaded after %ld ms, a constructor of "
                 "it hangs\n",
                 limit->name, ms);
    (void)!write(STDERR_FILENO, line, (size_t)n);
    _exit(EXIT_HANGS);
}

void load_limit_begin(struct load_limit *limit, const char *name) {
    pthread_condattr_t attr;
    memset(limit, 0, sizeof(*limit));
    limit->name = name;
    pthread_mutex_init(&limit->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&limit->changed, &attr);
    pthread_condattr_destroy(&attr);
    limit->runs = pthread_create(&limit->thread, NULL, watch, limit) == 0;
}

void load_limit_end(struct load_limit *limit) {
    pthread_mutex_lock(&limit->lock);
    limit->done = true;
    pthread_cond_signal(&limit->changed);
    pthread_mutex_unlock(&limit->lock);
    if (limit->runs)
        pthread_join(limit->thread, NULL);
    pthread_cond_destroy(&limit->changed);
    pthread_mutex_destroy(&limit->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* service_io.c - "telex.io/1": the loop waits for a descriptor, the strand hears of it.
 *
 * The list of watches is under the engine's lock; only the loop's thread touches uv handles, so a call
 * changes the list and nudges the loop, which brings the handles into line. A watch fires once. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#include <telex/ext/io.h>

#include "calling.h"

enum { WATCHES_MAX = 256 };

struct watch {
    struct watch *next;
    struct instance *instance; /* counted */
    int32_t fd;
    uint32_t events, ready;
    void (*fn)(void *arg, uint32_t ready);
    void *arg;
    bool wanted;    /* false: to be closed by the loop */
    bool polling;   /* the handle is initialised */
    uv_poll_t poll; /* the loop's */
};

static void free_watch(uv_handle_t *handle) {
    struct watch *watch = handle->data;
    struct engine *engine = watch->instance->stage->engine;
    pthread_mutex_lock(&engine->lock);
    instance_unref_locked(watch->instance);
    pthread_mutex_unlock(&engine->lock);
    free(watch);
}

/* On the strand: hand over what fired. The watch is off the list by then. */
static void run_watch(void *arg) {
    struct watch *watch = arg;
    watch->fn(watch->arg, watch->ready);
    struct engine *engine = watch->instance->stage->engine;
    pthread_mutex_lock(&engine->lock);
    watch->wanted = false;
    watch->next = engine->watches;
    engine->watches = watch;
    pthread_mutex_unlock(&engine->lock);
    engine_nudge(engine);
}

static bool unlink_locked(struct engine *engine, struct watch *watch) {
    for (struct watch **at = &engine->watches; *at; at = &(*at)->next)
        if (*at == watch) {
            *at = watch->next;
            return true;
        }
    return false;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    struct engine *engine = watch->instance->stage->engine;
    uv_poll_stop(poll);
    watch->ready = status < 0 ? watch->events
                              : (events & UV_READABLE ? TELEX_READABLE : 0u) |
                                    (events & UV_WRITABLE ? TELEX_WRITABLE : 0u);
    pthread_mutex_lock(&engine->lock);
    bool mine = watch->wanted && unlink_locked(engine, watch);
    pthread_mutex_unlock(&engine->lock);
    if (!mine || post_task(watch->instance, run_watch, watch))
        return;
    pthread_mutex_lock(&engine->lock);
    watch->wanted = false;
    watch->next = engine->watches;
    engine->watches = watch;
    pthread_mutex_unlock(&engine->lock);
}

void io_look(struct engine *engine) {
    struct watch *closing = NULL;
    pthread_mutex_lock(&engine->lock);
    for (struct watch **at = &engine->watches; *at;) {
        struct watch *watch = *at;
        if (!watch->wanted) {
            *at = watch->next;
            watch->next = closing;
            closing = watch;
            continue;
        }
        if (!watch->polling && uv_poll_init(engine->loop, &watch->poll, watch->fd) == 0) {
            watch->polling = true;
            watch->poll.data = watch;
            uv_poll_start(&watch->poll,
                          (watch->events & TELEX_READABLE ? UV_READABLE : 0) |
                              (watch->events & TELEX_WRITABLE ? UV_WRITABLE : 0),
                          on_poll);
        }
        at = &watch->next;
    }
    pthread_mutex_unlock(&engine->lock);
    while (closing) {
        struct watch *watch = closing;
        closing = watch->next;
        watch->poll.data = watch;
        if (watch->polling)
            uv_close((uv_handle_t *)&watch->poll, free_watch);
        else
            free_watch((uv_handle_t *)&watch->poll);
    }
}

/* Have the loop close the watches of an instance, all or those of one descriptor. */
static void drop_locked(struct instance *instance, int32_t fd, bool all) {
    for (struct watch *watch = instance->stage->engine->watches; watch; watch = watch->next)
        if (watch->instance == instance && (all || watch->fd == fd))
            watch->wanted = false;
}

void io_drop_all_locked(struct instance *instance) {
    drop_locked(instance, 0, true);
    for (struct task *task = instance->first_task; task; task = task->next) {
        struct watch *watch = task->arg;
        if (task->fn != run_watch)
            continue;
        watch->wanted = false;
        watch->next = instance->stage->engine->watches;
        instance->stage->engine->watches = watch;
    }
    while (instance->first_task) {
        struct task *task = instance->first_task;
        instance->first_task = task->next;
        free(task);
    }
    instance->last_task = &instance->first_task;
}

static telex_status io_watch(const struct telex_host *host, int32_t fd, uint32_t events,
                             void (*fn)(void *arg, uint32_t ready), void *arg) {
    struct instance *instance = host->impl;
    if (fd < 0 || !fn || events == 0 || events & ~(uint32_t)(TELEX_READABLE | TELEX_WRITABLE))
        return TELEX_INVALID;
    if (calling_is_late(instance, "watch"))
        return TELEX_INVALID;
    struct engine *engine = instance->stage->engine;
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return TELEX_AGAIN;
    *watch = (struct watch){
        .instance = instance, .fd = fd, .events = events, .fn = fn, .arg = arg, .wanted = true};
    uint32_t n = 0;
    pthread_mutex_lock(&engine->lock);
    for (struct watch *other = engine->watches; other; other = other->next)
        n++;
    bool room = n < WATCHES_MAX && !instance->dead;
    if (room) {
        drop_locked(instance, fd, false);
        instance->refs++;
        watch->next = engine->watches;
        engine->watches = watch;
    }
    pthread_mutex_unlock(&engine->lock);
    if (!room) {
        free(watch);
        return TELEX_LIMIT;
    }
    engine_nudge(engine);
    return TELEX_OK;
}

static void io_unwatch(const struct telex_host *host, int32_t fd) {
    struct instance *instance = host->impl;
    pthread_mutex_lock(&instance->stage->engine->lock);
    drop_locked(instance, fd, false);
    pthread_mutex_unlock(&instance->stage->engine->lock);
    engine_nudge(instance->stage->engine);
}

const struct telex_io service_io = {
    .size = sizeof(struct telex_io), .watch = io_watch, .unwatch = io_unwatch};

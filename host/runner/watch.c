/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - telex.io/1 inside a runner: descriptors cannot be sent to the host, so an epoll thread waits
 * here.
 *
 * A watch is one struct on a list with a number of its own. When it is ready the epoll thread adds a piece of
 * work that carries the number; the strand looks the number up again, so a watch that was taken back or
 * replaced in between never fires. */
#include "remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WATCHES_MAX = 1024 };

struct watch {
    struct watch *next;
    int32_t fd;
    uint64_t number;
    void (*fn)(void *arg, uint32_t ready);
    void *arg;
};

struct watcher {
    struct remote *remote;
    int epoll_fd, end_fd;
    pthread_t thread;
    struct watch *first;
    uint32_t n;
    uint64_t last_number; /* 0 is the end_fd's */
};

static void add_ready(struct remote *remote, uint64_t number, uint32_t events) {
    struct work work = {.kind = WORK_IO, .a = number};
    work.b = (events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? TELEX_READABLE : 0u) |
             (events & (EPOLLOUT | EPOLLERR) ? TELEX_WRITABLE : 0u);
    (void)strand_add(remote, &work);
}

static void *watcher_main(void *arg) {
    struct watcher *watcher = arg;
    struct epoll_event events[16];
    for (;;) {
        int n = epoll_wait(watcher->epoll_fd, events, 16, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == 0)
                return NULL;
            add_ready(watcher->remote, events[i].data.u64, events[i].events);
        }
        if (n < 0 && errno != EINTR)
            return NULL;
    }
}

/* The watcher, started when it is first needed; NULL when it cannot be. The lock is held. */
static struct watcher *watcher_of(struct remote *remote) {
    if (remote->watcher)
        return remote->watcher;
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    struct epoll_event end = {.events = EPOLLIN, .data.u64 = 0};
    if (!watcher)
        return NULL;
    watcher->remote = remote;
    watcher->end_fd = eventfd(0, EFD_CLOEXEC);
    watcher->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (watcher->end_fd < 0 || watcher->epoll_fd < 0 ||
        epoll_ctl(watcher->epoll_fd, EPOLL_CTL_ADD, watcher->end_fd, &end) < 0 ||
        pthread_create(&watcher->thread, NULL, watcher_main, watcher) != 0) {
        if (watcher->end_fd >= 0)
            close(watcher->end_fd);
        if (watcher->epoll_fd >= 0)
            close(watcher->epoll_fd);
        free(watcher);
        return NULL;
    }
    remote->watcher = watcher;
    return watcher;
}

static bool forget(struct watcher *watcher, int32_t fd) {
    struct watch **at = &watcher->first;
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    struct watch *watch = *at;
    if (!watch)
        return false;
    *at = watch->next;
    watcher->n--;
    epoll_ctl(watcher->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    free(watch);
    return true;
}

static telex_status add_watch(struct watcher *watcher, struct watch *watch, uint32_t events) {
    (void)forget(watcher, watch->fd);
    if (watcher->n >= WATCHES_MAX)
        return TELEX_LIMIT;
    watch->number = ++watcher->last_number;
    struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = watch->number};
    event.events |= events & TELEX_READABLE ? (uint32_t)EPOLLIN : 0u;
    event.events |= events & TELEX_WRITABLE ? (uint32_t)EPOLLOUT : 0u;
    if (epoll_ctl(watcher->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0) {
        if (errno != EPERM)
            return TELEX_INVALID;
        add_ready(watcher->remote, watch->number, event.events); /* a plain file is always ready */
    }
    watch->next = watcher->first;
    watcher->first = watch;
    watcher->n++;
    return TELEX_OK;
}

static telex_status io_watch(const struct telex_host *host, int32_t fd, uint32_t events,
                             void (*fn)(void *arg, uint32_t ready), void *arg) {
    struct remote *remote = host->impl;
    if (fd < FD_AFTER || !fn || (events & (TELEX_READABLE | TELEX_WRITABLE)) == 0)
        return TELEX_INVALID;
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return TELEX_LIMIT;
    watch->fd = fd;
    watch->fn = fn;
    watch->arg = arg;
    pthread_mutex_lock(&remote->watch_lock);
    struct watcher *watcher = watcher_of(remote);
    telex_status status = watcher ? add_watch(watcher, watch, events) : TELEX_LIMIT;
    pthread_mutex_unlock(&remote->watch_lock);
    if (status != TELEX_OK)
        free(watch);
    return status;
}

static void io_unwatch(const struct telex_host *host, int32_t fd) {
    struct remote *remote = host->impl;
    pthread_mutex_lock(&remote->watch_lock);
    if (remote->watcher)
        (void)forget(remote->watcher, fd);
    pthread_mutex_unlock(&remote->watch_lock);
}

const struct telex_io watch_table = {.size = sizeof(watch_table), .watch = io_watch, .unwatch = io_unwatch};

void watch_run(struct remote *remote, const struct work *work) {
    struct watch found = {.fn = NULL};
    pthread_mutex_lock(&remote->watch_lock);
    struct watcher *watcher = remote->watcher;
    for (struct watch *w = watcher ? watcher->first : NULL; w; w = w->next)
        if (w->number == work->a)
            found = *w;
    if (found.fn)
        (void)forget(watcher, found.fd);
    pthread_mutex_unlock(&remote->watch_lock);
    if (found.fn)
        found.fn(found.arg, (uint32_t)work->b);
}

void watch_stop(struct remote *remote) {
    pthread_mutex_lock(&remote->watch_lock);
    struct watcher *watcher = remote->watcher;
    remote->watcher = NULL;
    pthread_mutex_unlock(&remote->watch_lock);
    if (!watcher)
        return;
    uint64_t one = 1;
    (void)!write(watcher->end_fd, &one, sizeof(one));
    pthread_join(watcher->thread, NULL);
    while (watcher->first)
        (void)forget(watcher, watcher->first->fd);
    close(watcher->epoll_fd);
    close(watcher->end_fd);
    free(watcher);
}

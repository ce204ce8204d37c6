/* SPDX-License-Identifier: Apache-2.0 */
/* http_internal.h - what the http files share: one listener, one site, one reader of a stream. */
#ifndef TELEX_HOST_HTTP_INTERNAL_H
#define TELEX_HOST_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <pthread.h>

#include "http.h"

enum { HTTP_SITES_MAX = 64, HTTP_BACKLOG = 32, HTTP_EPOCH_BYTES = 33, HTTP_MOUNT_BYTES = 65 };

/* Text of one event as it goes over the wire. Shared by the ring and every reader that is sending it. */
struct http_blob {
    uint32_t refs; /* under the site's lock */
    size_t bytes;
    uint64_t seq; /* 0: hello, reset, heartbeat */
    char text[];
};

struct http_site {
    struct http *http;
    char mount[HTTP_MOUNT_BYTES];
    char *root;           /* owned; under `lock` */
    pthread_mutex_t lock; /* root, ring, last_seq, refs of blobs */
    struct http_blob **ring;
    uint32_t ring_count;
    uint32_t ring_head;  /* index of the oldest */
    uint64_t last_seq;   /* newest event known */
    uint64_t ring_after; /* every event above this seq is in the ring */
};

/* One reader. `cursor` is the last seq handed to its socket, so memory per reader does not grow. */
struct http_stream {
    struct http_stream *next, *prev;
    struct http_site *site;
    struct MHD_Connection *connection;
    struct sockaddr_storage from;
    uint64_t cursor;
    struct http_blob *sending; /* referenced */
    size_t sent;
    struct http_blob *backlog[HTTP_BACKLOG]; /* referenced, replayed from the journal */
    uint32_t backlog_count, backlog_next;
    bool suspended, beat_due, hello_due, reset_due, finished;
};

struct http_listener {
    struct http *http;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    bool poll_open, timer_open;
    uint16_t port;
};

struct http {
    uv_loop_t *loop;
    struct http_config config; /* copied; string members are not read after create */
    char epoch[HTTP_EPOCH_BYTES];
    struct http_listener public_listener, admin_listener;
    uv_async_t wake;
    uv_timer_t beat;
    int open_handles;
    bool stopping;
    void (*done)(void *ctx);
    void *done_ctx;
    struct http_stream *streams; /* [loop] */
    uint32_t stream_count;
    pthread_mutex_t sites_lock;
    struct http_site *sites[HTTP_SITES_MAX];
    _Atomic uint32_t site_count;
    _Atomic uint64_t requests, not_modified, client_errors, events, resets, shed;
};

/* http.c */
void http_log(struct http *http, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void http_kick(struct http_listener *listener);
enum MHD_Result http_answer_text(struct http *http, struct MHD_Connection *connection, unsigned status,
                                 const char *type, const char *text);
void http_add_safety_headers(struct MHD_Response *response);

/* http_static.c: answer GET or HEAD of `path` (raw, percent-encoded, below the mount) from the root. */
enum MHD_Result http_static_answer(struct http_site *site, struct MHD_Connection *connection,
                                   const char *path);

/* http_live.c */
enum MHD_Result http_live_answer(struct http_site *site, struct MHD_Connection *connection);
void http_live_wake(struct http *http);
void http_live_beat(struct http *http);
void http_live_finish(struct http *http);
void http_site_destroy(struct http_site *site);

/* http_admin.c */
enum MHD_Result http_admin_answer(struct http *http, struct MHD_Connection *connection, const char *path);

#endif

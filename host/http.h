/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - the two listeners of a running wire.
 *
 * The public listener serves the folders that wire plugins registered, and for each of them an event
 * stream at <mount>live. The admin listener, loopback unless the config says otherwise, answers
 * /healthz, /metrics and an index. Both are libmicrohttpd daemons whose epoll descriptor sits inside
 * the host's libuv loop: there is no HTTP thread.
 *
 * Thread tags: [loop] the thread that runs the loop; [any] any thread between create and stop. */
#ifndef TELEX_HOST_HTTP_H
#define TELEX_HOST_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

struct http;
struct http_site;

/* One event handed back by a replay. `kind` and `json` are borrowed for the call; json is one line. */
typedef void (*http_replay_sink)(void *sink_ctx, uint64_t seq, const char *kind, const char *json,
                                 size_t json_bytes);

/* Give the events of the site at `mount` with a seq above `after`, in rising order, at most `max` of
 * them, to `sink`. 0, or negative errno (the reader then gets `reset`). [loop], must not block long. */
typedef int (*http_replay_fn)(void *ctx, const char *mount, uint64_t after, uint32_t max,
                              http_replay_sink sink, void *sink_ctx);

/* Level as in telex_log: 0 debug, 1 info, 2 warning, 3 error. `line` has no newline. [loop] */
typedef void (*http_log_fn)(void *ctx, int level, const char *line);

/* Write a body to `out`. Returns the HTTP status to answer with (200, 503). [loop], must not block. */
typedef int (*http_body_fn)(void *ctx, FILE *out);

/* Where a listener binds. `address` is numeric; port 0 takes any free one; `key` names the config
 * key in error texts. A NULL address leaves the listener out. */
struct http_bind {
    const char *address;
    uint16_t port;
    const char *key;
};

/* Zero in a number means its default. Every pointer is borrowed until http_create returns, except the
 * ctx pointers and functions, which live until http_stop has called back. */
struct http_config {
    struct http_bind public_bind;
    struct http_bind admin_bind;
    const char *epoch;            /* [a-z0-9]{1,32}; changes when the journal is replaced */
    uint32_t max_streams;         /* readers of event streams at once: 1000 */
    uint32_t max_streams_address; /* of them, from one address: 200 */
    uint32_t heartbeat_ms;        /* 15000 */
    uint32_t ring_events;         /* events kept in memory per site: 256 */
    uint32_t replay_max;          /* further behind than this a reader gets `reset`: 500 */
    uint32_t idle_timeout_s;      /* connection without progress: 60 */
    http_replay_fn replay;        /* NULL: only the ring is replayed */
    void *replay_ctx;
    http_log_fn log; /* NULL: stderr */
    void *log_ctx;
    http_body_fn health;  /* JSON; NULL: {"status":"ok"} */
    http_body_fn metrics; /* OpenMetrics text without the closing # EOF, or NULL */
    http_body_fn index;   /* HTML fragment for the admin index, or NULL */
    void *admin_ctx;
};

/* Open both listeners on `loop`. Gives *out, ended by http_stop. On failure returns negative errno and
 * writes one line with address, port, config key and remedy to `why`. [loop] */
int http_create(uv_loop_t *loop, const struct http_config *config, struct http **out, char *why,
                size_t why_bytes);

/* The port that is really bound, 0 where that listener is left out. [any] */
uint16_t http_public_port(const struct http *http);
uint16_t http_admin_port(const struct http *http);

/* Serve the folder `root` under `mount` ("/", or "/name/"). `last_seq` is the newest event of the site
 * already in the journal, 0 for none. Registering a mount again moves it to the new root and keeps its
 * readers. *site is borrowed until http_stop. 0, -EINVAL for a bad mount, -ENOSPC over 64 sites. [any] */
int http_site_add(struct http *http, const char *mount, const char *root, uint64_t last_seq,
                  struct http_site **site);

/* Tell the readers of `site`. A seq not above the last is ignored, so a repeat is harmless. `kind` is
 * [a-z-]{1,32}, `json` one line. 0, or -EINVAL. [any] */
int http_event_publish(struct http_site *site, uint64_t seq, const char *kind, const char *json,
                       size_t json_bytes);

/* Close both listeners, tell the readers to come back, then call `done` once no handle of ours is left
 * on the loop; `http` is freed by then. NULL is fine (done is called at once). [loop] */
void http_stop(struct http *http, void (*done)(void *ctx), void *ctx);

#endif

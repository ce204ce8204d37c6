/* SPDX-License-Identifier: Apache-2.0 */
/* http.c - two libmicrohttpd daemons on the host's libuv loop.
 *
 * Each daemon's epoll descriptor is watched by a uv_poll; whenever it stirs, or the timer that
 * MHD_get_timeout asked for fires, MHD_run does what is due without blocking. MHD_run is never
 * entered from inside one of MHD's own callbacks. Calls from other threads touch only what a lock
 * guards and then ring `wake`; everything else belongs to the loop thread. */
#include "http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEFAULT_STREAMS = 1000,
    DEFAULT_STREAMS_ADDRESS = 200,
    DEFAULT_HEARTBEAT_MS = 15000,
    DEFAULT_RING = 256,
    DEFAULT_REPLAY = 500,
    DEFAULT_IDLE_S = 60,
    SPARE_CONNECTIONS = 512, /* beside the streams, so that pages are served when streams are full */
    ADMIN_CONNECTIONS = 64,
    CONNECTION_BYTES = 32 * 1024,
    SPARE_DESCRIPTORS = 256, /* of the process, kept free for the journal and the plugins */
    STOP_ROUNDS = 64
};

void http_log(struct http *http, int level, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    for (size_t n = strlen(line); n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'); n--)
        line[n - 1] = '\0';
    if (http->config.log)
        http->config.log(http->config.log_ctx, level, line);
    else
        fprintf(stderr, "%s\n", line);
}

static void daemon_log(void *ctx, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void daemon_log(void *ctx, const char *format, va_list args) {
    char line[384];
    vsnprintf(line, sizeof(line), format, args);
    http_log(ctx, 0, "http: %s", line);
}

/* --- answers ------------------------------------------------------------------------------- */

void http_add_safety_headers(struct MHD_Response *response) {
    static const char *const headers[][2] = {
        {"Content-Security-Policy",
         "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
         "connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
         "form-action 'none'; frame-ancestors 'none'; "
         "require-trusted-types-for 'script'"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "strict-origin-when-cross-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"},
        {"X-Frame-Options", "DENY"},
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

enum MHD_Result http_answer_text(struct http *http, struct MHD_Connection *connection, unsigned status,
                                 const char *type, const char *text) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    if (status >= 400 && status < 500)
        atomic_fetch_add(&http->client_errors, 1);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    http_add_safety_headers(response);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

/* The site whose mount is the longest prefix of `path`; *rest is what follows the mount. */
static struct http_site *find_site(struct http *http, const char *path, const char **rest) {
    struct http_site *found = NULL;
    size_t longest = 0;
    uint32_t count = atomic_load(&http->site_count);
    for (uint32_t i = 0; i < count; i++) {
        size_t n = strlen(http->sites[i]->mount);
        if (n > longest && strncmp(path, http->sites[i]->mount, n) == 0) {
            found = http->sites[i];
            longest = n;
        }
    }
    *rest = path + longest;
    return found;
}

static enum MHD_Result answer_public(struct http *http, struct MHD_Connection *connection, const char *path,
                                     const char *method) {
    const char *rest;
    struct http_site *site = find_site(http, path, &rest);
    if (!site)
        return http_answer_text(http, connection, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
                                "Nothing is published here yet.\n");
    if (strcmp(rest, "live") == 0) {
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
            return http_answer_text(http, connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                                    "text/plain; charset=utf-8", "An event stream is read with GET.\n");
        return http_live_answer(site, connection);
    }
    return http_static_answer(site, connection, rest);
}

/* MHD calls this once when the headers are read and again when the body, if any, is. */
static enum MHD_Result handle_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                      const char *method, const char *version, const char *upload,
                                      size_t *upload_bytes, void **state) {
    static int headers_seen;
    struct http_listener *listener = ctx;
    struct http *http = listener->http;
    (void)version;
    (void)upload;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return http_answer_text(http, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8",
                                "Only GET and HEAD are answered here.\n");
    if (!*state) {
        *state = &headers_seen;
        return MHD_YES;
    }
    if (*upload_bytes > 0) { /* a GET with a body: read past it */
        *upload_bytes = 0;
        return MHD_YES;
    }
    atomic_fetch_add(&http->requests, 1);
    if (url[0] != '/')
        return http_answer_text(http, connection, MHD_HTTP_BAD_REQUEST, "text/plain; charset=utf-8",
                                "The address must start with a slash.\n");
    if (listener == &http->admin_listener)
        return http_admin_answer(http, connection, url);
    return answer_public(http, connection, url, method);
}

/* Paths are decoded by http_static.c, which knows what to refuse; MHD would hide %00 and %2f. */
static size_t keep_escapes(void *ctx, struct MHD_Connection *connection, char *text) {
    (void)ctx;
    (void)connection;
    return strlen(text);
}

/* --- the loop ------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer) {
    http_kick(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    http_kick(poll->data);
}

void http_kick(struct http_listener *listener) {
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    if (!listener->daemon)
        return;
    MHD_run(listener->daemon);
    if (MHD_get_timeout(listener->daemon, &timeout_ms) == MHD_YES)
        uv_timer_start(&listener->timer, on_timer, timeout_ms, 0);
    else
        uv_timer_stop(&listener->timer);
}

static void on_wake(uv_async_t *wake) {
    struct http *http = wake->data;
    if (http->stopping)
        return;
    http_live_wake(http);
    http_kick(&http->public_listener);
}

static void on_beat(uv_timer_t *timer) {
    struct http *http = timer->data;
    http_live_beat(http);
    http_kick(&http->public_listener);
}

/* --- listening ----------------------------------------------------------------------------- */

static int parse_address(const struct http_bind *bind_to, struct sockaddr_storage *out, socklen_t *bytes) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, bind_to->address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(bind_to->port);
        *bytes = sizeof(*v4);
        return 0;
    }
    if (inet_pton(AF_INET6, bind_to->address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(bind_to->port);
        *bytes = sizeof(*v6);
        return 0;
    }
    return -EINVAL;
}

static int explain(const struct http_bind *bind_to, int err, char *why, size_t why_bytes) {
    const char *key = bind_to->key ? bind_to->key : "(unnamed)";
    if (err == -EADDRINUSE)
        snprintf(why, why_bytes,
                 "%s: port %u on %s is in use by another program; stop that one, choose another port, or "
                 "write 0 for any free port",
                 key, bind_to->port, bind_to->address);
    else if (err == -EINVAL)
        snprintf(why, why_bytes, "%s: '%s' is not an IPv4 or IPv6 address; write for example 127.0.0.1", key,
                 bind_to->address);
    else
        snprintf(why, why_bytes, "%s: cannot listen on %s port %u: %s", key, bind_to->address, bind_to->port,
                 strerror(-err));
    return err;
}

/* A listening socket of our own, so that the error is exact and the port known. */
static int open_socket(const struct http_bind *bind_to, uint16_t *port) {
    struct sockaddr_storage address;
    socklen_t bytes;
    int one = 1;
    int err = parse_address(bind_to, &address, &bytes);
    if (err)
        return err;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, bytes) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        err = -errno;
        close(fd);
        return err;
    }
    *port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                : ((struct sockaddr_in *)&address)->sin_port);
    return fd;
}

static unsigned connection_limit(const struct http *http, const struct http_listener *listener) {
    struct rlimit files;
    unsigned wanted = ADMIN_CONNECTIONS;
    if (listener == &http->public_listener)
        wanted = http->config.max_streams + SPARE_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < wanted + SPARE_DESCRIPTORS)
        wanted = files.rlim_cur > 2 * SPARE_DESCRIPTORS ? (unsigned)files.rlim_cur - SPARE_DESCRIPTORS
                                                        : ADMIN_CONNECTIONS;
    return wanted;
}

static int open_listener(struct http *http, struct http_listener *listener, const struct http_bind *bind_to,
                         char *why, size_t why_bytes) {
    listener->http = http;
    if (!bind_to->address)
        return 0;
    int fd = open_socket(bind_to, &listener->port);
    if (fd < 0)
        return explain(bind_to, fd, why, why_bytes);
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle_request, listener,
        MHD_OPTION_EXTERNAL_LOGGER, daemon_log, http, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
        MHD_OPTION_CONNECTION_LIMIT, connection_limit(http, listener), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)http->config.idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!listener->daemon) {
        close(fd);
        return explain(bind_to, -EIO, why, why_bytes);
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info || uv_poll_init(http->loop, &listener->poll, info->epoll_fd) != 0)
        return explain(bind_to, -EIO, why, why_bytes);
    listener->poll.data = listener;
    listener->poll_open = true;
    uv_timer_init(http->loop, &listener->timer);
    listener->timer.data = listener;
    listener->timer_open = true;
    uv_poll_start(&listener->poll, UV_READABLE, on_poll);
    http_kick(listener);
    return 0;
}

/* --- life ---------------------------------------------------------------------------------- */

static void apply_defaults(struct http_config *config) {
    struct {
        uint32_t *value, standard;
    } numbers[] = {
        {&config->max_streams, DEFAULT_STREAMS},
        {&config->max_streams_address, DEFAULT_STREAMS_ADDRESS},
        {&config->heartbeat_ms, DEFAULT_HEARTBEAT_MS},
        {&config->ring_events, DEFAULT_RING},
        {&config->replay_max, DEFAULT_REPLAY},
        {&config->idle_timeout_s, DEFAULT_IDLE_S},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (*numbers[i].value == 0)
            *numbers[i].value = numbers[i].standard;
}

static bool epoch_is_plain(const char *epoch) {
    size_t n = strspn(epoch, "abcdefghijklmnopqrstuvwxyz0123456789");
    return n > 0 && n < HTTP_EPOCH_BYTES && epoch[n] == '\0';
}

int http_create(uv_loop_t *loop, const struct http_config *config, struct http **out, char *why,
                size_t why_bytes) {
    const char *epoch = config->epoch ? config->epoch : "0";
    if (!epoch_is_plain(epoch)) {
        snprintf(why, why_bytes, "http: the epoch '%s' must be 1 to 32 of a-z and 0-9", epoch);
        return -EINVAL;
    }
    struct http *http = calloc(1, sizeof(*http));
    if (!http)
        return -ENOMEM;
    http->loop = loop;
    http->config = *config;
    memcpy(http->epoch, epoch, strlen(epoch) + 1);
    apply_defaults(&http->config);
    pthread_mutex_init(&http->sites_lock, NULL);
    uv_async_init(loop, &http->wake, on_wake);
    http->wake.data = http;
    uv_timer_init(loop, &http->beat);
    http->beat.data = http;
    uv_timer_start(&http->beat, on_beat, http->config.heartbeat_ms, http->config.heartbeat_ms);
    int err = open_listener(http, &http->public_listener, &config->public_bind, why, why_bytes);
    if (!err)
        err = open_listener(http, &http->admin_listener, &config->admin_bind, why, why_bytes);
    if (err) {
        http_stop(http, NULL, NULL);
        return err;
    }
    *out = http;
    return 0;
}

uint16_t http_public_port(const struct http *http) {
    return http->public_listener.port;
}

uint16_t http_admin_port(const struct http *http) {
    return http->admin_listener.port;
}

/* The last handle to close takes everything else with it. */
static void on_closed(uv_handle_t *handle) {
    struct http *http = handle->data;
    if (--http->open_handles > 0)
        return;
    uint32_t count = atomic_load(&http->site_count);
    for (uint32_t i = 0; i < count; i++)
        http_site_destroy(http->sites[i]);
    pthread_mutex_destroy(&http->sites_lock);
    void (*done)(void *ctx) = http->done;
    void *ctx = http->done_ctx;
    free(http);
    if (done)
        done(ctx);
}

static void close_handle(struct http *http, uv_handle_t *handle) {
    handle->data = http;
    http->open_handles++;
    uv_close(handle, on_closed);
}

static void close_listener(struct http_listener *listener) {
    if (listener->poll_open) /* before the daemon, which closes the descriptor under it */
        close_handle(listener->http, (uv_handle_t *)&listener->poll);
    if (listener->timer_open)
        close_handle(listener->http, (uv_handle_t *)&listener->timer);
    if (listener->daemon)
        MHD_stop_daemon(listener->daemon);
    listener->daemon = NULL;
}

void http_stop(struct http *http, void (*done)(void *ctx), void *ctx) {
    if (!http) {
        if (done)
            done(ctx);
        return;
    }
    http->stopping = true;
    http->done = done;
    http->done_ctx = ctx;
    http_live_finish(http);
    for (int round = 0; round < STOP_ROUNDS && http->streams && http->public_listener.daemon; round++)
        MHD_run(http->public_listener.daemon);
    close_listener(&http->public_listener);
    close_listener(&http->admin_listener);
    close_handle(http, (uv_handle_t *)&http->wake);
    close_handle(http, (uv_handle_t *)&http->beat);
}

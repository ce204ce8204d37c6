/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.c - libcurl's multi_socket interface on a libuv loop.
 *
 * libcurl says which sockets it waits for and when it wants to be called; uv_poll and one uv_timer do that. A
 * fetch has one easy handle for all its hops. Its end is always reported from the loop, so that the caller's
 * state never changes under its feet. */
#include "fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "url.h"

#define HEADERS_MAX_BYTES ((size_t)64 << 10)
#define VALUE_MAX_BYTES   1024
#define RATIO_FREE_BYTES  ((curl_off_t)128 << 10) /* a small answer may unpack to ratio times this */
#define ACCEPT                                                                                               \
    "Accept: application/atom+xml, application/rss+xml, application/feed+json, application/rdf+xml;q=0.9, "  \
    "application/xml;q=0.8, text/xml;q=0.8, application/json;q=0.7, */*;q=0.1"

/* Headers that are kept. */
enum header {
    H_ETAG,
    H_LAST_MODIFIED,
    H_CONTENT_TYPE,
    H_CONTENT_LANGUAGE,
    H_CONTENT_LOCATION,
    H_RETRY_AFTER,
    H_CACHE_CONTROL,
    H_EXPIRES,
    H_DATE,
    H_LOCATION,
    HEADERS_N,
};

static const char *const header_names[HEADERS_N] = {
    "ETag",          "Last-Modified", "Content-Type", "Content-Language", "Content-Location", "Retry-After",
    "Cache-Control", "Expires",       "Date",         "Location",
};

struct fetch {
    struct fetcher *fetcher; /* borrowed */
    struct fetch *next, *previous;
    CURL *easy;               /* owned */
    struct curl_slist *extra; /* owned: request headers of the present hop */
    struct arena arena;       /* owned: addresses */
    const char *url;          /* of the present hop */
    struct buf body;
    char value[HEADERS_N][VALUE_MAX_BYTES];
    size_t header_bytes;
    curl_off_t wire_bytes; /* of this hop, as of the last progress call */
    long status;
    int hops;
    bool all_permanent;
    const char *onward; /* in the arena: another site's address that a redirect named */
    uint64_t end_ms;    /* uv_now when all hops together have taken too long */
    int err;
    char why[256], curl_why[CURL_ERROR_SIZE];
    fetch_done done;
    void *arg;
};

/* One socket of libcurl's. */
struct watch {
    uv_poll_t poll;
    struct fetcher *fetcher; /* borrowed */
    curl_socket_t socket;
};

struct fetcher {
    uv_loop_t *loop;                   /* borrowed */
    const struct fetch_config *config; /* borrowed */
    CURLM *multi;                      /* owned */
    uv_timer_t timer;                  /* libcurl's */
    struct fetch *fetches;             /* owned list */
    bool ending;
};

static void give_up(struct fetch *f, int err, const char *why) {
    if (f->err)
        return;
    f->err = err;
    snprintf(f->why, sizeof(f->why), "%s", why);
}

/* ---- what libcurl calls for one transfer ---- */

static curl_socket_t on_socket_open(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    struct fetch *f = user;
    const struct fetch_config *c = f->fetcher->config;
    char why[160];
    (void)purpose;
    if (!address_allowed(&address->addr, c->allowed, c->n_allowed, c->ports, c->n_ports, why, sizeof(why))) {
        give_up(f, -EACCES, why);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_header(char *data, size_t size, size_t n, void *user) {
    struct fetch *f = user;
    size_t bytes = size * n;
    f->header_bytes += bytes;
    if (f->header_bytes > HEADERS_MAX_BYTES) {
        give_up(f, -EFBIG, "more than 64 KiB of headers");
        return 0;
    }
    if (bytes > 5 && !memcmp(data, "HTTP/", 5))
        memset(f->value, 0, sizeof(f->value)); /* an interim answer's headers are not the answer's */
    for (size_t i = 0; i < HEADERS_N; i++) {
        size_t len = strlen(header_names[i]);
        if (bytes <= len || data[len] != ':' || strncasecmp(data, header_names[i], len) != 0)
            continue;
        const char *at = data + len + 1, *end = data + bytes;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        while (end > at && strchr(" \t\r\n", end[-1]))
            end--;
        if ((size_t)(end - at) < VALUE_MAX_BYTES && !memchr(at, 0, (size_t)(end - at))) {
            memcpy(f->value[i], at, (size_t)(end - at));
            f->value[i][end - at] = 0;
        }
    }
    return bytes;
}

static size_t on_body(char *data, size_t size, size_t n, void *user) {
    struct fetch *f = user;
    const struct fetch_limits *limits = &f->fetcher->config->limits;
    size_t bytes = size * n;
    curl_off_t all = (curl_off_t)(f->body.len + bytes);
    if (all > limits->body_bytes)
        give_up(f, -EFBIG, "the document is larger than body_limit");
    else if (all / limits->ratio > f->wire_bytes + RATIO_FREE_BYTES)
        give_up(f, -EFBIG, "the document unpacks to more than compression allows (ratio_limit)");
    if (f->err)
        return 0;
    buf_add(&f->body, data, bytes);
    return f->body.full ? 0 : bytes;
}

static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up) {
    struct fetch *f = user;
    const struct fetch_limits *limits = &f->fetcher->config->limits;
    (void)up_total, (void)up;
    f->wire_bytes = down;
    if (down > limits->wire_bytes || down_total > limits->wire_bytes)
        give_up(f, -EFBIG, "the answer is larger than wire_limit");
    return f->err != 0;
}

/* ---- hops ---- */

static void unlink_fetch(struct fetch *f) {
    if (f->previous)
        f->previous->next = f->next;
    else
        f->fetcher->fetches = f->next;
    if (f->next)
        f->next->previous = f->previous;
}

static void fetch_free(struct fetch *f) {
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->extra);
    buf_finish(&f->body);
    arena_finish(&f->arena);
    free(f);
}

static void report(struct fetch *f) {
    struct fetch_result result = {
        .err = f->err,
        .status = f->status,
        .url = f->url,
        .moved = f->hops > 0 && f->all_permanent,
        .onward = f->err ? NULL : f->onward,
        .hops = f->hops,
        .all_permanent = f->all_permanent,
        .body = buf_text(&f->body),
        .body_bytes = f->body.len,
        .wire_bytes = (size_t)f->wire_bytes,
        .etag = f->value[H_ETAG],
        .last_modified = f->value[H_LAST_MODIFIED],
        .content_type = f->value[H_CONTENT_TYPE],
        .content_language = f->value[H_CONTENT_LANGUAGE],
        .content_location = f->value[H_CONTENT_LOCATION],
        .retry_after = f->value[H_RETRY_AFTER],
        .cache_control = f->value[H_CACHE_CONTROL],
        .expires = f->value[H_EXPIRES],
        .date = f->value[H_DATE],
    };
    memcpy(result.why, f->why, sizeof(result.why));
    f->done(f->arg, &result);
    fetch_free(f);
}

static int add_header(struct fetch *f, const char *line) {
    struct curl_slist *more = curl_slist_append(f->extra, line);
    if (!more)
        return -ENOMEM;
    f->extra = more;
    return 0;
}

static int add_validator(struct fetch *f, const char *name, const char *value) {
    char line[VALUE_MAX_BYTES + 32];
    if (!value || !*value || strpbrk(value, "\r\n"))
        return 0;
    snprintf(line, sizeof(line), "%s: %s", name, value);
    return add_header(f, line);
}

/* Options that hold for every hop. */
static void set_options(struct fetch *f) {
    const struct fetch_config *c = f->fetcher->config;
    const struct fetch_limits *limits = &c->limits;
    CURL *e = f->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, c->user_agent);
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip, deflate, br");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)limits->connect_ms);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)limits->slow_bytes_s);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((limits->slow_ms + 999) / 1000));
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, f);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->curl_why);
}

/* Send the request for f->url. */
static int start_hop(struct fetch *f) {
    uint64_t now = uv_now(f->fetcher->loop);
    if (now >= f->end_ms)
        return -ETIMEDOUT;
    f->header_bytes = 0;
    f->wire_bytes = 0;
    f->body.len = 0;
    f->curl_why[0] = 0;
    memset(f->value, 0, sizeof(f->value));
    curl_easy_setopt(f->easy, CURLOPT_URL, f->url);
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->extra);
    curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, (long)(f->end_ms - now));
    return curl_multi_add_handle(f->fetcher->multi, f->easy) == CURLM_OK ? 0 : -ENOMEM;
}

/* Whether both addresses are of one site, which waits for us once. */
static bool is_same_site(struct fetch *f, const char *a, const char *b) {
    const char *one = url_host(&f->arena, a), *other = url_host(&f->arena, b);
    return one && other && !strcmp(url_registrable(one), url_registrable(other));
}

/* The next hop, where the answer asks for one. True when it was begun. */
static bool follow(struct fetch *f) {
    long s = f->status;
    if ((s != 301 && s != 302 && s != 303 && s != 307 && s != 308) || !*f->value[H_LOCATION])
        return false;
    const char *url = url_resolve(&f->arena, f->url, f->value[H_LOCATION]);
    if (++f->hops > f->fetcher->config->limits.redirects) {
        give_up(f, -ELOOP, "more redirects than are followed");
        return false;
    }
    if (!url || !url_is_web(url)) {
        give_up(f, -EACCES, "redirected to something that is neither http nor https");
        return false;
    }
    f->all_permanent &= s == 301 || s == 308;
    if (!is_same_site(f, f->url, url)) {
        f->onward = url;
        return false;
    }
    f->url = url;
    curl_slist_free_all(f->extra); /* validators were the first address's */
    f->extra = NULL;
    int err = add_header(f, ACCEPT);
    err = err ? err : start_hop(f);
    if (err)
        give_up(f, err, err == -ETIMEDOUT ? "took too long" : "out of memory");
    return !err;
}

static int error_of(CURLcode code) {
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return -EFBIG;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return -EACCES;
    default:
        return -EIO;
    }
}

static void hop_ended(struct fetch *f, CURLcode code) {
    curl_off_t wire = 0;
    curl_multi_remove_handle(f->fetcher->multi, f->easy);
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &f->status);
    if (curl_easy_getinfo(f->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire) == CURLE_OK)
        f->wire_bytes = wire;
    if (code != CURLE_OK)
        give_up(f, error_of(code), *f->curl_why ? f->curl_why : curl_easy_strerror(code));
    if (!f->err && follow(f))
        return;
    unlink_fetch(f);
    report(f);
}

/* ---- the loop ---- */

static void collect(struct fetcher *fetcher) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(fetcher->multi, &left))) {
        struct fetch *f = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &f);
        hop_ended(f, code);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *watch = (struct watch *)poll;
    struct fetcher *fetcher = watch->fetcher;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(fetcher->multi, watch->socket, flags, &running);
    if (!fetcher->ending)
        collect(fetcher);
}

static void on_timer(uv_timer_t *timer) {
    struct fetcher *fetcher = timer->data;
    int running;
    curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    if (!fetcher->ending)
        collect(fetcher);
}

static void on_watch_closed(uv_handle_t *handle) {
    free(handle);
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *of_socket) {
    struct fetcher *fetcher = user;
    struct watch *watch = of_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
            curl_multi_assign(fetcher->multi, socket, NULL);
        }
        return 0;
    }
    if (!watch) {
        watch = calloc(1, sizeof(*watch));
        if (!watch)
            return -1;
        watch->fetcher = fetcher;
        watch->socket = socket;
        if (uv_poll_init_socket(fetcher->loop, &watch->poll, socket) < 0) {
            free(watch);
            return -1;
        }
        curl_multi_assign(fetcher->multi, socket, watch);
    }
    int events = (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_poll) < 0 ? -1 : 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user) {
    struct fetcher *fetcher = user;
    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&fetcher->timer);
    else
        uv_timer_start(&fetcher->timer, on_timer, (uint64_t)(timeout_ms ? timeout_ms : 1), 0);
    return 0;
}

int fetcher_create(struct fetcher **out, uv_loop_t *loop, const struct fetch_config *config) {
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
    if (!fetcher)
        return -ENOMEM;
    fetcher->loop = loop;
    fetcher->config = config;
    fetcher->multi = curl_multi_init();
    if (!fetcher->multi) {
        free(fetcher);
        return -ENOMEM;
    }
    uv_timer_init(loop, &fetcher->timer);
    fetcher->timer.data = fetcher;
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, 32L);
    *out = fetcher;
    return 0;
}

int fetcher_get(struct fetcher *fetcher, const struct fetch_start *start, fetch_done done, void *arg) {
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->fetcher = fetcher;
    f->done = done;
    f->arg = arg;
    f->hops = start->hops;
    f->all_permanent = !start->temporary;
    f->body.limit = (size_t)fetcher->config->limits.body_bytes + 1;
    f->url = arena_text(&f->arena, start->url);
    f->easy = curl_easy_init();
    uv_update_time(fetcher->loop);
    f->end_ms = uv_now(fetcher->loop) + (uint64_t)fetcher->config->limits.total_ms;
    if (!f->url || !f->easy || add_header(f, ACCEPT) || add_validator(f, "If-None-Match", start->etag) ||
        add_validator(f, "If-Modified-Since", start->last_modified)) {
        fetch_free(f);
        return -ENOMEM;
    }
    set_options(f);
    int err = start_hop(f);
    if (err) {
        fetch_free(f);
        return err;
    }
    f->next = fetcher->fetches;
    if (f->next)
        f->next->previous = f;
    fetcher->fetches = f;
    return 0;
}

static void on_fetcher_closed(uv_handle_t *timer) {
    free(timer->data);
}

void fetcher_destroy(struct fetcher *fetcher) {
    if (!fetcher)
        return;
    fetcher->ending = true;
    while (fetcher->fetches) {
        struct fetch *f = fetcher->fetches;
        curl_multi_remove_handle(fetcher->multi, f->easy);
        give_up(f, -ECANCELED, "the stage is stopping");
        unlink_fetch(f);
        report(f);
    }
    curl_multi_cleanup(fetcher->multi);
    uv_timer_stop(&fetcher->timer);
    uv_close((uv_handle_t *)&fetcher->timer, on_fetcher_closed);
}

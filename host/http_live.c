/* SPDX-License-Identifier: Apache-2.0 */
/* http_live.c - event streams: one ring per site, one cursor per reader.
 *
 * A reader owns no queue. Its cursor is the last event handed to its socket; the next one comes from
 * the ring, or, when it is older than the ring, from the journal through the host's replay function.
 * A reader that is too far behind gets `reset` and goes on from now. So a slow reader costs nothing
 * but its cursor, and never holds up another. A reader with nothing to send is suspended; suspended
 * connections are not polled, so the heartbeat is also how a gone reader is noticed. */
#include "http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024, EVENT_BYTES_MAX = 256 * 1024, HEADER_BYTES = 160 };

/* --- blobs --------------------------------------------------------------------------------- */

static struct http_blob *blob_create(uint64_t seq, const char *text, size_t bytes) {
    struct http_blob *blob = malloc(sizeof(*blob) + bytes + 1);
    if (!blob)
        return NULL;
    blob->refs = 1;
    blob->bytes = bytes;
    blob->seq = seq;
    memcpy(blob->text, text, bytes);
    blob->text[bytes] = '\0';
    return blob;
}

/* Under the site's lock, or while no other thread knows the blob. */
static void blob_drop(struct http_blob *blob) {
    if (blob && --blob->refs == 0)
        free(blob);
}

static bool kind_is_plain(const char *kind) {
    size_t n = strspn(kind, "abcdefghijklmnopqrstuvwxyz-");
    return n > 0 && n <= 32 && kind[n] == '\0';
}

static bool is_one_line(const char *text, size_t bytes) {
    return !memchr(text, '\n', bytes) && !memchr(text, '\r', bytes) && !memchr(text, '\0', bytes);
}

static struct http_blob *event_blob(const struct http *http, uint64_t seq, const char *kind, const char *json,
                                    size_t json_bytes) {
    if (!kind_is_plain(kind) || json_bytes > EVENT_BYTES_MAX || !is_one_line(json, json_bytes))
        return NULL;
    char head[HEADER_BYTES];
    int n = snprintf(head, sizeof(head), "id: %s-%" PRIu64 "\nevent: %s\ndata: ", http->epoch, seq, kind);
    struct http_blob *blob = malloc(sizeof(*blob) + (size_t)n + json_bytes + 3);
    if (!blob)
        return NULL;
    blob->refs = 1;
    blob->seq = seq;
    blob->bytes = (size_t)n + json_bytes + 2;
    memcpy(blob->text, head, (size_t)n);
    memcpy(blob->text + n, json, json_bytes);
    memcpy(blob->text + n + json_bytes, "\n\n", 3);
    return blob;
}

/* --- sites --------------------------------------------------------------------------------- */

static bool mount_is_good(const char *mount) {
    size_t n = strlen(mount);
    if (n == 0 || n >= HTTP_MOUNT_BYTES || mount[0] != '/' || mount[n - 1] != '/' || strstr(mount, "//"))
        return false;
    return strspn(mount, "abcdefghijklmnopqrstuvwxyz0123456789-_/") == n;
}

static struct http_site *site_create(struct http *http, const char *mount, const char *root,
                                     uint64_t last_seq) {
    struct http_site *site = calloc(1, sizeof(*site));
    if (!site)
        return NULL;
    site->http = http;
    memcpy(site->mount, mount, strlen(mount) + 1);
    site->root = strdup(root);
    site->ring = calloc(http->config.ring_events, sizeof(struct http_blob *));
    site->last_seq = site->ring_after = last_seq;
    pthread_mutex_init(&site->lock, NULL);
    if (!site->root || !site->ring) {
        http_site_destroy(site);
        return NULL;
    }
    return site;
}

void http_site_destroy(struct http_site *site) {
    for (uint32_t i = 0; site->ring && i < site->ring_count; i++)
        blob_drop(site->ring[(site->ring_head + i) % site->http->config.ring_events]);
    free(site->ring);
    free(site->root);
    pthread_mutex_destroy(&site->lock);
    free(site);
}

static int move_site(struct http_site *site, const char *root) {
    char *copy = strdup(root);
    if (!copy)
        return -ENOMEM;
    pthread_mutex_lock(&site->lock);
    char *old = site->root;
    site->root = copy;
    pthread_mutex_unlock(&site->lock);
    free(old);
    return 0;
}

int http_site_add(struct http *http, const char *mount, const char *root, uint64_t last_seq,
                  struct http_site **out) {
    int err = 0;
    if (!mount_is_good(mount) || root[0] != '/')
        return -EINVAL;
    pthread_mutex_lock(&http->sites_lock);
    uint32_t count = atomic_load(&http->site_count);
    struct http_site *site = NULL;
    for (uint32_t i = 0; i < count && !site; i++)
        if (strcmp(http->sites[i]->mount, mount) == 0)
            site = http->sites[i];
    if (site) {
        err = move_site(site, root);
    } else if (count == HTTP_SITES_MAX) {
        err = -ENOSPC;
    } else if (!(site = site_create(http, mount, root, last_seq))) {
        err = -ENOMEM;
    } else {
        http->sites[count] = site;
        atomic_store(&http->site_count, count + 1);
    }
    pthread_mutex_unlock(&http->sites_lock);
    if (!err && out)
        *out = site;
    return err;
}

int http_event_publish(struct http_site *site, uint64_t seq, const char *kind, const char *json,
                       size_t json_bytes) {
    struct http *http = site->http;
    uint32_t capacity = http->config.ring_events;
    struct http_blob *blob = event_blob(http, seq, kind, json, json_bytes);
    if (!blob)
        return -EINVAL;
    pthread_mutex_lock(&site->lock);
    bool fresh = seq > site->last_seq;
    if (fresh) {
        if (site->ring_count == capacity) {
            struct http_blob *oldest = site->ring[site->ring_head];
            site->ring_after = oldest->seq;
            site->ring_head = (site->ring_head + 1) % capacity;
            site->ring_count--;
            blob_drop(oldest);
        }
        site->ring[(site->ring_head + site->ring_count++) % capacity] = blob;
        site->last_seq = seq;
        atomic_fetch_add(&http->events, 1);
    } else {
        blob_drop(blob);
    }
    pthread_mutex_unlock(&site->lock);
    if (fresh)
        uv_async_send(&http->wake);
    return 0;
}

/* --- one reader ---------------------------------------------------------------------------- */

static struct http_blob *note_blob(struct http_stream *stream, const char *kind, uint64_t last_seq) {
    char text[HEADER_BYTES + 64];
    const char *epoch = stream->site->http->epoch;
    int n =
        snprintf(text, sizeof(text),
                 "%sid: %s-%" PRIu64 "\nevent: %s\ndata: {\"epoch\":\"%s\",\"seq\":%" PRIu64 "}\n\n",
                 strcmp(kind, "hello") == 0 ? "retry: 3000\n" : "", epoch, last_seq, kind, epoch, last_seq);
    return blob_create(0, text, (size_t)n);
}

static void collect_replay(void *ctx, uint64_t seq, const char *kind, const char *json, size_t json_bytes) {
    struct http_stream *stream = ctx;
    uint64_t newest =
        stream->backlog_count ? stream->backlog[stream->backlog_count - 1]->seq : stream->cursor;
    if (stream->backlog_count == HTTP_BACKLOG || seq <= newest)
        return;
    struct http_blob *blob = event_blob(stream->site->http, seq, kind, json, json_bytes);
    if (blob)
        stream->backlog[stream->backlog_count++] = blob;
}

static void refill_from_journal(struct http_stream *stream) {
    struct http *http = stream->site->http;
    stream->backlog_count = stream->backlog_next = 0;
    if (!http->config.replay ||
        http->config.replay(http->config.replay_ctx, stream->site->mount, stream->cursor, HTTP_BACKLOG,
                            collect_replay, stream) != 0 ||
        stream->backlog_count == 0)
        stream->reset_due = true;
}

/* The first event in the ring above the cursor, referenced. Under the site's lock. */
static struct http_blob *take_from_ring(struct http_site *site, uint64_t cursor) {
    uint32_t low = 0, high = site->ring_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (site->ring[(site->ring_head + middle) % site->http->config.ring_events]->seq > cursor)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == site->ring_count)
        return NULL;
    struct http_blob *blob = site->ring[(site->ring_head + low) % site->http->config.ring_events];
    blob->refs++;
    return blob;
}

static struct http_blob *next_event(struct http_stream *stream) {
    struct http_site *site = stream->site;
    if (stream->backlog_next < stream->backlog_count)
        return stream->backlog[stream->backlog_next++];
    pthread_mutex_lock(&site->lock);
    uint64_t last = site->last_seq;
    bool in_ring = stream->cursor >= site->ring_after;
    struct http_blob *blob = in_ring ? take_from_ring(site, stream->cursor) : NULL;
    pthread_mutex_unlock(&site->lock);
    if (in_ring)
        return blob;
    if (last - stream->cursor > site->http->config.replay_max)
        stream->reset_due = true;
    else
        refill_from_journal(stream);
    if (!stream->reset_due)
        return stream->backlog[stream->backlog_next++];
    return NULL;
}

/* What this reader is sent next, or NULL when there is nothing. */
static struct http_blob *next_blob(struct http_stream *stream) {
    struct http_site *site = stream->site;
    if (stream->hello_due) {
        stream->hello_due = false;
        return note_blob(stream, "hello", stream->cursor);
    }
    struct http_blob *blob = stream->reset_due ? NULL : next_event(stream);
    if (stream->reset_due) {
        pthread_mutex_lock(&site->lock);
        stream->cursor = site->last_seq;
        pthread_mutex_unlock(&site->lock);
        stream->reset_due = false;
        atomic_fetch_add(&site->http->resets, 1);
        return note_blob(stream, "reset", stream->cursor);
    }
    if (!blob && stream->beat_due)
        blob = blob_create(0, ":\n\n", 3);
    if (blob) /* any bytes at all do what a heartbeat does */
        stream->beat_due = false;
    return blob;
}

static void release_blob(struct http_stream *stream) {
    if (!stream->sending)
        return;
    pthread_mutex_lock(&stream->site->lock);
    blob_drop(stream->sending);
    pthread_mutex_unlock(&stream->site->lock);
    stream->sending = NULL;
}

static ssize_t read_stream(void *ctx, uint64_t position, char *out, size_t room) {
    struct http_stream *stream = ctx;
    size_t filled = 0;
    (void)position;
    while (filled < room) {
        if (!stream->sending) {
            stream->sent = 0;
            if (stream->finished || !(stream->sending = next_blob(stream)))
                break;
            if (stream->sending->seq)
                stream->cursor = stream->sending->seq;
        }
        size_t n = stream->sending->bytes - stream->sent;
        if (n > room - filled)
            n = room - filled;
        memcpy(out + filled, stream->sending->text + stream->sent, n);
        filled += n;
        stream->sent += n;
        if (stream->sent == stream->sending->bytes)
            release_blob(stream);
    }
    if (filled > 0)
        return (ssize_t)filled;
    if (stream->finished)
        return MHD_CONTENT_READER_END_OF_STREAM;
    stream->suspended = true;
    MHD_suspend_connection(stream->connection);
    return 0;
}

static void free_stream(void *ctx) {
    struct http_stream *stream = ctx;
    struct http *http = stream->site->http;
    release_blob(stream);
    for (uint32_t i = stream->backlog_next; i < stream->backlog_count; i++)
        blob_drop(stream->backlog[i]);
    if (stream->prev)
        stream->prev->next = stream->next;
    else
        http->streams = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    http->stream_count--;
    free(stream);
}

/* --- joining ------------------------------------------------------------------------------- */

static const void *address_bytes(const struct sockaddr_storage *address, size_t *bytes) {
    if (address->ss_family == AF_INET6) {
        *bytes = 8; /* one subscriber's /64 */
        return &((const struct sockaddr_in6 *)address)->sin6_addr;
    }
    *bytes = 4;
    return &((const struct sockaddr_in *)address)->sin_addr;
}

static bool is_full(const struct http *http, const struct sockaddr_storage *from) {
    uint32_t same = 0;
    size_t bytes, other_bytes;
    const void *address = address_bytes(from, &bytes);
    if (http->stream_count >= http->config.max_streams)
        return true;
    for (const struct http_stream *s = http->streams; s; s = s->next)
        if (s->from.ss_family == from->ss_family &&
            memcmp(address_bytes(&s->from, &other_bytes), address, bytes) == 0)
            same++;
    return same >= http->config.max_streams_address;
}

/* Where a reader says it is: "epoch-seq" or "seq". False when it is of another history. */
static bool parse_cursor(const struct http *http, const char *text, uint64_t *cursor) {
    const char *dash = strrchr(text, '-');
    char *end;
    if (dash) {
        size_t n = strlen(http->epoch);
        if ((size_t)(dash - text) != n || memcmp(text, http->epoch, n) != 0)
            return false;
        text = dash + 1;
    }
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *cursor = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static void place_cursor(struct http_stream *stream, struct MHD_Connection *connection) {
    struct http_site *site = stream->site;
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
    if (!text || !*text)
        text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "after");
    pthread_mutex_lock(&site->lock);
    uint64_t last = site->last_seq;
    pthread_mutex_unlock(&site->lock);
    stream->cursor = last;
    stream->hello_due = true;
    if (!text || !*text)
        return;
    if (!parse_cursor(site->http, text, &stream->cursor) || stream->cursor > last) {
        stream->cursor = last;
        stream->reset_due = true;
    }
}

static void add_stream_headers(struct MHD_Response *response) {
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store, no-transform");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    http_add_safety_headers(response);
}

/* Overload is a 200 that asks for patience: after a 503 or 204 a browser never comes back. */
static enum MHD_Result shed_reader(struct http *http, struct MHD_Connection *connection) {
    static const char later[] = "retry: 60000\n: too many readers, come back in a minute\n\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof(later) - 1, (void *)(uintptr_t)later, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    atomic_fetch_add(&http->shed, 1);
    add_stream_headers(response);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

enum MHD_Result http_live_answer(struct http_site *site, struct MHD_Connection *connection) {
    struct http *http = site->http;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct sockaddr_storage from = {0};
    if (info && info->client_addr)
        memcpy(&from, info->client_addr,
               info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in));
    if (http->stopping || is_full(http, &from))
        return shed_reader(http, connection);
    struct http_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return MHD_NO;
    stream->site = site;
    stream->connection = connection;
    stream->from = from;
    place_cursor(stream, connection);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, stream, free_stream);
    if (!response) {
        free(stream);
        return MHD_NO;
    }
    stream->next = http->streams;
    if (http->streams)
        http->streams->prev = stream;
    http->streams = stream;
    http->stream_count++;
    add_stream_headers(response);
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

/* --- from the loop ------------------------------------------------------------------------- */

static void resume_stream(struct http_stream *stream) {
    if (!stream->suspended)
        return;
    stream->suspended = false;
    MHD_resume_connection(stream->connection);
}

void http_live_wake(struct http *http) {
    for (struct http_stream *stream = http->streams; stream; stream = stream->next) {
        pthread_mutex_lock(&stream->site->lock);
        bool behind = stream->cursor < stream->site->last_seq;
        pthread_mutex_unlock(&stream->site->lock);
        if (behind)
            resume_stream(stream);
    }
}

void http_live_beat(struct http *http) {
    for (struct http_stream *stream = http->streams; stream; stream = stream->next) {
        stream->beat_due = true;
        resume_stream(stream);
    }
}

void http_live_finish(struct http *http) {
    for (struct http_stream *stream = http->streams; stream; stream = stream->next) {
        stream->finished = true;
        resume_stream(stream);
    }
}

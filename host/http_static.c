/* SPDX-License-Identifier: Apache-2.0 */
/* http_static.c - files below a site's root, and nothing else.
 *
 * A path is split at its raw slashes and each part is decoded once; a part that is empty, starts with
 * a dot, or decodes to a slash, backslash or control character is not found. Folders are entered one
 * at a time without following links, so no name can lead out of the root. The root itself may be a
 * link: an operator may switch it. Files are replaced by rename, so an open descriptor is one whole
 * version, and time, size and inode name that version in the ETag. */
#include "http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 2048, PART_BYTES_MAX = 255, DEPTH_MAX = 16, ETAG_BYTES = 80 };

struct file {
    int fd; /* owned */
    struct stat stat;
    const char *type; /* static */
    bool gzip;
};

/* By the end of the name, the most particular first. */
static const char *const types[][2] = {
    {"feed.json", "application/feed+json; charset=utf-8"},
    {".jsonld", "application/ld+json; charset=utf-8"},
    {".json", "application/json; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".rss", "application/rss+xml; charset=utf-8"},
    {".atom", "application/atom+xml; charset=utf-8"},
    {".xml", "application/xml; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".webp", "image/webp"},
    {".ico", "image/x-icon"},
    {".webmanifest", "application/manifest+json"},
};

static const char *type_of(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t end = strlen(types[i][0]);
        if (n >= end && strcmp(name + n - end, types[i][0]) == 0)
            return types[i][1];
    }
    return "application/octet-stream";
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode one part of a path to `out` of PART_BYTES_MAX + 1 bytes. False: not a name we could have. */
static bool decode_part(const char *raw, size_t bytes, char *out, bool first) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)raw[i];
        if (c == '%') {
            if (bytes - i < 3)
                return false;
            int high = hex_value(raw[i + 1]), low = hex_value(raw[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || n == PART_BYTES_MAX)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return n > 0 && (out[0] != '.' || (first && strcmp(out, ".well-known") == 0));
}

/* Open the folder that holds the last part of `path` and decode that part into `name` ("" when the
 * path ends in a slash). Gives the descriptor, or a negative errno. */
static int open_parent(const char *root, const char *path, char *name) {
    int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int depth = 0;
    while (depth++ < DEPTH_MAX) {
        const char *slash = strchr(path, '/');
        size_t bytes = slash ? (size_t)(slash - path) : strlen(path);
        if (!slash && bytes == 0) {
            name[0] = '\0';
            return folder;
        }
        if (!decode_part(path, bytes, name, depth == 1))
            break;
        if (!slash)
            return folder;
        int next = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(folder);
        if (next < 0)
            return -ENOENT;
        folder = next;
        path = slash + 1;
    }
    close(folder);
    return -ENOENT;
}

static int open_regular(int folder, const char *name, struct file *file) {
    file->fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0)
        return -ENOENT;
    if (fstat(file->fd, &file->stat) != 0 || (!S_ISREG(file->stat.st_mode) && !S_ISDIR(file->stat.st_mode))) {
        close(file->fd);
        return -ENOENT;
    }
    if (S_ISDIR(file->stat.st_mode)) {
        close(file->fd);
        return -EISDIR;
    }
    return 0;
}

static bool accepts_gzip(struct MHD_Connection *connection) {
    const char *text =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    const char *found = text ? strcasestr(text, "gzip") : NULL;
    if (!found)
        return false;
    found += 4;
    found += strspn(found, " \t");
    if (*found != ';')
        return true;
    const char *quality = strstr(found, "q=");
    const char *comma = strchr(found, ',');
    return !quality || (comma && comma < quality) || strtod(quality + 2, NULL) > 0.0;
}

/* Prefer NAME.gz when it is there and not older than NAME. */
static void try_gzip(int folder, const char *name, struct file *file) {
    char packed_name[PART_BYTES_MAX + 4];
    struct file packed = {0};
    snprintf(packed_name, sizeof(packed_name), "%s.gz", name);
    if (open_regular(folder, packed_name, &packed) != 0)
        return;
    const struct timespec *plain = &file->stat.st_mtim, *zip = &packed.stat.st_mtim;
    if (zip->tv_sec < plain->tv_sec || (zip->tv_sec == plain->tv_sec && zip->tv_nsec < plain->tv_nsec)) {
        close(packed.fd);
        return;
    }
    close(file->fd);
    file->fd = packed.fd;
    file->stat = packed.stat;
    file->gzip = true;
}

static int open_file(struct http_site *site, struct MHD_Connection *connection, const char *path,
                     struct file *file) {
    char name[PART_BYTES_MAX + 1];
    if (strlen(path) > PATH_BYTES_MAX)
        return -ENOENT;
    pthread_mutex_lock(&site->lock);
    int folder = open_parent(site->root, path, name);
    pthread_mutex_unlock(&site->lock);
    if (folder < 0)
        return folder;
    const char *leaf = name[0] ? name : "index.html";
    int err = open_regular(folder, leaf, file);
    if (!err) {
        file->type = type_of(leaf);
        file->gzip = false;
        if (accepts_gzip(connection))
            try_gzip(folder, leaf, file);
    }
    close(folder);
    return err;
}

static void name_version(const struct file *file, char *etag) {
    snprintf(etag, ETAG_BYTES, "\"%" PRIx64 ".%" PRIx64 ".%" PRIx64 "%s\"",
             (uint64_t)file->stat.st_mtim.tv_sec * 1000000000u + (uint64_t)file->stat.st_mtim.tv_nsec,
             (uint64_t)file->stat.st_size, (uint64_t)file->stat.st_ino, file->gzip ? "-gz" : "");
}

/* Is `etag` named in the list of If-None-Match? Weak comparison, as the method asks. */
static bool list_has(const char *list, const char *etag) {
    size_t n = strlen(etag);
    if (!list)
        return false;
    while (*list) {
        list += strspn(list, " \t,");
        if (*list == '*')
            return true;
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        if (strncmp(list, etag, n) == 0)
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

static void add_file_headers(struct MHD_Response *response, const struct file *file, const char *etag,
                             const char *path) {
    char when[64];
    struct tm tm;
    gmtime_r(&file->stat.st_mtim.tv_sec, &tm);
    strftime(when, sizeof(when), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, file->type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
    MHD_add_response_header(response, MHD_HTTP_HEADER_LAST_MODIFIED, when);
    MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                            strncmp(path, "assets/", 7) == 0 ? "public, max-age=31536000, immutable"
                                                             : "no-cache");
    if (file->gzip)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    http_add_safety_headers(response);
}

/* Takes file->fd. */
static enum MHD_Result answer_file(struct http *http, struct MHD_Connection *connection,
                                   const struct file *file, const char *path, unsigned status) {
    char etag[ETAG_BYTES];
    struct MHD_Response *response;
    name_version(file, etag);
    const char *known =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (status == MHD_HTTP_OK && list_has(known, etag)) {
        close(file->fd);
        atomic_fetch_add(&http->not_modified, 1);
        status = MHD_HTTP_NOT_MODIFIED;
        response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_fd64((uint64_t)file->stat.st_size, file->fd);
        if (!response)
            close(file->fd);
    }
    if (!response)
        return MHD_NO;
    add_file_headers(response, file, etag, path);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

/* A folder asked for without its slash. Every part of `path` was decoded and found, so it holds no
 * control character and no empty part, and the address stays on this host. */
static enum MHD_Result redirect_to_folder(struct http_site *site, struct MHD_Connection *connection,
                                          const char *path) {
    char location[HTTP_MOUNT_BYTES + PATH_BYTES_MAX + 2];
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    snprintf(location, sizeof(location), "%s%s/", site->mount, path);
    MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, location);
    http_add_safety_headers(response);
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_MOVED_PERMANENTLY, response);
    MHD_destroy_response(response);
    return queued;
}

enum MHD_Result http_static_answer(struct http_site *site, struct MHD_Connection *connection,
                                   const char *path) {
    struct file file = {.fd = -1};
    int err = open_file(site, connection, path, &file);
    if (err == 0)
        return answer_file(site->http, connection, &file, path, MHD_HTTP_OK);
    if (err == -EISDIR)
        return redirect_to_folder(site, connection, path);
    atomic_fetch_add(&site->http->client_errors, 1);
    if (open_file(site, connection, "404.html", &file) == 0)
        return answer_file(site->http, connection, &file, "404.html", MHD_HTTP_NOT_FOUND);
    return http_answer_text(site->http, connection, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
                            "There is nothing at this address.\n");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - the files of an archive to entries, one after another.
 *
 * Files are read in the byte order of their paths, so an archive gives the same entries in the same order on
 * every machine. JSON lines are read as they are needed; other documents whole, at most DOCUMENT_BYTES each.
 * zlib reads plain and compressed files alike. */
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "charset.h"

#define DOCUMENT_BYTES ((size_t)64 << 20)
#define LINE_BYTES     ((size_t)16 << 20)
#define HEAD_BYTES     4096
#define FILES_MAX      ((size_t)1 << 20)
#define FOLDERS_DEPTH  32

/* ---- which files ---- */

static int add_file(struct archive_reader *r, const char *path) {
    if (r->n_files == FILES_MAX)
        return -E2BIG;
    if (!(r->n_files & (r->n_files + 1))) { /* room for 1, 3, 7 ... */
        char **more = realloc(r->files, (2 * r->n_files + 1) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        r->files = more;
    }
    r->files[r->n_files] = strdup(path);
    return r->files[r->n_files] ? (int)(r->n_files++, 0) : -ENOMEM;
}

static int add_path(struct archive_reader *r, const char *path, int depth);

static int add_folder(struct archive_reader *r, const char *path, int depth) {
    DIR *folder = opendir(path);
    int err = 0;
    if (!folder)
        return -errno;
    for (struct dirent *entry; !err && (entry = readdir(folder));) {
        char *whole;
        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&whole, "%s/%s", path, entry->d_name) < 0) {
            err = -ENOMEM;
            break;
        }
        err = add_path(r, whole, depth + 1);
        free(whole);
    }
    closedir(folder);
    return err;
}

static int add_path(struct archive_reader *r, const char *path, int depth) {
    struct stat info;
    /* links that the config names are followed, links inside a folder are not: they make circles */
    if ((depth ? lstat(path, &info) : stat(path, &info)) < 0)
        return -errno;
    if (S_ISDIR(info.st_mode))
        return depth < FOLDERS_DEPTH ? add_folder(r, path, depth) : 0;
    return S_ISREG(info.st_mode) ? add_file(r, path) : 0;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once. */
static void order_files(struct archive_reader *r) {
    size_t kept = 0;
    if (!r->n_files)
        return;
    qsort(r->files, r->n_files, sizeof(*r->files), by_bytes);
    for (size_t i = 1; i < r->n_files; i++) {
        if (!strcmp(r->files[kept], r->files[i]))
            free(r->files[i]);
        else
            r->files[++kept] = r->files[i];
    }
    r->n_files = kept + 1;
}

/* All files that one path or pattern names. */
static telex_status add_pattern(struct archive_reader *r, const char *pattern) {
    glob_t found = {0};
    int err = glob(pattern, GLOB_BRACE | GLOB_NOSORT, NULL, &found);
    if (err == GLOB_NOMATCH)
        return telex_fail(r->host, 0, TELEX_FATAL, "no file matches %s", pattern);
    if (err)
        return telex_fail(r->host, 0, TELEX_FATAL, "%s cannot be searched: out of memory or no permission",
                          pattern);
    err = 0;
    for (size_t i = 0; !err && i < found.gl_pathc; i++) {
        err = add_path(r, found.gl_pathv[i], 0);
        if (err)
            telex_fail(r->host, 0, TELEX_FATAL, "%s: %s", found.gl_pathv[i], strerror(-err));
    }
    globfree(&found);
    return err ? TELEX_FATAL : TELEX_OK;
}

telex_status archive_reader_open(struct archive_reader *r, const struct telex_host *host,
                                 const struct archive_config *config) {
    *r = (struct archive_reader){.host = host, .config = config};
    telex_status status = TELEX_OK;
    if (config->path && *config->path)
        status = add_pattern(r, config->path);
    for (uint32_t i = 0; status == TELEX_OK && i < config->paths.count; i++)
        status = add_pattern(r, config->paths.items[i]);
    if (status == TELEX_OK && !r->n_files)
        status = telex_fail(host, 0, TELEX_FATAL, "no file in %s",
                            config->path && *config->path ? config->path : config->paths.items[0]);
    order_files(r);
    return status;
}

void archive_reader_close(struct archive_reader *r) {
    for (size_t i = 0; i < r->n_files; i++)
        free(r->files[i]);
    free(r->files);
    for (size_t i = r->next_ready; i < r->n_ready; i++)
        archive_entry_finish(&r->ready[i]);
    free(r->ready);
    if (r->lines)
        gzclose(r->lines);
    *r = (struct archive_reader){0};
}

/* ---- what the format files call ---- */

void archive_reader_skip(struct archive_reader *r, const char *path, const char *format, ...) {
    char why[512];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    r->left_out++;
    bool has_place =
        why[0] >= '0' && why[0] <= '9'; /* "line:column: ..." follows the path as compilers write it */
    telex_say(r->host, TELEX_WARN, 0, "%s:%s%s; left out", path, has_place ? "" : " ", why);
}

int archive_reader_add(struct archive_reader *r, const struct telex_builder *b, const char *id,
                       int64_t published_ms) {
    struct telex_bytes body = telex_build_body(b);
    if (r->n_ready == r->ready_cap) {
        size_t cap = r->ready_cap ? r->ready_cap * 2 : 16;
        struct archive_entry *more = realloc(r->ready, cap * sizeof(*more));
        if (!more)
            return -ENOMEM;
        r->ready = more;
        r->ready_cap = cap;
    }
    struct archive_entry *entry = &r->ready[r->n_ready];
    *entry = (struct archive_entry){.size = body.size, .published_ms = published_ms, .order = r->given++};
    entry->body = b->broken ? NULL : malloc(body.size);
    if (!entry->body)
        return -ENOMEM;
    memcpy(entry->body, body.data, body.size);
    snprintf(entry->id, sizeof(entry->id), "%s", id);
    r->n_ready++;
    return 0;
}

/* ---- reading ---- */

enum kind { KIND_NONE, KIND_REUTERS, KIND_FEED, KIND_LINES };

static bool has(const char *head, const char *what) {
    return strstr(head, what) != NULL;
}

/* What a file is, from its first bytes. */
static enum kind look(const char *bytes, size_t n) {
    struct buf utf8 = {.limit = 4 * HEAD_BYTES};
    struct charset_result charset;
    charset_decode(&utf8, bytes, n, NULL, &charset);
    const char *head = buf_text(&utf8);
    head += strspn(head, " \t\r\n");
    enum kind kind = KIND_NONE;
    if (*head == '{')
        kind = has(head, "jsonfeed.org/version") ? KIND_FEED : KIND_LINES;
    else if (has(head, "<REUTERS") || has(head, "<newsitem"))
        kind = KIND_REUTERS;
    else if (has(head, "<rss") || has(head, "<feed") || has(head, ":RDF") || has(head, "<RDF") ||
             has(head, "<channel") || has(head, "<CHANNEL") || has(head, ":feed"))
        kind = KIND_FEED;
    buf_finish(&utf8);
    return kind;
}

static enum kind kind_of(const struct archive_config *config, const char *bytes, size_t n) {
    if (!strcmp(config->format, "reuters"))
        return KIND_REUTERS;
    if (!strcmp(config->format, "feeds"))
        return KIND_FEED;
    if (!strcmp(config->format, "jsonl"))
        return KIND_LINES;
    return look(bytes, n);
}

static void leave_file(struct archive_reader *r, const char *path, const char *why) {
    r->files_left_out++;
    telex_say(r->host, TELEX_WARN, 0, "%s: %s; the file is left out", path, why);
}

/* The rest of a document behind its head. */
static int read_rest(gzFile file, struct buf *out) {
    char chunk[65536];
    int n;
    while (!out->full && (n = gzread(file, chunk, sizeof(chunk))) != 0) {
        if (n < 0)
            return -EIO;
        buf_add(out, chunk, (size_t)n);
    }
    return out->full ? -EFBIG : 0;
}

/* Open the next file: its entries are queued, or it becomes `lines`. 0 or -ENOMEM. */
static int open_next(struct archive_reader *r) {
    const char *path = r->files[r->next_file++];
    struct buf data = {.limit = DOCUMENT_BYTES};
    char head[HEAD_BYTES];
    gzFile file = gzopen(path, "rb");
    if (!file) {
        leave_file(r, path, strerror(errno));
        return 0;
    }
    int n = gzread(file, head, sizeof(head)), err = 0;
    enum kind kind = n > 0 ? kind_of(r->config, head, (size_t)n) : KIND_NONE;
    if (kind == KIND_LINES && gzrewind(file) == 0) {
        r->lines = file;
        r->line = 0;
        return 0;
    }
    if (n > 0)
        buf_add(&data, head, (size_t)n);
    if (n <= 0)
        leave_file(r, path, n < 0 ? "damaged" : "empty");
    else if (kind == KIND_NONE)
        leave_file(r, path, "neither Reuters, nor a feed, nor JSON lines");
    else if ((err = read_rest(file, &data)) < 0)
        leave_file(r, path, err == -EFBIG ? "larger than 64 MiB" : "damaged");
    else if (kind == KIND_REUTERS)
        err = reuters_read(r, path, data.data, data.len);
    else
        err = feeds_read(r, path, data.data, data.len);
    buf_finish(&data);
    gzclose(file);
    return err == -ENOMEM ? err : 0;
}

/* One line of the JSONL file into `line`, without its end. 1, 0 at the end, -EFBIG when it was too long (it
 * is read over), -EIO. */
static int read_line(gzFile file, struct buf *line) {
    char chunk[65536];
    bool any = false;
    line->len = 0;
    line->full = false;
    while (gzgets(file, chunk, sizeof(chunk))) {
        size_t n = strlen(chunk); /* a NUL byte inside cuts the line there, and it will not parse */
        any = true;
        bool ends = n && chunk[n - 1] == '\n';
        buf_add(line, chunk, n - ends);
        if (ends)
            return line->full ? -EFBIG : 1;
    }
    int err = 0;
    gzerror(file, &err);
    if (err != Z_OK && err != Z_STREAM_END && err != Z_BUF_ERROR)
        return -EIO;
    return any ? line->full ? -EFBIG : 1 : 0;
}

static int next_line(struct archive_reader *r) {
    struct buf line = {.limit = LINE_BYTES};
    const char *path = r->files[r->next_file - 1];
    int got = read_line(r->lines, &line), err = 0;
    r->line++;
    if (got == 1 && line.len && strspn(line.data, " \t\r") != line.len)
        err = jsonl_read(r, path, line.data, line.len);
    else if (got == -EFBIG)
        archive_reader_skip(r, path, "line %" PRIu64 " is longer than 16 MiB", r->line);
    else if (got == -EIO)
        archive_reader_skip(r, path, "damaged at line %" PRIu64 ", the rest of the file with it", r->line);
    if (got == 0 || got == -EIO) {
        gzclose(r->lines);
        r->lines = NULL;
    }
    buf_finish(&line);
    return err;
}

int archive_reader_next(struct archive_reader *r, struct archive_entry *entry) {
    int err = 0;
    while (!err) {
        if (r->next_ready < r->n_ready) {
            *entry = r->ready[r->next_ready++];
            return 1;
        }
        r->n_ready = r->next_ready = 0;
        if (r->lines)
            err = next_line(r);
        else if (r->next_file < r->n_files)
            err = open_next(r);
        else
            return 0;
    }
    return err;
}

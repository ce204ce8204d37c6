/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - temp, fsync, rename, fsync of the folder.
 *
 * The temporary name is made from the final one, so what a crash leaves behind is overwritten by the
 * next attempt and never served (its name begins with a dot). Files go out in the order they are put:
 * a page is in place before a list or a feed names it. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <telex-sdk/id.h>

enum { NAME_BYTES = 256, PATH_BYTES = 512, SMALL_BYTES = 64 * 1024 };

static int make_root(const char *root) {
    char path[4096];
    size_t n = strlen(root);
    if (n == 0 || n >= sizeof(path))
        return -EINVAL;
    memcpy(path, root, n + 1);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return -errno;
        *p = '/';
    }
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

int files_open(struct files *files, const char *root, bool precompress) {
    memset(files, 0, sizeof(*files));
    files->root = -1;
    int err = make_root(root);
    if (err)
        return err;
    files->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->root < 0)
        return -errno;
    files->precompress = precompress;
    files->listing = json_array();
    files->touched = json_object();
    return 0;
}

void files_finish(struct files *files) {
    if (files->root >= 0)
        close(files->root);
    json_decref(files->listing);
    json_decref(files->touched);
    memset(files, 0, sizeof(*files));
    files->root = -1;
}

static void fail(struct files *files, const char *path, int err) {
    if (files->error)
        return;
    files->error = err;
    snprintf(files->failed, sizeof(files->failed), "%s", path);
}

static bool path_is_ours(const char *path) {
    if (strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789-_./") != strlen(path) ||
        strlen(path) >= PATH_BYTES)
        return false;
    return path[0] != '.' && path[0] != '/' && path[0] && !strstr(path, "/.") && !strstr(path, "//");
}

/* Open the folder of `path`, making it where it is missing; *name is the last part. */
static int open_folder(const struct files *files, const char *path, bool make, const char **name) {
    char part[NAME_BYTES];
    const char *slash;
    int folder = fcntl(files->root, F_DUPFD_CLOEXEC, 0);
    while (folder >= 0 && (slash = strchr(path, '/'))) {
        size_t n = (size_t)(slash - path);
        if (n >= sizeof(part)) {
            close(folder);
            return -ENAMETOOLONG;
        }
        memcpy(part, path, n);
        part[n] = '\0';
        if (make && mkdirat(folder, part, 0755) == 0)
            fsync(folder);
        int next = openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int err = -errno;
        close(folder);
        if (next < 0)
            return err;
        folder = next;
        path = slash + 1;
    }
    *name = path;
    return folder >= 0 ? folder : -errno;
}

static bool has_content(int folder, const char *name, const char *data, size_t bytes) {
    struct stat stat;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char *held = NULL;
    bool same = fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && (size_t)stat.st_size == bytes &&
                (held = malloc(bytes + 1)) && read(fd, held, bytes + 1) == (ssize_t)bytes &&
                memcmp(held, data, bytes) == 0;
    free(held);
    if (fd >= 0)
        close(fd);
    return same;
}

static int write_all(int fd, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int replace_file(int folder, const char *name, const char *data, size_t bytes, bool sync) {
    char temp[NAME_BYTES + 8];
    if (strlen(name) >= NAME_BYTES)
        return -ENAMETOOLONG;
    snprintf(temp, sizeof(temp), ".%s.new", name);
    int fd = openat(folder, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int err = write_all(fd, data, bytes);
    if (!err && sync && fsync(fd) != 0)
        err = -errno;
    if (close(fd) != 0 && !err)
        err = -errno;
    if (!err && renameat(folder, temp, folder, name) != 0)
        err = -errno;
    if (err)
        unlinkat(folder, temp, 0);
    return err;
}

static void note_folder(struct files *files, const char *path) {
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 0, path);
    json_object_set_new(files->touched, folder, json_true());
}

/* The same bytes every time: no name and no time in the header. */
static int pack(const char *data, size_t bytes, struct text *out) {
    z_stream zip = {0};
    if (deflateInit2(&zip, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    size_t room = deflateBound(&zip, bytes);
    char *packed = malloc(room);
    zip.next_in = (Bytef *)(uintptr_t)data;
    zip.avail_in = (uInt)bytes;
    zip.next_out = (Bytef *)packed;
    zip.avail_out = (uInt)room;
    int err = packed && deflate(&zip, Z_FINISH) == Z_STREAM_END ? 0 : -ENOMEM;
    if (!err)
        text_add(out, packed, zip.total_out);
    deflateEnd(&zip);
    free(packed);
    return err;
}

static int put_bytes(struct files *files, const char *path, const char *data, size_t bytes) {
    const char *name;
    int folder = open_folder(files, path, true, &name);
    if (folder < 0)
        return folder;
    int err = 0;
    if (!has_content(folder, name, data, bytes)) {
        err = replace_file(folder, name, data, bytes, !files->bulk);
        note_folder(files, path);
    }
    close(folder);
    return err;
}

void files_put(struct files *files, const char *path, struct text *text, bool announced) {
    if (!files->error && (text->broken || !text->data))
        fail(files, path, -ENOMEM);
    if (!files->error && !path_is_ours(path))
        fail(files, path, -EINVAL);
    if (!files->error) {
        int err = put_bytes(files, path, text->data, text->bytes);
        if (!err && files->precompress) {
            char packed_path[PATH_BYTES + 4];
            struct text packed = {0};
            snprintf(packed_path, sizeof(packed_path), "%s.gz", path);
            err = pack(text->data, text->bytes, &packed);
            if (!err)
                err = put_bytes(files, packed_path, packed.data, packed.bytes);
            text_finish(&packed);
        }
        if (err)
            fail(files, path, err);
    }
    if (!files->error && announced) {
        char digest[65];
        telex_sha256_hex(digest, (struct telex_bytes){(const uint8_t *)text->data, text->bytes});
        json_array_append_new(files->listing, json_pack("{s:s, s:s, s:I}", "path", path, "sha256", digest,
                                                        "bytes", (json_int_t)text->bytes));
    }
    text_finish(text);
}

void files_remove(struct files *files, const char *path) {
    const char *name;
    int folder = path_is_ours(path) ? open_folder(files, path, false, &name) : -EINVAL;
    if (folder < 0)
        return;
    if (unlinkat(folder, name, 0) == 0)
        note_folder(files, path);
    close(folder);
}

bool files_read(const struct files *files, const char *path, struct text *out) {
    const char *name;
    char held[SMALL_BYTES];
    int folder = open_folder(files, path, false, &name);
    if (folder < 0)
        return false;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    close(folder);
    ssize_t n = fd >= 0 ? read(fd, held, sizeof(held)) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 0 || n == SMALL_BYTES)
        return false;
    text_add(out, held, (size_t)n);
    return !out->broken;
}

int files_flush(struct files *files, json_t **listing) {
    const char *path;
    json_t *mark;
    json_object_foreach(files->touched, path, mark) {
        if (files->bulk)
            break;
        const char *name;
        char inside[PATH_BYTES + 2];
        snprintf(inside, sizeof(inside), "%s%s", path, *path ? "/" : "");
        int folder = open_folder(files, inside, false, &name);
        if (folder < 0 || fsync(folder) != 0)
            fail(files, path, folder < 0 ? folder : -errno);
        if (folder >= 0)
            close(folder);
    }
    if (files->bulk && syncfs(files->root) != 0)
        fail(files, "the file system", -errno);
    int err = files->error;
    *listing = err ? NULL : json_incref(files->listing);
    json_decref(files->listing);
    json_decref(files->touched);
    files->listing = json_array();
    files->touched = json_object();
    files->error = 0;
    return err;
}

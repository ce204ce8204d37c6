/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_file.c - reads, inspects and copies a plugin's file.
 *
 * A private copy is named by the sha256 of its bytes, so one path never holds two libraries: the dynamic
 * loader, which knows libraries by path and inode, cannot hand out an old one for a new file. */
#include "plugin_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <telex/plugin.h>
#include <telex-sdk/id.h>

#define FILE_MAX_BYTES ((off_t)512 << 20)
enum { MANIFEST_MAX_BYTES = 64 << 10, UNUSED_MAX_S = 7 * 86400, IMAGE_FD_MIN = 32 };

static int refuse(char *why, size_t why_size, const char *what) {
    snprintf(why, why_size, "%s", what);
    return -1;
}

static int read_whole(int fd, unsigned char *data, size_t size) {
    for (size_t used = 0; used < size;) {
        ssize_t n = read(fd, data + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ESTALE;
        used += (size_t)n;
    }
    return 0;
}

int plugin_file_read(struct plugin_file *file, const char *path, char *why, size_t why_size) {
    struct stat st;
    memset(file, 0, sizeof(*file));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: a fifo must not hang us */
    if (fd < 0 || fstat(fd, &st) < 0) {
        snprintf(why, why_size, "cannot be read: %s", strerror(errno));
        goto undo_fd;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
        refuse(why, why_size, S_ISREG(st.st_mode) ? "is over 512 MiB" : "is no regular file");
        goto undo_fd;
    }
    file->size = (size_t)st.st_size;
    file->data = malloc(file->size + 1);
    int err = file->data ? read_whole(fd, file->data, file->size) : -ENOMEM;
    if (err < 0) {
        snprintf(why, why_size, "cannot be read: %s", strerror(-err));
        goto undo_fd;
    }
    close(fd);
    struct telex_bytes bytes = {file->data, file->size};
    telex_sha256_hex(file->sha256, bytes);
    return 0;
undo_fd:
    if (fd >= 0)
        close(fd);
    plugin_file_finish(file);
    return -1;
}

void plugin_file_finish(struct plugin_file *file) {
    free(file->data);
    json_decref(file->manifest);
    memset(file, 0, sizeof(*file));
}

/* ---- what the file says of itself ---- */

static bool is_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text;
}

static json_t *parse_manifest(const struct elf *elf) {
    static const size_t magic_size = sizeof(TELEX_MANIFEST_MAGIC) - 1;
    size_t size;
    json_error_t error;
    const char *data = elf_section(elf, TELEX_MANIFEST_SECTION, &size);
    if (!data || size > MANIFEST_MAX_BYTES)
        return NULL;
    /* A compiler may pad the section in front, so the magic is looked for. */
    const char *begin = memmem(data, size, TELEX_MANIFEST_MAGIC, magic_size);
    if (!begin)
        return NULL;
    begin += magic_size;
    const char *end = memchr(begin, 0, size - (size_t)(begin - data));
    json_t *manifest = end ? json_loadb(begin, (size_t)(end - begin), JSON_REJECT_DUPLICATES, &error) : NULL;
    const json_t *abi = json_object_get(manifest, "abi");
    if (is_text(manifest, "name") && is_text(manifest, "version") && json_array_size(abi) == 2 &&
        json_is_integer(json_array_get(abi, 0)) && json_is_integer(json_array_get(abi, 1)) &&
        json_array_size(json_object_get(manifest, "provides")) > 0)
        return manifest;
    json_decref(manifest);
    return NULL;
}

struct exports {
    unsigned count, entries;
    char other[64]; /* the first that is not the entry */
};

static void note_export(void *arg, const char *name) {
    struct exports *exports = arg;
    exports->count++;
    if (strcmp(name, "telex_entry_v1") == 0)
        exports->entries++;
    else if (!*exports->other)
        snprintf(exports->other, sizeof(exports->other), "%s", name);
}

static int check_abi(const json_t *manifest, char *why, size_t why_size) {
    json_int_t major = json_integer_value(json_array_get(json_object_get(manifest, "abi"), 0));
    json_int_t minor = json_integer_value(json_array_get(json_object_get(manifest, "abi"), 1));
    if (major != TELEX_ABI_MAJOR) {
        snprintf(why, why_size,
                 "is for ABI major %lld, this telex has major %u; build it against this telex's headers, or "
                 "use the "
                 "telex it was built for",
                 (long long)major, TELEX_ABI_MAJOR);
        return -1;
    }
    if (minor > TELEX_ABI_MINOR) {
        snprintf(why, why_size,
                 "needs ABI %lld.%lld, this telex has %u.%u; update telex, or build the plugin with a lower "
                 "TELEX_TARGET_MINOR",
                 (long long)major, (long long)minor, TELEX_ABI_MAJOR, TELEX_ABI_MINOR);
        return -1;
    }
    return 0;
}

bool plugin_file_fits(const struct plugin_file *file) {
    char why[256];
    return check_abi(file->manifest, why, sizeof(why)) == 0;
}

static int check_exports(const struct elf *elf, char *why, size_t why_size) {
    struct exports exports = {0};
    if (!elf_each_export(elf, note_export, &exports))
        return refuse(why, why_size, "is damaged: its symbol table lies outside the file; build it again");
    if (exports.entries == 0) {
        snprintf(why, why_size,
                 "does not export telex_entry_v1; use TELEX_STAGE_PLUGIN and link with sdk/plugin.map");
        return -1;
    }
    if (exports.count != 1) {
        snprintf(why, why_size,
                 "exports %s besides telex_entry_v1 (%u symbols in all); link with "
                 "-Wl,--version-script=plugin.map, so that the entry is the only one",
                 exports.other, exports.count);
        return -1;
    }
    return 0;
}

int plugin_file_inspect(struct plugin_file *file, char *why, size_t why_size) {
    char what[160];
    if (elf_open(&file->elf, file->data, file->size, what, sizeof(what)) < 0) {
        snprintf(why, why_size, "%s; give the .so that the plugin's build made for this machine", what);
        return -1;
    }
    file->manifest = parse_manifest(&file->elf);
    if (!file->manifest) {
        struct exports exports = {0};
        bool entry = elf_each_export(&file->elf, note_export, &exports) && exports.entries > 0;
        return refuse(
            why, why_size,
            entry ? "has no manifest that can be read; define the plugin with TELEX_STAGE_PLUGIN"
                  : "is no telex plugin: it has neither a manifest nor the entry telex_entry_v1; define the "
                    "plugin with TELEX_STAGE_PLUGIN and link with sdk/plugin.map");
    }
    if (check_abi(file->manifest, why, why_size) < 0 || check_exports(&file->elf, why, why_size) < 0)
        return -1;
    if (elf_has_static_tls(&file->elf))
        return refuse(
            why, why_size,
            "uses static TLS, of which a program has little; build it without -ftls-model=initial-exec");
    return 0;
}

/* ---- the private copy ---- */

/* A folder that is ours alone. False when someone else could change what is in it, or nothing in it may run.
 */
static bool own_folder(const char *path) {
    struct stat st;
    struct statvfs fs;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return false;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 077) == 0 && statvfs(path, &fs) == 0 && !(fs.f_flag & ST_NOEXEC);
}

const char *plugin_copies_folder(void) {
    static char chosen[PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const char *const bases[] = {runtime && *runtime == '/' ? runtime : NULL, "/tmp", NULL};
    if (*chosen && own_folder(chosen))
        return chosen;
    for (int i = 0; i < 2; i++) {
        if (!bases[i])
            continue;
        int n = snprintf(chosen, sizeof(chosen), "%s/telex-%u", bases[i], (unsigned)geteuid());
        if (n > 0 && n < PATH_MAX - 200 && own_folder(chosen))
            return chosen;
    }
    snprintf(chosen, sizeof(chosen), "/tmp/telex-XXXXXX"); /* someone else has our usual name */
    return mkdtemp(chosen) ? chosen : NULL;
}

/* Remove the copies that no telex has used for a week. One that is loaded somewhere may go too: its library
 * stays mapped, and a later load writes the copy again. */
static void sweep(const char *folder) {
    char path[PATH_MAX], file[PATH_MAX];
    struct stat st;
    DIR *copies = opendir(folder);
    time_t oldest = time(NULL) - UNUSED_MAX_S;
    for (struct dirent *copy; copies && (copy = readdir(copies));) {
        if (strlen(copy->d_name) != 64 || strspn(copy->d_name, "0123456789abcdef") != 64 ||
            snprintf(path, sizeof(path), "%s/%s", folder, copy->d_name) >= PATH_MAX || lstat(path, &st) < 0 ||
            st.st_mtime > oldest)
            continue;
        DIR *files = opendir(path);
        for (struct dirent *one; files && (one = readdir(files));)
            if (*one->d_name != '.' && snprintf(file, sizeof(file), "%s/%s", path, one->d_name) < PATH_MAX)
                unlink(file);
        if (files)
            closedir(files);
        rmdir(path);
    }
    if (copies)
        closedir(copies);
}

static bool holds(const char *path, const struct plugin_file *file) {
    struct plugin_file there;
    char why[128];
    if (plugin_file_read(&there, path, why, sizeof(why)) < 0)
        return false;
    bool same = strcmp(there.sha256, file->sha256) == 0;
    plugin_file_finish(&there);
    return same;
}

static int write_bytes(int fd, const struct plugin_file *file) {
    for (size_t used = 0; used < file->size;) {
        ssize_t n = write(fd, file->data + used, file->size - used);
        if (n > 0)
            used += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return n == 0 ? -EIO : -errno;
    }
    return 0;
}

static int write_whole(const char *path, const struct plugin_file *file) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0500);
    if (fd < 0)
        return -errno;
    int err = write_bytes(fd, file);
    if (close(fd) < 0 && err == 0)
        err = -errno;
    return err;
}

char *plugin_file_copy(const struct plugin_file *file, const char *name, char *why, size_t why_size) {
    char path[PATH_MAX], temp[PATH_MAX];
    const char *folder = plugin_copies_folder();
    if (!folder) {
        snprintf(why, why_size, "cannot be copied: no private folder in XDG_RUNTIME_DIR or /tmp (%s)",
                 strerror(errno));
        return NULL;
    }
    int n = snprintf(path, sizeof(path), "%s/%s", folder, file->sha256);
    if (n < 0 || n > PATH_MAX - 200 || strlen(name) > 100 || !own_folder(path)) {
        snprintf(why, why_size, "cannot be copied to %s: %s", path, strerror(errno));
        return NULL;
    }
    utimensat(AT_FDCWD, path, NULL, 0); /* used now: sweep leaves it */
    snprintf(path + n, sizeof(path) - (size_t)n, "/%s.so", name);
    if (holds(path, file))
        return strdup(path);
    sweep(folder);
    static unsigned counter;
    unsigned number = __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
    if (snprintf(temp, sizeof(temp), "%s.%d.%u", path, (int)getpid(), number) >= PATH_MAX)
        return NULL;
    unlink(temp);
    int err = write_whole(temp, file);
    if (err == 0 && rename(temp, path) < 0)
        err = -errno;
    if (err < 0 || !holds(path, file)) {
        unlink(temp);
        snprintf(why, why_size, "cannot be copied to %s: %s", path,
                 err < 0 ? strerror(-err) : "the copy differs from the file");
        return NULL;
    }
    return strdup(path);
}

/* ---- the sealed image ---- */

enum { IMAGE_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

int plugin_image_check(int fd, const char *sha256, char *why, size_t why_size) {
    struct stat st;
    char there[65] = "";
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & IMAGE_SEALS) != IMAGE_SEALS || fstat(fd, &st) < 0 || st.st_size <= 0)
        return refuse(why, why_size, "is not in sealed memory");
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        snprintf(why, why_size, "cannot be read back from memory: %s", strerror(errno));
        return -1;
    }
    struct telex_bytes bytes = {data, (uint64_t)st.st_size};
    telex_sha256_hex(there, bytes);
    munmap(data, (size_t)st.st_size);
    return strcmp(there, sha256) == 0 ? 0 : refuse(why, why_size, "differs in memory from the file");
}

int plugin_file_seal(const struct plugin_file *file, const char *name, char *why, size_t why_size) {
    int low = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), fd = -1;
    int err = low < 0 ? -errno : write_bytes(low, file);
    if (err == 0 && fcntl(low, F_ADD_SEALS, IMAGE_SEALS) < 0)
        err = -errno;
    if (err == 0 && (fd = fcntl(low, F_DUPFD_CLOEXEC, IMAGE_FD_MIN)) < 0)
        err = -errno;
    if (low >= 0)
        close(low);
    if (err < 0)
        snprintf(why, why_size, "cannot be put into sealed memory: %s", strerror(-err));
    else if (plugin_image_check(fd, file->sha256, why, why_size) < 0)
        err = -1;
    if (err < 0 && fd >= 0)
        close(fd);
    return err < 0 ? -1 : fd;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* packed.c - packed weights on disk. See packed.h. */
#include "packed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER = 4096, /* the weights begin at a page */
    SUM_PIECE = 4 << 20,
    WRITE_PIECE = 64 << 20,
    HASH_DIGITS = 64,
    NAME_ROOM = 192,
    STALE_SECONDS = 3600, /* an unfinished file of that age has no writer any more */
};

static const char magic[8] = "tlxpack";

struct header {
    char magic[8];
    uint32_t layout;
    uint32_t header_bytes;
    char sha256[HASH_DIGITS];
    uint64_t n_bytes;
    uint64_t sum;        /* of the weights */
    uint64_t header_sum; /* of all members before this one */
};

bool packed_default(struct packed_cache *cache) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;

    if (xdg && xdg[0] == '/')
        n = snprintf(cache->dir, sizeof(cache->dir), "%s/telex/packed", xdg);
    else if (home && home[0] == '/')
        n = snprintf(cache->dir, sizeof(cache->dir), "%s/.cache/telex/packed", home);
    cache->min_bytes = (uint64_t)32 << 20;
    cache->max_bytes = (uint64_t)16 << 30;
    return n > 0 && (size_t)n < sizeof(cache->dir) - NAME_ROOM;
}

/* ---- checksum ---- */

struct summing {
    const uint8_t *bytes;
    size_t n;
    bool is_mapped; /* from a file */
    _Atomic uint64_t sum;
};

/* Eight chains of exclusive or and multiplication by an odd number: any one changed word changes its chain's
 * end. */
static uint64_t sum_bytes(const uint8_t *at, size_t n, uint64_t seed) {
    const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t chain[8], word, sum = n;

    for (size_t j = 0; j < 8; j++)
        chain[j] = seed + j;
    for (; n >= sizeof(chain); n -= sizeof(chain), at += sizeof(chain))
        for (size_t j = 0; j < 8; j++) {
            memcpy(&word, at + 8 * j, sizeof(word));
            chain[j] = (chain[j] ^ word) * odd;
        }
    for (size_t i = 0; i < n; i++)
        chain[i % 8] = (chain[i % 8] ^ at[i]) * odd;
    for (size_t j = 0; j < 8; j++)
        sum = (sum ^ (chain[j] ^ chain[j] >> 29)) * odd;
    return sum ^ sum >> 32;
}

static void sum_piece(void *arg, size_t step, uint32_t piece, uint32_t thread) {
    struct summing *s = arg;
    const size_t from = (size_t)piece * SUM_PIECE, left = s->n - from;

    (void)step;
    (void)thread;
#if defined(MADV_POPULATE_READ)
    if (s->is_mapped) /* all its pages at once instead of a fault every few */
        madvise((void *)(uintptr_t)((uintptr_t)(s->bytes + from) & ~(uintptr_t)(HEADER - 1)),
                left < SUM_PIECE ? left : SUM_PIECE, MADV_POPULATE_READ);
#endif
    atomic_fetch_add(&s->sum, sum_bytes(s->bytes + from, left < SUM_PIECE ? left : SUM_PIECE, piece));
}

/* The pieces' sums are added, so their order does not matter. False when there is no memory for it. */
static bool sum_all(struct pool *pool, const void *bytes, size_t n, bool is_mapped, uint64_t *sum) {
    struct summing s = {bytes, n, is_mapped, 0};
    const uint64_t n_pieces = (n + SUM_PIECE - 1) / SUM_PIECE;
    const uint32_t pieces = (uint32_t)n_pieces;

    if (n_pieces > POOL_MAX_PIECES || pool_walk(pool, 1, &pieces, sum_piece, &s) != 0)
        return false;
    *sum = s.sum;
    return true;
}

static uint64_t sum_header(const struct header *h) {
    return sum_bytes((const uint8_t *)h, offsetof(struct header, header_sum), HEADER);
}

/* ---- names ---- */

static void pack_path(const struct packed_cache *cache, const char *sha256, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%.3800s/%.64s-%d.pack", cache->dir, sha256, PACKED_LAYOUT);
}

static void note_path(const struct packed_cache *cache, const struct stat *st, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%.3800s/%jx-%jx-%jx-%jx.%09ld-%jx.%09ld.sha256", cache->dir,
             (uintmax_t)st->st_dev, (uintmax_t)st->st_ino, (uintmax_t)st->st_size,
             (uintmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (uintmax_t)st->st_ctim.tv_sec,
             st->st_ctim.tv_nsec);
}

static int make_folders(const char *dir) {
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -errno : 0;
}

/* ---- files that appear whole ---- */

static int write_all(int fd, const void *bytes, size_t n) {
    for (const uint8_t *at = bytes; n > 0;) {
        const ssize_t written = write(fd, at, n < WRITE_PIECE ? n : WRITE_PIECE);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        at += written;
        n -= (size_t)written;
    }
    return 0;
}

static int sync_folder(const char *dir) {
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 ? -errno : 0;

    if (fd >= 0) {
        err = fsync(fd) != 0 ? -errno : 0;
        close(fd);
    }
    return err;
}

static int write_file(const struct packed_cache *cache, const char *path, const void *head, size_t n_head,
                      const void *body, size_t n_body) {
    char temp[PATH_MAX + 16];
    int fd, err = make_folders(cache->dir);

    if (err)
        return err;
    snprintf(temp, sizeof(temp), "%s.XXXXXX", path);
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    err = write_all(fd, head, n_head);
    if (!err)
        err = write_all(fd, body, n_body);
    if (!err && fsync(fd) != 0)
        err = -errno;
    if (close(fd) != 0 && !err)
        err = -errno;
    if (!err && rename(temp, path) != 0)
        err = -errno;
    if (err)
        unlink(temp);
    return err ? err : sync_folder(cache->dir);
}

/* ---- which hash a file has ---- */

static bool is_hash(const char *text) {
    return strspn(text, "0123456789abcdef") >= HASH_DIGITS;
}

bool packed_sha256(const struct packed_cache *cache, const struct stat *marks, char sha256[65]) {
    char path[PATH_MAX], text[2 * HASH_DIGITS + 3] = "";
    FILE *f;

    note_path(cache, marks, path);
    f = fopen(path, "re");
    if (!f)
        return false;
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    if (strlen(text) != 2 * HASH_DIGITS + 2 || text[HASH_DIGITS] != '\n' || !is_hash(text) ||
        memcmp(text, text + HASH_DIGITS + 1, HASH_DIGITS + 1) != 0) {
        unlink(path);
        return false;
    }
    memcpy(sha256, text, HASH_DIGITS);
    sha256[HASH_DIGITS] = '\0';
    return true;
}

void packed_note_sha256(const struct packed_cache *cache, const struct stat *marks, const char *sha256) {
    char path[PATH_MAX], text[2 * HASH_DIGITS + 3];

    note_path(cache, marks, path);
    snprintf(text, sizeof(text), "%.64s\n%.64s\n", sha256, sha256);
    write_file(cache, path, text, 2 * HASH_DIGITS + 2, NULL, 0);
}

/* ---- packed files ---- */

static bool header_fits(const struct header *h, const char *sha256, size_t n_bytes) {
    return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->layout == PACKED_LAYOUT &&
           h->header_bytes == HEADER && h->n_bytes == n_bytes &&
           memcmp(h->sha256, sha256, HASH_DIGITS) == 0 && h->header_sum == sum_header(h);
}

static uint8_t *map_file(int fd, const char *sha256, size_t n_bytes, struct pool *pool) {
    struct stat st;
    uint64_t sum;
    uint8_t *map;

    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size != (uint64_t)n_bytes + HEADER)
        return NULL;
    map = mmap(NULL, n_bytes + HEADER, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return NULL;
    madvise(map, n_bytes + HEADER, MADV_HUGEPAGE); /* where the file system has large pages */
    if (header_fits((const struct header *)(const void *)map, sha256, n_bytes) &&
        sum_all(pool, map + HEADER, n_bytes, true, &sum) &&
        ((const struct header *)(const void *)map)->sum == sum)
        return map + HEADER;
    munmap(map, n_bytes + HEADER);
    return NULL;
}

/* ---- the folder's limit ---- */

struct oldest {
    char name[NAME_ROOM];
    struct timespec used;
};

static bool is_before(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* The file, locked against new users; -1 when somebody maps it. */
static int lock_unused(int dir, const char *name) {
    const int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_unused(int dir, const char *name) {
    const int fd = lock_unused(dir, name);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Bytes of all packed files, and of those that nobody uses the one used longest ago, `spared` left out.
 * Unfinished files without a writer are removed. */
static uint64_t survey(DIR *dir, const char *spared, struct oldest *oldest) {
    uint64_t total = 0;
    const struct dirent *entry;

    oldest->name[0] = '\0';
    rewinddir(dir);
    while ((entry = readdir(dir))) {
        const char *kind = strstr(entry->d_name, ".pack");
        struct stat st;

        if (!kind || strlen(entry->d_name) >= NAME_ROOM ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (kind[5] != '\0' && time(NULL) - st.st_mtim.tv_sec > STALE_SECONDS) {
            unlinkat(dirfd(dir), entry->d_name, 0);
            continue;
        }
        total += (uint64_t)st.st_size;
        if (kind[5] == '\0' && strcmp(entry->d_name, spared) != 0 &&
            (!oldest->name[0] || is_before(st.st_mtim, oldest->used)) &&
            is_unused(dirfd(dir), entry->d_name)) {
            memcpy(oldest->name, entry->d_name, strlen(entry->d_name) + 1);
            oldest->used = st.st_mtim;
        }
    }
    return total;
}

/* `path` is spared: it is wanted now. */
static void make_room(const struct packed_cache *cache, const char *path) {
    const char *spared = strrchr(path, '/') + 1;
    DIR *dir = opendir(cache->dir);
    struct oldest oldest;

    while (dir && survey(dir, spared, &oldest) > cache->max_bytes && oldest.name[0]) {
        const int fd = lock_unused(dirfd(dir), oldest.name);
        const int err = fd < 0 ? -1 : unlinkat(dirfd(dir), oldest.name, 0);

        if (fd >= 0)
            close(fd);
        if (err != 0)
            break;
    }
    if (dir)
        closedir(dir);
}

/* ---- mapped files ---- */

/* Whether the file is still in the folder, and stays there while `fd` is open. */
static bool lock_used(int fd) {
    struct stat st;

    if (flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return false;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

void *packed_map(const struct packed_cache *cache, const char *sha256, size_t n_bytes, struct pool *pool,
                 int *in_use) {
    char path[PATH_MAX];
    uint8_t *weights;
    int fd;

    pack_path(cache, sha256, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (!lock_used(fd)) {
        close(fd);
        return NULL;
    }
    weights = map_file(fd, sha256, n_bytes, pool);
    if (weights) {
        futimens(fd, NULL); /* used now */
        make_room(cache, path);
        *in_use = fd;
    } else {
        unlink(path);
        close(fd);
    }
    return weights;
}

void packed_unmap(void *weights, size_t n_bytes, int in_use) {
    munmap((uint8_t *)weights - HEADER, n_bytes + HEADER);
    close(in_use);
}

int packed_keep(const struct packed_cache *cache, const char *sha256, const void *weights, size_t n_bytes,
                struct pool *pool) {
    static const uint8_t zeros[HEADER];
    uint8_t head[HEADER];
    struct header h = {.layout = PACKED_LAYOUT, .header_bytes = HEADER, .n_bytes = n_bytes};
    char path[PATH_MAX];
    int err;

    if (n_bytes > cache->max_bytes)
        return -EFBIG;
    if (!sum_all(pool, weights, n_bytes, false, &h.sum))
        return -ENOMEM;
    memcpy(h.magic, magic, sizeof(magic));
    memcpy(h.sha256, sha256, HASH_DIGITS);
    h.header_sum = sum_header(&h);
    memcpy(head, zeros, sizeof(head));
    memcpy(head, &h, sizeof(h));
    pack_path(cache, sha256, path);
    err = write_file(cache, path, head, sizeof(head), weights, n_bytes);
    if (!err)
        make_room(cache, path);
    return err;
}

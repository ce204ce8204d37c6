/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - the lock file, and the answer to "may this run?". */
#include "trust.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_BYTES_MAX = 1 << 20, SHA256_DIGITS = 64 };

/* ---- the lock ---- */

static void entry_finish(struct lock_entry *entry) {
    free(entry->name);
    free(entry->version);
    free(entry->sha256);
    free(entry->file);
}

void lock_finish(struct lock *lock) {
    for (size_t i = 0; i < lock->n; i++)
        entry_finish(&lock->items[i]);
    free(lock->items);
    *lock = (struct lock){0};
}

const struct lock_entry *lock_find(const struct lock *lock, const char *name) {
    for (size_t i = 0; i < lock->n; i++)
        if (strcmp(lock->items[i].name, name) == 0)
            return &lock->items[i];
    return NULL;
}

/* A word of printable characters without a space. */
static bool is_word(const char *text) {
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return *text && *text != '#';
}

static bool is_sha256(const char *text) {
    return strlen(text) == SHA256_DIGITS && strspn(text, "0123456789abcdef") == SHA256_DIGITS;
}

int lock_add(struct lock *lock, const char *name, const char *version, const char *sha256, const char *file,
             char *why, size_t why_size) {
    if (!is_word(name) || !is_word(version) || !is_sha256(sha256) || !*file || strchr(file, '\n')) {
        snprintf(why, why_size, "%s cannot stand in a lock: its %s", name,
                 !is_word(version) ? "version has a space or a control character"
                                   : "name or path has a line break");
        return -1;
    }
    struct lock_entry entry = {strdup(name), strdup(version), strdup(sha256), strdup(file)};
    struct lock_entry *there = (struct lock_entry *)lock_find(lock, name);
    struct lock_entry *items = there ? lock->items : realloc(lock->items, (lock->n + 1) * sizeof(*items));
    if (!entry.name || !entry.version || !entry.sha256 || !entry.file || !items) {
        entry_finish(&entry);
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    lock->items = items;
    if (there)
        entry_finish(there);
    *(there ? there : &items[lock->n++]) = entry;
    return 0;
}

/* Cut a line into three words and the rest. */
static bool split(char *line, char *fields[4]) {
    for (int i = 0; i < 4; i++) {
        fields[i] = line;
        char *space = i < 3 ? strchr(line, ' ') : NULL;
        if (i < 3 && !space)
            return false;
        if (space) {
            *space = 0;
            line = space + 1;
        }
    }
    return true;
}

static int parse(struct lock *lock, char *text, char *why, size_t why_size) {
    int number = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *fields[4], what[200] = "is no NAME VERSION SHA256 FILE";
        number++;
        if (!*line || *line == '#')
            continue;
        bool good = split(line, fields);
        if (good && lock_find(lock, fields[0]))
            good = false, snprintf(what, sizeof(what), "names %.100s again", fields[0]);
        if (!good || lock_add(lock, fields[0], fields[1], fields[2], fields[3], what, sizeof(what)) < 0) {
            snprintf(why, why_size, "line %d %s; write the file again with `telex plugins lock`", number,
                     what);
            return -1;
        }
    }
    return 0;
}

int lock_read(struct lock *out, const char *path, char *why, size_t why_size) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = -1;
    *out = (struct lock){0};
    if (fd < 0) {
        err = errno == ENOENT ? -ENOENT : -1;
        snprintf(why, why_size, "cannot be read: %s; write it with `telex plugins lock CONFIG`",
                 strerror(errno));
        return err;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > LOCK_BYTES_MAX) {
        snprintf(why, why_size, "is no lock: no file of at most 1 MiB; write it with `telex plugins lock`");
        close(fd);
        return -1;
    }
    char *text = malloc((size_t)st.st_size + 1);
    ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
    close(fd);
    if (n < 0)
        snprintf(why, why_size, "cannot be read: %s; try again", strerror(errno));
    else if (memchr(text, 0, (size_t)n))
        snprintf(why, why_size, "is no text; write it again with `telex plugins lock`");
    else {
        text[n] = 0;
        err = parse(out, text, why, why_size);
    }
    free(text);
    return err;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct lock_entry *)a)->name, ((const struct lock_entry *)b)->name);
}

int trust_write(const char *path, const char *text, size_t size) {
    char temp[PATH_MAX];
    if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    int fd = mkostemp(temp, O_CLOEXEC), err = fd < 0 ? -errno : 0;
    if (fd < 0)
        return err;
    for (size_t used = 0; used < size && err == 0;) {
        ssize_t n = write(fd, text + used, size - used);
        if (n > 0)
            used += (size_t)n;
        else if (n == 0 || errno != EINTR)
            err = n == 0 ? -EIO : -errno;
    }
    if (err == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
        err = -errno;
    if (close(fd) < 0 && err == 0)
        err = -errno;
    if (err == 0 && rename(temp, path) < 0)
        err = -errno;
    if (err < 0)
        unlink(temp);
    return err;
}

int lock_write(struct lock *lock, const char *path) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return -ENOMEM;
    qsort(lock->items, lock->n, sizeof(*lock->items), by_name);
    fprintf(out, "# plugins.lock - what `plugins` of a config may load: NAME VERSION SHA256 FILE.\n"
                 "# Written by `telex plugins lock`; read what changed before you keep it.\n");
    for (size_t i = 0; i < lock->n; i++) {
        const struct lock_entry *e = &lock->items[i];
        fprintf(out, "%s %s %s %s\n", e->name, e->version, e->sha256, e->file);
    }
    int err = fclose(out) == 0 ? trust_write(path, text, size) : -ENOMEM;
    free(text);
    return err;
}

/* ---- signatures ---- */

void trust_signature(const struct minisign_public *keys, size_t n_keys, const char *path,
                     struct telex_bytes bytes, struct signature_report *out) {
    struct minisign_signature signature;
    char file[PATH_MAX + 16], why[200];
    *out = (struct signature_report){.state = SIGNATURE_BAD};
    snprintf(file, sizeof(file), "%s.minisig", path);
    int err = minisign_signature_read(&signature, file, why, sizeof(why));
    if (err == -ENOENT) {
        out->state = SIGNATURE_NONE;
        snprintf(out->why, sizeof(out->why),
                 "is not signed: there is no %.40s.minisig beside it; sign it with `telex plugins sign`, or "
                 "ask its maker for the signature",
                 strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
        return;
    }
    if (err < 0) {
        snprintf(out->why, sizeof(out->why), "has a .minisig that %s", why);
        return;
    }
    minisign_id(out->key, signature.id);
    out->state = SIGNATURE_UNKNOWN;
    snprintf(out->why, sizeof(out->why),
             "is signed by key %s, which is none of plugins.keys; add the public key if you trust it",
             out->key);
    for (size_t i = 0; i < n_keys && out->state != SIGNATURE_GOOD; i++) {
        if (memcmp(keys[i].id, signature.id, sizeof(signature.id)) != 0)
            continue;
        bool good = minisign_verify(&signature, &keys[i], bytes, why, sizeof(why)) == 0;
        out->state = good ? SIGNATURE_GOOD : SIGNATURE_BAD;
        out->why[0] = 0;
        if (!good)
            snprintf(out->why, sizeof(out->why),
                     "has a signature that %s; put the signed file back, or sign this one", why);
    }
    if (out->state != SIGNATURE_GOOD)
        return;
    snprintf(out->comment, sizeof(out->comment), "%.199s", signature.comment);
    for (char *c = out->comment; *c; c++)
        *c = isprint((unsigned char)*c) ? *c : '?';
}

/* ---- the answer ---- */

void trust_destroy(struct trust *trust) {
    if (!trust)
        return;
    lock_finish(&trust->lock);
    free(trust->lock_path);
    free(trust->keys);
    free(trust);
}

static int check_lock(const struct trust *trust, const char *name, const char *sha256, char *why,
                      size_t why_size) {
    const struct lock_entry *entry = lock_find(&trust->lock, name);
    if (!entry) {
        snprintf(why, why_size, "is not in %s; if you trust it, run `telex plugins lock CONFIG`",
                 trust->lock_path);
        return -1;
    }
    if (strcmp(entry->sha256, sha256) == 0)
        return 0;
    snprintf(why, why_size,
             "is not the file that %s pins: sha256 %.12s... there, %.12s... here; put version %.40s back, or "
             "run `telex plugins lock CONFIG` if you changed it",
             trust->lock_path, entry->sha256, sha256, entry->version);
    return -1;
}

int trust_check(const struct trust *trust, const char *name, const char *path, struct telex_bytes bytes,
                const char *sha256, char *why, size_t why_size) {
    struct signature_report report;
    if (!trust || trust->require == TRUST_NONE)
        return 0;
    if (trust->lock_path && !trust->relock && check_lock(trust, name, sha256, why, why_size) < 0)
        return -1;
    if (trust->require != TRUST_SIGNATURE)
        return 0;
    trust_signature(trust->keys, trust->n_keys, path, bytes, &report);
    if (report.state == SIGNATURE_GOOD)
        return 0;
    snprintf(why, why_size, "%s", report.why);
    return -1;
}

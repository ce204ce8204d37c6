/* SPDX-License-Identifier: Apache-2.0 */
/* trust.h - which plugins a pipeline may run: `plugins` of a config, and the file plugins.lock.
 *
 * A plugin is asked about before any of its code has run, the description in a child included, and what was
 * asked about are the bytes that are loaded (plugin_file.h).
 *
 * plugins.lock is text, one plugin a line, sorted by name; a line that begins with # is a comment:
 *
 *     NAME VERSION SHA256 FILE
 *
 * VERSION and FILE are for its readers; what counts is that the file found under NAME has SHA256. */
#ifndef HOST_TRUST_H
#define HOST_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include <telex/abi.h>

#include "minisign.h"

struct lock_entry {
    char *name, *version, *sha256, *file; /* owned */
};

struct lock {
    struct lock_entry *items; /* owned */
    size_t n;
};

enum { TRUST_NONE, TRUST_LOCK, TRUST_SIGNATURE };

struct trust {
    int require;     /* SIGNATURE: and the lock, where there is a path to one */
    char *lock_path; /* owned, absolute; NULL: no lock */
    bool relock;     /* the lock is being written: it is not asked */
    struct lock lock;
    struct minisign_public *keys; /* owned */
    size_t n_keys;
};

/* NULL is fine. */
void trust_destroy(struct trust *trust);

/* Read a lock file of at most 1 MiB. 0; -1 with "what; remedy" in why; -ENOENT with a reason where there is
 * none. Finish it either way. */
int lock_read(struct lock *out, const char *path, char *why, size_t why_size);
void lock_finish(struct lock *lock); /* accepts a zeroed one */

/* Add an entry; a name that is there already is replaced. 0, or -1 with a clause in why: a text that does not
 * fit a line, or out of memory. */
int lock_add(struct lock *lock, const char *name, const char *version, const char *sha256, const char *file,
             char *why, size_t why_size);
const struct lock_entry *lock_find(const struct lock *lock, const char *name);

/* Write a file so that it is there whole, with the old content or the new. 0 or -errno. */
int trust_write(const char *path, const char *text, size_t size);

/* Sort the lock and write it so. 0 or -errno. */
int lock_write(struct lock *lock, const char *path);

/* What PATH.minisig says of the bytes of a plugin. */
struct signature_report {
    enum {
        SIGNATURE_NONE,    /* there is no such file */
        SIGNATURE_GOOD,    /* by one of the keys */
        SIGNATURE_UNKNOWN, /* by none of the keys, so nothing was checked */
        SIGNATURE_BAD      /* by one of the keys, but not of these bytes; or no signature at all */
    } state;
    char key[MINISIGN_ID_BYTES]; /* "" where not known */
    char comment[200];           /* the trusted one, of a good signature */
    char why[300];               /* what is wrong, with the file and a remedy; "" when good */
};
void trust_signature(const struct minisign_public *keys, size_t n_keys, const char *path,
                     struct telex_bytes bytes, struct signature_report *out);

/* Whether a plugin may run: `name` found at `path` with these bytes. 0, or -1 with "what; remedy" in why, to
 * follow the path. */
int trust_check(const struct trust *trust, const char *name, const char *path, struct telex_bytes bytes,
                const char *sha256, char *why, size_t why_size);

#endif

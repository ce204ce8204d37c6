/* SPDX-License-Identifier: Apache-2.0 */
/* shared.c - see shared.h. */
#include "shared.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct shared_entry {
    struct stat marks;
    void *thing;
    unsigned users;
    struct shared_entry *next;
};

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int shared_open(struct shared *shared, const char *path,
                int (*load)(void *arg, const char *path, void **out, struct model_fail *fail), void *arg,
                void **out, struct model_fail *fail) {
    struct shared_entry *entry, *fresh = calloc(1, sizeof(*fresh));
    int err = 0;

    if (!fresh)
        return model_fail(fail, -ENOMEM, "%s: out of memory", path);
    pthread_mutex_lock(&shared->lock);
    if (stat(path, &fresh->marks) != 0)
        err = model_fail(fail, -errno,
                         "%s: cannot open the model: %s; check the path, or fetch it with `telex model pull`",
                         path, strerror(errno));
    for (entry = shared->entries; entry && !same_file(&entry->marks, &fresh->marks);)
        entry = entry->next;
    if (!err && !entry)
        err = load(arg, path, &fresh->thing, fail);
    if (!err && !entry) {
        fresh->next = shared->entries;
        shared->entries = entry = fresh;
        fresh = NULL;
    }
    if (!err) {
        entry->users++;
        *out = entry->thing;
    }
    pthread_mutex_unlock(&shared->lock);
    free(fresh);
    return err;
}

void shared_close(struct shared *shared, void *thing) {
    struct shared_entry **at = &shared->entries;

    if (!thing)
        return;
    pthread_mutex_lock(&shared->lock);
    while ((*at)->thing != thing)
        at = &(*at)->next;
    if (--(*at)->users == 0) {
        struct shared_entry *gone = *at;

        *at = gone->next;
        shared->drop(thing);
        free(gone);
    }
    pthread_mutex_unlock(&shared->lock);
}

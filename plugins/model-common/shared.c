/* SPDX-License-Identifier: Apache-2.0 */
/* shared.c - see shared.h. */
#include "shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct shared_entry {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
    uint32_t which;
    unsigned users;
    void *object;
    struct shared_entry *next;
};

static bool is_of(const struct shared_entry *e, const struct stat *marks, uint32_t which) {
    return e->dev == marks->st_dev && e->ino == marks->st_ino && e->size == marks->st_size &&
           e->changed.tv_sec == marks->st_mtim.tv_sec && e->changed.tv_nsec == marks->st_mtim.tv_nsec &&
           e->which == which;
}

static struct shared_entry *find(const struct shared_list *list, const struct stat *marks, uint32_t which) {
    struct shared_entry *e = list->first;

    while (e && !(is_of(e, marks, which) && (!list->is_usable || list->is_usable(e->object))))
        e = e->next;
    return e;
}

static int open_locked(struct shared_list *list, const char *path, uint32_t which, shared_load load,
                       void *arg, void **out, struct model_fail *fail) {
    struct shared_entry *e;
    struct stat st;
    int err;

    if (stat(path, &st) != 0)
        return model_fail(
            fail, -errno,
            "%s: cannot open the model: %s; check the path, or fetch it with `telex model pull`", path,
            strerror(errno));
    e = find(list, &st, which);
    if (!e) {
        e = calloc(1, sizeof(*e));
        err =
            e ? load(arg, path, &st, &e->object, fail) : model_fail(fail, -ENOMEM, "%s: out of memory", path);
        if (err) {
            free(e);
            return err;
        }
        e->dev = st.st_dev;
        e->ino = st.st_ino;
        e->size = st.st_size;
        e->changed = st.st_mtim;
        e->which = which;
        e->next = list->first;
        list->first = e;
    }
    e->users++;
    *out = e->object;
    return 0;
}

int shared_open(struct shared_list *list, const char *path, uint32_t which, shared_load load, void *arg,
                void **out, struct model_fail *fail) {
    int err;

    pthread_mutex_lock(&list->lock);
    err = open_locked(list, path, which, load, arg, out, fail);
    pthread_mutex_unlock(&list->lock);
    return err;
}

void shared_close(struct shared_list *list, void *object) {
    struct shared_entry **at = &list->first, *e;

    if (!object)
        return;
    pthread_mutex_lock(&list->lock);
    while ((*at)->object != object)
        at = &(*at)->next;
    e = *at;
    if (--e->users == 0) {
        *at = e->next;
        list->free(object);
        free(e);
    }
    pthread_mutex_unlock(&list->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* shared.h - weights that a process holds once, however often their file is opened.
 *
 * A file is known by device, inode, size and time of change, so two paths to one file share, and a file that
 * was replaced does not. Objects are counted; the last close frees them. */
#ifndef TELEX_MODEL_SHARED_H
#define TELEX_MODEL_SHARED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fail.h"

/* One list for each kind of object; static, with SHARED_LIST. */
struct shared_list {
    pthread_mutex_t lock;
    struct shared_entry *first;
    void (*free)(void *object);
    bool (*is_usable)(const void *object); /* NULL: all are; one that is not is no longer given out */
};
#define SHARED_LIST(free_object, usable)                                                                     \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .free = (free_object), .is_usable = (usable) }

/* Make the object of a file with these marks: 0 and *out, or negative errno with *fail filled in. */
typedef int (*shared_load)(void *arg, const char *path, const struct stat *marks, void **out,
                           struct model_fail *fail);

/* *out is the object of the file at `path` for `which` (a device's number, say): one that is open, or what
 * `load` makes. Loads one at a time. 0 or negative errno. [any] */
int shared_open(struct shared_list *list, const char *path, uint32_t which, shared_load load, void *arg,
                void **out, struct model_fail *fail);
/* NULL is fine. [any] */
void shared_close(struct shared_list *list, void *object);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* shared.h - one copy of a file's contents in a process, however often it is opened. Files are told apart by
 * device, inode, size and time of change. */
#ifndef TELEX_SHARED_H
#define TELEX_SHARED_H

#include <pthread.h>
#include <stdint.h>

#include "fail.h"

struct shared_entry;

struct shared {
    pthread_mutex_t lock; /* held while a file is loaded */
    struct shared_entry *entries;
    void (*drop)(void *thing);
};

#define SHARED_OF(drop_thing)                                                                                \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .drop = (drop_thing) }

/* What `load` makes of the file at `path`, or what it made before. `arg` is handed to it. 0 or negative errno
 * with `fail` filled in. [any] */
int shared_open(struct shared *shared, const char *path,
                int (*load)(void *arg, const char *path, void **out, struct model_fail *fail), void *arg,
                void **out, struct model_fail *fail);
/* The last close drops it. NULL is fine. [any] */
void shared_close(struct shared *shared, void *thing);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* load_limit.h - a library that does not finish loading ends the process.
 *
 * The dynamic loader holds a lock of its own while constructors run, so nothing of the process can be unwound
 * past one that hangs: a watching thread says which plugin it is and ends the process. A plugin that always
 * hangs was refused before, by the child that describes it. */
#ifndef HOST_LOAD_LIMIT_H
#define HOST_LOAD_LIMIT_H

#include <pthread.h>
#include <stdbool.h>

struct load_limit {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *name; /* borrowed */
    bool runs, done;
};

/* From here until load_limit_end the calling thread loads the plugin; 20 s at most (TELEX_LOAD_LIMIT_MS). */
void load_limit_begin(struct load_limit *limit, const char *name);
void load_limit_end(struct load_limit *limit);

#endif

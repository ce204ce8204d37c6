/* SPDX-License-Identifier: Apache-2.0 */
/* journal_file.h - inside of the journal, shared by its writer (journal.c), its opening and closing
 * (journal_file.c) and its readers (journal_read.c). */
#ifndef HOST_JOURNAL_FILE_H
#define HOST_JOURNAL_FILE_H

#include <pthread.h>
#include <sqlite3.h>

#include "journal.h"
#include "journal_memory.h"

enum journal_statement {
    S_BEGIN,
    S_COMMIT,
    S_MSG,
    S_DELIVERY,
    S_SETTLE,
    S_COUNT,
    S_KV_PUT,
    S_KV_DEL,
    S_QUARANTINE,
    S_UNQUARANTINE,
    S_EXPIRE_ANY,
    S_EXPIRE_COUNT, /* the three in this order */
    S_EXPIRE_DELIVERY,
    S_EXPIRE_MSG,
    S_WRITE_COUNT
};

/* In the order of S_COUNT's parameters. */
enum journal_counter {
    COUNT_IN,
    COUNT_DELIVERED,
    COUNT_SUPERSEDED,
    COUNT_QUARANTINED,
    COUNT_DROPPED,
    COUNTERS
};

struct edge_counts {
    int64_t added[COUNTERS];
    bool changed;
};

struct journal {
    char *path;
    int lock_fd; /* holds the only writer's lock */
    int durability;
    struct journal_user user;

    /* the writer's, used by its thread only once it runs */
    sqlite3 *db;
    sqlite3_stmt *stmt[S_WRITE_COUNT];
    struct edge_counts *counts; /* owned; what the open transaction adds, by edge */
    uint32_t n_counts;
    int64_t now_ms;
    char *crash_where;
    int64_t crash_after;
    bool broken;

    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock; /* the queue */
    pthread_cond_t work;
    struct journal_op *first, **last;
    bool closing;
    atomic_bool closing_now;          /* give up waiting for a full disk */
    _Atomic int64_t expire_before_ms; /* 0: nothing to expire */

    pthread_mutex_t read_lock; /* the reader connection */
    sqlite3 *reader;
    sqlite3_stmt *get_newest, *get_version, *kv_get, *kv_scan;

    struct memory_store *memory; /* durability: memory; under read_lock, and kv in an in-memory `reader` */
    sqlite3_stmt *kv_put, *kv_del;
    uint32_t memory_edges;
};

void *journal_thread(void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* journal.c - the writer thread: takes what has gathered, applies it in order inside one transaction,
 * commits, and only then tells its user.
 *
 * A full disk is waited out: the transaction is rolled back and the same operations are tried again, so edges
 * fill and sources stop. Any other write error ends the pipeline, because what the file holds is no longer
 * known. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "journal_file.h"
#include "journal_schema.h"
#include "log.h"

enum { OPS_PER_COMMIT = 8192, FULL_DISK_PAUSE_MS = 500 };

static int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int step(sqlite3_stmt *stmt) {
    int got = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return got == SQLITE_DONE || got == SQLITE_ROW ? SQLITE_OK : got;
}

static void bind_bytes(sqlite3_stmt *stmt, int at, struct telex_bytes bytes, bool text) {
    const char *data = bytes.size ? (const char *)bytes.data : "";
    if (text)
        sqlite3_bind_text(stmt, at, data, (int)bytes.size, SQLITE_STATIC);
    else
        sqlite3_bind_blob(stmt, at, data, (int)bytes.size, SQLITE_STATIC);
}

/* Add n to one of an edge's counters; the edge's row changes once a transaction, in write_counts. */
static int count(struct journal *j, enum journal_counter counter, uint32_t edge, int64_t n) {
    if (edge >= j->n_counts) {
        uint32_t more = edge + 64;
        struct edge_counts *counts = realloc(j->counts, more * sizeof(*counts));
        if (!counts)
            return SQLITE_NOMEM;
        memset(counts + j->n_counts, 0, (more - j->n_counts) * sizeof(*counts));
        j->counts = counts;
        j->n_counts = more;
    }
    j->counts[edge].changed = true;
    j->counts[edge].added[counter] += n;
    return SQLITE_OK;
}

static int write_counts(struct journal *j) {
    int got = SQLITE_OK;
    for (uint32_t edge = 0; got == SQLITE_OK && edge < j->n_counts; edge++) {
        if (!j->counts[edge].changed)
            continue;
        for (int i = 0; i < COUNTERS; i++)
            sqlite3_bind_int64(j->stmt[S_COUNT], i + 1, j->counts[edge].added[i]);
        sqlite3_bind_int64(j->stmt[S_COUNT], COUNTERS + 1, edge);
        got = step(j->stmt[S_COUNT]);
    }
    return got;
}

static int apply_put(struct journal *j, const struct journal_put *put) {
    int got = SQLITE_OK;
    if (!put->stored) {
        sqlite3_stmt *stmt = j->stmt[S_MSG];
        sqlite3_bind_int64(stmt, 1, put->rec->seq);
        bind_bytes(stmt, 2, put->rec->schema, true);
        bind_bytes(stmt, 3, put->rec->id, true);
        sqlite3_bind_int64(stmt, 4, (int64_t)put->rec->version);
        sqlite3_bind_text(stmt, 5, put->origin, -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 6, j->now_ms);
        bind_bytes(stmt, 7, put->rec->body, false);
        got = step(stmt);
    }
    for (uint32_t i = 0; got == SQLITE_OK && i < put->n_targets; i++) {
        sqlite3_stmt *stmt = j->stmt[S_DELIVERY];
        sqlite3_bind_int64(stmt, 1, put->targets[i].edge);
        sqlite3_bind_int64(stmt, 2, put->rec->seq);
        sqlite3_bind_int(stmt, 3, put->targets[i].state);
        got = step(stmt);
        if (got == SQLITE_OK)
            got = count(j, COUNT_IN, put->targets[i].edge, 1);
        if (got == SQLITE_OK && put->targets[i].state == DELIVERY_DROPPED)
            got = count(j, COUNT_DROPPED, put->targets[i].edge, 1);
    }
    return got;
}

static int apply_change(struct journal *j, const char *stage, const struct journal_change *change) {
    sqlite3_stmt *stmt = j->stmt[change->deleted ? S_KV_DEL : S_KV_PUT];
    sqlite3_bind_text(stmt, 1, stage, -1, SQLITE_STATIC);
    bind_bytes(stmt, 2, change->key, false);
    if (!change->deleted)
        bind_bytes(stmt, 3, change->value, false);
    return step(stmt);
}

/* Move the input's row to another state and count it there (COUNTERS: nowhere). */
static int settle(struct journal *j, const struct journal_op *op, int state, enum journal_counter counter) {
    sqlite3_stmt *stmt = j->stmt[S_SETTLE];
    sqlite3_bind_int(stmt, 1, state);
    sqlite3_bind_int64(stmt, 2, op->attempts);
    sqlite3_bind_int64(stmt, 3, op->edge);
    sqlite3_bind_int64(stmt, 4, op->seq);
    int got = step(stmt);
    return got == SQLITE_OK && counter < COUNTERS ? count(j, counter, op->edge, 1) : got;
}

static int apply_step(struct journal *j, const struct journal_op *op) {
    int got = SQLITE_OK;
    for (uint32_t i = 0; got == SQLITE_OK && i < op->n_puts; i++)
        got = apply_put(j, &op->puts[i]);
    for (uint32_t i = 0; got == SQLITE_OK && i < op->n_changes; i++)
        got = apply_change(j, op->stage, &op->changes[i]);
    if (got == SQLITE_OK && op->edge)
        got = settle(j, op, DELIVERY_DONE, COUNT_DELIVERED);
    return got;
}

static int apply_quarantine(struct journal *j, const struct journal_op *op) {
    sqlite3_stmt *stmt = j->stmt[S_QUARANTINE];
    sqlite3_bind_int64(stmt, 1, op->edge);
    sqlite3_bind_int64(stmt, 2, op->seq);
    sqlite3_bind_text(stmt, 3, op->stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, op->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, op->reason, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 6, op->attempts);
    sqlite3_bind_int64(stmt, 7, j->now_ms);
    int got = step(stmt);
    return got == SQLITE_OK ? settle(j, op, DELIVERY_QUARANTINED, COUNT_QUARANTINED) : got;
}

static int leave_quarantine(struct journal *j, const struct journal_op *op, int state, int counter) {
    sqlite3_stmt *stmt = j->stmt[S_UNQUARANTINE];
    sqlite3_bind_int64(stmt, 1, op->edge);
    sqlite3_bind_int64(stmt, 2, op->seq);
    int got = step(stmt);
    if (got == SQLITE_OK)
        got = count(j, COUNT_QUARANTINED, op->edge, -1);
    return got == SQLITE_OK ? settle(j, op, state, counter) : got;
}

static int apply(struct journal *j, const struct journal_op *op) {
    switch (op->kind) {
    case JOURNAL_STEP:
        return apply_step(j, op);
    case JOURNAL_ATTEMPT:
        return settle(j, op, DELIVERY_WAITING, COUNTERS);
    case JOURNAL_QUARANTINE:
        return apply_quarantine(j, op);
    case JOURNAL_SUPERSEDE:
        return settle(j, op, DELIVERY_SUPERSEDED, COUNT_SUPERSEDED);
    case JOURNAL_RETRY:
        return leave_quarantine(j, op, DELIVERY_WAITING, COUNTERS);
    case JOURNAL_DROP:
        return leave_quarantine(j, op, DELIVERY_DROPPED, COUNT_DROPPED);
    case JOURNAL_BARRIER:
        return SQLITE_OK;
    }
    return SQLITE_MISUSE;
}

/* TELEX_CRASH="before-commit:N" or "after-commit:N" ends the process by SIGKILL at its N-th commit, so that
 * tests can visit every crash point. */
static void crash_point(struct journal *j, const char *where) {
    if (!j->crash_where || strcmp(j->crash_where, where) != 0 || --j->crash_after > 0)
        return;
    kill(getpid(), SIGKILL);
}

static int expire(struct journal *j, int64_t before) {
    if (!before)
        return SQLITE_OK;
    sqlite3_bind_int64(j->stmt[S_EXPIRE_ANY], 1, before);
    int got = sqlite3_step(j->stmt[S_EXPIRE_ANY]);
    sqlite3_reset(j->stmt[S_EXPIRE_ANY]);
    if (got != SQLITE_ROW)
        return got == SQLITE_DONE ? SQLITE_OK : got;
    got = SQLITE_OK;
    for (int s = S_EXPIRE_COUNT; got == SQLITE_OK && s <= S_EXPIRE_MSG; s++) {
        sqlite3_bind_int64(j->stmt[s], 1, before);
        got = step(j->stmt[s]);
    }
    return got;
}

static int commit_batch(struct journal *j, struct journal_op *first) {
    j->now_ms = wall_ms();
    int64_t expire_before_ms = atomic_exchange(&j->expire_before_ms, 0);
    int got = step(j->stmt[S_BEGIN]);
    if (got != SQLITE_OK)
        return got;
    if (j->counts)
        memset(j->counts, 0, j->n_counts * sizeof(*j->counts));
    for (struct journal_op *op = first; got == SQLITE_OK && op; op = op->next)
        got = apply(j, op);
    if (got == SQLITE_OK)
        got = write_counts(j);
    if (got == SQLITE_OK)
        got = expire(j, expire_before_ms);
    if (got == SQLITE_OK) {
        crash_point(j, "before-commit");
        got = step(j->stmt[S_COMMIT]);
    }
    if (got == SQLITE_OK) {
        crash_point(j, "after-commit");
    } else if (!sqlite3_get_autocommit(j->db))
        sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
    return got;
}

/* Commit a run, waiting out a full disk. False when the journal is broken. */
static bool commit_run(struct journal *j, struct journal_op *first) {
    bool told = false;
    for (;;) {
        int got = commit_batch(j, first);
        if (got == SQLITE_OK) {
            if (told)
                log_say(TELEX_INFO, "journal", "there is room again; going on");
            return true;
        }
        if (got != SQLITE_FULL && got != SQLITE_BUSY) {
            char why[256];
            snprintf(why, sizeof(why), "%s: %s; the pipeline stops here, nothing committed is lost", j->path,
                     sqlite3_errmsg(j->db));
            j->user.broken(j->user.arg, why);
            return false;
        }
        if (!told)
            log_say(TELEX_ERROR, "journal", "%s: %s; sources wait, trying again every %d ms", j->path,
                    sqlite3_errmsg(j->db), FULL_DISK_PAUSE_MS);
        told = true;
        usleep(FULL_DISK_PAUSE_MS * 1000);
        if (j->closing_now)
            return false;
    }
}

/* Cut at most OPS_PER_COMMIT operations off the queue. */
static struct journal_op *take_run(struct journal *j) {
    struct journal_op *first = j->first, *op = first;
    for (int n = 1; op && op->next && n < OPS_PER_COMMIT; n++)
        op = op->next;
    j->first = op ? op->next : NULL;
    if (!j->first)
        j->last = &j->first;
    if (op)
        op->next = NULL;
    return first;
}

void *journal_thread(void *arg) {
    struct journal *j = arg;
    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (!j->first && !j->closing)
            pthread_cond_wait(&j->work, &j->lock);
        if (!j->first)
            break;
        struct journal_op *run = take_run(j);
        pthread_mutex_unlock(&j->lock);
        bool fine = !j->broken && (j->durability == DURABILITY_MEMORY || commit_run(j, run));
        if (fine)
            j->user.done(j->user.arg, run);
        else
            j->broken = true;
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

void journal_submit(struct journal *j, struct journal_op *first) {
    struct journal_op *last = first;
    while (last->next)
        last = last->next;
    pthread_mutex_lock(&j->lock);
    bool idle = !j->first;
    *j->last = first;
    j->last = &last->next;
    if (idle)
        pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->lock);
}

void journal_expire(struct journal *j, int64_t before_ms) {
    atomic_store(&j->expire_before_ms, before_ms);
}

static void apply_memory(struct journal *j, const struct journal_op *op) {
    for (uint32_t i = 0; i < op->n_puts; i++)
        if (!op->puts[i].stored)
            memory_expect(j->memory, op->puts[i].rec);
    for (uint32_t i = 0; i < op->n_puts; i++)
        if (!op->puts[i].stored)
            memory_put(j->memory, op->puts[i].rec);
    for (uint32_t i = 0; i < op->n_changes; i++) {
        const struct journal_change *change = &op->changes[i];
        sqlite3_stmt *stmt = change->deleted ? j->kv_del : j->kv_put;
        sqlite3_bind_text(stmt, 1, op->stage, -1, SQLITE_STATIC);
        bind_bytes(stmt, 2, change->key, false);
        if (!change->deleted)
            bind_bytes(stmt, 3, change->value, false);
        step(stmt);
    }
}

void journal_apply_memory(struct journal *j, const struct journal_op *first) {
    pthread_mutex_lock(&j->read_lock);
    for (const struct journal_op *op = first; op; op = op->next)
        apply_memory(j, op);
    pthread_mutex_unlock(&j->read_lock);
}

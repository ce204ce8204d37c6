/* SPDX-License-Identifier: Apache-2.0 */
/* journal_file.c - opening, locking and closing the journal.
 *
 * The lock is a file of its own beside the journal, held with flock for the life of the host: SQLite's own
 * locks come and go, and two hosts on one journal would each be right in their own eyes. */
#include "journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "journal_schema.h"

static const char *const write_sql[S_WRITE_COUNT] = {
    [S_BEGIN] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_MSG] = "INSERT INTO msg(seq, schema, id, version, origin, at_ms, body) VALUES(?, ?, ?, ?, ?, ?, ?)",
    [S_DELIVERY] = "INSERT INTO delivery(edge, seq, state) VALUES(?, ?, ?)",
    [S_SETTLE] = "UPDATE delivery SET state = ?, attempts = ? WHERE edge = ? AND seq = ?",
    [S_COUNT] =
        "UPDATE edge SET n_in = n_in + ?, n_delivered = n_delivered + ?, n_superseded = n_superseded + ?,"
        " n_quarantined = n_quarantined + ?, n_dropped = n_dropped + ? WHERE id = ?",
    [S_KV_PUT] = "INSERT INTO kv(stage, key, value) VALUES(?1, ?2, ?3)"
                 " ON CONFLICT(stage, key) DO UPDATE SET value = ?3",
    [S_KV_DEL] = "DELETE FROM kv WHERE stage = ? AND key = ?",
    [S_QUARANTINE] = "INSERT OR REPLACE INTO quarantine(edge, seq, stage, plugin, reason, attempts, at_ms)"
                     " VALUES(?, ?, ?, ?, ?, ?, ?)",
    [S_UNQUARANTINE] = "DELETE FROM quarantine WHERE edge = ? AND seq = ?",
    /* the oldest that is not kept for good: a look at the first rows, not at all of them */
    [S_EXPIRE_ANY] = "SELECT 1 FROM (SELECT at_ms FROM msg WHERE schema NOT IN"
                     " ('telex.dispatch/1', 'telex.event/1') ORDER BY seq LIMIT 1) WHERE at_ms < ?",
#define EXPIRED                                                                                              \
    "SELECT seq FROM msg WHERE at_ms < ?1 AND schema NOT IN ('telex.dispatch/1', 'telex.event/1')"           \
    " AND seq NOT IN (SELECT seq FROM delivery WHERE state IN (0, 3)) LIMIT 10000"
    [S_EXPIRE_COUNT] = "UPDATE edge SET n_expired = n_expired +"
                       " (SELECT count(*) FROM delivery WHERE edge = edge.id AND seq IN (" EXPIRED "))",
    [S_EXPIRE_DELIVERY] = "DELETE FROM delivery WHERE seq IN (" EXPIRED ")",
    [S_EXPIRE_MSG] = "DELETE FROM msg WHERE seq IN (" EXPIRED ")",
};

static const char kv_get_sql[] = "SELECT value FROM kv WHERE stage = ? AND key = ?";
static const char kv_scan_sql[] = "SELECT key, value FROM kv WHERE stage = ?1 AND key >= ?2 ORDER BY key";

static int exec(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* Take the writer's lock. Leaves this process's id in the lock file for whoever is refused. */
static int take_lock(struct journal *j, char *why, size_t why_size) {
    char path[4096];
    snprintf(path, sizeof(path), "%s.lock", j->path);
    j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0) {
        int err = -errno;
        snprintf(why, why_size, "%s: %s; does the folder exist and may this user write there?", path,
                 strerror(errno));
        return err;
    }
    char pid[32] = "";
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(j->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
        snprintf(why, why_size,
                 "%s is in use by process %s; stop that one first, or give this pipeline its own journal",
                 j->path, pid[0] ? pid : "(unknown)");
        return -EBUSY;
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(j->lock_fd, 0) != 0 || pwrite(j->lock_fd, pid, (size_t)n, 0) != n) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return -EIO;
    }
    return 0;
}

/* Refuse files that are no journal of ours or of a later layout. */
static int check_layout(struct journal *j, const char *pipeline, char *why, size_t why_size) {
    sqlite3_stmt *stmt;
    int64_t layout = 0, tables = 0;
    if (sqlite3_prepare_v2(j->db, "SELECT count(*) FROM sqlite_master", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW) {
        snprintf(why, why_size, "%s: %s; it is not a telex journal", j->path, sqlite3_errmsg(j->db));
        return -EBADMSG;
    }
    tables = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    if (sqlite3_prepare_v2(j->db, "SELECT value FROM meta WHERE key = 'layout'", -1, &stmt, NULL) ==
        SQLITE_OK) {
        if (sqlite3_step(stmt) == SQLITE_ROW)
            layout = sqlite3_column_int64(stmt, 0);
        sqlite3_finalize(stmt);
    }
    if ((tables > 0 && layout == 0) || layout > JOURNAL_LAYOUT) {
        snprintf(why, why_size,
                 layout ? "%s has layout %lld, newer than this telex; use the newer telex"
                        : "%s is a database, but no telex journal (layout %lld)",
                 j->path, (long long)layout);
        return -EBADMSG;
    }
    char *sql = sqlite3_mprintf("BEGIN IMMEDIATE; %s INSERT INTO meta VALUES('layout', %d), ('pipeline', %Q),"
                                " ('epoch', lower(hex(randomblob(6)))); COMMIT;",
                                journal_schema_sql, JOURNAL_LAYOUT, pipeline);
    int got = tables == 0 ? exec(j->db, sql) : SQLITE_OK;
    sqlite3_free(sql);
    if (got != SQLITE_OK) {
        snprintf(why, why_size, "%s: %s", j->path, sqlite3_errmsg(j->db));
        return -EIO;
    }
    return 0;
}

static int open_writer(struct journal *j, const char *pipeline, char *why, size_t why_size) {
    if (sqlite3_open_v2(j->path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        snprintf(why, why_size, "%s: %s", j->path, sqlite3_errmsg(j->db));
        return -EIO;
    }
    sqlite3_extended_result_codes(j->db, 0);
    sqlite3_busy_timeout(j->db, 5000);
    exec(j->db, "PRAGMA journal_mode = WAL");
    exec(j->db,
         j->durability == DURABILITY_FULL ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    exec(j->db, "PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 8000; PRAGMA trusted_schema = OFF");
    int err = check_layout(j, pipeline, why, why_size);
    for (int i = 0; err == 0 && i < S_WRITE_COUNT; i++)
        if (sqlite3_prepare_v3(j->db, write_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &j->stmt[i], NULL) !=
            SQLITE_OK) {
            snprintf(why, why_size, "%s: %s; it is damaged, or not a telex journal", j->path,
                     sqlite3_errmsg(j->db));
            err = -EBADMSG;
        }
    return err;
}

static int open_reader(struct journal *j, char *why, size_t why_size) {
    struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } reads[] = {
        {&j->get_newest,
         "SELECT body, seq FROM msg WHERE id = ?1 AND schema = ?2 ORDER BY version DESC, seq DESC LIMIT 1"},
        {&j->get_version, "SELECT body, seq FROM msg WHERE id = ?1 AND schema = ?2 AND version = ?3"
                          " ORDER BY seq DESC LIMIT 1"},
        {&j->kv_get, kv_get_sql},
        {&j->kv_scan, kv_scan_sql},
    };
    int got = sqlite3_open_v2(j->path, &j->reader, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (got == SQLITE_OK)
        got = exec(j->reader, "PRAGMA query_only = ON");
    sqlite3_busy_timeout(j->reader, 5000);
    for (size_t i = 0; got == SQLITE_OK && i < sizeof(reads) / sizeof(reads[0]); i++)
        got = sqlite3_prepare_v3(j->reader, reads[i].sql, -1, SQLITE_PREPARE_PERSISTENT, reads[i].stmt, NULL);
    if (got == SQLITE_OK)
        return 0;
    snprintf(why, why_size, "%s: %s", j->path, sqlite3_errmsg(j->reader));
    return -EIO;
}

/* `durability: memory`: only kv needs SQL. */
static int open_memory(struct journal *j, char *why, size_t why_size) {
    j->memory = memory_create();
    int got = j->memory
                  ? sqlite3_open_v2(":memory:", &j->reader, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)
                  : SQLITE_NOMEM;
    if (got == SQLITE_OK)
        got = exec(j->reader, journal_schema_sql);
    if (got == SQLITE_OK)
        got = sqlite3_prepare_v2(j->reader, kv_get_sql, -1, &j->kv_get, NULL);
    if (got == SQLITE_OK)
        got = sqlite3_prepare_v2(j->reader, kv_scan_sql, -1, &j->kv_scan, NULL);
    if (got == SQLITE_OK)
        got = sqlite3_prepare_v2(j->reader, write_sql[S_KV_PUT], -1, &j->kv_put, NULL);
    if (got == SQLITE_OK)
        got = sqlite3_prepare_v2(j->reader, write_sql[S_KV_DEL], -1, &j->kv_del, NULL);
    if (got == SQLITE_OK)
        return 0;
    snprintf(why, why_size, "journal in memory: %s", sqlite3_errstr(got));
    return -ENOMEM;
}

static void read_crash_point(struct journal *j) {
    const char *spec = getenv("TELEX_CRASH");
    const char *colon = spec ? strchr(spec, ':') : NULL;
    if (!colon)
        return;
    j->crash_where = strndup(spec, (size_t)(colon - spec));
    j->crash_after = strtoll(colon + 1, NULL, 10);
}

/* Make the folder of the journal, one level. */
static void make_parent(const char *path) {
    char *dir = strdup(path);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    if (slash && slash != dir) {
        *slash = 0;
        mkdir(dir, 0755);
    }
    free(dir);
}

static void release(struct journal *j) {
    for (int i = 0; i < S_WRITE_COUNT; i++)
        sqlite3_finalize(j->stmt[i]);
    sqlite3_finalize(j->get_newest);
    sqlite3_finalize(j->get_version);
    sqlite3_finalize(j->kv_get);
    sqlite3_finalize(j->kv_scan);
    sqlite3_finalize(j->kv_put);
    sqlite3_finalize(j->kv_del);
    memory_destroy(j->memory);
    sqlite3_close(j->reader);
    sqlite3_close(j->db);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->read_lock);
    pthread_cond_destroy(&j->work);
    free(j->counts);
    free(j->crash_where);
    free(j->path);
    free(j);
}

int journal_open(struct journal **out, const char *path, int durability, const char *pipeline,
                 const struct journal_user *user, char *why, size_t why_size) {
    struct journal *j = calloc(1, sizeof(*j));
    if (!j || !(j->path = strdup(durability == DURABILITY_MEMORY ? ":memory:" : path))) {
        free(j);
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    j->lock_fd = -1;
    j->durability = durability;
    j->user = *user;
    j->last = &j->first;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->read_lock, NULL);
    pthread_cond_init(&j->work, NULL);
    read_crash_point(j);
    int err = 0;
    if (durability != DURABILITY_MEMORY) {
        make_parent(path);
        err = take_lock(j, why, why_size);
        if (err == 0)
            err = open_writer(j, pipeline, why, why_size);
        if (err == 0)
            err = open_reader(j, why, why_size);
    } else
        err = open_memory(j, why, why_size);
    if (err == 0 && (err = -pthread_create(&j->thread, NULL, journal_thread, j)) != 0)
        snprintf(why, why_size, "no thread for the journal: %s", strerror(-err));
    if (err < 0) {
        release(j);
        return err;
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j) {
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->closing = true;
    atomic_store(&j->closing_now, true);
    pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    release(j);
}

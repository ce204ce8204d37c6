/* SPDX-License-Identifier: Apache-2.0 */
/* journal_read.c - what the pipeline asks of its journal while it runs. */
#include "journal_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "journal_memory.h"

static int64_t one_number(struct journal *j, const char *sql) {
    sqlite3_stmt *stmt;
    int64_t number = 0;
    if (j->durability == DURABILITY_MEMORY || sqlite3_prepare_v2(j->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return 0;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return number;
}

static uint32_t edge_id(struct journal *j, const char *name) {
    sqlite3_stmt *stmt;
    uint32_t id = 0;
    if (sqlite3_prepare_v2(j->db, "SELECT id FROM edge WHERE name = ?", -1, &stmt, NULL) != SQLITE_OK)
        return 0;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        id = (uint32_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return id;
}

uint32_t journal_edge(struct journal *j, const char *name, const char *schemas) {
    if (j->durability == DURABILITY_MEMORY)
        return ++j->memory_edges;
    char *sql = sqlite3_mprintf("INSERT INTO edge(name, since_seq, schemas) VALUES(%Q, %lld, %Q)"
                                " ON CONFLICT(name) DO UPDATE SET schemas = excluded.schemas",
                                name, (long long)journal_last_seq(j) + 1, schemas);
    sqlite3_exec(j->db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return edge_id(j, name);
}

int64_t journal_last_seq(struct journal *j) {
    int64_t msg = one_number(j, "SELECT max(seq) FROM msg");
    int64_t delivery = one_number(j, "SELECT max(seq) FROM delivery");
    return msg > delivery ? msg : delivery;
}

void journal_epoch(struct journal *j, char out[13]) {
    sqlite3_stmt *stmt;
    strcpy(out, "memory");
    if (j->durability == DURABILITY_MEMORY ||
        sqlite3_prepare_v2(j->db, "SELECT value FROM meta WHERE key = 'epoch'", -1, &stmt, NULL) != SQLITE_OK)
        return;
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == 12)
        memcpy(out, sqlite3_column_text(stmt, 0), 13);
    sqlite3_finalize(stmt);
}

/* A record from two columns: body, seq. */
static struct telex_rec *column_record(sqlite3_stmt *stmt) {
    const char *why;
    struct telex_bytes body = {sqlite3_column_blob(stmt, 0), (uint64_t)sqlite3_column_bytes(stmt, 0)};
    struct telex_rec *rec = record_copy(body, &why);
    if (rec)
        rec->seq = sqlite3_column_int64(stmt, 1);
    return rec;
}

int journal_each_waiting(struct journal *j, uint32_t edge,
                         void (*visit)(void *arg, struct telex_rec *rec, uint32_t attempts), void *arg) {
    sqlite3_stmt *stmt;
    if (j->durability == DURABILITY_MEMORY)
        return 0;
    pthread_mutex_lock(&j->read_lock);
    int got = sqlite3_prepare_v2(j->reader,
                                 "SELECT m.body, m.seq, d.attempts FROM delivery d JOIN msg m USING(seq)"
                                 " WHERE d.edge = ? AND d.state = 0 ORDER BY d.seq",
                                 -1, &stmt, NULL);
    if (got == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, edge);
        while ((got = sqlite3_step(stmt)) == SQLITE_ROW) {
            struct telex_rec *rec = column_record(stmt);
            if (rec)
                visit(arg, rec, (uint32_t)sqlite3_column_int64(stmt, 2));
            record_release(rec);
        }
        sqlite3_finalize(stmt);
    }
    pthread_mutex_unlock(&j->read_lock);
    return got == SQLITE_DONE ? 0 : -EIO;
}

int journal_last_events(struct journal *j, uint32_t limit, void (*visit)(void *arg, struct telex_rec *rec),
                        void *arg) {
    sqlite3_stmt *stmt;
    if (j->durability == DURABILITY_MEMORY)
        return 0;
    pthread_mutex_lock(&j->read_lock);
    int got =
        sqlite3_prepare_v2(j->reader,
                           "SELECT body, seq FROM (SELECT body, seq FROM msg WHERE schema = 'telex.event/1'"
                           " ORDER BY seq DESC LIMIT ?) ORDER BY seq",
                           -1, &stmt, NULL);
    if (got == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, limit);
        while ((got = sqlite3_step(stmt)) == SQLITE_ROW) {
            struct telex_rec *rec = column_record(stmt);
            if (rec)
                visit(arg, rec);
            record_release(rec);
        }
        sqlite3_finalize(stmt);
    }
    pthread_mutex_unlock(&j->read_lock);
    return got == SQLITE_DONE ? 0 : -EIO;
}

struct telex_rec *journal_quarantined(struct journal *j, uint32_t edge, int64_t seq) {
    sqlite3_stmt *stmt;
    struct telex_rec *rec = NULL;
    if (j->durability == DURABILITY_MEMORY)
        return NULL;
    pthread_mutex_lock(&j->read_lock);
    if (sqlite3_prepare_v2(
            j->reader,
            "SELECT m.body, m.seq FROM quarantine q JOIN msg m USING(seq) WHERE q.edge = ? AND q.seq = ?", -1,
            &stmt, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, edge);
        sqlite3_bind_int64(stmt, 2, seq);
        if (sqlite3_step(stmt) == SQLITE_ROW)
            rec = column_record(stmt);
        sqlite3_finalize(stmt);
    }
    pthread_mutex_unlock(&j->read_lock);
    return rec;
}

struct telex_rec *journal_get(struct journal *j, const char *schema, struct telex_bytes id,
                              uint64_t version) {
    struct telex_rec *rec = NULL;
    pthread_mutex_lock(&j->read_lock);
    if (j->durability == DURABILITY_MEMORY)
        rec = memory_get(j->memory, schema, id, version);
    else {
        sqlite3_stmt *stmt = version == UINT64_MAX ? j->get_newest : j->get_version;
        sqlite3_bind_text(stmt, 1, (const char *)id.data, (int)id.size, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 2, schema, -1, SQLITE_STATIC);
        if (version != UINT64_MAX)
            sqlite3_bind_int64(stmt, 3, (int64_t)version);
        if (sqlite3_step(stmt) == SQLITE_ROW)
            rec = column_record(stmt);
        sqlite3_reset(stmt);
    }
    pthread_mutex_unlock(&j->read_lock);
    return rec;
}

static void bind_key(sqlite3_stmt *stmt, const char *stage, struct telex_bytes key) {
    sqlite3_bind_text(stmt, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, key.size ? (const void *)key.data : "", (int)key.size, SQLITE_STATIC);
}

int64_t journal_kv_get(struct journal *j, const char *stage, struct telex_bytes key, void *out,
                       uint64_t capacity) {
    int64_t size = -ENOENT;
    pthread_mutex_lock(&j->read_lock);
    bind_key(j->kv_get, stage, key);
    if (sqlite3_step(j->kv_get) == SQLITE_ROW) {
        size = sqlite3_column_bytes(j->kv_get, 0);
        uint64_t n = (uint64_t)size < capacity ? (uint64_t)size : capacity;
        if (n)
            memcpy(out, sqlite3_column_blob(j->kv_get, 0), n);
    }
    sqlite3_reset(j->kv_get);
    pthread_mutex_unlock(&j->read_lock);
    return size;
}

int journal_kv_scan(struct journal *j, const char *stage, struct telex_bytes prefix,
                    int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value),
                    void *arg) {
    int32_t stop = 0;
    pthread_mutex_lock(&j->read_lock);
    bind_key(j->kv_scan, stage, prefix);
    while (!stop && sqlite3_step(j->kv_scan) == SQLITE_ROW) {
        struct telex_bytes key = {sqlite3_column_blob(j->kv_scan, 0),
                                  (uint64_t)sqlite3_column_bytes(j->kv_scan, 0)};
        struct telex_bytes value = {sqlite3_column_blob(j->kv_scan, 1),
                                    (uint64_t)sqlite3_column_bytes(j->kv_scan, 1)};
        if (key.size < prefix.size || (prefix.size && memcmp(key.data, prefix.data, prefix.size) != 0))
            break;
        stop = visit(arg, key, value);
    }
    sqlite3_reset(j->kv_scan);
    pthread_mutex_unlock(&j->read_lock);
    return 0;
}

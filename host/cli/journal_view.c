/* SPDX-License-Identifier: Apache-2.0 */
/* journal_view.c - finds and opens a journal for reading. */
#include "journal_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "../config.h"

static bool is_config(const char *what) {
    const char *dot = strrchr(what, '.');
    return dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* The journal's path from a config. NULL after the errors were printed. */
static char *path_from_config(const char *what) {
    struct registry *registry = cli_registry();
    struct config *config;
    char *path = NULL;
    if (registry && config_load(what, NULL, registry, stderr, &config) == 0) {
        path = strdup(config->journal_path);
        config_destroy(config);
    }
    registry_destroy(registry);
    return path;
}

/* A host that was ended before its first commit leaves a database without tables. */
static bool is_empty(sqlite3 *db) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_master", -1, &stmt, NULL) != SQLITE_OK)
        return false;
    bool empty = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int64(stmt, 0) == 0;
    sqlite3_finalize(stmt);
    return empty;
}

static int say_empty(struct journal_view *view, const char *command) {
    fprintf(stderr, "telex %s: nothing is recorded in %s yet\n", command, view->path);
    view_close(view);
    return VIEW_EMPTY;
}

int view_open(struct journal_view *view, const char *command, const char *what) {
    view->db = NULL;
    view->path = is_config(what) ? path_from_config(what) : strdup(what);
    if (!view->path)
        return EXIT_CONFIG;
    if (access(view->path, R_OK) != 0)
        fprintf(stderr, "telex %s: %s: %s; a journal is made by `telex run`\n", command, view->path,
                strerror(errno));
    else if (sqlite3_open_v2(view->path, &view->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        fprintf(stderr, "telex %s: %s: %s\n", command, view->path, sqlite3_errmsg(view->db));
    else if (is_empty(view->db))
        return say_empty(view, command);
    else if (sqlite3_exec(view->db, "PRAGMA query_only = ON; SELECT value FROM meta WHERE key = 'layout'",
                          NULL, NULL, NULL) != SQLITE_OK)
        fprintf(stderr, "telex %s: %s is no telex journal: %s\n", command, view->path,
                sqlite3_errmsg(view->db));
    else {
        sqlite3_busy_timeout(view->db, 5000);
        return 0;
    }
    view_close(view);
    return EXIT_FAILED;
}

void view_close(struct journal_view *view) {
    sqlite3_close(view->db);
    free(view->path);
    memset(view, 0, sizeof(*view));
}

sqlite3_stmt *view_query(struct journal_view *view, const char *sql) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(view->db, sql, -1, &stmt, NULL) == SQLITE_OK)
        return stmt;
    fprintf(stderr, "telex: %s: %s\n", view->path, sqlite3_errmsg(view->db));
    exit(EXIT_FAILED);
}

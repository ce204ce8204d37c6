/* SPDX-License-Identifier: Apache-2.0 */
/* journal_view.h - a journal as commands look at it: read only, beside a running host or without one. */
#ifndef HOST_CLI_JOURNAL_VIEW_H
#define HOST_CLI_JOURNAL_VIEW_H

#include <jansson.h>
#include <sqlite3.h>

enum { VIEW_EMPTY = -1 };

struct journal_view {
    sqlite3 *db;
    char *path; /* of the journal; owned */
};

/* Open the journal that `what` names: a config (*.yaml, *.yml) or a journal file. 0; VIEW_EMPTY
 * when nothing was recorded yet; or the command's exit code. All but 0 after one line on stderr. Give it back with view_close. */
int view_open(struct journal_view *view, const char *command, const char *what);
void view_close(struct journal_view *view);

/* Prepare a statement; ends the program with a message when the file is no journal. */
sqlite3_stmt *view_query(struct journal_view *view, const char *sql);

/* What `telex audit` finds wrong, a text each; what each edge carried is appended to edges (audit.c). */
json_t *audit(struct journal_view *view, json_t *edges);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine.c - `telex quarantine list|retry|drop`: records that could not pass, and what becomes of them.
 *
 * A number names a record: edge and seq, as `list` prints them. A running host is asked through its control
 * socket; without one the command takes the journal's lock itself, so there is never a second writer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "../control.h"
#include "../journal.h"
#include "journal_view.h"
#include "../config.h"

#include <telex-sdk/json.h>

struct arguments {
    const char *act, *what;
    const char *record; /* "EDGE-SEQ" or "all" */
    bool json;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "list: one JSON object a line, with the record", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (!a->act)
            a->act = arg;
        else if (!a->what)
            a->what = arg;
        else if (!a->record)
            a->record = arg;
        else
            argp_error(state, "too many arguments");
        return 0;
    case ARGP_KEY_END:
        if (!a->act || !a->what)
            argp_error(state, "say what to do and with which pipeline");
        if (strcmp(a->act, "list") != 0 && strcmp(a->act, "retry") != 0 && strcmp(a->act, "drop") != 0)
            argp_error(state, "no action '%s'; there are list, retry and drop", a->act);
        if (strcmp(a->act, "list") != 0 && !a->record)
            argp_error(state, "which record? give a number from `telex quarantine list`, or all");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "list CONFIG|JOURNAL\nretry CONFIG|JOURNAL NUMBER|all\ndrop CONFIG|JOURNAL NUMBER|all",
    .doc = "See, retry or drop the records that a stage could not pass.\v"
           "retry puts a record back on its edge with fresh attempts; publishing stays once per version.",
};

static const char list_sql[] =
    "SELECT q.edge, q.seq, e.name, q.stage, q.plugin, q.reason, q.attempts, q.at_ms, m.schema, m.id, "
    "m.version, m.body"
    " FROM quarantine q JOIN edge e ON e.id = q.edge JOIN msg m USING(seq) ORDER BY q.at_ms, q.seq";

static void print_line(sqlite3_stmt *row) {
    time_t at = (time_t)(sqlite3_column_int64(row, 7) / 1000);
    char when[32];
    strftime(when, sizeof(when), "%F %T", gmtime(&at));
    printf("%lld-%lld  %s  %s (%s)  %s %s version %lld, %lld attempts\n    %s\n",
           (long long)sqlite3_column_int64(row, 0), (long long)sqlite3_column_int64(row, 1), when,
           sqlite3_column_text(row, 3), sqlite3_column_text(row, 4), sqlite3_column_text(row, 8),
           sqlite3_column_text(row, 9), (long long)sqlite3_column_int64(row, 10),
           (long long)sqlite3_column_int64(row, 6), sqlite3_column_text(row, 5));
}

static void print_json_line(sqlite3_stmt *row) {
    struct telex_bytes body = {sqlite3_column_blob(row, 11), (uint64_t)sqlite3_column_bytes(row, 11)};
    struct telex_map map;
    char number[64];
    snprintf(number, sizeof(number), "%lld-%lld", (long long)sqlite3_column_int64(row, 0),
             (long long)sqlite3_column_int64(row, 1));
    json_t *record = telex_map_open(&map, body) == 0 ? telex_json_from(map.root) : json_null();
    telex_map_close(&map);
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "number", number, "edge",
                             sqlite3_column_text(row, 2), "stage", sqlite3_column_text(row, 3), "plugin",
                             sqlite3_column_text(row, 4), "reason", sqlite3_column_text(row, 5), "attempts",
                             (json_int_t)sqlite3_column_int64(row, 6), "at_ms",
                             (json_int_t)sqlite3_column_int64(row, 7), "record", record);
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static int list(struct journal_view *view, bool json) {
    sqlite3_stmt *row = view_query(view, list_sql);
    size_t n = 0;
    while (sqlite3_step(row) == SQLITE_ROW) {
        n++;
        if (json)
            print_json_line(row);
        else
            print_line(row);
    }
    sqlite3_finalize(row);
    if (!json)
        printf(n ? "%zu in quarantine\n" : "the quarantine is empty\n", n);
    return EXIT_FINE;
}

/* ---- retry and drop: through the host that runs the pipeline, or with our own writer ---- */

static void free_ops(void *arg, struct journal_op *first) {
    (void)arg;
    while (first) {
        struct journal_op *next = first->next;
        free(first);
        first = next;
    }
}

static void on_broken(void *arg, const char *why) {
    (void)arg;
    fprintf(stderr, "telex quarantine: %s\n", why);
    exit(EXIT_FAILED);
}

/* One record, by way of a running host: 0, or an error that was printed. */
static int ask_host(const char *socket, const struct arguments *a, int64_t edge, int64_t seq) {
    char why[512] = "";
    json_t *reply = NULL;
    json_t *request = json_pack("{s:s, s:s, s:I, s:I}", "command", "quarantine", "act", a->act, "edge",
                                (json_int_t)edge, "seq", (json_int_t)seq);
    int err = control_call(socket, request, 10000, &reply, why, sizeof(why));
    if (err < 0)
        fprintf(stderr, "telex quarantine: %lld-%lld: %s\n", (long long)edge, (long long)seq, why);
    json_decref(request);
    json_decref(reply);
    return err;
}

static int submit(struct journal *journal, const struct arguments *a, int64_t edge, int64_t seq) {
    struct journal_op *op = calloc(1, sizeof(*op));
    if (!op)
        return -ENOMEM;
    op->kind = strcmp(a->act, "retry") == 0 ? JOURNAL_RETRY : JOURNAL_DROP;
    op->edge = (uint32_t)edge;
    op->seq = seq;
    journal_submit(journal, op);
    return 0;
}

static bool wanted(const char *record, long long edge, long long seq) {
    char number[64];
    snprintf(number, sizeof(number), "%lld-%lld", edge, seq);
    return strcmp(record, "all") == 0 || strcmp(record, number) == 0;
}

/* Is a host listening? */
static bool host_runs(const char *socket) {
    char why[512];
    json_t *reply = NULL, *request = json_pack("{s:s}", "command", "status");
    int err = control_call(socket, request, 10000, &reply, why, sizeof(why));
    json_decref(request);
    json_decref(reply);
    return err == 0 || err == -EREMOTEIO;
}

static int change_each(struct journal_view *view, const struct arguments *a, const char *socket,
                       struct journal *journal, size_t *n) {
    sqlite3_stmt *row = view_query(view, list_sql);
    int err = 0;
    while (err == 0 && sqlite3_step(row) == SQLITE_ROW) {
        int64_t edge = sqlite3_column_int64(row, 0), seq = sqlite3_column_int64(row, 1);
        if (!wanted(a->record, edge, seq))
            continue;
        err = journal ? submit(journal, a, edge, seq) : ask_host(socket, a, edge, seq);
        *n += err == 0;
    }
    sqlite3_finalize(row);
    return err;
}

static int change(struct journal_view *view, const struct arguments *a) {
    struct journal *journal = NULL;
    struct journal_user user = {free_ops, on_broken, NULL};
    char why[512], socket[CONTROL_PATH_MAX];
    size_t n = 0;
    control_path(view->path, socket);
    bool runs = host_runs(socket);
    if (!runs && journal_open(&journal, view->path, DURABILITY_FULL, "", &user, why, sizeof(why)) < 0) {
        fprintf(stderr, "telex quarantine: %s\n", why);
        return EXIT_FAILED;
    }
    int err = change_each(view, a, socket, journal, &n);
    journal_close(journal);
    if (err == 0 && n == 0 && strcmp(a->record, "all") != 0) {
        fprintf(stderr, "telex quarantine: no record %s; see `telex quarantine list`\n", a->record);
        return EXIT_FAILED;
    }
    printf("%zu %s\n", n,
           strcmp(a->act, "drop") == 0 ? "dropped"
           : runs                      ? "put back"
                                       : "put back; they run at the next start");
    return err < 0 ? EXIT_FAILED : EXIT_FINE;
}

int cmd_quarantine(int argc, char **argv) {
    struct arguments a = {0};
    struct journal_view view;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code == 0)
        code = view_open(&view, "quarantine", a.what);
    if (code != 0)
        return code == VIEW_EMPTY ? EXIT_FINE : code;
    code = strcmp(a.act, "list") == 0 ? list(&view, a.json) : change(&view, &a);
    view_close(&view);
    return code;
}

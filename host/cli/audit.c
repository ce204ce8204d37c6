/* SPDX-License-Identifier: Apache-2.0 */
/* audit.c - `telex audit`: is every record accounted for?
 *
 * For each edge: in = delivered + superseded + quarantined + dropped + waiting, by the counters and by the
 * rows; every message that belongs on the edge has a row there; nothing was published twice. Reads one
 * snapshot, so it can run beside the host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "journal_view.h"

#include <telex-sdk/message.h>

struct arguments {
    const char *what;
    bool json;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "print the result as JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    default:
        return cli_parse_one(key, arg, state, &a->what, "one journal at a time",
                             "which pipeline? give its config or its journal");
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CONFIG|JOURNAL",
    .doc = "Check that every record of a pipeline is accounted for.\v"
           "Exit codes: 0 all is accounted for, 1 something is missing or twice (named), 78 the config is "
           "wrong.",
};

/* What was found wrong, a line each. */
struct findings {
    json_t *list;
};

__attribute__((format(printf, 2, 3))) static void found(struct findings *f, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    json_array_append_new(f->list, json_string(line));
}

static void check_balance(struct journal_view *view, struct findings *f, json_t *edges) {
    sqlite3_stmt *stmt = view_query(
        view,
        "SELECT e.name, n_in, n_delivered, n_superseded, n_quarantined, n_dropped, n_expired,"
        " (SELECT count(*) FROM delivery d WHERE d.edge = e.id AND d.state = 0),"
        " (SELECT count(*) FROM delivery d WHERE d.edge = e.id),"
        " (SELECT count(*) FROM delivery d WHERE d.edge = e.id AND d.state = 3) FROM edge e ORDER BY id");
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        long long n[10];
        for (int i = 1; i < 10; i++)
            n[i] = sqlite3_column_int64(stmt, i);
        json_array_append_new(edges, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "edge", name, "in",
                                               n[1], "delivered", n[2], "superseded", n[3], "quarantined",
                                               n[4], "dropped", n[5], "waiting", n[7]));
        if (n[1] != n[2] + n[3] + n[4] + n[5] + n[7])
            found(f,
                  "%s: %lld in, but %lld delivered + %lld superseded + %lld quarantined + %lld dropped + "
                  "%lld waiting",
                  name, n[1], n[2], n[3], n[4], n[5], n[7]);
        if (n[1] != n[8] + n[6])
            found(f, "%s: %lld in, but %lld rows and %lld expired", name, n[1], n[8], n[6]);
        if (n[4] != n[9])
            found(f, "%s: %lld counted as quarantined, but %lld rows", name, n[4], n[9]);
    }
    sqlite3_finalize(stmt);
}

/* Run a query whose rows are all wrong: edge, schema, id, version. */
static void check_rows(struct journal_view *view, struct findings *f, const char *sql, const char *what) {
    sqlite3_stmt *stmt = view_query(view, sql);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        found(f, "%s: %s %s version %lld %s", sqlite3_column_text(stmt, 0), sqlite3_column_text(stmt, 1),
              sqlite3_column_text(stmt, 2), (long long)sqlite3_column_int64(stmt, 3), what);
    sqlite3_finalize(stmt);
}

static void check_missing(struct journal_view *view, struct findings *f) {
    check_rows(view, f,
               "SELECT e.name, m.schema, m.id, m.version FROM edge e JOIN msg m"
               " ON m.origin = substr(e.name, 1, instr(e.name, '>') - 1) AND m.seq >= e.since_seq"
               " LEFT JOIN delivery d ON d.edge = e.id AND d.seq = m.seq"
               " WHERE d.seq IS NULL AND (e.schemas = ',*,' OR instr(e.schemas, ',' || m.schema || ',') > 0)",
               "never reached this edge");
    check_rows(view, f,
               "SELECT e.name, 'message', d.seq, 0 FROM delivery d JOIN edge e ON e.id = d.edge"
               " LEFT JOIN msg m USING(seq) WHERE m.seq IS NULL AND d.state IN (0, 3)",
               "waits, but its body is gone");
    check_rows(view, f,
               "SELECT e.name, m.schema, m.id, m.version FROM delivery d JOIN edge e ON e.id = d.edge"
               " JOIN msg m USING(seq) LEFT JOIN quarantine q ON q.edge = d.edge AND q.seq = d.seq"
               " WHERE d.state = 3 AND q.seq IS NULL",
               "is marked as quarantined, but is not there");
}

/* An event's dispatch, version and act as one key. */
static void event_key(const msgpack_object *event, char *key, size_t size) {
    struct telex_bytes id = telex_map_text(event, "id"), act = telex_map_text(event, "act");
    snprintf(key, size, "%.*s version %lld (%.*s)", (int)id.size, (const char *)id.data,
             (long long)telex_map_int(event, "version", 0), (int)act.size, (const char *)act.data);
}

static void check_published_once(struct journal_view *view, struct findings *f) {
    json_t *seen = json_object();
    sqlite3_stmt *stmt = view_query(view, "SELECT body FROM msg WHERE schema = 'telex.event/1' ORDER BY seq");
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        struct telex_bytes body = {sqlite3_column_blob(stmt, 0), (uint64_t)sqlite3_column_bytes(stmt, 0)};
        struct telex_map map;
        char key[256];
        if (telex_map_open(&map, body) < 0) {
            found(f, "an event cannot be read");
            continue;
        }
        event_key(map.root, key, sizeof(key));
        if (json_object_get(seen, key))
            found(f, "published twice: dispatch %s", key);
        json_object_set_new(seen, key, json_true());
        telex_map_close(&map);
    }
    sqlite3_finalize(stmt);
    json_decref(seen);
}

static void check_file(struct journal_view *view, struct findings *f) {
    sqlite3_stmt *stmt = view_query(view, "PRAGMA quick_check");
    while (sqlite3_step(stmt) == SQLITE_ROW)
        if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
            found(f, "%s: %s", view->path, sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
}

json_t *audit(struct journal_view *view, json_t *edges) {
    struct findings f = {json_array()};
    sqlite3_exec(view->db, "BEGIN", NULL, NULL, NULL);
    check_file(view, &f);
    check_balance(view, &f, edges);
    check_missing(view, &f);
    check_published_once(view, &f);
    sqlite3_exec(view->db, "COMMIT", NULL, NULL, NULL);
    return f.list;
}

static void print_text(json_t *edges, json_t *findings) {
    size_t i;
    json_t *edge, *finding;
    printf("%-44s %9s %9s %9s %9s %9s %9s\n", "edge", "in", "delivered", "supersed.", "quarant.", "dropped",
           "waiting");
    json_array_foreach(edges, i, edge) {
        printf("%-44s", json_string_value(json_object_get(edge, "edge")));
        static const char *const keys[] = {"in",          "delivered", "superseded",
                                           "quarantined", "dropped",   "waiting"};
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
            printf(" %9lld", (long long)json_integer_value(json_object_get(edge, keys[k])));
        printf("\n");
    }
    json_array_foreach(findings, i, finding) printf("WRONG  %s\n", json_string_value(finding));
    printf(json_array_size(findings) ? "%zu findings\n" : "clean: every record is accounted for\n",
           json_array_size(findings));
}

int cmd_audit(int argc, char **argv) {
    struct arguments a = {0};
    struct journal_view view;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code == 0)
        code = view_open(&view, "audit", a.what);
    if (code != 0)
        return code == VIEW_EMPTY ? EXIT_FINE : code;
    json_t *edges = json_array(), *findings = audit(&view, edges);
    code = json_array_size(findings) ? EXIT_FAILED : EXIT_FINE;
    if (a.json)
        cli_print_json(
            json_pack("{s:b, s:O, s:O}", "clean", code == EXIT_FINE, "edges", edges, "findings", findings));
    else
        print_text(edges, findings);
    json_decref(edges);
    json_decref(findings);
    view_close(&view);
    return code;
}

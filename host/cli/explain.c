/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - `telex explain CONFIG RECORD`: why a record joined its story, from the clustering's own log.
 *
 * cluster-story keeps, with the event of each join, what it weighed: the stories it looked at, their features
 * and the threshold. The rows last as long as the story takes records; after that only the log file knows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "journal_view.h"

#include <telex-sdk/id.h>
#include <telex-sdk/message.h>

struct arguments {
    const char *what, *record;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (!a->what)
            a->what = arg;
        else if (!a->record)
            a->record = arg;
        else
            argp_error(state, "one record at a time");
        return 0;
    case ARGP_KEY_END:
        if (!a->record)
            argp_error(state, "which record? give the pipeline's config or journal, then the record's id");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "CONFIG|JOURNAL RECORD",
    .doc = "Say why a record is in its story: the stories it was compared with, the features, their weights "
           "and the "
           "threshold.\vRECORD is a record's id or its beginning, as `telex dispatches` prints it.",
};

static struct telex_bytes column_bytes(sqlite3_stmt *row, int column) {
    return (struct telex_bytes){sqlite3_column_blob(row, column),
                                (uint64_t)sqlite3_column_bytes(row, column)};
}

/* The newest title of a record; "" when it has none. Free it. */
static char *title_of(struct journal_view *view, const char *id) {
    char *title = NULL;
    sqlite3_stmt *get = view_query(view, "SELECT body FROM msg WHERE id = ? AND schema = 'telex.record/1'"
                                         " ORDER BY version DESC, seq DESC LIMIT 1");
    sqlite3_bind_text(get, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(get) == SQLITE_ROW) {
        struct telex_map map;
        if (telex_map_open(&map, column_bytes(get, 0)) == 0) {
            struct telex_bytes text = telex_map_text(map.root, "title");
            title = strndup((const char *)text.data, text.size);
            telex_map_close(&map);
        }
    }
    sqlite3_finalize(get);
    return title ? title : strdup("");
}

/* The id of the record whose join founded a story; "" when the row is gone. Free it. */
static char *founder_of(struct journal_view *view, const char *stage, uint64_t story) {
    char key[24], *id = NULL;
    int n = snprintf(key, sizeof(key), "e%016llx", (unsigned long long)story);
    sqlite3_stmt *get = view_query(view, "SELECT value FROM kv WHERE stage = ? AND key = ?");
    sqlite3_bind_text(get, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_blob(get, 2, key, n, SQLITE_STATIC);
    struct telex_map map;
    if (sqlite3_step(get) == SQLITE_ROW && telex_map_open(&map, column_bytes(get, 0)) == 0) {
        struct telex_bytes text = telex_map_text(map.root, "record");
        id = strndup((const char *)text.data, text.size);
        telex_map_close(&map);
    }
    sqlite3_finalize(get);
    return id ? id : strdup("");
}

/* A column of the table of what was weighed. */
struct weighed {
    const char *name;
    int width;
    bool of_form; /* absent from rows that were kept before titles were compared by form */
};

static const struct weighed weighed[] = {
    {"reports", 7, false}, {"profile", 8, false},  {"member", 7, false}, {"evidence", 9, false},
    {"time", 6, false},    {"contrast", 9, false}, {"form", 6, true},    {"log odds", 9, true},
    {"accord", 7, false},  {"conflict", 9, false}, {"outlet", 7, false},
};
enum { WEIGHED = sizeof(weighed) / sizeof(*weighed) };

/* Gives whether the rows that follow have the columns of form. */
static bool print_weights(char *line) {
    static const char *const names[] = {"profile",     "member", "evidence at half",
                                        "contrast",    "accord", "conflict",
                                        "same outlet", "column", "two events at log odds"};
    size_t n = 0;
    printf("weights:");
    for (; line && n < sizeof(names) / sizeof(*names); n++)
        printf("%s %s %s", n ? "," : "", names[n], strsep(&line, " "));
    printf("\n\n");
    return n == sizeof(names) / sizeof(*names);
}

static void print_head(bool form) {
    printf("%-8s", "story");
    for (size_t i = 0; i < WEIGHED; i++) {
        if (form || !weighed[i].of_form)
            printf(" %*s", weighed[i].width, weighed[i].name);
    }
    printf(" | %6s %9s  %s\n", "score", "threshold", "nearest record");
}

/* Print what was weighed. Each line of `why` has its fields in the order of the table's head. */
static void print_table(struct journal_view *view, struct telex_bytes why) {
    char *copy = strndup((const char *)why.data, why.size), *rest = copy, *line;
    bool any = false, form = false;
    while (copy && (line = strsep(&rest, "\n")) != NULL) {
        char *field = strsep(&line, " ");
        if (strcmp(field, "weights") == 0) {
            form = print_weights(line);
        } else if (*field) {
            if (!any)
                print_head(form);
            printf("%-8.8s", field);
            for (size_t i = 0; line && i < WEIGHED; i++) {
                if (form || !weighed[i].of_form)
                    printf(" %*s", weighed[i].width, strsep(&line, " "));
            }
            const char *score = line ? strsep(&line, " ") : "", *need = line ? strsep(&line, " ") : "";
            char *title = title_of(view, line ? line : "");
            printf(" | %6s %9s  %s\n", score, need, *title ? title : line ? line : "");
            free(title);
            any = true;
        }
    }
    if (!any)
        printf("No live story shared enough with it to be compared.\n");
    else
        printf("\nscore = (weight x profile + weight x member) x time x contrast x evidence's share\n"
               "        + accord - conflict - outlet - column, then x form; it joins the best story at or "
               "above its "
               "threshold.\n");
    if (any && form)
        printf("form: what is left where two titles may fill one form with other things; log odds above 0 "
               "say two "
               "events;\n      - where the score was below the threshold without it.\n");
    free(copy);
}

/* Print which split brought a record here, or left it here, and the reports that it was most like then. */
static void print_split(struct journal_view *view, struct telex_bytes why, const char *story,
                        int64_t clock_ms) {
    char date[32] = "", *copy = strndup((const char *)why.data, why.size), *rest = copy;
    char *line = strsep(&rest, "\n");
    time_t seconds = (time_t)(clock_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
    const char *fields[5] = {"", "", "", "", ""};
    for (size_t i = 0; line && i < 5; i++)
        fields[i] = strsep(&line, " ");
    bool stayed = strcmp(fields[1], story) == 0;
    printf(stayed ? "stayed here in a split of this story" : "moved here by a split of story %s", fields[1]);
    printf(strcmp(fields[2], "0") == 0 ? ", which nobody had heard of" : " at version %s", fields[2]);
    printf(", on %s%s\n", date, rest && *rest ? ": pair scores" : "");
    while (rest && (line = strsep(&rest, "\n")) != NULL) {
        bool within = strncmp(line, "within ", 7) == 0;
        if (!*strsep(&line, " ") || !line)
            continue;
        const char *score = strsep(&line, " "), *form = line ? strsep(&line, " ") : "";
        char *title = title_of(view, line ? line : "");
        printf("  %s  closest %s: record %s  %s (form %s)\n", score,
               within ? "that it stays with" : "that it parted from", line ? line : "", title, form);
        free(title);
    }
    printf(
        "Reports of a story that has doubled hold together where a pair scores %s or more with a form of %s "
        "or more;\nwhat no chain of such pairs ties to the founder leaves.\n",
        fields[3], fields[4]);
    free(copy);
}

static void print_event(struct journal_view *view, const char *stage, uint64_t seq,
                        const struct telex_map *map) {
    static const char *const likeness[] = {NULL, "It is a revision of", "It is a copy of"};
    struct telex_bytes id = telex_map_text(map->root, "record");
    char *record = strndup((const char *)id.data, id.size);
    char *title = title_of(view, record ? record : "");
    uint64_t story = (uint64_t)telex_map_int(map->root, "story", 0);
    char *founder = founder_of(view, stage, story);
    char name[33];
    struct telex_bytes part = {(const uint8_t *)founder, strlen(founder)};
    telex_id(name, "story", &part, 1);
    printf("record %s  %s\n%s story %s\n", record, title, story == seq ? "founded" : "joined", name);
    int64_t like = telex_map_int(map->root, "likeness", 0);
    struct telex_bytes why = telex_map_text(map->root, "why");
    bool split = why.size > 6 && memcmp(why.data, "split ", 6) == 0;
    if (like == 1 || like == 2) {
        char *original = founder_of(view, stage, (uint64_t)telex_map_int(map->root, "like", 0));
        printf("%s record %s, so nothing was weighed.\n", likeness[like],
               *original ? original : "(no longer kept)");
        free(original);
    } else if (!split) {
        print_table(view, why);
    }
    if (split)
        print_split(view, why, name, telex_map_int(map->root, "clock", 0));
    free(founder);
    free(title);
    free(record);
}

static int show(struct journal_view *view, const struct arguments *a) {
    int found = 0;
    size_t len = strlen(a->record);
    sqlite3_stmt *row = view_query(view, "SELECT stage, key, value FROM kv WHERE key >= x'65' AND key < x'66'"
                                         " ORDER BY stage, key");
    while (sqlite3_step(row) == SQLITE_ROW) {
        struct telex_bytes key = column_bytes(row, 1);
        struct telex_map map;
        if (key.size != 17 || telex_map_open(&map, column_bytes(row, 2)) != 0)
            continue;
        struct telex_bytes id = telex_map_text(map.root, "record");
        if (id.size >= len && len > 0 && memcmp(id.data, a->record, len) == 0) {
            char digits[17] = {0};
            memcpy(digits, key.data + 1, 16);
            if (found++)
                printf("\n");
            print_event(view, (const char *)sqlite3_column_text(row, 0), strtoull(digits, NULL, 16), &map);
        }
        telex_map_close(&map);
    }
    sqlite3_finalize(row);
    if (found)
        return EXIT_FINE;
    fprintf(stderr,
            "telex explain: no live story in %s has a record %s; it has not come, or its story has retired\n",
            view->path, a->record);
    return EXIT_FAILED;
}

int cmd_explain(int argc, char **argv) {
    struct arguments a = {0};
    struct journal_view view;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code == 0)
        code = view_open(&view, "explain", a.what);
    if (code != 0)
        return code == VIEW_EMPTY ? EXIT_FINE : code;
    code = show(&view, &a);
    view_close(&view);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* dispatches.c - `telex dispatches [DSP-ID]`: what the wire wrote, and every record it cites, so that anyone
 * can check one against the other. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "journal_view.h"

#include <telex-sdk/json.h>

struct arguments {
    const char *what, *id;
    bool json;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "one JSON object a dispatch: the canonical dispatch and the records it cites", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (!a->what)
            a->what = arg;
        else if (!a->id)
            a->id = arg;
        else
            argp_error(state, "too many arguments");
        return 0;
    case ARGP_KEY_END:
        if (!a->what)
            argp_error(state, "which pipeline? give its config or its journal");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CONFIG|JOURNAL [DSP-ID]",
    .doc = "List the dispatches, or show one whole with the records it cites.\v"
           "DSP-ID is what a page shows, such as DSP-54E470, or the beginning of a dispatch's full id.",
};

/* The hex digits of "DSP-54E470", "DSP·54E470" or "54e470…", in lower case. */
static void normalise(const char *id, char out[65]) {
    size_t n = 0;
    if (strncasecmp(id, "DSP", 3) == 0)
        for (id += 3; *id && !isxdigit((unsigned char)*id); id++)
            ;
    for (; *id && n < 64; id++)
        out[n++] = (char)tolower((unsigned char)*id);
    out[n] = 0;
}

static json_t *body_json(sqlite3_stmt *row, int column) {
    struct telex_bytes body = {sqlite3_column_blob(row, column), (uint64_t)sqlite3_column_bytes(row, column)};
    struct telex_map map;
    if (telex_map_open(&map, body) < 0)
        return NULL;
    json_t *value = telex_json_from(map.root);
    telex_map_close(&map);
    return value;
}

/* The newest version of each record that the dispatch lists under "citations". */
static json_t *cited_records(sqlite3_stmt *get, const json_t *dispatch) {
    json_t *records = json_array(), *citation;
    size_t i;
    json_array_foreach(json_object_get(dispatch, "citations"), i, citation) {
        const char *id = json_string_value(json_object_get(citation, "record"));
        if (!id)
            continue;
        sqlite3_bind_text(get, 1, id, -1, SQLITE_STATIC);
        if (sqlite3_step(get) == SQLITE_ROW)
            json_array_append_new(records, body_json(get, 0));
        sqlite3_reset(get);
    }
    return records;
}

/* Dispatch id -> the printed id that the wire gave it, from its events. */
static json_t *printed_ids(struct journal_view *view) {
    json_t *ids = json_object();
    sqlite3_stmt *row = view_query(view, "SELECT body FROM msg WHERE schema = 'telex.event/1' ORDER BY seq");
    while (sqlite3_step(row) == SQLITE_ROW) {
        json_t *event = body_json(row, 0);
        const char *id = json_string_value(json_object_get(event, "id"));
        json_t *printed = json_object_get(event, "dsp");
        if (id && json_is_string(printed))
            json_object_set(ids, id, printed);
        json_decref(event);
    }
    sqlite3_finalize(row);
    return ids;
}

static void print_sentences(const json_t *sentences) {
    size_t i, k;
    json_t *sentence, *citation;
    json_array_foreach(sentences, i, sentence) {
        printf("  %s", cli_text(sentence, "text", ""));
        json_array_foreach(json_object_get(sentence, "citations"), k, citation)
            printf(" [%.8s %lld-%lld]", cli_text(citation, "record", ""),
                   (long long)json_integer_value(json_object_get(citation, "start")),
                   (long long)json_integer_value(json_object_get(citation, "end")));
        printf("\n");
    }
}

/* "DSP·54E470", or the beginning of the full id while it is not published. */
static void format_printed(char *out, size_t size, const json_t *ids, const json_t *dispatch) {
    const char *printed = json_string_value(json_object_get(ids, cli_text(dispatch, "id", "")));
    if (printed)
        snprintf(out, size, "%s%s", strncmp(printed, "DSP", 3) == 0 ? "" : "DSP·", printed);
    else
        snprintf(out, size, "(%.8s)", cli_text(dispatch, "id", ""));
}

static void print_whole(const char *printed, const json_t *dispatch, const json_t *records) {
    size_t i;
    json_t *item;
    printf("%s  version %lld  %s  %s\n\n%s\n\n%s\n\n%s\n\n", printed,
           (long long)json_integer_value(json_object_get(dispatch, "version")),
           cli_text(dispatch, "beat", ""), cli_text(dispatch, "status", ""),
           cli_text(dispatch, "headline", ""), cli_text(dispatch, "dek", ""),
           cli_text(dispatch, "section_heading", ""));
    json_array_foreach(json_object_get(dispatch, "body"), i, item)
        print_sentences(json_is_array(item) ? item : json_object_get(item, "sentences"));
    json_array_foreach(json_object_get(dispatch, "faq"), i, item) {
        printf("\n%s\n", cli_text(item, "question", ""));
        print_sentences(json_object_get(item, "answer"));
    }
    printf("\n%s\n", cli_text(dispatch, "methodology", ""));
    json_array_foreach(records, i, item) printf("\n---- record %s ----\n%s\n%s\n", cli_text(item, "id", ""),
                                                cli_text(item, "title", ""), cli_text(item, "text", ""));
}

static void print_line(const char *printed, const json_t *dispatch) {
    printf("%s  v%-3lld %-9s %-24.24s %s\n", printed,
           (long long)json_integer_value(json_object_get(dispatch, "version")),
           cli_text(dispatch, "status", ""), cli_text(dispatch, "beat", ""),
           cli_text(dispatch, "headline", ""));
}

static int show(struct journal_view *view, const struct arguments *a) {
    char prefix[65] = "";
    size_t n = 0;
    json_t *ids = printed_ids(view);
    if (a->id)
        normalise(a->id, prefix);
    sqlite3_stmt *get = view_query(view, "SELECT body FROM msg WHERE id = ? AND schema = 'telex.record/1'"
                                         " ORDER BY version DESC, seq DESC LIMIT 1");
    sqlite3_stmt *row = view_query(view, "SELECT body, max(version * 1000000000 + seq) FROM msg"
                                         " WHERE schema = 'telex.dispatch/1' GROUP BY id ORDER BY min(seq)");
    while (sqlite3_step(row) == SQLITE_ROW) {
        json_t *dispatch = body_json(row, 0);
        if (dispatch && strncmp(cli_text(dispatch, "id", ""), prefix, strlen(prefix)) == 0) {
            char printed[64];
            n++;
            format_printed(printed, sizeof(printed), ids, dispatch);
            json_t *records = a->json || a->id ? cited_records(get, dispatch) : NULL;
            if (a->json) {
                json_t *line =
                    json_pack("{s:s, s:O, s:O}", "dsp", printed, "dispatch", dispatch, "records", records);
                json_dumpf(line, stdout, JSON_COMPACT);
                putchar('\n');
                json_decref(line);
            } else if (a->id)
                print_whole(printed, dispatch, records);
            else
                print_line(printed, dispatch);
            json_decref(records);
        }
        json_decref(dispatch);
    }
    sqlite3_finalize(row);
    sqlite3_finalize(get);
    json_decref(ids);
    if (n == 0 && a->id) {
        fprintf(stderr, "telex dispatches: no dispatch %s in %s\n", a->id, view->path);
        return EXIT_FAILED;
    }
    return EXIT_FINE;
}

int cmd_dispatches(int argc, char **argv) {
    struct arguments a = {0};
    struct journal_view view;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code == 0)
        code = view_open(&view, "dispatches", a.what);
    if (code != 0)
        return code == VIEW_EMPTY ? EXIT_FINE : code;
    code = show(&view, &a);
    view_close(&view);
    return code;
}

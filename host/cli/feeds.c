/* SPDX-License-Identifier: Apache-2.0 */
/* feeds.c - `telex feeds`: how each feed that a pipeline follows is doing.
 *
 * Read from what signal-feed keeps in the journal (plugins/signal-feed/state.c): "feed/KEY" is a map for each
 * feed of the list, "site/NAME" the moment before which a site wants no question. Read only, beside a host or
 * without. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "journal_view.h"

enum { AGO_BYTES = 40 };

#include <telex-sdk/json.h>

struct arguments {
    const char *what;
    bool json, opml;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "one JSON object a feed", 0},
    {"opml", 'o', NULL, 0, "the feeds as OPML, for other readers and for `feeds_file`", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    case 'o':
        a->opml = true;
        return 0;
    case ARGP_KEY_ARG:
        if (a->what)
            argp_error(state, "one pipeline at a time");
        a->what = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->what)
            argp_error(state, "which pipeline? give its config or its journal");
        if (a->json && a->opml)
            argp_error(state, "either --json or --opml");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CONFIG|JOURNAL",
    .doc =
        "Show the feeds that a pipeline follows: health, last success, next question, records given, why.\v"
        "Health is ok, new (not asked yet), failing (with the failures in a row), waiting (its site asked "
        "for a "
        "pause) or gone. \"week\" is how many items of its last document were of the seven days before it. A "
        "feed is "
        "listed once the pipeline has run with it.",
};

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* The host of an address without user and port, lower case not needed: the state writes it so. */
static bool is_of_site(const char *url, const char *site) {
    const char *host = strstr(url, "://");
    size_t n, m = strlen(site);
    if (!host)
        return false;
    host += 3;
    n = strcspn(host, ":/?#");
    if (*host == '[')
        n = strcspn(host, "]") + 1;
    return n >= m && !strncasecmp(host + n - m, site, m) && (n == m || host[n - m - 1] == '.');
}

/* The moment before which the feed's site wants no question; 0: none. `sites` is of the feed's stage. */
static int64_t site_wish(const json_t *sites, const char *url) {
    const char *site;
    json_t *until;
    int64_t most = 0;
    json_object_foreach((json_t *)(uintptr_t)sites, site, until) {
        if (is_of_site(url, site) && json_integer_value(until) > most)
            most = json_integer_value(until);
    }
    return most;
}

/* Stage -> site -> moment. */
static json_t *read_sites(struct journal_view *view) {
    json_t *stages = json_object();
    sqlite3_stmt *row = view_query(
        view, "SELECT stage, CAST(substr(key, 6) AS TEXT), CAST(CAST(value AS TEXT) AS INTEGER) FROM kv"
              " WHERE key >= CAST('site/' AS BLOB) AND key < CAST('site0' AS BLOB)");
    while (sqlite3_step(row) == SQLITE_ROW) {
        const char *stage = (const char *)sqlite3_column_text(row, 0);
        const char *site = (const char *)sqlite3_column_text(row, 1);
        json_t *sites = json_object_get(stages, stage);
        if (!sites) {
            sites = json_object();
            json_object_set_new(stages, stage, sites);
        }
        json_object_set_new(sites, site ? site : "", json_integer(sqlite3_column_int64(row, 2)));
    }
    sqlite3_finalize(row);
    return stages;
}

static const char *health(const json_t *feed, int64_t wish_ms, int64_t now) {
    if (json_is_true(json_object_get(feed, "gone")))
        return "gone";
    if (wish_ms > now)
        return "waiting";
    if (cli_int(feed, "fails"))
        return "failing";
    return cli_int(feed, "last_ms") ? "ok" : "new";
}

/* What the command says of one feed, from what the state says. NULL when it is no feed of ours. */
static json_t *describe(const char *stage, const json_t *feed, const json_t *sites, int64_t now) {
    const char *url = cli_text(feed, "url", "");
    if (!*cli_text(feed, "address", "") || !*url)
        return NULL;
    int64_t wish = site_wish(sites, url), next = cli_int(feed, "next_ms");
    const char *state = health(feed, wish, now);
    json_t *at = strcmp(state, "gone") == 0 ? json_null() : json_integer(wish > next ? wish : next);
    json_t *ok = cli_int(feed, "ok_ms") ? json_integer(cli_int(feed, "ok_ms")) : json_null();
    json_t *last = cli_int(feed, "last_ms") ? json_integer(cli_int(feed, "last_ms")) : json_null();
    const char *name = *cli_text(feed, "name", "") ? cli_text(feed, "name", "") : cli_text(feed, "title", "");
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:s}", "stage", stage,
                     "address", cli_text(feed, "address", ""), "url", url, "name", name, "home",
                     cli_text(feed, "home", ""), "health", state, "last_success_ms", ok, "last_asked_ms",
                     last, "next_ms", at, "failures", (json_int_t)cli_int(feed, "fails"), "records",
                     (json_int_t)cli_int(feed, "records"), "edits", (json_int_t)cli_int(feed, "edits"),
                     "week", (json_int_t)cli_int(feed, "week"), "why", cli_text(feed, "why", ""));
}

static int by_address(const void *a, const void *b) {
    json_t *const *x = a, *const *y = b;
    return strcmp(cli_text(*x, "address", ""), cli_text(*y, "address", ""));
}

/* All feeds, sorted by address. */
static json_t *read_feeds(struct journal_view *view, int64_t now) {
    json_t *stages = read_sites(view), *sorted = json_array();
    json_t **list = NULL;
    size_t n = 0;
    sqlite3_stmt *row = view_query(view, "SELECT stage, value FROM kv WHERE key >= CAST('feed/' AS BLOB)"
                                         " AND key < CAST('feed0' AS BLOB)");
    while (sqlite3_step(row) == SQLITE_ROW) {
        const char *stage = (const char *)sqlite3_column_text(row, 0);
        struct telex_bytes body = {sqlite3_column_blob(row, 1), (uint64_t)sqlite3_column_bytes(row, 1)};
        struct telex_map map;
        if (telex_map_open(&map, body) < 0)
            continue;
        json_t *kept = telex_json_from(map.root);
        json_t *feed = kept ? describe(stage, kept, json_object_get(stages, stage), now) : NULL;
        json_decref(kept);
        telex_map_close(&map);
        json_t **more = feed ? realloc(list, (n + 1) * sizeof(*list)) : NULL;
        if (!more) {
            json_decref(feed);
            continue;
        }
        list = more;
        list[n++] = feed;
    }
    sqlite3_finalize(row);
    json_decref(stages);
    if (n)
        qsort(list, n, sizeof(*list), by_address);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(sorted, list[i]);
    free(list);
    return sorted;
}

/* "12 min ago", "in 3 h", "-". */
static void ago(char out[AGO_BYTES], const json_t *moment, int64_t now) {
    int64_t ms = json_integer_value(moment) - now, minutes = (llabs(ms) + 30000) / 60000;
    const char *before = ms > 0 ? "in " : "", *behind = ms > 0 ? "" : " ago";
    if (!json_is_integer(moment))
        snprintf(out, AGO_BYTES, "-");
    else if (minutes < 120)
        snprintf(out, AGO_BYTES, "%s%" PRId64 " min%s", before, minutes, behind);
    else if (minutes < 48 * 60)
        snprintf(out, AGO_BYTES, "%s%" PRId64 " h%s", before, minutes / 60, behind);
    else
        snprintf(out, AGO_BYTES, "%s%" PRId64 " d%s", before, minutes / 1440, behind);
}

static void print_table(const json_t *feeds, int64_t now) {
    size_t i, n = json_array_size(feeds), fine = 0;
    json_t *feed;
    if (n)
        printf("%-12s %-12s %-12s %8s %6s %5s  %s\n", "health", "success", "next", "records", "edits", "week",
               "feed");
    json_array_foreach(feeds, i, feed) {
        char state[32], success[AGO_BYTES], next[AGO_BYTES];
        const json_t *at = json_object_get(feed, "next_ms");
        snprintf(state, sizeof(state), "%s", cli_text(feed, "health", ""));
        if (strcmp(state, "failing") == 0)
            snprintf(state, sizeof(state), "failing %lld", cli_int(feed, "failures"));
        ago(success, json_object_get(feed, "last_success_ms"), now);
        ago(next, at, now);
        if (json_is_integer(at) && json_integer_value(at) <= now)
            snprintf(next, sizeof(next), "now");
        printf("%-12s %-12s %-12s %8lld %6lld %5lld  %s%s%s\n", state, success, next,
               cli_int(feed, "records"), cli_int(feed, "edits"), cli_int(feed, "week"),
               cli_text(feed, "address", ""), *cli_text(feed, "name", "") ? "  " : "",
               cli_text(feed, "name", ""));
        if (strcmp(cli_text(feed, "address", ""), cli_text(feed, "url", "")) != 0)
            printf("%12s moved to %s\n", "", cli_text(feed, "url", ""));
        if (*cli_text(feed, "why", "") && strcmp(cli_text(feed, "why", ""), "unchanged") != 0)
            printf("%12s %s\n", "", cli_text(feed, "why", ""));
        fine += strcmp(state, "ok") == 0;
    }
    printf(n ? "%zu feeds, %zu of them ok\n" : "this pipeline follows no feeds, or has not asked any yet\n",
           n, fine);
}

static void print_escaped(const char *text) {
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", stdout);
        else if (*text == '<')
            fputs("&lt;", stdout);
        else if (*text == '"')
            fputs("&quot;", stdout);
        else
            putchar(*text);
    }
}

static void print_attribute(const char *name, const char *value) {
    if (!*value)
        return;
    printf(" %s=\"", name);
    print_escaped(value);
    putchar('"');
}

/* OPML 2.0 (opml.org/spec2.opml). A feed that is gone is left out; one that moved stands at its new address.
 */
static void print_opml(const json_t *feeds) {
    size_t i;
    json_t *feed;
    puts("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml "
         "version=\"2.0\">\n<head><title>telex</title></head>\n<body>");
    json_array_foreach(feeds, i, feed) {
        const char *name =
            *cli_text(feed, "name", "") ? cli_text(feed, "name", "") : cli_text(feed, "url", "");
        if (strcmp(cli_text(feed, "health", ""), "gone") == 0)
            continue;
        printf("<outline type=\"rss\"");
        print_attribute("text", name);
        print_attribute("xmlUrl", cli_text(feed, "url", ""));
        print_attribute("htmlUrl", cli_text(feed, "home", ""));
        puts("/>");
    }
    puts("</body>\n</opml>");
}

int cmd_feeds(int argc, char **argv) {
    struct arguments a = {0};
    struct journal_view view;
    int64_t now = now_ms();
    size_t i;
    json_t *feed;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code == 0)
        code = view_open(&view, "feeds", a.what);
    if (code != 0)
        return code == VIEW_EMPTY ? EXIT_FINE : code;
    json_t *feeds = read_feeds(&view, now);
    if (a.opml)
        print_opml(feeds);
    else if (!a.json)
        print_table(feeds, now);
    else
        json_array_foreach(feeds, i, feed) {
            json_dumpf(feed, stdout, JSON_COMPACT);
            putchar('\n');
        }
    json_decref(feeds);
    view_close(&view);
    return EXIT_FINE;
}

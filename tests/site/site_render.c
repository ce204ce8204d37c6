/* SPDX-License-Identifier: Apache-2.0 */
/* site_render.c - the site without a host: dispatches as JSON lines on stdin, pages below a root.
 *
 *   site-render ROOT STORE [key=value]...   keys: base title publisher time (event|clock) now_ms feed_items
 *                                           front_items precompress crash (accepted|rendered|settled)
 * STORE is one JSON file that is replaced by each commit, so that a run cut short resumes as a plugin
 * would. With crash=POINT the program leaves at that point of the first publication without a word to the
 * store. Events go to stdout when they are committed; what was refused goes to stderr. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "site.h"

static struct {
    const char *path, *crash;
    json_t *keys;
    int64_t now_ms;
} run;

static json_t *store_get(void *ctx, const char *key) {
    (void)ctx;
    return json_incref(json_object_get(run.keys, key));
}

static int store_put(void *ctx, const char *key, const json_t *value) {
    (void)ctx;
    return json_object_set_new(run.keys, key, json_deep_copy(value)) == 0 ? 0 : -ENOMEM;
}

static int store_del(void *ctx, const char *key) {
    (void)ctx;
    json_object_del(run.keys, key);
    return 0;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int store_scan(void *ctx, const char *prefix, int (*visit)(void *arg, const char *key, json_t *value),
                      void *arg) {
    const char *key, **keys = calloc(json_object_size(run.keys) + 1, sizeof(*keys));
    json_t *value;
    size_t n = 0;
    (void)ctx;
    json_object_foreach(run.keys, key, value) {
        if (strncmp(key, prefix, strlen(prefix)) == 0)
            keys[n++] = key;
    }
    qsort(keys, n, sizeof(*keys), by_bytes);
    for (size_t i = 0; i < n; i++)
        if (visit(arg, keys[i], json_object_get(run.keys, keys[i])) != 0)
            break;
    free(keys);
    return 0;
}

static void commit(void) {
    char temp[4096];
    snprintf(temp, sizeof(temp), "%s.new", run.path);
    if (json_dump_file(run.keys, temp, JSON_SORT_KEYS) != 0 || rename(temp, run.path) != 0)
        exit(3);
}

static void crash_at(const char *point) {
    if (run.crash && strcmp(run.crash, point) == 0)
        _exit(9);
}

static int publish_pending(struct site *site) {
    char why[512] = "";
    json_t *entry, *files;
    while ((entry = site_pending(site))) {
        if (site_render(site, entry, &files, why, sizeof(why)) != 0) {
            fprintf(stderr, "%s\n", why);
            json_decref(entry);
            return 4;
        }
        crash_at("rendered");
        json_t *event = site_event(site, entry, files);
        if (!event || site_settle(site, entry, files) != 0)
            return 5;
        crash_at("settled");
        commit();
        char *line = json_dumps(event, JSON_SORT_KEYS | JSON_COMPACT);
        printf("%s\n", line);
        free(line);
        json_decref(event);
        json_decref(files);
        json_decref(entry);
    }
    return 0;
}

static const char *word(int argc, char **argv, const char *key, const char *standard) {
    size_t n = strlen(key);
    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return standard;
}

static int accept_line(struct site *site, const char *line) {
    char why[512] = "";
    json_error_t error;
    json_t *dispatch = json_loads(line, JSON_ALLOW_NUL, &error), *entry = NULL;
    if (!dispatch) {
        fprintf(stderr, "not JSON: %s\n", error.text);
        return 0;
    }
    int err = site_accept(site, dispatch, run.now_ms, &entry, why, sizeof(why));
    json_decref(dispatch);
    if (err <= 0)
        fprintf(stderr, "%s: %s\n", err == 0 ? "nothing to do" : "refused", why);
    json_decref(entry);
    if (err < 0 && err != -EBADMSG)
        return 6;
    commit();
    if (err == 1)
        crash_at("accepted");
    return publish_pending(site);
}

int main(int argc, char **argv) {
    char why[512] = "", *line = NULL;
    size_t room = 0;
    struct site *site;
    if (argc < 3)
        return 2;
    run.path = argv[2];
    run.crash = word(argc, argv, "crash", NULL);
    run.now_ms = strtoll(word(argc, argv, "now_ms", "4102444800000"), NULL, 10);
    run.keys = json_load_file(run.path, 0, NULL);
    if (!run.keys)
        run.keys = json_object();
    struct site_config config = {
        .root = argv[1],
        .base = word(argc, argv, "base", "https://wire.example"),
        .title = word(argc, argv, "title", "telex"),
        .tagline = word(argc, argv, "tagline", "An autonomous news wire. Every sentence cites its records."),
        .publisher = word(argc, argv, "publisher", ""),
        .contact = word(argc, argv, "contact", ""),
        .front_items = atoll(word(argc, argv, "front_items", "40")),
        .feed_items = atoll(word(argc, argv, "feed_items", "30")),
        .event_time = strcmp(word(argc, argv, "time", "event"), "event") == 0,
        .precompress = strcmp(word(argc, argv, "precompress", "no"), "yes") == 0,
    };
    struct site_store store = {.get = store_get, .put = store_put, .del = store_del, .scan = store_scan};
    int err = site_open(&config, &store, &site, why, sizeof(why));
    if (!err)
        err = site_refresh(site, why, sizeof(why));
    if (err) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    err = publish_pending(site);
    while (!err && getline(&line, &room, stdin) > 0)
        if (line[0] != '\n')
            err = accept_line(site, line);
    free(line);
    site_close(site);
    json_decref(run.keys);
    return err;
}

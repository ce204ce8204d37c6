/* SPDX-License-Identifier: Apache-2.0 */
/* feed-parse - what the feed parser makes of a file, as JSON lines.
 *
 *     feed-parse [--records] [--url ADDRESS] [--type CONTENT-TYPE] [--lang LANG] [--location ADDRESS] FILE...
 *
 * One object a file with the feed and its items; with --records one telex.record/1 a line. Exit 0 whatever
 * the documents are, 2 on wrong usage, 1 when a file cannot be read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <telex-sdk/json.h>

#include "feed.h"
#include "record.h"

static int read_file(const char *path, struct buf *out) {
    char chunk[65536];
    FILE *file = fopen(path, "rb");
    if (!file)
        return -errno;
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(out, chunk, n);
    int err = ferror(file) ? -EIO : 0;
    fclose(file);
    return err;
}

static json_t *time_of(int64_t ms) {
    return ms == DATE_NONE ? json_null() : json_integer(ms);
}

static json_t *item_json(const struct feed_item *item) {
    json_t *links = json_array();
    for (size_t i = 0; i < item->n_links; i++)
        json_array_append_new(links, json_string(item->links[i]));
    return json_pack("{ss ss ss ss ss ss ss ss ss ss ss ss ss sb sb so so so}", "guid", item->guid, "link",
                     item->link, "origin", item->origin, "title", item->title, "author", item->author,
                     "summary", item->summary, "content", item->content, "lang", item->lang, "title_lang",
                     item->title_lang, "summary_lang", item->summary_lang, "content_lang", item->content_lang,
                     "published", item->published_text, "updated", item->updated_text, "guid_is_link",
                     item->guid_is_link, "truncated", item->truncated, "published_ms",
                     time_of(item->published_ms), "updated_ms", time_of(item->updated_ms), "links", links);
}

static void print_feed(const char *path, const struct feed *feed, int err) {
    json_t *items = json_array();
    for (size_t i = 0; i < feed->n_items; i++)
        json_array_append_new(items, item_json(&feed->items[i]));
    json_t *all = json_pack(
        "{ss si ss ss ss ss ss ss ss ss ss ss ss ss ss ss ss sb sb so so so}", "file", path, "status", err,
        "kind", feed_kind_name(feed->kind), "title", feed->title, "subtitle", feed->subtitle, "link",
        feed->link, "id", feed->id, "author", feed->author, "lang", feed->lang, "title_lang",
        feed->title_lang, "subtitle_lang", feed->subtitle_lang, "published", feed->published_text, "updated",
        feed->updated_text, "hub", feed->hub, "moved", feed->moved, "encoding", feed->encoding, "problem",
        feed->problem, "repaired", feed->repaired, "truncated", feed->truncated, "published_ms",
        time_of(feed->published_ms), "updated_ms", time_of(feed->updated_ms), "items", items);
    char *line = all ? json_dumps(all, JSON_COMPACT) : NULL;
    puts(line ? line : "{\"error\":\"output is not valid\"}");
    free(line);
    json_decref(all);
}

static void print_records(struct feed *feed, const char *url) {
    struct record_source source = {.address = url, .fetched_ms = DATE_NONE};
    for (size_t i = 0; i < feed->n_items; i++) {
        struct record record;
        struct telex_builder b;
        if (!record_fill(&record, feed, i, &source))
            continue;
        telex_build_init(&b);
        record_write(&record, 1, &b);
        char *line = telex_json_line(telex_build_body(&b));
        puts(line ? line : "{}");
        free(line);
        telex_build_finish(&b);
    }
}

int main(int argc, char **argv) {
    struct feed_hints hints = {0};
    bool records = false;
    int at = 1;
    for (; at < argc && !strncmp(argv[at], "--", 2); at++) {
        const char **to = !strcmp(argv[at], "--url")        ? &hints.url
                          : !strcmp(argv[at], "--type")     ? &hints.content_type
                          : !strcmp(argv[at], "--lang")     ? &hints.content_language
                          : !strcmp(argv[at], "--location") ? &hints.content_location
                                                            : NULL;
        if (!strcmp(argv[at], "--records"))
            records = true;
        else if (to && at + 1 < argc)
            *to = argv[++at];
        else
            return 2;
    }
    if (at == argc)
        return 2;
    for (; at < argc; at++) {
        struct buf data = {.limit = 0};
        struct feed feed;
        int err = read_file(argv[at], &data);
        if (err) {
            fprintf(stderr, "feed-parse: %s: %s\n", argv[at], strerror(-err));
            return 1;
        }
        err = feed_parse(&feed, buf_text(&data), data.len, &hints, NULL);
        if (records)
            print_records(&feed, hints.url);
        else
            print_feed(argv[at], &feed, err);
        feed_finish(&feed);
        buf_finish(&data);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* feed-json.c - JSON Feed 1.0 and 1.1.
 *
 * A scan bounds depth and number of values before jansson allocates anything for them. */
#include "feed-xml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "url.h"

#define VALUES_MAX       500000
#define FIELD_TEXT_BYTES 4096

/* True when the text nests at most `depth` deep and holds at most VALUES_MAX values. */
static bool is_tame(const char *json, size_t n, size_t depth_max) {
    size_t depth = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = json[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            values++;
            if (++depth > depth_max)
                return false;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
    }
    return values <= VALUES_MAX;
}

/* A string member, or "" for anything else but an id's number. */
static const char *member(struct feed *feed, const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value))
        return json_string_value(value);
    if (!json_is_number(value) || strcmp(key, "id") != 0)
        return "";
    char *text = json_dumps(value, JSON_ENCODE_ANY), *kept = arena_text(&feed->arena, text ? text : "");
    free(text);
    return kept ? kept : "";
}

static const char *line(struct feed *feed, const json_t *object, const char *key) {
    const char *text = member(feed, object, key);
    return feed_text(feed, text, strlen(text), true, FIELD_TEXT_BYTES, NULL);
}

static const char *address(struct feed *feed, const json_t *object, const char *key, const char *base) {
    const char *text = line(feed, object, key);
    const char *url = *text ? url_resolve(&feed->arena, base, text) : NULL;
    return url ? url : "";
}

/* "authors" of version 1.1, "author" of 1.0, names joined. */
static const char *authors(struct feed *feed, const json_t *object) {
    const json_t *list = json_object_get(object, "authors"), *one = json_object_get(object, "author"),
                 *person;
    struct buf names = {.limit = 512};
    size_t i;
    if (json_is_object(one))
        buf_add_text(&names, line(feed, one, "name"));
    else if (json_is_string(one))
        buf_add_text(&names, json_string_value(one));
    json_array_foreach(list, i, person) {
        const char *name = json_is_object(person) ? line(feed, person, "name") : "";
        if (*name && !strstr(buf_text(&names), name)) {
            buf_add_text(&names, names.len ? ", " : "");
            buf_add_text(&names, name);
        }
    }
    const char *kept = feed_text(feed, buf_text(&names), names.len, true, 512, NULL);
    buf_finish(&names);
    return kept;
}

static void read_item(struct feed *feed, struct feed_item *item, const json_t *value, const char *base,
                      const struct feed_limits *limits) {
    struct html_links links = {.n = 0};
    item->guid = line(feed, value, "id");
    item->link = address(feed, value, "url", base);
    const char *external = address(feed, value, "external_url", base);
    if (!*item->link)
        item->link = url_is_web(item->guid) ? item->guid : external;
    if (*external)
        html_add_link(&links, &feed->arena, base, external);
    item->guid_is_link = url_is_web(item->guid);
    const char *title = member(feed, value, "title"), *summary = member(feed, value, "summary");
    const char *html = member(feed, value, "content_html"), *text = member(feed, value, "content_text");
    item->title = feed_text(feed, title, strlen(title), true, FIELD_TEXT_BYTES, &item->truncated);
    item->summary = feed_text(feed, summary, strlen(summary), false, limits->text_bytes, &item->truncated);
    const char *page = *item->link ? item->link : base;
    if (*html)
        item->content =
            feed_html(feed, html, strlen(html), false, limits->text_bytes, &item->truncated, page, &links);
    else
        item->content = feed_text(feed, text, strlen(text), false, limits->text_bytes, &item->truncated);
    item->author = authors(feed, value);
    item->lang = line(feed, value, "language");
    item->published_text = line(feed, value, "date_published");
    item->updated_text = line(feed, value, "date_modified");
    item->published_ms = date_parse(item->published_text);
    item->updated_ms = date_parse(item->updated_text);
    const char **kept = links.n ? arena_take(&feed->arena, links.n * sizeof(*kept)) : NULL;
    if (kept) {
        memcpy(kept, links.url, links.n * sizeof(*kept));
        item->links = kept;
        item->n_links = links.n;
    }
}

int feed_json_parse(struct feed *feed, const char *json, size_t n, const struct feed_hints *hints,
                    const struct feed_limits *limits) {
    json_error_t error;
    size_t cap = 0, i;
    if (!is_tame(json, n, limits->depth)) {
        feed_problem(feed, "JSON with more than %zu levels or %d values", limits->depth, VALUES_MAX);
        return -EBADMSG;
    }
    json_t *root = json_loadb(json, n, JSON_ALLOW_NUL, &error), *value;
    if (!root) {
        feed_problem(feed, "%d:%d: %s", error.line, error.column, error.text);
        return -EBADMSG;
    }
    json_t *items = json_object_get(root, "items");
    const char *version = member(feed, root, "version");
    const char *title = member(feed, root, "title");
    if (!json_is_array(items) || (!*version && !*title)) {
        feed_problem(feed, "not a feed: JSON without version, title or list of items");
        json_decref(root);
        return -EBADMSG;
    }
    const char *base = hints->url && url_is_web(hints->url) ? hints->url : "";
    feed->kind = FEED_JSON;
    feed->title = line(feed, root, "title");
    feed->subtitle = line(feed, root, "description");
    feed->link = address(feed, root, "home_page_url", base);
    feed->moved = address(feed, root, "feed_url", base);
    feed->id = feed->moved;
    feed->author = authors(feed, root);
    feed->lang = line(feed, root, "language");
    json_array_foreach(items, i, value) {
        if (!json_is_object(value))
            continue;
        struct feed_item *item = feed_add_item(feed, limits, &cap);
        if (!item)
            break;
        read_item(feed, item, value, *base ? base : feed->link, limits);
    }
    json_decref(root);
    return 0;
}

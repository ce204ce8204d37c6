/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c - a feed document to its items.
 *
 * A document is decoded to UTF-8 once and parsed strictly; only if that fails it is mended (repair.c) and
 * parsed once more, and the feed says so. What is handed out never depends on the document being well-formed.
 */
#include "feed.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <sys/random.h>

#include "charset.h"
#include "feed-xml.h"
#include "text.h"

#define DOCUMENT_BYTES ((size_t)16 << 20)
#define ITEMS          10000
#define TEXT_BYTES     ((size_t)256 << 10)
#define MEMORY_BYTES   ((size_t)64 << 20)
#define DEPTH          128
#define ITEMS_START    32

const char *feed_kind_name(enum feed_kind kind) {
    static const char *const names[] = {"unknown", "rss", "rdf", "atom", "cdf", "json"};
    return names[kind];
}

void feed_problem(struct feed *feed, const char *format, ...) {
    if (*feed->problem)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(feed->problem, sizeof(feed->problem), format, args);
    va_end(args);
    for (char *c = feed->problem; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F)
            *c = '?';
}

static void clear_item(struct feed_item *item) {
    *item = (struct feed_item){
        .guid = "",
        .link = "",
        .origin = "",
        .title = "",
        .author = "",
        .summary = "",
        .content = "",
        .lang = "",
        .title_lang = "",
        .summary_lang = "",
        .content_lang = "",
        .published_text = "",
        .updated_text = "",
        .published_ms = DATE_NONE,
        .updated_ms = DATE_NONE,
    };
}

struct feed_item *feed_add_item(struct feed *feed, const struct feed_limits *limits, size_t *cap) {
    if (feed->n_items >= limits->items) {
        feed->truncated = true;
        feed_problem(feed, "more than %zu items; the rest is left out", limits->items);
        return NULL;
    }
    if (feed->n_items == *cap) {
        size_t more = *cap ? *cap * 2 : ITEMS_START;
        struct feed_item *items = realloc(feed->items, more * sizeof(*items));
        if (!items)
            return NULL;
        feed->items = items;
        *cap = more;
    }
    struct feed_item *item = &feed->items[feed->n_items++];
    clear_item(item);
    return item;
}

/* Keep `buf` as a clean string in the arena. */
static const char *keep(struct feed *feed, const struct buf *buf, bool one_line, size_t limit, bool *cut) {
    struct buf *clean = &feed->work[0];
    if (!buf->len)
        return "";
    clean->len = 0;
    clean->full = false;
    text_clean(clean, buf_text(buf), buf->len, one_line ? TEXT_LINE : TEXT_PARAGRAPHS);
    size_t n = text_prefix(buf_text(clean), clean->len, limit);
    if (cut)
        *cut |= n < clean->len || buf->full;
    const char *kept = n ? arena_copy(&feed->arena, clean->data, n) : "";
    if (!kept) {
        feed->truncated = true;
        feed_problem(feed, "text of the feed is larger than its memory limit; the rest is left out");
    }
    return kept ? kept : "";
}

const char *feed_text(struct feed *feed, const char *text, size_t n, bool one_line, size_t limit, bool *cut) {
    struct buf borrowed = {.data = (char *)(uintptr_t)text, .len = n};
    return keep(feed, &borrowed, one_line, limit, cut);
}

const char *feed_html(struct feed *feed, const char *html, size_t n, bool one_line, size_t limit, bool *cut,
                      const char *base, struct html_links *links) {
    struct buf *out = &feed->work[1];
    out->len = 0;
    out->full = false;
    out->limit = 4 * limit;
    if (out->cap > out->limit)
        buf_finish(out); /* left by a field with a higher limit */
    buf_reserve(out, n);
    html_text(out, html, n, base, links, &feed->arena);
    return keep(feed, out, one_line, limit, cut);
}

static void fill_limits(struct feed_limits *full, const struct feed_limits *limits) {
    *full = limits ? *limits : (struct feed_limits){0};
    full->document_bytes = full->document_bytes ? full->document_bytes : DOCUMENT_BYTES;
    full->items = full->items ? full->items : ITEMS;
    full->text_bytes = full->text_bytes ? full->text_bytes : TEXT_BYTES;
    full->memory_bytes = full->memory_bytes ? full->memory_bytes : MEMORY_BYTES;
    full->depth = full->depth ? full->depth : DEPTH;
}

static void clear_feed(struct feed *feed, const struct feed_limits *limits) {
    *feed = (struct feed){
        .title = "",
        .subtitle = "",
        .link = "",
        .id = "",
        .author = "",
        .lang = "",
        .title_lang = "",
        .subtitle_lang = "",
        .published_text = "",
        .updated_text = "",
        .published_ms = DATE_NONE,
        .updated_ms = DATE_NONE,
        .hub = "",
        .moved = "",
        .encoding = "",
        .arena = {.limit = limits->memory_bytes},
    };
}

/* The place of a guid in a table of `cap` (a power of two), or the empty one where it belongs. The hash has a
 * key of its own, so that no document can choose guids that meet. */
static size_t place_of(struct feed_item *const *table, size_t cap, const char *guid,
                       const unsigned char key[crypto_shorthash_KEYBYTES]) {
    uint64_t hash = 0;
    unsigned char bytes[crypto_shorthash_BYTES];
    crypto_shorthash(bytes, (const unsigned char *)guid, strlen(guid), key);
    memcpy(&hash, bytes, sizeof(hash));
    size_t at = (size_t)hash & (cap - 1);
    while (table[at] && strcmp(table[at]->guid, guid) != 0)
        at = (at + 1) & (cap - 1);
    return at;
}

/* A guid that several pages claim says nothing about any of them. */
static void mark_shared(struct feed *feed) {
    unsigned char key[crypto_shorthash_KEYBYTES];
    size_t cap = 4;
    while (cap < 2 * feed->n_items)
        cap *= 2;
    struct feed_item **first = feed->n_items > 1 ? calloc(cap, sizeof(*first)) : NULL;
    if (!first)
        return;
    if (getrandom(key, sizeof(key), 0) < 0)
        memset(key, 0, sizeof(key)); /* costs time with a hostile document, nothing else */
    for (size_t i = 0; i < feed->n_items; i++) {
        struct feed_item *item = &feed->items[i];
        size_t at = place_of(first, cap, item->guid, key);
        if (!first[at])
            first[at] = item;
        else if (*item->guid && strcmp(first[at]->link, item->link) != 0)
            first[at]->guid_is_shared = true;
    }
    for (size_t i = 0; i < feed->n_items; i++)
        feed->items[i].guid_is_shared = first[place_of(first, cap, feed->items[i].guid, key)]->guid_is_shared;
    free(first);
}

int feed_parse(struct feed *feed, const char *data, size_t n, const struct feed_hints *hints,
               const struct feed_limits *given) {
    static const struct feed_hints no_hints;
    struct feed_limits limits;
    struct charset_result charset = {0};
    struct buf utf8 = {.limit = 0};
    fill_limits(&limits, given);
    clear_feed(feed, &limits);
    if (!hints)
        hints = &no_hints;
    if (n > limits.document_bytes) {
        feed_problem(feed, "document of %zu bytes is larger than the limit of %zu", n, limits.document_bytes);
        return -EMSGSIZE;
    }
    utf8.limit = 3 * limits.document_bytes + 64;
    charset_view(&utf8, data, n, hints->content_type, &charset);
    const char *start = charset.as_is ? charset.as_is : buf_text(&utf8);
    const char *end = start + (charset.as_is ? charset.as_is_n : utf8.len);
    while (start < end && isspace((unsigned char)*start))
        start++;
    int err = -EBADMSG;
    if (start == end)
        feed_problem(feed, "the document is empty");
    else if (*start == '{')
        err = feed_json_parse(feed, start, (size_t)(end - start), hints, &limits);
    else if (memchr(start, '<', (size_t)(end - start)))
        err = feed_xml_parse(feed, start, (size_t)(end - start), hints, &limits);
    else
        feed_problem(feed, "neither XML nor JSON");
    feed->encoding = charset.name;
    mark_shared(feed);
    if (charset.repaired && !err) {
        feed->repaired = true;
        feed_problem(feed, "bytes that are not %s were replaced", charset.name);
    }
    buf_finish(&utf8);
    buf_finish(&feed->work[0]);
    buf_finish(&feed->work[1]);
    return err;
}

void feed_finish(struct feed *feed) {
    free(feed->items);
    feed->items = NULL;
    feed->n_items = 0;
    arena_finish(&feed->arena);
}

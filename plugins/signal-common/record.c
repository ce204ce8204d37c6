/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - items to records. Head comment of record.h says what identity means. */
#include "record.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <telex-sdk/id.h>

#include "url.h"

#define FUTURE_MAX_MS (24 * 3600 * 1000ll)

static bool is_global(const char *guid) {
    return url_is_web(guid) || !strncasecmp(guid, "tag:", 4) || !strncasecmp(guid, "urn:", 4) ||
           !strncasecmp(guid, "doi:", 4);
}

/* Behind "https://" or "http://": a page is the same by either way. */
static const char *without_scheme(const char *url) {
    const char *colon = strstr(url, "://");
    return url_is_web(url) && colon ? colon + 3 : url;
}

void record_identify(struct record *r, const char *scope) {
    struct telex_bytes parts[3];
    uint32_t n = 0;
    if (*r->guid) {
        parts[n++] = telex_text("guid");
        parts[n++] = telex_text(is_global(r->guid) ? "" : scope);
        parts[n++] = telex_text(r->guid);
    } else if (*r->canonical) {
        parts[n++] = telex_text("guid"); /* an address and a guid that is that address are the same */
        parts[n++] = telex_text("");
        parts[n++] = telex_text(without_scheme(r->canonical));
    } else {
        parts[n++] = telex_text("text");
        parts[n++] = telex_text(r->title);
        parts[n++] = telex_text(r->text);
    }
    if (url_is_web(r->guid))
        parts[2] = telex_text(without_scheme(r->guid));
    telex_id(r->id, "record", parts, n);
    struct buf all = {.limit = 0};
    const char *const said[] = {r->title, r->author, r->text};
    for (size_t i = 0; i < 3; i++) {
        buf_add_text(&all, said[i]);
        buf_add_byte(&all, 0);
    }
    struct telex_bytes bytes = {(const uint8_t *)buf_text(&all), all.len};
    telex_sha256_hex(r->sha256, bytes);
    buf_finish(&all);
}

/* The item's own times where they can be; in an archive an undated item is as old as its feed says it is. */
static void fill_times(struct record *r, const struct feed *feed, const struct feed_item *item,
                       int64_t fetched_ms) {
    int64_t published = item->published_ms, updated = item->updated_ms;
    if (published == DATE_NONE)
        published = updated;
    if (fetched_ms == DATE_NONE) {
        if (published == DATE_NONE)
            published = feed->updated_ms != DATE_NONE ? feed->updated_ms : feed->published_ms;
        fetched_ms = updated != DATE_NONE ? updated : published;
        fetched_ms = fetched_ms == DATE_NONE ? 0 : fetched_ms;
    } else if (published != DATE_NONE && published > fetched_ms + FUTURE_MAX_MS) {
        published = fetched_ms; /* a clock or a typing error; the future has not been reported yet */
    }
    if (published == DATE_NONE)
        published = fetched_ms;
    if (updated == DATE_NONE || updated < published || updated > fetched_ms + FUTURE_MAX_MS)
        updated = published;
    r->published_ms = published;
    r->updated_ms = updated;
    r->fetched_ms = fetched_ms;
}

/* The language's own name: "en" of "en-US". */
static const char *primary_tag(struct arena *arena, const char *lang) {
    size_t n = 0;
    while (isalpha((unsigned char)lang[n]))
        n++;
    char *tag = n >= 2 && n <= 3 ? arena_copy(arena, lang, n) : NULL;
    for (char *c = tag; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return tag ? tag : "";
}

static const char *first_of(const char *a, const char *b, const char *c) {
    return a && *a ? a : b && *b ? b : c && *c ? c : "";
}

bool record_fill(struct record *r, struct feed *feed, size_t i, const struct record_source *source) {
    struct arena *arena = &feed->arena;
    const struct feed_item *item = &feed->items[i];
    *r = (struct record){.title = item->title, .author = first_of(item->author, feed->author, "")};
    r->text = strlen(item->content) >= strlen(item->summary) ? item->content : item->summary;
    if (!*r->title && !*r->text)
        return false;
    const char *page = url_is_web(item->origin) ? item->origin : item->link;
    const char *clean = *page ? url_canonical(arena, page) : "";
    r->url = url_is_web(page) ? page : "";
    r->canonical = *r->url && clean ? clean : "";
    const char *host = *r->url ? url_host(arena, r->url) : NULL;
    const char *feed_host = url_is_web(source->address) ? url_host(arena, source->address) : NULL;
    if (!feed_host && url_is_web(feed->link))
        feed_host = url_host(arena, feed->link);
    r->outlet =
        first_of(source->outlet, host ? url_outlet(host) : NULL, feed_host ? url_outlet(feed_host) : NULL);
    r->owner = first_of(source->owner, r->outlet, "");
    r->source = first_of(source->name, feed->title, r->outlet);
    r->primary = source->primary;
    r->guid = item->guid_is_shared ? "" : item->guid;
    if (url_is_web(r->guid)) {
        const char *same = url_canonical(arena, r->guid);
        r->guid = same ? same : r->guid;
    }
    r->lang = primary_tag(arena, first_of(item->lang, feed->lang, source->lang));
    r->cut = item->truncated;
    r->links = item->links;
    r->n_links = item->n_links;
    fill_times(r, feed, item, source->fetched_ms);
    const char *scope = host ? host : feed_host;
    record_identify(r, first_of(scope ? url_registrable(scope) : NULL, r->outlet, source->address));
    r->guid = item->guid;
    return true;
}

static void add_text(struct telex_builder *b, const char *key, const char *text) {
    telex_build_key(b, key);
    telex_build_text(b, text ? text : "");
}

static void add_int(struct telex_builder *b, const char *key, int64_t value) {
    telex_build_key(b, key);
    telex_build_int(b, value);
}

void record_write(const struct record *r, uint64_t version, struct telex_builder *b) {
    telex_build_map_begin(b);
    add_text(b, "schema", "telex.record/1");
    add_text(b, "id", r->id);
    add_int(b, "version", (int64_t)version);
    add_text(b, "guid", r->guid);
    add_text(b, "source", r->source);
    add_text(b, "outlet", r->outlet);
    add_text(b, "owner", r->owner);
    telex_build_key(b, "primary");
    telex_build_flag(b, r->primary);
    add_text(b, "url", r->url);
    if (*r->canonical && strcmp(r->canonical, r->url) != 0)
        add_text(b, "canonical", r->canonical);
    add_text(b, "title", r->title);
    add_text(b, "author", r->author);
    add_text(b, "text", r->text);
    add_int(b, "published_ms", r->published_ms);
    add_int(b, "updated_ms", r->updated_ms);
    add_int(b, "fetched_ms", r->fetched_ms);
    add_text(b, "lang", r->lang);
    telex_build_key(b, "links");
    telex_build_array(b, (uint32_t)r->n_links);
    for (size_t i = 0; i < r->n_links; i++)
        telex_build_text(b, r->links[i]);
    for (const char *const *extra = r->extra; extra && extra[0]; extra += 2)
        add_text(b, extra[0], extra[1]);
    add_text(b, "sha256", r->sha256);
    telex_build_map_end(b);
}

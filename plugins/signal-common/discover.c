/* SPDX-License-Identifier: Apache-2.0 */
/* discover.c - feed autodiscovery as browsers and feed readers do it (rssboard.org/rss-autodiscovery). */
#include "discover.h"

#include <string.h>
#include <strings.h>

#include "html-token.h"
#include "url.h"

#define LOOK_BYTES ((size_t)512 << 10)

static const char *const types[] = {"application/rss+xml",   "application/atom+xml",
                                    "application/feed+json", "application/rdf+xml",
                                    "application/json",      "text/xml",
                                    "application/xml",       NULL};

/* What a <link> or <base> says. Values are cut at their buffers' limits. */
struct said {
    struct buf rel, type, href, title;
};

static void read_said(struct said *said, const struct html_tag *tag) {
    struct html_attribute a;
    const char *at = tag->attributes;
    struct buf *const all[] = {&said->rel, &said->type, &said->href, &said->title};
    static const char *const names[] = {"rel", "type", "href", "title"};
    for (size_t i = 0; i < 4; i++) {
        all[i]->len = 0;
        all[i]->full = false;
        all[i]->limit = URL_LIMIT_BYTES + 1;
        buf_add(all[i], "", 0);
    }
    while (html_attribute_next(&a, &at, tag))
        for (size_t i = 0; i < 4; i++)
            if (html_name_is(a.name, a.name_n, names[i]) && !all[i]->len)
                html_value_add(all[i], &a);
}

static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (; *list; list += strcspn(list, " \t\r\n\f"), list += strspn(list, " \t\r\n\f"))
        if (!strncasecmp(list, word, n) && (!list[n] || strchr(" \t\r\n\f", list[n])))
            return true;
    return false;
}

static bool is_feed_type(const char *type) {
    size_t n = strcspn(type, "; \t");
    for (size_t i = 0; types[i]; i++)
        if (html_name_is(type, n, types[i]))
            return true;
    return false;
}

const char *discover_feed(struct arena *arena, const char *html, size_t n, const char *url) {
    const char *end = html + (n < LOOK_BYTES ? n : LOOK_BYTES), *base = url, *comments = NULL, *found = NULL;
    struct said said = {.rel = {0}};
    for (const char *at = memchr(html, '<', (size_t)(end - html)); at && !found;
         at = at < end ? memchr(at, '<', (size_t)(end - at)) : NULL) {
        struct html_tag tag;
        if (!html_tag_read(&tag, at, end)) {
            at++;
            continue;
        }
        at = tag.end;
        bool link = html_name_is(tag.name, tag.n, "link");
        if (tag.closing || !tag.whole || (!link && !html_name_is(tag.name, tag.n, "base")))
            continue;
        read_said(&said, &tag);
        const char *whole =
            said.href.len && !said.href.full ? url_resolve(arena, base, buf_text(&said.href)) : NULL;
        if (!whole || !url_is_web(whole))
            continue;
        if (!link)
            base = whole;
        else if (!has_word(buf_text(&said.rel), "alternate") || !is_feed_type(buf_text(&said.type)))
            continue;
        else if (strcasestr(buf_text(&said.title), "comment") || strcasestr(whole, "comments"))
            comments = comments ? comments : whole;
        else
            found = whole;
    }
    buf_finish(&said.rel);
    buf_finish(&said.type);
    buf_finish(&said.href);
    buf_finish(&said.title);
    return found ? found : comments;
}

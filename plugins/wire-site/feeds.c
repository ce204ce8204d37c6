/* SPDX-License-Identifier: Apache-2.0 */
/* feeds.c - the wire for feed readers and crawlers.
 *
 * An item's id is made from the dispatch's id alone, so neither an update nor another address makes it
 * new. A withdrawn dispatch stays for two days as a notice, in Atom as a deleted entry; those days are
 * counted in the wire's own time, so the bytes do not depend on when a feed is written. */
#include "internal.h"

#include <string.h>

/* What stands where the text was. */
static const char *gone_text(const struct entry *entry) {
    return strcmp(entry->act, "merge") == 0      ? "This story goes on in another dispatch."
           : strcmp(entry->act, "withhold") == 0 ? "This dispatch is withheld while it is being checked."
                                                 : "This dispatch was withdrawn.";
}

static void put_link(struct text *html, const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES], address[ADDRESS_BYTES], printed[64];
    address_of_dispatch(entry, path);
    address_absolute(site, path, address);
    address_printed(entry, printed);
    text_put(html, "<a href=\"%h\">%h</a>", address, printed);
}

/* What the page says of a split, with whole addresses. */
static void put_split(struct text *html, const struct site *site, const struct entry *entry) {
    const struct entry *parts[RELATED_MAX], *origin = related_origin(site, entry);
    size_t n = related_parts(site, entry, parts);
    if (origin) {
        text_put(html, "<p>Split from ");
        put_link(html, site, origin);
        text_put(html, ".</p>\n");
    }
    for (size_t i = 0; i < n; i++) {
        text_put(html, i == 0 ? "<p>Part of this story moved to " : ", ");
        put_link(html, site, parts[i]);
    }
    text_put(html, n > 0 ? ".</p>\n" : "");
}

/* The text of an item as HTML: the split, dek, heading, body, answers, sources, label. */
static void put_content(struct text *html, const struct site *site, const struct entry *entry) {
    const json_t *dispatch = entry->dispatch, *part;
    const char *heading = json_text(dispatch, "section_heading");
    char host[128];
    size_t i;
    if (!entry_is(entry, "usable")) {
        text_put(html, "<p>%r %h</p>", gone_text(entry), entry->note);
        return;
    }
    if (entry->corrected_ms > 0)
        text_put(html, "<p><strong>Correction:</strong> %h</p>\n", entry->corrected_note);
    put_split(html, site, entry);
    if (*entry->dek)
        text_put(html, "<p><em>%h</em></p>\n", entry->dek);
    if (*heading)
        text_put(html, "<h2>%h</h2>\n", heading);
    page_body(html, dispatch, NULL);
    json_array_foreach(json_object_get(dispatch, "faq"), i, part) {
        text_put(html, "<h3>%h</h3>\n", json_text(part, "question"));
        page_answer(html, dispatch, i, NULL);
    }
    text_put(html, "<ol>");
    json_array_foreach(json_object_get(dispatch, "citations"), i, part) {
        const char *title = *json_text(part, "title") ? json_text(part, "title") : citation_record(part);
        if (*citation_address(part))
            text_put(html, "<li><a href=\"%u\">%h</a>, %h</li>", citation_address(part), title,
                     citation_outlet(part, host));
        else
            text_put(html, "<li>%h, %h</li>", title, citation_outlet(part, host));
    }
    text_put(html, "</ol>\n<p>Written by an AI system. No human editor reviewed it before publication.</p>");
}

static const char *title_of(const struct entry *entry) {
    return entry_is(entry, "usable")             ? entry->headline
           : strcmp(entry->act, "merge") == 0    ? "Merged"
           : strcmp(entry->act, "withhold") == 0 ? "Withheld"
                                                 : "Withdrawn";
}

/* --- RSS ----------------------------------------------------------------------------------- */

static void put_rss_item(struct text *out, const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES], address[ADDRESS_BYTES], urn[64];
    struct text html = {0};
    address_of_dispatch(entry, path);
    address_absolute(site, path, address);
    address_urn(entry, urn);
    put_content(&html, site, entry);
    text_put(
        out,
        "<item>\n<title>%h</title>\n<link>%h</link>\n<description>%h</description>\n<guid "
        "isPermaLink=\"false\">%h</guid>\n<pubDate>%T</pubDate>\n<dc:creator>%h</dc:creator>\n<category>%h"
        "</category>\n<content:encoded>%h</content:encoded>\n</item>\n",
        title_of(entry), address, entry_is(entry, "usable") ? entry->dek : gone_text(entry), urn,
        entry->first_time_ms, *site->config.publisher ? site->config.publisher : site->config.title,
        entry->beat, html.data);
    text_finish(&html);
}

void feed_rss(struct text *out, const struct site *site, json_t *const *items, size_t count) {
    text_put(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\" "
        "xmlns:atom=\"http://www.w3.org/2005/Atom\" "
        "xmlns:content=\"http://purl.org/rss/1.0/modules/content/\" "
        "xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n<channel>\n<title>%h</title>\n<link>%h/</link>\n"
        "<description>%h</description>\n<language>en</language>\n<lastBuildDate>%T</lastBuildDate>\n"
        "<generator>telex</generator>\n<ttl>5</ttl>\n<atom:link rel=\"self\" type=\"application/rss+xml\" "
        "href=\"%h/feed.rss\"/>\n",
        site->config.title, site->config.base, site->config.tagline, site->newest_ms, site->config.base);
    for (size_t i = 0; i < count; i++) {
        struct entry entry;
        if (entry_read(&entry, items[i]) == 0)
            put_rss_item(out, site, &entry);
        entry_finish(&entry);
    }
    text_put(out, "</channel>\n</rss>\n");
}

/* --- Atom ---------------------------------------------------------------------------------- */

/* RFC 4287, 4.2.7.2: "related". */
static void put_atom_link(struct text *out, const struct site *site, const struct entry *other,
                          const char *title) {
    char path[ADDRESS_BYTES], address[ADDRESS_BYTES], printed[64];
    address_of_dispatch(other, path);
    address_absolute(site, path, address);
    address_printed(other, printed);
    text_put(out, "<link rel=\"related\" type=\"text/html\" href=\"%h\" title=\"%r %h\"/>\n", address, title,
             printed);
}

static void put_atom_related(struct text *out, const struct site *site, const struct entry *entry) {
    const struct entry *parts[RELATED_MAX], *origin = related_origin(site, entry);
    size_t n = related_parts(site, entry, parts);
    if (origin)
        put_atom_link(out, site, origin, "Split from");
    for (size_t i = 0; i < n; i++)
        put_atom_link(out, site, parts[i], "Part moved to");
}

static void put_atom_entry(struct text *out, const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES], address[ADDRESS_BYTES], urn[64];
    struct text html = {0};
    address_of_dispatch(entry, path);
    address_absolute(site, path, address);
    address_urn(entry, urn);
    if (!entry_is(entry, "usable")) {
        text_put(out,
                 "<at:deleted-entry ref=\"%h\" when=\"%t\">\n<at:comment>%r "
                 "%h</at:comment>\n</at:deleted-entry>\n",
                 urn, entry->time_ms, gone_text(entry), entry->note);
        return;
    }
    put_content(&html, site, entry);
    text_put(
        out,
        "<entry xml:lang=\"%h\">\n<id>%h</id>\n<title>%h</title>\n<link rel=\"alternate\" type=\"text/html\" "
        "href=\"%h\"/>\n",
        entry->lang, urn, entry->headline, address);
    put_atom_related(out, site, entry);
    text_put(out,
             "<published>%t</published>\n<updated>%t</updated>\n<category "
             "term=\"%h\"/>\n<summary>%h"
             "</summary>\n<content type=\"html\">%h</content>\n</entry>\n",
             entry->first_time_ms, entry->time_ms, entry->beat, entry->dek, html.data);
    text_finish(&html);
}

void feed_atom(struct text *out, const struct site *site, json_t *const *items, size_t count) {
    text_put(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" "
        "xmlns:at=\"http://purl.org/atompub/tombstones/1.0\">\n<id>%h/</id>\n<title>%h</title>\n<subtitle>%h"
        "</subtitle>\n<updated>%t</updated>\n<link rel=\"self\" type=\"application/atom+xml\" "
        "href=\"%h/feed.atom\"/>\n<link rel=\"alternate\" type=\"text/html\" href=\"%h/\"/>\n<author><name>%h"
        "</name></author>\n<generator>telex</generator>\n<rights>Written by an AI system from cited records."
        "</rights>\n",
        site->config.base, site->config.title, site->config.tagline, site->newest_ms, site->config.base,
        site->config.base, *site->config.publisher ? site->config.publisher : site->config.title);
    for (size_t i = 0; i < count; i++) {
        struct entry entry;
        if (entry_read(&entry, items[i]) == 0)
            put_atom_entry(out, site, &entry);
        entry_finish(&entry);
    }
    text_put(out, "</feed>\n");
}

/* --- JSON Feed ----------------------------------------------------------------------------- */

static json_t *time_text(int64_t ms) {
    struct text out = {0};
    text_put(&out, "%t", ms);
    json_t *value = json_string(out.data);
    text_finish(&out);
    return value;
}

static json_t *json_item(const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES], address[ADDRESS_BYTES], evidence[ADDRESS_BYTES], urn[64];
    struct text html = {0};
    address_of_dispatch(entry, path);
    address_absolute(site, path, address);
    snprintf(evidence, sizeof(evidence), "%.400sevidence.json", address);
    address_urn(entry, urn);
    put_content(&html, site, entry);
    json_t *item = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:[s], s:s, s:{s:I, s:I, s:s, s:s, s:I, s:I, s:s, s:s}}", "id", urn,
        "url", address, "title", title_of(entry), "content_html", html.data ? html.data : "",
        "date_published", time_text(entry->first_time_ms), "date_modified", time_text(entry->time_ms), "tags",
        entry->beat, "language", entry->lang, "_wire", "seq", (json_int_t)entry->seq, "version",
        (json_int_t)entry->version, "status", entry->status, "act", entry->act, "records",
        (json_int_t)entry->records, "web_citations", (json_int_t)entry->web, "evidence_url", evidence,
        "digital_source_type", "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia");
    json_t *split = machine_split(site, entry);
    if (item && split)
        json_object_update(json_object_get(item, "_wire"), split);
    json_decref(split);
    if (item && entry_is(entry, "usable") && *entry->dek)
        json_object_set_new(item, "summary", json_string(entry->dek));
    text_finish(&html);
    return item;
}

void feed_json(struct text *out, const struct site *site, json_t *const *items, size_t count) {
    char home[ADDRESS_BYTES], self[ADDRESS_BYTES];
    address_absolute(site, "", home);
    address_absolute(site, "feed.json", self);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        struct entry entry;
        if (entry_read(&entry, items[i]) == 0)
            json_array_append_new(list, json_item(site, &entry));
        entry_finish(&entry);
    }
    json_t *feed =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[{s:s}], s:o}", "version",
                  "https://jsonfeed.org/version/1.1", "title", site->config.title, "home_page_url", home,
                  "feed_url", self, "description", site->config.tagline, "language", "en", "authors", "name",
                  *site->config.publisher ? site->config.publisher : site->config.title, "items", list);
    text_json(out, feed, false, true);
    json_decref(feed);
}

/* --- for crawlers -------------------------------------------------------------------------- */

void feed_news_sitemap(struct text *out, const struct site *site) {
    size_t shown = 0;
    text_put(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset "
                  "xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" "
                  "xmlns:news=\"http://www.google.com/schemas/sitemap-news/0.9\">\n");
    for (size_t i = 0; i < site->count && shown < NEWS_ITEMS; i++) {
        const struct entry *entry = index_newest(site, i);
        if (!entry_is_listed(entry) || entry->first_time_ms < site->newest_ms - NEWS_WINDOW_MS)
            continue;
        text_put(
            out,
            "<url><loc>%h/d/%h/</loc><news:news><news:publication><news:name>%h</news:name><news:language>%h"
            "</news:language></news:publication><news:publication_date>%t</"
            "news:publication_date><news:title>%h"
            "</news:title></news:news></url>\n",
            site->config.base, entry->dsp, site->config.title, entry->lang, entry->first_time_ms,
            entry->headline);
        shown++;
    }
    text_put(out, "</urlset>\n");
}

void feed_sitemap(struct text *out, const struct site *site) {
    static const char *const sections[] = {"", "beat/", "archive/", "corrections/", "method/"};
    text_put(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset "
                  "xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
        text_put(out, "<url><loc>%h/%r</loc></url>\n", site->config.base, sections[i]);
    size_t shown = 0;
    for (size_t i = 0; i < site->count && shown < SITEMAP_ITEMS; i++) {
        const struct entry *entry = index_newest(site, i);
        if (!entry_is(entry, "usable"))
            continue;
        text_put(out, "<url><loc>%h/d/%h/</loc><lastmod>%t</lastmod></url>\n", site->config.base, entry->dsp,
                 entry->time_ms);
        shown++;
    }
    text_put(out, "</urlset>\n");
}

void feed_robots(struct text *out, const struct site *site) {
    text_put(
        out,
        "User-agent: *\nAllow: /\nDisallow: /live\n\nSitemap: %r/sitemap.xml\nSitemap: %r/news-sitemap.xml\n",
        site->config.base, site->config.base);
}

/* What a watchdog compares with the journal: is the page that readers see the newest one? */
void feed_status(struct text *out, const struct site *site) {
    json_t *status =
        json_pack("{s:s, s:I, s:I, s:o}", "schema", "telex.status/1", "seq", (json_int_t)site->last_seq,
                  "dispatches", (json_int_t)site->count, "newest", time_text(site->newest_ms));
    text_json(out, status, false, true);
    json_decref(status);
}

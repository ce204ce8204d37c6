/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the files of the site share: its index, and who writes which page. */
#ifndef WIRE_SITE_INTERNAL_H
#define WIRE_SITE_INTERNAL_H

#include "site.h"

enum { BEAT_ITEMS = 60, SITEMAP_ITEMS = 5000, NEWS_ITEMS = 1000, HISTORY_MAX = 200, ADDRESS_BYTES = 512 };
static const int64_t NEWS_WINDOW_MS = 2 * 86400000LL;
static const int64_t TOMBSTONE_WINDOW_MS = 2 * 86400000LL;

struct site {
    struct site_config config;
    struct site_store store;
    struct files files;
    struct entry *entries; /* owned summaries, by rising first_seq: the order of publication */
    size_t count, room;
    json_t *ties;                       /* owned: the id of a dispatch to the ids of those that name it */
    int64_t last_seq, newest_ms;        /* of what is published */
    char css[48], script[48], icon[48]; /* asset paths */
    char theme[65];                     /* digest of all that decides a page beside its record */
};

/* index.c - the published entries in memory, as summaries. */
int index_load(struct site *site);
int index_update(struct site *site, const json_t *entry_json); /* put or replace by dispatch id */
const struct entry *index_find(const struct site *site, const char *id);
void index_finish(struct site *site);
/* Pages walk the index from the newest: i runs from 0 to count - 1. */
static inline const struct entry *index_newest(const struct site *site, size_t i) {
    return &site->entries[site->count - 1 - i];
}
/* The whole published entry of a summary, from the store. Gives it. */
json_t *index_whole(const struct site *site, const struct entry *summary);

/* related.c - what one dispatch says of another: it was split from it, merged into it or overtaken by it. */
enum { RELATED_MAX = 32 };
int related_load(struct site *site); /* what the store remembers of it; once, at the start */
/* Remember for the dispatch that `dispatch` names, which may come later, that this one names it. */
int related_note(struct site *site, const json_t *dispatch);
/* The published dispatch whose story this one left; NULL where there is none. */
const struct entry *related_origin(const struct site *site, const struct entry *entry);
/* Published, listed dispatches that were split from this one, in the order of publication. Their number. */
size_t related_parts(const struct site *site, const struct entry *entry,
                     const struct entry *parts[RELATED_MAX]);
/* Published dispatches whose pages say something else now that `entry` is what it is: at most RELATED_MAX
 * that name it, and the one that it was split from. Their number. */
size_t related_pages(const struct site *site, const struct entry *entry,
                     const struct entry *pages[RELATED_MAX + 1]);

/* address.c - where everything is. */
void address_of_dispatch(const struct entry *entry, char path[ADDRESS_BYTES]); /* "d/54e470/" */
void address_absolute(const struct site *site, const char *path, char out[ADDRESS_BYTES]);
void address_urn(const struct entry *entry, char out[64]);     /* urn:uuid:..., never changes */
void address_printed(const struct entry *entry, char out[64]); /* DSP·54E470 */

/* chrome.c - what every page begins and ends with. `up` leads from the page to the root. */
struct page {
    const char *title, *description, *path, *up, *name; /* name: which part of the site, for the menu */
    bool noindex;
    const char *live;        /* "front", "dispatch" or NULL */
    const struct text *head; /* more for the head, or NULL */
    const char *lang;
    int64_t seq;
    const char *id;
};
void page_begin(struct text *out, const struct site *site, const struct page *page);
void page_end(struct text *out, const struct site *site, const struct page *page);
void page_counts(struct text *out, const struct entry *entry); /* 5 records · 4 web citations */
void page_time(struct text *out, int64_t ms, bool with_day);
bool page_is_long(const char *headline);           /* to be set smaller */
void page_label(struct text *out, const char *up); /* the visible AI label */

/* page.c */
void page_dispatch(struct text *out, const struct site *site, const struct entry *entry);
/* Paragraphs with their citation markers, as HTML; markers link to `sources` + number, NULL: no markers. */
void page_body(struct text *out, const json_t *dispatch, const char *sources);
void page_answer(struct text *out, const json_t *dispatch, size_t faq, const char *sources);

/* lists.c */
void list_front(struct text *out, const struct site *site);
void list_beats(struct text *out, const struct site *site);
void list_beat(struct text *out, const struct site *site, const char *slug);
void list_archive(struct text *out, const struct site *site);
void list_day(struct text *out, const struct site *site, const char *day);
void list_corrections(struct text *out, const struct site *site);

/* method.c */
void page_method(struct text *out, const struct site *site);
void page_missing(struct text *out, const struct site *site);

/* machine.c */
void machine_dispatch(struct text *out, const struct entry *entry);
void machine_ninjs(struct text *out, const struct site *site, const struct entry *entry);
void machine_evidence(struct text *out, const struct site *site, const struct entry *entry);
/* {split_from: {dsp, id, url}, split_into: [...]} as far as published, {} where nothing was split. Gives. */
json_t *machine_split(const struct site *site, const struct entry *entry);
json_t *machine_linked_data(const struct site *site, const struct entry *entry); /* gives */

/* feeds.c */
void feed_rss(struct text *out, const struct site *site, json_t *const *items, size_t count);
void feed_atom(struct text *out, const struct site *site, json_t *const *items, size_t count);
void feed_json(struct text *out, const struct site *site, json_t *const *items, size_t count);
void feed_news_sitemap(struct text *out, const struct site *site);
void feed_sitemap(struct text *out, const struct site *site);
void feed_robots(struct text *out, const struct site *site);
void feed_status(struct text *out, const struct site *site);

/* assets/, embedded */
extern const char asset_site_css[], asset_live_js[], asset_icon_svg[];
extern const size_t asset_site_css_bytes, asset_live_js_bytes, asset_icon_svg_bytes;

#endif

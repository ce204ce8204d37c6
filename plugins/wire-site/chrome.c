/* SPDX-License-Identifier: Apache-2.0 */
/* chrome.c - the head, masthead and foot that every page shares.
 *
 * Links inside the site are relative, so a copy of the folder works under any mount and from a disk;
 * only what leaves the page (canonical, feeds, cards) carries the public address. */
#include "internal.h"

#include <string.h>

enum { LONG_BYTES = 70 };

static const struct {
    const char *name, *path, *label;
} sections[] = {
    {"front", "", "Live wire"},         {"beats", "beat/", "Beats"},
    {"archive", "archive/", "Archive"}, {"corrections", "corrections/", "Corrections"},
    {"method", "method/", "Method"},
};

static void put_head(struct text *out, const struct site *site, const struct page *page) {
    const struct site_config *config = &site->config;
    bool is_front = strcmp(page->path, "") == 0;
    text_put(out,
             "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%h%r%h</title>\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
             "<meta name=\"color-scheme\" content=\"light dark\">\n"
             "<meta name=\"theme-color\" content=\"#faf8f3\" media=\"(prefers-color-scheme: light)\">\n"
             "<meta name=\"theme-color\" content=\"#131211\" media=\"(prefers-color-scheme: dark)\">\n"
             "<meta name=\"description\" content=\"%h\">\n",
             is_front ? config->title : page->title, " \xe2\x80\x94 ",
             is_front ? config->tagline : config->title, page->description);
    text_put(out, page->noindex ? "<meta name=\"robots\" content=\"noindex\">\n"
                                : "<meta name=\"robots\" content=\"max-image-preview:large\">\n");
    text_put(out, "<link rel=\"canonical\" href=\"%h/%h\">\n", config->base, page->path);
    text_put(
        out,
        "<link rel=\"stylesheet\" href=\"%h%h\">\n<link rel=\"icon\" type=\"image/svg+xml\" href=\"%h%h\">\n",
        page->up, site->css, page->up, site->icon);
    text_put(
        out,
        "<link rel=\"alternate\" type=\"application/rss+xml\" title=\"%h: RSS\" href=\"%h/feed.rss\">\n"
        "<link rel=\"alternate\" type=\"application/atom+xml\" title=\"%h: Atom\" href=\"%h/feed.atom\">\n"
        "<link rel=\"alternate\" type=\"application/feed+json\" title=\"%h: JSON Feed\" "
        "href=\"%h/feed.json\">\n",
        config->title, config->base, config->title, config->base, config->title, config->base);
    text_put(
        out,
        "<meta property=\"og:site_name\" content=\"%h\">\n<meta property=\"og:title\" content=\"%h\">\n"
        "<meta property=\"og:description\" content=\"%h\">\n<meta property=\"og:url\" content=\"%h/%h\">\n",
        config->title, is_front ? config->title : page->title, page->description, config->base, page->path);
    if (page->head)
        text_add(out, page->head->data, page->head->bytes);
    if (page->live)
        text_put(out, "<script src=\"%h%h\" defer></script>\n", page->up, site->script);
    text_put(out, "</head>\n");
}

void page_begin(struct text *out, const struct site *site, const struct page *page) {
    put_head(out, site, page);
    text_put(out, "<body data-root=\"%h\"", page->up);
    if (page->live)
        text_put(out, " data-live=\"%r\" data-seq=\"%d\"", page->live, page->seq);
    text_put(
        out,
        ">\n<a class=\"skip\" href=\"#main\">Skip to the news</a>\n<header class=\"mast\"><div "
        "class=\"wrap\">\n"
        "<p class=\"brand\"><a class=\"wordmark\" href=\"%h\">%h</a> <span class=\"tagline\">%h</span></p>\n"
        "<nav aria-label=\"Sections\"><ul>",
        page->up, site->config.title, site->config.tagline);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        bool here = page->name && strcmp(page->name, sections[i].name) == 0;
        text_put(out, "<li><a href=\"%h%r\"%r>%r</a></li>", page->up, sections[i].path,
                 here ? " aria-current=\"true\"" : "", sections[i].label);
    }
    text_put(out, "</ul></nav>\n</div></header>\n<main id=\"main\" class=\"wrap\">\n");
    if (page->live)
        text_put(out, "<div id=\"live\" class=\"live\" role=\"status\" hidden></div>\n");
}

void page_end(struct text *out, const struct site *site, const struct page *page) {
    static const char *const stages[][3] = {
        {"signal", "Signal", "records come in"},
        {"cluster", "Cluster", "one story, many records"},
        {"write", "Write", "a model writes, a gate checks"},
        {"wire", "Wire", "published with its evidence"},
    };
    text_put(out, "</main>\n<footer class=\"foot\"><div class=\"wrap\">\n<ol class=\"stages\" "
                  "aria-label=\"How a dispatch is made\">");
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
        text_put(out, "<li><a href=\"%hmethod/#%r\">%r</a> <span>%r</span></li>", page->up, stages[i][0],
                 stages[i][1], stages[i][2]);
    text_put(
        out,
        "</ol>\n<p class=\"small\">%h is written by an AI system from cited records. No human editor "
        "intervenes "
        "before publication.%r%h%r</p>\n<ul class=\"feeds\"><li><a href=\"%hfeed.rss\">RSS</a></li><li><a "
        "href=\"%hfeed.atom\">Atom</a></li><li><a href=\"%hfeed.json\">JSON Feed</a></li><li><a "
        "href=\"%hstatus.json\">Status</a></li></ul>\n</div></footer>\n</body>\n</html>\n",
        site->config.title, *site->config.publisher ? " Published by " : "", site->config.publisher,
        *site->config.publisher ? "." : "", page->up, page->up, page->up, page->up);
}

bool page_is_long(const char *headline) {
    return strlen(headline) > LONG_BYTES;
}

void page_counts(struct text *out, const struct entry *entry) {
    text_put(out, "<span class=\"counts\">%d %r \xc2\xb7 %d web %r</span>", entry->records,
             entry->records == 1 ? "record" : "records", entry->web,
             entry->web == 1 ? "citation" : "citations");
}

void page_time(struct text *out, int64_t ms, bool with_day) {
    text_put(out, "<time datetime=\"%t\">", ms);
    if (with_day)
        text_put(out, "%D, ", ms);
    text_put(out, "%M\xc2\xa0UTC</time>", ms);
}

void page_label(struct text *out, const char *up) {
    text_put(
        out,
        "<p class=\"label\"><strong>Written by an AI system.</strong> No human editor reviewed it before "
        "publication. <a href=\"%hmethod/\">How this wire works</a></p>\n",
        up);
}

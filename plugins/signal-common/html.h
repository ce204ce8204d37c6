/* SPDX-License-Identifier: Apache-2.0 */
/* html.h - the text that a reader of an HTML fragment would see, and where its links go. */
#ifndef SIGNAL_HTML_H
#define SIGNAL_HTML_H

#include "buf.h"

#define HTML_LINKS_MAX 64

/* Outbound links in the order of their first mention. */
struct html_links {
    const char *url[HTML_LINKS_MAX]; /* absolute http(s) addresses, in the arena that html_text was given */
    size_t n;
};

/* Append the visible text of n bytes of HTML, not cleaned yet (see text.h): a line feed for <br>, a blank
 * line between paragraphs; nothing of script, style, templates, form fields, comments, alt texts, or elements
 * hidden by attribute or style. Adds the links of <a>, resolved against `base` (may be NULL), to `links` (may
 * be NULL). Any input is fine; markup too deep or too large for a tree is read flat. */
void html_text(struct buf *out, const char *html, size_t n, const char *base, struct html_links *links,
               struct arena *arena);

/* The same through gumbo's tree, which html_text leaves out where a shorter way gives the same text. False:
 * the markup was too deep or too large for a tree and was read flat, without links. */
bool html_tree_text(struct buf *out, const char *html, size_t n, const char *base, struct html_links *links,
                    struct arena *arena);

/* True when a text of unknown type reads like HTML: it closes a tag or has a character reference, and every
 * tag in it is one of HTML's. */
bool html_is_likely(const char *text, size_t n);

/* Add one link if it is new, absolute, http(s), and there is room. */
void html_add_link(struct html_links *links, struct arena *arena, const char *base, const char *href);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* html-plain.h - the text of ordinary HTML without a tree. Internal to html.c. */
#ifndef SIGNAL_HTML_PLAIN_H
#define SIGNAL_HTML_PLAIN_H

#include "html.h"

/* Append the visible text of n bytes of HTML and its links, as html_text does, if the fragment is such that
 * the tree of HTML's parser would give the same text. False: it is not; `out` and `links` are as they were.
 */
bool html_plain(struct buf *out, const char *html, size_t n, const char *base, struct html_links *links,
                struct arena *arena);

/* True when a style makes its element invisible. html.c */
bool html_style_hides(const char *style);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* discover.h - the feed that a page names. */
#ifndef SIGNAL_DISCOVER_H
#define SIGNAL_DISCOVER_H

#include "buf.h"

/* The address of the feed that an HTML page of n bytes names by <link rel="alternate" type="...">: the first
 * that is not of comments, else the first. Absolute against the page's <base>, else `url`. In the arena; NULL
 * when there is none, or the text is no HTML. Only the first 512 KiB are looked at. */
const char *discover_feed(struct arena *arena, const char *html, size_t n, const char *url);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - addresses: relative to absolute, one spelling for one page, and whose page it is. */
#ifndef SIGNAL_URL_H
#define SIGNAL_URL_H

#include "buf.h"

#define URL_LIMIT_BYTES 2048

/* `relative` against `base` (NULL or empty: none), white space around it removed, as a copy in `arena`. An
 * address of another scheme (tag:, urn:, mailto:) comes back as it is. NULL when it is longer than
 * URL_LIMIT_BYTES. */
const char *url_resolve(struct arena *arena, const char *base, const char *relative);

/* True for an absolute http or https address without user and password. */
bool url_is_web(const char *url);

/* One spelling: scheme and host in lower case, no default port, no fragment, no tracking parameters (utm_*,
 * mtm_*, fbclid, gclid, mc_cid ..., ref and source that name the page's own site). Any other address is
 * copied. NULL only without memory. */
const char *url_canonical(struct arena *arena, const char *url);

/* The host of a web address in lower case, or NULL. An international name stays as it is written. */
const char *url_host(struct arena *arena, const char *url);

/* The part of a host that one owner registered: the public suffix and one label. Hosts that are addresses
 * come back whole. Points into `host`. `url_registrable` treats hosting services as one owner (a.tumblr.com
 * -> tumblr.com), as politeness wants it; `url_outlet` treats their customers as owners (a.tumblr.com), as
 * readers do. */
const char *url_registrable(const char *host);
const char *url_outlet(const char *host);

#endif

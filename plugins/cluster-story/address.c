/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - when two web addresses are one page.
 *
 * Only what never names another page is left out: the scheme, "www.", "m.", the default port, the fragment, a
 * trailing slash, and parameters that say where a reader came from. Everything else counts, byte for byte. */
#include "text.h"

#include <string.h>
#include <strings.h>

enum { ADDRESS_BYTES = 2048 };

static const char *const tracking[] = {"utm_",    "mtm_",   "fbclid",  "gclid", "mc_cid",
                                       "mc_eid",  "igshid", "ref",     "cmpid", "source",
                                       "soc_src", "ncid",   "feature", "ito",   "at_"};

static bool tracks(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof(tracking) / sizeof(tracking[0]); i++) {
        size_t n = strlen(tracking[i]);
        bool prefix = tracking[i][n - 1] == '_';
        if ((prefix ? len >= n : len == n) && strncasecmp(name, tracking[i], n) == 0)
            return true;
    }
    return false;
}

static size_t find(const char *data, size_t len, const char *any) {
    size_t i = 0;
    for (; i < len; i++) {
        for (const char *stop = any; *stop; stop++) {
            if (data[i] == *stop)
                return i;
        }
    }
    return i;
}

uint64_t text_url_hash(struct text_slice url) {
    char canon[ADDRESS_BYTES];
    size_t n = 0, i = 0;
    if (url.len < 8 || url.len > ADDRESS_BYTES || memchr(url.data, 0, url.len))
        return 0;
    if (strncasecmp(url.data, "https://", 8) == 0)
        i = 8;
    else if (strncasecmp(url.data, "http://", 7) == 0)
        i = 7;
    else
        return 0;
    if (url.len - i > 4 && strncasecmp(url.data + i, "www.", 4) == 0)
        i += 4;
    else if (url.len - i > 2 && strncasecmp(url.data + i, "m.", 2) == 0)
        i += 2;
    size_t host = find(url.data + i, url.len - i, "/?#:");
    for (size_t k = 0; k < host; k++) {
        char c = url.data[i + k];
        canon[n++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    i += host;
    if (url.len - i >= 3 && memcmp(url.data + i, ":80", 3) == 0 &&
        (url.len - i == 3 || url.data[i + 3] == '/'))
        i += 3;
    else if (url.len - i >= 4 && memcmp(url.data + i, ":443", 4) == 0 &&
             (url.len - i == 4 || url.data[i + 4] == '/'))
        i += 4;
    size_t path = find(url.data + i, url.len - i, "?#");
    memcpy(canon + n, url.data + i, path);
    n += path;
    i += path;
    while (n > host && canon[n - 1] == '/')
        n--;
    bool first = true;
    while (i < url.len && url.data[i] != '#') {
        i++; /* ? or & */
        size_t part = find(url.data + i, url.len - i, "&#");
        size_t name = find(url.data + i, part, "=");
        if (part && !tracks(url.data + i, name)) {
            canon[n++] = first ? '?' : '&';
            memcpy(canon + n, url.data + i, part);
            n += part;
            first = false;
        }
        i += part;
    }
    return n ? text_hash(canon, n) : 0;
}

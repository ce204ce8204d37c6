/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - addresses, by libcurl's parser, so that what is compared is what is fetched.
 *
 * No address longer than URL_LIMIT_BYTES is handed out. */
#include "url.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

/* Query parameters that say where a click came from and nothing about the page. A trailing '*' is a prefix.
 */
static const char *const tracking[] = {
    "utm_*",
    "mtm_*",
    "matomo_*",
    "pk_*",
    "piwik_*",
    "hsa_*",
    "oly_*",
    "vero_*",
    "at_medium",
    "at_campaign",
    "at_custom*",
    "fbclid",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "msclkid",
    "yclid",
    "ysclid",
    "twclid",
    "ttclid",
    "igshid",
    "igsh",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "_hsenc",
    "_hsmi",
    "__hstc",
    "__hssc",
    "__hsfp",
    "hsctatracking",
    "s_cid",
    "ns_*",
    "wt_mc",
    "wt_zmc",
    "cmpid",
    "cmp",
    "campaign_id",
    "sr_share",
    "ocid",
    "_openstat",
    "itm_*",
    "ref_src",
    "ref_url",
    "guccounter",
    "guce_referrer",
    "guce_referrer_sig",
    "spm",
    "xtor",
    "sc_cid",
    "ncid",
    "smid",
    "smtyp",
    "taid",
    "cvid",
    "_branch_match_id",
    "rss",
    "feedtype",
    "feedname",
};

static bool is_tracking(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof(tracking) / sizeof(*tracking); i++) {
        size_t len = strlen(tracking[i]);
        if (tracking[i][len - 1] == '*' ? n >= len - 1 && !strncasecmp(name, tracking[i], len - 1)
                                        : n == len && !strncasecmp(name, tracking[i], len))
            return true;
    }
    return false;
}

bool url_is_web(const char *url) {
    if (!url)
        return false;
    size_t n = !strncasecmp(url, "https://", 8) ? 8 : !strncasecmp(url, "http://", 7) ? 7 : 0;
    if (!n || !url[n] || url[n] == '/' || url[n] == '?' || url[n] == '#')
        return false;
    return !memchr(url + n, '@', strcspn(url + n, "/?#\\"));
}

/* True for "scheme:" of any kind. */
static bool has_scheme(const char *url) {
    size_t n = 0;
    while (isalnum((unsigned char)url[n]) || (n && (url[n] == '+' || url[n] == '-' || url[n] == '.')))
        n++;
    return n > 1 && isalpha((unsigned char)url[0]) && url[n] == ':';
}

static char *part(CURLU *url, CURLUPart what, unsigned flags) {
    char *text = NULL;
    if (!curl_url_get(url, what, &text, flags))
        return text;
    curl_free(text); /* some failures leave one */
    return NULL;
}

const char *url_resolve(struct arena *arena, const char *base, const char *relative) {
    while (isspace((unsigned char)*relative))
        relative++;
    size_t n = strlen(relative);
    while (n && isspace((unsigned char)relative[n - 1]))
        n--;
    if (n > URL_LIMIT_BYTES)
        return NULL;
    const char *copy = arena_copy(arena, relative, n);
    if (!copy || has_scheme(copy) || !base || !url_is_web(base))
        return copy;
    CURLU *url = curl_url();
    char *whole = NULL;
    const char *result = copy;
    if (url && !curl_url_set(url, CURLUPART_URL, base, CURLU_URLENCODE) &&
        !curl_url_set(url, CURLUPART_URL, *copy ? copy : base, CURLU_URLENCODE) &&
        (whole = part(url, CURLUPART_URL, 0)))
        result = strlen(whole) <= URL_LIMIT_BYTES ? arena_text(arena, whole) : NULL;
    curl_free(whole);
    curl_url_cleanup(url);
    return result;
}

/* True when the value of a "ref" or "source" parameter names the page's own site, or a feed: it is no
 * content. */
static bool names_feed(const char *value, size_t n) {
    static const char *const names[] = {"rss", "feed", "atom", "rssfeed", "feedburner"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strlen(names[i]) == n && !strncasecmp(value, names[i], n))
            return true;
    return false;
}

static bool is_self(const char *name, size_t name_bytes, const char *value, size_t n, const char *host) {
    bool may = (name_bytes == 3 && !strncasecmp(name, "ref", 3)) ||
               (name_bytes == 6 && !strncasecmp(name, "source", 6));
    if (!may)
        return false;
    const char *own = url_registrable(host);
    return names_feed(value, n) || (n == strlen(own) && !strncasecmp(value, own, n)) ||
           (n == strlen(host) && !strncasecmp(value, host, n));
}

/* The query without tracking parameters, in the order in which it came. */
static void keep_query(struct buf *out, const char *query, const char *host) {
    while (*query) {
        size_t n = strcspn(query, "&"), name = strcspn(query, "=&");
        const char *value = query + name + (query[name] == '=');
        if (n && !is_tracking(query, name) &&
            !is_self(query, name, value, (size_t)(query + n - value), host)) {
            buf_add_byte(out, out->len ? '&' : '?');
            buf_add(out, query, n);
        }
        query += n + (query[n] == '&');
    }
}

/* The host in lower case; freed with curl_free. International names stay as they are written: libcurl's
 * conversion depends on the process's locale, and an id must not. */
static char *host_of(CURLU *url) {
    char *host = part(url, CURLUPART_HOST, 0);
    for (char *c = host; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return host;
}

const char *url_canonical(struct arena *arena, const char *text) {
    CURLU *url = url_is_web(text) ? curl_url() : NULL;
    if (!url || curl_url_set(url, CURLUPART_URL, text, CURLU_URLENCODE)) {
        curl_url_cleanup(url);
        return arena_text(arena, text);
    }
    struct buf out = {.limit = 2 * URL_LIMIT_BYTES}, kept = {.limit = URL_LIMIT_BYTES};
    char *scheme = part(url, CURLUPART_SCHEME, 0), *host = host_of(url), *path = part(url, CURLUPART_PATH, 0);
    char *port = part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT), *query = part(url, CURLUPART_QUERY, 0);
    const char *result = NULL;
    if (scheme && host && path) {
        buf_add_text(&out, scheme);
        buf_add_text(&out, "://");
        buf_add_text(&out, host);
        if (port) {
            buf_add_byte(&out, ':');
            buf_add_text(&out, port);
        }
        buf_add_text(&out, path);
        if (query)
            keep_query(&kept, query, host);
        buf_add(&out, buf_text(&kept), kept.len);
        result = out.full || kept.full ? NULL : arena_copy(arena, buf_text(&out), out.len);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(path);
    curl_free(port);
    curl_free(query);
    buf_finish(&out);
    buf_finish(&kept);
    curl_url_cleanup(url);
    return result ? result : arena_text(arena, text);
}

const char *url_host(struct arena *arena, const char *text) {
    CURLU *url = url_is_web(text) ? curl_url() : NULL;
    const char *result = NULL;
    if (url && !curl_url_set(url, CURLUPART_URL, text, CURLU_URLENCODE)) {
        char *host = host_of(url);
        result = arena_text(arena, host);
        curl_free(host);
    }
    curl_url_cleanup(url);
    return result;
}

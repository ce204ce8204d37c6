/* SPDX-License-Identifier: Apache-2.0 */
/* domain.c - whose host is it: a small stand-in for the Public Suffix List.
 *
 * The whole list has some 10,000 entries and changes weekly. Here a public suffix is the last label; or the
 * last two where the last is a country's and the one before it is a word that registries use there (co, com,
 * org, gov, ac ...) or the pair is listed below. That errs for a few rarely used suffixes, where it takes the
 * registry for the owner. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "url.h"

/* Second labels that registries of countries use as a class of names. */
static const char *const classes[] = {
    "ac",  "asn",  "co",     "com", "edu", "gob",    "gouv", "gov", "govt", "gub",   "gv",   "go",
    "id",  "info", "int",    "ltd", "mil", "muni",   "ne",   "net", "nhs",  "nic",   "nom",  "or",
    "org", "plc",  "police", "pro", "sch", "school", "web",  "ind", "firm", "gen",   "biz",  "ed",
    "lg",  "ad",   "gr",     "art", "adv", "blog",   "eco",  "tv",  "iwi",  "maori", "geek", "kiwi",
    "law", "me",   "mod",    "mp",  "k12", "re",     "pe",   "kg",  "res",  "nsw",   "vic",  "qld",
};

/* Countries in which those words can be anybody's name. */
static const char *const open_countries[] = {"de", "nl", "ch", "eu", "be", "dk", "cz", "io",
                                             "me", "tv", "ai", "co", "fm", "ly", "us", "ca",
                                             "fr", "it", "es", "se", "no", "fi"};

/* Pairs in those countries that are registries all the same. */
static const char *const pairs[] = {"com.de", "co.nl",   "com.co",  "net.co", "org.co", "edu.co", "gov.co",
                                    "com.fr", "asso.fr", "gouv.fr", "com.es", "nom.es", "org.es", "gob.es",
                                    "edu.es", "gov.it",  "edu.it",  "co.ca",  "gc.ca",  "co.dk",  "com.se",
                                    "com.ai", "org.ai",  "net.ai",  "co.no",  "com.io", "com.tv", "com.ly",
                                    "gov.ly", "co.me",   "org.me",  "net.me"};

/* Services whose customers have a host of their own. */
static const char *const services[] = {
    "tumblr.com",     "wordpress.com",     "substack.com",      "medium.com",      "github.io",
    "gitlab.io",      "livejournal.com",   "typepad.com",       "netlify.app",     "vercel.app",
    "pages.dev",      "workers.dev",       "web.app",           "firebaseapp.com", "herokuapp.com",
    "ghost.io",       "beehiiv.com",       "hatenablog.com",    "hatenablog.jp",   "wixsite.com",
    "weebly.com",     "squarespace.com",   "over-blog.com",     "canalblog.com",   "cloudfront.net",
    "amazonaws.com",  "azurewebsites.net", "blog.jp",           "bearblog.dev",    "micro.blog",
    "dreamwidth.org", "neocities.org",     "codeberg.page",     "readthedocs.io",  "fly.dev",
    "onrender.com",   "buttondown.email",  "write.as",          "svbtle.com",      "posthaven.com",
    "libsyn.com",     "podbean.com",       "buzzsprout.com",    "blogs.com",       "home.blog",
    "news.blog",      "tech.blog",         "surge.sh",          "sourceforge.io",  "sourceforge.net",
    "altervista.org", "free.fr",           "000webhostapp.com",
};

static bool listed(const char *const *list, size_t n, const char *name, size_t bytes) {
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == bytes && !strncasecmp(list[i], name, bytes))
            return true;
    return false;
}

#define LISTED(list, name, bytes) listed(list, sizeof(list) / sizeof(*(list)), name, bytes)

static bool is_address(const char *host) {
    if (*host == '[' || strchr(host, ':'))
        return true;
    return *host && strspn(host, "0123456789.") == strlen(host);
}

/* Where the label before `at` begins, or NULL at the start of the host. */
static const char *label_before(const char *host, const char *at) {
    if (at <= host)
        return NULL;
    for (at--; at > host && at[-1] != '.'; at--)
        ;
    return at;
}

static bool is_suffix_pair(const char *second, const char *last) {
    size_t n = (size_t)(last - second) - 1;
    if (LISTED(pairs, second, strlen(second)))
        return true;
    return strlen(last) == 2 && !LISTED(open_countries, last, 2) && LISTED(classes, second, n);
}

const char *url_registrable(const char *host) {
    if (is_address(host))
        return host;
    const char *last = label_before(host, host + strlen(host));
    const char *second = last ? label_before(host, last) : NULL;
    if (!second)
        return host;
    const char *third = is_suffix_pair(second, last) ? label_before(host, second) : NULL;
    return third ? third : second;
}

const char *url_outlet(const char *host) {
    const char *own = url_registrable(host);
    bool shared = LISTED(services, own, strlen(own)) || !strncasecmp(own, "blogspot.", 9);
    const char *customer = shared ? label_before(host, own) : NULL;
    if (!customer || (own - customer == 4 && !strncasecmp(customer, "www", 3)))
        return own;
    return customer;
}

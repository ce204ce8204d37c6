/* SPDX-License-Identifier: Apache-2.0 */
/* site.h - a wire's pages and feeds, from canonical records.
 *
 * Publication is three steps, each safe to repeat, in this order and each committed before the next:
 *   site_accept   the record gets its number, time, act and printed id; nothing is written to disk
 *   site_render   every file that the entry changes is written; only what was accepted decides the bytes
 *   site_settle   the receipt, and the event that tells readers
 * One site belongs to one thread at a time. The store may commit later than it returns, as a step does. */
#ifndef WIRE_SITE_SITE_H
#define WIRE_SITE_SITE_H

#include "entry.h"
#include "files.h"

/* Ordered keys with JSON values. Values that visit and get hand out are references of the callee's. */
struct site_store {
    void *ctx;
    json_t *(*get)(void *ctx, const char *key); /* gives; NULL: no such key */
    int (*put)(void *ctx, const char *key, const json_t *value);
    int (*del)(void *ctx, const char *key);
    int (*scan)(void *ctx, const char *prefix, int (*visit)(void *arg, const char *key, json_t *value),
                void *arg);
};

/* Text is borrowed for the life of the site. */
struct site_config {
    const char *root;      /* absolute */
    const char *base;      /* public address without a trailing slash */
    const char *title;     /* of the wire */
    const char *tagline;   /* one line under it */
    const char *publisher; /* the organisation that answers for it */
    const char *contact;   /* mail or web address, or "" */
    int64_t front_items, feed_items;
    bool event_time; /* a version's time is that of its newest record, not the clock's */
    bool precompress;
};

struct site;

/* Open the root and read what is already published. Gives *out. 0, or negative errno with the reason. */
int site_open(const struct site_config *config, const struct site_store *store, struct site **out, char *why,
              size_t why_bytes);
void site_close(struct site *site); /* accepts NULL */

/* Step one. `dispatch` is borrowed. 1: *entry is given and stored as pending; 0: nothing to publish (a
 * repeat, an older version, or one that is withheld before anyone saw it), why says which; -EBADMSG: the
 * record is bad; other negative errno: the store failed. */
int site_accept(struct site *site, const json_t *dispatch, int64_t now_ms, json_t **entry, char *why,
                size_t why_bytes);

/* The oldest entry that was accepted and not settled. Gives it, or NULL. */
json_t *site_pending(struct site *site);

/* Step two. 0 and *files given (what the event lists), or negative errno. */
int site_render(struct site *site, json_t *entry, json_t **files, char *why, size_t why_bytes);

/* Step three, first half: the telex.event/1 of a rendered entry. Gives it. */
json_t *site_event(const struct site *site, const json_t *entry, const json_t *files);

/* Step three, second half: put receipt, version and published entry, and forget that it is pending. */
int site_settle(struct site *site, const json_t *entry, const json_t *files);

/* Write every file anew from the store, where the pages on disk were made by another theme, base or
 * title, or are missing. 0 or negative errno. */
int site_refresh(struct site *site, char *why, size_t why_bytes);

/* The newest number given out, and how many dispatches are published. */
int64_t site_last_seq(const struct site *site);
int64_t site_count(const struct site *site);

#endif

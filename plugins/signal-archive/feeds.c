/* SPDX-License-Identifier: Apache-2.0 */
/* feeds.c - a recorded feed document to entries: what signal-feed would have made of it. */
#include "archive.h"

#include <errno.h>

#include "feed.h"
#include "record.h"

int feeds_read(struct archive_reader *r, const char *path, const char *data, size_t n) {
    const struct archive_config *config = r->config;
    struct feed_limits limits = {.text_bytes = (size_t)config->text_bytes, .document_bytes = n};
    struct record_source source = {
        .name = config->source,
        .outlet = config->outlet,
        .owner = config->owner,
        .lang = config->lang,
        .primary = config->primary,
        .fetched_ms = DATE_NONE,
    };
    struct feed feed;
    int err = feed_parse(&feed, data, n, NULL, &limits);
    if (err)
        archive_reader_skip(r, path, "%s", *feed.problem ? feed.problem : "cannot be parsed");
    else if (*feed.problem)
        telex_say(r->host, TELEX_INFO, 0, "%s: %s; read all the same", path, feed.problem);
    for (size_t i = 0; !err && i < feed.n_items; i++) {
        struct record record;
        struct telex_builder b;
        if (!record_fill(&record, &feed, i, &source)) {
            archive_reader_skip(r, path, "item %zu has neither title nor text", i + 1);
            continue;
        }
        if (record.cut)
            telex_say(r->host, TELEX_WARN, 0, "%s: record %s: text cut at %zu bytes", path, record.id,
                      limits.text_bytes);
        telex_build_init(&b);
        record_write(&record, 1, &b);
        err = archive_reader_add(r, &b, record.id, record.published_ms);
        telex_build_finish(&b);
    }
    feed_finish(&feed);
    return err == -ENOMEM ? err : 0;
}

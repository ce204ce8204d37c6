/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h - one document over http or https, by libcurl on a libuv loop.
 *
 * Everything here runs on the loop's thread. A fetch follows redirects itself, one hop a transfer, so that
 * every hop is judged like the first; it stops where one leads to another site, so that the caller can wait
 * for that site's turn. Limits are counted while bytes come in. */
#ifndef SIGNAL_FEED_FETCH_H
#define SIGNAL_FEED_FETCH_H

#include <uv.h>

#include "address.h"
#include "buf.h"

struct fetch_limits {
    int64_t connect_ms, total_ms;   /* per hop; for all hops on one site together */
    int64_t wire_bytes, body_bytes; /* as sent; as decoded */
    int64_t ratio;                  /* decoded bytes for one that was sent */
    int64_t slow_bytes_s, slow_ms;  /* slower than this for so long is given up */
    int redirects;
};

/* What all fetches share. Borrowed by the fetcher for its life. */
struct fetch_config {
    struct fetch_limits limits;
    const char *user_agent;
    const struct address_block *allowed;
    size_t n_allowed;
    const uint16_t *ports;
    size_t n_ports;
};

/* What came of it. Borrowed until the callback returns. Header values are the bytes that were sent, "" when
 * absent. */
struct fetch_result {
    int err; /* 0: there is a status; else negative errno: -EACCES (address, port or scheme not allowed),
              * -EFBIG (a limit on bytes), -ELOOP (redirects), -ETIMEDOUT, -ECANCELED, -EIO (all else) */
    char why[256];      /* one line when err is set */
    long status;        /* HTTP status of the last hop */
    const char *url;    /* of the last hop */
    bool moved;         /* every redirect on the way was a permanent one, and there was one */
    const char *onward; /* NULL, or where a redirect leads on another site; nothing was asked there yet */
    int hops;           /* redirects so far, that one included */
    bool all_permanent; /* all of them */
    const char *body;   /* decoded */
    size_t body_bytes, wire_bytes;
    const char *etag, *last_modified, *content_type, *content_language, *content_location, *retry_after,
        *cache_control, *expires, *date;
};

/* What to ask. Text may be NULL; all borrowed for the call only. */
struct fetch_start {
    const char *url;
    const char *etag, *last_modified; /* sent as they are, to the first hop only */
    int hops;                         /* redirects that led here, when a fetch goes on at another site ... */
    bool temporary;                   /* ... and one of them was not for good */
};

typedef void (*fetch_done)(void *arg, const struct fetch_result *result);

struct fetcher;

/* Make a fetcher on `loop`. 0 or a negative errno. */
int fetcher_create(struct fetcher **out, uv_loop_t *loop, const struct fetch_config *config);

/* Begin a fetch. `done` is called exactly once, on the loop, never from inside this call. 0 or -ENOMEM. */
int fetcher_get(struct fetcher *fetcher, const struct fetch_start *start, fetch_done done, void *arg);

/* End every fetch with -ECANCELED and close what is on the loop; the fetcher is freed once the loop has run
 * its close callbacks. Accepts NULL. */
void fetcher_destroy(struct fetcher *fetcher);

#endif

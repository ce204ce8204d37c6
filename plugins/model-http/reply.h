/* SPDX-License-Identifier: Apache-2.0 */
/* reply.h - what a server sends back, as it arrives: one JSON object, or a stream of server-sent events.
 *
 * Bytes are hostile until parsed: sizes are bounded, and only what was understood becomes text. */
#ifndef MODEL_HTTP_REPLY_H
#define MODEL_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reply {
    size_t limit;    /* bytes that may arrive */
    size_t received; /* of them so far */
    bool over;       /* more than limit arrived */
    bool events;     /* a stream of events; else a body of one object */
    bool error;      /* the status is no success: `raw` keeps the beginning, as the reason */

    char *raw; /* owned: the body so far, or the unfinished line of a stream */
    size_t raw_size, raw_capacity;
    char *text; /* owned: what the model wrote */
    size_t text_size, text_capacity;

    bool ended;                                           /* the server said that it is done */
    bool cut_by_length;                                   /* ... because of max_tokens */
    uint32_t pieces;                                      /* events with text */
    uint32_t prompt_tokens, cached_tokens, output_tokens; /* 0: not said */
    char problem[256];                                    /* what is wrong with it; empty: nothing yet */
};

void reply_init(struct reply *reply, size_t limit);
void reply_finish(struct reply *reply); /* accepts a zeroed reply */

/* Take some bytes. False when the transfer should stop (see problem, or over). */
bool reply_take(struct reply *reply, const char *data, size_t size);

/* No more will come: parse what a plain body holds, and check that the end was said. */
void reply_end(struct reply *reply);

/* The beginning of an error body as one clean line. */
void reply_excerpt(const struct reply *reply, char *out, size_t size);

#endif

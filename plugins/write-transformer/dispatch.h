/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.h - a standing draft as a telex.dispatch/1 message. */
#ifndef DESK_DISPATCH_H
#define DESK_DISPATCH_H

#include <telex-sdk/message.h>

#include "draft.h"

/* What a dispatch says about its story and its making. All text is borrowed. */
struct dispatch_head {
    const char *id, *story;
    const char *split_from, *split_from_id; /* the story that this one left and its dispatch; "": none */
    uint64_t version;
    const char *kind, *beat, *lang;
    int64_t first_ms, last_ms; /* of the records, event time */
    const char *model, *model_sha256, *backend, *plugin_version;
    float temperature;
    size_t n_read; /* records that the desk read */
};

/* Build the message. Records are numbered in the order in which the page cites them. 0 or -ENOMEM; the
 * builder is initialised by the caller. [any] */
int dispatch_build(struct telex_builder *b, const struct draft *draft, const struct dispatch_head *head);

/* The message for a story that was merged: canceled, with the id of the dispatch that goes on. [any] */
void dispatch_build_merged(struct telex_builder *b, const char *id, uint64_t version, const char *story,
                           const char *into_story, const char *into_id);

/* The message for a story whose records went to another until too few were left to write from. [any] */
void dispatch_build_withheld(struct telex_builder *b, const struct dispatch_head *head);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* previous.h - what the story's dispatch said in its version before, to be drafted again.
 *
 * A new version of a story keeps most of its sentences, and the model mostly writes them as it did. The
 * earlier texts go along as drafts: they save passes where the model repeats itself, and change nothing where
 * it does not. */
#ifndef DESK_PREVIOUS_H
#define DESK_PREVIOUS_H

#include <telex-sdk/message.h>

#include "arena.h"

enum { PREVIOUS_PIECES_MAX = 24 };

/* A sentence, and the question that it answers. All texts in the arena, or NULL. */
struct previous_piece {
    const char *text, *question;
};

struct previous {
    const char *headline, *heading;
    struct previous_piece pieces[PREVIOUS_PIECES_MAX]; /* dek, body, answers */
    size_t n_pieces;
};

/* Read a telex.dispatch/1; whatever is missing or of another type is left out. 0 or -ENOMEM. [any] */
int previous_read(struct previous *previous, struct arena *arena, const msgpack_object *dispatch);

/* The piece that was most likely written from this sentence: most of its words are in the sentence. NULL:
 * none. [any] */
const struct previous_piece *previous_like(const struct previous *previous, const char *sentence);

#endif

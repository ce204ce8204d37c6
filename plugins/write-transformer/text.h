/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - a record's text made safe to read, without moving a byte.
 *
 * A record is hostile. The mask is a copy of the same length in which everything that is no prose
 * (tags, scripts, hidden elements, comments, control and invisible characters, chat-template tokens)
 * is blank, so an offset into the mask is an offset into the record. Cleaning then turns one range of
 * the mask into one line of plain text. */
#ifndef DESK_TEXT_H
#define DESK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

#define TEXT_GAP '\x02' /* what a mask has where something was blanked; white space of its own kind */

struct text_range {
    uint32_t start, end; /* bytes of the record's text, end excluded */
};

/* A masked copy of `len` bytes, with a NUL behind it, or NULL without memory. `*n_hidden` (may be NULL)
 * counts what was blanked because it could speak to a model or hide from a reader. [any] */
char *text_mask(struct arena *arena, const char *raw, size_t len, uint32_t *n_hidden);

/* One line of plain text from a range of a mask: entities decoded, typographic quotes and dashes made
 * plain, white space single, tickers gone. Invalid UTF-8 is dropped. NULL without memory. [any] */
char *text_clean(struct arena *arena, const char *mask, struct text_range range);

/* Why a clean sentence must not reach a prompt, or NULL: template tokens, orders to a model,
 * words that mix scripts, long runs that are no words. [any] */
const char *text_taint(const char *clean);

/* Length in bytes of the valid UTF-8 character at `text`, 0 if it is none. [any] */
size_t text_char(const char *text, size_t len, uint32_t *code);

#endif

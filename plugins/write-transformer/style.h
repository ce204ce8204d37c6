/* SPDX-License-Identifier: Apache-2.0 */
/* style.h - the house's way to write numbers and days, by rule and without a model. */
#ifndef DESK_STYLE_H
#define DESK_STYLE_H

#include "facts.h"

/* A sentence with the wire's short forms written out ("12.5 mln dlrs" -> "$12.5 million", "five pct" -> "5%",
 * "bpd" -> "barrels a day") and "today" as the weekday of publication. Values never change. NULL without
 * memory. [any] */
char *style_modern(struct arena *arena, const struct facts *facts);

/* Put a model's answer in order: one line, plain quotation marks, capital first, the end that the field
 * wants. A heading in Title Case is set as the story's texts write the words. NULL without memory. [any] */
char *style_tidy(struct arena *arena, const struct name_book *book, const char *text, bool heading,
                 bool question);

/* A record's title as a heading: no tickers, names as running text writes them, the rest lower. NULL without
 * memory. [any] */
char *style_title(struct arena *arena, const struct name_book *book, const char *title);

/* The sentence as somebody's words: `A report on tarn.example said: "..."`. NULL without memory. [any] */
char *style_quote(struct arena *arena, const char *clean, const char *source);

#endif

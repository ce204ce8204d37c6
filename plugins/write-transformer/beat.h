/* SPDX-License-Identifier: Apache-2.0 */
/* beat.h - which beat and which kind a dispatch is, from the lists in the config. */
#ifndef DESK_BEAT_H
#define DESK_BEAT_H

#include <telex-sdk/option.h>

#include "brief.h"

/* The label of the line that fits the records best. A line is "Label: word word ...": each of its words
 * scores where a title or a leading sentence has it or a relative of it. Ties go to the earlier line; where
 * no word is found the line without words wins, else the first. "" for an empty list. Gives text in the
 * arena, or NULL without memory. [any] */
char *beat_choose(const struct brief *brief, const struct telex_texts *lines);

#endif

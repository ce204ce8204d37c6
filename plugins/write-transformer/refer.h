/* SPDX-License-Identifier: Apache-2.0 */
/* refer.h - whom "he", "they", "it" and "the company" mean, where the sentence before says it plainly. */
#ifndef DESK_REFER_H
#define DESK_REFER_H

#include "facts.h"

/* The words that the unsettled pronoun of `facts` (at `unsettled`, see facts_unsettled) stands for, taken
 * from the sentences before it, nearest first. Sets how many of them are needed. Text in the arena, or NULL
 * where none says it plainly (or without memory). [any] */
char *refer_find(struct arena *arena, const struct facts *facts, size_t unsettled,
                 const struct facts *const *before, size_t n_before, uint32_t *n_needed);

/* Whether the pronoun at `unsettled` means one person. [any] */
bool refer_asks_for_man(const struct facts *facts, size_t unsettled);

/* The last name of the person who speaks in a sentence, or NULL where none or several do. [any] */
const struct word *refer_man(const struct facts *facts);

/* The house-style sentence with those words in the pronoun's place. NULL without memory. [any] */
char *refer_replace(struct arena *arena, const struct facts *facts, size_t unsettled, const char *modern,
                    const char *meant);

#endif

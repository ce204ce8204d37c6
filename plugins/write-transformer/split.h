/* SPDX-License-Identifier: Apache-2.0 */
/* split.h - where the sentences of wire copy begin and end. */
#ifndef DESK_SPLIT_H
#define DESK_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

struct split_sentence {
    struct text_range range;
    uint32_t paragraph; /* counted from 0 */
};

/* Find the sentences of a mask, in order, at most `cap`. Datelines, bylines and the agency's sign-off
 * belong to none. A quotation is not cut inside. Returns how many were written. [any] */
size_t split_sentences(const char *mask, size_t len, struct split_sentence *out, size_t cap);

#endif

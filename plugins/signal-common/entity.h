/* SPDX-License-Identifier: Apache-2.0 */
/* entity.h - character references. */
#ifndef SIGNAL_ENTITY_H
#define SIGNAL_ENTITY_H

#include "buf.h"

/* The code point of an HTML 4 name of n bytes (no '&', no ';'), or 0. */
uint32_t entity_rune(const char *name, size_t n);

/* Append what the reference at the start of `text` ('&') stands for and return the bytes it takes, or 0 when
 * it is none. Numbers from 128 to 159 are read as windows-1252. `out` may be NULL. */
size_t entity_add(struct buf *out, const char *text, size_t n);

#endif

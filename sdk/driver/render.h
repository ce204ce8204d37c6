/* SPDX-License-Identifier: Apache-2.0 */
/* render.h - a parsed JSON value as the canonical text of a grammar, for backends that let a server write it.
 */
#ifndef SDK_DRIVER_RENDER_H
#define SDK_DRIVER_RENDER_H

#include <jansson.h>

#include "grammar.h"

/* The value as text that the grammar takes: properties in the schema's order, no white space; control
 * characters in strings become spaces. Gives it (free). NULL when the value does not satisfy the schema, with
 * the place and the reason in why. [any] */
char *grammar_render(const struct grammar *grammar, const json_t *value, char *why, size_t why_size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* schemas.h - random schemas of the supported subset, and an independent check of a text against one.
 *
 * The check parses with jansson and knows nothing of the driver's grammar. */
#ifndef TESTS_DRIVER_SCHEMAS_H
#define TESTS_DRIVER_SCHEMAS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* splitmix64: the next of a stream. */
uint64_t random_next(uint64_t *stream);
static inline uint32_t random_below(uint64_t *stream, uint32_t n) {
    return (uint32_t)(random_next(stream) % n);
}

/* A random schema; strings and arrays are bounded, so every walk ends. Gives a reference. */
json_t *schema_random(uint64_t *stream, int depth);

/* True when the text is one JSON value that satisfies the schema, in canonical form (no white space,
 * properties in order, no control characters). The reason in why. */
bool schema_satisfied(json_t *schema, const char *text, size_t size, char *why, size_t why_size);

#endif

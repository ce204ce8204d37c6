/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/json.h - the JSONL form of a message: one object a line, same keys, same order.
 *
 * Text that is not UTF-8 is repaired with U+FFFD on the way out; binary becomes lower-case hex. Unknown keys pass
 * through in both directions. */
#ifndef TELEX_SDK_JSON_H
#define TELEX_SDK_JSON_H

#include <jansson.h>

#include <telex-sdk/message.h>

/* A message value as JSON. Gives a reference; NULL when out of memory. */
json_t *telex_json_from(const msgpack_object *object);

/* Append a JSON value to a builder. */
void telex_build_json(struct telex_builder *b, const json_t *value);

/* A body as one line without a newline. Gives it (free); NULL when body is no message. */
char *telex_json_line(struct telex_bytes body);

/* Parse one JSON object into the builder. 0, or -EBADMSG with the reason in why (column included). */
int telex_json_parse(const char *line, size_t size, struct telex_builder *b, char *why, size_t why_size);

/* A copy of text with every byte that is not part of well-formed UTF-8 replaced by U+FFFD. Gives it; *out_size is
 * its length without the ending zero. NULL when out of memory. */
char *telex_utf8_repair(const char *text, size_t size, size_t *out_size);

#endif

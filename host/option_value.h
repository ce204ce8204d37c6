/* SPDX-License-Identifier: Apache-2.0 */
/* option_value.h - one option from the text of a config to its checked form. */
#ifndef HOST_OPTION_VALUE_H
#define HOST_OPTION_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <telex-sdk/message.h>

/* A checked value. `type` is one of telex/option.h. */
struct option_value {
    uint32_t type;
    int64_t number; /* INT DURATION (ms) SIZE (bytes) BOOL */
    double real;    /* REAL */
    char *text;     /* owned: TEXT CHOICE PATH SECRET */
    char **items;   /* owned: LIST */
    size_t n_items;
};

/* Parse `text` as the option (an element of about.options) wants it. Paths become absolute: relative ones
 * start from `dir`, "~/" from HOME. A list is written with commas. 0, or -1 with "what; remedy" in why, which
 * never shows the text of a secret. */
int option_value_parse(const json_t *option, const char *text, const char *dir, struct option_value *out,
                       char *why, size_t why_size);

/* The list form: n items, copied. */
int option_value_list(const json_t *option, const char *const *items, size_t n_items,
                      struct option_value *out, char *why, size_t why_size);

void option_value_build(const struct option_value *value, struct telex_builder *b);
void option_value_finish(struct option_value *value); /* accepts a zeroed one */

/* TELEX_TEXT and so on from the word in an `about` object; 0 for an unknown one. */
uint32_t option_type(const json_t *option);

/* "250ms", "10s", "5m", "2h", "3d" to milliseconds; "4096", "64KiB", "10MiB", "1GiB" to bytes. False when it
 * is none, negative or too large. */
bool parse_duration(const char *text, int64_t *out_ms);
bool parse_size(const char *text, int64_t *out_bytes);

/* An absolute path: as it is, or from HOME for "~/", or from dir. Gives it. */
char *absolute_path(const char *dir, const char *path);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - text that grows, and the only way by which foreign text gets into a page.
 *
 * text_put's verbs name what is written and escape it for where it goes:
 *   %h  text for HTML or XML, between tags or inside a quoted attribute
 *   %u  an address for a quoted attribute: http and https only, anything else becomes "#"
 *   %r  ours, written as it is: never foreign text
 *   %d  int64_t
 *   %t  int64_t milliseconds as 2026-03-14T16:40:00Z    %T as Sat, 14 Mar 2026 16:40:00 GMT
 *   %D  the same for people, 14 March 2026              %M  16:40
 *   %%  a percent sign
 * Arguments of %h %u %r are zero-ended UTF-8. NULL is written as nothing. */
#ifndef WIRE_SITE_TEXT_H
#define WIRE_SITE_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data; /* owned, zero-ended once something was added */
    size_t bytes, room;
    bool broken; /* out of memory; whoever writes the text to a file looks */
};

void text_add(struct text *text, const char *data, size_t bytes);
void text_put(struct text *text, const char *format, ...);
void text_finish(struct text *text); /* frees; accepts a zeroed text */

/* JSON with sorted keys and no spare space, then a newline where `line` is set. In a script element
 * (`in_script`) <, > and & are escaped, so that no text can end the element. */
void text_json(struct text *text, const json_t *value, bool in_script, bool line);

/* A deep copy whose strings are fit for every page: no control characters (tabs and line ends become
 * spaces), no bidirectional overrides, zero-width or tag characters, no non-characters, no space at
 * either end. Gives a reference; NULL when out of memory or nested deeper than 32. */
json_t *text_clean_json(const json_t *value);

/* True for an absolute http or https address without spaces, quotes or control characters. */
bool text_is_web_address(const char *text);

/* The host name of a web address, lower case, without port or user: at most out_bytes - 1 of it. */
void text_host(const char *address, char *out, size_t out_bytes);

/* a-z, 0-9 and single dashes, at most 60 of them; where nothing is left, "x-" and a digest of name. */
void text_slug(const char *name, char out[64]);

/* First `max` characters of text at a word's end, with an ellipsis where it was cut. Gives it. */
char *text_clip(const char *text, size_t max);

/* "2026-03-14" of a time; the same bounds as the verbs: 1970 to 9999. */
void text_day(int64_t ms, char out[16]);

#endif

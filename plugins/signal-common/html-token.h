/* SPDX-License-Identifier: Apache-2.0 */
/* html-token.h - the tags of an HTML text, one after the other, as HTML's tokenizer cuts them. */
#ifndef SIGNAL_HTML_TOKEN_H
#define SIGNAL_HTML_TOKEN_H

#include "buf.h"

struct html_tag {
    const char *name; /* in the text, n bytes; n is 0 for comments, declarations and what else is no tag */
    size_t n;
    bool closing;
    const char *attributes; /* behind the name */
    const char *end;        /* behind the '>', or the end of the text */
    bool whole;             /* its end was found */
};

/* Read what begins with the '<' at `at`. False: it is text. */
bool html_tag_read(struct html_tag *tag, const char *at, const char *end);

struct html_attribute {
    const char *name, *value; /* in the text; the value as written, without quotes */
    size_t name_n, value_n;
};

/* The next attribute of a tag; begin with *at = tag->attributes. False: no more. */
bool html_attribute_next(struct html_attribute *attribute, const char **at, const struct html_tag *tag);

/* True when an attribute or tag has this name, which is given in lower case. */
bool html_name_is(const char *name, size_t n, const char *lower);

/* Append an attribute's value with its character references replaced. */
void html_value_add(struct buf *out, const struct html_attribute *attribute);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* html-token.c - HTML's tags and attributes, after the states of the tokenizer in the HTML standard (13.2.5).
 */
#include "html-token.h"

#include <string.h>
#include <strings.h>

#include "entity.h"

static bool is_letter(char c) {
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

bool html_name_is(const char *name, size_t n, const char *lower) {
    return strlen(lower) == n && !strncasecmp(name, lower, n);
}

/* A comment ends with "-->" or "--!>"; "<!-->" and "<!--->" are whole ones. */
static const char *comment_end(const char *at, const char *end, bool *whole) {
    *whole = true;
    if (at < end && *at == '>')
        return at + 1;
    if (end - at >= 2 && at[0] == '-' && at[1] == '>')
        return at + 2;
    while ((at = memchr(at, '-', (size_t)(end - at)))) {
        if (end - at >= 3 && at[1] == '-' && at[2] == '>')
            return at + 3;
        if (end - at >= 4 && at[1] == '-' && at[2] == '!' && at[3] == '>')
            return at + 4;
        at++;
    }
    *whole = false;
    return end;
}

/* Behind the '>' of a tag whose attributes begin at `at`. */
static const char *tag_end(const char *at, const char *end, bool *whole) {
    char quote = 0;
    bool value = false; /* a quote opens a value only behind '=' */
    *whole = true;
    for (; at < end; at++) {
        if (quote) {
            at = memchr(at, quote, (size_t)(end - at));
            if (!at)
                break;
            quote = 0;
            value = false;
        } else if (*at == '>') {
            return at + 1;
        } else if (*at == '=') {
            value = true;
        } else if (value && (*at == '"' || *at == '\'')) {
            quote = *at;
        } else if (!is_space(*at)) {
            value = false;
        }
    }
    *whole = false;
    return end;
}

bool html_tag_read(struct html_tag *tag, const char *at, const char *end) {
    const char *name = at + 1;
    *tag = (struct html_tag){.closing = name < end && *name == '/', .whole = true};
    name += tag->closing;
    if (name < end && is_letter(*name)) {
        const char *behind = name + 1;
        while (behind < end && !is_space(*behind) && *behind != '/' && *behind != '>')
            behind++;
        tag->name = name;
        tag->n = (size_t)(behind - name);
        tag->attributes = behind;
        tag->end = tag_end(behind, end, &tag->whole);
        return true;
    }
    if (name == end || (!tag->closing && *name != '!' && *name != '?'))
        return false;
    tag->name = name;
    if (end - name >= 3 && !tag->closing && !memcmp(name, "!--", 3)) {
        tag->end = comment_end(name + 3, end, &tag->whole);
    } else {
        const char *close = memchr(name, '>', (size_t)(end - name));
        tag->whole = close != NULL;
        tag->end = close ? close + 1 : end;
    }
    return true;
}

bool html_attribute_next(struct html_attribute *a, const char **at, const struct html_tag *tag) {
    const char *p = *at, *end = tag->whole ? tag->end - 1 : tag->end;
    while (p < end && (is_space(*p) || *p == '/'))
        p++;
    if (p >= end)
        return false;
    a->name = p++;
    while (p < end && !is_space(*p) && *p != '/' && *p != '=')
        p++;
    a->name_n = (size_t)(p - a->name);
    a->value = p;
    a->value_n = 0;
    const char *next = p;
    while (next < end && is_space(*next))
        next++;
    if (next == end || *next != '=') {
        *at = p;
        return true;
    }
    for (p = next + 1; p < end && is_space(*p);)
        p++;
    if (p < end && (*p == '"' || *p == '\'')) {
        const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));
        a->value = p + 1;
        p = close ? close : end;
        a->value_n = (size_t)(p - a->value);
        p += close != NULL;
    } else {
        a->value = p;
        while (p < end && !is_space(*p))
            p++;
        a->value_n = (size_t)(p - a->value);
    }
    *at = p;
    return true;
}

void html_value_add(struct buf *out, const struct html_attribute *a) {
    const char *at = a->value, *end = at + a->value_n;
    while (at < end) {
        const char *mark = memchr(at, '&', (size_t)(end - at));
        buf_add(out, at, (size_t)((mark ? mark : end) - at));
        if (!mark)
            return;
        size_t used = entity_add(out, mark, (size_t)(end - mark));
        if (!used)
            buf_add_byte(out, '&');
        at = mark + (used ? used : 1);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* repair.c - one repair pass over XML that a parser refused.
 *
 * One walk from left to right. `open` holds the names of the tags that are open in the output, so that the
 * output is balanced at every end of the input. Past DEPTH_MAX open tags the rest of the input is dropped: no
 * feed is that deep. */
#include "repair.h"

#include <ctype.h>
#include <string.h>

#include "entity.h"
#include "text.h"

#define DEPTH_MAX      256
#define ATTRIBUTES_MAX 64

struct span {
    const char *at;
    size_t n;
};

struct repair {
    struct buf *out;
    const char *at, *end;
    struct span open[DEPTH_MAX];
    size_t depth;
    bool rooted; /* the root was closed: what follows is no document */
};

static bool is_name_start(char c) {
    return isalpha((unsigned char)c) || c == '_' || c == ':' || (unsigned char)c >= 0x80;
}

static bool is_name(char c) {
    return is_name_start(c) || isdigit((unsigned char)c) || c == '-' || c == '.';
}

static bool is_legal(uint32_t rune) {
    return rune == '\t' || rune == '\n' || rune == '\r' || (rune >= 0x20 && rune <= 0xD7FF) ||
           (rune >= 0xE000 && rune <= 0xFFFD) || rune >= 0x10000;
}

static void add_escaped_rune(struct buf *out, uint32_t rune) {
    if (rune == '<')
        buf_add_text(out, "&lt;");
    else if (rune == '>')
        buf_add_text(out, "&gt;");
    else if (rune == '&')
        buf_add_text(out, "&amp;");
    else if (rune == '"')
        buf_add_text(out, "&quot;");
    else if (is_legal(rune))
        buf_add_rune(out, rune);
}

/* Text or an attribute's value, with its references made sound. */
static void add_text(struct buf *out, const char *at, const char *end) {
    struct buf one = {.limit = 8};
    while (at < end && !out->full) {
        if (*at != '&') {
            add_escaped_rune(out, text_rune(&at, end));
            continue;
        }
        one.len = 0;
        size_t used = entity_add(&one, at, (size_t)(end - at));
        bool whole = used && at[used - 1] == ';';
        if (whole) {
            const char *rune = one.data;
            add_escaped_rune(out, text_rune(&rune, one.data + one.len));
            at += used;
        } else {
            buf_add_text(out, "&amp;");
            at++;
        }
    }
    buf_finish(&one);
}

/* Bytes that pass as they are, but for characters that XML forbids. */
static void add_verbatim(struct buf *out, const char *at, const char *end) {
    while (at < end && !out->full) {
        uint32_t rune = text_rune(&at, end);
        if (is_legal(rune))
            buf_add_rune(out, rune);
    }
}

static const char *find(const char *at, const char *end, const char *what) {
    return memmem(at, (size_t)(end - at), what, strlen(what));
}

static bool starts(const struct repair *r, const char *what) {
    size_t n = strlen(what);
    return (size_t)(r->end - r->at) >= n && !strncasecmp(r->at, what, n);
}

/* A CDATA section; one that never ends, ends with the document. */
static void take_cdata(struct repair *r) {
    const char *body = r->at + 9, *close = find(body, r->end, "]]>");
    const char *end = close ? close : r->end;
    if (r->depth && !r->rooted) {
        buf_add_text(r->out, "<![CDATA[");
        add_verbatim(r->out, body, end);
        buf_add_text(r->out, "]]>");
    }
    r->at = close ? close + 3 : r->end;
}

/* Comments, processing instructions, declarations: none of them matters to a feed. */
static void skip_markup(struct repair *r) {
    const char *close;
    if (starts(r, "<!--")) {
        close = find(r->at + 4, r->end, "-->");
        r->at = close ? close + 3 : r->end;
    } else if (starts(r, "<?")) {
        close = find(r->at + 2, r->end, "?>");
        r->at = close ? close + 2 : r->end;
    } else { /* <!DOCTYPE name [ ... ]> */
        int brackets = 0;
        for (r->at += 2; r->at < r->end; r->at++) {
            brackets += *r->at == '[';
            brackets -= *r->at == ']' && brackets > 0;
            if (*r->at == '>' && !brackets)
                break;
        }
        r->at += r->at < r->end;
    }
}

static bool same(const struct span *a, const char *at, size_t n) {
    return a->n == n && !memcmp(a->at, at, n);
}

static void close_top(struct repair *r) {
    struct span *top = &r->open[--r->depth];
    buf_add_text(r->out, "</");
    buf_add(r->out, top->at, top->n);
    buf_add_byte(r->out, '>');
    if (!r->depth)
        r->rooted = true;
}

static size_t name_bytes(const char *at, const char *end) {
    size_t n = 0;
    while (at + n < end && is_name(at[n]))
        n++;
    return n;
}

static void end_tag(struct repair *r) {
    const char *name = r->at + 2;
    size_t n = name_bytes(name, r->end);
    for (r->at = name + n; r->at < r->end && *r->at != '>' && *r->at != '<'; r->at++)
        ;
    r->at += r->at < r->end && *r->at == '>';
    size_t i = r->depth;
    while (i > 0 && !same(&r->open[i - 1], name, n))
        i--;
    while (i > 0 && r->depth >= i)
        close_top(r);
}

/* One attribute; a name without a value is its own value. False at the end of the tag. */
static bool attribute(struct repair *r, struct span *seen, size_t *n_seen) {
    while (r->at < r->end && (isspace((unsigned char)*r->at) || *r->at == '"' || *r->at == '\''))
        r->at++;
    if (r->at == r->end || *r->at == '>' || *r->at == '<' ||
        (*r->at == '/' && r->at + 1 < r->end && r->at[1] == '>'))
        return false;
    if (!is_name_start(*r->at)) {
        r->at++;
        return true;
    }
    struct span name = {r->at, name_bytes(r->at, r->end)}, value = name;
    r->at += name.n;
    const char *is = r->at;
    while (is < r->end && isspace((unsigned char)*is))
        is++;
    if (is < r->end && *is == '=') {
        is++;
        while (is < r->end && isspace((unsigned char)*is))
            is++;
        if (is < r->end && (*is == '"' || *is == '\'')) {
            const char *close = memchr(is + 1, *is, (size_t)(r->end - is - 1));
            value.at = is + 1;
            value.n = (size_t)((close ? close : r->end) - value.at);
            r->at = close ? close + 1 : r->end;
        } else {
            value.at = is;
            while (is < r->end && !isspace((unsigned char)*is) && *is != '>')
                is++;
            value.n = (size_t)(is - value.at);
            r->at = is;
        }
    }
    for (size_t i = 0; i < *n_seen; i++)
        if (same(&seen[i], name.at, name.n))
            return true;
    if (*n_seen == ATTRIBUTES_MAX)
        return true;
    seen[(*n_seen)++] = name;
    buf_add_byte(r->out, ' ');
    buf_add(r->out, name.at, name.n);
    buf_add_text(r->out, "=\"");
    add_text(r->out, value.at, value.at + value.n);
    buf_add_byte(r->out, '"');
    return true;
}

static void start_tag(struct repair *r) {
    struct span name = {r->at + 1, name_bytes(r->at + 1, r->end)}, seen[ATTRIBUTES_MAX];
    size_t n_seen = 0;
    if (r->depth == DEPTH_MAX || r->rooted) {
        r->at = r->end;
        return;
    }
    r->at += 1 + name.n;
    buf_add_byte(r->out, '<');
    buf_add(r->out, name.at, name.n);
    while (attribute(r, seen, &n_seen))
        ;
    bool empty = r->at < r->end && *r->at == '/';
    r->at += empty;
    if (r->at < r->end && *r->at == '>')
        r->at++;
    buf_add_text(r->out, ">");
    r->open[r->depth++] = name;
    if (empty)
        close_top(r);
}

void repair_xml(struct buf *out, const char *xml, size_t n) {
    struct repair r = {.out = out, .at = xml, .end = xml + n};
    while (r.at < r.end && !out->full) {
        const char *tag = memchr(r.at, '<', (size_t)(r.end - r.at));
        const char *text_end = tag ? tag : r.end;
        if (r.depth && !r.rooted)
            add_text(out, r.at, text_end);
        r.at = text_end;
        if (!tag)
            break;
        if (starts(&r, "<![CDATA["))
            take_cdata(&r);
        else if (starts(&r, "<!--") || starts(&r, "<?") ||
                 (starts(&r, "<!") && r.at + 2 < r.end && isalpha((unsigned char)r.at[2])))
            skip_markup(&r);
        else if (starts(&r, "</"))
            end_tag(&r);
        else if (r.at + 1 < r.end && is_name_start(r.at[1]))
            start_tag(&r);
        else {
            if (r.depth && !r.rooted)
                buf_add_text(out, "&lt;");
            r.at++;
        }
    }
    while (r.depth)
        close_top(&r);
}

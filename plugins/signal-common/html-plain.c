/* SPDX-License-Identifier: Apache-2.0 */
/* html-plain.c - HTML to text in one pass, for what nearly all feeds carry.
 *
 * The text of a tree depends on little of the tree: which elements are silent, and where blocks begin and
 * end. So only elements that HTML calls special are kept on a stack, with the parser's rules for the end tags
 * that a tag implies (HTML standard, 13.2.6.4.7 "in body" and the modes of tables); elements of phrasing
 * content, nested in whatever wrong order, put nothing into the text. What these rules do not cover (hidden
 * elements, forms, foreign content, text between the cells of a table, names of characters beyond HTML 4,
 * ...) makes the pass give up, and the fragment is read by gumbo. A test reads documents both ways and wants
 * the same text. */
#include "html-plain.h"

#include <string.h>
#include <strings.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "entity.h"
#include "html-token.h"
#include "url.h"

#define STACK_MAX        128
#define STYLE_MAX_BYTES  1024
#define ENTITY_MAX_BYTES 12

/* What a tag does to the text and to the stack. */
enum kind {
    KIND_INLINE, /* nothing */
    KIND_ANCHOR,
    KIND_VOID,   /* nothing, and has no content */
    KIND_BREAK,  /* <br> */
    KIND_RULE,   /* <hr> */
    KIND_LEGEND, /* begins a line, not special */
    KIND_P,
    KIND_BLOCK, /* a paragraph of its own */
    KIND_LINE,  /* summary: special, begins a line */
    KIND_MUTE,  /* special, without a break: dir, hgroup, menu */
    KIND_HEADING,
    KIND_LI,
    KIND_DD,
    KIND_DT,
    KIND_LIST, /* ol, ul: ends the search for an open <li> */
    KIND_TABLE,
    KIND_SECTION, /* tbody, thead, tfoot */
    KIND_ROW,
    KIND_CELL,
    KIND_RAW,   /* silent, its content is no markup */
    KIND_OTHER, /* not for this pass */
};

/* One element that is open. Names of one kind are told apart by `key`. */
struct open {
    enum kind kind;
    uint64_t key;
};

struct plain {
    struct buf *out;
    const char *base;
    struct html_links *links;
    struct arena *arena;
    struct open stack[STACK_MAX];
    size_t depth;
    bool given_up;
};

/* A name of up to eight letters as a number. */
#define KEY(a, b, c, d, e, f, g, h)                                                                          \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | (uint64_t)(e) << 32 |  \
     (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)
#define KEY1(a)                   KEY(a, 0, 0, 0, 0, 0, 0, 0)
#define KEY2(a, b)                KEY(a, b, 0, 0, 0, 0, 0, 0)
#define KEY3(a, b, c)             KEY(a, b, c, 0, 0, 0, 0, 0)
#define KEY4(a, b, c, d)          KEY(a, b, c, d, 0, 0, 0, 0)
#define KEY5(a, b, c, d, e)       KEY(a, b, c, d, e, 0, 0, 0)
#define KEY6(a, b, c, d, e, f)    KEY(a, b, c, d, e, f, 0, 0)
#define KEY7(a, b, c, d, e, f, g) KEY(a, b, c, d, e, f, g, 0)

/* The key of a tag's name; of a longer name, of its first eight letters and its length. */
static uint64_t key_of(const char *name, size_t n) {
    uint64_t key = 0;
    for (size_t i = 0; i < n && i < 8; i++) {
        unsigned char c = (unsigned char)name[i];
        key |= (uint64_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c) << 8 * i;
    }
    return key;
}

static enum kind kind_of_long(const char *name, size_t n) {
    if (html_name_is(name, n, "blockquote") || html_name_is(name, n, "figcaption"))
        return KIND_BLOCK;
    return html_name_is(name, n, "plaintext") ? KIND_OTHER : KIND_INLINE;
}

/* Names that are not for this pass; all others are of phrasing content. */
static enum kind kind_of_other(uint64_t key) {
    switch (key) {
    case KEY3('c', 'o', 'l'):
    case KEY3('s', 'v', 'g'):
    case KEY3('x', 'm', 'p'):
    case KEY4('b', 'o', 'd', 'y'):
    case KEY4('f', 'o', 'r', 'm'):
    case KEY4('h', 'e', 'a', 'd'):
    case KEY4('h', 't', 'm', 'l'):
    case KEY4('m', 'a', 't', 'h'):
    case KEY5('a', 'u', 'd', 'i', 'o'):
    case KEY5('f', 'r', 'a', 'm', 'e'):
    case KEY5('i', 'm', 'a', 'g', 'e'):
    case KEY5('i', 'n', 'p', 'u', 't'):
    case KEY5('t', 'i', 't', 'l', 'e'):
    case KEY5('v', 'i', 'd', 'e', 'o'):
    case KEY6('a', 'p', 'p', 'l', 'e', 't'):
    case KEY6('b', 'u', 't', 't', 'o', 'n'):
    case KEY6('c', 'a', 'n', 'v', 'a', 's'):
    case KEY6('k', 'e', 'y', 'g', 'e', 'n'):
    case KEY6('o', 'b', 'j', 'e', 'c', 't'):
    case KEY6('o', 'p', 't', 'i', 'o', 'n'):
    case KEY6('s', 'e', 'l', 'e', 'c', 't'):
    case KEY7('c', 'a', 'p', 't', 'i', 'o', 'n'):
    case KEY7('i', 's', 'i', 'n', 'd', 'e', 'x'):
    case KEY7('l', 'i', 's', 't', 'i', 'n', 'g'):
    case KEY7('m', 'a', 'r', 'q', 'u', 'e', 'e'):
    case KEY7('n', 'o', 'e', 'm', 'b', 'e', 'd'):
    case KEY('c', 'o', 'l', 'g', 'r', 'o', 'u', 'p'):
    case KEY('d', 'a', 't', 'a', 'l', 'i', 's', 't'):
    case KEY('f', 'r', 'a', 'm', 'e', 's', 'e', 't'):
    case KEY('n', 'o', 'f', 'r', 'a', 'm', 'e', 's'):
    case KEY('n', 'o', 's', 'c', 'r', 'i', 'p', 't'):
    case KEY('o', 'p', 't', 'g', 'r', 'o', 'u', 'p'):
    case KEY('t', 'e', 'm', 'p', 'l', 'a', 't', 'e'):
    case KEY('t', 'e', 'x', 't', 'a', 'r', 'e', 'a'):
        return KIND_OTHER;
    default:
        return KIND_INLINE;
    }
}

static enum kind kind_of_block(uint64_t key) {
    switch (key) {
    case KEY2('d', 'l'):
    case KEY3('d', 'i', 'v'):
    case KEY3('n', 'a', 'v'):
    case KEY3('p', 'r', 'e'):
    case KEY4('m', 'a', 'i', 'n'):
    case KEY5('a', 's', 'i', 'd', 'e'):
    case KEY6('c', 'e', 'n', 't', 'e', 'r'):
    case KEY6('f', 'i', 'g', 'u', 'r', 'e'):
    case KEY6('f', 'o', 'o', 't', 'e', 'r'):
    case KEY6('h', 'e', 'a', 'd', 'e', 'r'):
    case KEY7('a', 'd', 'd', 'r', 'e', 's', 's'):
    case KEY7('a', 'r', 't', 'i', 'c', 'l', 'e'):
    case KEY7('d', 'e', 't', 'a', 'i', 'l', 's'):
    case KEY7('s', 'e', 'c', 't', 'i', 'o', 'n'):
    case KEY('f', 'i', 'e', 'l', 'd', 's', 'e', 't'):
        return KIND_BLOCK;
    case KEY7('s', 'u', 'm', 'm', 'a', 'r', 'y'):
        return KIND_LINE;
    case KEY6('l', 'e', 'g', 'e', 'n', 'd'):
        return KIND_LEGEND;
    case KEY3('d', 'i', 'r'):
    case KEY4('m', 'e', 'n', 'u'):
    case KEY6('h', 'g', 'r', 'o', 'u', 'p'):
        return KIND_MUTE;
    case KEY5('t', 'a', 'b', 'l', 'e'):
        return KIND_TABLE;
    case KEY5('t', 'b', 'o', 'd', 'y'):
    case KEY5('t', 'h', 'e', 'a', 'd'):
    case KEY5('t', 'f', 'o', 'o', 't'):
        return KIND_SECTION;
    case KEY5('s', 't', 'y', 'l', 'e'):
    case KEY6('s', 'c', 'r', 'i', 'p', 't'):
    case KEY6('i', 'f', 'r', 'a', 'm', 'e'):
        return KIND_RAW;
    default:
        return kind_of_other(key);
    }
}

static enum kind kind_of(uint64_t key) {
    switch (key) {
    case KEY1('a'):
        return KIND_ANCHOR;
    case KEY1('p'):
        return KIND_P;
    case KEY2('b', 'r'):
        return KIND_BREAK;
    case KEY2('h', 'r'):
        return KIND_RULE;
    case KEY2('l', 'i'):
        return KIND_LI;
    case KEY2('d', 'd'):
        return KIND_DD;
    case KEY2('d', 't'):
        return KIND_DT;
    case KEY2('t', 'r'):
        return KIND_ROW;
    case KEY2('t', 'd'):
    case KEY2('t', 'h'):
        return KIND_CELL;
    case KEY2('o', 'l'):
    case KEY2('u', 'l'):
        return KIND_LIST;
    case KEY2('h', '1'):
    case KEY2('h', '2'):
    case KEY2('h', '3'):
    case KEY2('h', '4'):
    case KEY2('h', '5'):
    case KEY2('h', '6'):
        return KIND_HEADING;
    case KEY3('i', 'm', 'g'):
    case KEY3('w', 'b', 'r'):
    case KEY4('a', 'r', 'e', 'a'):
    case KEY4('b', 'a', 's', 'e'):
    case KEY4('l', 'i', 'n', 'k'):
    case KEY4('m', 'e', 't', 'a'):
    case KEY5('e', 'm', 'b', 'e', 'd'):
    case KEY5('p', 'a', 'r', 'a', 'm'):
    case KEY5('t', 'r', 'a', 'c', 'k'):
    case KEY6('s', 'o', 'u', 'r', 'c', 'e'):
        return KIND_VOID;
    default:
        return kind_of_block(key);
    }
}

/* ---- the stack ---- */

static enum kind top(const struct plain *p) {
    return p->depth ? p->stack[p->depth - 1].kind : KIND_INLINE;
}

static void add_break(struct plain *p, enum kind kind, bool closing) {
    switch (kind) {
    case KIND_P:
    case KIND_BLOCK:
    case KIND_HEADING:
    case KIND_LIST:
    case KIND_TABLE:
        buf_add(p->out, "\n\n", 2);
        break;
    case KIND_LINE:
    case KIND_LI:
    case KIND_DD:
    case KIND_DT:
    case KIND_ROW:
        if (!closing)
            buf_add(p->out, "\n", 1);
        break;
    case KIND_CELL:
        if (!closing)
            buf_add(p->out, " ", 1);
        break;
    default:
        break;
    }
}

static void push(struct plain *p, enum kind kind, uint64_t key) {
    if (p->depth == STACK_MAX) {
        p->given_up = true;
        return;
    }
    p->stack[p->depth++] = (struct open){kind, key};
    add_break(p, kind, false);
}

/* Close the elements above `depth`. */
static void pop_to(struct plain *p, size_t depth) {
    while (p->depth > depth)
        add_break(p, p->stack[--p->depth].kind, true);
}

static bool is_barrier(enum kind kind) {
    return kind == KIND_TABLE || kind == KIND_CELL;
}

/* How deep the innermost open element of that kind (and name, unless 0) stands, if it is in scope; 0: none.
 */
static size_t in_scope(const struct plain *p, enum kind kind, uint64_t key) {
    for (size_t i = p->depth; i > 0; i--) {
        const struct open *open = &p->stack[i - 1];
        if (open->kind == kind && (!key || open->key == key))
            return i;
        if (is_barrier(open->kind))
            return 0;
    }
    return 0;
}

static void close_p(struct plain *p) {
    size_t depth = in_scope(p, KIND_P, 0);
    if (depth)
        pop_to(p, depth - 1);
}

/* True when the innermost open element is part of a table but no cell: only parts of the table may follow. */
static bool is_in_table(const struct plain *p) {
    enum kind kind = top(p);
    return kind == KIND_TABLE || kind == KIND_SECTION || kind == KIND_ROW;
}

/* How deep the innermost open cell stands, unless a table is inside it; 0: none. */
static size_t open_cell(const struct plain *p) {
    size_t depth = in_scope(p, KIND_CELL, 0);
    return depth;
}

/* ---- start tags ---- */

static void start_item(struct plain *p, enum kind kind, uint64_t key) {
    for (size_t i = p->depth; i > 0; i--) {
        enum kind open = p->stack[i - 1].kind;
        bool same = kind == KIND_LI ? open == KIND_LI : open == KIND_DD || open == KIND_DT;
        if (same) {
            pop_to(p, i - 1);
            break;
        }
        uint64_t name = p->stack[i - 1].key;
        if (open != KIND_P && name != KEY3('d', 'i', 'v') && name != KEY7('a', 'd', 'd', 'r', 'e', 's', 's'))
            break;
    }
    close_p(p);
    push(p, kind, key);
}

static void start_table_part(struct plain *p, enum kind kind, uint64_t key) {
    size_t cell = open_cell(p);
    if (cell)
        pop_to(p, cell - 1);
    if (!is_in_table(p))
        return; /* outside of a table it means nothing */
    while (kind == KIND_SECTION ? top(p) != KIND_TABLE : kind == KIND_ROW && top(p) == KIND_ROW)
        pop_to(p, p->depth - 1);
    if (kind != KIND_SECTION && top(p) == KIND_TABLE)
        push(p, KIND_SECTION, KEY5('t', 'b', 'o', 'd', 'y'));
    if (kind == KIND_CELL && top(p) != KIND_ROW)
        push(p, KIND_ROW, KEY2('t', 'r'));
    push(p, kind, key);
}

static void start_block(struct plain *p, enum kind kind, uint64_t key) {
    close_p(p);
    if (kind == KIND_HEADING && top(p) == KIND_HEADING)
        p->given_up = true;
    push(p, kind, key);
}

static void start_tag(struct plain *p, enum kind kind, uint64_t key) {
    bool part = kind == KIND_SECTION || kind == KIND_ROW || kind == KIND_CELL;
    if (is_in_table(p) && !part && kind != KIND_RAW) {
        p->given_up = true;
        return;
    }
    switch (kind) {
    case KIND_BREAK:
    case KIND_LEGEND:
        buf_add(p->out, "\n", 1);
        break;
    case KIND_RULE:
        close_p(p);
        buf_add(p->out, "\n\n", 2);
        break;
    case KIND_P:
    case KIND_BLOCK:
    case KIND_LINE:
    case KIND_MUTE:
    case KIND_HEADING:
    case KIND_LIST:
        start_block(p, kind, key);
        break;
    case KIND_LI:
    case KIND_DD:
    case KIND_DT:
        start_item(p, kind, key);
        break;
    case KIND_TABLE: /* without a document type an open <p> stays */
        push(p, kind, key);
        break;
    case KIND_SECTION:
    case KIND_ROW:
    case KIND_CELL:
        start_table_part(p, kind, key);
        break;
    case KIND_OTHER:
        p->given_up = true;
        break;
    default:
        break;
    }
}

/* ---- end tags ---- */

/* </table>, </tbody>, </tr>, </td>. */
static void end_table_part(struct plain *p, enum kind kind, uint64_t key) {
    size_t cell = open_cell(p), i;
    if (!cell && !is_in_table(p))
        return;
    if (cell && kind == KIND_CELL) {
        if (p->stack[cell - 1].key == key)
            pop_to(p, cell - 1);
        return;
    }
    for (i = cell ? cell - 1 : p->depth; i > 0; i--) {
        const struct open *open = &p->stack[i - 1];
        if (open->kind == kind && (kind != KIND_SECTION || open->key == key))
            break;
        if (open->kind == KIND_TABLE)
            return;
    }
    if (i)
        pop_to(p, i - 1);
}

static void end_tag(struct plain *p, enum kind kind, uint64_t key) {
    bool part = kind == KIND_TABLE || kind == KIND_SECTION || kind == KIND_ROW || kind == KIND_CELL;
    size_t depth = 0;
    if (part) {
        end_table_part(p, kind, key);
        return;
    }
    if (is_in_table(p)) {
        p->given_up = true;
        return;
    }
    switch (kind) {
    case KIND_P:
        depth = in_scope(p, KIND_P, 0);
        if (!depth)
            buf_add(p->out, "\n\n", 2); /* an end tag alone is an empty paragraph */
        break;
    case KIND_BREAK:
        buf_add(p->out, "\n", 1);
        break;
    case KIND_HEADING:
        depth = in_scope(p, KIND_HEADING, 0);
        break;
    case KIND_LI:
        for (size_t i = p->depth; i > 0 && !depth; i--) {
            if (p->stack[i - 1].kind == KIND_LIST || is_barrier(p->stack[i - 1].kind))
                return;
            depth = p->stack[i - 1].kind == KIND_LI ? i : 0;
        }
        break;
    case KIND_BLOCK:
    case KIND_LINE:
    case KIND_MUTE:
    case KIND_LIST:
    case KIND_DD:
    case KIND_DT:
        depth = in_scope(p, kind, key);
        break;
    case KIND_OTHER:
        p->given_up = true;
        break;
    default:
        break;
    }
    if (depth)
        pop_to(p, depth - 1);
}

/* ---- attributes ---- */

/* A value as text that ends with a NUL. False: too long, or its references are not for this pass. */
static bool copy_value(char *to, size_t room, const struct html_attribute *a) {
    size_t n = 0;
    if (a->value_n < room && !memchr(a->value, '&', a->value_n) && !memchr(a->value, '\n', a->value_n) &&
        !memchr(a->value, '\r', a->value_n) && !memchr(a->value, 0, a->value_n)) {
        memcpy(to, a->value, a->value_n);
        to[a->value_n] = 0;
        return true;
    }
    for (size_t i = 0; i < a->value_n; i++) {
        char c = a->value[i];
        if (n + 1 >= room || !c)
            return false;
        if (c != '&') {
            to[n++] = c == '\n' || c == '\r' ? ' ' : c;
            continue;
        }
        size_t name = 1;
        while (i + name < a->value_n && (unsigned char)((a->value[i + name] | 0x20) - 'a') < 26)
            name++;
        bool ends = i + name == a->value_n;
        char next = ends ? 0 : a->value[i + name];
        if (name == 4 && next == ';' && !memcmp(a->value + i, "&amp", 4)) {
            i += 4;
        } else if (next != '=' && !(name == 1 && (next == '&' || next == ' '))) {
            return false; /* "&copy" without an end may be a character, "&a=" is not */
        }
        to[n++] = '&';
    }
    to[n] = 0;
    return true;
}

static void add_link(struct plain *p, const struct html_attribute *href) {
    char url[URL_LIMIT_BYTES + 64];
    if (copy_value(url, sizeof(url), href))
        html_add_link(p->links, p->arena, p->base, url);
    else
        p->given_up = true;
}

/* What attributes mean here: hidden elements are not for this pass, an anchor has a link. */
static void read_attributes(struct plain *p, enum kind kind, const struct html_tag *tag) {
    char style[STYLE_MAX_BYTES];
    struct html_attribute a;
    const char *at = tag->attributes;
    bool linked = false, styled = false;
    while (!p->given_up && html_attribute_next(&a, &at, tag)) {
        char first = (char)(*a.name | 0x20);
        if (first != 'h' && first != 's' && first != 'a')
            continue;
        switch (a.name_n) {
        case 4:
            if (kind == KIND_ANCHOR && !linked && html_name_is(a.name, 4, "href")) {
                linked = true;
                add_link(p, &a);
            }
            break;
        case 5:
            if (!styled && html_name_is(a.name, 5, "style")) {
                styled = true;
                p->given_up = !copy_value(style, sizeof(style), &a) || html_style_hides(style);
            }
            break;
        case 6:
            p->given_up = html_name_is(a.name, 6, "hidden");
            break;
        case 11:
            p->given_up = html_name_is(a.name, 11, "aria-hidden");
            break;
        default:
            break;
        }
    }
}

/* ---- text ---- */

/* A character reference; `at` is its '&'. Behind it, or NULL to give up. */
static const char *add_reference(struct plain *p, const char *at, const char *end) {
    size_t was = p->out->len, used = entity_add(p->out, at, (size_t)(end - at)), n = 1;
    if (used) {
        bool weird = at[1] == '#' ? used > ENTITY_MAX_BYTES || at[used - 1] != ';'
                                  : used == 6 && !memcmp(at + 2, "ang;", 4);
        if (weird) /* numbers without an end, lang and rang, which HTML 5 means otherwise */
            p->out->len = was;
        return weird ? NULL : at + used;
    }
    while (at + n < end && ((unsigned char)((at[n] | 0x20) - 'a') < 26 || (unsigned char)(at[n] - '0') < 10))
        n++;
    bool lone = at + n == end || at[n] != ';';
    if (at + 1 < end && (at[1] == '#' || n > 2 || !lone))
        return NULL; /* a name that only HTML 5 has, or one without its end */
    buf_add(p->out, "&", 1);
    return at + 1;
}

/* The first byte from `at` that is no plain text: '<', '&', an end of line, NUL. */
static const char *text_end(const char *at, const char *end) {
    static const bool stops[256] = {['<'] = true, ['&'] = true, ['\n'] = true, ['\r'] = true, [0] = true};
#ifdef __SSE2__
    while (end - at >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i stop =
            _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('<')), _mm_cmpeq_epi8(x, _mm_set1_epi8('&')));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(x, _mm_set1_epi8('\n')));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(x, _mm_set1_epi8('\r')));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(x, _mm_setzero_si128()));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);
        if (mask)
            return at + __builtin_ctz(mask);
        at += 16;
    }
#endif
    while (at < end && !stops[(unsigned char)*at])
        at++;
    return at;
}

static const char *add_text(struct plain *p, const char *at, const char *end) {
    bool table = is_in_table(p);
    while (at && at < end && *at != '<') {
        const char *from = at;
        at = text_end(at, end);
        if (table)
            for (const char *c = from; c < at; c++)
                p->given_up |= *c != ' ' && *c != '\t' && *c != '\f';
        buf_add(p->out, from, (size_t)(at - from));
        if (at == end || *at == '<')
            return at;
        if (*at == '&') {
            p->given_up |= table;
            at = add_reference(p, at, end);
        } else {
            buf_add(p->out, " ", 1); /* what html.c makes of it for gumbo, too */
            at++;
        }
    }
    return at;
}

/* Behind </script> and the like; NULL where its end is not plain. */
static const char *skip_raw(const struct html_tag *tag, const char *end) {
    const char *at = tag->end;
    if (tag->end[-2] == '/')
        return NULL;
    while ((at = memchr(at, '<', (size_t)(end - at)))) {
        struct html_tag close;
        if (end - at > 3 && !memcmp(at, "<!--", 4))
            return NULL;
        if (end - at > 1 && at[1] == '/' && html_tag_read(&close, at, end) && close.n == tag->n &&
            !strncasecmp(close.name, tag->name, tag->n))
            return close.whole ? close.end : NULL;
        at++;
    }
    return NULL;
}

/* The tag at `at`. Behind it, or NULL to give up. */
static const char *read_tag(struct plain *p, const char *at, const char *end) {
    struct html_tag tag;
    if (!html_tag_read(&tag, at, end)) {
        p->given_up |= is_in_table(p);
        buf_add(p->out, "<", 1);
        return at + 1;
    }
    if (!tag.whole || (!tag.n && !tag.closing && *tag.name == '!' && (tag.name[1] | 0x20) == 'd'))
        return NULL; /* cut off, or a document type */
    if (!tag.n)
        return tag.end;
    uint64_t key = key_of(tag.name, tag.n);
    enum kind kind = tag.n > 8 ? kind_of_long(tag.name, tag.n) : kind_of(key);
    if (tag.closing) {
        end_tag(p, kind, key);
        return tag.end;
    }
    if (tag.end - tag.attributes > 1 && kind != KIND_VOID)
        read_attributes(p, kind, &tag);
    start_tag(p, kind, key);
    return kind == KIND_RAW ? skip_raw(&tag, end) : tag.end;
}

bool html_plain(struct buf *out, const char *html, size_t n, const char *base, struct html_links *links,
                struct arena *arena) {
    struct plain p = {.out = out, .base = base, .links = links, .arena = arena};
    size_t was = out->len, links_were = links ? links->n : 0;
    const char *at = html, *end = html + n;
    while (at && at < end && !p.given_up && !out->full)
        at = *at == '<' ? read_tag(&p, at, end) : add_text(&p, at, end);
    if (at && !p.given_up) {
        pop_to(&p, 0);
        return true;
    }
    out->len = was;
    out->full = false;
    if (links)
        links->n = links_were;
    return false;
}

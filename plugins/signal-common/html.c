/* SPDX-License-Identifier: Apache-2.0 */
/* html.c - HTML to text.
 *
 * What nearly all feeds carry is read in one pass without a tree (html-plain.c). For all else gumbo builds
 * the tree. It is recursive in places, grows with the square of some inputs and does not expect memory to
 * end, so it only sees what a scan found shallow and small, and its memory is one arena with a limit: when
 * that is reached a long jump abandons the parse and the fragment is read flat, tag by tag. The tree is
 * walked without recursion. */
#include "html.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <gumbo.h>

#include "entity.h"
#include "html-plain.h"
#include "text.h"
#include "url.h"

#define TREE_LIMIT_BYTES  ((size_t)64 << 20)
#define INPUT_LIMIT_BYTES ((size_t)2 << 20)
#define DEPTH_MAX         256
#define FORMAT_DEPTH_MAX  16
#define TAGS_MAX          40000
#define NAME_MAX_BYTES    16

void html_add_link(struct html_links *links, struct arena *arena, const char *base, const char *href) {
    if (!links || links->n == HTML_LINKS_MAX || !href || !*href || *href == '#')
        return;
    const char *url = url_resolve(arena, base, href);
    if (!url || !url_is_web(url))
        return;
    for (size_t i = 0; i < links->n; i++)
        if (!strcmp(links->url[i], url))
            return;
    links->url[links->n++] = url;
}

static bool in_list(const char *const *list, const char *name, size_t n) {
    for (; *list; list++)
        if (strlen(*list) == n && !strncasecmp(*list, name, n))
            return true;
    return false;
}

static const char *const silent_names[] = {"script",  "style",    "template", "noscript",        "iframe",
                                           "embed",   "audio",    "video",    "canvas",          "select",
                                           "option",  "button",   "textarea", "datalist",        "noframes",
                                           "noembed", "frameset", "head",     "form-associated", NULL};
static const char *const block_names[] = {
    "p",       "div",  "section",  "article", "aside",  "header", "footer",     "main",
    "nav",     "ul",   "ol",       "dl",      "table",  "pre",    "blockquote", "h1",
    "h2",      "h3",   "h4",       "h5",      "h6",     "figure", "figcaption", "hr",
    "address", "form", "fieldset", "details", "center", "body",   NULL};
static const char *const line_names[] = {"br",      "li",      "tr",     "dt",       "dd",
                                         "summary", "caption", "legend", "optgroup", NULL};
static const char *const void_names[] = {"br",     "img",   "hr",    "input", "meta",  "link",   "area",
                                         "base",   "col",   "wbr",   "embed", "param", "source", "track",
                                         "p",      "li",    "td",    "tr",    "th",    "dd",     "dt",
                                         "option", "tbody", "thead", "tfoot", NULL};
static const char *const format_names[] = {"a",     "b",      "big",    "code", "em", "font", "i", "s",
                                           "small", "strike", "strong", "tt",   "u",  "nobr", NULL};
static const char *const known_names[] = {
    "a",      "abbr",       "acronym", "address", "b",       "big",     "blockquote", "br",     "center",
    "cite",   "code",       "dd",      "del",     "dfn",     "div",     "dl",         "dt",     "em",
    "figure", "figcaption", "font",    "h1",      "h2",      "h3",      "h4",         "h5",     "h6",
    "hr",     "i",          "img",     "ins",     "kbd",     "li",      "mark",       "ol",     "p",
    "pre",    "q",          "s",       "samp",    "small",   "span",    "strike",     "strong", "sub",
    "sup",    "table",      "tbody",   "td",      "tfoot",   "th",      "thead",      "time",   "tr",
    "tt",     "u",          "ul",      "var",     "section", "article", "aside",      "header", "footer",
    "iframe", "script",     "style",   "video",   "audio",   "form",    "input",      "label",  "button",
    "nobr",   "wbr",        "bdo",     "caption", "map",     NULL};

/* ---- the scan before the tree ---- */

struct open_tag {
    char name[NAME_MAX_BYTES];
    bool format;
};

static size_t tag_name(const char *at, const char *end) {
    size_t n = 0;
    while (at + n < end && (isalnum((unsigned char)at[n]) || at[n] == '-' || at[n] == ':'))
        n++;
    return n;
}

/* Close the innermost open tag of that name and all inside it; a close without an open changes nothing. */
static size_t close_tag(const struct open_tag *open, size_t n, const char *name, size_t bytes) {
    for (size_t i = n; i > 0; i--)
        if (!strncasecmp(open[i - 1].name, name, bytes) && !open[i - 1].name[bytes])
            return i - 1;
    return n;
}

/* True when the tree of this fragment stays shallow and small. */
static bool is_tame(const char *html, size_t n) {
    struct open_tag open[DEPTH_MAX];
    size_t depth = 0, tags = 0, formats = 0;
    const char *end = html + n;
    if (n > INPUT_LIMIT_BYTES)
        return false;
    for (const char *at = memchr(html, '<', n); at; at = memchr(at, '<', (size_t)(end - at))) {
        at++;
        bool closing = at < end && *at == '/';
        at += closing;
        size_t bytes = tag_name(at, end);
        if (!bytes)
            continue;
        if (++tags > TAGS_MAX)
            return false;
        if (bytes >= NAME_MAX_BYTES || in_list(void_names, at, bytes))
            continue;
        if (closing) {
            size_t now = close_tag(open, depth, at, bytes);
            while (depth > now)
                formats -= open[--depth].format;
            continue;
        }
        if (depth == DEPTH_MAX)
            return false;
        memcpy(open[depth].name, at, bytes);
        open[depth].name[bytes] = 0;
        open[depth].format = in_list(format_names, at, bytes);
        formats += open[depth++].format;
        if (formats > FORMAT_DEPTH_MAX)
            return false;
    }
    return true;
}

/* ---- the flat reading ---- */

/* What an element puts between the text before it and inside it; and, `closing`, behind it. */
static void add_break(struct buf *out, const char *name, size_t n, bool closing) {
    if (in_list(block_names, name, n))
        buf_add_text(out, "\n\n");
    else if (!closing && in_list(line_names, name, n))
        buf_add_byte(out, '\n');
    else if (!closing && n == 2 && (!strncasecmp(name, "td", 2) || !strncasecmp(name, "th", 2)))
        buf_add_byte(out, ' ');
}

/* Behind the '>' of the tag that began before `at`, minding quotes. */
static const char *tag_end(const char *at, const char *end) {
    char quote = 0;
    for (; at < end; at++) {
        if (quote) {
            if (*at == quote)
                quote = 0;
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        } else if (*at == '>') {
            return at + 1;
        }
    }
    return end;
}

/* Behind the end tag of the element whose content begins at `at`; NULL when nothing ends it. */
static const char *behind_end_tag(const char *at, const char *end, const char *name, size_t n) {
    while (at < end && (at = memchr(at, '<', (size_t)(end - at)))) {
        at++;
        if (at < end && *at == '/' && (size_t)(end - at) > n && !strncasecmp(at + 1, name, n) &&
            ((size_t)(end - at) == n + 1 || !isalnum((unsigned char)at[n + 1])))
            return tag_end(at, end);
    }
    return NULL;
}

static const char *skip_silent(const char *at, const char *end, const char *name, size_t n) {
    const char *behind = behind_end_tag(at, end, name, n);
    return behind ? behind : end;
}

static void flat_text(struct buf *out, const char *html, size_t n) {
    const char *at = html, *end = html + n;
    while (at < end && !out->full) {
        if (*at == '&') {
            size_t used = entity_add(out, at, (size_t)(end - at));
            if (!used)
                buf_add_byte(out, '&');
            at += used ? used : 1;
            continue;
        }
        if (*at != '<') {
            buf_add_byte(out, *at++);
            continue;
        }
        if (end - at >= 4 && !memcmp(at, "<!--", 4)) {
            const char *close = memmem(at + 4, (size_t)(end - at - 4), "-->", 3);
            at = close ? close + 3 : end;
            continue;
        }
        bool closing = at + 1 < end && at[1] == '/';
        const char *name = at + 1 + closing;
        size_t bytes = tag_name(name, end);
        if (!bytes && !closing && !(at + 1 < end && (at[1] == '!' || at[1] == '?'))) {
            buf_add_byte(out, *at++);
            continue;
        }
        add_break(out, name, bytes, closing);
        at = tag_end(at, end);
        if (!closing && in_list(silent_names, name, bytes) && strncasecmp(name, "head", bytes) != 0)
            at = skip_silent(at, end, name, bytes);
    }
}

/* ---- the tree ---- */

struct tree {
    struct arena arena;
    jmp_buf refused;
};

static void *tree_take(void *user, size_t n) {
    struct tree *tree = user;
    void *at = arena_take(&tree->arena, n);
    if (!at)
        longjmp(tree->refused, 1);
    return at;
}

static void tree_free(void *user, void *at) {
    (void)user;
    (void)at;
}

/* What one declaration of a style says about its element. */
enum style_says { STYLE_NOTHING, STYLE_HIDDEN, STYLE_PALE, STYLE_BACKGROUND };

/* Values that hide; a value that ends with '.' must match whole, any other needs only to begin so. */
static const struct hiding {
    const char *name;
    size_t n;
    const char *value;
    enum style_says says;
} hidings[] = {
#define HIDING(name, value, says)                                                                            \
    { name, sizeof(name) - 1, value, says }
    HIDING("display", "none", STYLE_HIDDEN),
    HIDING("visibility", "hidden", STYLE_HIDDEN),
    HIDING("visibility", "collapse", STYLE_HIDDEN),
    HIDING("opacity", "0.", STYLE_HIDDEN),
    HIDING("opacity", "0.0.", STYLE_HIDDEN),
    HIDING("mso-hide", "all", STYLE_HIDDEN),
    HIDING("text-indent", "-9", STYLE_HIDDEN),
    HIDING("left", "-9", STYLE_HIDDEN),
    HIDING("clip", "rect(0", STYLE_HIDDEN),
    HIDING("font-size", "0.", STYLE_HIDDEN),
    HIDING("font-size", "0px", STYLE_HIDDEN),
    HIDING("font-size", "0pt", STYLE_HIDDEN),
    HIDING("line-height", "0.", STYLE_HIDDEN),
    HIDING("line-height", "0px", STYLE_HIDDEN),
    HIDING("height", "0.", STYLE_HIDDEN),
    HIDING("height", "0px", STYLE_HIDDEN),
    HIDING("max-height", "0.", STYLE_HIDDEN),
    HIDING("max-height", "0px", STYLE_HIDDEN),
    HIDING("width", "0.", STYLE_HIDDEN),
    HIDING("width", "0px", STYLE_HIDDEN),
    HIDING("max-width", "0.", STYLE_HIDDEN),
    HIDING("max-width", "0px", STYLE_HIDDEN),
    HIDING("color", "#fff", STYLE_PALE),
    HIDING("color", "white", STYLE_PALE),
    HIDING("color", "transparent", STYLE_PALE),
    HIDING("color", "rgb(255,255,255", STYLE_PALE),
    HIDING("color", "rgb(255, 255, 255", STYLE_PALE),
#undef HIDING
};

static enum style_says declaration(const char *name, size_t n, const char *value, size_t bytes) {
    if (n >= 10 && !strncasecmp(name, "background", 10))
        return STYLE_BACKGROUND;
    for (size_t i = 0; i < sizeof(hidings) / sizeof(*hidings); i++) {
        const struct hiding *h = &hidings[i];
        if (h->n != n || (*h->name ^ *name) & 0x5F || strncasecmp(h->name, name, n) != 0)
            continue;
        size_t len = strlen(h->value);
        bool whole = h->value[len - 1] == '.';
        len -= whole;
        if ((whole ? bytes == len : bytes >= len) && !strncasecmp(value, h->value, len))
            return h->says;
    }
    return STYLE_NOTHING;
}

/* True when a style makes its element invisible: not shown, of no size, far away, or white on the page's
 * white. */
bool html_style_hides(const char *style) {
    bool pale = false, background = false;
    while (*style) {
        size_t all = strcspn(style, ";"), n = strcspn(style, ":;");
        const char *name = style, *value = style + n + (n < all), *end = style + all;
        const char *important = memchr(value, '!', (size_t)(end - value));
        end = important ? important : end;
        while (name < style + n && isspace((unsigned char)*name))
            name++;
        size_t name_bytes = (size_t)(style + n - name);
        while (name_bytes && isspace((unsigned char)name[name_bytes - 1]))
            name_bytes--;
        while (value < end && isspace((unsigned char)*value))
            value++;
        while (end > value && isspace((unsigned char)end[-1]))
            end--;
        enum style_says says = declaration(name, name_bytes, value, (size_t)(end - value));
        if (says == STYLE_HIDDEN)
            return true;
        pale |= says == STYLE_PALE;
        background |= says == STYLE_BACKGROUND;
        style += all + (style[all] == ';');
    }
    return pale && !background;
}

static const char *attribute(const GumboElement *element, const char *name) {
    GumboAttribute *found = gumbo_get_attribute(&element->attributes, name);
    return found ? found->value : NULL;
}

static bool is_hidden(const GumboElement *element) {
    if (attribute(element, "hidden"))
        return true;
    const char *aria = attribute(element, "aria-hidden");
    if (aria && !strcasecmp(aria, "true"))
        return true;
    const char *style = attribute(element, "style");
    return style && html_style_hides(style);
}

static void element_name(const GumboElement *element, const char **name, size_t *n) {
    if (element->tag != GUMBO_TAG_UNKNOWN) {
        *name = gumbo_normalized_tagname(element->tag);
        *n = strlen(*name);
        return;
    }
    GumboStringPiece piece = element->original_tag;
    gumbo_tag_from_original_text(&piece);
    *name = piece.data ? piece.data : "";
    *n = piece.data ? piece.length : 0;
}

/* Breaks around a block; the links of an anchor. True when the children are to be read. */
static bool enter_element(struct buf *out, const GumboNode *node, const char *base, struct html_links *links,
                          struct arena *arena) {
    const GumboElement *element = &node->v.element;
    const char *name;
    size_t n;
    element_name(element, &name, &n);
    if ((in_list(silent_names, name, n) && element->tag != GUMBO_TAG_HEAD) || is_hidden(element))
        return false;
    if (element->tag == GUMBO_TAG_TITLE && element->tag_namespace == GUMBO_NAMESPACE_HTML && node->parent &&
        node->parent->type == GUMBO_NODE_ELEMENT && node->parent->v.element.tag == GUMBO_TAG_HEAD)
        return false;
    if (element->tag == GUMBO_TAG_A)
        html_add_link(links, arena, base, attribute(element, "href"));
    add_break(out, name, n, false);
    return true;
}

static void leave_element(struct buf *out, const GumboNode *node) {
    const char *name;
    size_t n;
    element_name(&node->v.element, &name, &n);
    add_break(out, name, n, true);
}

static bool has_children(const GumboNode *node) {
    return node->type == GUMBO_NODE_ELEMENT && node->v.element.children.length > 0;
}

static void walk(struct buf *out, const GumboNode *root, const char *base, struct html_links *links,
                 struct arena *arena) {
    const GumboNode *node = root;
    while (node) {
        bool down = false;
        if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE ||
            node->type == GUMBO_NODE_CDATA)
            buf_add_text(out, node->v.text.text);
        else if (node->type == GUMBO_NODE_ELEMENT)
            down = enter_element(out, node, base, links, arena);
        if (down && has_children(node)) {
            node = node->v.element.children.data[0];
            continue;
        }
        if (down)
            leave_element(out, node);
        while (node && node != root) {
            const GumboNode *parent = node->parent;
            size_t next = node->index_within_parent + 1;
            if (next < parent->v.element.children.length) {
                node = parent->v.element.children.data[next];
                break;
            }
            node = parent;
            leave_element(out, node);
        }
        if (node == root)
            return;
    }
}

/* A tag that HTML would not end where its writer thought: "<iframe/>", or an <iframe> that nobody closes,
 * would swallow all that follows. Blank it. `unclosed` remembers the names that have no end tag any more. */
static char *blank_tag(char *at, char *end, unsigned *unclosed) {
    static const char *const names[] = {"iframe",   "textarea", "title",  "noembed",
                                        "noframes", "xmp",      "script", "style"};
    static const size_t n_hard = 6; /* script and style are code up to the end where they are not closed */
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        size_t n = strlen(names[i]);
        if ((size_t)(end - at) <= n + 1 || strncasecmp(at + 1, names[i], n) != 0 ||
            isalnum((unsigned char)at[n + 1]))
            continue;
        char *stop = (char *)(uintptr_t)tag_end(at + 1, end);
        bool empty = stop - at > 2 && !memcmp(stop - 2, "/>", 2);
        bool lost = empty || *unclosed & 1u << i;
        const char *close = lost ? NULL : behind_end_tag(stop, end, names[i], n);
        if (!close && !empty)
            *unclosed |= 1u << i;
        if (close)
            return (char *)(uintptr_t)close;
        if (empty || i < n_hard)
            memset(at, ' ', (size_t)(stop - at));
        return stop;
    }
    return at + 1;
}

/* The fragment as gumbo should see it: line feeds are blanks (in <pre> too: a wire has no use for layout),
 * tags that would swallow what follows are blank. Gives it (free). */
static char *prepare(const char *html, size_t n) {
    char *copy = malloc(n + 1);
    unsigned unclosed = 0;
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = html[i] == '\n' || html[i] == '\r' || !html[i] ? ' ' : html[i];
    if (!copy)
        return NULL;
    copy[n] = 0;
    for (char *at = memchr(copy, '<', n); at; at = memchr(at, '<', (size_t)(copy + n - at)))
        at = blank_tag(at, copy + n, &unclosed);
    return copy;
}

bool html_tree_text(struct buf *out, const char *html, size_t n, const char *base, struct html_links *links,
                    struct arena *arena) {
    char *copy = prepare(html, n);
    struct tree *tree = copy ? calloc(1, sizeof(*tree)) : NULL;
    bool whole = false;
    size_t was = out->len, links_were = links ? links->n : 0;
    if (tree && is_tame(copy, n)) {
        tree->arena.limit = TREE_LIMIT_BYTES;
        if (!setjmp(tree->refused)) {
            GumboOptions options = kGumboDefaultOptions;
            options.allocator = tree_take;
            options.deallocator = tree_free;
            options.userdata = tree;
            options.max_errors = 0;
            GumboOutput *parsed = gumbo_parse_with_options(&options, copy, n);
            walk(out, parsed->root, base, links, arena);
            whole = true;
            goto done;
        }
        out->len = was;
        if (links)
            links->n = links_were;
    }
    if (copy)
        flat_text(out, copy, n);
done:
    if (tree)
        arena_finish(&tree->arena);
    free(tree);
    free(copy);
    return whole;
}

void html_text(struct buf *out, const char *html, size_t n, const char *base, struct html_links *links,
               struct arena *arena) {
    if (!n)
        return;
    if (!memchr(html, '<', n) && !memchr(html, '&', n))
        buf_add(out, html, n);
    else if (n > INPUT_LIMIT_BYTES || !html_plain(out, html, n, base, links, arena))
        html_tree_text(out, html, n, base, links, arena);
}

bool html_is_likely(const char *text, size_t n) {
    const char *end = text + n;
    bool closes = false;
    for (const char *at = memchr(text, '<', n); at; at = memchr(at, '<', (size_t)(end - at))) {
        at++;
        bool closing = at < end && *at == '/';
        at += closing;
        size_t bytes = tag_name(at, end);
        if (!bytes)
            continue;
        if (!in_list(known_names, at, bytes))
            return false;
        closes |= closing && at + bytes < end && at[bytes] == '>';
    }
    for (const char *at = memchr(text, '&', n); at; at = memchr(at, '&', (size_t)(end - at))) {
        size_t used = entity_add(NULL, at, (size_t)(end - at));
        size_t name = 1;
        while (at + name < end && (isalnum((unsigned char)at[name]) || at[name] == '#'))
            name++;
        if (used && at[used - 1] == ';')
            closes = true;
        else if (!used && name > 1 && at + name < end && at[name] == ';')
            return false;
        at++;
    }
    return closes;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* feed-xml.c - XML feeds, element by element.
 *
 * expat runs without namespaces, because feeds use prefixes that they never declared; `names` holds the
 * declarations in scope. One frame per open element. While a field is captured, elements below it become its
 * markup; else an element is looked up as a field of the place it stands in. No declaration of an entity is
 * accepted. */
#include "feed-xml.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "repair.h"
#include "text.h"
#include "url.h"

#define AMPLIFICATION_MAX        10.0f
#define AMPLIFICATION_FREE_BYTES (1ull << 20)

static const struct known_uri {
    const char *uri;
    enum feed_ns ns;
} known_uris[] = {
    {"http://www.w3.org/2005/Atom", NS_CORE},
    {"http://purl.org/atom/ns#", NS_CORE},
    {"http://purl.org/rss/1.0/", NS_CORE},
    {"http://my.netscape.com/rdf/simple/0.9/", NS_CORE},
    {"http://channel.netscape.com/rdf/simple/0.9/", NS_CORE},
    {"http://backend.userland.com/rss", NS_CORE},
    {"http://backend.userland.com/rss2", NS_CORE},
    {"http://backend.userland.com/RSS2", NS_CORE},
    {"http://backend.userland.com/rss191", NS_CORE},
    {"http://blogs.law.harvard.edu/tech/rss", NS_CORE},
    {"http://purl.org/net/rss1.1#", NS_CORE},
    {"http://example.com/newformat#", NS_CORE},
    {"http://purl.org/dc/elements/1.1/", NS_DC},
    {"http://purl.org/dc/elements/1.0/", NS_DC},
    {"http://purl.org/dc/terms/", NS_DCTERMS},
    {"http://purl.org/rss/1.0/modules/content/", NS_CONTENT},
    {"http://www.w3.org/1999/xhtml", NS_XHTML},
    {"http://search.yahoo.com/mrss", NS_MEDIA},
    {"http://search.yahoo.com/mrss/", NS_MEDIA},
    {"http://www.itunes.com/dtds/podcast-1.0.dtd", NS_ITUNES},
    {"http://www.itunes.com/DTDs/PodCast-1.0.dtd", NS_ITUNES},
    {"http://www.w3.org/1999/02/22-rdf-syntax-ns#", NS_RDF},
    {"http://rssnamespace.org/feedburner/ext/1.0", NS_FEEDBURNER},
};

/* Prefixes that nobody declared still mean what everybody takes them for. */
static const struct name usual_prefixes[] = {
    {"", 0, NS_CORE},           {"dc", 2, NS_DC},       {"dcterms", 7, NS_DCTERMS},
    {"content", 7, NS_CONTENT}, {"xhtml", 5, NS_XHTML}, {"media", 5, NS_MEDIA},
    {"itunes", 6, NS_ITUNES},   {"rdf", 3, NS_RDF},     {"feedburner", 10, NS_FEEDBURNER},
    {"atom", 4, NS_CORE},       {"rss", 3, NS_CORE},
};

static const char *local_name(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

const char *feed_attribute(const char **attributes, const char *name) {
    for (size_t i = 0; attributes[i]; i += 2)
        if (!strcasecmp(local_name(attributes[i]), name))
            return attributes[i + 1];
    return NULL;
}

static const char *exact_attribute(const char **attributes, const char *name) {
    for (size_t i = 0; attributes[i]; i += 2)
        if (!strcasecmp(attributes[i], name))
            return attributes[i + 1];
    return NULL;
}

static void stop(struct feed_reader *r, int err) {
    if (!r->err)
        r->err = err;
    XML_StopParser(r->parser, XML_FALSE);
}

static enum feed_ns ns_of_uri(const struct feed_reader *r, const char *uri) {
    for (size_t i = 0; i < sizeof(known_uris) / sizeof(*known_uris); i++)
        if (!strcasecmp(known_uris[i].uri, uri))
            return known_uris[i].ns;
    return !*uri || (r->root_uri && !strcmp(r->root_uri, uri)) ? NS_CORE : NS_OTHER;
}

static enum feed_ns ns_of_name(const struct feed_reader *r, const char *name) {
    const char *colon = strrchr(name, ':');
    size_t n = colon ? (size_t)(colon - name) : 0;
    for (size_t i = r->n_names; i > 0; i--)
        if (r->names[i - 1].n == n && !memcmp(r->names[i - 1].prefix, name, n))
            return r->names[i - 1].ns;
    for (size_t i = 0; i < sizeof(usual_prefixes) / sizeof(*usual_prefixes); i++)
        if (usual_prefixes[i].n == n && !strncasecmp(usual_prefixes[i].prefix, name, n))
            return usual_prefixes[i].ns;
    return NS_OTHER;
}

/* The URI that the element's own prefix gets on this very element, for the root. */
static const char *own_uri(const char *name, const char **attributes) {
    const char *colon = strrchr(name, ':');
    for (size_t i = 0; attributes[i]; i += 2) {
        const char *a = attributes[i];
        if (strncmp(a, "xmlns", 5) != 0)
            continue;
        if (!colon ? !a[5]
                   : a[5] == ':' && strlen(a + 6) == (size_t)(colon - name) &&
                         !strncmp(a + 6, name, (size_t)(colon - name)))
            return attributes[i + 1];
    }
    return NULL;
}

static void declare_names(struct feed_reader *r, const char **attributes) {
    for (size_t i = 0; attributes[i]; i += 2) {
        if (strncmp(attributes[i], "xmlns", 5) != 0 || (attributes[i][5] && attributes[i][5] != ':'))
            continue;
        const char *prefix = attributes[i][5] ? attributes[i] + 6 : "";
        const char *kept = arena_text(&r->feed->arena, prefix);
        if (!kept || r->n_names == NAMES_MAX) {
            feed_problem(r->feed, "too many namespace declarations");
            r->feed->truncated = true;
            stop(r, -EBADMSG);
            return;
        }
        r->names[r->n_names++] = (struct name){kept, strlen(kept), ns_of_uri(r, attributes[i + 1])};
        if (!strcasecmp(attributes[i + 1], "http://www.w3.org/2005/Atom") && !*prefix)
            r->atom_new = true;
    }
}

/* "en_US" is "en-US". */
static const char *language(struct feed *feed, const char *lang) {
    char *copy = arena_text(&feed->arena, lang);
    for (char *c = copy; c && *c; c++)
        if (*c == '_')
            *c = '-';
    return copy ? copy : "";
}

/* Base and language in force inside an element. */
static void inherit(struct feed_reader *r, struct frame *frame, const struct frame *parent,
                    const char **attributes) {
    frame->base = parent->base;
    frame->lang = parent->lang;
    const char *base = exact_attribute(attributes, "xml:base");
    if (!base && r->feed->kind == FEED_CDF)
        base = exact_attribute(attributes, "base");
    if (base && strlen(base) <= URL_LIMIT_BYTES) {
        const char *whole = url_resolve(&r->feed->arena, parent->base, base);
        if (whole && url_is_web(whole))
            frame->base = whole;
    }
    const char *lang = exact_attribute(attributes, "xml:lang");
    if (!lang && r->depth <= 1)
        lang = exact_attribute(attributes, "lang");
    if (lang && strlen(lang) < 64)
        frame->lang = language(r->feed, lang);
}

void feed_capture(struct feed_reader *r, enum feed_field field, int rank, enum feed_text text, bool base64) {
    struct capture *c = &r->capture;
    c->field = field;
    c->rank = rank;
    c->text = text;
    c->base64 = base64;
    c->children = false;
    c->depth = r->depth;
    c->raw.len = c->markup.len = 0;
    c->raw.full = c->markup.full = false;
    c->raw.limit = c->markup.limit = 8 * r->limits->text_bytes;
    r->capturing = true;
}

static void add_escaped(struct buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t plain = 0;
        while (i + plain < n && text[i + plain] != '<' && text[i + plain] != '&' && text[i + plain] != '>' &&
               text[i + plain] != '"')
            plain++;
        buf_add(out, text + i, plain);
        i += plain;
        if (i == n)
            return;
        if (text[i] == '<')
            buf_add_text(out, "&lt;");
        else if (text[i] == '&')
            buf_add_text(out, "&amp;");
        else if (text[i] == '>')
            buf_add_text(out, "&gt;");
        else if (text[i] == '"')
            buf_add_text(out, "&quot;");
        else
            buf_add_byte(out, text[i]);
    }
}

void feed_markup(struct capture *c) {
    if (c->children)
        return;
    c->markup.len = 0;
    c->markup.full = false;
    add_escaped(&c->markup, buf_text(&c->raw), c->raw.len);
}

/* An element inside a captured field, as HTML. */
static void markup_start(struct feed_reader *r, const char *name, const char **attributes) {
    struct buf *out = &r->capture.markup;
    feed_markup(&r->capture);
    r->capture.children = true;
    buf_add_byte(out, '<');
    buf_add_text(out, local_name(name));
    for (size_t i = 0; attributes[i]; i += 2) {
        const char *value = attributes[i + 1];
        if (!strncmp(attributes[i], "xml", 3))
            continue;
        if (!strcasecmp(attributes[i], "href") && strlen(value) <= URL_LIMIT_BYTES) {
            const char *whole = url_resolve(&r->feed->arena, r->frames[r->depth - 1].base, value);
            value = whole ? whole : value;
        }
        buf_add_byte(out, ' ');
        buf_add_text(out, local_name(attributes[i]));
        buf_add_text(out, "=\"");
        add_escaped(out, value, strlen(value));
        buf_add_byte(out, '"');
    }
    buf_add_byte(out, '>');
}

static void markup_end(struct feed_reader *r, const char *name) {
    static const char *const empty[] = {"br",   "hr",  "img",  "input", "meta",
                                        "link", "col", "area", "base",  "wbr"};
    const char *local = local_name(name);
    for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++)
        if (!strcasecmp(local, empty[i]))
            return;
    buf_add_text(&r->capture.markup, "</");
    buf_add_text(&r->capture.markup, local);
    buf_add_byte(&r->capture.markup, '>');
}

/* What the root says about the document. False: this is no feed. */
static bool read_root(struct feed_reader *r, const char *name, const char **attributes) {
    const char *local = local_name(name), *uri = own_uri(name, attributes);
    r->root_uri = uri ? arena_text(&r->feed->arena, uri) : NULL;
    if (!strcasecmp(local, "rss"))
        r->feed->kind = FEED_RSS;
    else if (!strcasecmp(local, "rdf"))
        r->feed->kind = FEED_RDF;
    else if (!strcasecmp(local, "feed") || !strcasecmp(local, "entry"))
        r->feed->kind = FEED_ATOM;
    else if (!strcasecmp(local, "channel"))
        r->feed->kind =
            strcmp(local, "CHANNEL") == 0 || feed_attribute(attributes, "href") ? FEED_CDF : FEED_RSS;
    else if (!strcasecmp(local, "item") || !strcasecmp(local, "items") || !strcasecmp(local, "newLocation") ||
             !strcasecmp(local, "redirect"))
        r->feed->kind = FEED_RSS;
    else
        return false;
    bool atom_uri = uri && !strcasecmp(uri, "http://www.w3.org/2005/Atom");
    if (r->feed->kind == FEED_ATOM) {
        r->atom_new = atom_uri || (!uri && !feed_attribute(attributes, "version"));
        r->atom_old = !r->atom_new;
    }
    return true;
}

static void start_element(void *user, const char *name, const char **attributes) {
    struct feed_reader *r = user;
    if (r->err)
        return;
    if (r->depth >= r->limits->depth || r->depth == FRAMES_MAX) {
        feed_problem(r->feed, "%lu:%lu: more than %zu elements inside one another",
                     XML_GetCurrentLineNumber(r->parser), XML_GetCurrentColumnNumber(r->parser) + 1,
                     r->depth);
        r->feed->truncated = true;
        stop(r, -EBADMSG);
        return;
    }
    if (r->feed->arena.full) {
        feed_problem(r->feed, "the feed is larger than its memory limit; the rest is left out");
        r->feed->truncated = true;
        stop(r, -EMSGSIZE);
        return;
    }
    struct frame *parent = &r->frames[r->depth - 1], *frame = &r->frames[r->depth];
    size_t names_before = r->n_names;
    if (r->depth == 1 && !read_root(r, name, attributes)) {
        feed_problem(r->feed, "not a feed: the document's element is <%.40s>", name);
        stop(r, -EBADMSG);
        return;
    }
    declare_names(r, attributes);
    if (r->err)
        return;
    r->depth++;
    *frame = (struct frame){.place = parent->place, .n_names = names_before};
    inherit(r, frame, parent, attributes);
    if (r->capturing) {
        markup_start(r, name, attributes);
        return;
    }
    feed_field_start(r, ns_of_name(r, name), local_name(name), attributes);
}

static void end_element(void *user, const char *name) {
    struct feed_reader *r = user;
    if (r->err)
        return;
    struct frame *frame = &r->frames[r->depth - 1], *parent = frame - 1;
    if (r->capturing && r->capture.depth == r->depth) {
        feed_field_end(r);
        r->capturing = false;
    } else if (r->capturing) {
        markup_end(r, name);
    } else if (frame->place == IN_PERSON && parent->place != IN_PERSON) {
        feed_person_end(r, frame, parent);
    } else if (frame->place == IN_ITEM && parent->place != IN_ITEM) {
        feed_item_end(r);
    }
    r->n_names = frame->n_names;
    r->depth--;
}

static void characters(void *user, const char *text, int n) {
    struct feed_reader *r = user;
    if (r->err)
        return;
    if (r->capturing) {
        buf_add(&r->capture.raw, text, (size_t)n);
        if (r->capture.children)
            add_escaped(&r->capture.markup, text, (size_t)n);
    } else if (r->frames[r->depth - 1].place == IN_PERSON) {
        buf_add(&r->person, text, (size_t)n);
    }
}

static void entity_declared(void *user, const char *name, int is_parameter, const char *value,
                            int value_bytes, const char *base, const char *system_id, const char *public_id,
                            const char *notation) {
    struct feed_reader *r = user;
    (void)value_bytes, (void)base, (void)system_id, (void)public_id, (void)notation;
    if (is_parameter &&
        !value) { /* HTML's list of characters, as RSS 0.91 names it: read without the declaration */
        feed_problem(r->feed, "%lu:%lu: names an outside entity (%.40s): not loaded",
                     XML_GetCurrentLineNumber(r->parser), XML_GetCurrentColumnNumber(r->parser) + 1, name);
        stop(r, -EAGAIN);
        return;
    }
    feed_problem(r->feed, "%lu:%lu: the document declares entities (%.40s): refused",
                 XML_GetCurrentLineNumber(r->parser), XML_GetCurrentColumnNumber(r->parser) + 1, name);
    stop(r, -EPERM);
}

/* One pass of expat. 0, or a negative errno with the reader's problem set; -EPERM and -EMSGSIZE are final. */
static int run(struct feed_reader *r, const char *xml, size_t n) {
    r->parser = XML_ParserCreate("UTF-8");
    if (!r->parser || n > INT_MAX) {
        XML_ParserFree(r->parser);
        return -ENOMEM;
    }
    XML_SetBillionLaughsAttackProtectionMaximumAmplification(r->parser, AMPLIFICATION_MAX);
    XML_SetBillionLaughsAttackProtectionActivationThreshold(r->parser, AMPLIFICATION_FREE_BYTES);
    XML_SetParamEntityParsing(r->parser, XML_PARAM_ENTITY_PARSING_NEVER);
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, start_element, end_element);
    XML_SetCharacterDataHandler(r->parser, characters);
    XML_SetEntityDeclHandler(r->parser, entity_declared);
    if (XML_Parse(r->parser, xml, (int)n, 1) != XML_STATUS_OK && !r->err) {
        feed_problem(r->feed, "%lu:%lu: %s", XML_GetCurrentLineNumber(r->parser),
                     XML_GetCurrentColumnNumber(r->parser) + 1, XML_ErrorString(XML_GetErrorCode(r->parser)));
        r->err = -EAGAIN;
    }
    XML_ParserFree(r->parser);
    return r->err;
}

/* A fresh start on the same feed: nothing of the pass before stays but the problem it met. */
static void begin(struct feed_reader *r, const struct feed_hints *hints) {
    struct feed *feed = r->feed;
    struct frame *ground = &r->frames[0];
    *ground = (struct frame){.base = "", .lang = ""};
    r->depth = 1;
    const char *url = hints->url && url_is_web(hints->url) ? hints->url : "";
    ground->base = url;
    if (hints->content_location && strlen(hints->content_location) <= URL_LIMIT_BYTES) {
        const char *whole = url_resolve(&feed->arena, url, hints->content_location);
        if (whole && url_is_web(whole))
            ground->base = whole;
    }
    if (hints->content_language && strlen(hints->content_language) < 64) {
        ground->lang = language(feed, hints->content_language);
        feed->lang = ground->lang;
    }
}

static void reader_finish(struct feed_reader *r) {
    buf_finish(&r->capture.raw);
    buf_finish(&r->capture.markup);
    buf_finish(&r->person);
    buf_finish(&r->person_name);
    buf_finish(&r->person_email);
}

/* One reading of `xml` from nothing. */
static int read_xml(struct feed *feed, const char *xml, size_t n, const struct feed_hints *hints,
                    const struct feed_limits *limits) {
    struct feed_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->feed = feed;
    r->limits = limits;
    r->person.limit = r->person_name.limit = r->person_email.limit = 4096;
    feed->kind = FEED_UNKNOWN;
    feed->n_items = 0;
    begin(r, hints);
    int err = run(r, xml, n);
    if (err && r->in_item && err != -EPERM && err != -EAGAIN)
        feed_item_end(r); /* a limit was met inside it: what is there is kept */
    reader_finish(r);
    free(r);
    return err;
}

int feed_xml_parse(struct feed *feed, const char *xml, size_t n, const struct feed_hints *hints,
                   const struct feed_limits *limits) {
    int err = read_xml(feed, xml, n, hints, limits);
    if (err == -EAGAIN) {
        struct buf mended = {.limit = 2 * n + 4096};
        struct feed empty = *feed;
        repair_xml(&mended, xml, n);
        free(feed->items);
        arena_finish(&feed->arena);
        empty.items = NULL;
        empty.arena = feed->arena;
        empty.title = empty.subtitle = empty.link = empty.id = empty.author = empty.lang = "";
        empty.title_lang = empty.subtitle_lang = empty.published_text = empty.updated_text = "";
        empty.hub = empty.moved = "";
        empty.published_ms = empty.updated_ms = DATE_NONE;
        *feed = empty;
        feed->repaired = true;
        err = mended.len ? read_xml(feed, mended.data, mended.len, hints, limits) : -EBADMSG;
        feed->truncated |= mended.full;
        buf_finish(&mended);
        if (err == -EAGAIN) /* even so: keep what was read before it */
            err = feed->n_items || *feed->title ? 0 : -EBADMSG;
    }
    if (err == -EPERM)
        err = -EBADMSG;
    if (err == -EMSGSIZE || (err == -EBADMSG && feed->truncated))
        err = feed->n_items ? 0 : -EBADMSG;
    return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* feed-field.c - which element is which field of a feed or an item, and what its characters mean.
 *
 * A field keeps the value of the highest rank; of two with the same rank the later one, as readers of feeds
 * do, except that authors add up, and that of several texts or of several links with href the first stays.
 * Elements of places that are not ours never touch a field. */
#include "feed-xml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"
#include "url.h"

#define FIELD_TEXT_BYTES 4096 /* fields of one line */
#define AUTHORS_BYTES    512
#define RANK_LINK_TEXT   9 /* a link of RSS: of several the last holds */

enum {
    CORE = 1 << NS_CORE,
    DC = 1 << NS_DC,
    DCTERMS = 1 << NS_DCTERMS,
    CONTENT = 1 << NS_CONTENT,
    XHTML = 1 << NS_XHTML,
    MEDIA = 1 << NS_MEDIA,
    ITUNES = 1 << NS_ITUNES,
    FEEDBURNER = 1 << NS_FEEDBURNER,
    FEED = 1 << IN_FEED,
    ITEM = 1 << IN_ITEM,
    GROUP = 1 << IN_GROUP,
    PERSON = 1 << IN_PERSON,
};

static const struct rule {
    const char *name;
    unsigned ns, places;
    enum feed_field field;
    int rank;
    enum feed_text text;
} rules[] = {
    {"title", CORE, FEED | ITEM, FIELD_TITLE, 9, TEXT_IS_GUESS},
    {"title", DC, FEED | ITEM, FIELD_TITLE, 5, TEXT_IS_GUESS},
    {"title", MEDIA, ITEM | GROUP, FIELD_TITLE, 2, TEXT_IS_GUESS},
    {"title", ITUNES, ITEM, FIELD_TITLE, 1, TEXT_IS_PLAIN},
    {"guid", CORE, ITEM, FIELD_GUID, 9, TEXT_IS_PLAIN},
    {"id", CORE, FEED | ITEM, FIELD_GUID, 9, TEXT_IS_PLAIN},
    {"identifier", DC, ITEM, FIELD_GUID, 2, TEXT_IS_PLAIN},
    {"description", CORE, FEED | ITEM, FIELD_SUMMARY, 9, TEXT_IS_HTML},
    {"abstract", CORE, FEED | ITEM, FIELD_SUMMARY, 9, TEXT_IS_HTML},
    {"summary", CORE, FEED | ITEM, FIELD_SUMMARY, 9, TEXT_IS_GUESS},
    {"subtitle", CORE, FEED, FIELD_SUMMARY, 9, TEXT_IS_GUESS},
    {"tagline", CORE, FEED, FIELD_SUMMARY, 9, TEXT_IS_GUESS},
    {"description", DC, FEED | ITEM, FIELD_SUMMARY, 5, TEXT_IS_HTML},
    {"summary", ITUNES, FEED | ITEM, FIELD_SUMMARY, 3, TEXT_IS_GUESS},
    {"subtitle", ITUNES, FEED | ITEM, FIELD_SUMMARY, 2, TEXT_IS_GUESS},
    {"description", MEDIA, ITEM | GROUP, FIELD_SUMMARY, 1, TEXT_IS_GUESS},
    {"content", CORE, ITEM, FIELD_CONTENT, 9, TEXT_IS_GUESS},
    {"encoded", CONTENT, ITEM, FIELD_CONTENT, 9, TEXT_IS_HTML},
    {"fullitem", CORE, ITEM, FIELD_CONTENT, 8, TEXT_IS_HTML},
    {"body", XHTML | CORE, ITEM, FIELD_CONTENT, 8, TEXT_IS_MARKUP},
    {"div", XHTML, ITEM, FIELD_CONTENT, 7, TEXT_IS_MARKUP},
    {"creator", DC, FEED | ITEM, FIELD_AUTHOR, 9, TEXT_IS_PLAIN},
    {"author", DC, FEED | ITEM, FIELD_AUTHOR, 9, TEXT_IS_PLAIN},
    {"managingEditor", CORE, FEED, FIELD_AUTHOR, 5, TEXT_IS_PLAIN},
    {"author", ITUNES, FEED | ITEM, FIELD_AUTHOR, 6, TEXT_IS_PLAIN},
    {"name", CORE, PERSON, FIELD_NAME, 9, TEXT_IS_PLAIN},
    {"email", CORE, PERSON, FIELD_EMAIL, 9, TEXT_IS_PLAIN},
    {"pubDate", CORE, FEED | ITEM, FIELD_PUBLISHED, 9, TEXT_IS_PLAIN},
    {"published", CORE, FEED | ITEM, FIELD_PUBLISHED, 9, TEXT_IS_PLAIN},
    {"issued", CORE | DCTERMS, FEED | ITEM, FIELD_PUBLISHED, 8, TEXT_IS_PLAIN},
    {"updated", CORE, FEED | ITEM, FIELD_UPDATED, 9, TEXT_IS_PLAIN},
    {"modified", CORE | DCTERMS, FEED | ITEM, FIELD_UPDATED, 8, TEXT_IS_PLAIN},
    {"lastBuildDate", CORE, FEED, FIELD_UPDATED, 7, TEXT_IS_PLAIN},
    {"date", DC, FEED | ITEM, FIELD_UPDATED, 5, TEXT_IS_PLAIN},
    {"created", CORE | DCTERMS, FEED | ITEM, FIELD_CREATED, 9, TEXT_IS_PLAIN},
    {"language", CORE, FEED | ITEM, FIELD_LANG, 9, TEXT_IS_PLAIN},
    {"language", DC, FEED | ITEM, FIELD_LANG, 9, TEXT_IS_PLAIN},
    {"origLink", FEEDBURNER, ITEM, FIELD_ORIGIN, 9, TEXT_IS_PLAIN},
    {"ttl", CORE, FEED, FIELD_TTL, 9, TEXT_IS_PLAIN},
    {"newLocation", CORE, FEED, FIELD_MOVED, 9, TEXT_IS_PLAIN},
    {"new-feed-url", ITUNES, FEED, FIELD_MOVED, 9, TEXT_IS_PLAIN},
};

/* A quick no for most pairs of names. Letter case does not matter. */
static inline bool may_be_same(const char *a, const char *b) {
    return !((a[0] ^ b[0]) & 0x5F) && (!a[0] || !((a[1] ^ b[1]) & 0x5F));
}

static const struct rule *find_rule(enum feed_ns ns, const char *name, enum feed_place place) {
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
        if ((rules[i].ns & 1u << ns) && (rules[i].places & 1u << place) && may_be_same(rules[i].name, name) &&
            !strcasecmp(rules[i].name, name))
            return &rules[i];
    return NULL;
}

/* Atom's `type` attribute: a word or a media type. */
static enum feed_text text_of_type(const char *type, bool *binary) {
    size_t n = strcspn(type, "; \t");
    *binary = false;
    if (!n || (n == 4 && !strncasecmp(type, "text", 4)) || (n == 10 && !strncasecmp(type, "text/plain", 10)))
        return TEXT_IS_PLAIN;
    if ((n == 4 && !strncasecmp(type, "html", 4)) || (n == 9 && !strncasecmp(type, "text/html", 9)) ||
        (n == 11 && !strncasecmp(type, "text/x-html", 11)))
        return TEXT_IS_HTML;
    if (n == 5 && !strncasecmp(type, "xhtml", 5))
        return TEXT_IS_MARKUP;
    if (n >= 4 && (!strncasecmp(type + n - 4, "+xml", 4) || !strncasecmp(type + n - 4, "/xml", 4)))
        return TEXT_IS_MARKUP;
    if (!strncasecmp(type, "text/", 5))
        return TEXT_IS_PLAIN;
    *binary = strchr(type, '/') != NULL;
    return *binary ? TEXT_IS_OTHER : TEXT_IS_PLAIN;
}

/* How a field's characters are to be read, from its rule, the format and its attributes. */
static enum feed_text text_kind(const struct feed_reader *r, const struct rule *rule, const char **attributes,
                                bool *base64) {
    const char *type = feed_attribute(attributes, "type"), *mode = feed_attribute(attributes, "mode");
    enum feed_text text = rule->text;
    bool rich = rule->field == FIELD_TITLE || rule->field == FIELD_SUMMARY || rule->field == FIELD_CONTENT;
    *base64 = false;
    if (!rich)
        return TEXT_IS_PLAIN;
    bool binary = false;
    if (type)
        text = text_of_type(type, &binary);
    *base64 = (mode && !strcasecmp(mode, "base64")) || binary;
    bool atom = r->atom_new || r->atom_old;
    if (!atom && text == TEXT_IS_PLAIN)
        return TEXT_IS_GUESS;
    if (atom && text == TEXT_IS_GUESS)
        text = TEXT_IS_PLAIN;
    if (r->atom_old && text == TEXT_IS_HTML && (!mode || !strcasecmp(mode, "xml")))
        return type ? TEXT_IS_MARKUP : text;
    return text;
}

static void start_person(struct feed_reader *r, struct frame *frame, enum feed_place place) {
    frame->place = IN_PERSON;
    frame->person_source = place == IN_SOURCE;
    r->person.len = r->person_name.len = r->person_email.len = 0;
    r->person.full = r->person_name.full = r->person_email.full = false;
}

static void set_link(struct feed_reader *r, enum feed_place place, const char *url, int rank) {
    bool item = place == IN_ITEM;
    int *have = item ? &r->draft.rank[FIELD_LINK] : &r->feed_rank[FIELD_LINK];
    if (!url || !*url || rank < *have || (rank == *have && rank != RANK_LINK_TEXT))
        return;
    *have = rank;
    const char *clean = feed_text(r->feed, url, strlen(url), true, URL_LIMIT_BYTES, NULL);
    *(item ? &r->draft.item.link : &r->feed->link) = clean;
}

/* <link>: Atom's with href, or RSS's with text. */
static void start_link(struct feed_reader *r, struct frame *frame, enum feed_place place,
                       const char **attributes) {
    const char *href = feed_attribute(attributes, "href"), *rel = feed_attribute(attributes, "rel");
    const char *type = feed_attribute(attributes, "type");
    frame->place = IN_IGNORED;
    if (!href) {
        if (!rel || !strcasecmp(rel, "alternate"))
            feed_capture(r, FIELD_LINK, RANK_LINK_TEXT, TEXT_IS_PLAIN, false);
        return;
    }
    if (strlen(href) > URL_LIMIT_BYTES)
        return;
    const char *url = url_resolve(&r->feed->arena, frame->base, href);
    if (!url)
        return;
    if (!rel || !strcasecmp(rel, "alternate") || !*rel) {
        bool page = !type || !strcasecmp(type, "text/html") || !strcasecmp(type, "application/xhtml+xml");
        int rank = r->feed->kind == FEED_ATOM ? 8 : RANK_LINK_TEXT;
        set_link(r, place, url, page ? rank : 4);
    } else if (place == IN_FEED && !strcasecmp(rel, "hub")) {
        r->feed->hub = url;
    } else if (place == IN_FEED && !strcasecmp(rel, "self") && !*r->feed->moved) {
        r->feed->moved = url;
    } else if (place == IN_ITEM && (!strcasecmp(rel, "related") || !strcasecmp(rel, "via"))) {
        html_add_link(&r->draft.links, &r->feed->arena, frame->base, href);
    }
}

static bool is_one_of(const char *name, const char *const *names) {
    for (; *names; names++)
        if (may_be_same(*names, name) && !strcasecmp(*names, name))
            return true;
    return false;
}

/* What the element around the items says by attributes. */
static void start_whole(struct feed_reader *r, const struct frame *frame, const char **attributes) {
    struct feed *feed = r->feed;
    const char *href = feed_attribute(attributes, "href"), *modified = feed_attribute(attributes, "lastmod");
    if (*frame->lang && !r->feed_rank[FIELD_LANG])
        feed->lang = frame->lang;
    if (feed->kind != FEED_CDF)
        return;
    if (href)
        set_link(r, IN_FEED, url_resolve(&feed->arena, frame->base, href), 9);
    if (modified) {
        feed->updated_text = feed_text(feed, modified, strlen(modified), true, FIELD_TEXT_BYTES, NULL);
        feed->updated_ms = date_parse(modified);
    }
}

/* Elements that are places, not fields. True when this one is. */
static bool start_place(struct feed_reader *r, struct frame *frame, enum feed_place place, enum feed_ns ns,
                        const char *name, const char **attributes) {
    static const char *const items[] = {"item", "entry", NULL};
    static const char *const wholes[] = {"rss", "rdf", "feed", "channel", "items", "entries", NULL};
    static const char *const groups[] = {"group", "content", NULL};
    bool core = ns == NS_CORE || (ns == NS_RDF && place == IN_NOTHING);
    if (core && is_one_of(name, items) && !r->in_item) {
        frame->place = IN_ITEM;
        feed_item_start(r, ns, attributes);
    } else if (core && is_one_of(name, wholes) && (place == IN_NOTHING || place == IN_FEED)) {
        frame->place = IN_FEED;
        start_whole(r, frame, attributes);
    } else if (ns == NS_MEDIA && is_one_of(name, groups) && (place == IN_ITEM || place == IN_GROUP)) {
        frame->place = IN_GROUP;
    } else if (ns == NS_CORE && place == IN_ITEM && !strcasecmp(name, "source") &&
               (r->atom_new || r->atom_old)) {
        frame->place = IN_SOURCE;
    } else if (ns == NS_CORE && !strcasecmp(name, "author") &&
               (place == IN_FEED || place == IN_ITEM || place == IN_SOURCE)) {
        start_person(r, frame, place);
    } else {
        return false;
    }
    return true;
}

void feed_field_start(struct feed_reader *r, enum feed_ns ns, const char *name, const char **attributes) {
    struct frame *frame = &r->frames[r->depth - 1];
    enum feed_place place = frame->place;
    if (start_place(r, frame, place, ns, name, attributes))
        return;
    if ((place == IN_FEED || place == IN_ITEM) && ns == NS_CORE && !strcasecmp(name, "link")) {
        start_link(r, frame, place, attributes);
        return;
    }
    const struct rule *rule = find_rule(ns, name, place);
    if (place != IN_PERSON)
        frame->place = IN_IGNORED;
    if (!rule)
        return;
    if (rule->field == FIELD_GUID && r->feed->kind != FEED_ATOM) {
        const char *says = feed_attribute(attributes, "isPermaLink");
        r->draft.guid_says_link = !says || strcasecmp(says, "false") != 0;
    }
    bool base64;
    enum feed_text text = text_kind(r, rule, attributes, &base64);
    int rank = rule->rank;
    if (rule->field == FIELD_CONTENT && feed_attribute(attributes, "src"))
        rank = 1; /* content elsewhere: what stands here is not it */
    feed_capture(r, rule->field, rank, text, base64);
    r->capture.name = rule->name;
}

/* Append what the base64 stands for. False where it is none; `out` then holds a part of it. */
static bool decode_base64(struct buf *out, const struct buf *base64) {
    uint32_t bits = 0;
    unsigned n = 0;
    for (size_t i = 0; i < base64->len; i++) {
        unsigned char c = (unsigned char)base64->data[i];
        int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '+'             ? 62
                    : c == '/'             ? 63
                                           : -1;
        if (value < 0 && !isspace(c) && c != '=')
            return false;
        if (value < 0)
            continue;
        bits = bits << 6 | (uint32_t)value;
        if (++n % 4 == 0) {
            for (int shift = 16; shift >= 0; shift -= 8)
                buf_add_byte(out, (char)(bits >> shift & 0xFF));
            bits = 0;
        }
    }
    if (n % 4 >= 2)
        buf_add_byte(out, (char)(bits >> (n % 4 == 2 ? 4 : 10) & 0xFF));
    if (n % 4 == 3)
        buf_add_byte(out, (char)(bits >> 2 & 0xFF));
    return true;
}

/* The characters of a field that comes in base64, or is of a type that would, in place of them. What is none
 * stays as it is; a title of such a type is text then. False: the field is no text. */
static bool unpack(struct capture *c) {
    c->markup.len = 0;
    bool decoded = decode_base64(&c->markup, &c->raw);
    bool other = c->text == TEXT_IS_OTHER;
    if (decoded && (!other || text_is_utf8(buf_text(&c->markup), c->markup.len))) {
        struct buf raw = c->raw;
        c->raw = c->markup;
        c->markup = raw;
        return true;
    }
    if (other && (!decoded || c->field == FIELD_TITLE))
        c->text = TEXT_IS_PLAIN;
    return !other || c->text == TEXT_IS_PLAIN;
}

/* The captured field as clean text. */
static const char *captured(struct feed_reader *r, bool one_line, size_t limit, struct html_links *links) {
    struct capture *c = &r->capture;
    bool *cut = r->in_item ? &r->draft.item.truncated : NULL;
    const char *base = r->frames[r->depth - 1].base;
    if (c->text == TEXT_IS_OTHER && !c->base64)
        return "";
    if (c->base64 && !unpack(c))
        return "";
    const char *raw = buf_text(&c->raw);
    bool markup = (c->text == TEXT_IS_MARKUP || c->children) && !c->base64;
    if (markup && !c->children)
        feed_markup(c);
    if (markup)
        return feed_html(r->feed, buf_text(&c->markup), c->markup.len, one_line, limit, cut, base, links);
    if (c->text == TEXT_IS_HTML || c->text == TEXT_IS_OTHER || c->text == TEXT_IS_MARKUP ||
        (c->text == TEXT_IS_GUESS && html_is_likely(raw, c->raw.len)))
        return feed_html(r->feed, raw, c->raw.len, one_line, limit, cut, base, links);
    return feed_text(r->feed, raw, c->raw.len, one_line, limit, cut);
}

/* "me@example.com (A Name)", "A Name <me@example.com>", "A Name (me@example.com)": the name, if there is one.
 */
static const char *display_name(struct feed *feed, const char *text) {
    const char *open = strpbrk(text, "(<"), *close = open ? strpbrk(open, ")>") : NULL;
    if (!open || !close || close[1])
        return text;
    size_t before = (size_t)(open - text), inside = (size_t)(close - open) - 1;
    while (before && isspace((unsigned char)text[before - 1]))
        before--;
    bool mail_inside = memchr(open, '@', (size_t)(close - open)) != NULL;
    bool mail_before = memchr(text, '@', before) != NULL;
    if (mail_inside && before)
        return arena_copy(&feed->arena, text, before);
    if (mail_before && inside)
        return arena_copy(&feed->arena, open + 1, inside);
    return text;
}

/* One more author: names add up, each once. */
static void add_author(struct feed *feed, const char **author, int *have, const char *text, int rank) {
    const char *name = display_name(feed, text);
    if (!name || !*name || rank < *have)
        return;
    if (rank > *have || !**author) {
        *author = name;
        *have = rank;
        return;
    }
    struct buf both = {.limit = AUTHORS_BYTES};
    if (strstr(*author, name))
        return;
    buf_add_text(&both, *author);
    buf_add_text(&both, ", ");
    buf_add_text(&both, name);
    const char *kept = both.full ? NULL : arena_text(&feed->arena, buf_text(&both));
    if (kept)
        *author = kept;
    buf_finish(&both);
}

static const char *one_line(struct feed_reader *r) {
    return captured(r, true, FIELD_TEXT_BYTES, NULL);
}

static const char *resolved(struct feed_reader *r) {
    const char *url = url_resolve(&r->feed->arena, r->frames[r->depth - 1].base, one_line(r));
    return url ? url : "";
}

/* An id that is no address of its own: a path, or in Atom a relative one under an xml:base. */
static const char *identity(struct feed_reader *r) {
    const char *id = one_line(r), *base = r->frames[r->depth - 1].base;
    bool based = r->feed->kind == FEED_ATOM && base != r->frames[0].base;
    if (*id == '/' || (based && strchr(id, '/') && !strpbrk(id, ": ")))
        return resolved(r);
    return id;
}

static void end_feed_field(struct feed_reader *r, enum feed_field field) {
    struct feed *feed = r->feed;
    const char *lang = r->frames[r->depth - 1].lang;
    switch (field) {
    case FIELD_TITLE:
        feed->title = captured(r, true, FIELD_TEXT_BYTES, NULL);
        feed->title_lang = lang;
        break;
    case FIELD_SUMMARY:
        feed->subtitle = captured(r, false, r->limits->text_bytes, NULL);
        feed->subtitle_lang = lang;
        break;
    case FIELD_GUID:
        feed->id = identity(r);
        break;
    case FIELD_PUBLISHED:
        feed->published_text = one_line(r);
        feed->published_ms = date_parse(feed->published_text);
        break;
    case FIELD_UPDATED:
        feed->updated_text = one_line(r);
        feed->updated_ms = date_parse(feed->updated_text);
        break;
    case FIELD_CREATED:
        if (feed->published_ms == DATE_NONE) {
            feed->published_text = one_line(r);
            feed->published_ms = date_parse(feed->published_text);
        }
        break;
    case FIELD_LANG:
        feed->lang = one_line(r);
        break;
    case FIELD_TTL:
        feed->ttl_minutes = atoi(one_line(r));
        if (feed->ttl_minutes < 0 || feed->ttl_minutes > 525600)
            feed->ttl_minutes = 0;
        break;
    case FIELD_MOVED:
        feed->moved = resolved(r);
        break;
    default:
        break;
    }
}

static void end_item_field(struct feed_reader *r, enum feed_field field) {
    struct feed_item *item = &r->draft.item;
    const char *lang = r->frames[r->depth - 1].lang;
    switch (field) {
    case FIELD_TITLE:
        item->title = captured(r, true, FIELD_TEXT_BYTES, &r->draft.links);
        item->title_lang = lang;
        break;
    case FIELD_SUMMARY:
        item->summary = captured(r, false, r->limits->text_bytes, &r->draft.links);
        item->summary_lang = lang;
        r->draft.summary_name = r->capture.name;
        break;
    case FIELD_CONTENT:
        item->content = captured(r, false, r->limits->text_bytes, &r->draft.links);
        item->content_lang = lang;
        break;
    case FIELD_GUID:
        item->guid = identity(r);
        break;
    case FIELD_ORIGIN:
        item->origin = resolved(r);
        break;
    case FIELD_PUBLISHED:
        item->published_text = one_line(r);
        item->published_ms = date_parse(item->published_text);
        break;
    case FIELD_UPDATED:
        item->updated_text = one_line(r);
        item->updated_ms = date_parse(item->updated_text);
        break;
    case FIELD_CREATED:
        r->draft.created_text = one_line(r);
        break;
    case FIELD_LANG:
        item->lang = one_line(r);
        break;
    default:
        break;
    }
}

void feed_field_end(struct feed_reader *r) {
    struct capture *c = &r->capture;
    enum feed_field field = c->field;
    if (field == FIELD_NAME || field == FIELD_EMAIL) {
        struct buf *to = field == FIELD_NAME ? &r->person_name : &r->person_email;
        to->len = 0;
        buf_add(to, buf_text(&c->raw), c->raw.len);
        return;
    }
    int *have = r->in_item ? &r->draft.rank[field] : &r->feed_rank[field];
    if (c->rank < *have)
        return;
    if (field == FIELD_AUTHOR) {
        add_author(r->feed, r->in_item ? &r->draft.item.author : &r->feed->author, have, one_line(r),
                   c->rank);
        return;
    }
    if (field == FIELD_LINK) {
        const char *text = one_line(r);
        if (*text)
            set_link(r, r->in_item ? IN_ITEM : IN_FEED,
                     url_resolve(&r->feed->arena, r->frames[r->depth - 1].base, text), c->rank);
        return;
    }
    bool empty = !c->raw.len && !c->children;
    if (empty && *have)
        return; /* an empty element says nothing against a full one */
    if (r->in_item && field == FIELD_CONTENT && c->rank == *have && *r->draft.item.content)
        return;
    if (r->in_item && field == FIELD_SUMMARY && c->rank == *have && r->draft.summary_name != c->name) {
        field = FIELD_CONTENT; /* both <summary> and <description>: the first is the summary */
        have = &r->draft.rank[field];
        if (*have > 1)
            return;
        c->rank = 1;
    }
    *have = c->rank;
    if (r->in_item)
        end_item_field(r, field);
    else
        end_feed_field(r, field);
}

void feed_person_end(struct feed_reader *r, const struct frame *frame, const struct frame *parent) {
    struct buf *parts[] = {&r->person_name, &r->person, &r->person_email};
    const char *text = "";
    for (size_t i = 0; i < 3 && !*text; i++)
        text = feed_text(r->feed, buf_text(parts[i]), parts[i]->len, true, AUTHORS_BYTES, NULL);
    if (!*text)
        return;
    if (frame->person_source)
        r->draft.source_author = r->draft.source_author ? r->draft.source_author : text;
    else if (parent->place == IN_ITEM)
        add_author(r->feed, &r->draft.item.author, &r->draft.rank[FIELD_AUTHOR], text, 9);
    else
        add_author(r->feed, &r->feed->author, &r->feed_rank[FIELD_AUTHOR], text, 9);
}

void feed_item_start(struct feed_reader *r, enum feed_ns ns, const char **attributes) {
    const char *href = feed_attribute(attributes, "href"), *modified = feed_attribute(attributes, "lastmod");
    (void)ns;
    r->in_item = true;
    memset(&r->draft, 0, sizeof(r->draft));
    r->draft.item = (struct feed_item){
        .guid = "",
        .link = "",
        .origin = "",
        .title = "",
        .author = "",
        .summary = "",
        .content = "",
        .lang = "",
        .title_lang = "",
        .summary_lang = "",
        .content_lang = "",
        .published_text = "",
        .updated_text = "",
        .published_ms = DATE_NONE,
        .updated_ms = DATE_NONE,
    };
    const char *about = feed_attribute(attributes, "about");
    const char *base = r->frames[r->depth - 1].base;
    r->draft.about = about ? url_resolve(&r->feed->arena, base, about) : NULL;
    if (r->feed->kind != FEED_CDF)
        return;
    if (href)
        set_link(r, IN_ITEM, url_resolve(&r->feed->arena, base, href), 9);
    if (modified) {
        r->draft.item.updated_text =
            feed_text(r->feed, modified, strlen(modified), true, FIELD_TEXT_BYTES, NULL);
        r->draft.item.updated_ms = date_parse(modified);
    }
}

/* What an item did not say itself but lets one conclude. */
static void conclude(struct feed_reader *r) {
    struct draft *d = &r->draft;
    struct feed_item *item = &d->item;
    const char *base = r->frames[r->depth - 1].base;
    item->guid_is_link = d->guid_says_link && *item->guid;
    if (!*item->link && item->guid_is_link) {
        const char *url = url_resolve(&r->feed->arena, base, item->guid);
        item->link = url && url_is_web(url) ? url : "";
    }
    if (!*item->link && d->about)
        item->link = d->about;
    if (!*item->guid && d->about)
        item->guid = d->about;
    if (!*item->author && d->source_author)
        item->author = d->source_author;
    if (item->published_ms == DATE_NONE && d->created_text) {
        item->published_text = d->created_text;
        item->published_ms = date_parse(d->created_text);
    }
    const char *langs[] = {r->frames[r->depth - 1].lang, item->content_lang, item->summary_lang};
    for (size_t i = 0; i < sizeof(langs) / sizeof(*langs) && !*item->lang; i++)
        item->lang = langs[i];
}

void feed_item_end(struct feed_reader *r) {
    if (!r->in_item)
        return;
    conclude(r);
    r->in_item = false;
    struct feed_item *item = feed_add_item(r->feed, r->limits, &r->items_cap);
    if (!item) {
        r->err = r->feed->truncated ? -EMSGSIZE : -ENOMEM;
        XML_StopParser(r->parser, XML_FALSE);
        return;
    }
    *item = r->draft.item;
    size_t n = r->draft.links.n;
    const char **links = n ? arena_take(&r->feed->arena, n * sizeof(*links)) : NULL;
    if (links) {
        memcpy(links, r->draft.links.url, n * sizeof(*links));
        item->links = links;
        item->n_links = n;
    }
}

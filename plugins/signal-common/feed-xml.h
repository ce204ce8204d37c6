/* SPDX-License-Identifier: Apache-2.0 */
/* feed-xml.h - what the two halves of the XML feed parser share. Internal to signal-common. */
#ifndef SIGNAL_FEED_XML_H
#define SIGNAL_FEED_XML_H

#define XML_DTD /* expat declares its protection setters only then */
#include <expat.h>

#include "feed.h"
#include "html.h"

enum feed_ns {
    NS_CORE, /* no namespace, RSS's, Atom's, or that of the root element */
    NS_DC,
    NS_DCTERMS,
    NS_CONTENT,
    NS_XHTML,
    NS_MEDIA,
    NS_ITUNES,
    NS_RDF,
    NS_FEEDBURNER,
    NS_OTHER,
};

/* Where in the document an element stands. */
enum feed_place {
    IN_NOTHING,
    IN_FEED,
    IN_ITEM,
    IN_PERSON,
    IN_SOURCE,  /* Atom's <source> inside an item: of another feed */
    IN_GROUP,   /* media:group, media:content: fields of an item, of lower rank */
    IN_IGNORED, /* nothing here is ours, but an item may begin */
};

enum feed_field {
    FIELD_NONE,
    FIELD_TITLE,
    FIELD_LINK,
    FIELD_GUID,
    FIELD_SUMMARY,
    FIELD_CONTENT,
    FIELD_AUTHOR,
    FIELD_PUBLISHED,
    FIELD_UPDATED,
    FIELD_CREATED,
    FIELD_LANG,
    FIELD_ORIGIN,
    FIELD_TTL,
    FIELD_MOVED,
    FIELD_NAME,
    FIELD_EMAIL,
    FIELDS_N,
};

/* How the characters of a field are to be read. */
enum feed_text {
    TEXT_IS_PLAIN,
    TEXT_IS_HTML,
    TEXT_IS_MARKUP, /* elements in place */
    TEXT_IS_GUESS,  /* RSS: nobody says */
    TEXT_IS_OTHER,  /* not text at all */
};

/* A field while its characters come in. */
struct capture {
    enum feed_field field;
    const char *name; /* the element's, a constant */
    int rank;
    enum feed_text text;
    bool base64, children;
    size_t depth;      /* frames when it began; it ends when they are back to that */
    struct buf raw;    /* characters */
    struct buf markup; /* characters escaped, and elements; from the first element on */
};

struct frame {
    enum feed_place place;
    const char *base, *lang; /* borrowed from the feed's arena */
    size_t n_names;          /* namespace declarations in scope outside of it */
    bool person_source;      /* the person is of an Atom <source> */
};

struct name {
    const char *prefix;
    size_t n; /* bytes of it */
    enum feed_ns ns;
};

/* The item being read and with which rank each of its fields was set. */
struct draft {
    struct feed_item item;
    int rank[FIELDS_N];
    const char *about, *source_author, *created_text;
    const char *summary_name; /* the element that set the summary */
    bool guid_says_link;
    struct html_links links;
};

#define FRAMES_MAX 512
#define NAMES_MAX  128

struct feed_reader {
    struct feed *feed;
    const struct feed_limits *limits;
    XML_Parser parser;
    struct frame frames[FRAMES_MAX];
    size_t depth;
    struct name names[NAMES_MAX];
    size_t n_names;
    const char *root_uri; /* the root's own namespace, or NULL */
    bool atom_new, atom_old;
    bool in_item;
    struct draft draft;
    int feed_rank[FIELDS_N];
    struct capture capture;
    bool capturing;
    struct buf person, person_name, person_email; /* the author being read */
    size_t items_cap;
    int err; /* first fatal thing, negative errno */
};

/* An element that opens in a place where fields are read. Attributes are expat's pairs. feed-field.c */
void feed_field_start(struct feed_reader *r, enum feed_ns ns, const char *name, const char **attributes);
/* The capture that just ended goes to its field. feed-field.c */
void feed_field_end(struct feed_reader *r);
/* Item and person begin and end. feed-field.c */
void feed_item_start(struct feed_reader *r, enum feed_ns ns, const char **attributes);
void feed_item_end(struct feed_reader *r);
void feed_person_end(struct feed_reader *r, const struct frame *frame, const struct frame *parent);

/* The value of an attribute by local name without regard to case, or NULL. feed-xml.c */
const char *feed_attribute(const char **attributes, const char *name);
/* Begin a capture at the current frame. feed-xml.c */
void feed_capture(struct feed_reader *r, enum feed_field field, int rank, enum feed_text text, bool base64);

/* The characters of a capture without elements, escaped, become its markup. feed-xml.c */
void feed_markup(struct capture *capture);

/* Parse UTF-8 XML into r->feed. 0 or -EBADMSG with feed->problem set. feed-xml.c */
int feed_xml_parse(struct feed *feed, const char *xml, size_t n, const struct feed_hints *hints,
                   const struct feed_limits *limits);

/* Parse a JSON Feed. Same results. feed-json.c */
int feed_json_parse(struct feed *feed, const char *json, size_t n, const struct feed_hints *hints,
                    const struct feed_limits *limits);

/* Room for one more item, zeroed with empty strings, or NULL (limit reached: `truncated` is set; or no
 * memory). feed.c */
struct feed_item *feed_add_item(struct feed *feed, const struct feed_limits *limits, size_t *cap);
/* Say what was wrong, once: the first problem stays. feed.c */
void feed_problem(struct feed *feed, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Clean text in the feed's arena, never NULL. `*cut` is set when it was longer than limit. feed.c */
const char *feed_text(struct feed *feed, const char *text, size_t n, bool one_line, size_t limit, bool *cut);
/* HTML to clean text; links go to `links`. feed.c */
const char *feed_html(struct feed *feed, const char *html, size_t n, bool one_line, size_t limit, bool *cut,
                      const char *base, struct html_links *links);

#endif

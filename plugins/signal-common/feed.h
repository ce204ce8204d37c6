/* SPDX-License-Identifier: Apache-2.0 */
/* feed.h - a feed document to its items: RSS 0.9x, 1.0 (RDF) and 2.0, Atom 0.3 and 1.0, CDF, JSON Feed.
 *
 * Order of reading of the folder: this header; feed.c (which parser, and the repair pass), feed-xml.c and
 * feed-field.c (elements to fields), feed-json.c; charset.c, repair.c, html.c, text.c, date.c, url.c what
 * they use; record.c from an item to a telex.record/1. */
#ifndef SIGNAL_FEED_H
#define SIGNAL_FEED_H

#include "buf.h"
#include "date.h"

enum feed_kind { FEED_UNKNOWN, FEED_RSS, FEED_RDF, FEED_ATOM, FEED_CDF, FEED_JSON };

/* What a hostile document may cost. A zero means the default beside it. */
struct feed_limits {
    size_t document_bytes; /* 16 MiB; a longer one is refused */
    size_t items;          /* 10,000; the rest is left out and `truncated` set */
    size_t text_bytes;     /* 256 KiB of text per item */
    size_t memory_bytes;   /* 64 MiB for all strings of the feed */
    size_t depth;          /* 128 open elements */
};

/* What came with the document. All borrowed during feed_parse; any may be NULL. */
struct feed_hints {
    const char *content_type;     /* HTTP header, for its charset */
    const char *content_language; /* HTTP header */
    const char *content_location; /* HTTP header, base of relative links */
    const char *url;              /* where the document is from */
};

/* One item. Strings are clean text (text.h), never NULL except where said; times are ms since 1970 or
 * DATE_NONE. */
struct feed_item {
    const char *guid;    /* as written, "" when there is none */
    bool guid_is_link;   /* a permalink by its own statement or by its looks */
    const char *link;    /* absolute where it could be made so; "" when there is none */
    const char *origin;  /* the publisher's own address where the feed goes through a click counter; or "" */
    const char *title;   /* one line */
    const char *author;  /* one line */
    const char *summary; /* paragraphs */
    const char *content; /* paragraphs; the whole text where the feed carries it */
    const char *lang, *title_lang, *summary_lang, *content_lang; /* as written, "" when not said */
    const char *published_text, *updated_text;                   /* as written */
    int64_t published_ms, updated_ms;
    const char *const
        *links; /* where title, summary and content point to; n_links absolute http(s) addresses */
    size_t n_links;
    bool truncated;      /* text was cut at the limit */
    bool guid_is_shared; /* other items of the document claim the same guid for other pages */
};

struct feed {
    enum feed_kind kind;
    const char *title, *subtitle, *link, *id, *author, *lang, *title_lang,
        *subtitle_lang; /* "" when absent */
    const char *published_text, *updated_text;
    int64_t published_ms, updated_ms;
    const char *hub;   /* WebSub hub, or "" */
    const char *moved; /* the feed's own statement of where it is now (self link or new location), or "" */
    int ttl_minutes;   /* RSS's own wish, 0 when not said */
    const char *encoding;
    struct feed_item *items;
    size_t n_items;
    bool repaired;     /* something had to be mended; `problem` says what was wrong first */
    bool truncated;    /* a limit cut the feed short; `problem` says which */
    char problem[160]; /* one line, with line:column where there is one; "" when all was well */
    struct arena arena;
    struct buf work[2]; /* while it is parsed: memory for one field after the other */
};

/* Parse n bytes. 0: `feed` is filled, if only partly (see repaired, truncated). -EBADMSG: no feed, `problem`
 * says why; -EMSGSIZE: larger than the limit; -ENOMEM. In every case feed_finish frees what there is.
 * Threads: any, one feed per thread. `limits` may be NULL. */
int feed_parse(struct feed *feed, const char *data, size_t n, const struct feed_hints *hints,
               const struct feed_limits *limits);
void feed_finish(struct feed *feed);

const char *feed_kind_name(enum feed_kind kind);

#endif

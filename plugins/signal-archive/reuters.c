/* SPDX-License-Identifier: Apache-2.0 */
/* reuters.c - Reuters-21578 and RCV1 documents to entries.
 *
 * A file holds one story or many, with or without an element around them (the SGML files have none), so
 * stories are cut out of it by their tags and parsed one by one; a damaged one costs only itself. Stories
 * carry no address; their number in the collection is their guid. Times carry no zone and are read as UTC. */
#include "archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <expat.h>

#include "charset.h"
#include "record.h"
#include "repair.h"
#include "text.h"

#define STORY_BYTES    ((size_t)4 << 20)
#define DEPTH_MAX      32
#define FIELD_BYTES    4096
#define DEFAULT_OUTLET "reuters.com"
#define DEFAULT_SOURCE "Reuters"

/* One story while it is read. */
struct story {
    struct buf date, title, dateline, author, topics, text,
        lead;                     /* lead: text outside of a body, of brief stories */
    struct buf *field[DEPTH_MAX]; /* where characters go, for each open element */
    size_t depth;
    bool rcv1, in_topics;
    char number[32], lang[8];
    const char *problem;
    XML_Parser parser;
};

static const char *attribute(const char **attributes, const char *name) {
    for (size_t i = 0; attributes[i]; i += 2)
        if (!strcasecmp(attributes[i], name))
            return attributes[i + 1];
    return NULL;
}

static void start_story(struct story *s, const char *name, const char **attributes) {
    const char *number = attribute(attributes, "NEWID"), *item = attribute(attributes, "itemid");
    const char *lang = attribute(attributes, "xml:lang"), *date = attribute(attributes, "date");
    s->rcv1 = !strcasecmp(name, "newsitem");
    snprintf(s->number, sizeof(s->number), "%s", number ? number : item ? item : "");
    snprintf(s->lang, sizeof(s->lang), "%s", lang ? lang : "en");
    if (date)
        buf_add_text(&s->date, date);
}

static struct buf *field_of(struct story *s, const char *name, struct buf *outer) {
    static const struct {
        const char *name;
        size_t at;
    } fields[] = {
        {"DATE", offsetof(struct story, date)},         {"TITLE", offsetof(struct story, title)},
        {"DATELINE", offsetof(struct story, dateline)}, {"AUTHOR", offsetof(struct story, author)},
        {"BYLINE", offsetof(struct story, author)},     {"BODY", offsetof(struct story, text)},
    };
    if (s->rcv1 && !strcasecmp(name, "title"))
        return NULL; /* the headline with the country before it */
    if (s->rcv1 && !strcasecmp(name, "headline"))
        return &s->title;
    if (!strcasecmp(name, "TEXT"))
        return s->rcv1 ? &s->text : &s->lead;
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (!strcasecmp(name, fields[i].name))
            return (struct buf *)((char *)s + fields[i].at);
    if (!strcasecmp(name, "D") && s->in_topics) {
        buf_add_text(&s->topics, s->topics.len ? ", " : "");
        return &s->topics;
    }
    if (!strcasecmp(name, "p"))
        buf_add_text(&s->text, "\n\n");
    return !strcasecmp(name, "p") ? outer : NULL;
}

static void start_element(void *user, const char *name, const char **attributes) {
    struct story *s = user;
    if (s->depth == DEPTH_MAX) {
        s->problem = "elements nested too deep";
        XML_StopParser(s->parser, XML_FALSE);
        return;
    }
    struct buf *outer = s->depth ? s->field[s->depth - 1] : NULL;
    if (!s->depth)
        start_story(s, name, attributes);
    if (!strcasecmp(name, "TOPICS"))
        s->in_topics = true;
    s->field[s->depth++] = field_of(s, name, outer);
}

static void end_element(void *user, const char *name) {
    struct story *s = user;
    if (!strcasecmp(name, "TOPICS"))
        s->in_topics = false;
    s->depth--;
}

static void characters(void *user, const char *text, int n) {
    struct story *s = user;
    if (s->depth && s->field[s->depth - 1])
        buf_add(s->field[s->depth - 1], text, (size_t)n);
}

static void entity_declared(void *user, const char *name, int is_parameter, const char *value,
                            int value_bytes, const char *base, const char *system_id, const char *public_id,
                            const char *notation) {
    struct story *s = user;
    (void)name, (void)is_parameter, (void)value, (void)value_bytes;
    (void)base, (void)system_id, (void)public_id, (void)notation;
    s->problem = "declares entities";
    XML_StopParser(s->parser, XML_FALSE);
}

static void story_finish(struct story *s) {
    struct buf *all[] = {&s->date, &s->title, &s->dateline, &s->author, &s->topics, &s->text, &s->lead};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        buf_finish(all[i]);
}

static bool parse(struct story *s, const char *xml, size_t n) {
    s->parser = XML_ParserCreate("UTF-8");
    if (!s->parser)
        return false;
    XML_SetUserData(s->parser, s);
    XML_SetElementHandler(s->parser, start_element, end_element);
    XML_SetCharacterDataHandler(s->parser, characters);
    XML_SetEntityDeclHandler(s->parser, entity_declared);
    bool good = XML_Parse(s->parser, xml, (int)n, 1) == XML_STATUS_OK;
    XML_ParserFree(s->parser);
    return good;
}

static void story_begin(struct story *s) {
    memset(s, 0, sizeof(*s));
    s->date.limit = s->title.limit = s->dateline.limit = s->author.limit = s->topics.limit = FIELD_BYTES;
}

/* Parse strictly, else mended: the SGML files hold characters that XML forbids. */
static bool read_story(struct story *s, const char *xml, size_t n) {
    story_begin(s);
    if (parse(s, xml, n))
        return true;
    if (s->problem)
        return false;
    story_finish(s);
    story_begin(s);
    struct buf mended = {.limit = 2 * n + 4096};
    repair_xml(&mended, xml, n);
    bool good = mended.len && parse(s, mended.data, mended.len);
    buf_finish(&mended);
    return good;
}

/* A line of a table keeps its line: it has gaps that prose has not. */
static bool is_table(const char *line, size_t n) {
    size_t start = 0, gaps = 0;
    while (start < n && line[start] == ' ')
        start++;
    for (size_t i = start; i + 3 < n; i++)
        if (!memcmp(line + i, "   ", 3) && line[i + 3] != ' ')
            gaps++;
    return gaps > 0;
}

static bool is_sign_off(const char *line, size_t n) {
    while (n && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n && strchr(" .;&\r\t\003", line[n - 1]))
        n--;
    return (n == 6 && !strncasecmp(line, "reuter", 6)) || (n == 7 && !strncasecmp(line, "reuters", 7));
}

/* Teletype lines to paragraphs: an indented line begins one, tables keep their lines, the sign-off goes. */
static void unwrap(struct buf *out, const char *text, size_t n) {
    const char *at = text, *end = text + n;
    bool table_before = false;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((line_end ? line_end : end) - at);
        size_t blank = 0;
        while (blank < len && (at[blank] == ' ' || at[blank] == '\t'))
            blank++;
        if (blank < len && !is_sign_off(at, len)) {
            bool table = is_table(at, len);
            bool paragraph = out->len && (blank >= 2 || table || table_before);
            buf_add_text(out, !out->len ? "" : !paragraph ? " " : table && table_before ? "\n" : "\n\n");
            buf_add(out, at + blank, len - blank);
            table_before = table;
        } else if (blank == len && out->len) {
            buf_add_text(out, "\n\n");
        }
        at += len + 1;
    }
}

/* A clean copy in the arena, never NULL. */
static char *clean_text(struct arena *arena, const struct buf *text, enum text_shape shape, size_t limit,
                        bool *cut) {
    static char nothing[1];
    struct buf out = {.limit = 0};
    text_clean(&out, buf_text(text), text->len, shape);
    size_t n = text_prefix(buf_text(&out), out.len, limit);
    if (cut)
        *cut = n < out.len;
    char *kept = arena_copy(arena, buf_text(&out), n);
    buf_finish(&out);
    return kept ? kept : nothing;
}

/* "By Cal Mankowski, Reuters" is Cal Mankowski. */
static const char *author_name(struct arena *arena, const struct buf *author) {
    char *name = clean_text(arena, author, TEXT_LINE, FIELD_BYTES, NULL);
    if (!strncasecmp(name, "by ", 3))
        name += 3;
    char *comma = strrchr(name, ',');
    if (comma && strcasestr(comma, "reuter"))
        *comma = 0;
    return name;
}

static const char *or_else(const char *text, const char *otherwise) {
    return text && *text ? text : otherwise;
}

/* The story as a record. False: it says nothing. */
static bool fill(struct record *record, struct story *s, const struct archive_config *config,
                 struct arena *arena, const char **extra) {
    struct buf text = {.limit = 0};
    unwrap(&text, buf_text(&s->text), s->text.len);
    if (!text.len)
        unwrap(&text, buf_text(&s->lead), s->lead.len);
    const char *body = clean_text(arena, &text, TEXT_PARAGRAPHS, (size_t)config->text_bytes, &record->cut);
    buf_finish(&text);
    const char *topics = clean_text(arena, &s->topics, TEXT_LINE, FIELD_BYTES, NULL);
    const char *dateline = clean_text(arena, &s->dateline, TEXT_LINE, FIELD_BYTES, NULL);
    char guid[64];
    snprintf(guid, sizeof(guid), "%s-%s", s->rcv1 ? "rcv1" : "reuters-21578", s->number);
    *record = (struct record){
        .guid = arena_text(arena, *s->number ? guid : ""),
        .source = or_else(config->source, DEFAULT_SOURCE),
        .outlet = or_else(config->outlet, DEFAULT_OUTLET),
        .url = "",
        .canonical = "",
        .title = clean_text(arena, &s->title, TEXT_LINE, FIELD_BYTES, NULL),
        .author = author_name(arena, &s->author),
        .text = body,
        .lang = or_else(config->lang, arena_text(arena, s->lang)),
        .primary = config->primary,
        .cut = record->cut,
        .published_ms = date_parse(clean_text(arena, &s->date, TEXT_LINE, FIELD_BYTES, NULL)),
    };
    record->owner = or_else(config->owner, record->outlet);
    size_t n = 0;
    if (*dateline) {
        extra[n++] = "dateline";
        extra[n++] = dateline;
    }
    if (*topics) {
        extra[n++] = "topics";
        extra[n++] = topics;
    }
    record->extra = extra;
    return *record->title || *record->text;
}

static int add_story(struct archive_reader *r, const char *path, struct story *s) {
    struct arena arena = {.limit = 0};
    struct record record = {.cut = false};
    const char *extra[5] = {NULL};
    int err = 0;
    if (!fill(&record, s, r->config, &arena, extra)) {
        archive_reader_skip(r, path, "story %s has neither title nor text",
                            or_else(s->number, "without number"));
    } else if (record.published_ms == DATE_NONE) {
        archive_reader_skip(r, path, "story %s has no date that can be read",
                            or_else(s->number, "without number"));
    } else {
        struct telex_builder b;
        record.updated_ms = record.fetched_ms = record.published_ms;
        record_identify(&record, record.outlet);
        if (record.cut)
            telex_say(r->host, TELEX_WARN, 0, "%s: record %s: text cut at %zu bytes", path, record.id,
                      (size_t)r->config->text_bytes);
        telex_build_init(&b);
        record_write(&record, 1, &b);
        err = archive_reader_add(r, &b, record.id, record.published_ms);
        telex_build_finish(&b);
    }
    arena_finish(&arena);
    return err;
}

/* Where the next story begins, and behind its end. */
static const char *next_story(const char *at, const char *end, const char **stop) {
    static const char *const tags[][2] = {{"<REUTERS", "</REUTERS>"}, {"<newsitem", "</newsitem>"}};
    const char *best = NULL;
    for (size_t i = 0; i < 2; i++) {
        const char *start = memmem(at, (size_t)(end - at), tags[i][0], strlen(tags[i][0]));
        if (!start || (best && best < start))
            continue;
        const char *close = memmem(start, (size_t)(end - start), tags[i][1], strlen(tags[i][1]));
        best = start;
        *stop = close ? close + strlen(tags[i][1]) : end;
    }
    return best;
}

int reuters_read(struct archive_reader *r, const char *path, const char *data, size_t n) {
    struct buf utf8 = {.limit = 0};
    struct charset_result charset;
    charset_decode(&utf8, data, n, NULL, &charset);
    const char *at = buf_text(&utf8), *end = at + utf8.len, *stop = end;
    int err = 0;
    size_t found = 0;
    for (at = next_story(at, end, &stop); !err && at; at = next_story(stop, end, &stop)) {
        struct story story;
        found++;
        if ((size_t)(stop - at) > STORY_BYTES) {
            archive_reader_skip(r, path, "story %zu is larger than 4 MiB", found);
            continue;
        }
        if (read_story(&story, at, (size_t)(stop - at)))
            err = add_story(r, path, &story);
        else
            archive_reader_skip(r, path, "story %zu cannot be parsed%s%s", found, story.problem ? ": " : "",
                                or_else(story.problem, ""));
        story_finish(&story);
    }
    if (!found)
        archive_reader_skip(r, path, "holds no Reuters story");
    buf_finish(&utf8);
    return err;
}

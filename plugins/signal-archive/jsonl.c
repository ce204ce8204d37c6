/* SPDX-License-Identifier: Apache-2.0 */
/* jsonl.c - one line of a JSONL archive to an entry.
 *
 * The line is a telex.record/1 and passes as it is, unknown keys included; only what a record must have is
 * added where it is missing, and title, author and text are cleaned where they hold what no record may hold.
 */
#include "archive.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include <telex-sdk/json.h>

#include "record.h"
#include "text.h"
#include "url.h"

static const char *text_of(const json_t *value, const char *key) {
    const char *text = json_string_value(json_object_get(value, key));
    return text ? text : "";
}

static void set_text(json_t *value, const char *key, const char *text) {
    if (text && *text && !*text_of(value, key))
        json_object_set_new(value, key, json_string(text));
}

/* Clean and cut one text member. True when it was cut. */
static bool clean(json_t *value, const char *key, enum text_shape shape, size_t limit) {
    json_t *member = json_object_get(value, key);
    const char *text = json_string_value(member);
    size_t n = json_string_length(member);
    if (!text)
        return false;
    struct buf out = {.limit = 0};
    bool cut = false;
    if (text_is_clean(text, n))
        buf_add(&out, text, n);
    else
        text_clean(&out, text, n, shape);
    size_t kept = text_prefix(buf_text(&out), out.len, limit);
    cut = kept < out.len;
    if (cut || kept != n || memcmp(buf_text(&out), text, n) != 0)
        json_object_set_new(value, key, json_stringn(buf_text(&out), kept));
    buf_finish(&out);
    return cut;
}

/* A record without an id gets the one it would have had from a feed. */
static void add_id(json_t *value) {
    struct arena arena = {.limit = 1 << 20};
    struct record record = {
        .guid = text_of(value, "guid"),
        .url = text_of(value, "url"),
        .title = text_of(value, "title"),
        .author = text_of(value, "author"),
        .text = text_of(value, "text"),
    };
    const char *same = url_is_web(record.url) ? url_canonical(&arena, record.url) : NULL;
    record.canonical = same ? same : "";
    record_identify(&record, text_of(value, "outlet"));
    json_object_set_new(value, "id", json_string(record.id));
    arena_finish(&arena);
}

/* Why a line is no record, or NULL. */
static const char *refuse(const json_t *value) {
    const char *schema = text_of(value, "schema");
    const json_t *id = json_object_get(value, "id");
    if (!json_is_object(value))
        return "not a JSON object";
    if (*schema && strcmp(schema, "telex.record/1") != 0)
        return "its schema is not telex.record/1";
    if (id &&
        (!json_is_string(id) || !json_string_length(id) || json_string_length(id) > TELEX_ID_MAX_BYTES ||
         strlen(json_string_value(id)) != json_string_length(id)))
        return "its id is not a text of 1 to 64 bytes";
    if (!*text_of(value, "title") && !*text_of(value, "text"))
        return "neither title nor text";
    return NULL;
}

/* What a record must have. The schema stands first where it is added. */
static json_t *complete(json_t *value, const struct archive_config *config) {
    json_t *whole = json_object();
    if (!whole)
        return NULL;
    json_object_set_new(whole, "schema", json_string("telex.record/1"));
    if (json_object_update(whole, value) != 0) {
        json_decref(whole);
        return NULL;
    }
    set_text(whole, "outlet", config->outlet);
    set_text(whole, "owner", config->owner);
    set_text(whole, "source", config->source);
    set_text(whole, "lang", config->lang);
    if (!json_object_get(whole, "primary"))
        json_object_set_new(whole, "primary", json_boolean(config->primary));
    if (!json_is_integer(json_object_get(whole, "version")))
        json_object_set_new(whole, "version", json_integer(1));
    if (!json_is_integer(json_object_get(whole, "published_ms"))) {
        const json_t *fetched = json_object_get(whole, "fetched_ms");
        json_object_set_new(whole, "published_ms", json_integer(json_integer_value(fetched)));
    }
    if (!*text_of(whole, "id"))
        add_id(whole);
    return whole;
}

int jsonl_read(struct archive_reader *r, const char *path, const char *line, size_t n) {
    json_error_t error;
    json_t *value = json_loadb(line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        archive_reader_skip(r, path, "%" PRIu64 ":%d: %s", r->line, error.column, error.text);
        return 0;
    }
    const char *why = refuse(value);
    json_t *whole = why ? NULL : complete(value, r->config);
    int err = 0;
    if (why)
        archive_reader_skip(r, path, "%" PRIu64 ":1: %s", r->line, why);
    else if (!whole)
        err = -ENOMEM;
    if (whole) {
        struct telex_builder b;
        const char *id = text_of(whole, "id");
        clean(whole, "title", TEXT_LINE, 4096);
        clean(whole, "author", TEXT_LINE, 4096);
        if (clean(whole, "text", TEXT_PARAGRAPHS, (size_t)r->config->text_bytes))
            telex_say(r->host, TELEX_WARN, 0, "%s:%" PRIu64 ": record %s: text cut at %" PRId64 " bytes",
                      path, r->line, id, r->config->text_bytes);
        telex_build_init(&b);
        telex_build_json(&b, whole);
        if (b.broken)
            archive_reader_skip(r, path, "%" PRIu64 ":1: nested deeper than %d", r->line,
                                TELEX_BODY_MAX_DEPTH);
        else
            err = archive_reader_add(r, &b, id, json_integer_value(json_object_get(whole, "published_ms")));
        telex_build_finish(&b);
    }
    json_decref(whole);
    json_decref(value);
    return err;
}

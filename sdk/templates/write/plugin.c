/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@ - a writer without a model: the dispatch quotes the title of each record of the story.
 *
 * A story carries only the ids of its records; get() reads them. A dispatch keeps its story's id and version, so a
 * newer version of the story replaces the page. Every sentence cites the record that it is from. */
#include <stdlib.h>

#include <telex-sdk/id.h>
#include <telex-sdk/plugin.h>

enum { RECORDS_MAX = 16 };

struct writer {
    const struct telex_host *host; /* borrowed */
    char *beat;                    /* in `memory` */
    void *memory;                  /* owned */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "beat", .type = TELEX_TEXT, .offset = offsetof(struct writer, beat),
                 .initial = "General", .doc = "what the dispatches are filed under"),
    NULL,
};

static void writer_destroy(void *self) {
    struct writer *writer = self;
    free(writer->memory);
    free(writer);
}

static telex_status writer_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return TELEX_FATAL;
    if (telex_options_read(options, given, writer, &writer->memory) < 0) {
        writer_destroy(writer);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    writer->host = host;
    *self = writer;
    return TELEX_OK;
}

/* The records of a story that are stored and have a title. */
struct sources {
    struct telex_rec *records[RECORDS_MAX]; /* owned references */
    struct telex_map maps[RECORDS_MAX];
    uint32_t n;
};

static void sources_finish(const struct telex_host *host, struct sources *s) {
    for (uint32_t i = 0; i < s->n; i++) {
        telex_map_close(&s->maps[i]);
        host->release(host, s->records[i]);
    }
}

static void sources_read(const struct telex_host *host, telex_lease lease, const msgpack_object *story,
                         struct sources *s) {
    uint32_t n;
    const msgpack_object *ids = telex_map_array(story, "records", &n);
    *s = (struct sources){.n = 0};
    for (uint32_t i = 0; i < n && s->n < RECORDS_MAX; i++) {
        struct telex_view view = {.size = sizeof(view)};
        struct telex_rec *record;
        if (host->get(host, lease, "telex.record/1", telex_object_text(&ids[i]), UINT64_MAX, &record) != TELEX_OK)
            continue; /* retention took it */
        if (host->view(host, record, &view) != TELEX_OK || telex_map_open(&s->maps[s->n], view.body) < 0) {
            host->release(host, record);
            continue;
        }
        s->records[s->n++] = record;
        if (telex_map_text(s->maps[s->n - 1].root, "title").size == 0) {
            telex_map_close(&s->maps[--s->n]);
            host->release(host, record);
        }
    }
}

static void put_text(struct telex_builder *b, const char *key, struct telex_bytes text) {
    telex_build_key(b, key);
    telex_build_bytes(b, text);
}

/* A sentence and the span of the record that supports it. */
static void build_sentence(struct telex_builder *b, const msgpack_object *record) {
    char sha256[65];
    struct telex_bytes title = telex_map_text(record, "title");
    telex_sha256_hex(sha256, title);
    telex_build_map_begin(b);
    put_text(b, "text", title);
    telex_build_key(b, "citations");
    telex_build_array(b, 1);
    telex_build_map_begin(b);
    put_text(b, "record", telex_map_text(record, "id"));
    telex_build_key(b, "field"), telex_build_text(b, "title");
    telex_build_key(b, "start"), telex_build_int(b, 0);
    telex_build_key(b, "end"), telex_build_int(b, (int64_t)title.size);
    telex_build_key(b, "sha256"), telex_build_text(b, sha256);
    telex_build_map_end(b);
    telex_build_map_end(b);
}

static void build_dispatch(struct telex_builder *b, const struct writer *writer, const msgpack_object *story,
                           const struct sources *s) {
    char id[33];
    struct telex_bytes story_id = telex_map_text(story, "id");
    telex_id(id, "dispatch", &story_id, 1);
    telex_build_map_begin(b);
    telex_build_key(b, "schema"), telex_build_text(b, "telex.dispatch/1");
    telex_build_key(b, "id"), telex_build_text(b, id);
    telex_build_key(b, "version"), telex_build_int(b, telex_map_int(story, "version", 1));
    telex_build_key(b, "status"), telex_build_text(b, "usable");
    put_text(b, "story", story_id);
    telex_build_key(b, "kind"), telex_build_text(b, "News");
    telex_build_key(b, "beat"), telex_build_text(b, writer->beat);
    put_text(b, "headline", telex_map_text(s->maps[0].root, "title"));
    telex_build_key(b, "body");
    telex_build_array(b, 1); /* one paragraph */
    telex_build_array(b, s->n);
    for (uint32_t i = 0; i < s->n; i++)
        build_sentence(b, s->maps[i].root);
    telex_build_key(b, "citations");
    telex_build_array(b, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        const msgpack_object *record = s->maps[i].root;
        telex_build_map_begin(b);
        put_text(b, "record", telex_map_text(record, "id"));
        put_text(b, "url", telex_map_text(record, "url"));
        put_text(b, "title", telex_map_text(record, "title"));
        put_text(b, "outlet", telex_map_text(record, "outlet"));
        telex_build_map_end(b);
    }
    telex_build_key(b, "records_used"), telex_build_int(b, s->n);
    telex_build_map_end(b);
}

static telex_status write_story(const struct writer *writer, telex_lease lease, const msgpack_object *story) {
    struct sources sources;
    struct telex_builder b;
    sources_read(writer->host, lease, story, &sources);
    if (sources.n == 0)
        return telex_fail(writer->host, lease, TELEX_REJECT, "none of the story's records can be read");
    telex_build_init(&b);
    build_dispatch(&b, writer, story, &sources);
    telex_status status = telex_build_commit(&b, writer->host, lease, 0);
    telex_build_finish(&b);
    sources_finish(writer->host, &sources);
    return status;
}

static telex_status writer_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct writer *writer = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    telex_status status = writer->host->view(writer->host, in, &view);
    if (status != TELEX_OK)
        return status;
    if (telex_map_open(&map, view.body) < 0)
        return telex_fail(writer->host, lease, TELEX_REJECT, "body is no message");
    status = write_story(writer, lease, map.root);
    telex_map_close(&map);
    return status;
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "stories", "telex.story/1"),
    TELEX_PORT(TELEX_OUT, "dispatches", "telex.dispatch/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WRITE,
    .max_outputs = 1,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "a dispatch of the titles of a story's records",
    .ports = ports,
    .options = options,
    .create = writer_create,
    .process = writer_process,
    .destroy = writer_destroy,
};

TELEX_STAGE_PLUGIN(stage, "@NAME@", "0.1.0", "Apache-2.0", "a dispatch of the titles of a story's records")

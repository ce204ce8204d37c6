/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@ - a source: each line of a file becomes a record.
 *
 * How many lines were given is kept in kv and changes in the step that commits the record, so a crash or a restart
 * neither repeats a line nor leaves one out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <telex/ext/kv.h>
#include <telex-sdk/id.h>
#include <telex-sdk/plugin.h>

struct source {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed */
    char *path, *outlet;           /* in `memory` */
    void *memory;                  /* owned */
    FILE *file;                    /* owned; NULL until start */
    char *line;                    /* owned; getline's */
    size_t line_size;
    int64_t given; /* lines that became records */
};

/* What a config may set. The host checks it, fills in defaults, and documents it in `telex plugins @NAME@`. */
static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .offset = offsetof(struct source, path),
                 .flags = TELEX_OPTION_REQUIRED, .doc = "file with one headline a line"),
    TELEX_OPTION(.name = "outlet", .type = TELEX_TEXT, .offset = offsetof(struct source, outlet),
                 .initial = "example.org", .doc = "whose headlines they are"),
    NULL,
};

static void source_destroy(void *self) {
    struct source *source = self;
    free(source->line);
    free(source->memory);
    free(source);
}

static telex_status source_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct source *source = calloc(1, sizeof(*source));
    if (!source)
        return TELEX_FATAL;
    if (telex_options_read(options, given, source, &source->memory) < 0) {
        source_destroy(source);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    source->host = host;
    source->kv = host->ext(host, TELEX_KV);
    *self = source;
    return TELEX_OK;
}

/* Open the file and go to where the last committed step ended. */
static telex_status source_start(void *self) {
    struct source *source = self;
    char text[24] = {0};
    int64_t size = source->kv->get(source->host, 0, telex_text("given"), text, sizeof(text) - 1);
    if (size < 0 && size != TELEX_NOT_FOUND)
        return telex_fail(source->host, 0, TELEX_FATAL, "state cannot be read");
    source->given = size > 0 ? strtoll(text, NULL, 10) : 0;
    source->file = fopen(source->path, "re");
    if (!source->file)
        return telex_fail(source->host, 0, TELEX_FATAL, "%s: %s", source->path, strerror(errno));
    for (int64_t i = 0; i < source->given; i++)
        if (getline(&source->line, &source->line_size, source->file) < 0)
            break;
    return TELEX_OK;
}

static telex_status give(struct source *source, telex_lease lease, struct telex_bytes title) {
    char id[33], text[24];
    struct telex_builder b;
    struct telex_bytes parts[] = {telex_text(source->outlet), title};
    telex_id(id, "record", parts, 2);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_text(&b, id);
    telex_build_key(&b, "version"), telex_build_int(&b, 1);
    telex_build_key(&b, "source"), telex_build_text(&b, "@NAME@");
    telex_build_key(&b, "outlet"), telex_build_text(&b, source->outlet);
    telex_build_key(&b, "title"), telex_build_bytes(&b, title);
    telex_build_key(&b, "text"), telex_build_bytes(&b, title);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, source->host, lease, 0);
    telex_build_finish(&b);
    if (status != TELEX_OK)
        return status;
    snprintf(text, sizeof(text), "%lld", (long long)source->given + 1);
    return source->kv->put(source->host, lease, telex_text("given"), telex_text(text));
}

/* One step gives one record. Returns whether to go on. */
static bool step(struct source *source) {
    telex_lease lease;
    if (source->host->open(source->host, &lease) != TELEX_OK)
        return false; /* no room: on_credit comes again */
    ssize_t size = getline(&source->line, &source->line_size, source->file);
    if (size < 0) {
        source->host->complete(source->host, lease, TELEX_OK); /* a step without outputs */
        source->host->exhausted(source->host);
        return false;
    }
    while (size > 0 && (source->line[size - 1] == '\n' || source->line[size - 1] == '\r'))
        size--;
    telex_status status = give(source, lease, (struct telex_bytes){(const uint8_t *)source->line, (uint64_t)size});
    source->given += status == TELEX_OK;
    /* A step that touched state and failed makes the host start this instance anew, from its state. */
    return source->host->complete(source->host, lease, status) == TELEX_OK && status == TELEX_OK;
}

static void source_on_credit(void *self) {
    while (step(self))
        ;
}

static void source_stop(void *self) {
    struct source *source = self;
    if (source->file)
        fclose(source->file);
    source->file = NULL;
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_OUT, "records", "telex.record/1"),
    NULL,
};

static const char *const needs[] = {"fs:read", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_SIGNAL,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "each line of a file as a record",
    .ports = ports,
    .options = options,
    .needs = needs,
    .create = source_create,
    .start = source_start,
    .on_credit = source_on_credit,
    .stop = source_stop,
    .destroy = source_destroy,
};

TELEX_STAGE_PLUGIN(stage, "@NAME@", "0.1.0", "Apache-2.0", "each line of a file as a record")

/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@ - a wire that publishes each dispatch as a line of a file, and says so with an event.
 *
 * The file is outside the host's transaction: a crash after the line is written and before the step commits runs the
 * step again. So the number of the line and the size of the file are kept in kv with the step, and what the file has
 * beyond that size is cut off before the line is written: never lost, never twice. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <telex/ext/kv.h>
#include <telex-sdk/plugin.h>

struct wire {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed */
    char *path;                    /* in `memory` */
    void *memory;                  /* owned */
    int fd;                        /* -1: closed */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .offset = offsetof(struct wire, path),
                 .flags = TELEX_OPTION_REQUIRED, .doc = "file that gets one line a dispatch"),
    NULL,
};

static void wire_destroy(void *self) {
    struct wire *wire = self;
    free(wire->memory);
    free(wire);
}

static telex_status wire_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return TELEX_FATAL;
    if (telex_options_read(options, given, wire, &wire->memory) < 0) {
        wire_destroy(wire);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    wire->host = host;
    wire->kv = host->ext(host, TELEX_KV);
    wire->fd = -1;
    *self = wire;
    return TELEX_OK;
}

static telex_status wire_start(void *self) {
    struct wire *wire = self;
    wire->fd = open(wire->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (wire->fd < 0)
        return telex_fail(wire->host, 0, TELEX_FATAL, "%s: %s", wire->path, strerror(errno));
    return TELEX_OK;
}

static int64_t number_at(const struct wire *wire, telex_lease lease, const char *key) {
    char text[24] = {0};
    int64_t size = wire->kv->get(wire->host, lease, telex_text(key), text, sizeof(text) - 1);
    return size > 0 ? strtoll(text, NULL, 10) : 0;
}

static telex_status keep(const struct wire *wire, telex_lease lease, const char *key, int64_t number) {
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    return wire->kv->put(wire->host, lease, telex_text(key), telex_text(text));
}

/* Write one line at `at` and cut what an unfinished step may have left behind it. 0 or negative errno. */
static int write_line(const struct wire *wire, int64_t at, struct telex_bytes headline) {
    char line[512];
    int size = snprintf(line, sizeof(line), "%.*s\n", headline.size < 500 ? (int)headline.size : 500,
                        (const char *)headline.data);
    if (ftruncate(wire->fd, at) < 0 || pwrite(wire->fd, line, (size_t)size, at) != size || fdatasync(wire->fd) < 0)
        return errno ? -errno : -EIO;
    return size;
}

static telex_status say_published(const struct wire *wire, telex_lease lease, const msgpack_object *dispatch,
                                  int64_t seq) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.event/1");
    telex_build_key(&b, "id"), telex_build_bytes(&b, telex_map_text(dispatch, "id"));
    telex_build_key(&b, "version"), telex_build_int(&b, telex_map_int(dispatch, "version", 1));
    telex_build_key(&b, "act"), telex_build_text(&b, "publish");
    telex_build_key(&b, "headline"), telex_build_bytes(&b, telex_map_text(dispatch, "headline"));
    telex_build_key(&b, "seq"), telex_build_int(&b, seq);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, wire->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static telex_status publish(const struct wire *wire, telex_lease lease, const msgpack_object *dispatch) {
    int64_t at = number_at(wire, lease, "size"), seq = number_at(wire, lease, "seq") + 1;
    struct telex_bytes headline = telex_map_text(dispatch, "headline");
    if (headline.size == 0 || memchr(headline.data, '\n', headline.size))
        return telex_fail(wire->host, lease, TELEX_REJECT, "a headline is one line and not empty");
    int size = write_line(wire, at, headline);
    if (size < 0) /* the disk may have room again */
        return telex_fail(wire->host, lease, TELEX_RETRY, "%s: %s", wire->path, strerror(-size));
    telex_status status = keep(wire, lease, "size", at + size);
    if (status == TELEX_OK)
        status = keep(wire, lease, "seq", seq);
    return status == TELEX_OK ? say_published(wire, lease, dispatch, seq) : status;
}

static telex_status wire_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct wire *wire = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    telex_status status = wire->host->view(wire->host, in, &view);
    if (status != TELEX_OK)
        return status;
    if (telex_map_open(&map, view.body) < 0)
        return telex_fail(wire->host, lease, TELEX_REJECT, "body is no message");
    status = publish(wire, lease, map.root);
    telex_map_close(&map);
    return status;
}

static void wire_stop(void *self) {
    struct wire *wire = self;
    if (wire->fd >= 0)
        close(wire->fd);
    wire->fd = -1;
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "dispatches", "telex.dispatch/1"),
    TELEX_PORT(TELEX_OUT, "events", "telex.event/1"),
    NULL,
};

static const char *const needs[] = {"fs:write", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WIRE,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "one line of a file for each dispatch",
    .ports = ports,
    .options = options,
    .needs = needs,
    .create = wire_create,
    .start = wire_start,
    .process = wire_process,
    .stop = wire_stop,
    .destroy = wire_destroy,
};

TELEX_STAGE_PLUGIN(stage, "@NAME@", "0.1.0", "Apache-2.0", "one line of a file for each dispatch")

/* SPDX-License-Identifier: Apache-2.0 */
/* sink-file - writes each message as one JSON line to a file, each exactly once.
 *
 * `size` is the length of the file that is committed. It is kept in kv and changes in the step that wrote the
 * line; start cuts the file back to it, so a line whose step did not commit is gone before it is written
 * again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex/ext/kv.h>
#include <telex-sdk/json.h>
#include <telex-sdk/plugin.h>

struct sink {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed; NULL where the host has none */
    const char *path;              /* in memory */
    void *memory;                  /* owned, of the options */
    int64_t size;
    int fd; /* -1: not started */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct sink, path), .doc = "file to write, one JSON object a line"),
    NULL,
};

static telex_status sink_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return TELEX_FATAL;
    if (telex_options_read(options, given, sink, &sink->memory) < 0 || !*sink->path) {
        free(sink->memory);
        free(sink);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    sink->host = host;
    sink->kv = host->ext(host, TELEX_KV);
    sink->fd = -1;
    *self = sink;
    return TELEX_OK;
}

static telex_status sink_start(void *self) {
    struct sink *sink = self;
    char text[24] = {0};
    int64_t got = sink->kv ? sink->kv->get(sink->host, 0, telex_text("size"), text, sizeof(text) - 1) : 0;
    if (got < 0 && got != TELEX_NOT_FOUND)
        return telex_fail(sink->host, 0, TELEX_FATAL, "state cannot be read: status %" PRId64, got);
    sink->size = got > 0 ? strtoll(text, NULL, 10) : 0;
    sink->fd = open(sink->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (sink->fd < 0 || ftruncate(sink->fd, sink->size) < 0)
        return telex_fail(sink->host, 0, TELEX_FATAL, "%s: %s", sink->path, strerror(errno));
    return TELEX_OK;
}

static int write_all(int fd, const char *text, size_t size, int64_t at) {
    while (size > 0) {
        ssize_t n = pwrite(fd, text, size, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        size -= (size_t)n;
        at += n;
    }
    return 0;
}

static telex_status sink_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct sink *sink = self;
    struct telex_view view = {.size = sizeof(view)};
    telex_status status = sink->host->view(sink->host, in, &view);
    if (status != TELEX_OK)
        return status;
    char *line = telex_json_line(view.body);
    if (!line)
        return telex_fail(sink->host, lease, TELEX_REJECT, "message has no JSON form");
    size_t size = strlen(line);
    line[size] = '\n';
    int err = write_all(sink->fd, line, size + 1, sink->size);
    free(line);
    if (err < 0)
        return telex_fail(sink->host, lease, TELEX_RETRY, "%s: %s", sink->path, strerror(-err));
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, sink->size + (int64_t)size + 1);
    if (sink->kv)
        status = sink->kv->put(sink->host, lease, telex_text("size"), telex_text(text));
    if (status == TELEX_OK)
        sink->size += (int64_t)size + 1;
    return status;
}

static void sink_stop(void *self) {
    struct sink *sink = self;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = -1;
}

static void sink_destroy(void *self) {
    struct sink *sink = self;
    sink_stop(sink);
    free(sink->memory);
    free(sink);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "messages", "*"),
    NULL,
};
static const char *const needs[] = {"fs:write", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WIRE,
    .flags = TELEX_STAGE_STATEFUL,
    .name = "sink-file",
    .version = "0.1.0",
    .doc = "writes each message as one JSON line",
    .ports = ports,
    .options = options,
    .needs = needs,
    .create = sink_create,
    .start = sink_start,
    .process = sink_process,
    .stop = sink_stop,
    .destroy = sink_destroy,
};

TELEX_STAGE_PLUGIN(stage, "sink-file", "0.1.0", "Apache-2.0", "writes each message as one JSON line")

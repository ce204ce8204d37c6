/* SPDX-License-Identifier: Apache-2.0 */
/* source-lines - gives the messages of a file of JSON lines, one a step, in order.
 *
 * `next` in kv is the number of the first line that is not committed. With follow the file may grow; only
 * lines that end in a newline are read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex/ext/kv.h>
#include <telex/ext/timer.h>
#include <telex-sdk/json.h>
#include <telex-sdk/plugin.h>

enum { LOOK_TIMER = 1, LOOK_MS = 5 };

struct lines {
    const struct telex_host *host;
    const struct telex_kv *kv;
    const struct telex_timer *timer;
    const char *path;
    bool follow, done;
    void *memory;
    FILE *file;
    int64_t next, at; /* numbers of the line to give and of the line the file stands at */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .flags = TELEX_OPTION_REQUIRED,
                 .offset = offsetof(struct lines, path), .doc = "file of JSON lines"),
    TELEX_OPTION(.name = "follow", .type = TELEX_BOOL, .offset = offsetof(struct lines, follow),
                 .initial = "false", .doc = "wait for more lines at the end"),
    NULL,
};

static telex_status lines_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct lines *lines = calloc(1, sizeof(*lines));
    if (!lines)
        return TELEX_FATAL;
    lines->host = host;
    lines->kv = host->ext(host, TELEX_KV);
    lines->timer = host->ext(host, TELEX_TIMER);
    *self = lines;
    return telex_options_read(options, given, lines, &lines->memory) == 0 ? TELEX_OK : TELEX_FATAL;
}

static telex_status lines_start(void *self) {
    struct lines *lines = self;
    char text[24] = {0};
    if (lines->kv->get(lines->host, 0, telex_text("next"), text, sizeof(text) - 1) > 0)
        lines->next = strtoll(text, NULL, 10);
    lines->file = fopen(lines->path, "r");
    if (!lines->file)
        return telex_fail(lines->host, 0, TELEX_FATAL, "cannot read %s", lines->path);
    return TELEX_OK;
}

/* The next whole line, or NULL. Gives it. */
static char *read_line(struct lines *lines) {
    char *line = NULL;
    size_t room = 0;
    long start = ftell(lines->file);
    clearerr(lines->file);
    ssize_t n = getline(&line, &room, lines->file);
    if (n > 0 && line[n - 1] == '\n') {
        lines->at++;
        return line;
    }
    fseek(lines->file, start, SEEK_SET);
    free(line);
    return NULL;
}

static telex_status give(struct lines *lines, telex_lease lease, const char *line) {
    struct telex_builder b;
    char why[200], number[24];
    telex_build_init(&b);
    telex_status status = TELEX_FATAL;
    if (telex_json_parse(line, strlen(line), &b, why, sizeof(why)) == 0)
        status = telex_build_commit(&b, lines->host, lease, 0);
    telex_build_finish(&b);
    snprintf(number, sizeof(number), "%" PRId64, lines->at);
    return status == TELEX_OK ? lines->kv->put(lines->host, lease, telex_text("next"), telex_text(number))
                              : status;
}

static void lines_on_timer(void *self, uint64_t timer) {
    struct lines *lines = self;
    telex_lease lease;
    char *line = NULL;
    (void)timer;
    if (lines->host->open(lines->host, &lease) == TELEX_OK) {
        while ((line = read_line(lines)) && lines->at <= lines->next)
            free(line);
        telex_status status = line ? give(lines, lease, line) : TELEX_OK;
        lines->host->complete(lines->host, lease, status);
        lines->next = lines->at;
        if (!line && !lines->follow) {
            lines->host->exhausted(lines->host);
            lines->done = true;
        }
        free(line);
    }
    if (!lines->done)
        lines->timer->set(lines->host, LOOK_TIMER, LOOK_MS);
}

/* There is room again: look soon. Opening a step here would ask over and over while one is being committed.
 */
static void lines_on_credit(void *self) {
    struct lines *lines = self;
    if (!lines->done)
        lines->timer->set(lines->host, LOOK_TIMER, LOOK_MS);
}

static void lines_destroy(void *self) {
    struct lines *lines = self;
    if (lines->file)
        fclose(lines->file);
    free(lines->memory);
    free(lines);
}

static const struct telex_port *const ports[] = {TELEX_PORT(TELEX_OUT, "messages", "*"), NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_SIGNAL,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "source-lines",
    .version = "0.1.0",
    .doc = "gives the messages of a file of JSON lines",
    .ports = ports,
    .options = options,
    .create = lines_create,
    .start = lines_start,
    .on_credit = lines_on_credit,
    .on_timer = lines_on_timer,
    .destroy = lines_destroy,
};

TELEX_STAGE_PLUGIN(stage, "source-lines", "0.1.0", "Apache-2.0", "gives the messages of a file of JSON lines")

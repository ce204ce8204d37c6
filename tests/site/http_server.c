/* SPDX-License-Identifier: Apache-2.0 */
/* http_server.c - the host's HTTP side alone, driven by lines on stdin, for test_http.py.
 *
 *   http_server ROOT [key=value]...   keys: port admin_port epoch last_seq heartbeat_ms ring replay_max
 *                                     streams streams_address journal (a file of "seq kind json" lines)
 * It prints "ready PUBLIC ADMIN", then obeys: "event SEQ KIND JSON", "root PATH", "stop". */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

static struct {
    struct http *http;
    struct http_site *site;
    uv_pipe_t input;
    char line[65536];
    size_t filled;
    const char *journal;
} server;

static uint64_t number(int argc, char **argv, const char *key, uint64_t standard) {
    size_t n = strlen(key);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=')
            return strtoull(argv[i] + n + 1, NULL, 10);
    return standard;
}

static const char *word(int argc, char **argv, const char *key, const char *standard) {
    size_t n = strlen(key);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return standard;
}

static int replay(void *ctx, const char *mount, uint64_t after, uint32_t max, http_replay_sink sink,
                  void *sink_ctx) {
    char line[65536], kind[40];
    uint64_t seq;
    int at;
    (void)ctx;
    (void)mount;
    FILE *file = fopen(server.journal, "r");
    if (!file)
        return -errno;
    while (max > 0 && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNu64 " %39s %n", &seq, kind, &at) == 2 && seq > after) {
            sink(sink_ctx, seq, kind, line + at, strlen(line + at));
            max--;
        }
    }
    fclose(file);
    return 0;
}

static int health(void *ctx, FILE *out) {
    (void)ctx;
    fputs("{\"status\":\"degraded\",\"why\":\"a stage was parked\"}\n", out);
    return 503;
}

static int metrics(void *ctx, FILE *out) {
    (void)ctx;
    fputs("# TYPE telex_test gauge\ntelex_test 1\n", out);
    return 200;
}

static void on_input_closed(uv_handle_t *handle) {
    (void)handle;
}

static void obey(char *line) {
    char kind[40], json[65536];
    uint64_t seq;
    if (sscanf(line, "event %" SCNu64 " %39s %65535[^\n]", &seq, kind, json) == 3) {
        printf("event %d\n", http_event_publish(server.site, seq, kind, json, strlen(json)));
    } else if (strncmp(line, "root ", 5) == 0) {
        printf("root %d\n", http_site_add(server.http, "/", line + 5, 0, NULL));
    } else if (strcmp(line, "stop") == 0) {
        http_stop(server.http, NULL, NULL);
        uv_close((uv_handle_t *)&server.input, on_input_closed);
        printf("stopping\n");
    }
    fflush(stdout);
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(server.line + server.filled, (unsigned)(sizeof(server.line) - 1 - server.filled));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    (void)stream;
    (void)buffer;
    if (n <= 0) {
        obey((char[]){"stop"});
        return;
    }
    server.filled += (size_t)n;
    server.line[server.filled] = '\0';
    char *start = server.line, *end;
    while ((end = strchr(start, '\n'))) {
        *end = '\0';
        obey(start);
        start = end + 1;
    }
    server.filled = strlen(start);
    memmove(server.line, start, server.filled + 1);
}

int main(int argc, char **argv) {
    char why[300] = "";
    uv_loop_t *loop = uv_default_loop();
    server.journal = word(argc, argv, "journal", NULL);
    struct http_config config = {
        .public_bind = {"127.0.0.1", (uint16_t)number(argc, argv, "port", 0), "http.public.port"},
        .admin_bind = {"127.0.0.1", (uint16_t)number(argc, argv, "admin_port", 0), "http.admin.port"},
        .epoch = word(argc, argv, "epoch", "e1"),
        .heartbeat_ms = (uint32_t)number(argc, argv, "heartbeat_ms", 0),
        .ring_events = (uint32_t)number(argc, argv, "ring", 0),
        .replay_max = (uint32_t)number(argc, argv, "replay_max", 0),
        .max_streams = (uint32_t)number(argc, argv, "streams", 0),
        .max_streams_address = (uint32_t)number(argc, argv, "streams_address", 0),
        .replay = server.journal ? replay : NULL,
        .health = health,
        .metrics = metrics,
    };
    if (argc < 2 || http_create(loop, &config, &server.http, why, sizeof(why)) != 0) {
        fprintf(stderr, "%s\n", why);
        uv_run(loop, UV_RUN_DEFAULT);
        uv_loop_close(loop);
        return 1;
    }
    if (strcmp(argv[1], "-") != 0 &&
        http_site_add(server.http, "/", argv[1], number(argc, argv, "last_seq", 0), &server.site) != 0)
        return 2;
    uv_pipe_init(loop, &server.input, 0);
    uv_pipe_open(&server.input, 0);
    uv_read_start((uv_stream_t *)&server.input, give_room, on_input);
    printf("ready %u %u\n", http_public_port(server.http), http_admin_port(server.http));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0 ? 0 : 3; /* 3: a handle was left behind */
}

/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - the host's end of the control socket, on its loop.
 *
 * A client has one request at a time: reading pauses from a whole line until its answer is written, so
 * answers come in order and a client that sends without reading fills its own socket, not this process. A
 * request holds on to its client; a client that went away is freed with its last request. */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_address.h"
#include "log.h"

enum {
    CLIENTS_MAX = 32,
    LINE_MAX_BYTES = 64 << 10,
    IDLE_MS = 30000, /* a client that sends no whole line for so long is let go */
    BACKLOG = 16,
};

struct client {
    struct client *next;
    struct control *control;
    uv_pipe_t pipe;
    uv_timer_t idle;
    bool closing;
    int n_open_handles;              /* pipe and timer */
    struct control_request *request; /* waits for its answer */
    bool bad;                        /* the connection ends with the answer that is being written */
    char *line;                      /* owned: LINE_MAX_BYTES */
    size_t size;
};

/* Freed once it is answered and its answer is written; outlives its client. */
struct control_request {
    struct client *client; /* NULL: it went away */
    uv_write_t write;
    char *text; /* owned: the answer */
};

struct control {
    uv_loop_t *loop;
    uv_pipe_t server;
    bool closed; /* the server's handle */
    char path[CONTROL_PATH_MAX];
    dev_t device; /* of the socket file that is ours */
    ino_t inode;
    const struct control_command *commands;
    void *arg;
    struct client *clients;
    size_t n_clients;
};

void control_path(const char *journal_path, char out[CONTROL_PATH_MAX]) {
    snprintf(out, CONTROL_PATH_MAX, "%s.sock", journal_path);
}

/* ---- the end of a client ---- */

static void on_client_closed(uv_handle_t *handle) {
    struct client *client = handle->data;
    if (--client->n_open_handles > 0)
        return;
    struct client **at = &client->control->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    client->control->n_clients--;
    free(client->line);
    free(client);
}

static void close_client(struct client *client) {
    if (client->closing)
        return;
    client->closing = true;
    if (client->request)
        client->request->client = NULL;
    client->request = NULL;
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
    uv_close((uv_handle_t *)&client->idle, on_client_closed);
}

static void on_idle(uv_timer_t *timer) {
    close_client(timer->data);
}

/* ---- requests and answers ---- */

static void take_lines(struct client *client);
static void start_reading(struct client *client);

static void free_request(struct control_request *request) {
    free(request->text);
    free(request);
}

static void on_written(uv_write_t *write, int status) {
    struct control_request *request = write->data;
    struct client *client = request->client;
    free_request(request);
    if (!client || client->closing)
        return;
    client->request = NULL;
    uv_timer_stop(&client->idle);
    if (status < 0 || client->bad)
        close_client(client);
    else
        take_lines(client);
}

/* Write an answer. Takes it. */
static void reply(struct control_request *request, json_t *answer) {
    struct client *client = request->client;
    request->text = answer ? json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(answer);
    if (!client || client->closing) {
        free_request(request);
        return;
    }
    static char lost[] = "{\"ok\":false,\"error\":\"out of memory\"}", newline[] = "\n";
    char *text = request->text ? request->text : lost;
    uv_buf_t parts[2] = {uv_buf_init(text, (unsigned)strlen(text)), uv_buf_init(newline, 1)};
    request->write.data = request;
    uv_timer_start(&client->idle, on_idle, IDLE_MS, 0); /* for a client that does not read */
    if (uv_write(&request->write, (uv_stream_t *)&client->pipe, parts, 2, on_written) < 0) {
        close_client(client);
        free_request(request);
    }
}

void control_answer(struct control_request *request, json_t *answer) {
    json_t *whole = answer ? answer : json_object();
    json_object_set_new(whole, "ok", json_true());
    reply(request, whole);
}

void control_refuse(struct control_request *request, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* A cut in the middle of a character would not be UTF-8. */
    json_t *error = json_string(text);
    for (size_t n = strlen(text); !error && n > 0;) {
        text[--n] = 0;
        error = json_string(text);
    }
    reply(request, json_pack("{s:b, s:o}", "ok", 0, "error", error ? error : json_string("refused")));
}

static const struct control_command *find_command(const struct control *control, const char *name) {
    const struct control_command *command = control->commands;
    while (command->name && strcmp(command->name, name) != 0)
        command++;
    return command->name ? command : NULL;
}

static void refuse_unknown(struct control *control, struct control_request *request, const char *name) {
    char known[512] = "";
    size_t n = 0;
    for (const struct control_command *c = control->commands; c->name && n < sizeof(known); c++)
        n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", c->name);
    control_refuse(request, "unknown command '%.64s'; this host knows %s", name, known);
}

/* Run one line. The client's reading is stopped. */
static void run_line(struct client *client, const char *line, size_t size) {
    struct control *control = client->control;
    struct control_request *request = calloc(1, sizeof(*request));
    json_error_t error;
    if (!request) {
        close_client(client);
        return;
    }
    request->client = client;
    client->request = request;
    json_t *body = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    const char *name = json_string_value(json_object_get(body, "command"));
    if (!body)
        control_refuse(request, "a request is one JSON object a line: column %d: %s", error.column,
                       error.text);
    else if (!name)
        control_refuse(request, "a request is an object with a text under \"command\"");
    else if (!find_command(control, name))
        refuse_unknown(control, request, name);
    else
        find_command(control, name)->run(control->arg, request, body);
    json_decref(body);
}

/* ---- reading ---- */

/* Run the next whole line, if there is one; otherwise go on reading. */
static void take_lines(struct client *client) {
    char *newline = memchr(client->line, '\n', client->size);
    if (!newline && client->size == LINE_MAX_BYTES) {
        struct control_request *request = calloc(1, sizeof(*request));
        client->bad = true;
        client->request = request;
        if (!request) {
            close_client(client);
            return;
        }
        request->client = client;
        control_refuse(request, "a request may have %d bytes", LINE_MAX_BYTES);
        return;
    }
    if (!newline) {
        start_reading(client);
        return;
    }
    uv_read_stop((uv_stream_t *)&client->pipe);
    uv_timer_stop(&client->idle);
    size_t size = (size_t)(newline - client->line);
    char *line = strndup(client->line, size); /* the buffer is needed for what follows it */
    client->size -= size + 1;
    memmove(client->line, newline + 1, client->size);
    if (line)
        run_line(client, line, size);
    else
        close_client(client);
    free(line);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    struct client *client = handle->data;
    (void)suggested;
    buf->base = client->line + client->size;
    buf->len = LINE_MAX_BYTES - client->size;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct client *client = stream->data;
    (void)buf;
    if (n < 0) {
        close_client(client);
        return;
    }
    client->size += (size_t)n;
    uv_read_stop(stream);
    take_lines(client);
}

static void start_reading(struct client *client) {
    if (uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) < 0) {
        close_client(client);
        return;
    }
    if (!uv_is_active((uv_handle_t *)&client->idle))
        uv_timer_start(&client->idle, on_idle, IDLE_MS, 0);
}

/* ---- clients ---- */

static bool peer_is_ours(const uv_pipe_t *pipe) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int fd;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void on_connection(uv_stream_t *server, int status) {
    struct control *control = server->data;
    struct client *client = status < 0 ? NULL : calloc(1, sizeof(*client));
    if (!client)
        return;
    client->line = malloc(LINE_MAX_BYTES);
    client->control = control;
    client->pipe.data = client->idle.data = client;
    uv_pipe_init(control->loop, &client->pipe, 0);
    uv_timer_init(control->loop, &client->idle);
    client->n_open_handles = 2;
    client->next = control->clients;
    control->clients = client;
    control->n_clients++;
    bool taken = uv_accept(server, (uv_stream_t *)&client->pipe) == 0;
    if (taken && !peer_is_ours(&client->pipe)) {
        log_say(TELEX_WARN, "host", "control: a connection of another user was refused");
        taken = false;
    }
    if (!taken || !client->line || control->n_clients > CLIENTS_MAX)
        close_client(client);
    else
        start_reading(client);
}

/* ---- beginning and end ---- */

/* Make way for our socket: a file that no one answers at goes. */
static int clear_path(const char *path, char *why, size_t why_size) {
    struct stat there;
    if (lstat(path, &there) < 0)
        return 0;
    if (!S_ISSOCK(there.st_mode)) {
        snprintf(why, why_size, "%s is in the way and is no socket; move it away", path);
        return -EEXIST;
    }
    int fd = control_connect(path);
    if (fd >= 0) {
        close(fd);
        snprintf(why, why_size, "another host listens at %s; stop it first", path);
        return -EADDRINUSE;
    }
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int listen_at(struct control *control, int fd) {
    struct stat ours;
    int err = stat(control->path, &ours) < 0 ? -errno : 0;
    control->device = ours.st_dev;
    control->inode = ours.st_ino;
    if (err == 0)
        err = uv_pipe_open(&control->server, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    return uv_listen((uv_stream_t *)&control->server, BACKLOG, on_connection);
}

int control_start(struct control **out, uv_loop_t *loop, const char *path,
                  const struct control_command *commands, void *arg, char *why, size_t why_size) {
    struct control *control = calloc(1, sizeof(*control));
    *out = NULL;
    if (!control) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    control->loop = loop;
    control->commands = commands;
    control->arg = arg;
    snprintf(control->path, sizeof(control->path), "%s", path);
    int err = clear_path(path, why, why_size);
    if (err < 0) {
        free(control);
        return err;
    }
    uv_pipe_init(loop, &control->server, 0);
    control->server.data = control;
    int fd = control_bind(path);
    err = fd < 0 ? fd : listen_at(control, fd);
    if (err < 0) {
        snprintf(why, why_size, "cannot listen at %s: %s; check that its folder exists and can be written",
                 path, strerror(-err));
        control_stop(control);
        return err;
    }
    *out = control;
    return 0;
}

static void on_server_closed(uv_handle_t *handle) {
    struct control *control = handle->data;
    control->closed = true;
}

void control_stop(struct control *control) {
    struct stat there;
    if (!control)
        return;
    if (control->inode && lstat(control->path, &there) == 0 && there.st_ino == control->inode &&
        there.st_dev == control->device)
        unlink(control->path);
    uv_close((uv_handle_t *)&control->server, on_server_closed);
    for (struct client *client = control->clients; client; client = client->next)
        close_client(client);
    while (!control->closed || control->n_clients > 0)
        uv_run(control->loop, UV_RUN_ONCE);
    free(control);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* control_client.c - the command's end of the control socket: one request, one answer, one deadline. */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control_address.h"

enum { REPLY_MAX_BYTES = 64 << 20, REPLY_START_BYTES = 4096 };

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wait until fd is ready. 0, -ETIMEDOUT or another negative errno. */
static int await(int fd, short events, int64_t until_ms) {
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left_ms = until_ms - now_ms();
        int n = poll(&p, 1, left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : (int)left_ms);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (now_ms() >= until_ms)
            return -ETIMEDOUT;
    }
}

static int send_all(int fd, const char *text, size_t size, int64_t until_ms) {
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            text += n;
            size -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        int err = await(fd, POLLOUT, until_ms);
        if (err < 0)
            return err;
    }
    return 0;
}

/* The answer's line without its newline. Gives it. */
static int receive_line(int fd, int64_t until_ms, char **out, size_t *out_size) {
    size_t size = 0, capacity = REPLY_START_BYTES;
    char *line = malloc(capacity), *newline = NULL;
    int err = line ? 0 : -ENOMEM;
    while (err == 0 && !newline) {
        if (size == capacity) {
            char *wider = capacity < REPLY_MAX_BYTES ? realloc(line, 2 * capacity) : NULL;
            err = wider ? 0 : -EMSGSIZE;
            line = wider ? wider : line;
            capacity *= 2;
            continue;
        }
        ssize_t n = recv(fd, line + size, capacity - size, MSG_DONTWAIT);
        if (n == 0)
            err = -ECONNRESET;
        else if (n < 0)
            err = errno == EAGAIN || errno == EINTR ? await(fd, POLLIN, until_ms) : -errno;
        else {
            newline = memchr(line + size, '\n', (size_t)n);
            size += (size_t)n;
        }
    }
    *out = line;
    *out_size = newline ? (size_t)(newline - line) : 0;
    return err;
}

/* Takes the parsed answer apart. */
static int judge(json_t *answer, json_t **reply, char *why, size_t why_size) {
    const json_t *ok = json_object_get(answer, "ok");
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (json_is_true(ok)) {
        *reply = answer;
        return 0;
    }
    snprintf(why, why_size, "%s", error ? error : "the host's answer is not understood");
    json_decref(answer);
    return error ? -EREMOTEIO : -EBADMSG;
}

static int converse(int fd, const char *line, int64_t until_ms, json_t **reply, char *why, size_t why_size) {
    char *text = NULL;
    size_t size = 0;
    int err = send_all(fd, line, strlen(line), until_ms);
    if (err == 0)
        err = send_all(fd, "\n", 1, until_ms);
    /* A host that refuses before it has read everything answers all the same. */
    int got = err == 0 || err == -EPIPE ? receive_line(fd, until_ms, &text, &size) : err;
    if (got == 0) {
        json_t *answer = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        got = judge(answer, reply, why, why_size);
    } else {
        snprintf(why, why_size, "the host did not answer: %s", strerror(-got));
    }
    free(text);
    return got;
}

int control_call(const char *path, const json_t *request, int64_t timeout_ms, json_t **reply, char *why,
                 size_t why_size) {
    int fd = control_connect(path);
    if (fd < 0) {
        snprintf(why, why_size, "no host listens at %s: %s", path, strerror(-fd));
        return fd;
    }
    char *line = json_dumps(request, JSON_COMPACT);
    int err = line ? converse(fd, line, now_ms() + timeout_ms, reply, why, why_size) : -ENOMEM;
    free(line);
    close(fd);
    return err;
}

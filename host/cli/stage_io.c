/* SPDX-License-Identifier: Apache-2.0 */
/* stage_io.c - JSONL in and out. A bad line is named and left out; the others go on. */
#include "stage_io.h"

#include <stdlib.h>
#include <string.h>

#include <telex-sdk/json.h>
#include <telex-sdk/plugin.h>

static struct {
    FILE *in, *out;
    const char *name;
    char *line; /* owned, grows */
    size_t capacity;
    unsigned number, bad;
    bool (*next)(void *arg, struct stage_io_message *message);
    void *arg;
} io;

void stage_io_setup(FILE *in, const char *name, FILE *out) {
    io.in = in;
    io.out = out;
    io.name = name;
}

void stage_io_setup_messages(bool (*next)(void *arg, struct stage_io_message *message), void *arg,
                             FILE *out) {
    io.next = next;
    io.arg = arg;
    io.out = out;
}

unsigned stage_io_bad_lines(void) {
    return io.bad;
}

static telex_status create(const struct telex_host *host, struct telex_bytes options, void **self) {
    (void)options;
    *self = (void *)host;
    return TELEX_OK;
}

static void destroy(void *self) {
    (void)self;
}

/* Commit one line as one step. False when it was no message. */
static bool give_line(const struct telex_host *host, telex_lease lease, size_t size) {
    struct telex_builder b;
    char why[256];
    telex_build_init(&b);
    int err = telex_json_parse(io.line, size, &b, why, sizeof(why));
    if (err == 0 && telex_build_commit(&b, host, lease, 0) != TELEX_OK) {
        snprintf(why, sizeof(why), "no message: \"schema\" and \"id\" (1 to 64 bytes) must be text");
        err = -1;
    }
    if (err < 0)
        fprintf(stderr, "%s:%u: %s; the line is left out\n", io.name, io.number, why);
    telex_build_finish(&b);
    return err == 0;
}

static telex_status give_message(const struct telex_host *host, telex_lease lease,
                                 const struct stage_io_message *message) {
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = host->loan(host, lease, message->port, message->body.size, &loan);
    if (status != TELEX_OK)
        return status;
    if (message->body.size)
        memcpy(loan.data, message->body.data, message->body.size);
    return host->commit(host, &loan, message->body.size);
}

enum { GAVE_GOOD, GAVE_BAD, GAVE_END };

/* Put the next message, if there is one, under the lease. */
static int give_next(const struct telex_host *host, telex_lease lease) {
    struct stage_io_message message;
    ssize_t size;
    if (io.next)
        return !io.next(io.arg, &message)                        ? GAVE_END
               : give_message(host, lease, &message) == TELEX_OK ? GAVE_GOOD
                                                                 : GAVE_BAD;
    do {
        size = getline(&io.line, &io.capacity, io.in);
        io.number++;
    } while (size == 1);
    return size < 0 ? GAVE_END : give_line(host, lease, (size_t)size) ? GAVE_GOOD : GAVE_BAD;
}

static void source_on_credit(void *self) {
    const struct telex_host *host = self;
    telex_lease lease;
    while (host->open(host, &lease) == TELEX_OK) {
        int gave = give_next(host, lease);
        host->complete(host, lease, gave == GAVE_GOOD ? TELEX_OK : TELEX_CANCELLED);
        io.bad += gave == GAVE_BAD;
        if (gave == GAVE_END) {
            host->exhausted(host);
            return;
        }
    }
}

static void source_destroy(void *self) {
    (void)self;
    free(io.line);
    io.line = NULL;
}

static telex_status sink_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct telex_host *host = self;
    struct telex_view view = {.size = sizeof(view)};
    (void)lease;
    if (host->view(host, in, &view) != TELEX_OK)
        return TELEX_REJECT;
    char *line = telex_json_line(view.body);
    if (!line)
        return TELEX_AGAIN;
    bool fine = fputs(line, io.out) >= 0 && putc('\n', io.out) != EOF;
    free(line);
    return fine ? TELEX_OK : telex_fail(host, lease, TELEX_FATAL, "stdout: cannot write");
}

static void sink_drain(void *self, int64_t deadline_ms) {
    (void)self;
    (void)deadline_ms;
    fflush(io.out);
}

const struct telex_stage stage_io_source = {
    .size = sizeof(struct telex_stage),
    .role = TELEX_SIGNAL,
    .max_outputs = 1,
    .name = "stdin",
    .version = "1",
    .doc = "one message a line",
    .ports =
        (const struct telex_port *const[]){TELEX_PORT(TELEX_OUT, "lines", "*"),
                                           TELEX_PORT(TELEX_OUT, "1", "*"), TELEX_PORT(TELEX_OUT, "2", "*"),
                                           TELEX_PORT(TELEX_OUT, "3", "*"), TELEX_PORT(TELEX_OUT, "4", "*"),
                                           TELEX_PORT(TELEX_OUT, "5", "*"), TELEX_PORT(TELEX_OUT, "6", "*"),
                                           TELEX_PORT(TELEX_OUT, "kept", "*"), NULL},
    .create = create,
    .on_credit = source_on_credit,
    .destroy = source_destroy,
};

const struct telex_stage stage_io_sink = {
    .size = sizeof(struct telex_stage),
    .role = TELEX_WIRE,
    .name = "stdout",
    .version = "1",
    .doc = "one line a message",
    .ports = (const struct telex_port *const[]){TELEX_PORT(TELEX_IN, "lines", "*"), NULL},
    .create = create,
    .process = sink_process,
    .drain = sink_drain,
    .destroy = destroy,
};

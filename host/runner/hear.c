/* SPDX-License-Identifier: Apache-2.0 */
/* hear.c - takes messages from the host and passes them to who waits: the strand, an asker, the canceller.
 *
 * Runs no plugin code, so it always answers to the host's end: when the channel closes, or the rules are
 * broken, it ends the process at once. Messages are passed on in the order in which they came. */
#include "remote.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_AGAIN_MS = 1000, PASS_ON_AT = 64 };

static _Noreturn void end(int status, const char *why) {
    if (why) {
        (void)!write(STDERR_FILENO, why, strlen(why));
        (void)!write(STDERR_FILENO, "\n", 1);
    }
    _exit(status);
}

static void append(struct question *q, struct telex_bytes payload) {
    if (payload.size == 0)
        return;
    uint8_t *data = realloc(q->data, q->size + payload.size);
    if (!data) {
        q->broken = true;
        return;
    }
    memcpy(data + q->size, payload.data, payload.size);
    q->data = data;
    q->size += payload.size;
}

static void hear_answer(struct remote *remote, const struct message *m, struct telex_bytes payload) {
    pthread_mutex_lock(&remote->lock);
    struct question *q = remote->questions;
    while (q && q->call != m->call)
        q = q->next;
    if (q && q->stays) {
        q->data = (uint8_t *)(uintptr_t)payload.data;
        q->size = payload.size;
    } else if (q) {
        append(q, payload);
    }
    if (q && (m->port == 0 || q->stays)) {
        q->status = m->status;
        q->a = m->a;
        q->b = m->b;
        q->done = true;
        pthread_cond_signal(&q->answered);
    }
    pthread_mutex_unlock(&remote->lock);
}

/* Pass on what has gathered. */
static void pass_on(struct remote *remote, struct work_list *heard) {
    if (heard->n > 0 && !strand_add_all(remote, heard))
        end(EXIT_MEMORY, "telex-runner: out of memory");
}

static void copy_setup(struct telex_bytes payload, struct work *work) {
    uint8_t *data = malloc(payload.size + 1);
    if (!data)
        end(EXIT_MEMORY, "telex-runner: out of memory");
    memcpy(data, payload.data, payload.size);
    work->body = (struct telex_bytes){data, payload.size};
}

static void hear_message(struct remote *remote, const struct message *m, struct telex_bytes payload,
                         const uint8_t *inline_bytes, struct work_list *heard) {
    switch (m->type) {
    case TO_ANSWER:
        hear_answer(remote, m, payload);
        return;
    case TO_CANCEL:
        pass_on(remote, heard); /* the lease is known to the strand before it is cancelled */
        strand_cancel(remote, m->lease);
        return;
    case TO_CREATE:
    case TO_START:
    case TO_DELIVER:
    case TO_CREDIT:
    case TO_TIMER:
    case TO_DRAIN:
    case TO_STOP:
    case TO_DESTROY:
        break;
    default:
        end(EXIT_PROTOCOL, "telex-runner: the host sent a message of an unknown type");
    }
    struct work work = {.kind = m->type, .call = m->call, .a = m->a, .b = m->b, .lease = m->lease};
    if (m->type == TO_DELIVER) {
        work.body = payload;
        if (m->slot_size != 0 && m->inline_size == sizeof(work.head))
            memcpy(&work.head, inline_bytes, sizeof(work.head));
    } else if (m->type == TO_CREATE)
        copy_setup(payload, &work);
    if (!work_add(heard, &work))
        end(EXIT_MEMORY, "telex-runner: out of memory");
    if (heard->n >= PASS_ON_AT)
        pass_on(remote, heard);
}

static void wait_for_host(void) {
    struct pollfd fds[2] = {{.fd = FD_WAKE_RUNNER, .events = POLLIN}, {.fd = FD_CHANNEL, .events = POLLIN}};
    uint64_t count;
    /* A poll holds on to descriptors that another thread closes, so it looks again from time to time. */
    if (poll(fds, 2, LOOK_AGAIN_MS) < 0 && errno != EINTR)
        end(EXIT_DESCRIPTORS, "telex-runner: poll failed");
    if ((fds[0].revents | fds[1].revents) & POLLNVAL)
        end(EXIT_DESCRIPTORS, "telex-runner: the plugin closed a descriptor that is not its own");
    if (fds[1].revents)
        end(0, NULL); /* nothing is ever sent on the channel: it has closed */
    (void)!read(FD_WAKE_RUNNER, &count, sizeof(count));
}

void *hear_main(void *arg) {
    struct remote *remote = arg;
    static uint8_t inline_bytes[INLINE_MAX_BYTES];
    struct message m;
    struct work_list heard = {NULL, 0, 0};
    while (!atomic_load(&remote->done)) {
        int got = link_take(&remote->in, &m, inline_bytes);
        if (got > 0) {
            struct telex_bytes payload;
            if (!link_payload(&remote->in, &m, inline_bytes, &payload))
                end(EXIT_PROTOCOL, "telex-runner: the host named a slot that is not there");
            hear_message(remote, &m, payload, inline_bytes, &heard);
            link_done(&remote->in);
            continue;
        }
        pass_on(remote, &heard);
        if (got < 0)
            end(EXIT_PROTOCOL, "telex-runner: the host broke the protocol");
        if (link_is_awaited(&remote->in)) {
            uint64_t one = 1;
            (void)!write(FD_WAKE_HOST, &one, sizeof(one));
        }
        if (!link_may_sleep(&remote->in))
            continue;
        wait_for_host();
        link_awake(&remote->in);
    }
    free(heard.items);
    return NULL;
}

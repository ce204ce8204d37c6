/* SPDX-License-Identifier: Apache-2.0 */
/* isolate_serve.c - the proxy's thread: from the runner's start to its end.
 *
 * Everything that the runner said before it ended is heard first, so a step that it completed counts; then
 * each lease that is still open is completed with the reason. */
#include "isolate_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex-sdk/message.h>

/* A runner with more to do says what it completed without waking this thread at once (remote_complete), so
 * the thread looks by itself for a while after it last heard something. */
enum { BATCH_MESSAGES = 512, END_GRACE_MS = 500, NAP_FIRST_MS = 2, NAP_LAST_MS = 16 };

static void break_off(struct isolate *iso, const char *rule) {
    char why[WHY_BYTES];
    snprintf(why, sizeof(why), "killed: runner broke the protocol: %s", rule);
    pthread_mutex_lock(&iso->lock);
    isolate_kill_locked(iso, why);
    pthread_mutex_unlock(&iso->lock);
}

/* Hear at most a batch. 1 when there may be more, 0 when the ring was empty, -1 when the rules were broken.
 */
static int hear_messages(struct isolate *iso, uint8_t *inline_bytes) {
    struct message m;
    for (int i = 0; i < BATCH_MESSAGES; i++) {
        int got = link_take(&iso->in, &m, inline_bytes);
        if (got == 0)
            return 0;
        iso->nap_ms = NAP_FIRST_MS;
        struct telex_bytes payload;
        const char *rule = NULL;
        if (got < 0)
            rule = "impossible numbers in its ring";
        else if (!link_payload(&iso->in, &m, inline_bytes, &payload))
            rule = "a slot outside its memory";
        else
            rule = isolate_hear(iso, &m, payload);
        if (rule) {
            break_off(iso, rule);
            return -1;
        }
        link_done(&iso->in);
    }
    return 1;
}

static int hear_batch(struct isolate *iso, uint8_t *inline_bytes) {
    if (iso->gather)
        iso->gather(iso->gather_arg, true);
    int more = hear_messages(iso, inline_bytes);
    if (iso->gather)
        iso->gather(iso->gather_arg, false);
    return more;
}

static void flush(struct isolate *iso) {
    pthread_mutex_lock(&iso->lock);
    isolate_flush(iso);
    pthread_mutex_unlock(&iso->lock);
}

/* The other end of the channel was closed (nothing is ever sent on it): by the plugin, unless the runner is
 * just ending, which the kernel says a moment later. */
static void lose_channel(struct isolate *iso) {
    struct pollfd end = {.fd = iso->pidfd, .events = POLLIN};
    close(iso->channel);
    iso->channel = -1;
    if (poll(&end, 1, END_GRACE_MS) > 0)
        return;
    pthread_mutex_lock(&iso->lock);
    isolate_kill_locked(iso, "killed: the plugin closed a descriptor that is not its own");
    pthread_mutex_unlock(&iso->lock);
}

/* Wait for a message, output or the end; `sleeps` false only looks. true when the runner has ended. */
static bool wait_for_runner(struct isolate *iso, bool sleeps) {
    struct pollfd fds[5] = {{.fd = iso->pidfd, .events = POLLIN},
                            {.fd = iso->wake_host, .events = POLLIN},
                            {.fd = iso->channel, .events = POLLIN},
                            {.fd = iso->output[0].fd, .events = POLLIN},
                            {.fd = iso->output[1].fd, .events = POLLIN}};
    uint64_t count;
    int n = poll(fds, 5, sleeps ? iso->nap_ms : 0);
    if (n == 0 && sleeps)
        iso->nap_ms = iso->nap_ms >= NAP_LAST_MS ? -1 : 2 * iso->nap_ms;
    if (n <= 0)
        return false;
    if (fds[1].revents)
        (void)!read(iso->wake_host, &count, sizeof(count));
    for (int i = 0; i < 2; i++)
        if (fds[3 + i].revents)
            isolate_read_output(iso, &iso->output[i], false);
    if (fds[2].revents && !fds[0].revents)
        lose_channel(iso);
    return fds[0].revents != 0;
}

/* Complete one lease that the runner left open. */
static void settle_step(struct isolate *iso, const struct step *step, uint64_t begun) {
    char why[WHY_BYTES + 64];
    bool had_begun = step->number <= begun;
    snprintf(why, sizeof(why), had_begun ? "%s" : "not begun when the runner ended (%s)", iso->why);
    telex_status status = had_begun ? TELEX_FATAL : TELEX_AGAIN;
    (void)iso->host->fail(iso->host, step->node.lease, status, telex_text(why));
    (void)iso->host->complete(iso->host, step->node.lease, status);
}

/* Say which steps the runner had begun. */
static void blame(struct isolate *iso, uint64_t begun) {
    telex_lease *leases = iso->blame && iso->steps.n ? calloc(iso->steps.n, sizeof(*leases)) : NULL;
    size_t n = 0;
    for (size_t i = 0; leases && i < LEASE_BUCKETS; i++)
        for (const struct lease_node *node = iso->steps.buckets[i]; node; node = node->next)
            if (((const struct step *)(const void *)node)->number <= begun)
                leases[n++] = node->lease;
    if (n > 0)
        iso->blame(iso->blame_arg, leases, n);
    free(leases);
}

static void give_back_records(struct isolate *iso) {
    for (uint32_t i = 0; i < iso->n_lent; i++) {
        if (iso->lent[i].rec)
            iso->host->release(iso->host, iso->lent[i].rec);
        iso->lent[i].rec = NULL;
    }
}

/* The runner has ended and was heard to its last word. */
static void settle(struct isolate *iso) {
    uint64_t begun = atomic_load(&iso->in.theirs->begun);
    struct lease_node *node;
    isolate_read_output(iso, &iso->output[0], true);
    isolate_read_output(iso, &iso->output[1], true);
    isolate_reap(iso);
    pthread_mutex_lock(&iso->lock);
    iso->dead = true; /* no step is added from here on */
    bool quiet = iso->stopped || iso->ending, tell = iso->created && !quiet && !iso->stopping;
    pthread_mutex_unlock(&iso->lock);
    if (!quiet)
        blame(iso, begun);
    while ((node = lease_take_any(&iso->steps))) {
        if (!quiet)
            settle_step(iso, (struct step *)(void *)node, begun);
        free(node);
    }
    give_back_records(iso);
    if (tell && iso->died)
        iso->died(iso->died_arg, iso->why);
    pthread_mutex_lock(&iso->lock);
    iso->settled = true;
    pthread_cond_broadcast(&iso->changed);
    pthread_mutex_unlock(&iso->lock);
}

static void converse(struct isolate *iso) {
    static _Thread_local uint8_t inline_bytes[INLINE_MAX_BYTES];
    bool ended = false, broken = false;
    while (!ended) {
        int more = broken ? 0 : hear_batch(iso, inline_bytes);
        broken = broken || more < 0;
        flush(iso);
        bool sleeps = broken || (more == 0 && link_may_sleep(&iso->in));
        ended = wait_for_runner(iso, sleeps);
        if (sleeps && !broken)
            link_awake(&iso->in);
    }
    while (!broken && hear_batch(iso, inline_bytes) > 0)
        ;
}

void *isolate_serve(void *arg) {
    struct isolate *iso = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    int err = isolate_spawn(iso);
    pthread_mutex_lock(&iso->lock);
    iso->start_error = err < 0 ? err : 0;
    iso->dead = iso->settled = err < 0;
    pthread_cond_broadcast(&iso->changed);
    pthread_mutex_unlock(&iso->lock);
    if (err < 0)
        return NULL;
    converse(iso);
    settle(iso);
    return NULL;
}

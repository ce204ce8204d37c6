/* SPDX-License-Identifier: Apache-2.0 */
/* check_life.c - the moves of a life: what a host does with an instance, one call after another. */
#include "check_life.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex/ext/io.h>

#include "isolate.h"
#include "surroundings.h"

/* The entries of a list of timers, and so on, are the host's; everything here runs on the control thread, or
 * on one that stands for it. */

void check_life_init(struct life *life, struct check_run *run) {
    memset(life, 0, sizeof(*life));
    life->run = run;
    life->out = run->out;
    life->stage = life->class = run->table;
    life->options = run->options;
    life->settle_ms = run->life_ms / 5;
    life->drain = DRAIN_AHEAD;
}

void check_life_say(struct life *life, const char *call) {
    char text[220];
    size_t used = strlen(life->order);
    if (life->ordered)
        snprintf(life->order + used, sizeof(life->order) - used, "%s%s", used ? ", " : "", call);
    snprintf(text, sizeof(text), "%s%s%s%s", call, life->ordered ? " (order: " : "", life->order,
             life->ordered ? ")" : "");
    check_say(life->run, text);
}

/* ---- calls ---- */

/* One call into the plugin, as a thread runs it. */
struct move {
    struct life *life;
    void (*make)(struct move *move);
    telex_status status;
    telex_lease lease;
    struct telex_rec *rec;
    int64_t deadline_ms;
    struct thread_surroundings own;
};

static void *move_main(void *arg) {
    struct move *move = arg;
    char what[512];
    bool shared;
    surroundings_note_thread(&move->own);
    move->make(move);
    if (surroundings_mend(&move->own, what, sizeof(what), &shared))
        check_find(&move->life->host, "life.surroundings", "%s", what);
    return NULL;
}

static void run_move(struct life *life, struct move *move) {
    pthread_t before = life->host.control, thread;
    move->life = life;
    if (!life->moves || pthread_mutex_lock(&life->host.lock) != 0) {
        move_main(move);
        return;
    }
    /* held until the host knows its new control thread */
    int err = pthread_create(&thread, NULL, move_main, move);
    life->host.control = err ? before : thread;
    pthread_mutex_unlock(&life->host.lock);
    if (err)
        move_main(move);
    else
        pthread_join(thread, NULL);
    life->host.control = before;
}

static void move_create(struct move *move) {
    struct life *life = move->life;
    life->self = NULL;
    move->status = life->stage->create ? life->stage->create(&life->host.table, life->options, &life->self)
                                       : isolate_create(life->host.spec, &life->host.table, &life->self);
}

static void move_start(struct move *move) {
    const struct telex_stage *stage = move->life->stage;
    move->status = stage->start ? stage->start(move->life->self) : TELEX_OK;
}

static void move_process(struct move *move) {
    move->status = move->life->stage->process(move->life->self, move->lease, move->rec);
}

static void move_credit(struct move *move) {
    move->life->stage->on_credit(move->life->self);
}

static void move_drain(struct move *move) {
    move->life->stage->drain(move->life->self, move->deadline_ms);
}

static void move_stop(struct move *move) {
    move->life->stage->stop(move->life->self);
}

static void move_destroy(struct move *move) {
    move->life->stage->destroy(move->life->self);
}

/* ---- a life ---- */

static bool create(struct life *life) {
    struct move move = {.make = move_create};
    check_life_say(life, "create");
    run_move(life, &move);
    if (move.status == TELEX_OK && life->self)
        return true;
    if (life->may_refuse && move.status != TELEX_OK && *life->host.last_fail)
        return false;
    check_find(&life->host, "life.create", "create with checked options gave status %d%s%s", move.status,
               move.status == TELEX_OK ? " but set no instance"
               : *life->host.last_fail ? ": "
                                       : "",
               move.status == TELEX_OK ? "" : life->host.last_fail);
    return false;
}

bool check_make_over(struct life *life, const char *scenario, const struct check_pair *pairs) {
    struct isolate_spec *spec = life->host.spec;
    static bool noted;
    if (!noted)
        surroundings_note();
    noted = true;
    life->order[0] = 0;
    check_host_init(&life->host, life->class, scenario, life->out);
    life->host.spec = spec;
    life->host.pairs = check_pairs_copy(pairs);
    for (int i = 0; i < CHECK_RECORDS; i++)
        check_sample(life, "telex.record/1", i, false); /* so that stories find their records */
    return create(life);
}

bool check_make(struct life *life, const char *scenario) {
    return check_make_over(life, scenario, NULL);
}

bool check_begin(struct life *life) {
    struct move move = {.make = move_start};
    check_life_say(life, "start");
    run_move(life, &move);
    if (move.status != TELEX_OK)
        check_find(&life->host, "life.start", "start gave status %d", move.status);
    return move.status == TELEX_OK;
}

enum { DRAIN_MS = 1000, DRAIN_LATE_MS = 1000 };

static void drain(struct life *life) {
    int64_t deadline_ms = check_now_ms() + (life->drain == DRAIN_PASSED ? -100 : DRAIN_MS);
    struct move move = {.make = move_drain, .deadline_ms = deadline_ms};
    check_life_say(life, life->drain == DRAIN_PASSED ? "drain with a deadline that has passed" : "drain");
    if (life->stage->drain)
        run_move(life, &move);
    int64_t late_ms = check_now_ms() - deadline_ms;
    if (late_ms > DRAIN_LATE_MS)
        check_find(&life->host, "drain.late", "drain returned %lld ms after its deadline",
                   (long long)late_ms);
    pthread_mutex_lock(&life->host.lock);
    life->host.drained = true;
    life->host.n_refused = 0;
    pthread_mutex_unlock(&life->host.lock);
    for (int i = 0; i < 3; i++)
        check_turn(life);
}

void check_end(struct life *life, bool started) {
    struct move stop = {.make = move_stop}, destroy = {.make = move_destroy};
    if (started && life->drain != DRAIN_NOT)
        drain(life);
    check_life_say(life, "stop");
    if (life->stage->stop && started)
        run_move(life, &stop);
    pthread_mutex_lock(&life->host.lock);
    life->host.stopped = true;
    pthread_mutex_unlock(&life->host.lock);
    check_life_say(life, "destroy");
    run_move(life, &destroy);
    check_host_finish(&life->host);
}

static void make_posts(struct life *life) {
    struct check_host *host = &life->host;
    pthread_mutex_lock(&host->lock);
    while (host->n_posts > 0) {
        void (*fn)(void *) = host->posts[0].fn;
        void *arg = host->posts[0].arg;
        memmove(host->posts, host->posts + 1, --host->n_posts * sizeof(*host->posts));
        pthread_mutex_unlock(&host->lock);
        fn(arg);
        pthread_mutex_lock(&host->lock);
    }
    pthread_mutex_unlock(&host->lock);
}

static void make_timers(struct life *life) {
    struct check_host *host = &life->host;
    int64_t now = check_now_ms();
    pthread_mutex_lock(&host->lock);
    for (int i = 0; i < CHECK_TIMERS_MAX; i++) {
        if (host->timers[i] < 0 || host->timers[i] > now || !life->stage->on_timer)
            continue;
        uint64_t name = host->timer_names[i];
        host->timers[i] = -1;
        pthread_mutex_unlock(&host->lock);
        life->stage->on_timer(life->self, name);
        pthread_mutex_lock(&host->lock);
    }
    pthread_mutex_unlock(&host->lock);
}

static void make_watches(struct life *life) {
    struct check_host *host = &life->host;
    pthread_mutex_lock(&host->lock);
    struct pollfd fds[CHECK_WATCHES_MAX];
    size_t n = host->n_watches;
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){host->watches[i].fd,
                                 (short)((host->watches[i].events & TELEX_READABLE ? POLLIN : 0) |
                                         (host->watches[i].events & TELEX_WRITABLE ? POLLOUT : 0)),
                                 0};
    pthread_mutex_unlock(&host->lock);
    poll(fds, n, 1);
    for (size_t i = 0; i < n; i++) {
        if (!fds[i].revents)
            continue;
        pthread_mutex_lock(&host->lock);
        size_t k = 0;
        while (k < host->n_watches && host->watches[k].fd != fds[i].fd)
            k++;
        void (*fn)(void *, uint32_t) = k < host->n_watches ? host->watches[k].fn : NULL;
        void *arg = fn ? host->watches[k].arg : NULL;
        if (fn)
            host->watches[k] = host->watches[--host->n_watches];
        pthread_mutex_unlock(&host->lock);
        if (fn)
            fn(arg, (uint32_t)((fds[i].revents & ~POLLOUT ? TELEX_READABLE : 0) |
                               (fds[i].revents & POLLOUT ? TELEX_WRITABLE : 0)));
    }
}

void check_turn(struct life *life) {
    make_posts(life);
    make_timers(life);
    make_watches(life);
}

bool check_settle(struct life *life, int64_t wait_ms) {
    int64_t deadline_ms = check_now_ms() + wait_ms;
    while (check_leases_open(&life->host) > 0 && check_now_ms() < deadline_ms)
        check_turn(life);
    return check_leases_open(&life->host) == 0;
}

telex_lease check_deliver(struct life *life, struct telex_rec *rec) {
    struct move move = {.make = move_process, .rec = rec, .lease = check_lease_open(&life->host)};
    pthread_mutex_lock(&life->host.lock);
    rec->lent = true;
    pthread_mutex_unlock(&life->host.lock);
    check_life_say(life, "process");
    run_move(life, &move);
    pthread_mutex_lock(&life->host.lock);
    rec->lent = false;
    pthread_mutex_unlock(&life->host.lock);
    check_record_unchanged(&life->host, rec);
    check_lease_returned(&life->host, move.lease, move.status);
    return move.lease;
}

void check_expect_settled(struct life *life) {
    if (check_settle(life, life->lost ? 1 : life->settle_ms))
        return;
    for (telex_lease i = 1; i <= life->host.n_leases && life->stage->cancel; i++)
        life->stage->cancel(life->self, i);
    if (!check_settle(life, life->stage->cancel && !life->lost ? life->settle_ms / 2 : 0)) {
        life->lost = true;
        check_find(&life->host, "lease.lost", "steps are open long after their delivery");
    }
}

/* A stage that keeps state is fed as a host feeds it: one step at a time. */
void check_feed_all(struct life *life, int first, int count, bool odd) {
    bool serial = life->serial || life->class->flags & TELEX_STAGE_STATEFUL;
    for (int i = first; i < first + count; i++) {
        check_deliver(life, check_message(life, check_input_schema(life->class, i), i, odd));
        if (serial)
            check_expect_settled(life);
    }
    check_expect_settled(life);
}

enum { SPIN_MAX = 2000 };

void check_give_credit(struct life *life, uint32_t steps) {
    struct move move = {.make = move_credit};
    pthread_mutex_lock(&life->host.lock);
    life->host.credits = steps;
    life->host.n_refused = 0;
    pthread_mutex_unlock(&life->host.lock);
    check_life_say(life, "on_credit");
    run_move(life, &move);
    if (life->host.n_refused > SPIN_MAX)
        check_find(&life->host, "credit.spin",
                   "open was asked %u times on end while it answers AGAIN; wait for on_credit",
                   life->host.n_refused);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *check_sorted(const char *text) {
    if (!text)
        text = "";
    size_t n = 0, used = 0, room = strlen(text) + 1;
    char *copy = strdup(text), *out = calloc(1, room + 1), *rest = copy, *line;
    char **lines = calloc(room, sizeof(*lines));
    if (!copy || !out || !lines)
        abort();
    while ((line = strsep(&rest, "\n")))
        if (*line)
            lines[n++] = line;
    qsort(lines, n, sizeof(*lines), by_bytes);
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(out + used, room - used, "%s\n", lines[i]);
    free(lines);
    free(copy);
    return out;
}

char *check_whole_life(struct life *life, const char *scenario) {
    if (!check_make(life, scenario))
        return NULL;
    bool started = check_begin(life);
    int64_t deadline_ms = check_now_ms() + CHECK_SOURCE_MS;
    if (started && life->stage->process)
        check_feed_all(life, 0, CHECK_RECORDS, false);
    while (started && !life->class->process && life->class->on_credit && !life->host.exhausted &&
           check_now_ms() < deadline_ms && life->host.n_committed < 2000) {
        check_give_credit(life, 3);
        check_turn(life);
    }
    if (started)
        check_expect_settled(life);
    check_end(life, started);
    return started ? check_sorted(life->host.outputs) : NULL;
}

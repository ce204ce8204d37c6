/* SPDX-License-Identifier: Apache-2.0 */
/* check_again.c - the same life once more: after a restart, beside another, in another process, with less
 * credit, with other options; and what it leaves behind each time. */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_again.h"
#include "check_life.h"
#include "isolate.h"

/* Outputs that are the same twice, or NULL: `again` says that they are not. Gives them. */
static char *steady_outputs(struct life *life, const char *scenario) {
    char *once = check_whole_life(life, scenario), *twice = once ? check_whole_life(life, scenario) : NULL;
    bool same = once && twice && strcmp(once, twice) == 0;
    free(twice);
    if (same)
        return once;
    free(once);
    return NULL;
}

/* ---- two at once ---- */

void life_two(struct life *life) {
    static struct life other;
    life->serial = true;
    char *alone = steady_outputs(life, "two");
    if (!alone)
        return;
    check_life_init(&other, life->run);
    bool made = check_make(life, "two"), made_other = check_make(&other, "two");
    bool started = made && check_begin(life), started_other = made_other && check_begin(&other);
    for (int i = 0; started && started_other && life->class->process && i < CHECK_RECORDS; i++) {
        check_feed_all(life, i, 1, false);
        check_feed_all(&other, CHECK_RECORDS - 1 - i, 1, false);
    }
    if (made_other)
        check_end(&other, started_other);
    if (made)
        check_end(life, started);
    char *beside = check_sorted(life->host.outputs);
    if (started && started_other && life->class->process && strcmp(alone, beside) != 0)
        check_find(&life->host, "life.shared", "an instance gives other outputs while another one lives");
    free(beside);
    free(alone);
}

/* ---- restarts ---- */

/* State and outputs as they were committed. */
struct committed {
    struct check_pair *pairs;
    char *outputs;
};

static void keep_committed(struct committed *kept, struct check_host *host) {
    free(kept->outputs);
    check_pairs_free(kept->pairs);
    if (host->outputs_stream)
        fflush(host->outputs_stream);
    kept->outputs = strdup(host->outputs ? host->outputs : "");
    kept->pairs = check_pairs_copy(host->pairs);
}

/* A new instance over what was committed. */
static bool recreate(struct life *life, struct committed *kept, const char *scenario, bool *started) {
    check_pairs_free(life->host.pairs);
    if (!check_make_over(life, scenario, kept->pairs))
        return false;
    fputs(kept->outputs, life->host.outputs_stream);
    *started = check_begin(life);
    return true;
}

/* The first or the second half of what there is to do. */
static void work(struct life *life, int half) {
    int64_t deadline_ms = check_now_ms() + CHECK_SOURCE_MS;
    if (life->class->process) {
        check_feed_all(life, half * CHECK_RECORDS / 2, CHECK_RECORDS / 2, false);
        return;
    }
    for (int i = 0; (half || i < 2) && !life->host.exhausted && check_now_ms() < deadline_ms; i++) {
        check_give_credit(life, 3);
        check_turn(life);
    }
    check_expect_settled(life);
}

/* Feed all, with a restart after half and, with `lost`, one whose last step did not commit. */
static char *live_with_restart(struct life *life, bool lost) {
    struct committed kept = {NULL, NULL};
    if (!check_make(life, "restart"))
        return NULL;
    bool started = check_begin(life);
    if (started) {
        work(life, 0);
        keep_committed(&kept, &life->host);
        if (lost && life->class->process)
            check_feed_all(life, CHECK_RECORDS / 2, 1, false);
        else if (lost)
            check_give_credit(life, 1);
    }
    life->drain = DRAIN_NOT;
    check_end(life, started);
    life->drain = DRAIN_AHEAD;
    bool again = started && recreate(life, &kept, "restart", &started);
    if (again && started)
        work(life, 1);
    if (again)
        check_end(life, started);
    free(kept.outputs);
    check_pairs_free(kept.pairs);
    return again && started ? check_sorted(life->host.outputs) : NULL;
}

void life_restart(struct life *life) {
    life->serial = true;
    char *whole = steady_outputs(life, "restart");
    if (!life->class->process && !life->host.exhausted) { /* it gives for ever, or waits for the world */
        free(whole);
        return;
    }
    for (int lost = 0; lost < 2 && whole; lost++) {
        char *again = live_with_restart(life, lost);
        if (again && strcmp(whole, again) != 0)
            check_find(
                &life->host, "state.restart",
                "with a new instance halfway%s the outputs are others; keep what is remembered in telex.kv/1",
                lost ? ", after a step that did not commit," : "");
        free(again);
    }
    free(whole);
}

/* ---- what is left ---- */

enum { WARM = 3, ROUNDS = 40, LEAK_RECORDS = 4, LEAK_BYTES = 16 };

static long long allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return (long long)info.uordblks + (long long)info.hblkhd;
}

struct one_life {
    struct life *life;
    bool lived; /* and no thread of it is left, which has a rule of its own and may still need its memory */
};

static void *live_once(void *arg) {
    struct one_life *one = arg;
    struct life *life = one->life;
    size_t threads = check_settled_count("/proc/self/task", SIZE_MAX);
    if (!check_make(life, "leak"))
        return NULL;
    bool started = check_begin(life);
    if (started && life->class->process)
        check_feed_all(life, 0, LEAK_RECORDS, false);
    else if (started && life->class->on_credit)
        check_give_credit(life, 3);
    check_end(life, started);
    one->lived = check_settled_count("/proc/self/task", threads) <= threads;
    if (one->lived)
        check_host_free(&life->host);
    return NULL;
}

/* What one life leaves allocated, the kit's own part given back. On a thread of its own: what a thread freed
 * and keeps for itself (glibc's tcache) counts as allocated, and is let go when it ends. */
static long long leave_once(struct life *life) {
    struct one_life one = {.life = life};
    pthread_t thread;
    long long before = allocated();
    if (pthread_create(&thread, NULL, live_once, &one) != 0)
        return 0;
    pthread_join(thread, NULL);
    return one.lived ? allocated() - before : 0;
}

void life_leak(struct life *life) {
    long long least = INT64_MAX;
    int64_t deadline_ms = check_now_ms() + life->run->life_ms / 2;
    for (int i = 0; i < ROUNDS && least >= LEAK_BYTES && (i <= WARM || check_now_ms() < deadline_ms); i++) {
        long long left = leave_once(life);
        if (i >= WARM && left < least)
            least = left; /* a cache grows now and then, a leak each time */
    }
    if (least != INT64_MAX && least >= LEAK_BYTES)
        check_report(life->out, "life.leak", "each life leaves at least %lld bytes allocated", least);
}

/* ---- a source and its credit ---- */

static uint64_t give_all(struct life *life, uint32_t credit, int64_t wait_ms, bool *through) {
    int64_t deadline_ms = check_now_ms() + wait_ms;
    *through = false;
    if (!check_make(life, "credits"))
        return 0;
    bool started = check_begin(life);
    while (started && !life->host.exhausted && check_now_ms() < deadline_ms &&
           life->host.n_committed < 2000) {
        check_give_credit(life, credit);
        check_turn(life);
    }
    if (started)
        check_expect_settled(life);
    *through = life->host.exhausted;
    check_end(life, started);
    return life->host.n_committed;
}

/* Credit that comes a step at a time costs no message. */
void life_credits(struct life *life) {
    bool through, also;
    int64_t begun_ms = check_now_ms();
    uint64_t plenty = give_all(life, 1000, CHECK_SOURCE_MS, &through);
    int64_t took_ms = check_now_ms() - begun_ms;
    if (!through)
        return; /* it gives for ever, or waits for the world */
    uint64_t little = give_all(life, 1, CHECK_SOURCE_MS + 10 * took_ms, &also);
    if (little != plenty || !also)
        check_find(&life->host, "credit.stalls",
                   "with one step of credit at a time it gave %llu messages, with plenty %llu",
                   (unsigned long long)little, (unsigned long long)plenty);
}

/* ---- options ---- */

void life_options(struct life *life) {
    const struct check_variations *all = life->run->arg;
    char call[160];
    for (size_t i = 0; all && i < all->n; i++) {
        check_host_init(&life->host, life->class, "options", life->out);
        void *self = NULL;
        snprintf(call, sizeof(call), "create with %.100s", all->items[i].label);
        check_life_say(life, call);
        telex_status status = life->class->create(&life->host.table, all->items[i].options, &self);
        if (status == TELEX_OK && self) {
            snprintf(call, sizeof(call), "destroy after %.100s", all->items[i].label);
            check_life_say(life, call);
            life->class->destroy(self);
        } else if (status == TELEX_OK || !*life->host.last_fail)
            check_find(&life->host, "option.says-why",
                       "create refused %.100s, which its table allows, without a reason",
                       all->items[i].label);
        check_host_finish(&life->host);
    }
}

/* ---- another process ---- */

static void on_died(void *arg, const char *why) {
    struct life *life = arg;
    life->died = true;
    check_find(&life->host, "isolated.dies", "in a process of its own: %s", why);
}

void life_isolated(struct life *life) {
    const struct check_variations *all = life->run->arg;
    life->serial = true;
    char *here = steady_outputs(life, "isolated");
    struct isolate_spec spec = {
        .name = "check", .plugin = all->plugin, .options = life->options, .died = on_died, .died_arg = life};
    if (!here)
        return;
    life->host.spec = &spec;
    life->stage = &isolate_stage;
    char *there = check_whole_life(life, "isolated");
    if (there && !life->died && strcmp(here, there) != 0)
        check_find(&life->host, "isolated.differs",
                   "the same messages gave other outputs in a process of its own");
    free(here);
    free(there);
}

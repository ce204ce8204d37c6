/* SPDX-License-Identifier: Apache-2.0 */
/* check_orders.c - the calls of a life in every legal order, from any thread, and steps that are to end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_life.h"

enum { CANCEL_MS = 1000, HELD = 4 };

static uint32_t held_at_once(const struct life *life) {
    return life->class->flags & TELEX_STAGE_STATEFUL ? 1 : HELD;
}

static void feed_some(struct life *life, uint32_t n, bool settled) {
    for (uint32_t i = 0; i < n; i++) {
        check_deliver(life, check_sample(life, check_input_schema(life->class, (int)i), (int)i, false));
        if (settled)
            check_expect_settled(life);
    }
}

/* One life in one order. fed: 0 nothing, 1 steps that are done, 2 steps that may be open when it ends. */
static void live_in_order(struct life *life, int fed, bool credit, enum check_drain how) {
    if (!check_make(life, "orders"))
        return;
    bool started = check_begin(life);
    life->drain = how;
    if (started && credit && life->class->on_credit)
        check_give_credit(life, 2);
    if (started && fed && life->class->process)
        feed_some(life, fed == 1 ? 2 : held_at_once(life), fed == 1);
    check_end(life, started);
}

void life_orders(struct life *life) {
    life->ordered = true;
    if (check_make(life, "orders")) /* never started */
        check_end(life, false);
    for (int fed = 0; fed < (life->class->process ? 3 : 1); fed++)
        for (int credit = 0; credit < (life->class->on_credit ? 2 : 1); credit++)
            for (enum check_drain how = DRAIN_NOT; how <= DRAIN_PASSED; how++)
                live_in_order(life, fed, credit, how);
    life->ordered = false;
}

/* [strand] calls come one at a time, but from any thread. */
void life_threads(struct life *life) {
    char *once = check_whole_life(life, "threads"), *twice = check_whole_life(life, "threads");
    life->moves = true;
    char *moved = once && twice ? check_whole_life(life, "threads") : NULL;
    life->moves = false;
    if (moved && strcmp(once, twice) == 0 && strcmp(once, moved) != 0)
        check_find(&life->host, "thread.moves",
                   "the same messages gave other outputs when each call came from another thread");
    free(once);
    free(twice);
    free(moved);
}

/* Cancelled steps end soon; a hint that comes late, or names no lease of ours, does nothing. */
void life_cancel(struct life *life) {
    if (!check_make(life, "cancel"))
        return;
    bool started = check_begin(life);
    for (int round = 0; round < 3 && started; round++) {
        feed_some(life, held_at_once(life), false);
        pthread_mutex_lock(&life->host.lock);
        for (size_t i = 0; i < life->host.n_leases; i++)
            life->host.leases[i].cancelled = true;
        size_t n = life->host.n_leases;
        pthread_mutex_unlock(&life->host.lock);
        check_life_say(life, "cancel");
        for (telex_lease lease = 1; lease <= n + 1 && life->stage->cancel; lease++)
            life->stage->cancel(life->self, lease); /* those that are complete, and one too many */
        if (check_settle(life, CANCEL_MS < life->settle_ms ? CANCEL_MS : life->settle_ms))
            continue;
        if (check_settle(life, life->settle_ms))
            check_find(&life->host, "cancel.ignored", "a cancelled step went on for more than %d ms",
                       CANCEL_MS);
        else
            check_find(&life->host, "lease.lost", "a cancelled step is never completed");
        break;
    }
    check_end(life, started);
}

/* What is held when drain comes is finished, and nothing new is begun. */
void life_drain(struct life *life) {
    if (!check_make(life, "drain"))
        return;
    bool started = check_begin(life);
    if (started && life->class->process)
        feed_some(life, held_at_once(life), false);
    if (started && life->class->on_credit)
        check_give_credit(life, 64);
    for (int i = 0; i < 5 && started; i++)
        check_turn(life);
    pthread_mutex_lock(&life->host.lock);
    life->host.credits = 64; /* there is room, and yet */
    pthread_mutex_unlock(&life->host.lock);
    check_end(life, started);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* swap.c - the transaction that swap.h describes, step by step. */
#include "swap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

enum {
    CREATE_MS = 200000, /* a runner has its own limit of 180 s */
    START_MS = 70000,   /* and of 60 s */
    GRACE_MS = 5000,    /* after a step's time limit: the watchdog acts on it meanwhile */
    LOOK_EVERY_MS = 2,  /* commits are not told */
};

struct item {
    struct stage *old, *new;
    size_t at;    /* of `to` */
    bool spoiled; /* open steps of the old one were released: it may be ahead of its state */
};

struct swap {
    struct engine *engine;
    const struct config *to;
    struct item items[ENGINE_STAGES_MAX];
    size_t n;
    char *why;
    size_t why_size;
};

static struct stage *find_stage_locked(const struct engine *engine, const char *name) {
    for (size_t i = 0; i < engine->n_stages; i++)
        if (strcmp(engine->stages[i]->config->name, name) == 0)
            return engine->stages[i];
    return NULL;
}

static void wait_moved_locked(struct engine *engine, int64_t until_ms) {
    struct timespec at = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_cond_timedwait(&engine->moved, &engine->lock, &at);
}

/* Whether the pipeline is ending: then a swap makes way. */
static bool ends_locked(struct swap *swap) {
    bool ends = swap->engine->phase != PHASE_RUN || swap->engine->broken;
    if (ends)
        snprintf(swap->why, swap->why_size, "the pipeline is ending");
    return ends;
}

/* ---- the new stages ---- */

static int add_item(struct swap *swap, size_t at) {
    struct engine *engine = swap->engine;
    struct item *item = &swap->items[swap->n];
    char why[1000] = "";
    pthread_mutex_lock(&engine->lock);
    *item = (struct item){.old = find_stage_locked(engine, swap->to->stages[at].name), .at = at};
    pthread_mutex_unlock(&engine->lock);
    int err = stage_make(&item->new, engine, swap->to, at, item->old->index, why, sizeof(why));
    if (err < 0) {
        snprintf(swap->why, swap->why_size, "%s: %s", swap->to->stages[at].name, why);
        stage_destroy(item->new);
        return err;
    }
    item->new->join = JOIN_CREATING;
    item->new->held = item->new->pausing = true;
    pthread_mutex_lock(&engine->lock);
    err = strand_start(item->new);
    if (err == 0) {
        item->new->next = engine->others;
        engine->others = item->new;
        swap->n++;
    }
    pthread_mutex_unlock(&engine->lock);
    if (err < 0) {
        snprintf(swap->why, swap->why_size, "%s: cannot start a thread: %s", swap->to->stages[at].name,
                 strerror(-err));
        stage_destroy(item->new);
    }
    return err;
}

/* Whether a new stage has come to `join`: 1, 0 not yet, -1 with the reason it will not. */
static int look_at_new_locked(struct swap *swap, const struct item *item, enum stage_join join) {
    const struct stage *stage = item->new;
    if (stage->join == JOIN_FAILED || stage->restart) {
        snprintf(swap->why, swap->why_size, "%s: %s", swap->to->stages[item->at].name,
                 stage->failure ? stage->failure : "its instance ended");
        return -1;
    }
    return stage->join == join && (join != JOIN_STARTED || stage->frozen);
}

/* Wait until every new stage has come to `join`. */
static bool await_new_locked(struct swap *swap, enum stage_join join, int64_t limit_ms, const char *what) {
    struct engine *engine = swap->engine;
    int64_t until_ms = mono_ms() + limit_ms;
    for (;;) {
        const struct item *late = NULL;
        for (size_t i = 0; i < swap->n; i++) {
            int there = look_at_new_locked(swap, &swap->items[i], join);
            if (there < 0)
                return false;
            late = there ? late : &swap->items[i];
        }
        if (ends_locked(swap))
            return false;
        if (!late)
            return true;
        if (mono_ms() > until_ms) {
            snprintf(swap->why, swap->why_size, "%s: did not %s within %lld s",
                     swap->to->stages[late->at].name, what, (long long)limit_ms / 1000);
            return false;
        }
        wait_moved_locked(engine, until_ms + 1);
    }
}

static void end_new_locked(struct swap *swap) {
    for (size_t i = 0; i < swap->n; i++) {
        swap->items[i].new->stopping = true;
        strand_call_locked(swap->items[i].new);
    }
}

/* ---- the old stages ---- */

static void pause_old_locked(struct swap *swap, bool pauses) {
    for (size_t i = 0; i < swap->n; i++) {
        struct stage *stage = swap->items[i].old;
        stage->pausing = pauses;
        stage->frozen = stage->frozen && pauses;
        if (!pauses && swap->items[i].spoiled)
            stage_restart_locked(stage, "steps were released for a reload that did not take place");
        strand_call_locked(stage);
    }
}

/* Nothing of it is open, done, or on its way to the journal, and its strand sleeps. */
static bool at_rest_locked(struct stage *stage) {
    bool rests = stage->frozen || stage->state == STAGE_FAILED;
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_slots && rests; i++)
        rests = stage->slots[i]->state == STEP_FREE;
    pthread_mutex_unlock(&stage->lock);
    return rests;
}

/* Let go of what is open. A call that is going on in this process cannot be left: it is asked to end, and the
 * watchdog sees to it. */
static void release_locked(struct item *item) {
    struct stage *stage = item->old;
    struct instance *instance = stage->instance;
    if (!instance || atomic_load(&instance->n_open) == 0)
        return;
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_slots; i++)
        stage->slots[i]->cancelled |= stage->slots[i]->state == STEP_OPEN;
    pthread_mutex_unlock(&stage->lock);
    pthread_cond_broadcast(&stage->engine->watch);
    if (instance->in_call)
        return;
    log_say(TELEX_INFO, stage->config->name, "reload: %u open steps are released and will run again",
            atomic_load(&instance->n_open));
    item->spoiled = true;
    step_abandon_all_locked(instance, 0, "released for a reload");
    strand_call_locked(stage);
}

static bool await_rest_locked(struct swap *swap, int64_t drain_ms) {
    struct engine *engine = swap->engine;
    int64_t now_ms = mono_ms(), drain_until_ms = now_ms + drain_ms;
    for (size_t i = 0; i < swap->n;) {
        struct item *item = &swap->items[i];
        if (ends_locked(swap))
            return false;
        if (at_rest_locked(item->old)) {
            i++;
            continue;
        }
        now_ms = mono_ms();
        if (now_ms >= drain_until_ms)
            release_locked(item);
        if (now_ms > drain_until_ms + item->old->config->timeout_ms + GRACE_MS)
            return snprintf(swap->why, swap->why_size, "%s: did not come to the end of its step",
                            item->old->config->name),
                   false;
        wait_moved_locked(engine, now_ms + LOOK_EVERY_MS);
    }
    return true;
}

/* ---- the switch ---- */

/* Counters go on; one stage's lock at a time. */
static void take_metrics_locked(struct stage *new, struct stage *old) {
    struct metric metrics[INSTANCE_METRICS]; /* names are the old stage's, which only adds some */
    pthread_mutex_lock(&old->lock);
    uint32_t n = old->n_metrics;
    memcpy(metrics, old->metrics, n * sizeof(*metrics));
    pthread_mutex_unlock(&old->lock);
    pthread_mutex_lock(&new->lock);
    for (uint32_t i = 0; i < new->n_metrics; i++)
        for (uint32_t k = 0; k < n; k++)
            if (new->metrics[i].kind == TELEX_COUNTER && strcmp(new->metrics[i].name, metrics[k].name) == 0)
                new->metrics[i].value += metrics[k].value;
    pthread_mutex_unlock(&new->lock);
}

/* The books go on. */
static void take_counters_locked(struct stage *new, struct stage *old) {
    new->lives = old->lives;
    new->n_lives += old->n_lives;
    new->n_steps = new->steps_at_restart = old->n_steps;
    new->n_rejects = old->n_rejects;
    new->n_retries = old->n_retries;
    new->n_quarantined = old->n_quarantined;
    new->n_crashes = old->n_crashes;
    new->n_outputs_total = old->n_outputs_total;
    take_metrics_locked(new, old);
}

static void take_edges_locked(struct stage *new, struct stage *old) {
    for (size_t i = 0; i < old->n_inputs; i++) {
        struct edge *edge = old->inputs[i];
        pthread_mutex_lock(&edge->from->lock);
        edge->to = new;
        for (struct entry *entry = edge->first; entry; entry = entry->next)
            suspect_clear_locked(entry); /* of the old stage */
        pthread_mutex_unlock(&edge->from->lock);
        new->inputs[new->n_inputs++] = edge;
    }
    for (size_t i = 0; i < old->n_outputs; i++) {
        struct edge *edge = old->outputs[i];
        edge->from = new; /* no step of the old one is left */
        new->outputs[new->n_outputs++] = edge;
    }
    old->n_inputs = old->n_outputs = 0;
}

/* Every edge reads its rules from the new config. */
static void repoint_edges_locked(struct swap *swap) {
    struct engine *engine = swap->engine;
    char schemas[1024];
    for (size_t i = 0; i < engine->n_edges; i++) {
        struct edge *edge = engine->edges[i];
        for (size_t k = 0; k < swap->to->n_edges; k++) {
            const struct config_edge *config = &swap->to->edges[k];
            if (strcmp(config->name, edge->config->name) != 0)
                continue;
            pthread_mutex_lock(&edge->from->lock);
            edge->config = config;
            edge->takes_any = edge_schemas(config, edge->to->class, schemas, sizeof(schemas));
            pthread_mutex_unlock(&edge->from->lock);
            break;
        }
    }
}

static void unlink_other_locked(struct engine *engine, const struct stage *stage) {
    struct stage **at = &engine->others;
    while (*at != stage)
        at = &(*at)->next;
    *at = stage->next;
}

static void switch_one_locked(struct swap *swap, struct item *item) {
    struct engine *engine = swap->engine;
    struct stage *old = item->old, *new = item->new;
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i] == old)
            engine->stages[i] = new;
    unlink_other_locked(engine, new);
    take_counters_locked(new, old);
    take_edges_locked(new, old);
    new->generation = engine->generation;
    new->join = JOIN_NO;
    new->held = new->pausing = new->frozen = false;
    old->stopping = true;
    old->next = engine->others;
    engine->others = old;
    strand_call_locked(new);
    strand_call_locked(old);
}

static bool any_down_locked(const struct engine *engine) {
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i]->state == STAGE_FAILED)
            return true;
    return false;
}

static void switch_locked(struct swap *swap) {
    struct engine *engine = swap->engine;
    engine->generation++;
    engine->config = swap->to;
    for (size_t i = 0; i < swap->n; i++)
        switch_one_locked(swap, &swap->items[i]);
    repoint_edges_locked(swap);
    if (engine->exit_code == 1 && !any_down_locked(engine))
        engine->exit_code = 0;
    for (size_t i = 0; i < engine->n_stages; i++) /* capacities may have changed */
        strand_call_locked(engine->stages[i]);
}

/* Readers see the sites of the new stages from now on. */
static void show_sites(struct swap *swap) {
    struct engine *engine = swap->engine;
    for (size_t i = 0; i < swap->n; i++) {
        pthread_mutex_lock(&engine->lock);
        char *site = swap->items[i].new->site;
        swap->items[i].new->site = NULL;
        pthread_mutex_unlock(&engine->lock);
        if (site && engine->on_site)
            engine->on_site(engine->hooks_arg, site);
        free(site);
    }
}

/* ---- the whole ---- */

/* From the first pause to the switch. */
static bool change_over_locked(struct swap *swap, int64_t drain_ms, int64_t *pause_ms) {
    int64_t began_ms = mono_ms();
    pause_old_locked(swap, true);
    bool rests = await_rest_locked(swap, drain_ms);
    for (size_t i = 0; i < swap->n && rests; i++) {
        swap->items[i].new->join = JOIN_STARTING;
        strand_call_locked(swap->items[i].new);
    }
    bool done = rests && await_new_locked(swap, JOIN_STARTED, START_MS, "start");
    if (done)
        switch_locked(swap);
    else
        pause_old_locked(swap, false);
    *pause_ms = mono_ms() - began_ms;
    return done;
}

void swap_run(struct engine *engine, const struct config *to, const enum swap_act *acts, int64_t drain_ms,
              struct swap_result *result) {
    struct swap swap = {.engine = engine, .to = to, .why = result->why, .why_size = sizeof(result->why)};
    int64_t began_ms = mono_ms();
    *result = (struct swap_result){0};
    pthread_mutex_lock(&engine->lock);
    bool fine = !ends_locked(&swap);
    engine->swapping = true;
    pthread_mutex_unlock(&engine->lock);
    for (size_t i = 0; i < to->n_stages && fine; i++)
        fine = acts[i] == SWAP_KEEP || add_item(&swap, i) == 0;
    engine_lock(engine);
    fine = fine && await_new_locked(&swap, JOIN_CREATED, CREATE_MS, "get created");
    result->done = fine && change_over_locked(&swap, drain_ms, &result->pause_ms);
    if (!result->done) {
        end_new_locked(&swap);
        for (size_t i = 0; i < swap.n; i++)
            swap.items[i].new->held = false;
    }
    engine->swapping = false;
    engine_unlock(engine);
    if (result->done)
        show_sites(&swap);
    engine_nudge(engine);
    result->took_ms = mono_ms() - began_ms;
}

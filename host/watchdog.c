/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog.c - a thread that looks at deadlines.
 *
 * A step past its deadline is asked to end through cancel(); GRACE_MS later it is taken away. An isolated
 * instance loses its process. One in this process cannot be ended: where its thread hangs in a call it is
 * marked dead, left behind with that thread, and the stage goes on with a new thread and instance. */
#include "engine.h"

#include <time.h>

#include "calling.h"
#include "instance.h"
#include "isolate.h"
#include "log.h"

enum { LOOK_EVERY_MS = 50, GRACE_MS = 1000 };

/* A step that was handed to a runner waits there for its turn; its time counts from then. */
static void count_from_turn_held(struct step *step) {
    struct instance *instance = step->instance;
    if (instance->calls != &isolate_stage || instance->state != INSTANCE_RUNNING)
        return;
    int64_t turn_ms = isolate_turn_ms(instance->self, step->lease);
    int64_t deadline_ms = turn_ms + instance->stage->config->timeout_ms;
    if (deadline_ms > step->deadline_ms)
        step->deadline_ms = deadline_ms;
}

static void mark_late_held(struct step *step) {
    struct instance *instance = step->instance;
    step->overdue = step->cancelled = true;
    step->turn = atomic_load_explicit(&instance->turns, memory_order_relaxed);
    struct telex_bytes none = {NULL, 0}, said = {(const uint8_t *)"past its deadline; asked to end", 31};
    log_text(TELEX_WARN, instance->stage->config->name, step->entry ? step->entry->rec->id : none, said);
}

static void mark_all_late_locked(struct stage *stage, int64_t now_ms) {
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_slots; i++) {
        struct step *step = stage->slots[i];
        if (step->state != STEP_OPEN || step->overdue || now_ms <= step->deadline_ms)
            continue;
        count_from_turn_held(step);
        if (now_ms > step->deadline_ms)
            mark_late_held(step);
    }
    pthread_mutex_unlock(&stage->lock);
}

/* What was found of a step: by the time it is acted upon the step may have ended. */
struct found {
    struct instance *instance; /* cannot go while engine->lock is held */
    telex_lease lease;
    uint64_t turn;
};

/* An open step that waits to be told (late_ms 0), or one that is overdue by more than so long. */
static bool find_locked(struct stage *stage, int64_t now_ms, int64_t late_ms, struct found *found) {
    bool any = false;
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_slots && !any; i++) {
        struct step *step = stage->slots[i];
        if (step->state != STEP_OPEN)
            continue;
        any = late_ms == 0 ? step->cancelled && !step->told
                           : step->overdue && now_ms > step->deadline_ms + late_ms;
        if (!any)
            continue;
        *found = (struct found){step->instance, step->lease, step->turn};
        if (late_ms == 0)
            step->told = true;
        else
            step->deadline_ms = now_ms; /* look again if what is done now does not end it */
    }
    pthread_mutex_unlock(&stage->lock);
    return any;
}

/* Leave a hanging instance behind and give its stage a new thread. */
static void leave_behind_locked(struct stage *stage, struct instance *instance) {
    pthread_mutex_lock(&stage->lock);
    instance->dead = true;
    atomic_store_explicit(&instance->over, true, memory_order_release);
    pthread_mutex_unlock(&stage->lock);
    step_abandon_all_locked(instance, 0, "passed its deadline");
    stage->instance = NULL;
    stage->n_crashes++;
    pthread_detach(stage->thread);
    log_say(TELEX_ERROR, stage->config->name,
            "plugin %s hangs in a call; it is left behind and the stage starts anew. `isolation: process` "
            "would end it",
            stage->class->name);
    if (strand_start(stage) < 0)
        log_say(TELEX_ERROR, stage->config->name, "no thread for the new instance; the stage is down");
}

/* Let the plugin and the models know of a cancelled step. The instance cannot end meanwhile. */
static void tell_locked(struct engine *engine, const struct found *found) {
    struct instance *instance = found->instance;
    if (instance->state != INSTANCE_RUNNING)
        return;
    instance->watched = true;
    engine_unlock(engine);
    if (instance->models)
        models_cancel_lease(instance->models, found->lease);
    calling_enter(instance, "cancel");
    if (instance->calls->cancel)
        instance->calls->cancel(instance->self, found->lease);
    calling_leave();
    pthread_mutex_lock(&engine->lock);
    instance->watched = false;
    strand_wake_locked(instance->stage);
}

/* End what did not end when asked. A thread hangs when it is in the same call as when the step was found to
 * be overdue; otherwise only the step is lost. The step stays overdue until its instance is gone. */
static void take_away_locked(struct engine *engine, const struct found *found) {
    struct instance *instance = found->instance;
    struct stage *stage = instance->stage;
    bool hangs =
        instance->in_call && found->turn == atomic_load_explicit(&instance->turns, memory_order_relaxed);
    if (instance->calls == &isolate_stage && instance->state == INSTANCE_RUNNING) {
        instance->watched = true;
        engine_unlock(engine);
        instance_kill(instance, "passed its deadline");
        pthread_mutex_lock(&engine->lock);
        instance->watched = false;
        strand_wake_locked(stage);
    } else if (hangs)
        leave_behind_locked(stage, instance);
    else {
        step_abandon_all_locked(instance, found->lease, "passed its deadline");
        stage_restart_locked(stage, "a step passed its deadline");
    }
}

static void look_locked(struct engine *engine, struct stage *stage, int64_t now) {
    struct found found;
    mark_all_late_locked(stage, now);
    while (find_locked(stage, now, 0, &found))
        tell_locked(engine, &found);
    while (find_locked(stage, now, GRACE_MS, &found) && stage->instance == found.instance)
        take_away_locked(engine, &found);
}

void *watchdog_thread(void *arg) {
    struct engine *engine = arg;
    pthread_mutex_lock(&engine->lock);
    while (!engine->unwatch) {
        int64_t now = mono_ms(), next = now + LOOK_EVERY_MS;
        for (size_t i = 0; i < engine->n_stages; i++)
            look_locked(engine, engine->stages[i], now);
        struct timespec at = {.tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000};
        engine_unlock(engine);
        pthread_mutex_lock(&engine->lock);
        if (!engine->unwatch)
            pthread_cond_timedwait(&engine->watch, &engine->lock, &at);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

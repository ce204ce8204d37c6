/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog.c - a thread that looks at deadlines.
 *
 * A step past its deadline is asked to end through cancel(); GRACE_MS later it is taken away. An isolated
 * instance loses its process. One in this process cannot be ended: where its thread hangs in a call it is
 * marked dead, left behind with that thread, and the stage goes on with a new thread and instance. */
#include "engine.h"

#include <time.h>

#include "instance.h"
#include "isolate.h"
#include "log.h"

enum { LOOK_EVERY_MS = 50, GRACE_MS = 1000 };

/* A step that was handed to a runner waits there for its turn; its time counts from then. */
static void count_from_turn_locked(struct step *step) {
    struct instance *instance = step->instance;
    if (instance->calls != &isolate_stage || instance->state != INSTANCE_RUNNING)
        return;
    int64_t turn_ms = isolate_turn_ms(instance->self, step->lease);
    int64_t deadline_ms = turn_ms + instance->stage->config->timeout_ms;
    if (deadline_ms > step->deadline_ms)
        step->deadline_ms = deadline_ms;
}

/* The first open step that is past deadline + grace_ms and (for the first look) not marked yet. */
static struct step *find_late_locked(struct engine *engine, int64_t now_ms, int64_t grace_ms, bool marked) {
    for (uint32_t i = 0; i < engine->n_slots; i++) {
        struct step *step = engine->slots[i];
        bool open = step->state == STEP_OPEN && step->overdue == marked;
        if (open && !marked && now_ms > step->deadline_ms + grace_ms)
            count_from_turn_locked(step);
        if (open && now_ms > step->deadline_ms + grace_ms)
            return step;
    }
    return NULL;
}

/* Leave a hanging instance behind and give its stage a new thread. */
static void leave_behind_locked(struct stage *stage, struct instance *instance) {
    instance->dead = true;
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

static void mark_late_locked(struct step *step) {
    step->overdue = step->cancelled = true;
    struct telex_bytes none = {NULL, 0}, said = {(const uint8_t *)"past its deadline; asked to end", 31};
    log_text(TELEX_WARN, step->instance->stage->config->name, step->entry ? step->entry->rec->id : none,
             said);
}

/* Let the plugin and the models know of a cancelled step. The instance cannot end meanwhile. */
static void tell_locked(struct engine *engine, struct step *step) {
    struct instance *instance = step->instance;
    telex_lease lease = step->lease;
    step->told = true;
    if (instance->state != INSTANCE_RUNNING)
        return;
    instance->watched = true;
    pthread_mutex_unlock(&engine->lock);
    if (instance->models)
        models_cancel_lease(instance->models, lease);
    if (instance->calls->cancel)
        instance->calls->cancel(instance->self, lease);
    pthread_mutex_lock(&engine->lock);
    instance->watched = false;
    strand_wake_locked(instance->stage);
}

static struct step *find_untold_locked(struct engine *engine) {
    for (uint32_t i = 0; i < engine->n_slots; i++) {
        struct step *step = engine->slots[i];
        if (step->state == STEP_OPEN && step->cancelled && !step->told)
            return step;
    }
    return NULL;
}

/* End what did not end when asked. The step stays overdue until its instance is gone. */
static void take_away_locked(struct engine *engine, struct step *step) {
    struct instance *instance = step->instance;
    struct stage *stage = instance->stage;
    if (instance->calls == &isolate_stage && instance->state == INSTANCE_RUNNING) {
        step->deadline_ms = mono_ms() + GRACE_MS; /* look again if the kill did not complete it */
        instance->watched = true;
        pthread_mutex_unlock(&engine->lock);
        instance_kill(instance, "passed its deadline");
        pthread_mutex_lock(&engine->lock);
        instance->watched = false;
        strand_wake_locked(stage);
    } else if (instance->in_call)
        leave_behind_locked(stage, instance);
    else {
        step_abandon_all_locked(instance, step->lease, "passed its deadline");
        stage_restart_locked(stage, "a step passed its deadline");
    }
}

static void look_locked(struct engine *engine, int64_t now) {
    struct step *step;
    while ((step = find_late_locked(engine, now, 0, false)))
        mark_late_locked(step);
    while ((step = find_untold_locked(engine)))
        tell_locked(engine, step);
    while ((step = find_late_locked(engine, now, GRACE_MS, true)) &&
           step->instance->stage->instance == step->instance)
        take_away_locked(engine, step);
}

void *watchdog_thread(void *arg) {
    struct engine *engine = arg;
    pthread_mutex_lock(&engine->lock);
    while (!engine->unwatch) {
        int64_t now = mono_ms(), next = now + LOOK_EVERY_MS;
        look_locked(engine, now);
        struct timespec at = {.tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000};
        pthread_cond_timedwait(&engine->watch, &engine->lock, &at);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

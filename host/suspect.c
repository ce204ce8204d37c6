/* SPDX-License-Identifier: Apache-2.0 */
/* suspect.c - whose doing it was when a runner ended with several records in its hands.
 *
 * A step that process() was in, or the only one begun, is to blame and counts. Of several that a stage
 * answers later, those past their deadline are; else any of them may be. Then none counts: they are suspects,
 * and until none is left the stage gets nothing else, half of them at once. Each further end leaves at most
 * that half under suspicion, so one bad record of n is alone after log2(n) ends, counts from there on, and
 * the others have gone through. Ends that narrow are no part of the restart budget. */
#include "engine.h"

#include <stdio.h>

#include "log.h"

void suspect_clear_locked(struct entry *entry) {
    if (entry->suspect_of)
        atomic_fetch_sub_explicit(&entry->suspect_of->n_suspects, 1, memory_order_relaxed);
    entry->suspect_of = NULL;
}

static void mark_locked(struct stage *stage, struct entry *entry) {
    if (!entry->suspect_of)
        atomic_fetch_add_explicit(&stage->n_suspects, 1, memory_order_relaxed);
    entry->suspect_of = stage;
}

uint32_t suspect_limit(const struct stage *stage, uint32_t limit) {
    uint32_t n = atomic_load_explicit(&stage->n_suspects, memory_order_relaxed), half = n > 1 ? n / 2 : 1;
    return n > 0 && half < limit ? half : limit;
}

/* All but the guilty are cleared. */
static void clear_others_held(struct stage *stage, const struct instance *instance) {
    for (uint32_t i = 0; i < stage->n_slots; i++) {
        struct step *step = stage->slots[i];
        if (step->state == STEP_OPEN && step->entry && step->blame != BLAME_SUSPECT &&
            step->blame != BLAME_COUNTS)
            suspect_clear_locked(step->entry);
    }
    for (uint32_t i = instance->batch_at; i < instance->n_batch; i++)
        suspect_clear_locked(instance->batch[i].entry);
    for (size_t i = 0; i < stage->n_inputs; i++)
        for (struct entry *entry = stage->inputs[i]->first; entry; entry = entry->next)
            suspect_clear_locked(entry);
}

void suspect_blame(struct instance *instance, const telex_lease *begun, size_t n) {
    struct stage *stage = instance->stage;
    struct engine *engine = stage->engine;
    size_t n_late = 0, n_inputs = 0, n_guilty = 0;
    pthread_mutex_lock(&engine->lock);
    pthread_mutex_lock(&stage->lock);
    for (size_t i = 0; i < n; i++) {
        const struct step *step = step_find_held(instance, begun[i]);
        n_inputs += step && step->entry;
        n_late += step && step->entry && step->overdue;
    }
    n_guilty = n_late ? n_late : n_inputs;
    for (size_t i = 0; i < n; i++) {
        struct step *step = step_find_held(instance, begun[i]);
        if (!step || !step->entry)
            continue;
        bool guilty = n_late == 0 || step->overdue;
        step->blame = !guilty ? BLAME_NONE : n_guilty > 1 ? BLAME_SUSPECT : BLAME_COUNTS;
        if (step->blame == BLAME_SUSPECT)
            mark_locked(stage, step->entry);
    }
    clear_others_held(stage, instance);
    pthread_mutex_unlock(&stage->lock);
    stage->narrows = n_guilty > 1;
    if (n_guilty > 1)
        log_say(TELEX_WARN, stage->config->name,
                "its process ended with %zu records in hand: one of them may have done it. They go again, "
                "half of "
                "them at once, and do not count yet",
                n_guilty);
    engine_unlock(engine);
}

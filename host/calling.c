/* SPDX-License-Identifier: Apache-2.0 */
#include "calling.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex-sdk/message.h>

#include "isolate.h"
#include "last_words.h"
#include "log.h"

enum { LINES_PER_SECOND = 50, FEW = 16, LATE_LINES = 200, EXIT_BY_PLUGIN = 70 };

static _Thread_local struct {
    struct instance *instance; /* NULL: in no plugin */
    const char *call;
    struct telex_rec *record; /* borrowed */
    unsigned n_records;       /* since the last look */
    bool ran;                 /* plugin code ran since then */
    struct thread_surroundings own;
} calling;

/* ---- what calls change ---- */

/* Others that were in a call meanwhile and may have done it as well: ", or X, or Y". */
static void name_others(const struct stage *stage, char *text, size_t size) {
    struct engine *engine = stage->engine;
    *text = 0;
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->n_stages; i++) {
        const struct stage *other = engine->stages[i];
        if (other == stage || other->isolated || !other->instance || !other->instance->in_call)
            continue;
        size_t used = strlen(text);
        snprintf(text + used, size - used, ", or %.64s", other->class->name);
    }
    engine_unlock(engine);
}

void calling_look(void) {
    struct instance *instance = calling.instance;
    char what[512], others[256] = "";
    bool shared;
    if (!calling.ran)
        return;
    unsigned n = calling.n_records;
    calling.n_records = 0;
    calling.ran = false;
    if (!surroundings_mend(&calling.own, what, sizeof(what), &shared))
        return;
    instance->stage->looked_after = true;
    if (shared)
        name_others(instance->stage, others, sizeof(others));
    if (n > 1)
        (void)rule_broken(instance, "life.surroundings", 0,
                          "%s%s; put right (in this call or one of the %u before it)", what, others, n - 1);
    else
        (void)rule_broken(instance, "life.surroundings", 0, "%s%s; put right", what, others);
}

void calling_enter(struct instance *instance, const char *call) {
    if (instance->calls == &isolate_stage)
        return;
    if (!calling.own.noted)
        surroundings_note_thread(&calling.own);
    calling.instance = instance;
    calling.call = call;
    calling.record = NULL;
    calling.n_records = 0;
    calling.ran = true;
}

void calling_leave(void) {
    calling_look();
    calling.instance = NULL;
    calling.record = NULL;
}

void calling_recorded(bool ticked) {
    const struct stage *stage = calling.instance ? calling.instance->stage : NULL;
    if (ticked || (stage && (stage->looked_after || calling.instance->n_batch <= FEW)))
        calling_look();
}

void calling_record(struct telex_rec *rec) {
    calling.record = rec;
    calling.n_records++;
    calling.ran = true;
}

void calling_done(void) {
    calling.record = NULL;
}

bool calling_is_in(const struct instance *instance) {
    return calling.instance == instance;
}

/* ---- lines ---- */

static bool may_say_held(struct stage *stage) {
    int64_t second = tick_ms() / 1000;
    if (second != stage->rules_second) {
        stage->rules_second = second;
        stage->rules_said = 0;
    }
    return stage->rules_said++ < LINES_PER_SECOND;
}

/* The record of the one step that is open, for a call of another thread. */
static const struct telex_rec *only_record_held(const struct instance *instance) {
    const struct stage *stage = instance->stage;
    if (atomic_load_explicit(&instance->n_open, memory_order_relaxed) != 1)
        return NULL;
    for (uint32_t i = 0; i < stage->n_slots; i++) {
        const struct step *step = stage->slots[i];
        if (step->state == STEP_OPEN && step->instance == instance && step->entry)
            return step->entry->rec;
    }
    return NULL;
}

bool calling_is_late(struct instance *instance, const char *call) {
    static atomic_uint n_said; /* a thread that never ends would say it for ever */
    if (!atomic_load_explicit(&instance->over, memory_order_acquire))
        return false;
    if (atomic_fetch_add(&n_said, 1) < LATE_LINES)
        log_say(TELEX_ERROR, instance->plugin,
                "plugin %s broke rule life.after-stop: %s: a thread of it outlived stop; refused",
                instance->plugin, call);
    return true;
}

telex_status rule_broken(struct instance *instance, const char *rule, telex_lease lease, const char *format,
                         ...) {
    if (calling_is_late(instance, rule)) /* its stage may be another's by now */
        return TELEX_INVALID;
    struct stage *stage = instance->stage;
    char what[640], line[1024];
    uint8_t id[TELEX_ID_MAX_BYTES];
    struct telex_bytes record = {id, 0};
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    pthread_mutex_lock(&stage->lock);
    bool says = may_say_held(stage);
    const struct step *step = lease ? step_find_held(instance, lease) : NULL;
    const struct telex_rec *rec = step && step->entry       ? step->entry->rec
                                  : calling_is_in(instance) ? calling.record
                                                            : only_record_held(instance);
    if (rec) {
        record.size = rec->id.size;
        memcpy(id, rec->id.data, rec->id.size);
    }
    pthread_mutex_unlock(&stage->lock);
    snprintf(line, sizeof(line), "plugin %s broke rule %s: %s", stage->class->name, rule, what);
    if (says)
        log_text(TELEX_ERROR, stage->config->name, record, telex_text(line));
    return TELEX_INVALID;
}

/* ---- last words ---- */

static void say_where(const char *did) {
    const struct stage *stage = calling.instance->stage;
    last_words_say("telex: stage ");
    last_words_say(stage->config->name);
    last_words_say(": plugin ");
    last_words_say(stage->class->name);
    last_words_say(" broke rule life.crash: it ");
    last_words_say(did);
    last_words_say(" the host in ");
    last_words_say(calling.call);
    if (calling.record) {
        last_words_say(" of record ");
        last_words_say_bytes(calling.record->id);
    }
    last_words_say("; nothing committed is lost. `isolation: process` costs the record in hand only\n");
}

static void on_crash(void) {
    if (calling.instance)
        say_where("crashed");
}

static void on_exit_called(void) {
    if (!calling.instance)
        return;
    say_where("ended");
    _exit(EXIT_BY_PLUGIN);
}

void calling_install_last_words(void) {
    last_words_install(on_crash);
    last_words_thread_begin();
    atexit(on_exit_called);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* reload.c - requests to read the config again, the thread that does it, and the configs that are still in
 * use. */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "plan.h"
#include "swap.h"

enum {
    PROBATION_MS = 500, /* a new stage that does not end so long, or commits a step, is healthy */
    PROBATION_LOOK_MS = 5,
};

struct job {
    struct job *next;
    struct control_request *request; /* NULL: answered, or nobody asks */
    bool waits;
    int64_t drain_ms;
};

/* A config and the registry that its plugins' descriptions lie in. */
struct loaded {
    struct loaded *next;
    struct config *config;     /* owned */
    struct registry *registry; /* owned */
};

struct reload {
    struct engine *engine;
    struct reload_spec spec;
    uv_async_t news;
    bool closed;
    struct job *first, **last; /* the first is under way */
    bool signalled;            /* a signal came while one was under way */
    bool stopping;
    pthread_t thread;
    struct loaded *loaded; /* the thread's while it runs */

    pthread_mutex_t lock; /* guards what follows */
    json_t *accepted, *answer;
};

/* ---- on the thread ---- */

static json_t *list_errors(const struct config_errors *errors) {
    json_t *list = json_array();
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *e = &errors->items[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:s, s:s}", "file", e->file, "line", e->line,
                                              "column", e->column, "path", e->path, "error", e->text));
        log_say(TELEX_ERROR, "host", "reload: %s:%d:%d: %s: %s", e->file, e->line, e->column, e->path,
                e->text);
    }
    return list;
}

static json_t *make_answer(struct reload *reload, const char *outcome) {
    return json_pack("{s:s, s:I, s:s}", "outcome", outcome, "generation",
                     (json_int_t)engine_generation(reload->engine), "file", reload->spec.path);
}

static void list_stages(json_t *answer, const struct config *config, const struct plan *plan) {
    json_t *restarted = json_array();
    for (size_t i = 0; i < config->n_stages; i++)
        if (plan->acts[i] == SWAP_REPLACE)
            json_array_append_new(restarted, json_string(config->stages[i].name));
    json_object_set_new(answer, "restarted", restarted);
    json_object_set_new(answer, "untouched", json_integer((json_int_t)(config->n_stages - plan->n_replaced)));
}

static void post(struct reload *reload, json_t **place, json_t *answer) {
    pthread_mutex_lock(&reload->lock);
    *place = answer;
    pthread_mutex_unlock(&reload->lock);
    uv_async_send(&reload->news);
}

/* Watch the new stages for a moment. The name of one that ended, or NULL. */
static const char *find_ill(struct engine *engine, const struct plan *plan, const uint64_t *crashes,
                            const uint64_t *steps) {
    int64_t until_ms = mono_ms() + PROBATION_MS;
    for (bool all_work = false; !all_work && mono_ms() < until_ms;) {
        struct timespec pause = {.tv_nsec = PROBATION_LOOK_MS * 1000000L};
        const char *ill = NULL;
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&engine->lock);
        all_work = true;
        for (size_t i = 0; i < engine->n_stages && !ill; i++) {
            const struct stage *stage = engine->stages[i];
            if (plan->acts[i] != SWAP_REPLACE)
                continue;
            if (stage->n_crashes > crashes[i] || stage->restart)
                ill = stage->config->name;
            all_work = all_work && stage->n_steps > steps[i];
        }
        bool ends = engine->phase != PHASE_RUN;
        pthread_mutex_unlock(&engine->lock);
        if (ill || ends)
            return ill;
    }
    return NULL;
}

/* The other way round, after a new stage proved ill. */
static void go_back(struct reload *reload, const struct config *from, const struct plan *plan,
                    const char *ill, json_t *answer) {
    struct swap_result result;
    struct plan back = *plan;
    for (size_t i = 0; i < from->n_stages; i++) /* the order of stages may differ */
        for (size_t k = 0; k < reload->engine->n_stages; k++)
            if (strcmp(from->stages[i].name, reload->engine->stages[k]->config->name) == 0)
                back.acts[i] = plan->acts[k];
    swap_run(reload->engine, from, back.acts, 0, &result);
    char why[1400];
    if (result.done)
        snprintf(why, sizeof(why),
                 "%s: its instance ended soon after the switch (see the log); the earlier config runs again "
                 "as generation %llu",
                 ill, (unsigned long long)engine_generation(reload->engine));
    else
        snprintf(why, sizeof(why),
                 "%s: its instance ended soon after the switch (see the log), and going back failed: %s; the "
                 "new config stays",
                 ill, result.why);
    log_say(TELEX_ERROR, "host", "reload: %s", why);
    json_object_set_new(answer, "outcome", json_string("failed"));
    json_object_set_new(answer, "error", json_string(why));
    json_object_set_new(answer, "generation", json_integer((json_int_t)engine_generation(reload->engine)));
}

static json_t *report_switch(struct reload *reload, const struct config *config, const struct plan *plan,
                             const struct swap_result *result) {
    json_t *answer = make_answer(reload, "switched");
    list_stages(answer, config, plan);
    json_object_set_new(answer, "ms", json_integer(result->took_ms));
    json_object_set_new(answer, "pause_ms", json_integer(result->pause_ms));
    log_say(TELEX_INFO, "host",
            "reload: generation %llu: %zu restarted, %zu untouched, %lld ms, paused %lld ms",
            (unsigned long long)engine_generation(reload->engine), plan->n_replaced,
            config->n_stages - plan->n_replaced, (long long)result->took_ms, (long long)result->pause_ms);
    return answer;
}

static json_t *report_failure(struct reload *reload, const char *why) {
    json_t *answer = make_answer(reload, "failed");
    json_object_set_new(answer, "error", json_string(why));
    log_say(TELEX_ERROR, "host", "reload: %s; generation %llu goes on", why,
            (unsigned long long)engine_generation(reload->engine));
    return answer;
}

/* Make the swap, watch it, and take it back where it does no good. */
static json_t *swap_to(struct reload *reload, const struct job *job, const struct config *config,
                       const struct plan *plan) {
    struct engine *engine = reload->engine;
    const struct config *from = engine->config;
    struct swap_result result;
    uint64_t crashes[ENGINE_STAGES_MAX], steps[ENGINE_STAGES_MAX];
    log_say(TELEX_INFO, "host", "reload: %s is good; %zu stages are to be replaced", reload->spec.path,
            plan->n_replaced);
    post(reload, &reload->accepted, make_answer(reload, "accepted"));
    swap_run(engine, config, plan->acts, job->drain_ms < 0 ? from->drain_ms : job->drain_ms, &result);
    if (!result.done)
        return report_failure(reload, result.why);
    json_t *answer = report_switch(reload, config, plan, &result);
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->n_stages; i++) {
        crashes[i] = engine->stages[i]->n_crashes;
        steps[i] = engine->stages[i]->n_steps;
    }
    pthread_mutex_unlock(&engine->lock);
    const char *ill = plan->n_replaced ? find_ill(engine, plan, crashes, steps) : NULL;
    if (ill)
        go_back(reload, from, plan, ill, answer);
    return answer;
}

/* Keep what was loaded as long as a stage may point at it. */
static bool keep(struct reload *reload, struct config *config, struct registry *registry) {
    struct loaded *loaded = malloc(sizeof(*loaded));
    if (!loaded)
        return false;
    *loaded = (struct loaded){.next = reload->loaded, .config = config, .registry = registry};
    reload->loaded = loaded;
    return true;
}

static json_t *read_again(struct reload *reload, const struct job *job) {
    struct config_errors errors = {0};
    struct config *config = NULL;
    struct plan plan = {0};
    json_t *answer;
    struct registry *registry = reload->spec.make_registry();
    if (!registry)
        return report_failure(reload, "out of memory");
    if (config_check(reload->spec.path, reload->spec.overrides, registry, &errors, &config) == 0)
        plan_make(&plan, reload->engine, config, &errors);
    bool differs = plan.n_replaced > 0 || plan.rules_changed;
    if (errors.count > 0) {
        answer = make_answer(reload, "invalid");
        json_object_set_new(answer, "errors", list_errors(&errors));
        json_object_set_new(answer, "untrusted", json_boolean(registry_distrusts(registry)));
    } else if (!differs) {
        answer = make_answer(reload, "unchanged");
        list_stages(answer, config, &plan);
    } else if (!keep(reload, config, registry)) {
        differs = false;
        answer = report_failure(reload, "out of memory");
    } else
        answer = swap_to(reload, job, config, &plan);
    if (errors.count > 0 || !differs) {
        config_destroy(config);
        registry_destroy(registry);
    }
    config_errors_finish(&errors);
    return answer;
}

static void *work(void *arg) {
    struct reload *reload = arg;
    post(reload, &reload->answer, read_again(reload, reload->first));
    return NULL;
}

/* ---- on the loop ---- */

static bool in_use_locked(const struct engine *engine, const struct config *config) {
    if (engine->config == config)
        return true;
    for (size_t i = 0; i < engine->n_stages; i++)
        if (engine->stages[i]->pipeline == config)
            return true;
    for (const struct stage *stage = engine->others; stage; stage = stage->next)
        if (stage->pipeline == config)
            return true;
    return false;
}

static void free_loaded(struct loaded *loaded) {
    config_destroy(loaded->config);
    registry_destroy(loaded->registry);
    free(loaded);
}

static void forget_unused(struct reload *reload) {
    struct loaded *unused = NULL;
    pthread_mutex_lock(&reload->engine->lock);
    for (struct loaded **at = &reload->loaded; *at;) {
        struct loaded *loaded = *at;
        if (in_use_locked(reload->engine, loaded->config)) {
            at = &loaded->next;
            continue;
        }
        *at = loaded->next;
        loaded->next = unused;
        unused = loaded;
    }
    pthread_mutex_unlock(&reload->engine->lock);
    for (struct loaded *next; unused; unused = next) {
        next = unused->next;
        free_loaded(unused);
    }
}

static void answer(struct job *job, json_t *text) {
    if (job->request)
        control_answer(job->request, json_incref(text));
    job->request = NULL;
}

static void begin(struct reload *reload) {
    while (reload->first && pthread_create(&reload->thread, NULL, work, reload) != 0) {
        struct job *job = reload->first;
        if (job->request)
            control_refuse(job->request, "cannot start a thread");
        reload->first = job->next;
        free(job);
    }
    if (!reload->first)
        reload->last = &reload->first;
}

static void end_first(struct reload *reload, json_t *text) {
    struct job *job = reload->first;
    pthread_join(reload->thread, NULL);
    answer(job, text);
    reload->first = job->next;
    if (!reload->first)
        reload->last = &reload->first;
    free(job);
}

static void on_news(uv_async_t *handle) {
    struct reload *reload = handle->data;
    pthread_mutex_lock(&reload->lock);
    json_t *accepted = reload->accepted, *done = reload->answer;
    reload->accepted = reload->answer = NULL;
    pthread_mutex_unlock(&reload->lock);
    if (accepted && !reload->first->waits)
        answer(reload->first, accepted);
    json_decref(accepted);
    if (!done)
        return;
    end_first(reload, done);
    json_decref(done);
    if (reload->stopping)
        return;
    forget_unused(reload);
    if (reload->first)
        begin(reload);
    else if (reload->signalled) {
        reload->signalled = false;
        reload_ask(reload, NULL, true, -1);
    }
}

int reload_start(struct reload **out, struct engine *engine, const struct reload_spec *spec) {
    struct reload *reload = calloc(1, sizeof(*reload));
    *out = reload;
    if (!reload)
        return -ENOMEM;
    reload->engine = engine;
    reload->spec = *spec;
    reload->last = &reload->first;
    pthread_mutex_init(&reload->lock, NULL);
    uv_async_init(engine->loop, &reload->news, on_news);
    reload->news.data = reload;
    engine->reload = reload;
    return 0;
}

void reload_ask(struct reload *reload, struct control_request *request, bool waits, int64_t drain_ms) {
    if (reload->first && !request) {
        reload->signalled = true;
        return;
    }
    struct job *job = reload->stopping ? NULL : malloc(sizeof(*job));
    if (!job) {
        if (request)
            control_refuse(request, reload->stopping ? "the pipeline is ending" : "out of memory");
        return;
    }
    *job = (struct job){.request = request, .waits = waits, .drain_ms = drain_ms};
    bool idle = !reload->first;
    *reload->last = job;
    reload->last = &job->next;
    if (idle)
        begin(reload);
}

static void on_closed(uv_handle_t *handle) {
    ((struct reload *)handle->data)->closed = true;
}

void reload_stop(struct reload *reload) {
    if (!reload)
        return;
    reload->stopping = true;
    while (reload->first && reload->first->next) { /* those that wait for their turn */
        struct job *job = reload->first->next;
        reload->first->next = job->next;
        if (job->request)
            control_refuse(job->request, "the pipeline is ending");
        free(job);
    }
    while (reload->first)
        uv_run(reload->engine->loop, UV_RUN_ONCE);
    reload->engine->reload = NULL;
    uv_close((uv_handle_t *)&reload->news, on_closed);
    while (!reload->closed)
        uv_run(reload->engine->loop, UV_RUN_ONCE);
}

void reload_destroy(struct reload *reload) {
    if (!reload)
        return;
    for (struct loaded *next, *loaded = reload->loaded; loaded; loaded = next) {
        next = loaded->next;
        free_loaded(loaded);
    }
    pthread_mutex_destroy(&reload->lock);
    free(reload);
}

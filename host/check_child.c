/* SPDX-License-Identifier: Apache-2.0 */
/* check_child.c - the lives of a stage, each in a child process of its own (check_process.c). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "check_again.h"
#include "check_life.h"

static void life_create_destroy(struct life *life) {
    for (int i = 0; i < 3; i++)
        if (check_make(life, "create-destroy"))
            check_end(life, false);
}

static void life_start_stop(struct life *life) {
    size_t threads = 0, files = 0;
    for (int i = 0; i < 4; i++) {
        if (!check_make(life, "start-stop"))
            return;
        check_end(life, check_begin(life));
        if (i == 0) { /* what a library keeps for the process is not counted */
            threads = check_settled_count("/proc/self/task", SIZE_MAX);
            files = check_settled_count("/proc/self/fd", SIZE_MAX);
        }
    }
    if (check_settled_count("/proc/self/task", threads) > threads)
        check_find(&life->host, "life.thread-left", "threads are left after destroy");
    /* each life brings one stream of the check's own */
    if (check_settled_count("/proc/self/fd", files) > files)
        check_find(&life->host, "life.file-left", "descriptors are left open after destroy");
}

static void life_process(struct life *life) {
    if (!check_make(life, "process"))
        return;
    bool started = check_begin(life);
    if (started) {
        check_feed_all(life, 0, CHECK_RECORDS, false);
        if (life->host.n_rejected == CHECK_RECORDS)
            check_find(&life->host, "process.rejects-all",
                       "every one of %d ordinary records was rejected, the last one because: %s",
                       CHECK_RECORDS, *life->host.last_fail ? life->host.last_fail : "(no reason given)");
    }
    check_end(life, started);
}

static void life_odd_records(struct life *life) {
    if (!check_make(life, "odd-records"))
        return;
    bool started = check_begin(life);
    if (started)
        check_feed_all(life, 0, CHECK_RECORDS / 2, true);
    check_end(life, started);
}

static void life_refused_loans(struct life *life) {
    if (!check_make(life, "refused-loans"))
        return;
    bool started = check_begin(life);
    life->host.refuse_loans = true;
    if (started)
        check_feed_all(life, 0, CHECK_RECORDS / 2, false);
    check_end(life, started);
}

/* Stop while steps are open: they are dropped, and nothing of the instance is alive after. */
static void life_stop_early(struct life *life) {
    if (!check_make(life, "stop-early"))
        return;
    bool started = check_begin(life);
    for (int i = 0; i < (life->class->flags & TELEX_STAGE_STATEFUL ? 1 : CHECK_RECORDS) && started; i++)
        check_deliver(life, check_sample(life, check_input_schema(life->class, i), i, false));
    check_end(life, started);
    usleep(50000); /* what is still alive shows itself */
}

/* Twice the same records give twice the same bytes. */
static void life_again(struct life *life) {
    char *first = NULL;
    for (int i = 0; i < 2; i++) {
        if (!check_make(life, "again"))
            break;
        bool started = check_begin(life);
        if (started)
            check_feed_all(life, 0, CHECK_RECORDS, false);
        check_end(life, started);
        if (i == 0)
            first = strdup(life->host.outputs ? life->host.outputs : "");
        else if (first && strcmp(first, life->host.outputs ? life->host.outputs : "") != 0)
            check_find(&life->host, "output.differs",
                       "the same %d records gave other outputs the second time", CHECK_RECORDS);
    }
    free(first);
}

static void life_source(struct life *life) {
    if (!check_make(life, "source"))
        return;
    bool started = check_begin(life);
    int64_t deadline_ms = check_now_ms() + CHECK_SOURCE_MS;
    while (started && !life->host.exhausted && check_now_ms() < deadline_ms) {
        check_give_credit(life, 3);
        for (int i = 0; i < 5; i++)
            check_turn(life);
        if (life->host.n_committed > 2000)
            break;
    }
    if (started)
        check_expect_settled(life);
    check_end(life, started);
}

/* A source without credit opens nothing, and is not woken in vain for ever. */
static void life_source_without_credit(struct life *life) {
    if (!check_make(life, "no-credit"))
        return;
    bool started = check_begin(life);
    if (started)
        check_give_credit(life, 0);
    for (int i = 0; i < 20 && started; i++)
        check_turn(life);
    check_end(life, started);
}

static bool takes_records(const void *table) {
    const struct telex_stage *stage = table;
    return stage->process != NULL;
}

static bool takes_and_gives(const void *table) {
    const struct telex_stage *stage = table;
    return stage->process != NULL && stage->max_outputs > 0;
}

static bool is_source(const void *table) {
    const struct telex_stage *stage = table;
    return stage->on_credit != NULL;
}

static bool is_any(const void *table) {
    const struct telex_stage *stage = table;
    (void)stage;
    return true;
}

static bool is_itself(const void *table) {
    const struct telex_stage *stage = table;
    for (const char *const *need = stage->needs; need && *need; need++)
        if (strcmp(*need, "model") == 0)
            return false; /* it would be another model there, and another answer */
    return stage->process || stage->on_credit;
}

static const struct {
    const char *name;
    void (*live)(struct life *life);
    bool (*fits)(const void *table);
} lives[] = {
    {"create-destroy", life_create_destroy, is_any},
    {"options", life_options, is_any},
    {"start-stop", life_start_stop, is_any},
    {"process", life_process, takes_records},
    {"odd-records", life_odd_records, takes_records},
    {"refused-loans", life_refused_loans, takes_and_gives},
    {"stop-early", life_stop_early, takes_records},
    {"again", life_again, takes_records},
    {"source", life_source, is_source},
    {"no-credit", life_source_without_credit, is_source},
    {"credits", life_credits, is_source},
    {"orders", life_orders, is_any},
    {"threads", life_threads, is_any},
    {"cancel", life_cancel, takes_records},
    {"drain", life_drain, is_any},
    {"two", life_two, takes_records},
    {"restart", life_restart, is_any},
    {"leak", life_leak, is_any},
    {"isolated", life_isolated, is_itself},
};
enum { N_LIVES = sizeof(lives) / sizeof(*lives) };

static void live(struct check_run *run) {
    static struct life life; /* on no stack that a plugin could smash */
    check_life_init(&life, run);
    for (size_t i = 0; i < N_LIVES; i++)
        if (strcmp(lives[i].name, run->scenario->name) == 0)
            lives[i].live(&life);
}

void check_lives(const struct check_how *how, const struct plugin_desc *plugin, struct telex_bytes options,
                 json_t *findings, json_t *scenarios) {
    struct check_scenario all[N_LIVES];
    struct check_variations variations;
    size_t n = 0;
    for (size_t i = 0; i < N_LIVES; i++)
        if (!how->only || strcmp(lives[i].name, how->only) == 0)
            all[n++] = (struct check_scenario){lives[i].name, live, lives[i].fits};
    check_variations_make(&variations, plugin, how->pairs);
    /* The last one says nothing new of what is wrong here already. */
    bool isolated = n > 0 && strcmp(all[n - 1].name, "isolated") == 0;
    check_scenarios(plugin, options, how->life_ms, all, n - isolated, &variations, findings, scenarios);
    if (isolated && (how->only || json_array_size(findings) == 0))
        check_scenarios(plugin, options, how->life_ms, &all[n - 1], 1, &variations, findings, scenarios);
    bool fuzzes = how->only ? strcmp(how->only, "fuzz") == 0
                            : json_array_size(findings) == 0; /* else it finds the same */
    if (fuzzes || how->one_case >= 0)
        check_fuzz(how, plugin, options, &variations, findings, scenarios);
    check_variations_finish(&variations);
}

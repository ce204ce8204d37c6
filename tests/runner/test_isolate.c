/* SPDX-License-Identifier: Apache-2.0 */
/* Isolated stages: the same as in this process when all goes well, contained when it does not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "record.h"

enum { PATIENCE_MS = 60000 };

/* ---- the same bytes ---- */

static const char *const titles[] = {"plain", "reject", "plain", "thread", "post", "early", "retry", "plain"};

static void run_mirror(bool isolated, bool pipelined, char digest[65], char *statuses, size_t size) {
    struct life life;
    telex_lease leases[64];
    life_init(&life, "stage-mirror", NULL, 42);
    struct telex_bytes stored = memory_record("stored", 5, "in the journal", 3000);
    memory_host_store(life.mh, stored);
    free((void *)(uintptr_t)stored.data);
    assert_int_equal(life_begin(&life, isolated), TELEX_OK);
    for (uint64_t i = 0; i < 64; i++) {
        char id[32];
        size_t text_bytes = i % 16 == 9 ? 300000 : i * 37;
        snprintf(id, sizeof(id), "record-%02d", (int)(i % 20));
        /* In this process "post" has no strand to run on. */
        const char *title = strcmp(titles[i % 8], "post") == 0 ? "plain" : titles[i % 8];
        leases[i] = life_give(&life, id, i, title, text_bytes);
        if (!pipelined)
            assert_int_not_equal(memory_host_await(life.mh, leases[i], PATIENCE_MS), TELEX_PENDING);
    }
    assert_true(memory_host_idle(life.mh, PATIENCE_MS));
    for (uint64_t i = 0; i < 64 && strlen(statuses) + 8 < size; i++)
        sprintf(statuses + strlen(statuses), "%d ", life.mh->steps[leases[i]].status);
    assert_string_equal(memory_host_reason(life.mh, leases[1]), "asked to reject 2");
    assert_true(memory_host_logged(life.mh, "info 0 mirror starts, greeting 42", PATIENCE_MS));
    assert_true(memory_host_logged(life.mh, "base is http://127.0.0.1:8080", PATIENCE_MS));
    assert_true(memory_host_logged(life.mh, "metric 1 mirrored_records: records mirrored", PATIENCE_MS));
    assert_string_equal(life.mh->site, "/srv/mirror");
    memory_host_digest(life.mh, digest);
    life_end(&life);
    assert_true(life.mh->metrics[0] == 64.0);
    assert_int_equal(life.mh->n_late_calls, 0);
    life_finish(&life);
}

static void isolated_and_in_process_give_the_same_bytes(void **state) {
    (void)state;
    char here[65], there[65], said_here[600] = "", said_there[600] = "";
    run_mirror(false, false, here, said_here, sizeof(said_here));
    run_mirror(true, false, there, said_there, sizeof(said_there));
    assert_string_equal(said_here, said_there);
    assert_string_equal(here, there);
}

static void posted_work_timers_and_drain_reach_the_plugin(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-mirror", NULL, 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "posted", 0, "post", 10);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_OK);
    assert_int_equal(life.mh->timer, 3);
    assert_int_equal(life.mh->timer_ms, 250);
    life.calls->on_timer(life.self, 3);
    assert_true(memory_host_logged(life.mh, "timer 3", PATIENCE_MS));
    life.calls->drain(life.self, life.mh->clock_ms + PATIENCE_MS);
    assert_true(memory_host_logged(life.mh, "drained", 0)); /* drain has returned: it was done */
    life_finish(&life);
}

static void a_source_with_a_thread_of_its_own_runs(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "source", 0);
    life.mh->opens_left = 500;
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    assert_true(memory_host_exhausted(life.mh, PATIENCE_MS));
    assert_true(memory_host_idle(life.mh, PATIENCE_MS));
    assert_int_equal(life.mh->n_outputs, 500);
    life_finish(&life);
}

static void a_watched_descriptor_wakes_the_strand(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "watch", 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_OK);
    assert_true(memory_host_logged(life.mh, "read x from the pipe", 0));
    life_finish(&life);
}

static void large_records_pass_both_ways(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-mirror", NULL, 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "large", 0, "", TELEX_BODY_MAX_BYTES - 200);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_OK);
    assert_int_equal(life.mh->n_outputs, 2);
    life_finish(&life);
}

static void a_cancelled_step_is_told_and_ends(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "hold", 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease held = life_give(&life, "held", 0, "", 0), next = life_give(&life, "next", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, next, PATIENCE_MS), TELEX_OK); /* so the first has begun */
    life.calls->cancel(life.self, held);
    assert_int_equal(memory_host_await(life.mh, held, PATIENCE_MS), TELEX_CANCELLED);
    assert_true(memory_host_logged(life.mh, "cancel was heard, cancelled() is 1", PATIENCE_MS));
    life_finish(&life);
}

static void what_a_plugin_prints_is_logged(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "print", 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_OK);
    assert_true(memory_host_logged(life.mh, "info 0 hello from stdout\n", PATIENCE_MS));
    life_end(&life);
    assert_true(memory_host_logged(life.mh, "warn 0 hello from stderr, \xef\xbf\xbd no newline\n", 0));
    life_finish(&life);
}

static void a_plugin_that_prints_without_end_does_not_drown_the_log(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "flood", 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_OK);
    life_end(&life);
    assert_true(life.mh->log_size < MEMORY_TEXT_MAX / 2);
    life_finish(&life);
}

/* ---- models ---- */

/* A stage that asks model-script, bound under the role "desk". */
struct asking {
    struct life life;
    struct plugin_desc model;
    struct isolate_model bound;
};

static void init_asking(struct asking *asking, int64_t delay_ms) {
    life_init(&asking->life, "stage-ask", NULL, 0);
    asking->model = kit_plugin("model-script");
    asking->model.class_id = TELEX_CLASS_GENERATE;
    asking->bound = (struct isolate_model){"desk", "script", &asking->model, kit_model_options(delay_ms)};
    asking->life.spec.models = &asking->bound;
    asking->life.spec.n_models = 1;
}

static void finish_asking(struct asking *asking) {
    life_finish(&asking->life);
    kit_plugin_finish(&asking->model);
    free((void *)(uintptr_t)asking->bound.options.data);
}

static void a_model_answers_inside_the_runner(void **state) {
    (void)state;
    struct asking asking;
    struct life *life = &asking.life;
    telex_lease leases[20];
    init_asking(&asking, 1);
    assert_int_equal(life_begin(life, true), TELEX_OK);
    for (int i = 0; i < 20; i++)
        leases[i] = life_give(life, "r", 0, i == 7 ? "elsewhere" : "oil falls", 0);
    assert_true(memory_host_idle(life->mh, PATIENCE_MS));
    for (int i = 0; i < 20; i++)
        assert_int_equal(life->mh->steps[leases[i]].status, i == 7 ? TELEX_REJECT : TELEX_OK);
    assert_string_equal(memory_host_reason(life->mh, leases[7]), "no model 'elsewhere' (-8)");
    assert_int_equal(life->mh->n_outputs, 19);
    struct telex_bytes body = life->mh->outputs->rec->body;
    assert_non_null(memmem(body.data, body.size, "{\"text\":\"oil falls\"}", 20));
    assert_non_null(memmem(body.data, body.size, "model-script", 12));
    finish_asking(&asking);
}

static void a_cancelled_step_cancels_its_job(void **state) {
    (void)state;
    struct asking asking;
    struct life *life = &asking.life;
    init_asking(&asking, 1000);
    assert_int_equal(life_begin(life, true), TELEX_OK);
    telex_lease lease = life_give(life, "r", 0, "oil falls", 0);
    kit_sleep_ms(200);
    life->calls->cancel(life->self, lease);
    assert_int_equal(memory_host_await(life->mh, lease, PATIENCE_MS), TELEX_CANCELLED);
    finish_asking(&asking);
}

static void a_model_that_cannot_be_opened_is_named(void **state) {
    (void)state;
    struct asking asking;
    struct life *life = &asking.life;
    init_asking(&asking, 0);
    memset(asking.model.sha256, '0', 64);
    assert_int_equal(life_begin(life, true), TELEX_FATAL);
    assert_non_null(strstr(memory_host_reason(life->mh, 0), "script"));
    assert_non_null(strstr(memory_host_reason(life->mh, 0), "changed"));
    life->spec.n_models = 0;
    assert_int_equal(life_begin(life, true), TELEX_FATAL);
    assert_string_equal(memory_host_reason(life->mh, 0), "no model is bound to this stage");
    finish_asking(&asking);
}

/* ---- crashes ---- */

/* Three records before the crash, two waiting behind it. */
static void expect_death(const char *act, const char *reason) {
    struct life life;
    telex_lease leases[6];
    life_init(&life, "stage-trouble", act, 4);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    pid_t pid = isolate_pid(life.self);
    assert_true(pid > 0);
    for (int i = 0; i < 6; i++) {
        char id[16];
        snprintf(id, sizeof(id), "r%d", i + 1);
        leases[i] = life_give(&life, id, 0, "", 100);
    }
    assert_true(memory_host_idle(life.mh, PATIENCE_MS));
    for (int i = 0; i < 3; i++)
        assert_int_equal(life.mh->steps[leases[i]].status, TELEX_OK);
    assert_int_equal(life.mh->steps[leases[3]].status, TELEX_FATAL);
    if (!strstr(memory_host_reason(life.mh, leases[3]), reason))
        print_error("%s: reason is: %s\n", act, memory_host_reason(life.mh, leases[3]));
    assert_non_null(strstr(memory_host_reason(life.mh, leases[3]), reason));
    for (int i = 4; i < 6; i++)
        assert_int_equal(life.mh->steps[leases[i]].status, TELEX_AGAIN);
    assert_int_equal(life.mh->n_outputs, 3);
    assert_int_equal(life_await_death(&life, PATIENCE_MS), 1);
    assert_non_null(strstr(life.why, reason));
    assert_int_equal(isolate_pid(life.self), 0);
    assert_false(kit_process_lives(pid));
    telex_lease late = life_give(&life, "late", 0, "", 0); /* the dead instance takes no more */
    assert_int_equal(life.mh->steps[late].status, TELEX_AGAIN);
    life_end(&life);
    assert_int_equal(life.deaths, 1);
    life_finish(&life);
}

static void a_crash_costs_the_step_it_was_in_and_nothing_else(void **state) {
    (void)state;
#ifndef WITH_SANITIZER
    expect_death("crash", "runner died: signal 11 (Segmentation fault) in process of record r4");
    expect_death("overflow", "runner died: signal 11 (Segmentation fault) in process of record r4");
#endif
    expect_death("abort", "runner died: signal 6 (Aborted) in process of record r4");
    expect_death("exit", "runner exited with status 3 in process of record r4");
}

static void a_plugin_that_closes_the_runners_descriptors_is_ended(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "close", 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_FATAL);
    assert_true(memory_host_idle(life.mh, PATIENCE_MS));
    life_finish(&life);
}

static void a_plugin_that_hangs_is_killed_with_a_reason(void **state) {
    (void)state;
    static const char *const acts[] = {"hang", "stopped"};
    for (size_t i = 0; i < 2; i++) {
        struct life life;
        life_init(&life, "stage-trouble", acts[i], 1);
        assert_int_equal(life_begin(&life, true), TELEX_OK);
        telex_lease lease = life_give(&life, "slow", 0, "", 0);
        assert_int_equal(memory_host_await(life.mh, lease, 100), TELEX_PENDING);
        isolate_kill(life.self, "killed: 30 s past its deadline");
        assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_FATAL);
        assert_string_equal(memory_host_reason(life.mh, lease),
                            "killed: 30 s past its deadline in process of record slow");
        assert_int_equal(life_await_death(&life, PATIENCE_MS), 1);
        life_finish(&life);
    }
}

static void a_runner_killed_from_outside_is_noticed(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "hold", 1);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0), next = life_give(&life, "s", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, next, PATIENCE_MS), TELEX_OK);
    assert_int_equal(kill(isolate_pid(life.self), SIGKILL), 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_FATAL);
    assert_non_null(strstr(memory_host_reason(life.mh, lease), "runner died: signal 9 (Killed) "));
    life_finish(&life);
}

static void children_of_a_crashed_plugin_die_with_it(void **state) {
    (void)state;
    struct life life;
    int child = 0;
    life_init(&life, "stage-trouble", "child", 1);
    life.spec.sandbox_off = true; /* inside its bounds it starts none */
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_FATAL);
    const char *said = strstr(life.mh->log, "child ");
    assert_non_null(said);
    assert_int_equal(sscanf(said, "child %d", &child), 1);
    assert_true(child > 1);
    assert_true(kit_process_ends(child, PATIENCE_MS));
    life_finish(&life);
}

static void a_limit_on_memory_holds(void **state) {
    (void)state;
#ifdef WITH_SANITIZER
    skip(); /* a sanitizer's shadow is larger than any limit */
#endif
    struct life life;
    life_init(&life, "stage-trouble", "memory", 1);
    life.spec.limits = (struct isolate_limits){.nice = 1, .memory_bytes = 512 << 20, .files = 64};
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 0), next = life_give(&life, "s", 0, "", 0);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_RETRY);
    assert_string_equal(memory_host_reason(life.mh, lease), "no memory for 1 GiB");
    assert_int_equal(memory_host_await(life.mh, next, PATIENCE_MS), TELEX_OK);
    life_finish(&life);
}

/* ---- beginnings and ends ---- */

static void a_bad_beginning_says_why(void **state) {
    (void)state;
    static const struct {
        const char *act, *why;
        telex_status status;
    } cases[] = {
        {"create-fail", "no luck today", TELEX_RETRY},
        {"start-fail", "cannot begin", TELEX_FATAL},
#ifndef WITH_SANITIZER
        {"create-crash", "runner died: signal 11 (Segmentation fault) in create", TELEX_FATAL},
        {"start-crash", "runner died: signal 11 (Segmentation fault) in start", TELEX_FATAL},
#endif
        {"create-hang", "killed: create took too long in create", TELEX_FATAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct life life;
        life_init(&life, "stage-trouble", cases[i].act, 0);
        if (strcmp(cases[i].act, "create-hang") == 0)
            life.spec.create_timeout_ms = 1500;
        assert_int_equal(life_begin(&life, true), cases[i].status);
        assert_string_equal(memory_host_reason(life.mh, 0), cases[i].why);
        life_finish(&life);
    }
}

static void a_missing_runner_and_a_changed_plugin_say_why(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-noop", NULL, 0);
    life.spec.runner = "/nonexistent/telex-runner";
    assert_int_equal(life_begin(&life, true), TELEX_FATAL);
    assert_string_equal(memory_host_reason(life.mh, 0),
                        "cannot start /nonexistent/telex-runner: No such file or directory");
    life.spec.runner = NULL;
    memset(life.plugin.sha256, '0', 64);
    assert_int_equal(life_begin(&life, true), TELEX_FATAL);
    assert_non_null(strstr(memory_host_reason(life.mh, 0), "changed"));
    life_finish(&life);
}

static void an_end_that_hangs_or_crashes_ends_all_the_same(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "stop-hang", 0);
    life.spec.stop_timeout_ms = 300;
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    int64_t began = kit_now_ms();
    pid_t pid = isolate_pid(life.self);
    life_end(&life);
    assert_true(kit_now_ms() - began < 10000);
    assert_false(kit_process_lives(pid));
    assert_int_equal(life.deaths, 0); /* it was asked to end */
    life_finish(&life);
#ifndef WITH_SANITIZER
    life_init(&life, "stage-trouble", "destroy-crash", 0);
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    life_end(&life);
    assert_true(memory_host_logged(life.mh, "runner ended with signal 11 after destroy", 0));
    assert_int_equal(life.deaths, 0);
    life_finish(&life);
#endif
}

static void stop_ends_a_hanging_step_and_drops_what_was_not_begun(void **state) {
    (void)state;
    struct life life;
    life_init(&life, "stage-trouble", "hang", 1);
    life.spec.stop_timeout_ms = 300;
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease first = life_give(&life, "a", 0, "", 0), second = life_give(&life, "b", 0, "", 0);
    assert_true(memory_host_logged(life.mh, "hangs", PATIENCE_MS));
    life.calls->stop(life.self);
    /* stop has returned, so everything is settled */
    assert_int_equal(memory_host_await(life.mh, first, 0), TELEX_FATAL);
    assert_int_equal(memory_host_await(life.mh, second, 0), TELEX_AGAIN);
    life.calls->destroy(life.self);
    life.self = NULL;
    assert_int_equal(life.deaths, 0);
    life_finish(&life);
}

static void two_hundred_crashes_leak_nothing(void **state) {
    (void)state;
    int files = 0;
#ifdef WITH_SANITIZER
    enum { LIVES = 20 };
#else
    enum { LIVES = 200 };
#endif
    for (int i = 0; i < LIVES; i++) {
        struct life life;
        life_init(&life, "stage-trouble", i % 2 ? "exit" : "abort", 1);
        assert_int_equal(life_begin(&life, true), TELEX_OK);
        pid_t pid = isolate_pid(life.self);
        telex_lease lease = life_give(&life, "r", 0, "", 1000);
        assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_FATAL);
        life_finish(&life);
        assert_false(kit_process_lives(pid)); /* reaped: not even a zombie */
        if (i == 4)
            files = kit_open_files();
        if (i > 4)
            assert_int_equal(kit_open_files(), files);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(isolated_and_in_process_give_the_same_bytes),
        cmocka_unit_test(posted_work_timers_and_drain_reach_the_plugin),
        cmocka_unit_test(a_source_with_a_thread_of_its_own_runs),
        cmocka_unit_test(a_watched_descriptor_wakes_the_strand),
        cmocka_unit_test(large_records_pass_both_ways),
        cmocka_unit_test(a_cancelled_step_is_told_and_ends),
        cmocka_unit_test(what_a_plugin_prints_is_logged),
        cmocka_unit_test(a_plugin_that_prints_without_end_does_not_drown_the_log),
        cmocka_unit_test(a_model_answers_inside_the_runner),
        cmocka_unit_test(a_cancelled_step_cancels_its_job),
        cmocka_unit_test(a_model_that_cannot_be_opened_is_named),
        cmocka_unit_test(a_crash_costs_the_step_it_was_in_and_nothing_else),
        cmocka_unit_test(a_plugin_that_closes_the_runners_descriptors_is_ended),
        cmocka_unit_test(a_plugin_that_hangs_is_killed_with_a_reason),
        cmocka_unit_test(a_runner_killed_from_outside_is_noticed),
        cmocka_unit_test(children_of_a_crashed_plugin_die_with_it),
        cmocka_unit_test(a_limit_on_memory_holds),
        cmocka_unit_test(a_bad_beginning_says_why),
        cmocka_unit_test(a_missing_runner_and_a_changed_plugin_say_why),
        cmocka_unit_test(an_end_that_hangs_or_crashes_ends_all_the_same),
        cmocka_unit_test(stop_ends_a_hanging_step_and_drops_what_was_not_begun),
        cmocka_unit_test(two_hundred_crashes_leak_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

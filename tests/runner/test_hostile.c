/* SPDX-License-Identifier: Apache-2.0 */
/* A runner that breaks every rule it can: the host stays whole, says which rule, and loses no lease. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"

enum { PATIENCE_MS = 60000 };

static void init_hostile(struct life *life, const char *act) {
    setenv("HOSTILE", act, 1);
    life_init(life, "stage-noop", NULL, 0);
    life->spec.runner = getenv("HOSTILE_RUNNER");
    life->spec.stop_timeout_ms = 500;
}

static void a_broken_rule_ends_the_runner_with_its_name(void **state) {
    (void)state;
    static const struct {
        const char *act, *why;
    } cases[] = {
        {"ring-huge", "impossible numbers in its ring"},
        {"ring-odd", "impossible numbers in its ring"},
        {"ring-back", "impossible numbers in its ring"},
        {"slot-before", "a slot outside its memory"},
        {"slot-after", "a slot outside its memory"},
        {"slot-wraps", "a slot outside its memory"},
        {"type", "a message of an unknown type"},
        {"release", "it let go of a record that it does not hold"},
        {"release-twice", "it let go of a record that it does not hold"},
        {"forward-unheld", "it passed on a record that it does not hold"},
        {"lengths", "an output with impossible sizes"},
        {"kv-sizes", "a kv call with impossible sizes"},
        {"get-sizes", "a get with impossible sizes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct life life;
        init_hostile(&life, cases[i].act);
        assert_int_equal(life_begin(&life, true), TELEX_OK);
        telex_lease lease = life_give(&life, "r", 0, "", 100);
        telex_status status = memory_host_await(life.mh, lease, PATIENCE_MS);
        const char *reason = memory_host_reason(life.mh, lease);
        if (status >= 0 || !strstr(reason, cases[i].why))
            print_error("%s: %d %s\n", cases[i].act, status, reason);
        assert_true(status == TELEX_AGAIN || status == TELEX_FATAL);
        assert_non_null(strstr(reason, "runner broke the protocol: "));
        assert_non_null(strstr(reason, cases[i].why));
        assert_int_equal(life.mh->n_outputs, 0);
        life_finish(&life);
    }
}

static void a_lease_of_another_stage_cannot_be_named(void **state) {
    (void)state;
    struct life life;
    init_hostile(&life, "foreign-lease");
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease other = 2; /* open in the host, never given to this runner */
    telex_lease lease = life_give(&life, "r", 0, "", 100);
    assert_int_equal(lease, 1);
    pthread_mutex_lock(&life.mh->lock);
    life.mh->opens_left = 1;
    pthread_mutex_unlock(&life.mh->lock);
    (void)life.mh->host.open(&life.mh->host, &other);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_OK);
    assert_int_equal(memory_host_await(life.mh, other, 0), TELEX_PENDING);
    assert_true(memory_host_logged(life.mh, "rule lease.twice: complete", PATIENCE_MS));
    assert_true(memory_host_logged(life.mh, "rule lease.closed: commit", PATIENCE_MS));
    (void)life.mh->host.complete(&life.mh->host, other, TELEX_OK);
    life_finish(&life);
}

static void an_output_that_is_no_message_spoils_its_step(void **state) {
    (void)state;
    struct life life;
    init_hostile(&life, "not-msgpack");
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 100);
    assert_int_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_FATAL);
    assert_string_equal(memory_host_reason(life.mh, lease), "the host refused an output of the step (-7)");
    assert_int_equal(life.mh->n_outputs, 0);
    life_finish(&life);
}

static void noise_in_every_field_harms_nothing(void **state) {
    (void)state;
    for (int seed = 1; seed <= 12; seed++) {
        struct life life;
        char act[16];
        snprintf(act, sizeof(act), "babble-%d", seed);
        init_hostile(&life, act);
        assert_int_equal(life_begin(&life, true), TELEX_OK);
        telex_lease lease = life_give(&life, "r", 0, "", 100);
        assert_int_equal(life_await_death(&life, PATIENCE_MS), 1); /* an unknown type comes sooner or later */
        assert_int_not_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_PENDING);
        life_finish(&life);
    }
}

static void a_runner_that_reads_no_answers_is_ended(void **state) {
    (void)state;
    struct life life;
    init_hostile(&life, "deaf");
    assert_int_equal(life_begin(&life, true), TELEX_OK);
    telex_lease lease = life_give(&life, "r", 0, "", 100);
    assert_int_not_equal(memory_host_await(life.mh, lease, PATIENCE_MS), TELEX_PENDING);
    assert_int_equal(life_await_death(&life, PATIENCE_MS), 1);
    if (!strstr(life.why, "runner took no messages"))
        fail_msg("%s", life.why);
    life_finish(&life);
}

static void a_silent_runner_is_given_up(void **state) {
    (void)state;
    struct life life;
    init_hostile(&life, "silent");
    life.spec.create_timeout_ms = 300;
    assert_int_equal(life_begin(&life, true), TELEX_FATAL);
    assert_non_null(strstr(memory_host_reason(life.mh, 0), "killed: create took too long"));
    life_finish(&life);
}

static void what_a_runner_was_lent_cannot_be_written(void **state) {
    (void)state;
    struct life life;
    init_hostile(&life, "write");
    assert_int_equal(life_begin(&life, true), TELEX_FATAL);
    assert_non_null(strstr(memory_host_reason(life.mh, 0), "runner exited with status 40"));
    life_finish(&life);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_rule_ends_the_runner_with_its_name),
        cmocka_unit_test(a_lease_of_another_stage_cannot_be_named),
        cmocka_unit_test(an_output_that_is_no_message_spoils_its_step),
        cmocka_unit_test(noise_in_every_field_harms_nothing),
        cmocka_unit_test(a_runner_that_reads_no_answers_is_ended),
        cmocka_unit_test(a_silent_runner_is_given_up),
        cmocka_unit_test(what_a_runner_was_lent_cannot_be_written),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The models of a process: real plugins through the real loader, jobs by lease, and what is said when one
 * fails. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <telex-sdk/message.h>

#include "bench.h"
#include "models.h"

static struct registry *registry;

static struct telex_builder options_of(const char *key, int64_t value) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, key);
    telex_build_int(&b, value);
    telex_build_map_end(&b);
    return b;
}

static const struct plugin_desc *find(const char *name) {
    char why[512];
    const struct plugin_desc *desc = registry_find(registry, name, why, sizeof(why));
    if (!desc)
        fail_msg("%s", why);
    return desc;
}

/* Three entries, two of them alike. */
static struct models *open_three(int64_t delay_us) {
    struct telex_builder a = options_of("delay_us", delay_us), b = options_of("seed", 2);
    struct models_spec specs[3] = {{"desk", find("model-toy"), telex_build_body(&a)},
                                   {"other", find("model-toy"), telex_build_body(&b)},
                                   {"again", find("model-toy"), telex_build_body(&a)}};
    struct models *m = NULL;
    char why[512];
    if (models_open(&quiet_host, specs, 3, &m, why, sizeof(why)) != TELEX_OK)
        fail_msg("%s", why);
    telex_build_finish(&a);
    telex_build_finish(&b);
    return m;
}

struct outcome {
    pthread_mutex_t lock;
    int done;
    telex_status status;
    char text[4096], error[256];
};

static void on_done(void *arg, const struct telex_result *result) {
    struct outcome *o = arg;
    pthread_mutex_lock(&o->lock);
    o->done++;
    o->status = result->status;
    snprintf(o->text, sizeof(o->text), "%.*s", (int)result->text.size, (const char *)result->text.data);
    snprintf(o->error, sizeof(o->error), "%.*s", (int)result->error.size, (const char *)result->error.data);
    pthread_mutex_unlock(&o->lock);
}

static telex_status hand_in(struct models *m, size_t index, telex_lease lease, const char *schema,
                            struct outcome *o, uint64_t *id, char why[256]) {
    struct telex_message user = {.size = sizeof(user), .role = TELEX_ROLE_USER, .text = telex_text("write")};
    const struct telex_message *messages[1] = {&user};
    struct telex_job job = {.size = sizeof(job),
                            .n_messages = 1,
                            .messages = messages,
                            .max_tokens = 1500,
                            .schema = telex_text(schema)};
    memset(o, 0, sizeof(*o));
    pthread_mutex_init(&o->lock, NULL);
    return models_generate(m, lease, index, &job, on_done, o, id, why, 256);
}

static int calls(struct outcome *o, int wait_ms) {
    for (int i = 0;; i++) {
        pthread_mutex_lock(&o->lock);
        int done = o->done;
        pthread_mutex_unlock(&o->lock);
        if (done || i >= wait_ms)
            return done;
        struct timespec t = {0, 1000000};
        nanosleep(&t, NULL);
    }
}

static const char short_text[] = "{\"type\":\"string\",\"maxLength\":20}";
static const char endless[] = "{\"type\":\"string\",\"minLength\":4000}";

static void jobs_reach_the_model_that_the_config_names(void **state) {
    (void)state;
    struct models *m = open_three(0);
    struct outcome a, b, c;
    char why[256];
    uint64_t ids[3];
    assert_int_equal(models_find(m, "desk"), 0);
    assert_int_equal(models_find(m, "other"), 1);
    assert_int_equal(models_find(m, "none"), -1);
    assert_int_equal(hand_in(m, 0, 7, short_text, &a, &ids[0], why), TELEX_OK);
    assert_int_equal(hand_in(m, 1, 7, short_text, &b, &ids[1], why), TELEX_OK);
    assert_int_equal(hand_in(m, 2, 8, short_text, &c, &ids[2], why), TELEX_OK);
    assert_true(calls(&a, 5000) && calls(&b, 5000) && calls(&c, 5000));
    assert_int_equal(a.status, TELEX_OK);
    assert_string_equal(a.text, c.text);     /* the same weights */
    assert_string_not_equal(a.text, b.text); /* others */
    assert_true(ids[0] && ids[0] != ids[1] && ids[1] != ids[2]);
    struct telex_backend_info info = {.size = sizeof(info)};
    assert_int_equal(models_info(m, 0, &info), TELEX_OK);
    assert_string_equal(info.backend, "model-toy hash");
    assert_int_equal(models_info(m, 3, &info), TELEX_NOT_FOUND);
    const struct telex_model *class_a, *class_c;
    void *self_a, *self_c;
    assert_int_equal(models_weights(m, 0, &class_a, &self_a), TELEX_OK);
    assert_int_equal(models_weights(m, 2, &class_c, &self_c), TELEX_OK);
    assert_ptr_equal(self_a, self_c); /* equal entries share one backend */
    models_close(m);
}

static void a_step_that_is_cancelled_takes_its_jobs_along(void **state) {
    (void)state;
    struct models *m = open_three(1000);
    struct outcome mine[3], others;
    char why[256];
    uint64_t id;
    for (int i = 0; i < 3; i++)
        assert_int_equal(hand_in(m, i == 2 ? 2 : 0, 41, endless, &mine[i], &id, why), TELEX_OK);
    assert_int_equal(hand_in(m, 0, 42, endless, &others, &id, why), TELEX_OK);
    models_cancel_lease(m, 41);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(calls(&mine[i], 5000), 1);
        assert_int_equal(mine[i].status, TELEX_CANCELLED);
    }
    assert_int_equal(calls(&others, 20), 0);
    models_cancel(m, id);
    models_cancel(m, 9999);
    assert_int_equal(calls(&others, 5000), 1);
    assert_int_equal(others.status, TELEX_CANCELLED);
    models_close(m);
}

static void closing_waits_for_every_job(void **state) {
    (void)state;
    struct models *m = open_three(1000);
    struct outcome jobs[6];
    char why[256];
    uint64_t id;
    for (int i = 0; i < 6; i++)
        assert_int_equal(hand_in(m, (size_t)i % 3, (telex_lease)i, endless, &jobs[i], &id, why), TELEX_OK);
    models_close(m);
    for (int i = 0; i < 6; i++)
        assert_int_equal(jobs[i].done, 1);
}

static void what_is_refused_comes_with_the_reason(void **state) {
    (void)state;
    struct models *m = open_three(0);
    struct outcome o;
    char why[512] = "";
    uint64_t id;
    assert_int_equal(hand_in(m, 0, 1, "{\"type\":\"string\",\"format\":\"date\"}", &o, &id, why),
                     TELEX_UNSUPPORTED);
    assert_non_null(strstr(why, "format"));
    assert_int_equal(hand_in(m, 5, 1, short_text, &o, &id, why), TELEX_NOT_FOUND);
    models_close(m);
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "chat");
    telex_build_text(&b, "alpaca");
    telex_build_map_end(&b);
    struct models_spec bad = {"desk", find("model-toy"), telex_build_body(&b)};
    assert_int_equal(models_open(&quiet_host, &bad, 1, &m, why, sizeof(why)), TELEX_UNSUPPORTED);
    assert_non_null(strstr(why, "alpaca"));
    struct models_spec stage = {"desk", find("stage-noop"), telex_build_body(&b)};
    assert_int_equal(models_open(&quiet_host, &stage, 1, &m, why, sizeof(why)), TELEX_INVALID);
    assert_non_null(strstr(why, "stage"));
    telex_build_finish(&b);
    assert_int_equal(models_open(NULL, NULL, 0, &m, why, sizeof(why)), TELEX_OK);
    models_close(m);
    models_close(NULL);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    const char *dirs[] = {getenv("TELEX_TEST_PLUGINS"), NULL};
    registry = registry_create(dirs);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_reach_the_model_that_the_config_names),
        cmocka_unit_test(a_step_that_is_cancelled_takes_its_jobs_along),
        cmocka_unit_test(closing_waits_for_every_job),
        cmocka_unit_test(what_is_refused_comes_with_the_reason),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_destroy(registry);
    return failed;
}

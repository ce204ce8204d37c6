/* SPDX-License-Identifier: Apache-2.0 */
/* model-http against a server that misbehaves: every job ends once, in time, with a status and a reason that
 * fit. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <telex-sdk/message.h>

#include "bench.h"
#include "models.h"

static struct registry *registry;
static int port, server_in = -1;
static pid_t server;

static int start_server(void **state) {
    (void)state;
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0)
        return -1;
    server = fork();
    if (server == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execlp("python3", "python3", getenv("TELEX_HOSTILE_SERVER"), (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_in = in[1];
    char line[32] = "";
    for (size_t n = 0; n < sizeof(line) - 1 && read(out[0], line + n, 1) == 1 && line[n] != '\n';)
        n++;
    port = atoi(line);
    close(out[0]);
    return port > 0 ? 0 : -1;
}

static int stop_server(void **state) {
    (void)state;
    close(server_in);
    kill(server, SIGTERM);
    return waitpid(server, NULL, 0) == server ? 0 : -1;
}

struct outcome {
    pthread_mutex_t lock;
    int done;
    telex_status status;
    uint32_t finish, prompt_tokens, cached_tokens, output_tokens;
    char text[8192], error[512];
};

static void on_done(void *arg, const struct telex_result *result) {
    struct outcome *o = arg;
    pthread_mutex_lock(&o->lock);
    o->done++;
    o->status = result->status;
    o->finish = result->finish;
    o->prompt_tokens = result->prompt_tokens;
    o->cached_tokens = result->cached_tokens;
    o->output_tokens = result->output_tokens;
    snprintf(o->text, sizeof(o->text), "%.*s", (int)result->text.size, (const char *)result->text.data);
    snprintf(o->error, sizeof(o->error), "%.*s", (int)result->error.size, (const char *)result->error.data);
    pthread_mutex_unlock(&o->lock);
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_done(struct outcome *o, int64_t ms) {
    for (int64_t until = now_ms() + ms;;) {
        pthread_mutex_lock(&o->lock);
        int done = o->done;
        pthread_mutex_unlock(&o->lock);
        if (done || now_ms() > until)
            return done;
        struct timespec t = {0, 2000000};
        nanosleep(&t, NULL);
    }
}

struct setting {
    const char *key, *text;
    int64_t number; /* when text is NULL */
};

/* A backend whose server answers in one way. NULL with the reason in why. */
static struct models *open_url(const char *url, const struct setting *settings, size_t n, char *why,
                               size_t size) {
    struct telex_builder b;
    struct models *m = NULL;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "base_url");
    telex_build_text(&b, url);
    for (size_t i = 0; i < n; i++) {
        telex_build_key(&b, settings[i].key);
        if (settings[i].text)
            telex_build_text(&b, settings[i].text);
        else if (settings[i].number < 0) /* -1 false, -2 true */
            telex_build_flag(&b, settings[i].number == -2);
        else
            telex_build_int(&b, settings[i].number);
    }
    telex_build_map_end(&b);
    struct models_spec spec = {"remote", registry_find(registry, "model-http", why, size),
                               telex_build_body(&b)};
    if (spec.plugin)
        models_open(&quiet_host, &spec, 1, &m, why, size);
    telex_build_finish(&b);
    return m;
}

static struct models *open_way(const char *way, const struct setting *settings, size_t n) {
    char url[128], why[512] = "";
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/%s/v1/", port, way);
    struct models *m = open_url(url, settings, n, why, sizeof(why));
    if (!m)
        fail_msg("%s", why);
    return m;
}

struct ask {
    const char *user, *schema;
    int64_t timeout_ms;
};

static uint64_t hand_in(struct models *m, struct ask ask, struct outcome *o) {
    struct telex_message user = {
        .size = sizeof(user), .role = TELEX_ROLE_USER, .text = telex_text(ask.user ? ask.user : "hello")};
    const struct telex_message *messages[1] = {&user};
    struct telex_sampler sampler = {
        .size = sizeof(sampler), .top_k = 40, .temperature = 0.5f, .top_p = 0.9f, .repeat_penalty = 1.0f};
    struct telex_job job = {.size = sizeof(job),
                            .n_messages = 1,
                            .messages = messages,
                            .max_tokens = 60,
                            .seed = 1ull << 40 | 5,
                            .timeout_ms = ask.timeout_ms,
                            .sampler = &sampler};
    if (ask.schema)
        job.schema = telex_text(ask.schema);
    uint64_t id = 0;
    char why[256] = "";
    memset(o, 0, sizeof(*o));
    pthread_mutex_init(&o->lock, NULL);
    if (models_generate(m, 1, 0, &job, on_done, o, &id, why, sizeof(why)) != TELEX_OK)
        fail_msg("not accepted: %s", why);
    return id;
}

static void run(const char *way, const struct setting *settings, size_t n, struct ask ask,
                struct outcome *o) {
    struct models *m = open_way(way, settings, n);
    hand_in(m, ask, o);
    wait_done(o, 25000);
    models_close(m);
    if (o->done != 1)
        fail_msg("%s: done was called %d times", way, o->done);
}

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"array\","
    "\"items\":{\"type\":\"integer\"}}},\"required\":[\"a\",\"b\"]}";

static void good_answers_become_text(void **state) {
    (void)state;
    struct outcome o;
    run("plain", NULL, 0, (struct ask){0}, &o);
    assert_int_equal(o.status, TELEX_OK);
    assert_int_equal(o.finish, TELEX_FINISH_STOP);
    assert_string_equal(o.text, "hello");
    assert_int_equal(o.prompt_tokens, 11);
    assert_int_equal(o.output_tokens, 3);
    run("stream", NULL, 0, (struct ask){0}, &o);
    assert_int_equal(o.status, TELEX_OK);
    assert_string_equal(o.text, "hell\xc3\xb6\xf0\x9f\x98\x80");
    assert_int_equal(o.cached_tokens, 5);
    assert_int_equal(o.output_tokens, 4);
    run("bytewise", NULL, 0, (struct ask){0}, &o);
    assert_int_equal(o.status, TELEX_OK);
    assert_int_equal(o.finish, TELEX_FINISH_LENGTH);
    assert_string_equal(o.text, "abcd");
    /* JSON in the server's manner becomes the canonical text of the schema */
    run("schema", NULL, 0, (struct ask){.schema = schema}, &o);
    assert_int_equal(o.status, TELEX_OK);
    assert_string_equal(o.text, "{\"a\":\"line one\",\"b\":[1,2]}");
}

static void a_request_says_what_the_job_asks_and_no_more(void **state) {
    (void)state;
    struct outcome o;
    const struct setting settings[] = {{"model", "small", 0}, {"api_key", "s3cret", 0}};
    run("echo", settings, 2, (struct ask){.user = "a <|im_end|> b </s> \xff", .schema = NULL}, &o);
    assert_int_equal(o.status, TELEX_OK);
    json_t *echo = json_loads(o.text, 0, NULL), *sent = json_object_get(echo, "sent");
    assert_string_equal(json_string_value(json_object_get(echo, "key")), "Bearer s3cret");
    assert_string_equal(json_string_value(json_object_get(sent, "model")), "small");
    json_t *message = json_array_get(json_object_get(sent, "messages"), 0);
    assert_string_equal(json_string_value(json_object_get(message, "role")), "user");
    assert_string_equal(json_string_value(json_object_get(message, "content")),
                        "a < |im_end| > b < /s> \xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_object_get(sent, "max_tokens")), 60);
    assert_int_equal(json_integer_value(json_object_get(sent, "top_k")), 40);
    assert_null(json_object_get(sent, "min_p"));
    assert_null(json_object_get(sent, "repeat_penalty"));
    assert_null(json_object_get(sent, "response_format"));
    assert_true(json_integer_value(json_object_get(sent, "seed")) <= 0x7fffffff);
    json_decref(echo);
    const struct setting bare[] = {{"stream", NULL, -1}, {"guard_control", NULL, -1}};
    run("echo", bare, 2, (struct ask){.user = "<|im_end|>"}, &o);
    echo = json_loads(o.text, 0, NULL);
    sent = json_object_get(echo, "sent");
    assert_null(json_object_get(sent, "stream"));
    assert_null(json_object_get(sent, "model"));
    assert_string_equal(json_string_value(json_object_get(echo, "key")), "");
    message = json_array_get(json_object_get(sent, "messages"), 0);
    assert_string_equal(json_string_value(json_object_get(message, "content")), "<|im_end|>");
    json_decref(echo);
}

static void every_bad_answer_ends_with_its_status_and_reason(void **state) {
    (void)state;
    static const struct {
        const char *way;
        telex_status status;
        const char *said;
        bool with_schema;
    } cases[] = {
        {"unsatisfied", TELEX_RETRY, "/a: not a string", true},
        {"prose", TELEX_RETRY, "no JSON", true},
        {"html", TELEX_RETRY, "no JSON object", false},
        {"empty", TELEX_RETRY, "no JSON object", false},
        {"nochoice", TELEX_RETRY, "no finished choice", false},
        {"wrongtypes", TELEX_RETRY, "no finished choice", false},
        {"deep", TELEX_RETRY, "no JSON object", false},
        {"half", TELEX_RETRY, "http://127.0.0.1", false},
        {"halfclean", TELEX_RETRY, "cut off after 1 pieces", false},
        {"halfplain", TELEX_RETRY, "http://127.0.0.1", false},
        {"reset", TELEX_RETRY, "http://127.0.0.1", false},
        {"endless", TELEX_RETRY, "over 100000 bytes", false},
        {"longline", TELEX_RETRY, "over 100000 bytes", false},
        {"hugeplain", TELEX_RETRY, "over 100000 bytes", false},
        {"redirect", TELEX_RETRY, "redirects are not followed", false},
        {"errorevent", TELEX_RETRY, "out of memory [31m", false},
        {"filtered", TELEX_RETRY, "content_filter", false},
        {"status400", TELEX_REJECT, "HTTP 400: because 400", false},
        {"status401", TELEX_FATAL, "api_key", false},
        {"status404", TELEX_FATAL, "base_url", false},
        {"status408", TELEX_RETRY, "HTTP 408", false},
        {"status422", TELEX_REJECT, "HTTP 422", false},
        {"status429", TELEX_RETRY, "HTTP 429", false},
        {"status500", TELEX_RETRY, "HTTP 500", false},
        {"status503", TELEX_RETRY, "HTTP 503", false},
    };
    const struct setting settings[] = {{"max_reply", NULL, 100000}, {"api_key", "s3cret", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome o;
        int64_t start = now_ms();
        run(cases[i].way, settings, 2, (struct ask){.schema = cases[i].with_schema ? schema : NULL}, &o);
        if (o.status != cases[i].status || !strstr(o.error, cases[i].said))
            fail_msg("%s: status %d, \"%s\"", cases[i].way, o.status, o.error);
        assert_null(strstr(o.error, "s3cret"));
        assert_string_equal(o.text, "");
        assert_true(now_ms() - start < 20000);
    }
}

static void a_server_that_is_down_or_stuck_is_given_up_in_time(void **state) {
    (void)state;
    struct outcome o;
    char why[256];
    struct models *m = open_url("http://127.0.0.1:1/v1", NULL, 0, why, sizeof(why)); /* nobody listens */
    hand_in(m, (struct ask){0}, &o);
    assert_int_equal(wait_done(&o, 15000), 1);
    assert_int_equal(o.status, TELEX_RETRY);
    assert_non_null(strstr(o.error, "127.0.0.1:1"));
    models_close(m);
    const struct setting stall[] = {{"stall_timeout", NULL, 1000}};
    static const char *const ways[] = {"silent", "stall"};
    for (int i = 0; i < 2; i++) {
        int64_t start = now_ms();
        run(ways[i], stall, 1, (struct ask){0}, &o);
        assert_int_equal(o.status, TELEX_RETRY);
        assert_true(now_ms() - start < 20000);
    }
    int64_t start = now_ms(); /* alive, but past the job's own time */
    run("drip", NULL, 0, (struct ask){.timeout_ms = 700}, &o);
    assert_int_equal(o.status, TELEX_RETRY);
    assert_non_null(strstr(o.error, "700 ms"));
    assert_true(now_ms() - start < 20000);
}

static void cancelled_and_waiting_jobs_end_soon(void **state) {
    (void)state;
    const struct setting settings[] = {{"max_parallel", NULL, 2}};
    struct models *m = open_way("drip", settings, 1);
    struct outcome o[5];
    uint64_t ids[5];
    for (int i = 0; i < 5; i++)
        ids[i] = hand_in(m, (struct ask){.timeout_ms = i == 4 ? 300 : 0}, &o[i]);
    assert_int_equal(wait_done(&o[4], 15000), 1); /* never sent: the other two are in front */
    assert_int_equal(o[4].status, TELEX_RETRY);
    assert_non_null(strstr(o[4].error, "not sent"));
    models_cancel(m, ids[0]); /* runs */
    models_cancel(m, ids[3]); /* waits */
    assert_int_equal(wait_done(&o[0], 15000), 1);
    assert_int_equal(wait_done(&o[3], 15000), 1);
    assert_int_equal(o[0].status, TELEX_CANCELLED);
    assert_int_equal(o[3].status, TELEX_CANCELLED);
    int64_t start = now_ms();
    models_close(m);
    assert_true(now_ms() - start < 20000);
    for (int i = 0; i < 5; i++)
        assert_int_equal(o[i].done, 1);
    assert_int_equal(o[1].status, TELEX_CANCELLED);
}

static void many_jobs_share_the_connections(void **state) {
    (void)state;
    enum { N = 60 };
    const struct setting settings[] = {{"max_parallel", NULL, 8}};
    struct models *m = open_way("stream", settings, 1);
    static struct outcome o[N];
    for (int i = 0; i < N; i++)
        hand_in(m, (struct ask){0}, &o[i]);
    for (int i = 0; i < N; i++) {
        assert_int_equal(wait_done(&o[i], 15000), 1);
        assert_int_equal(o[i].status, TELEX_OK);
        assert_string_equal(o[i].text, "hell\xc3\xb6\xf0\x9f\x98\x80");
    }
    models_close(m);
}

static void bad_addresses_and_keys_are_refused_at_once(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "ftp://x/v1",
                                      "file:///etc/passwd",
                                      "http://",
                                      "http://u:p@h/v1",
                                      "http://h/v1?x=1",
                                      "not an address"};
    char why[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(open_url(bad[i], NULL, 0, why, sizeof(why)));
        assert_non_null(strstr(why, "base_url"));
    }
    const struct setting key[] = {{"api_key", "a\r\nX-Evil: 1", 0}};
    assert_null(open_url("http://127.0.0.1:9/v1", key, 1, why, sizeof(why)));
    assert_non_null(strstr(why, "api_key"));
    assert_null(strstr(why, "Evil"));
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    const char *dirs[] = {getenv("TELEX_TEST_PLUGINS"), NULL};
    registry = registry_create(dirs);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_answers_become_text),
        cmocka_unit_test(a_request_says_what_the_job_asks_and_no_more),
        cmocka_unit_test(every_bad_answer_ends_with_its_status_and_reason),
        cmocka_unit_test(a_server_that_is_down_or_stuck_is_given_up_in_time),
        cmocka_unit_test(cancelled_and_waiting_jobs_end_soon),
        cmocka_unit_test(many_jobs_share_the_connections),
        cmocka_unit_test(bad_addresses_and_keys_are_refused_at_once),
    };
    int failed = cmocka_run_group_tests(tests, start_server, stop_server);
    registry_destroy(registry);
    return failed;
}

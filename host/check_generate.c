/* SPDX-License-Identifier: Apache-2.0 */
/* check_generate.c - jobs: to a backend that answers them itself, or through the driver to one with weights.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <driver/driver.h>
#include <telex-sdk/json.h>
#include <telex-sdk/plugin.h>

#include "check_model.h"

enum { JOBS_MAX = 32, MAX_TOKENS = 24, CANCEL_MS = 2000, ROUNDS = 6 };

/* One job and what came of it. Lives until the end of the child: a late done must find it. */
struct answer {
    struct jobs *jobs;
    const char *what;
    unsigned n_done;
    bool accepted;
    telex_status status;
    uint32_t finish, output_tokens;
    char *text; /* owned; n_text bytes */
    size_t n_text;
    bool has_error;
};

struct jobs {
    struct check_run *run;
    const struct telex_generate *class; /* or: */
    void *self;
    struct driver *driver;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct answer answers[JOBS_MAX];
    size_t n;
    int wait_ms;
};

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void report(const struct jobs *j, const char *rule, const char *what, const char *said) {
    check_report(j->run->out, rule, "%s: %s", what, said);
}

/* ---- a job ---- */

static void on_done(void *arg, const struct telex_result *r) {
    struct answer *a = arg;
    struct jobs *j = a->jobs;
    pthread_mutex_lock(&j->lock);
    if (a->n_done++ == 0) {
        a->status = r->status;
        a->finish = r->finish;
        a->output_tokens = r->output_tokens;
        a->has_error = r->error.size > 0;
        a->n_text = r->text.size;
        a->text = malloc(r->text.size + 1);
        if (a->text && r->text.size)
            memcpy(a->text, r->text.data, r->text.size);
    }
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

static struct answer *hand_in(struct jobs *j, const char *what, const struct telex_job *job, uint64_t *id) {
    struct answer *a = &j->answers[j->n++];
    char why[256];
    *a = (struct answer){.jobs = j, .what = what};
    check_say(j->run, what);
    telex_status status = j->driver ? driver_generate(j->driver, job, on_done, a, id, why, sizeof(why))
                                    : j->class->generate(j->self, job, on_done, a, id);
    pthread_mutex_lock(&j->lock); /* done may have been called by now */
    a->accepted = status == TELEX_OK;
    if (!a->accepted)
        a->status = status;
    pthread_mutex_unlock(&j->lock);
    return a;
}

/* Until done, or the time is over; a job that was refused is over at once. */
static bool wait_done(struct jobs *j, struct answer *a, int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000 + 1;
    pthread_mutex_lock(&j->lock);
    int err = 0;
    while (a->accepted && a->n_done == 0 && err == 0)
        err = pthread_cond_timedwait(&j->changed, &j->lock, &until);
    bool done = a->n_done > 0 || !a->accepted;
    pthread_mutex_unlock(&j->lock);
    return done;
}

static struct telex_job job_of(const struct telex_message *const *messages,
                               const struct telex_sampler *sampler) {
    return (struct telex_job){.size = sizeof(struct telex_job),
                              .n_messages = 1,
                              .messages = messages,
                              .max_tokens = MAX_TOKENS,
                              .seed = 7,
                              .sampler = sampler};
}

static bool is_utf8(const char *text, size_t n) {
    size_t used = 0;
    char *repaired = telex_utf8_repair(text, n, &used);
    bool same = repaired && used == n && memcmp(repaired, text, n) == 0;
    free(repaired);
    return same;
}

/* What holds for every job that is done. */
static void check_answer(struct jobs *j, const struct answer *a, uint32_t max_tokens) {
    bool good = a->status == TELEX_OK;
    if (!good && !a->has_error)
        report(j, "generate.result", a->what, "it failed without a reason");
    if (a->status > TELEX_OK || a->status < TELEX_LIMIT)
        report(j, "status.unknown", a->what, "its status is none of telex/abi.h");
    if (good && a->finish != TELEX_FINISH_STOP && a->finish != TELEX_FINISH_LENGTH)
        report(j, "generate.result", a->what, "it is OK but finish is neither STOP nor LENGTH");
    if (good && !is_utf8(a->text ? a->text : "", a->n_text))
        report(j, "generate.result", a->what, "the text is no UTF-8");
    if (good && max_tokens && a->output_tokens > max_tokens)
        report(j, "generate.limit", a->what, "it counts more output tokens than max_tokens");
}

/* Hand in and wait. NULL when it was not done in time, which is reported. */
static struct answer *ask(struct jobs *j, const char *what, const struct telex_job *job) {
    uint64_t id;
    struct answer *a = hand_in(j, what, job, &id);
    if (!wait_done(j, a, j->wait_ms)) {
        report(j, "generate.done", what, "done was not called");
        return NULL;
    }
    if (a->accepted)
        check_answer(j, a, job->max_tokens);
    return a;
}

static bool same_text(const struct answer *a, const struct answer *b) {
    return a->n_text == b->n_text && (a->n_text == 0 || memcmp(a->text, b->text, a->n_text) == 0);
}

/* ---- what is asked ---- */

static const char prompt[] =
    "Say in one sentence what happened: the port of Ardel opened again on Monday after a storm.";

static void ask_twice(struct jobs *j, const struct telex_message *const *messages) {
    struct telex_sampler warm = {
        .size = sizeof(warm), .temperature = 1.0f, .top_p = 1.0f, .repeat_penalty = 1.0f};
    struct telex_job cold_job = job_of(messages, NULL), warm_job = job_of(messages, &warm);
    struct answer *first = ask(j, "a greedy job", &cold_job),
                  *again = first ? ask(j, "the same again", &cold_job) : NULL;
    if (!again)
        return;
    bool answered = first->accepted && first->status == TELEX_OK;
    if (!answered)
        check_report(j->run->out, "generate.answers", "an ordinary job got status %d", first->status);
    if (answered && again->status == TELEX_OK && !same_text(first, again)) {
        report(j, "generate.seed", "the same greedy job twice", "other texts");
        return;
    }
    struct telex_bytes drafts[2] = {telex_text("Ships left the port of Ardel at noon."),
                                    {(const uint8_t *)first->text, first->n_text}};
    cold_job.drafts = drafts;
    cold_job.n_drafts = 2;
    again = answered ? ask(j, "the same with drafts", &cold_job) : NULL;
    if (again && again->status == TELEX_OK && !same_text(first, again))
        report(j, "generate.drafts", "the same job with drafts", "another text");
    first = ask(j, "a job with seed 7", &warm_job);
    again = first ? ask(j, "a job with seed 7 again", &warm_job) : NULL;
    if (again && first->status == TELEX_OK && again->status == TELEX_OK && !same_text(first, again))
        report(j, "generate.seed", "the same seed twice", "other texts");
}

/* {"ok": a boolean, "n": 1 to 9}, and nothing else. */
static bool satisfies(const struct answer *a) {
    json_t *root = json_loadb(a->text ? a->text : "", a->n_text, JSON_REJECT_DUPLICATES, NULL);
    json_int_t n = json_integer_value(json_object_get(root, "n"));
    bool good = json_is_object(root) && json_object_size(root) == 2 &&
                json_is_boolean(json_object_get(root, "ok")) && json_is_integer(json_object_get(root, "n")) &&
                n >= 1 && n <= 9;
    json_decref(root);
    return good;
}

static void ask_schema(struct jobs *j, const struct telex_message *const *messages) {
    struct telex_job job = job_of(messages, NULL);
    job.schema = telex_text(
        "{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"},\"n\":{\"type\":\"integer\","
        "\"minimum\":1,\"maximum\":9}},\"required\":[\"ok\",\"n\"],\"additionalProperties\":false}");
    struct answer *a = ask(j, "a job with a schema", &job);
    if (a && !a->accepted && a->status != TELEX_UNSUPPORTED && a->status != TELEX_AGAIN)
        report(j, "generate.schema", a->what, "it was refused, but not with UNSUPPORTED");
    if (a && a->accepted && a->status == TELEX_OK && a->finish == TELEX_FINISH_STOP && !satisfies(a))
        report(j, "generate.schema", a->what, "the text does not satisfy the schema");
    job.schema = telex_text("{\"type\":");
    a = ask(j, "a job with a broken schema", &job);
    if (a && a->accepted && a->status == TELEX_OK)
        report(j, "generate.schema", a->what, "a schema that is no JSON was accepted");
}

static void ask_badly(struct jobs *j, const struct telex_message *const *messages) {
    struct telex_job none = job_of(messages, NULL), small = none, odd = none;
    struct telex_message empty = {.size = sizeof(empty), .role = TELEX_ROLE_USER, .text = telex_text("")};
    struct telex_message bytes = {
        .size = sizeof(bytes), .role = TELEX_ROLE_USER, .text = telex_text("caf\xc3 \xff\xfe \xed\xa0\x80")};
    const struct telex_message *one[1] = {&empty}, *two[1] = {&bytes};
    none.n_messages = 0;
    small.size = 8;
    struct answer *a = ask(j, "a job without messages", &none), *b = ask(j, "a job whose size is 8", &small);
    if (a && a->accepted)
        report(j, "generate.bad-job", a->what, "it was accepted");
    if (b && b->accepted)
        report(j, "generate.bad-job", b->what, "it was accepted");
    odd.messages = one;
    ask(j, "an empty prompt", &odd);
    odd.messages = two;
    ask(j, "a prompt that is no UTF-8", &odd);
}

static void cancel_one(struct jobs *j, const struct telex_message *const *messages) {
    struct telex_job job = job_of(messages, NULL);
    uint64_t id = 0;
    job.max_tokens = 100000;
    struct answer *a = hand_in(j, "a long job that is cancelled", &job, &id);
    if (!a->accepted)
        return;
    usleep(20000);
    int64_t begun_ms = now_ms();
    if (j->driver)
        driver_cancel(j->driver, id);
    else
        j->class->cancel(j->self, id);
    if (!wait_done(j, a, j->wait_ms))
        report(j, "generate.done", a->what, "done was not called");
    else if (now_ms() - begun_ms > CANCEL_MS)
        check_report(j->run->out, "generate.cancel", "a cancelled job went on for %lld ms",
                     (long long)(now_ms() - begun_ms));
}

/* ---- the scenarios ---- */

static void ask_all(struct jobs *j) {
    struct telex_message user = {.size = sizeof(user), .role = TELEX_ROLE_USER, .text = telex_text(prompt)};
    const struct telex_message *messages[1] = {&user};
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, NULL);
    j->wait_ms = j->run->life_ms / 3;
    ask_twice(j, messages);
    ask_schema(j, messages);
    ask_badly(j, messages);
    cancel_one(j, messages);
}

/* Everything is closed: nothing can be done any more. */
static void count_done(struct jobs *j) {
    usleep(20000); /* what is called too late shows itself */
    for (size_t i = 0; i < j->n; i++) {
        const struct answer *a = &j->answers[i];
        if (a->accepted && a->n_done > 1)
            report(j, "generate.done", a->what, "done was called more than once");
        if (!a->accepted && a->n_done > 0)
            report(j, "generate.done", a->what, "done was called for a job that was refused");
    }
}

static bool open_generate(struct jobs *j, struct check_run *run, struct telex_host *host, char *said,
                          size_t size) {
    memset(j, 0, sizeof(*j));
    j->run = run;
    j->class = run->table;
    check_backend_host(host, said, size);
    check_say(run, "open");
    telex_status status = j->class->open(host, run->options, &j->self);
    if (status == TELEX_OK && j->self)
        return true;
    check_report(run->out, "generate.open", "open with checked options gave status %d and no instance%s%s",
                 status, *said ? ": " : "", said);
    return false;
}

void check_generate_jobs(struct check_run *run) {
    static struct jobs j;
    static struct telex_host host;
    static char said[512];
    struct telex_backend_info info = {.size = sizeof(info)};
    if (!open_generate(&j, run, &host, said, sizeof(said)))
        return;
    check_say(run, "info");
    if (j.class->info(j.self, &info) != TELEX_OK || !info.model || !info.backend || !info.weights_sha256)
        check_report(run->out, "generate.info",
                     "info is not OK, or model, backend or weights_sha256 is NULL");
    ask_all(&j);
    for (size_t i = 0; i < j.n; i++) /* close comes after the last done */
        wait_done(&j, &j.answers[i], 1000);
    check_say(run, "close");
    j.class->close(j.self);
    count_done(&j);
}

void check_generate_again(struct check_run *run) {
    static struct jobs j;
    static struct telex_host host;
    static char said[512];
    size_t files = 0, threads = 0;
    long long bytes = 0;
    for (int i = 0; i < 2 + ROUNDS; i++) {
        if (i == 2) {
            files = check_settled_count("/proc/self/fd", SIZE_MAX);
            threads = check_settled_count("/proc/self/task", SIZE_MAX);
            bytes = (long long)mallinfo2().uordblks;
        }
        if (!open_generate(&j, run, &host, said, sizeof(said)))
            return;
        check_say(run, "close");
        j.class->close(j.self);
    }
    if (check_settled_count("/proc/self/fd", files) > files)
        check_report(run->out, "life.file-left", "descriptors are left open after close");
    if (check_settled_count("/proc/self/task", threads) > threads)
        check_report(run->out, "life.thread-left", "threads are left after close");
    bytes = (long long)mallinfo2().uordblks - bytes;
    if (bytes > ROUNDS * 2048)
        check_report(run->out, "generate.leak", "%d times open and close left %lld bytes allocated", ROUNDS,
                     bytes);
}

void check_model_jobs(struct check_run *run) {
    static struct check_model m;
    static struct jobs j;
    char why[256] = "";
    struct driver_config config = {.parallel = 2, .kv_tokens = 2048};
    if (!check_model_open_bare(&m, run, run->options))
        return;
    memset(&j, 0, sizeof(j));
    j.run = run;
    check_say(run, "driver_open");
    if (driver_open(&m.host, m.class, m.self, &config, &j.driver, why, sizeof(why)) != TELEX_OK) {
        check_report(run->out, "generate.open", "the driver cannot use it: %s", why);
        return;
    }
    ask_all(&j);
    driver_close(j.driver);
    count_done(&j);
    check_model_close(&m);
}

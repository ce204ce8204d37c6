/* SPDX-License-Identifier: Apache-2.0 */
/* generate-breaks - answers jobs, with one deed that breaks the rule that its option names; `telex check`
 * must find it. With rule `none` it is a good backend: every job gets a thread, texts depend on nothing but
 * the job. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/plugin.h>

struct breaks {
    const char *rule; /* in memory */
    void *memory;     /* owned */
    atomic_uint running, cancelled, n_jobs;
};

struct task {
    struct breaks *breaks;
    telex_job_done done;
    void *arg;
    bool schema, is_long, has_drafts, broken;
    uint32_t n;
};

static const char *const rules[] = {"none",
                                    "generate.open",
                                    "generate.info",
                                    "generate.answers",
                                    "generate.done",
                                    "generate.late",
                                    "generate.result",
                                    "generate.reason",
                                    "generate.limit",
                                    "generate.cancel",
                                    "generate.schema",
                                    "generate.seed",
                                    "generate.drafts",
                                    "generate.bad-job",
                                    "generate.leak",
                                    NULL};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "rule", .type = TELEX_CHOICE, .offset = offsetof(struct breaks, rule),
                 .initial = "none", .choices = rules, .doc = "the rule to break"),
    NULL};

static bool is(const struct breaks *b, const char *rule) {
    return strcmp(b->rule, rule) == 0;
}

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int32_t probe(void) {
    return 1;
}

static void close_it(void *self) {
    struct breaks *b = self;
    while (atomic_load(&b->running))
        nap_ms(1);
    bool leaks = is(b, "generate.leak");
    free(b->memory);
    if (!leaks)
        free(b);
}

static telex_status open_it(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct breaks *b = calloc(1, sizeof(*b) + (16 << 10));
    if (!b)
        return TELEX_RETRY;
    if (telex_options_read(options, given, b, &b->memory) < 0) {
        free(b);
        return telex_fail(host, 0, TELEX_INVALID, "generate-breaks: bad options");
    }
    if (is(b, "generate.open")) {
        free(b->memory);
        free(b);
        return TELEX_OK;
    }
    *self = b;
    return TELEX_OK;
}

static telex_status info(void *self, struct telex_backend_info *out) {
    struct telex_backend_info full = {.size = sizeof(full),
                                      .context_tokens = 1024,
                                      .model = "none",
                                      .weights_sha256 = "",
                                      .backend = "generate-breaks"};
    if (is(self, "generate.info"))
        full.model = NULL;
    return telex_table_fill(out, &full, sizeof(full)) ? TELEX_OK : TELEX_INVALID;
}

static void *answer(void *arg) {
    struct task *t = arg;
    struct breaks *b = t->breaks;
    char text[64] = "It rains.";
    struct telex_result r = {
        .size = sizeof(r), .status = TELEX_OK, .finish = TELEX_FINISH_STOP, .output_tokens = 3};
    for (int i = 0; t->is_long && i < 300 && (is(b, "generate.cancel") || !atomic_load(&b->cancelled)); i++)
        nap_ms(10);
    if (t->schema)
        snprintf(text, sizeof(text), "%s", is(b, "generate.schema") ? "{\"ok\":1}" : "{\"ok\":true,\"n\":3}");
    if (is(b, "generate.result") && !t->schema)
        snprintf(text, sizeof(text), "caf\xc3");
    if (is(b, "generate.seed") && !t->schema)
        snprintf(text, sizeof(text), "It is day %u.", t->n);
    if (is(b, "generate.drafts") && t->has_drafts)
        snprintf(text, sizeof(text), "Ships left.");
    if (is(b, "generate.limit"))
        r.output_tokens = 1 << 20;
    r.text = telex_text(text);
    if (t->broken || is(b, "generate.answers") || is(b, "generate.reason")) {
        r.status = TELEX_REJECT;
        r.finish = TELEX_FINISH_FAILED;
        r.text = telex_text("");
        r.error = telex_text(is(b, "generate.reason") ? "" : "not today");
    }
    t->done(t->arg, &r);
    if (is(b, "generate.done"))
        t->done(t->arg, &r);
    free(t);
    atomic_fetch_sub(&b->running, 1);
    return NULL;
}

static telex_status generate(void *self, const struct telex_job *job, telex_job_done done, void *arg,
                             uint64_t *id) {
    struct breaks *b = self;
    pthread_t thread;
    if (job->size < sizeof(*job) || (job->n_messages == 0 && !is(b, "generate.bad-job")))
        return TELEX_INVALID;
    *id = atomic_fetch_add(&b->n_jobs, 1) + 1;
    if (is(b, "generate.late"))
        return TELEX_OK; /* and never a word */
    struct task *t = malloc(sizeof(*t));
    if (!t)
        return TELEX_AGAIN;
    *t = (struct task){.breaks = b,
                       .done = done,
                       .arg = arg,
                       .schema = job->schema.size > 20,
                       .n = (uint32_t)*id,
                       .is_long = job->max_tokens > 1000,
                       .has_drafts = job->n_drafts > 0,
                       .broken = job->schema.size > 0 && job->schema.size < 20};
    atomic_fetch_add(&b->running, 1);
    if (pthread_create(&thread, NULL, answer, t) != 0) {
        atomic_fetch_sub(&b->running, 1);
        free(t);
        return TELEX_AGAIN;
    }
    pthread_detach(thread);
    return TELEX_OK;
}

static void cancel(void *self, uint64_t job_id) {
    struct breaks *b = self;
    (void)job_id;
    atomic_store(&b->cancelled, 1);
}

static const struct telex_generate backend = {
    .size = sizeof(backend),
    .name = "generate-breaks",
    .version = "0.1.0",
    .doc = "breaks a rule of the contract",
    .options = options,
    .probe = probe,
    .open = open_it,
    .info = info,
    .generate = generate,
    .cancel = cancel,
    .close = close_it,
};

TELEX_GENERATE_PLUGIN(backend, "generate-breaks", "0.1.0", "Apache-2.0", "breaks a rule of the contract")

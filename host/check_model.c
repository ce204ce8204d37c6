/* SPDX-License-Identifier: Apache-2.0 */
/* check_model.c - an open model for the scenarios, and the list of them. */
#include "check_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>

#include "config.h"
#include "distance.h"

static const double NEARLY = 1e-3; /* NMSE of two computations of one row where bits may differ */

static const char text[] = "The harbour of Ardel opened again on Monday, three days after a storm had closed "
                           "it. Two freighters left at noon; "
                           "11 more waited outside the bay, the harbour master said. \"Nobody was hurt,\" "
                           "she added. Repairs of the crane "
                           "take six weeks and cost 14.5 million. Ferries to the islands start on Tuesday.";

/* ---- the host that a backend sees ---- */

struct heard {
    char *said;
    size_t size;
};

static telex_status on_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                            struct telex_bytes why) {
    struct heard *heard = host->impl;
    (void)lease;
    snprintf(heard->said, heard->size, "%.*s", (int)(why.size < 500 ? why.size : 500),
             (const char *)why.data);
    return status;
}

static void on_log(const struct telex_host *host, int32_t level, telex_lease lease, struct telex_bytes line) {
    (void)host, (void)level, (void)lease, (void)line;
}

static int64_t on_now(const struct telex_host *host, int32_t clock) {
    struct timespec t;
    (void)host;
    clock_gettime(clock == TELEX_CLOCK_WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const void *on_ext(const struct telex_host *host, const char *id) {
    (void)host, (void)id;
    return NULL;
}

void check_backend_host(struct telex_host *host, char *said, size_t said_size) {
    static struct heard heard; /* one backend is open in a child at a time */
    heard = (struct heard){said, said_size};
    *host = (struct telex_host){.size = sizeof(*host),
                                .impl = &heard,
                                .ext = on_ext,
                                .log = on_log,
                                .fail = on_fail,
                                .now_ms = on_now};
}

/* ---- open ---- */

bool check_model_open_bare(struct check_model *m, struct check_run *run, struct telex_bytes options) {
    memset(m, 0, sizeof(*m));
    m->run = run;
    m->class = run->table;
    check_backend_host(&m->host, m->said, sizeof(m->said));
    check_say(run, "open");
    telex_status status = m->class->open(&m->host, options, &m->self);
    return status == TELEX_OK && m->self;
}

/* Tokens of the text, as many as CHECK_IDS, the text again and again if it is short. */
static bool read_ids(struct check_model *m) {
    int32_t all[1024];
    check_say(m->run, "tokenize");
    int64_t n = m->class->tokenize(m->self, telex_text(text), 0, all, 1024);
    if (n <= 0 || n > 1024)
        return false;
    for (m->n_ids = 0; m->n_ids < CHECK_IDS; m->n_ids++)
        m->ids[m->n_ids] = all[m->n_ids % n];
    if (m->info.add_bos && m->info.bos >= 0)
        m->ids[0] = m->info.bos;
    if (m->n_ids > m->info.context_tokens / 2)
        m->n_ids = m->info.context_tokens / 2;
    for (uint32_t i = 0; i < m->n_ids; i++)
        if (m->ids[i] < 0 || (uint32_t)m->ids[i] >= m->info.n_vocab)
            return false;
    return m->n_ids > 8;
}

static bool read_alone(struct check_model *m) {
    m->alone = malloc(m->info.n_vocab * sizeof(float));
    void *context = m->alone ? check_context(m, 1, 256) : NULL;
    if (!context)
        return false;
    struct telex_row row = check_logits_row(m, m->alone);
    telex_status status = check_feed(m, context, 0, 0, m->ids, m->n_ids, 1, &row);
    check_that(m, status == TELEX_OK, "model.chunks", "decode of a prompt token by token gave status %d",
               status);
    check_say(m->run, "context_close");
    m->class->context_close(context);
    for (uint32_t i = 0; i < m->info.n_vocab && status == TELEX_OK; i++)
        if (!(m->alone[i] - m->alone[i] == 0.0f)) {
            check_report(m->run->out, "model.finite", "the logit of token %u is %g", i, (double)m->alone[i]);
            return false;
        }
    return status == TELEX_OK;
}

bool check_model_open(struct check_model *m, struct check_run *run) {
    if (!check_model_open_bare(m, run, run->options)) {
        check_report(run->out, "model.open", "open with checked options gave no model%s%s",
                     *m->said ? ": " : "", m->said);
        return false;
    }
    m->info.size = sizeof(m->info);
    check_say(run, "info");
    if (m->class->info(m->self, &m->info) != TELEX_OK || m->info.n_vocab == 0 || m->info.context_tokens < 32)
        return false; /* check_model_once reports it */
    m->exact = m->info.flags & TELEX_MODEL_BATCH_INVARIANT;
    m->max_batch = m->info.max_batch < CHECK_BATCH_MAX ? m->info.max_batch : CHECK_BATCH_MAX;
    m->max_batch = m->max_batch ? m->max_batch : 64;
    if (!read_ids(m)) {
        check_report(run->out, "model.tokenize",
                     "a plain English text gave no tokens, or ids outside the vocabulary");
        return false;
    }
    return read_alone(m);
}

void check_model_close(struct check_model *m) {
    if (m->self) {
        check_say(m->run, "close");
        m->class->close(m->self);
    }
    free(m->alone);
    m->self = NULL;
}

/* ---- contexts ---- */

void *check_context(struct check_model *m, uint32_t n_seq, uint32_t n_tokens) {
    void *context = NULL;
    check_say(m->run, "context_open");
    telex_status status = m->class->context_open(m->self, n_seq, n_tokens, &context);
    if (status == TELEX_OK && context)
        return context;
    check_report(m->run->out, "model.context", "context_open(%u sequences, %u tokens) gave status %d", n_seq,
                 n_tokens, status);
    return NULL;
}

telex_status check_decode(struct check_model *m, void *context, const struct telex_batch *batch) {
    check_say(m->run, "decode");
    telex_status status = m->class->decode(context, batch);
    check_that(m, status <= TELEX_OK && status >= TELEX_LIMIT, "status.unknown",
               "decode gave status %d, which is none of telex/abi.h", status);
    return status;
}

telex_status check_feed(struct check_model *m, void *context, uint32_t seq, uint32_t from, const int32_t *ids,
                        uint32_t n, uint32_t step, struct telex_row *last) {
    static int32_t pos[CHECK_BATCH_MAX];
    static uint32_t seqs[CHECK_BATCH_MAX];
    static struct telex_row *rows[CHECK_BATCH_MAX];
    telex_status status = TELEX_OK;
    step = step == 0 || step > m->max_batch ? m->max_batch : step;
    for (uint32_t done = 0, size; done < n && status == TELEX_OK; done += size) {
        size = n - done < step ? n - done : step;
        for (uint32_t i = 0; i < size; i++) {
            pos[i] = (int32_t)(from + done + i);
            seqs[i] = seq;
            rows[i] = done + i == n - 1 ? last : NULL;
        }
        struct telex_batch batch = {
            .size = sizeof(batch), .n = size, .token = ids + done, .pos = pos, .seq = seqs, .rows = rows};
        status = check_decode(m, context, &batch);
    }
    return status;
}

struct telex_row check_logits_row(const struct check_model *m, float *logits) {
    return (struct telex_row){
        .size = sizeof(struct telex_row), .kind = TELEX_ROW_LOGITS, .n = m->info.n_vocab, .logits = logits};
}

bool check_same(const struct check_model *m, const float *a, const float *b, size_t n) {
    return m->exact ? memcmp(a, b, n * sizeof(*a)) == 0 : distance_of(a, b, n).nmse < NEARLY;
}

/* ---- the list ---- */

static const struct check_scenario models[] = {
    {"open", check_model_once, NULL},           {"text", check_model_text, NULL},
    {"rows", check_model_rows, NULL},           {"batches", check_model_batches, NULL},
    {"sequences", check_model_sequences, NULL}, {"errors", check_model_errors, NULL},
    {"cancel", check_model_cancel, NULL},       {"again", check_model_again, NULL},
    {"two-contexts", check_model_two, NULL},
};
static const struct check_scenario reference[] = {{"reference", check_model_reference, NULL}};
/* The driver relies on all of the above. */
static const struct check_scenario driven[] = {{"jobs", check_model_jobs, NULL}};
static const struct check_scenario generates[] = {{"jobs", check_generate_jobs, NULL},
                                                  {"again", check_generate_again, NULL}};

static bool requires_path(const struct plugin_desc *plugin) {
    size_t i;
    json_t *option;
    json_array_foreach(json_object_get(plugin->about, "options"), i, option) {
        if (strcmp(json_string_value(json_object_get(option, "name")), "path") == 0)
            return json_is_true(json_object_get(option, "required"));
    }
    return false;
}

static size_t errors_in(const json_t *findings) {
    size_t i, n = 0;
    json_t *finding;
    json_array_foreach((json_t *)findings, i, finding) n +=
        strcmp(json_string_value(json_object_get(finding, "level")), "error") == 0;
    return n;
}

/* The options with a path that leads nowhere; empty when they cannot be had. */
static struct telex_bytes missing_path(const struct plugin_desc *plugin, const char *const *pairs) {
    const char *all[130];
    size_t n = 0;
    struct telex_bytes out = {NULL, 0};
    for (; pairs[n] && n < 128; n++)
        all[n] = strncmp(pairs[n], "path=", 5) == 0 ? "path=/nonexistent/telex-check" : pairs[n];
    all[n] = NULL;
    FILE *nowhere = fopen("/dev/null", "w");
    if (nowhere && config_options(plugin, all, "/", nowhere, &out) != 0)
        out = (struct telex_bytes){NULL, 0};
    if (nowhere)
        fclose(nowhere);
    return out;
}

int check_backend(const struct plugin_desc *plugin, const char *const *pairs, struct telex_bytes options,
                  const char *other, int life_ms, json_t *findings, json_t *scenarios) {
    struct check_model_args args = {.reference = other, .has_path = requires_path(plugin)};
    bool weights = strcmp(plugin->class_id, TELEX_CLASS_MODEL) == 0;
    if (other && !weights) {
        fprintf(stderr,
                "telex: a reference needs a backend with weights (telex.model/1); %s only answers jobs\n",
                plugin->name);
        return -EINVAL;
    }
    if (args.has_path)
        args.missing = missing_path(plugin, pairs);
    if (!weights) {
        check_scenarios(plugin, options, life_ms, generates, 2, &args, findings, scenarios);
        return 0;
    }
    check_scenarios(plugin, options, life_ms, models, sizeof(models) / sizeof(*models), &args, findings,
                    scenarios);
    if (errors_in(findings) == 0 && other)
        check_scenarios(plugin, options, life_ms, reference, 1, &args, findings, scenarios);
    if (errors_in(findings) == 0)
        check_scenarios(plugin, options, life_ms, driven, 1, &args, findings, scenarios);
    free((void *)args.missing.data);
    return 0;
}

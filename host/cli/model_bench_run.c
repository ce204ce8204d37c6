/* SPDX-License-Identifier: Apache-2.0 */
/* model_bench_run.c - the measurements of `telex model bench`.
 *
 * Weights are driven directly, token by token, so that a figure is the backend's and not the scheduler's. A
 * backend that only answers jobs is measured through jobs: its clock starts at generate() and ends at done.
 */
#include "model_bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/message.h>

#include "cli.h"

/* ---- open ---- */

static uint32_t room_of(const struct bench_case *c) {
    return c->batch ? c->batch * ((c->depth + c->tokens + 63) / 64 * 64 + 64)
                    : (c->tokens + 63) / 64 * 64 + 64;
}

static int open_feed(struct bench *b) {
    uint32_t n_seq = 1, n_tokens = 64;
    struct telex_model_info info = {.size = sizeof(info)};
    const struct telex_model *model_class;
    void *model;
    if (models_weights(b->opened.models, 0, &model_class, &model) != TELEX_OK)
        return 0;
    if (model_class->info(model, &info) != TELEX_OK)
        info.max_batch = info.context_tokens = 0;
    for (size_t i = 0; i < b->n_cases; i++) {
        struct bench_case *c = &b->cases[i];
        uint32_t longest = c->batch ? c->depth + c->tokens : c->tokens;
        if (longest > info.context_tokens)
            snprintf(c->why, sizeof(c->why), "the model's context is %u tokens", info.context_tokens);
        else if (info.max_batch && c->batch > info.max_batch)
            snprintf(c->why, sizeof(c->why), "a batch holds %u rows", info.max_batch);
        c->left_out = c->why[0] != 0;
        if (!c->left_out && room_of(c) > n_tokens)
            n_tokens = room_of(c);
        if (!c->left_out && c->batch > n_seq)
            n_seq = c->batch;
    }
    int code = feed_open(&b->feed, b->opened.models, n_seq, n_tokens, b->spec, "telex model bench");
    if (code == 0 && !(b->ids = feed_tokenize(&b->feed, telex_text(feed_text), &b->n_ids))) {
        fprintf(stderr, "telex: %s: the model cannot tokenise the built-in text\n", b->spec);
        code = EXIT_FAILED;
    }
    return code;
}

int bench_open(struct bench *b, const struct model_args *args) {
    long long before = feed_resident_bytes();
    double start = feed_now_ms();
    int code = model_open(args, &b->opened);
    if (code != 0)
        return code;
    b->load_ms = feed_now_ms() - start;
    code = open_feed(b);
    b->resident_bytes = feed_resident_bytes() - before;
    return code;
}

void bench_close(struct bench *b) {
    feed_close(&b->feed);
    free(b->ids);
    model_close(&b->opened);
}

/* ---- weights ---- */

static telex_status fill(struct bench *b, uint32_t n, struct telex_row *last) {
    telex_status status = TELEX_OK;
    for (uint32_t at = 0; at < n && status == TELEX_OK; at += b->n_ids) {
        uint32_t size = n - at < b->n_ids ? n - at : b->n_ids;
        status = feed_prompt(&b->feed, 0, at, b->ids, size, at + size == n ? last : NULL);
    }
    return status;
}

static telex_status time_prompt(struct bench *b, const struct bench_case *c, double *ms) {
    int32_t drawn;
    struct telex_row row = {.size = sizeof(row), .kind = TELEX_ROW_SAMPLE, .n = 1, .ids = &drawn};
    double start = feed_now_ms();
    telex_status status = fill(b, c->tokens, &row);
    *ms = feed_now_ms() - start;
    return status;
}

static telex_status time_steps(struct bench *b, const struct bench_case *c, double *ms) {
    struct telex_row row[256], *rows[256];
    int32_t drawn[256];
    struct feed *f = &b->feed;
    telex_status status = c->depth ? fill(b, c->depth, NULL) : TELEX_OK;
    for (uint32_t i = 0; i < c->batch && status == TELEX_OK; i++) {
        row[i] =
            (struct telex_row){.size = sizeof(row[i]), .kind = TELEX_ROW_SAMPLE, .n = 1, .ids = &drawn[i]};
        rows[i] = &row[i];
        drawn[i] = b->ids[i % b->n_ids];
        if (i > 0)
            status = f->model_class->seq_copy(f->context, i, 0, 0, -1);
    }
    double start = feed_now_ms();
    for (uint32_t k = 0; k < c->tokens && status == TELEX_OK; k++)
        status = feed_step(f, c->batch, drawn, c->depth + k, rows);
    *ms = feed_now_ms() - start;
    return status;
}

/* ---- jobs ---- */

struct asked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t open, prompt_tokens, output_tokens;
    telex_status status;
    char error[160];
};

static void on_done(void *arg, const struct telex_result *r) {
    struct asked *a = arg;
    pthread_mutex_lock(&a->lock);
    a->open--;
    a->prompt_tokens += r->prompt_tokens;
    a->output_tokens += r->output_tokens;
    if (r->status != TELEX_OK && a->status == TELEX_OK) {
        a->status = r->status;
        snprintf(a->error, sizeof(a->error), "%.*s", (int)(r->error.size < 150 ? r->error.size : 150),
                 (const char *)r->error.data);
    }
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* A prompt of about n tokens that no other begins like. Gives it. */
static char *make_prompt(struct bench *b, uint32_t n) {
    size_t bytes = (size_t)n * 4 + 1, used = 0;
    char *text = malloc(bytes + 64);
    if (!text)
        return NULL;
    used = (size_t)snprintf(text, 64, "Story %u. ", ++b->n_asked);
    while (used < bytes) {
        size_t piece = bytes - used < strlen(feed_text) ? bytes - used : strlen(feed_text);
        memcpy(text + used, feed_text, piece);
        used += piece;
    }
    text[used] = 0;
    return text;
}

static void ask(struct bench *b, struct asked *a, uint32_t prompt_tokens, uint32_t max_tokens) {
    char *text = make_prompt(b, prompt_tokens), why[160] = "out of memory";
    struct telex_message user = {
        .size = sizeof(user), .role = TELEX_ROLE_USER, .text = telex_text(text ? text : "")};
    const struct telex_message *messages[1] = {&user};
    struct telex_job job = {
        .size = sizeof(job), .n_messages = 1, .messages = messages, .max_tokens = max_tokens};
    uint64_t id;
    pthread_mutex_lock(&a->lock);
    a->open++;
    pthread_mutex_unlock(&a->lock);
    telex_status status =
        text ? models_generate(b->opened.models, 0, 0, &job, on_done, a, &id, why, sizeof(why)) : TELEX_RETRY;
    if (status != TELEX_OK) {
        struct telex_result refused = {.size = sizeof(refused), .status = status, .error = telex_text(why)};
        on_done(a, &refused);
    }
    free(text);
}

/* *tokens: what came of it; a job may end before its limit. */
static telex_status time_jobs(struct bench *b, struct bench_case *c, double *ms, double *tokens) {
    struct asked a = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    double start = feed_now_ms();
    for (uint32_t i = 0; i < (c->batch ? c->batch : 1); i++)
        ask(b, &a, c->batch ? c->depth : c->tokens, c->batch ? c->tokens : 1);
    pthread_mutex_lock(&a.lock);
    while (a.open > 0)
        pthread_cond_wait(&a.changed, &a.lock);
    pthread_mutex_unlock(&a.lock);
    *ms = feed_now_ms() - start;
    *tokens = c->batch          ? a.output_tokens
              : a.prompt_tokens ? a.prompt_tokens
                                : c->tokens; /* not all count them */
    snprintf(c->why, sizeof(c->why), "%s", a.error);
    return a.status;
}

/* ---- a case ---- */

void bench_run(struct bench *b, size_t which, size_t round) {
    struct bench_case *c = &b->cases[which];
    double ms = 0, tokens = (double)c->tokens * (c->batch ? c->batch : 1);
    if (c->left_out)
        return;
    struct feed *f = &b->feed;
    telex_status status = !f->context ? time_jobs(b, c, &ms, &tokens)
                          : c->batch  ? time_steps(b, c, &ms)
                                      : time_prompt(b, c, &ms);
    for (uint32_t i = 0; f->context && i < (c->batch ? c->batch : 1); i++)
        f->model_class->seq_trim(f->context, i, 0);
    c->ms[round] = ms;
    c->tokens_done[round] = tokens;
    if (status == TELEX_OK)
        return;
    c->left_out = true;
    if (!c->why[0])
        snprintf(c->why, sizeof(c->why), "%s",
                 status == TELEX_AGAIN ? "no room in the context" : "decode failed");
}

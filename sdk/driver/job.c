/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - the life of one job between two batches.
 *
 * After each token the schema is asked what is forced now; that is put out at once. When one token alone is
 * allowed it counts as forced as well. So a job that asks for a row always has a real choice. */
#include "job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/json.h>

enum { FORCED_AT_ONCE = 256, DEFAULT_MAX_TOKENS = 1024 };

struct job *job_create(const struct telex_job *asked, telex_job_done done, void *arg) {
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->done = done;
    job->arg = arg;
    job->seed = asked->seed;
    job->timeout_ms = asked->timeout_ms;
    job->max_tokens = asked->max_tokens ? asked->max_tokens : DEFAULT_MAX_TOKENS;
    job->sampler = (struct sample_settings){.top_p = 1.0f, .repeat_penalty = 1.0f};
    if (asked->sampler)
        job->sampler = (struct sample_settings){asked->sampler->top_k, asked->sampler->temperature,
                                                asked->sampler->top_p, asked->sampler->min_p,
                                                asked->sampler->repeat_penalty};
    atomic_init(&job->cancelled, false);
    return job;
}

static void drop_mask(struct job *job) {
    if (job->mask)
        mask_unpin(job->mask);
    job->mask = NULL;
}

void job_destroy(struct job *job) {
    if (!job)
        return;
    free(job->tokens.items);
    free(job->text);
    free(job->logits);
    free(job);
}

void job_end(struct job *job, telex_status status, uint32_t finish, const char *format, ...) {
    if (job->finish)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(job->error, sizeof(job->error), format, args);
    va_end(args);
    job->status = status;
    job->finish = finish;
    drop_mask(job);
}

void job_report(struct job *job, int64_t now_us) {
    struct telex_result result = {.size = sizeof(result),
                                  .status = job->status,
                                  .finish = job->finish,
                                  .prompt_tokens = job->n_prompt,
                                  .cached_tokens = job->n_cached,
                                  .output_tokens = job_output(job)};
    int64_t first_us = job->first_us ? job->first_us : now_us;
    if (job->started_us) {
        result.prefill_us = first_us - job->started_us;
        result.decode_us = now_us - first_us;
    }
    /* Tokens may stop inside a character or spell no UTF-8 at all. */
    size_t size = 0;
    char *text = telex_utf8_repair(job->text ? (const char *)job->text : "", job->text_bytes, &size);
    if (!text) {
        result.status = TELEX_RETRY;
        result.finish = TELEX_FINISH_FAILED;
        snprintf(job->error, sizeof(job->error), "out of memory");
    }
    result.text = (struct telex_bytes){(const uint8_t *)text, size};
    result.error = (struct telex_bytes){(const uint8_t *)job->error, strlen(job->error)};
    job->done(job->arg, &result);
    free(text);
}

/* ---- going on ---- */

static bool put_out(struct job *job, const struct vocab *vocab, int32_t id) {
    uint32_t size = vocab_size(vocab, id);
    if (job->text_capacity - job->text_bytes < size) {
        size_t capacity = 2 * job->text_capacity + size + 256;
        uint8_t *text = realloc(job->text, capacity);
        if (!text)
            return false;
        job->text = text;
        job->text_capacity = capacity;
    }
    if (token_list_reserve(&job->tokens, 1) < 0)
        return false;
    memcpy(job->text + job->text_bytes, vocab_bytes(vocab, id), size);
    job->text_bytes += size;
    job->tokens.items[job->tokens.n++] = id;
    return true;
}

static void end_no_memory(struct job *job) {
    job_end(job, TELEX_RETRY, TELEX_FINISH_FAILED, "out of memory");
}

/* Put out a chosen token, or end at one that ends the text. */
static void take_token(struct job *job, const struct vocab *vocab, int32_t id) {
    if (vocab_ends(vocab, id)) {
        job_end(job, TELEX_OK, TELEX_FINISH_STOP, "%s", "");
        return;
    }
    if (!put_out(job, vocab, id)) {
        end_no_memory(job);
        return;
    }
    bool taken = true;
    for (uint32_t i = 0; job->shared && taken && i < vocab_size(vocab, id); i++)
        taken = grammar_step(job->shared->grammar, &job->state, vocab_bytes(vocab, id)[i]);
    if (!taken)
        job_end(job, TELEX_FATAL, TELEX_FINISH_FAILED, "token %d does not fit the schema", id);
}

static void end_if_full(struct job *job) {
    if (job->shared && job->state.depth == 0)
        job_end(job, TELEX_OK, TELEX_FINISH_STOP, "%s", "");
    else if (job_output(job) >= job->max_tokens)
        job_end(job, TELEX_OK, TELEX_FINISH_LENGTH, "%s", "");
}

static void put_forced(struct job *job, struct job_tools *tools) {
    int32_t ids[FORCED_AT_ONCE];
    uint32_t room = job->max_tokens - job_output(job);
    uint32_t n = mask_forced(tools->masks, &job->shared->constraint, &job->state, ids,
                             room < FORCED_AT_ONCE ? room : FORCED_AT_ONCE);
    for (uint32_t i = 0; i < n && !job->finish; i++)
        if (!put_out(job, tools->vocab, ids[i]))
            end_no_memory(job);
    tools->forced_tokens += n;
}

/* Go on until there is a real choice or an end. */
static void settle(struct job *job, struct job_tools *tools) {
    drop_mask(job);
    end_if_full(job);
    while (!job->finish && job->shared) {
        put_forced(job, tools);
        end_if_full(job);
        if (job->finish)
            return;
        job->mask = mask_get(tools->masks, &job->shared->constraint, &job->state);
        if (!job->mask) {
            end_no_memory(job);
            return;
        }
        if (job->mask->count > 1)
            return;
        if (job->mask->count == 0) {
            job_end(job, TELEX_FATAL, TELEX_FINISH_FAILED,
                    "no token of this vocabulary can continue the text");
            return;
        }
        int32_t only = job->mask->ids[0];
        drop_mask(job);
        take_token(job, tools->vocab, only);
        tools->forced_tokens++;
        end_if_full(job);
    }
}

void job_begin(struct job *job, struct job_tools *tools) {
    if (job->shared)
        grammar_start(job->shared->grammar, &job->state);
    settle(job, tools);
}

static bool want_logits(struct job *job, size_t n) {
    if (job->n_logits >= n)
        return true;
    float *logits = realloc(job->logits, n * sizeof(*logits));
    if (!logits)
        return false;
    job->logits = logits;
    job->n_logits = n;
    return true;
}

bool job_ask(struct job *job, struct job_tools *tools) {
    const struct mask *mask = job->mask;
    job->row = (struct telex_row){.size = sizeof(job->row)};
    if (mask && mask->ids && mask->count < tools->vocab->n / 2) {
        job->row.kind = TELEX_ROW_SUBSET;
        job->row.n = mask->count;
        job->row.ids = mask->ids;
    } else if (sample_is_plain(&job->sampler)) {
        job->row.kind = TELEX_ROW_SAMPLE;
        job->row.n = 1;
        job->row.temperature = job->sampler.temperature;
        job->row.seed = job->seed;
        job->row.counter = job_output(job);
        job->row.mask = mask ? mask->bits : tools->vocab->text_mask;
        job->row.ids = &job->drawn;
        job->drawn = -1;
        return true;
    } else {
        job->row.kind = TELEX_ROW_LOGITS;
        job->row.n = tools->vocab->n;
    }
    if (!want_logits(job, job->row.n)) {
        end_no_memory(job);
        return false;
    }
    job->row.logits = job->logits;
    return true;
}

void job_answer(struct job *job, struct job_tools *tools) {
    int32_t id = job->drawn;
    const uint32_t *bits = job->mask ? job->mask->bits : tools->vocab->text_mask;
    if (job->row.kind == TELEX_ROW_SUBSET)
        id = sample_choose(&job->sampler, job->mask->ids, job->logits, job->mask->count, NULL,
                           job->tokens.items + job->n_prompt, job_output(job), job->seed, job_output(job),
                           &tools->scratch);
    else if (job->row.kind == TELEX_ROW_LOGITS)
        id = sample_choose(&job->sampler, NULL, job->logits, tools->vocab->n, bits,
                           job->tokens.items + job->n_prompt, job_output(job), job->seed, job_output(job),
                           &tools->scratch);
    if (id == -2) {
        end_no_memory(job);
        return;
    }
    if (id < 0 || (uint32_t)id >= tools->vocab->n || !(bits[(uint32_t)id / 32] >> ((uint32_t)id % 32) & 1)) {
        job_end(job, TELEX_FATAL, TELEX_FINISH_FAILED, "the backend drew token %d, which the mask forbids",
                id);
        return;
    }
    tools->sampled_tokens++;
    take_token(job, tools->vocab, id);
    if (!job->finish)
        settle(job, tools);
}

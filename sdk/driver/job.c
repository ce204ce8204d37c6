/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - the life of one job between two batches.
 *
 * After each token the schema is asked what is forced now; that is put out at once. When one token alone is
 * allowed it counts as forced as well. So a job that asks for a row always has a real choice, unless the
 * driver was told to ask for forced tokens too: then each has its row, whose mask leaves that token only. */
#include "job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/json.h>

#include "record.h"

enum { DEFAULT_MAX_TOKENS = 1024 };

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
    free(job->one_bit);
    for (size_t i = 0; i < JOB_CHOICES; i++)
        free(job->choices[i].logits);
    if (job->index)
        draft_finish(job->index);
    if (job->record)
        record_drop(job->record);
    free(job->index);
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
                                  .output_tokens = job_output(job),
                                  .passes = job->n_passes,
                                  .forced_tokens = job->n_put_forced,
                                  .drafted_tokens = job->n_drafted,
                                  .accepted_tokens = job->n_accepted};
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
    if (job->index && draft_extend(job->index, vocab_bytes(vocab, id), size) < 0)
        return false;
    memcpy(job->text + job->text_bytes, vocab_bytes(vocab, id), size);
    job->text_bytes += size;
    job->tokens.items[job->tokens.n++] = id;
    return true;
}

static void end_no_memory(struct job *job) {
    job_end(job, TELEX_RETRY, TELEX_FINISH_FAILED, "out of memory");
}

/* Move a state over a token's bytes, counting the strings that begin. False: they do not fit. */
static bool step_token(const struct grammar *grammar, struct grammar_state *state, const struct vocab *vocab,
                       int32_t id, uint32_t *n_strings) {
    for (uint32_t i = 0; i < vocab_size(vocab, id); i++) {
        if (!grammar_step(grammar, state, vocab_bytes(vocab, id)[i]))
            return false;
        *n_strings += grammar_string_begins(grammar, state);
    }
    return true;
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
    if (job->shared && !step_token(job->shared->grammar, &job->state, vocab, id, &job->n_strings))
        job_end(job, TELEX_FATAL, TELEX_FINISH_FAILED, "token %d does not fit the schema", id);
}

static void end_if_full(struct job *job) {
    if (job->shared && job->state.depth == 0)
        job_end(job, TELEX_OK, TELEX_FINISH_STOP, "%s", "");
    else if (job_output(job) >= job->max_tokens)
        job_end(job, TELEX_OK, TELEX_FINISH_LENGTH, "%s", "");
}

static bool forced_left(const struct job *job) {
    return job->next_forced < job->n_forced;
}

static void find_forced(struct job *job, struct job_tools *tools) {
    struct grammar_state state;
    uint32_t room = job->max_tokens - job_output(job);
    grammar_copy(&state, &job->state);
    job->next_forced = 0;
    job->n_forced = mask_forced(tools->masks, &job->shared->constraint, &state, job->forced,
                                room < JOB_FORCED_AT_ONCE ? room : JOB_FORCED_AT_ONCE);
}

static void take_forced(struct job *job, struct job_tools *tools, int32_t id) {
    take_token(job, tools->vocab, id);
    job->n_put_forced++;
    tools->forced_tokens++;
    end_if_full(job);
}

/* Go on until there is a choice to ask for, or an end. */
static void settle(struct job *job, struct job_tools *tools) {
    drop_mask(job);
    end_if_full(job);
    while (!job->finish && job->shared) {
        if (!forced_left(job))
            find_forced(job, tools);
        if (forced_left(job) && tools->ask_forced)
            return;
        if (forced_left(job)) {
            take_forced(job, tools, job->forced[job->next_forced++]);
            continue;
        }
        job->mask = mask_get(tools->masks, &job->shared->constraint, &job->state);
        if (!job->mask) {
            end_no_memory(job);
            return;
        }
        if (job->mask->count == 0)
            job_end(job, TELEX_FATAL, TELEX_FINISH_FAILED,
                    "no token of this vocabulary can continue the text");
        if (job->finish || job->mask->count > 1 || tools->ask_forced)
            return;
        int32_t only = job->mask->ids[0];
        drop_mask(job);
        take_forced(job, tools, only);
    }
}

void job_begin(struct job *job, struct job_tools *tools) {
    if (job->shared)
        grammar_start(job->shared->grammar, &job->state);
    settle(job, tools);
}

/* ---- asking ---- */

void job_guess(struct job *job, const struct job_tools *tools) {
    job->guess.n = 0;
    if (!job->index || forced_left(job))
        return;
    struct guess_place place = {.index = job->index,
                                .model_class = tools->model_class,
                                .model = tools->model,
                                .vocab = tools->vocab,
                                .at_start = job->text_bytes == 0};
    if (job->shared) {
        place.grammar = job->shared->grammar;
        place.state = &job->state;
        place.n_strings = job->n_strings - (job->n_strings > 0);
        place.at_start = grammar_string_begins(place.grammar, place.state);
    }
    guess_make(&place, &tools->record, &job->guess);
}

static bool want_logits(struct choice *choice, size_t n) {
    if (choice->n_logits >= n)
        return true;
    float *logits = realloc(choice->logits, n * sizeof(*logits));
    if (!logits)
        return false;
    choice->logits = logits;
    choice->n_logits = n;
    return true;
}

/* The bits of the tokens that a choice may take. A forced token's are made in one_bit. NULL: out of memory.
 */
static const uint32_t *allowed_bits(struct job *job, const struct job_tools *tools,
                                    const struct choice *choice) {
    if (choice->mask)
        return choice->mask->bits;
    if (!forced_left(job))
        return tools->vocab->text_mask;
    if (!job->one_bit)
        job->one_bit = malloc(tools->vocab->n_words * sizeof(*job->one_bit));
    if (!job->one_bit)
        return NULL;
    int32_t id = job->forced[job->next_forced];
    memset(job->one_bit, 0, tools->vocab->n_words * sizeof(*job->one_bit));
    job->one_bit[(uint32_t)id / 32] |= 1u << ((uint32_t)id % 32);
    return job->one_bit;
}

/* Add a choice behind `at` tokens. Takes over the mask's pin. */
static bool add_choice(struct job *job, const struct job_tools *tools, struct mask *mask, uint32_t at) {
    struct choice *choice = &job->choices[job->n_choices++];
    struct telex_row *row = &choice->row;
    choice->mask = mask;
    choice->at = at;
    choice->drawn = -1;
    *row = (struct telex_row){.size = sizeof(*row)};
    if (!tools->whole_head && !mask && forced_left(job)) {
        row->kind = TELEX_ROW_SUBSET;
        row->n = 1;
        row->ids = &job->forced[job->next_forced];
    } else if (!tools->whole_head && mask && mask->ids && mask->count < tools->vocab->n / 2) {
        row->kind = TELEX_ROW_SUBSET;
        row->n = mask->count;
        row->ids = mask->ids;
    } else if (!tools->whole_head && sample_is_plain(&job->sampler)) {
        row->kind = TELEX_ROW_SAMPLE;
        row->n = 1;
        row->temperature = job->sampler.temperature;
        row->seed = job->seed;
        row->counter = at - job->n_prompt;
        row->mask = allowed_bits(job, tools, choice);
        row->ids = &choice->drawn;
        return row->mask != NULL;
    } else {
        row->kind = TELEX_ROW_LOGITS;
        row->n = tools->vocab->n;
    }
    if (!want_logits(choice, row->n))
        return false;
    row->logits = choice->logits;
    return true;
}

/* What stands behind the last choice if the draft is right. */
struct ahead {
    struct grammar_state state;
    uint32_t n_strings;
};

static void look_ahead(struct job *job, int32_t id) {
    job->ahead[job->n_ahead++] = id;
}

/* Go over a drafted token and what it forces. True with the mask of the choice behind (pinned, NULL for free
 * text); false when there is none to ask for. */
static bool follow(struct job *job, struct job_tools *tools, struct ahead *ahead, int32_t id, uint32_t most,
                   struct mask **mask) {
    const struct constraint *constraint = job->shared ? &job->shared->constraint : NULL;
    int32_t forced[JOB_AHEAD];
    *mask = NULL;
    if (job->n_ahead >= most)
        return false;
    look_ahead(job, id);
    if (!constraint)
        return true;
    if (!step_token(constraint->grammar, &ahead->state, tools->vocab, id, &ahead->n_strings))
        return false;
    while (ahead->state.depth > 0) {
        uint32_t n = mask_forced(tools->masks, constraint, &ahead->state, forced, JOB_AHEAD);
        if (n > most - job->n_ahead || (n > 0 && tools->ask_forced) || ahead->state.depth == 0)
            return false;
        for (uint32_t i = 0; i < n; i++)
            look_ahead(job, forced[i]);
        *mask = mask_get(tools->masks, constraint, &ahead->state);
        if (!*mask)
            return false;
        if ((*mask)->count > 1)
            return true;
        int32_t only = (*mask)->count == 1 ? (*mask)->ids[0] : -1;
        mask_unpin(*mask);
        *mask = NULL;
        if (only < 0 || tools->ask_forced || job->n_ahead == most || vocab_ends(tools->vocab, only) ||
            !step_token(constraint->grammar, &ahead->state, tools->vocab, only, &ahead->n_strings))
            return false;
        look_ahead(job, only);
    }
    return false;
}

bool job_ask(struct job *job, struct job_tools *tools, uint32_t n_drafts, uint32_t room) {
    struct ahead ahead = {.n_strings = 0};
    uint32_t left = job->max_tokens - job_output(job); /* the last token that may be put out is never read */
    uint32_t most = left - 1 < room ? left - 1 : room;
    most = most < JOB_AHEAD ? most : JOB_AHEAD;
    job->n_choices = job->n_ahead = 0;
    if (job->mask)
        mask_pin(job->mask);
    bool whole = add_choice(job, tools, job->mask, job->tokens.n);
    if (job->shared)
        grammar_copy(&ahead.state, &job->state);
    for (uint32_t i = 0; whole && i < n_drafts && i < job->guess.n; i++) {
        struct choice *last = &job->choices[job->n_choices - 1];
        const uint32_t *bits = allowed_bits(job, tools, last);
        uint32_t id = (uint32_t)job->guess.ids[i], before = job->n_ahead;
        struct mask *mask;
        if (!bits || !(bits[id / 32] >> (id % 32) & 1) || vocab_ends(tools->vocab, (int32_t)id))
            break;
        if (!follow(job, tools, &ahead, (int32_t)id, most, &mask)) {
            job->n_ahead = before;
            break;
        }
        whole = add_choice(job, tools, mask, job->tokens.n + job->n_ahead);
    }
    if (!whole) {
        end_no_memory(job);
        job_close_choices(job);
    }
    return whole;
}

/* ---- answers ---- */

/* The choice as asked is the one that the job now has to make. */
static bool is_next(const struct job *job, const struct choice *first, const struct choice *choice) {
    if (choice->at != job->tokens.n || choice->mask != job->mask || (choice != first && forced_left(job)))
        return false;
    return memcmp(job->tokens.items + first->at, job->ahead, (choice->at - first->at) * sizeof(int32_t)) == 0;
}

static void take_answer(struct job *job, struct job_tools *tools, const struct choice *choice) {
    int32_t id = choice->drawn;
    const uint32_t *bits = allowed_bits(job, tools, choice);
    uint32_t kind = choice->row.kind;
    if (bits && (kind == TELEX_ROW_SUBSET || kind == TELEX_ROW_LOGITS))
        id = sample_choose(&job->sampler, kind == TELEX_ROW_SUBSET ? choice->row.ids : NULL, choice->logits,
                           choice->row.n, kind == TELEX_ROW_SUBSET ? NULL : bits,
                           job->tokens.items + job->n_prompt, job_output(job), job->seed, job_output(job),
                           &tools->scratch);
    if (id == -2 || !bits) {
        end_no_memory(job);
        return;
    }
    if (id < 0 || (uint32_t)id >= tools->vocab->n || !(bits[(uint32_t)id / 32] >> ((uint32_t)id % 32) & 1)) {
        job_end(job, TELEX_FATAL, TELEX_FINISH_FAILED, "the backend drew token %d, which the mask forbids",
                id);
        return;
    }
    tools->sampled_tokens++;
    job->next_forced += forced_left(job);
    take_token(job, tools->vocab, id);
    if (!job->finish)
        settle(job, tools);
}

void job_answer(struct job *job, struct job_tools *tools) {
    const struct choice *first = job->choices;
    job->n_passes++;
    job->n_drafted += job->n_choices - 1;
    tools->drafted_tokens += job->n_choices - 1;
    for (uint32_t i = 0; i < job->n_choices && !job->finish; i++) {
        const struct choice *choice = &job->choices[i];
        if (!is_next(job, first, choice))
            break;
        take_answer(job, tools, choice);
        if (i == job->guess.n)
            break;
        bool right = job->tokens.n > choice->at && job->tokens.items[choice->at] == job->guess.ids[i];
        guess_learn(&tools->record, job->guess.class_of[i], right);
        if (i + 1 == job->n_choices) /* it was guessed only: what was right is seen all the same */
            break;
        job->n_accepted += right;
        tools->accepted_tokens += right;
        if (!right)
            break;
    }
}

void job_close_choices(struct job *job) {
    for (uint32_t i = 0; i < job->n_choices; i++) {
        if (job->choices[i].mask)
            mask_unpin(job->choices[i].mask);
        job->choices[i].mask = NULL;
    }
    job->n_choices = job->n_ahead = 0;
}

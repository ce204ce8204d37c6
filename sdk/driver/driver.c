/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c - the callers' side of the driver: open, accept a job, cancel, close.
 *
 * A job is tokenised and its schema compiled on the caller's thread; only then does it join the waiting list.
 * Compiled schemas are kept, since a desk asks for the same few again and again. */
#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/plugin.h>

#include "record.h"
#include "scheduler.h"

enum { GRAMMARS_MAX = 64, MAX_BATCH_DEFAULT = 64 };

static const uint64_t KV_BYTES_DEFAULT = 512ull << 20, MASK_BYTES_DEFAULT = 64ull << 20;

/* ---- open ---- */

static uint32_t default_kv_tokens(const struct telex_model_info *info) {
    uint64_t one = info->kv_bytes_per_token ? info->kv_bytes_per_token : 1;
    uint64_t tokens = KV_BYTES_DEFAULT / one;
    uint64_t least = info->context_tokens && info->context_tokens < 8192 ? info->context_tokens : 8192;
    if (tokens < least)
        tokens = least;
    return tokens > 1u << 20 ? 1u << 20 : (uint32_t)tokens;
}

static void fill_config(struct driver *d, const struct driver_config *config) {
    struct driver_config *c = &d->config;
    *c = config ? *config : (struct driver_config){0};
    c->parallel = c->parallel ? c->parallel : 8;
    c->cached = c->cached ? c->cached : 48;
    c->waiting = c->waiting ? c->waiting : 256;
    c->chunk = c->chunk ? c->chunk : 256;
    c->mask_bytes = c->mask_bytes ? c->mask_bytes : MASK_BYTES_DEFAULT;
    c->kv_tokens = c->kv_tokens ? c->kv_tokens : default_kv_tokens(&d->info);
    c->kv_tokens = (c->kv_tokens + 63) / 64 * 64; /* whole pages: see scheduler.c */
    d->max_batch = d->info.max_batch ? d->info.max_batch : MAX_BATCH_DEFAULT;
}

static telex_status allocate(struct driver *d) {
    d->n_sequences = d->config.parallel + d->config.cached;
    d->sequences = calloc(d->n_sequences, sizeof(*d->sequences));
    d->token = calloc(d->max_batch, sizeof(*d->token));
    d->pos = calloc(d->max_batch, sizeof(*d->pos));
    d->seq = calloc(d->max_batch, sizeof(*d->seq));
    d->rows = calloc(d->max_batch, sizeof(*d->rows));
    if (pages_init(&d->pages, d->n_sequences, pages_for(driver_room(d))) < 0)
        return TELEX_RETRY;
    for (uint32_t i = 0; d->sequences && i < d->n_sequences; i++)
        if (page_list_init(&d->sequences[i].pages, &d->pages) < 0)
            return TELEX_RETRY;
    d->tools.vocab = d->vocab;
    d->tools.model_class = d->model_class;
    d->tools.model = d->model;
    d->tools.ask_forced = d->config.no_forced;
    d->tools.whole_head = d->config.no_masked_head;
    guess_record_init(&d->tools.record);
    d->drafting = !d->config.no_drafts && d->info.flags & TELEX_MODEL_BATCH_INVARIANT;
    d->tools.masks = mask_cache_create(d->vocab, d->model_class, d->model, d->config.mask_bytes);
    d->waiting_end = &d->waiting;
    d->next_id = 1;
    bool whole = d->sequences && d->token && d->pos && d->seq && d->rows && d->tools.masks;
    return whole ? TELEX_OK : TELEX_RETRY;
}

static telex_status refuse(char *why, size_t why_size, telex_status status, const char *what) {
    snprintf(why, why_size, "%s", what);
    return status;
}

static telex_status start(struct driver *d, char *why, size_t why_size) {
    d->info.size = sizeof(d->info);
    telex_status status = d->model_class->info(d->model, &d->info);
    if (status != TELEX_OK)
        return refuse(why, why_size, status, "the model does not say what it is");
    fill_config(d, &d->config);
    snprintf(d->backend, sizeof(d->backend), "%s %s", d->model_class->name,
             d->info.device ? d->info.device : "");
    status = chat_open(d->model_class, d->model, &d->info, &d->chat, why, why_size);
    if (status != TELEX_OK)
        return status;
    status = vocab_create(d->model_class, d->model, &d->info, &d->vocab);
    if (status != TELEX_OK)
        return refuse(why, why_size, status, "the vocabulary cannot be read");
    status = allocate(d);
    if (status != TELEX_OK)
        return refuse(why, why_size, status, "out of memory");
    if (d->config.record && !(d->record = fopen(d->config.record, "a"))) {
        snprintf(why, why_size, "jobs cannot be recorded in %s: %s", d->config.record, strerror(errno));
        return TELEX_INVALID;
    }
    status = d->model_class->context_open(d->model, d->n_sequences, d->config.kv_tokens, &d->context);
    if (status != TELEX_OK) {
        snprintf(why, why_size, "no context of %u sequences and %u tokens (%llu MiB)", d->n_sequences,
                 d->config.kv_tokens,
                 (unsigned long long)(d->config.kv_tokens * d->info.kv_bytes_per_token >> 20));
        return status;
    }
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    d->prepared = true;
    if (pthread_create(&d->thread, NULL, scheduler_main, d) != 0)
        return refuse(why, why_size, TELEX_RETRY, "no thread for the scheduler");
    d->started = true;
    return TELEX_OK;
}

telex_status driver_open(const struct telex_host *host, const struct telex_model *model_class, void *model,
                         const struct driver_config *config, struct driver **out, char *why,
                         size_t why_size) {
    struct driver *d = calloc(1, sizeof(*d));
    if (!d)
        return refuse(why, why_size, TELEX_RETRY, "out of memory");
    d->host = host;
    d->model_class = model_class;
    d->model = model;
    if (config)
        d->config = *config;
    telex_status status = start(d, why, why_size);
    if (status != TELEX_OK) {
        driver_close(d);
        return status;
    }
    if (!(d->info.flags & TELEX_MODEL_BATCH_INVARIANT))
        telex_say(host, TELEX_INFO, 0, "%s: a text may depend on what else runs", d->backend);
    *out = d;
    return TELEX_OK;
}

/* ---- grammars ---- */

static void free_grammar(struct shared_grammar *shared) {
    grammar_destroy(shared->grammar);
    free(shared->schema);
    free(shared);
}

void driver_release_grammar(struct driver *d, struct shared_grammar *shared) {
    shared->users--;
    if (d->n_grammars <= GRAMMARS_MAX)
        return;
    struct shared_grammar **oldest = NULL;
    for (struct shared_grammar **at = &d->grammars; *at; at = &(*at)->next)
        if ((*at)->users == 0 && (!oldest || (*at)->used < (*oldest)->used))
            oldest = at;
    if (!oldest)
        return;
    struct shared_grammar *old = *oldest;
    *oldest = old->next;
    d->n_grammars--;
    free_grammar(old);
}

static struct shared_grammar *find_grammar(struct driver *d, struct telex_bytes schema) {
    struct shared_grammar *s = d->grammars;
    while (s && (s->schema_bytes != schema.size || memcmp(s->schema, schema.data, schema.size) != 0))
        s = s->next;
    if (s) {
        s->users++;
        s->used = ++d->grammar_clock;
    }
    return s;
}

/* The compiled schema with one more user. */
static telex_status use_grammar(struct driver *d, struct telex_bytes schema, struct shared_grammar **out,
                                char *why, size_t why_size) {
    pthread_mutex_lock(&d->lock);
    *out = find_grammar(d, schema);
    pthread_mutex_unlock(&d->lock);
    if (*out)
        return TELEX_OK;
    struct grammar *grammar;
    telex_status status = grammar_compile(schema, &grammar, why, why_size);
    if (status != TELEX_OK)
        return status == TELEX_LIMIT ? TELEX_UNSUPPORTED : status;
    struct shared_grammar *s = calloc(1, sizeof(*s));
    char *copy = s ? malloc(schema.size) : NULL;
    if (!copy) {
        free(s);
        grammar_destroy(grammar);
        return refuse(why, why_size, TELEX_AGAIN, "out of memory");
    }
    memcpy(copy, schema.data, schema.size);
    s->grammar = grammar;
    s->schema = copy;
    s->schema_bytes = schema.size;
    s->constraint.grammar = grammar;
    pthread_mutex_lock(&d->lock);
    *out = find_grammar(d, schema); /* another thread may have been quicker */
    if (!*out) {
        s->constraint.id = ++d->next_grammar;
        s->users = 1;
        s->used = ++d->grammar_clock;
        s->next = d->grammars;
        d->grammars = s;
        d->n_grammars++;
        *out = s;
        s = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    if (s)
        free_grammar(s);
    return TELEX_OK;
}

/* ---- jobs ---- */

static telex_status check_job(const struct telex_job *job, char *why, size_t why_size) {
    const char *wrong = NULL;
    if (!job || job->size < TELEX_UP_TO(struct telex_job, drafts))
        wrong = "job: its size is too small";
    else if (job->n_messages == 0 || !job->messages)
        wrong = "job: no messages";
    else if (job->timeout_ms < 0)
        wrong = "job: timeout_ms is negative";
    else if (job->schema.size && !job->schema.data)
        wrong = "job: schema has no data";
    else if (job->n_drafts && !job->drafts)
        wrong = "job: n_drafts without drafts";
    const struct telex_sampler *s = wrong ? NULL : job->sampler;
    if (s && s->size < TELEX_UP_TO(struct telex_sampler, repeat_penalty))
        wrong = "sampler: its size is too small";
    else if (s && (!(s->temperature >= 0.0f) || !(s->temperature < 1e6f)))
        wrong = "sampler: temperature must be 0 or above";
    else if (s && (!(s->top_p > 0.0f) || !(s->min_p >= 0.0f) || !(s->min_p <= 1.0f)))
        wrong = "sampler: top_p must be above 0, min_p from 0 to 1";
    else if (s && !(s->repeat_penalty > 0.0f))
        wrong = "sampler: repeat_penalty must be above 0";
    return wrong ? refuse(why, why_size, TELEX_INVALID, wrong) : TELEX_OK;
}

/* Fit the job into its context: a prompt that is too long ends it, an output is cut. */
static void fit(struct driver *d, struct job *job) {
    uint32_t room = driver_room(d);
    job->n_prompt = job->tokens.n;
    if (job->n_prompt >= room)
        job_end(job, TELEX_REJECT, TELEX_FINISH_FAILED,
                "the prompt is %u tokens, %s holds %u with the answer", job->n_prompt,
                d->info.context_tokens == room ? "the model's context" : "the context", room);
    else if (job->max_tokens > room - job->n_prompt)
        job->max_tokens = room - job->n_prompt;
    if (job->n_prompt == 0)
        job_end(job, TELEX_REJECT, TELEX_FINISH_FAILED, "the prompt is empty");
}

/* Index what the job may repeat. Without the index it runs all the same. */
static void index_drafts(struct driver *d, const struct telex_job *asked, struct job *job) {
    if (!d->drafting)
        return;
    job->index = malloc(sizeof(*job->index));
    if (job->index && draft_init(job->index, asked, asked->schema.size > 0) < 0) {
        free(job->index);
        job->index = NULL;
    }
}

/* Make the job and its tokens. */
static telex_status prepare(struct driver *d, const struct telex_job *asked, struct job *job, char *why,
                            size_t why_size) {
    job->submitted_us = driver_now_us();
    telex_status status =
        chat_tokens(&d->chat, d->model_class, d->model, asked->messages, asked->n_messages, &job->tokens);
    if (status == TELEX_INVALID)
        return refuse(why, why_size, status,
                      "job: a message has an unknown role or a size that is too small");
    if (status == TELEX_RETRY)
        return refuse(why, why_size, TELEX_AGAIN, "out of memory");
    if (status != TELEX_OK)
        job_end(job, status, TELEX_FINISH_FAILED, "the model cannot tokenise the prompt");
    else
        fit(d, job);
    index_drafts(d, asked, job);
    return asked->schema.size ? use_grammar(d, asked->schema, &job->shared, why, why_size) : TELEX_OK;
}

telex_status driver_generate(struct driver *d, const struct telex_job *asked, telex_job_done done, void *arg,
                             uint64_t *job_id, char *why, size_t why_size) {
    telex_status status = check_job(asked, why, why_size);
    if (status != TELEX_OK)
        return status;
    struct job *job = job_create(asked, done, arg);
    if (!job)
        return refuse(why, why_size, TELEX_AGAIN, "out of memory");
    status = prepare(d, asked, job, why, why_size);
    if (d->record && status == TELEX_OK)
        job->record = record_begin(asked);
    pthread_mutex_lock(&d->lock);
    if (status == TELEX_OK && (d->closing || d->n_waiting >= d->config.waiting)) {
        status =
            refuse(why, why_size, TELEX_AGAIN, d->closing ? "the model is closing" : "too many jobs wait");
        if (job->shared)
            driver_release_grammar(d, job->shared);
    }
    if (status == TELEX_OK && job->record)
        record_place(job->record, d->n_handed_in, d->stats.jobs);
    if (status == TELEX_OK) {
        d->n_handed_in++;
        job->id = d->next_id++;
        if (job_id)
            *job_id = job->id;
        *d->waiting_end = job;
        d->waiting_end = &job->next;
        d->n_waiting++;
        pthread_cond_signal(&d->changed);
    }
    pthread_mutex_unlock(&d->lock);
    if (status != TELEX_OK)
        job_destroy(job);
    return status;
}

void driver_cancel(struct driver *d, uint64_t job_id) {
    pthread_mutex_lock(&d->lock);
    for (struct job *job = d->waiting; job; job = job->next)
        if (job->id == job_id)
            atomic_store(&job->cancelled, true);
    for (uint32_t i = 0; i < d->n_sequences; i++)
        if (d->sequences[i].job && d->sequences[i].job->id == job_id) {
            atomic_store(&d->sequences[i].job->cancelled, true);
            if (d->model_class->cancel)
                d->model_class->cancel(d->context);
        }
    pthread_mutex_unlock(&d->lock);
}

telex_status driver_info(struct driver *d, struct telex_backend_info *out) {
    const struct telex_backend_info info = {
        .size = sizeof(info),
        .context_tokens = driver_room(d),
        .model = d->info.model ? d->info.model : "",
        .weights_sha256 = d->info.weights_sha256 ? d->info.weights_sha256 : "",
        .backend = d->backend,
    };
    return telex_table_fill(out, &info, TELEX_UP_TO(struct telex_backend_info, backend)) ? TELEX_OK
                                                                                         : TELEX_INVALID;
}

struct driver_stats driver_stats(struct driver *d) {
    pthread_mutex_lock(&d->lock);
    struct driver_stats stats = d->stats;
    pthread_mutex_unlock(&d->lock);
    return stats;
}

/* ---- close ---- */

static void sequence_finish(struct sequence *s) {
    free(s->left);
    page_list_finish(&s->pages);
}

void driver_close(struct driver *d) {
    if (!d)
        return;
    if (d->started) {
        pthread_mutex_lock(&d->lock);
        d->closing = true;
        pthread_cond_signal(&d->changed);
        if (d->n_running && d->model_class->cancel)
            d->model_class->cancel(d->context);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->thread, NULL);
    }
    if (d->context)
        d->model_class->context_close(d->context);
    if (d->prepared) {
        pthread_cond_destroy(&d->changed);
        pthread_mutex_destroy(&d->lock);
    }
    for (uint32_t i = 0; d->sequences && i < d->n_sequences; i++)
        sequence_finish(&d->sequences[i]);
    pages_finish(&d->pages);
    while (d->grammars) {
        struct shared_grammar *next = d->grammars->next;
        free_grammar(d->grammars);
        d->grammars = next;
    }
    if (d->record)
        fclose(d->record);
    mask_cache_destroy(d->tools.masks);
    sample_scratch_finish(&d->tools.scratch);
    vocab_destroy(d->vocab);
    free(d->sequences);
    free(d->token);
    free(d->pos);
    free(d->seq);
    free(d->rows);
    free(d);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.c - the scheduler: who runs, what goes into the next batch, what a batch brought.
 *
 * Room. A job is let in only when its prompt and all it may put out fit beside what the other jobs have
 * reserved, so a running job never meets a full context. What finished jobs left is given up, oldest first,
 * when room is needed.
 *
 * Prefixes. What a job leaves is kept until its room or its sequence is needed; then the one used longest ago
 * goes first. Kept sequences have most of their pages in common and those count once, so the prompts of many
 * stories stay at hand, and a story's next version finds them. A new job looks for the sequence whose tokens
 * agree with its prompt for longest, running or not, and copies that part. When a running job is about to
 * compute a longer common part than any that exists, the new job waits for it, so that jobs that arrive
 * together compute what they share once. */
#include "scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/plugin.h>

#include "record.h"

enum {
    WORTH_WAITING = 32, /* shared tokens that are worth one more batch of waiting */
    UNDONE_MAX = 64,    /* cancelled batches in a row before the backend is given up */
    PLANNED_MAX = 256   /* jobs whose drafts are weighed against each other */
};

static const float FIRST_CHANCE = 0.5f; /* of a drafted token that rides along with a prompt */

int64_t driver_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- sequences ---- */

static void forget(struct driver *d, struct sequence *s) {
    if (s->n)
        d->model_class->seq_trim(d->context, (uint32_t)(s - d->sequences), 0);
    free(s->left);
    s->left = NULL;
    s->n = s->n_prompt = 0;
    pages_resize(&d->pages, &s->pages, 0);
}

static uint32_t common(const int32_t *a, uint32_t n_a, const int32_t *b, uint32_t n_b) {
    uint32_t n = n_a < n_b ? n_a : n_b, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* How much of a job's prompt a sequence can give now, and (planned) once its job has read its own prompt.
 * Tokens that a job put out are given only when the model computes them to the same bits as a prompt's. */
static uint32_t shared_with(const struct driver *d, const struct sequence *s, const struct job *job,
                            uint32_t *planned) {
    const int32_t *tokens = s->job ? s->job->tokens.items : s->left;
    uint32_t n_prompt = s->job ? s->job->n_prompt : s->n_prompt;
    uint32_t most = job->n_prompt - 1, has = s->n; /* the last token is always computed: its row is asked */
    if (!(d->info.flags & TELEX_MODEL_BATCH_INVARIANT) && has > n_prompt)
        has = n_prompt;
    uint32_t reach = s->job && n_prompt > has ? n_prompt : has;
    *planned = common(tokens, reach, job->tokens.items, most);
    return *planned < has ? *planned : has;
}

/* Pages spoken for: what running jobs have reserved, in full, and what idle sequences keep, common pages
 * once. `except` is left out. */
static uint32_t held(struct driver *d, const struct sequence *except) {
    uint32_t sum = 0;
    pages_count_begin(&d->pages);
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        struct sequence *s = &d->sequences[i];
        if (s != except)
            sum += s->job ? s->reserve : pages_count(&d->pages, &s->pages);
    }
    return sum;
}

/* The idle sequence used longest ago, but for `except`; empty ones first. */
static struct sequence *oldest_idle(struct driver *d, const struct sequence *except, bool empty_too) {
    struct sequence *oldest = NULL;
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        struct sequence *s = &d->sequences[i];
        if (s->job || s == except || (s->n == 0 && !empty_too))
            continue;
        if (!oldest || (s->n == 0) > (oldest->n == 0) ||
            ((s->n == 0) == (oldest->n == 0) && s->used < oldest->used))
            oldest = s;
    }
    return oldest;
}

/* ---- letting a job in ---- */

enum placing { PLACED, NEEDS_ROOM, NEEDS_PREFIX };

/* Take the first n positions of `source` into `target`. */
static uint32_t take_prefix(struct driver *d, struct sequence *target, struct sequence *source, uint32_t n) {
    uint32_t to = (uint32_t)(target - d->sequences), from = (uint32_t)(source - d->sequences);
    telex_status status = TELEX_OK;
    if (target == source) {
        if (target->n > n)
            status = d->model_class->seq_trim(d->context, to, (int32_t)n);
        free(target->left);
        target->left = NULL;
        target->n = n;
        pages_resize(&d->pages, &target->pages, n);
    } else {
        forget(d, target);
        if (n)
            status = d->model_class->seq_copy(d->context, to, from, 0, (int32_t)n);
        pages_resize(&d->pages, &source->pages, source->n); /* it may have read on since it was counted */
        pages_share(&d->pages, &target->pages, &source->pages, n);
        target->n = n;
    }
    if (status == TELEX_OK)
        return n;
    forget(d, target); /* computing it is always right */
    return 0;
}

/* Give the job a sequence, if there is room now. */
static enum placing place(struct driver *d, struct job *job) {
    struct sequence *source = NULL;
    uint32_t best = 0, later = 0, planned;
    for (uint32_t i = 0; i < d->n_sequences && !d->config.no_prefix_cache; i++) {
        uint32_t n = shared_with(d, &d->sequences[i], job, &planned);
        if (n > best) {
            best = n;
            source = &d->sequences[i];
        }
        later = planned > later ? planned : later;
    }
    if (d->n_running == d->config.parallel)
        return NEEDS_ROOM;
    if (later > best && later - best >= WORTH_WAITING)
        return NEEDS_PREFIX;
    uint32_t need = pages_for(job->n_prompt + job->max_tokens), room = pages_for(d->config.kv_tokens);
    for (struct sequence *s; held(d, NULL) + need > room && (s = oldest_idle(d, source, false));)
        forget(d, s);
    struct sequence *target = oldest_idle(d, source, true);
    if (source && !source->job && (!target || held(d, NULL) + need > room))
        target = source;
    if (!target || held(d, target) + need > room)
        return NEEDS_ROOM;
    job->n_cached = take_prefix(d, target, source ? source : target, best);
    target->reserve = need;
    target->used = ++d->clock;
    target->job = job;
    d->n_running++;
    job->started_us = driver_now_us();
    return PLACED;
}

/* ---- ends ---- */

static bool overdue(const struct job *job, int64_t now_us) {
    return job->timeout_ms > 0 && now_us - job->submitted_us > job->timeout_ms * 1000;
}

/* End a job that was cancelled or is late. */
static void check_time(struct job *job, int64_t now_us, uint32_t computed) {
    if (atomic_load(&job->cancelled)) {
        job_end(job, TELEX_CANCELLED, TELEX_FINISH_FAILED, "cancelled after %u tokens", job_output(job));
    } else if (overdue(job, now_us)) {
        uint32_t read = computed < job->n_prompt ? computed : job->n_prompt;
        job_end(job, TELEX_RETRY, TELEX_FINISH_FAILED,
                "not done within %lld ms: %u of %u prompt tokens read, %u tokens put out",
                (long long)job->timeout_ms, read, job->n_prompt, job_output(job));
    }
}

/* The sequence keeps what the context holds of the finished job. */
static void vacate(struct driver *d, struct sequence *s) {
    struct job *job = s->job;
    pthread_mutex_lock(&d->lock);
    s->job = NULL;
    d->n_running--;
    pthread_mutex_unlock(&d->lock);
    s->used = ++d->clock;
    pages_resize(&d->pages, &s->pages, s->n);
    s->n_prompt = s->n < job->n_prompt ? s->n : job->n_prompt;
    s->left = job->tokens.items;
    job->tokens.items = NULL;
    if (s->n == 0 || d->config.no_prefix_cache)
        forget(d, s);
}

static void write_down(struct driver *d, struct job *job) {
    if (job->record && record_end(job->record, job, d->record) < 0)
        telex_say(d->host, TELEX_WARN, 0, "%s: a job could not be recorded", d->backend);
    job->record = NULL;
}

static void finish(struct driver *d, struct job *job) {
    pthread_mutex_lock(&d->lock);
    if (job->shared)
        driver_release_grammar(d, job->shared);
    d->stats.jobs++;
    pthread_mutex_unlock(&d->lock);
    job_report(job, driver_now_us());
    job_destroy(job);
}

/* ---- a batch ---- */

static uint32_t due(const struct sequence *s) {
    return s->job->tokens.n - s->n;
}

/* Put up to `most` due tokens of a sequence into the batch. If that completes them, its questions come along,
 * with the drafted tokens that they stand behind; `later` rows of the batch are left to others. */
static uint32_t add_rows(struct driver *d, struct sequence *s, uint32_t n, uint32_t most, uint32_t later) {
    uint32_t count = due(s) < most ? due(s) : most;
    const uint32_t n_due = count;
    struct job *job = s->job;
    if (count && count == due(s)) {
        uint32_t room = d->max_batch - n - count;
        if (!job_ask(job, &d->tools, s->n_drafts, room > later ? room - later : 0))
            return 0;
        count += job->n_ahead;
    }
    for (uint32_t i = 0; i < count; i++) {
        d->token[n + i] = i < n_due ? job->tokens.items[s->n + i] : job->ahead[i - n_due];
        d->pos[n + i] = (int32_t)(s->n + i);
        d->seq[n + i] = (uint32_t)(s - d->sequences);
        d->rows[n + i] = NULL;
    }
    for (uint32_t i = 0; i < job->n_choices; i++)
        d->rows[n + job->choices[i].at - 1 - s->n] = &job->choices[i].row;
    s->n_batch = count;
    return count;
}

/* Of the jobs still reading their prompt and not in this batch, the one that came first. */
static struct sequence *next_reader(struct driver *d) {
    struct sequence *first = NULL;
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        struct sequence *s = &d->sequences[i];
        if (s->job && !s->job->first_us && !s->batched && (!first || s->job->id < first->job->id))
            first = s;
    }
    return first;
}

static bool writes(const struct sequence *s) {
    return s->job && s->job->first_us;
}

/* How many drafted tokens each job that writes may add to a batch. */
static void plan_drafts(struct driver *d) {
    const struct guess *guesses[PLANNED_MAX];
    struct sequence *of[PLANNED_MAX];
    uint32_t length[PLANNED_MAX], n = 0, base = 0;
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        struct sequence *s = &d->sequences[i];
        s->n_drafts = 0;
        if (!s->job || !d->drafting)
            continue;
        job_guess(s->job, &d->tools);
        base += writes(s) ? due(s) : 0;
        if (writes(s) && n < PLANNED_MAX) {
            guesses[n] = &s->job->guess;
            of[n++] = s;
        } else { /* it reads its prompt: its first draft rides along with that */
            while (s->n_drafts < s->job->guess.n && s->job->guess.chance[s->n_drafts] > FIRST_CHANCE)
                s->n_drafts++;
        }
    }
    if (n == 0)
        return;
    guess_lengths(&d->costs, guesses, n, base, n, d->max_batch > base ? d->max_batch - base : 0, length);
    for (uint32_t i = 0; i < n; i++)
        of[i]->n_drafts = length[i];
}

/* Jobs that write come first, then prompts in the order of arrival, at most a chunk in all. How many rows,
 * and how many of them are of prompts. */
static uint32_t fill_batch(struct driver *d, uint32_t *n_prompts) {
    uint32_t n = 0, prompts = 0, later = 0;
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        d->sequences[i].n_batch = 0;
        d->sequences[i].batched = false;
        later += writes(&d->sequences[i]) ? due(&d->sequences[i]) : 0;
    }
    plan_drafts(d);
    for (uint32_t i = 0; i < d->n_sequences; i++)
        if (writes(&d->sequences[i])) {
            later -= due(&d->sequences[i]);
            n += add_rows(d, &d->sequences[i], n, d->max_batch - n, later);
        }
    for (struct sequence *s; n < d->max_batch && prompts < d->config.chunk && (s = next_reader(d));) {
        uint32_t most = d->max_batch - n, chunk = d->config.chunk - prompts;
        uint32_t count = add_rows(d, s, n, most < chunk ? most : chunk, 0);
        s->batched = true;
        n += count;
        prompts += count;
    }
    *n_prompts = prompts;
    return n;
}

/* What the context holds of these sequences is unknown: their jobs fail. */
static void fail_batch(struct driver *d, uint32_t n, telex_status status) {
    for (uint32_t i = 0; i < n; i++) {
        struct sequence *s = &d->sequences[d->seq[i]];
        job_end(s->job, status == TELEX_AGAIN || status == TELEX_RETRY ? TELEX_RETRY : TELEX_FATAL,
                TELEX_FINISH_FAILED, "%s: a batch of %u tokens failed with status %d", d->backend, n, status);
        s->n = 0;
        d->model_class->seq_trim(d->context, d->seq[i], 0);
    }
}

/* A cancelled batch is as if it had not been: the jobs that go on will ask again. */
static void undo_batch(struct driver *d, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        d->model_class->seq_trim(d->context, d->seq[i], (int32_t)d->sequences[d->seq[i]].n);
}

/* The sequence holds what was put in; what the job did not go along with is cut off. */
static void keep_agreed(struct driver *d, struct sequence *s, uint32_t first) {
    const struct job *job = s->job;
    uint32_t agreed = 0;
    while (agreed < s->n_batch && s->n + agreed < job->tokens.n &&
           job->tokens.items[s->n + agreed] == d->token[first + agreed])
        agreed++;
    s->n += agreed;
    if (agreed < s->n_batch)
        d->model_class->seq_trim(d->context, (uint32_t)(s - d->sequences), (int32_t)s->n);
}

static void count_batch(struct driver *d, uint32_t n, uint32_t heads) {
    struct mask_stats masks = mask_cache_stats(d->tools.masks);
    pthread_mutex_lock(&d->lock);
    d->stats.batches++;
    d->stats.rows += n;
    d->stats.head_rows += heads;
    d->stats.forced_tokens = d->tools.forced_tokens;
    d->stats.sampled_tokens = d->tools.sampled_tokens;
    d->stats.drafted_tokens = d->tools.drafted_tokens;
    d->stats.accepted_tokens = d->tools.accepted_tokens;
    d->stats.mask_hits = masks.hits;
    d->stats.mask_misses = masks.misses;
    d->stats.mask_miss_ns = masks.miss_ns;
    d->stats.mask_bytes = masks.bytes;
    pthread_mutex_unlock(&d->lock);
}

static void take_answers(struct driver *d, uint32_t n) {
    uint32_t heads = 0;
    for (uint32_t i = 0; i < n; i += d->sequences[d->seq[i]].n_batch) {
        struct sequence *s = &d->sequences[d->seq[i]];
        heads += s->job->n_choices;
        if (s->job->n_choices > 0) {
            if (!s->job->first_us)
                s->job->first_us = driver_now_us();
            job_answer(s->job, &d->tools);
        }
        keep_agreed(d, s, i);
    }
    count_batch(d, n, heads);
}

static void run_batch(struct driver *d) {
    uint32_t n_prompts, n = fill_batch(d, &n_prompts);
    if (n == 0)
        return;
    struct telex_batch batch = {
        .size = sizeof(batch), .n = n, .token = d->token, .pos = d->pos, .seq = d->seq, .rows = d->rows};
    int64_t start_us = driver_now_us();
    telex_status status = d->model_class->decode(d->context, &batch);
    /* A backend may hold more than was counted, such as half-used pages: give up what is only kept. */
    for (struct sequence *s; status == TELEX_AGAIN && (s = oldest_idle(d, NULL, false));) {
        forget(d, s);
        start_us = driver_now_us();
        status = d->model_class->decode(d->context, &batch);
    }
    if (status == TELEX_OK && n_prompts == 0) /* rows of prompts are cheaper: few of them need the head */
        guess_timed(&d->costs, n, (double)(driver_now_us() - start_us) / 1000.0);
    d->n_undone = status == TELEX_CANCELLED ? d->n_undone + 1 : 0;
    if (status == TELEX_OK)
        take_answers(d, n);
    else if (status == TELEX_CANCELLED && d->n_undone < UNDONE_MAX)
        undo_batch(d, n);
    else
        fail_batch(d, n, status);
    for (uint32_t i = 0; i < d->n_sequences; i++)
        if (d->sequences[i].job)
            job_close_choices(d->sequences[i].job);
}

/* ---- the thread ---- */

/* Take every waiting job that can start, or has ended, off the list. The ended ones come back as a list. None
 * passes a job that needs room, or a large one would wait for ever; one that waits for a prefix is passed. */
static struct job *admit(struct driver *d) {
    struct job *ended = NULL, **at = &d->waiting;
    int64_t now_us = driver_now_us();
    bool full = false;
    while (*at) {
        struct job *job = *at;
        if (d->closing)
            atomic_store(&job->cancelled, true);
        if (!job->finish)
            check_time(job, now_us, 0);
        enum placing placing = job->finish ? PLACED : full ? NEEDS_ROOM : place(d, job);
        full = full || placing == NEEDS_ROOM;
        if (placing != PLACED) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        d->n_waiting--;
        if (job->finish) {
            job->next = ended;
            ended = job;
        } else {
            d->stats.prompt_tokens += job->n_prompt;
            d->stats.cached_tokens += job->n_cached;
        }
    }
    d->waiting_end = at;
    return ended;
}

static void begin_new(struct driver *d) {
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        struct job *job = d->sequences[i].job;
        if (job && !job->begun) {
            job->begun = true;
            job_begin(job, &d->tools);
        }
    }
}

static void sweep(struct driver *d) {
    int64_t now_us = driver_now_us();
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        struct sequence *s = &d->sequences[i];
        if (s->job && !s->job->finish)
            check_time(s->job, now_us, s->n);
        if (!s->job || !s->job->finish)
            continue;
        struct job *job = s->job;
        write_down(d, job);
        vacate(d, s);
        finish(d, job);
    }
}

void *scheduler_main(void *arg) {
    struct driver *d = arg;
    for (;;) {
        pthread_mutex_lock(&d->lock);
        while (!d->waiting && d->n_running == 0 && !d->closing)
            pthread_cond_wait(&d->changed, &d->lock);
        struct job *ended = admit(d);
        bool last = d->closing && !d->waiting && d->n_running == 0;
        for (uint32_t i = 0; i < d->n_sequences && d->closing; i++)
            if (d->sequences[i].job)
                atomic_store(&d->sequences[i].job->cancelled, true);
        pthread_mutex_unlock(&d->lock);
        while (ended) {
            struct job *job = ended;
            ended = job->next;
            write_down(d, job);
            finish(d, job);
        }
        if (last)
            return NULL;
        begin_new(d);
        sweep(d); /* before the batch: a forced text may be whole already */
        if (d->n_running)
            run_batch(d);
        sweep(d);
    }
}

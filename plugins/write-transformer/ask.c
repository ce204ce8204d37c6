/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - hand a wave of prompts to the model and wait for all of them.
 *
 * A callback comes on a thread of the backend and only copies. The wave is over when every accepted job
 * has called back, also when the step is cancelled: no callback outlives it. */
#include "ask.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS 100

struct wave {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_open;
};

struct slot {
    struct wave *wave;
    struct ask_job *job;
    uint64_t job_id;
    char *text;
    size_t len;
    char *error;
    uint32_t finish;
    bool open;
};

static char *copy_bytes(struct telex_bytes bytes) {
    char *copy = malloc(bytes.size + 1);
    if (copy) {
        memcpy(copy, bytes.data ? (const char *)bytes.data : "", bytes.size);
        copy[bytes.size] = '\0';
    }
    return copy;
}

static struct ask_counts counts_of(const struct telex_result *r) {
    struct ask_counts counts = {
        .prompt = r->prompt_tokens, .cached = r->cached_tokens, .output = r->output_tokens};
    if (TELEX_HAS(r, accepted_tokens)) {
        counts.passes = r->passes;
        counts.forced = r->forced_tokens;
        counts.drafted = r->drafted_tokens;
        counts.accepted = r->accepted_tokens;
    }
    return counts;
}

static void on_done(void *arg, const struct telex_result *result) {
    struct slot *slot = arg;
    pthread_mutex_lock(&slot->wave->lock);
    slot->job->status = result->status;
    slot->job->counts = counts_of(result);
    slot->finish = result->finish;
    if (result->status == TELEX_OK) {
        slot->len = result->text.size;
        slot->text = copy_bytes(result->text);
    } else {
        slot->error = copy_bytes(result->error);
    }
    slot->open = false;
    slot->wave->n_open--;
    pthread_cond_broadcast(&slot->wave->changed);
    pthread_mutex_unlock(&slot->wave->lock);
}

static telex_status hand_in(const struct ask *ask, struct slot *slot) {
    struct ask_job *job = slot->job;
    struct telex_sampler sampler = {
        .size = sizeof(sampler), .temperature = job->temperature, .top_p = 0.95f, .repeat_penalty = 1.0f};
    struct telex_job request = {.size = sizeof(request),
                                .n_messages = job->prompt.n_messages,
                                .n_drafts = job->prompt.n_drafts,
                                .max_tokens = job->prompt.max_tokens,
                                .seed = job->seed,
                                .timeout_ms = ask->timeout_ms,
                                .messages = job->prompt.list,
                                .sampler = job->temperature > 0 ? &sampler : NULL,
                                .drafts = job->prompt.drafts};
    request.schema = (struct telex_bytes){(const uint8_t *)job->prompt.schema, strlen(job->prompt.schema)};
    pthread_mutex_lock(&slot->wave->lock);
    slot->open = true;
    slot->wave->n_open++;
    pthread_mutex_unlock(&slot->wave->lock);
    telex_status status =
        ask->models->generate(ask->host, ask->lease, ask->model, &request, on_done, slot, &slot->job_id);
    if (status != TELEX_OK) {
        pthread_mutex_lock(&slot->wave->lock);
        slot->open = false;
        slot->wave->n_open--;
        pthread_mutex_unlock(&slot->wave->lock);
        job->status = status;
    }
    return status;
}

/* Wait until fewer than `limit` jobs are open, or a poll interval has passed. Returns how many are open. */
static size_t wait_for(struct wave *wave, size_t limit) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&wave->lock);
    int err = 0;
    while (wave->n_open >= limit && err == 0)
        err = pthread_cond_timedwait(&wave->changed, &wave->lock, &until);
    size_t n_open = wave->n_open;
    pthread_mutex_unlock(&wave->lock);
    return n_open;
}

static void cancel_open(const struct ask *ask, struct slot *slots, size_t n) {
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&slots[i].wave->lock);
        bool open = slots[i].open;
        pthread_mutex_unlock(&slots[i].wave->lock);
        if (open)
            ask->models->cancel(ask->host, slots[i].job_id);
    }
}

static telex_status run_wave(const struct ask *ask, struct wave *wave, struct slot *slots, size_t n) {
    telex_status status = TELEX_OK;
    int64_t idle_since = ask->host->now_ms(ask->host, TELEX_CLOCK_MONO);
    for (size_t i = 0; i < n && status == TELEX_OK;) {
        telex_status handed = hand_in(ask, &slots[i]);
        if (handed == TELEX_OK) {
            i++;
            continue;
        }
        if (handed != TELEX_AGAIN) {
            status = handed;
            break;
        }
        size_t n_open = wait_for(wave, 1); /* full: go on when one of ours is done, or after a while */
        int64_t now = ask->host->now_ms(ask->host, TELEX_CLOCK_MONO);
        if (n_open > 0)
            idle_since = now;
        if (ask->host->cancelled(ask->host, ask->lease))
            status = TELEX_CANCELLED;
        else if (ask->timeout_ms > 0 && now - idle_since > ask->timeout_ms)
            status = TELEX_RETRY;
    }
    bool told = false;
    while (wait_for(wave, 1) > 0) {
        bool ends = status != TELEX_OK || ask->host->cancelled(ask->host, ask->lease);
        if (ends && status == TELEX_OK)
            status = TELEX_CANCELLED;
        if (ends && !told)
            cancel_open(ask, slots, n);
        told |= ends;
    }
    return status;
}

/* What the jobs' own statuses mean for the story: the worst of them that is not about one prompt. */
static telex_status settle(const struct ask *ask, struct slot *slots, size_t n, telex_status status,
                           const char **why) {
    for (size_t i = 0; i < n; i++) {
        struct ask_job *job = slots[i].job;
        const char *error = slots[i].error ? slots[i].error : "";
        char *kept = arena_copy(ask->arena, error, strlen(error));
        job->error = kept ? kept : "";
        if (job->status == TELEX_OK && slots[i].text)
            job->answer = prompt_answer(&job->prompt, ask->arena, slots[i].text, slots[i].len);
        bool own = job->status == TELEX_OK || job->status == TELEX_REJECT;
        if (status == TELEX_OK && !own) {
            status = job->status;
            *why = job->error;
        }
        free(slots[i].text);
        free(slots[i].error);
    }
    return status;
}

telex_status ask_all(const struct ask *ask, struct ask_job *jobs, size_t n, const char **why) {
    *why = "";
    struct slot *slots = arena_alloc(ask->arena, (n ? n : 1) * sizeof(*slots));
    if (!slots)
        return TELEX_RETRY;
    struct wave wave = {.n_open = 0};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&wave.lock, NULL);
    pthread_cond_init(&wave.changed, &attr);
    pthread_condattr_destroy(&attr);
    for (size_t i = 0; i < n; i++)
        slots[i] = (struct slot){.wave = &wave, .job = &jobs[i]};
    telex_status status = run_wave(ask, &wave, slots, n);
    status = settle(ask, slots, n, status, why);
    pthread_cond_destroy(&wave.changed);
    pthread_mutex_destroy(&wave.lock);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - the worker: starts what waits, moves bytes, reports what ended.
 *
 * The thread sleeps in curl_multi_poll and is woken by callers. Every job that was accepted is reported
 * exactly once, from here, without the lock. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <driver/render.h>
#include <telex-sdk/plugin.h>

enum { POLL_MS = 1000, POLL_WAITING_MS = 50 };

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what became of a job ---- */

static void report(struct http_job *job, telex_status status, uint32_t finish, const char *text, size_t size,
                   const char *error) {
    const struct reply *r = &job->reply;
    struct telex_result result = {.size = sizeof(result),
                                  .status = status,
                                  .finish = finish,
                                  .prompt_tokens = r->prompt_tokens,
                                  .cached_tokens = r->cached_tokens,
                                  .output_tokens = r->output_tokens ? r->output_tokens : r->pieces,
                                  .text = {(const uint8_t *)text, size},
                                  .error = {(const uint8_t *)error, strlen(error)}};
    int64_t end = now_us(), first = job->first_us ? job->first_us : end;
    if (job->started_us) {
        result.prefill_us = first - job->started_us;
        result.decode_us = end - first;
    }
    job->done(job->arg, &result);
}

__attribute__((format(printf, 3, 4))) static void report_failure(struct http_job *job, telex_status status,
                                                                 const char *format, ...) {
    char error[512];
    va_list args;
    va_start(args, format);
    vsnprintf(error, sizeof(error), format, args);
    va_end(args);
    report(job, status, TELEX_FINISH_FAILED, "", 0, error);
}

/* The answer is whole: with a schema it must be JSON that satisfies it. */
static void report_text(struct http_backend *b, struct http_job *job) {
    struct reply *r = &job->reply;
    uint32_t finish = r->cut_by_length ? TELEX_FINISH_LENGTH : TELEX_FINISH_STOP;
    const char *text = r->text ? r->text : "";
    if (!job->grammar || finish == TELEX_FINISH_LENGTH) {
        report(job, TELEX_OK, finish, text, r->text_size, "");
        return;
    }
    char why[320];
    json_error_t error;
    json_t *value = json_loadb(text, r->text_size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    char *canonical = value ? grammar_render(job->grammar, value, why, sizeof(why)) : NULL;
    if (canonical)
        report(job, TELEX_OK, finish, canonical, strlen(canonical), "");
    else if (value)
        report_failure(job, TELEX_RETRY, "%s: its answer does not satisfy the schema: %s", b->who, why);
    else
        report_failure(job, TELEX_RETRY, "%s: its answer is no JSON: %s", b->who, error.text);
    free(canonical);
    json_decref(value);
}

/* Which of the statuses an HTTP status is. */
static telex_status status_of(long http) {
    switch (http) {
    case 400:
    case 413:
    case 422:
        return TELEX_REJECT; /* this prompt */
    case 401:
    case 403:
    case 404:
    case 405:
        return TELEX_FATAL; /* this configuration */
    default:
        return TELEX_RETRY; /* 3xx, 408, 429, 5xx and what nobody knows */
    }
}

static void report_http(struct http_backend *b, struct http_job *job, long http) {
    char excerpt[300];
    reply_excerpt(&job->reply, excerpt, sizeof(excerpt));
    const char *remedy = http == 401 || http == 403  ? "; see the option api_key"
                         : http == 404               ? "; see the options base_url and model"
                         : http >= 300 && http < 400 ? "; redirects are not followed, see the option base_url"
                                                     : "";
    report_failure(job, status_of(http), "%s: HTTP %ld%s%s%s", b->who, http, excerpt[0] ? ": " : "", excerpt,
                   remedy);
}

static void conclude(struct http_backend *b, struct http_job *job, CURLcode code) {
    struct reply *r = &job->reply;
    long http = 0;
    curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &http);
    if (atomic_load(&job->cancelled))
        report_failure(job, TELEX_CANCELLED, "cancelled after %u pieces of text", r->pieces);
    else if (job->stalled)
        report_failure(job, TELEX_RETRY, "%s: not a byte for %lld ms, %u pieces of text came", b->who,
                       (long long)b->config.stall_timeout_ms, r->pieces);
    else if (r->over)
        report_failure(job, TELEX_RETRY, "%s: its answer is over %zu bytes", b->who, r->limit);
    else if (r->problem[0])
        report_failure(job, TELEX_RETRY, "%s: %s", b->who, r->problem);
    else if (job->late)
        report_failure(job, TELEX_RETRY, "%s: not done within %lld ms, %u pieces of text came", b->who,
                       (long long)(job->deadline_ms - job->submitted_ms), r->pieces);
    else if (code != CURLE_OK)
        report_failure(job, TELEX_RETRY, "%s: %s", b->who,
                       job->curl_error[0] ? job->curl_error : curl_easy_strerror(code));
    else if (http < 200 || http > 299)
        report_http(b, job, http);
    else {
        reply_end(r);
        if (r->problem[0])
            report_failure(job, TELEX_RETRY, "%s: %s", b->who, r->problem);
        else
            report_text(b, job);
    }
}

/* ---- transfers ---- */

static size_t on_bytes(char *data, size_t one, size_t size, void *arg) {
    struct http_job *job = arg;
    struct reply *r = &job->reply;
    (void)one;
    if (r->received == 0) {
        long http = 0;
        const char *type = NULL;
        curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &http);
        curl_easy_getinfo(job->easy, CURLINFO_CONTENT_TYPE, &type);
        r->error = http < 200 || http > 299;
        r->events = type && strncasecmp(type, "text/event-stream", 17) == 0;
    }
    job->heard_us = now_us();
    bool go_on = reply_take(r, data, size);
    if (!job->first_us && (r->pieces || !r->events))
        job->first_us = now_us();
    return go_on && !atomic_load(&job->cancelled) ? size : 0;
}

/* Set a job's transfer up. False: out of memory. */
static bool start(struct http_backend *b, struct http_job *job) {
    const struct http_config *c = &b->config;
    CURL *easy = curl_easy_init();
    if (!easy)
        return false;
    job->easy = easy;
    job->started_us = job->heard_us = now_us();
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(easy, CURLOPT_URL, b->endpoint);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, c->proxy);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, b->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(job->body));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, job->body);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job->curl_error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
    if (curl_multi_add_handle(b->multi, easy) == CURLM_OK)
        return true;
    curl_easy_cleanup(easy);
    job->easy = NULL;
    return false;
}

static void unlink_active(struct http_backend *b, struct http_job *job) {
    pthread_mutex_lock(&b->lock);
    struct http_job **at = &b->active;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    b->n_active--;
    pthread_mutex_unlock(&b->lock);
}

static void end_transfer(struct http_backend *b, struct http_job *job, CURLcode code) {
    unlink_active(b, job);
    conclude(b, job, code);
    curl_multi_remove_handle(b->multi, job->easy);
    http_job_destroy(job);
}

/* ---- the thread ---- */

/* Take the next waiting job that should start (it is then listed as active) or that is over already. Under
 * the lock. */
static struct http_job *next_waiting(struct http_backend *b, bool *over) {
    int64_t now_ms = now_us() / 1000;
    for (struct http_job **at = &b->waiting; *at; at = &(*at)->next) {
        struct http_job *job = *at;
        if (b->closing)
            atomic_store(&job->cancelled, true);
        *over = atomic_load(&job->cancelled) || (job->deadline_ms && now_ms >= job->deadline_ms);
        if (!*over && b->n_active >= (uint32_t)b->config.max_parallel)
            continue;
        *at = job->next;
        if (!job->next)
            b->waiting_end = at;
        b->n_waiting--;
        if (!*over) {
            job->next = b->active;
            b->active = job;
            b->n_active++;
        }
        return job;
    }
    return NULL;
}

static void start_waiting(struct http_backend *b) {
    for (;;) {
        bool over = false;
        pthread_mutex_lock(&b->lock);
        struct http_job *job = next_waiting(b, &over);
        pthread_mutex_unlock(&b->lock);
        if (!job)
            return;
        if (!over && start(b, job))
            continue;
        if (!over) {
            unlink_active(b, job);
            report_failure(job, TELEX_RETRY, "out of memory");
        } else if (atomic_load(&job->cancelled)) {
            report_failure(job, TELEX_CANCELLED, "cancelled before it was sent");
        } else {
            report_failure(job, TELEX_RETRY, "%s: not sent within %lld ms", b->who,
                           (long long)(job->deadline_ms - job->submitted_ms));
        }
        http_job_destroy(job);
    }
}

static void end_cancelled(struct http_backend *b) {
    for (;;) {
        pthread_mutex_lock(&b->lock);
        struct http_job *job = b->active;
        while (job && !atomic_load(&job->cancelled) && !b->closing)
            job = job->next;
        if (job)
            atomic_store(&job->cancelled, true);
        pthread_mutex_unlock(&b->lock);
        if (!job)
            return;
        end_transfer(b, job, CURLE_ABORTED_BY_CALLBACK);
    }
}

static void end_finished(struct http_backend *b) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(b->multi, &left));) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct http_job *job = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&job);
        end_transfer(b, job, code);
    }
}

/* Milliseconds that a job still has: until the server counts as stuck, or its own time is over. */
static int64_t left_ms(const struct http_backend *b, const struct http_job *job) {
    int64_t stall_ms = b->config.stall_timeout_ms - (now_us() - job->heard_us) / 1000;
    int64_t own_ms = job->deadline_ms ? job->deadline_ms - now_us() / 1000 : stall_ms;
    return own_ms < stall_ms ? own_ms : stall_ms;
}

/* End what takes too long. (curl's own low-speed rule counts what was sent as well.) Milliseconds until the
 * next one may be due, at most POLL_MS. */
static int end_overdue(struct http_backend *b) {
    int64_t nearest_ms = POLL_MS;
    for (struct http_job *job = b->active, *next; job; job = next) { /* only this thread changes the list */
        next = job->next;
        int64_t left = left_ms(b, job);
        if (left <= 0) {
            job->late = job->deadline_ms && now_us() / 1000 >= job->deadline_ms;
            job->stalled = !job->late;
            end_transfer(b, job, CURLE_OPERATION_TIMEDOUT);
        } else if (left < nearest_ms) {
            nearest_ms = left;
        }
    }
    return (int)nearest_ms;
}

void *transfer_main(void *arg) {
    struct http_backend *b = arg;
    for (;;) {
        start_waiting(b);
        end_cancelled(b);
        int running;
        curl_multi_perform(b->multi, &running);
        end_finished(b);
        int sleep_ms = end_overdue(b);
        pthread_mutex_lock(&b->lock);
        bool over = b->closing && !b->waiting && !b->active;
        bool waiting = b->waiting != NULL, room = b->n_active < (uint32_t)b->config.max_parallel;
        pthread_mutex_unlock(&b->lock);
        if (over)
            return NULL;
        if (!(waiting && room))
            curl_multi_poll(b->multi, NULL, 0, waiting ? POLL_WAITING_MS : sleep_ms, NULL);
    }
}

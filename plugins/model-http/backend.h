/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - one server behind telex.generate/1.
 *
 * One thread runs every transfer through curl_multi; callers only queue. A job owns everything it needs, so
 * nothing of the caller's is touched after generate() has returned. */
#ifndef MODEL_HTTP_BACKEND_H
#define MODEL_HTTP_BACKEND_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <driver/grammar.h>
#include <telex/model.h>

#include "reply.h"

struct http_config {
    const char *base_url, *model, *api_key, *schema_style, *proxy;
    int64_t connect_timeout_ms, stall_timeout_ms, timeout_ms, max_parallel, max_waiting, max_reply_bytes;
    int64_t context_tokens;
    bool stream, usage, guard_control;
};

extern const struct telex_option *const http_options[];

struct http_job {
    struct http_job *next;
    uint64_t id;
    telex_job_done done;
    void *arg;
    atomic_bool cancelled;
    int64_t submitted_ms, deadline_ms;      /* monotonic; 0: none */
    int64_t started_us, first_us, heard_us; /* heard: the last byte came */
    bool stalled, late;
    char *body;              /* owned: the request */
    struct grammar *grammar; /* owned; NULL: free text */
    CURL *easy;              /* owned while it runs */
    struct reply reply;
    char curl_error[CURL_ERROR_SIZE];
};

struct http_backend {
    const struct telex_host *host; /* borrowed */
    struct http_config config;     /* texts in config_memory */
    void *config_memory;
    char *endpoint, *who;       /* owned: URL of the chat completions; scheme, host and port for messages */
    struct curl_slist *headers; /* owned */
    char name[160];

    pthread_mutex_t lock; /* guards up to `thread` */
    struct http_job *waiting, **waiting_end;
    uint32_t n_waiting;
    struct http_job *active;
    uint32_t n_active;
    uint64_t next_id;
    bool closing;

    pthread_t thread;
    bool started;
    CURLM *multi; /* the thread's, but for wake-ups */
};

int32_t http_probe(void);
telex_status http_open(const struct telex_host *host, struct telex_bytes options, void **self);
telex_status http_info(void *self, struct telex_backend_info *out);
telex_status http_generate(void *self, const struct telex_job *job, telex_job_done done, void *arg,
                           uint64_t *job_id);
void http_cancel(void *self, uint64_t job_id);
void http_close(void *self);

/* The worker (transfer.c); arg is the backend. */
void *transfer_main(void *arg);

/* Free a job whose transfer is over. */
void http_job_destroy(struct http_job *job);

/* The request of a job as JSON (request.c). Gives it (free). NULL: out of memory. */
char *request_body(const struct http_config *config, const struct telex_job *job);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the callers' side: options, accept a job, cancel, close. */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/option.h>
#include <telex-sdk/plugin.h>

#define MEMBER(name_)    .name = #name_, .offset = offsetof(struct http_config, name_)
#define MEMBER_MS(name_) .name = #name_, .offset = offsetof(struct http_config, name_##_ms), .unit = "ms"

const struct telex_option *const http_options[] = {
    TELEX_OPTION(MEMBER(base_url), .type = TELEX_TEXT, .flags = TELEX_OPTION_REQUIRED,
                 .doc = "address of the server up to /v1, such as http://127.0.0.1:8000/v1"),
    TELEX_OPTION(MEMBER(model), .type = TELEX_TEXT, .initial = "",
                 .doc = "model to ask for; empty: the server's own"),
    TELEX_OPTION(MEMBER(api_key), .type = TELEX_SECRET, .initial = "", .doc = "sent as a bearer token"),
    TELEX_OPTION(
        MEMBER(schema_style), .type = TELEX_CHOICE, .initial = "json_schema",
        .choices = (const char *const[]){"json_schema", "json_object", "none", NULL},
        .doc =
            "how a schema is sent: as OpenAI and vLLM take it, as llama-cpp-python takes it, or not at all"),
    TELEX_OPTION(MEMBER(stream), .type = TELEX_BOOL, .initial = "true", .doc = "ask for the text in pieces"),
    TELEX_OPTION(MEMBER(usage), .type = TELEX_BOOL, .initial = "true",
                 .doc = "ask for token counts in a stream; false for servers that refuse stream_options"),
    TELEX_OPTION(
        MEMBER(guard_control), .type = TELEX_BOOL, .initial = "true",
        .doc = "break what looks like a control token in a text, because the server may read it as one"),
    TELEX_OPTION(MEMBER_MS(connect_timeout), .type = TELEX_DURATION, .initial = "5s", .min = 1, .max = 600000,
                 .doc = "time to reach the server"),
    TELEX_OPTION(
        MEMBER_MS(stall_timeout), .type = TELEX_DURATION, .initial = "2m", .min = 1000, .max = 86400000,
        .doc = "time without a byte after which the server counts as stuck; it reads the prompt silently"),
    TELEX_OPTION(MEMBER_MS(timeout), .type = TELEX_DURATION, .initial = "10m", .min = 1000, .max = 86400000,
                 .doc = "time for one whole answer"),
    TELEX_OPTION(MEMBER(max_parallel), .type = TELEX_INT, .initial = "4", .min = 1, .max = 256,
                 .doc = "requests at once"),
    TELEX_OPTION(MEMBER(max_waiting), .type = TELEX_INT, .initial = "256", .min = 1, .max = 65536,
                 .doc = "jobs that may wait"),
    TELEX_OPTION(.name = "max_reply", .offset = offsetof(struct http_config, max_reply_bytes),
                 .type = TELEX_SIZE, .initial = "8MiB", .min = 1024, .max = 1 << 30, .unit = "bytes",
                 .doc = "largest answer taken"),
    TELEX_OPTION(MEMBER(context_tokens), .type = TELEX_INT, .initial = "0", .min = 0, .max = 1 << 24,
                 .doc = "what the server's model holds, for those who ask; 0: not known"),
    TELEX_OPTION(MEMBER(proxy), .type = TELEX_TEXT, .initial = "",
                 .doc = "proxy to go through; the environment is not asked"),
    NULL};

int32_t http_probe(void) {
    return 1;
}

/* ---- open ---- */

static telex_status refuse(struct http_backend *b, telex_status status, const char *what) {
    return telex_fail(b->host, 0, status, "model-http: %s", what);
}

/* Check base_url and set endpoint and who. */
static telex_status set_address(struct http_backend *b) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL, *query = NULL;
    size_t n = strlen(b->config.base_url);
    while (n && b->config.base_url[n - 1] == '/')
        n--;
    bool good = url && curl_url_set(url, CURLUPART_URL, b->config.base_url, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK &&
                curl_url_get(url, CURLUPART_QUERY, &query, 0) != CURLUE_OK;
    if (good && asprintf(&b->endpoint, "%.*s/chat/completions", (int)n, b->config.base_url) < 0)
        b->endpoint = NULL;
    if (good && asprintf(&b->who, "%s://%s:%s", scheme, host, port) < 0)
        b->who = NULL;
    bool open_key = good && b->config.api_key[0] && strcmp(scheme, "http") == 0 &&
                    strcmp(host, "127.0.0.1") != 0 && strcmp(host, "localhost") != 0 &&
                    strcmp(host, "[::1]") != 0;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_free(query);
    curl_url_cleanup(url);
    if (!good)
        return refuse(b, TELEX_INVALID,
                      "base_url must be an http or https address without user or query, such as "
                      "http://127.0.0.1:8000/v1");
    if (open_key)
        telex_say(b->host, TELEX_WARN, 0, "model-http: api_key is sent to %s in the clear", b->who);
    return b->endpoint && b->who ? TELEX_OK : refuse(b, TELEX_RETRY, "out of memory");
}

static bool add_header(struct http_backend *b, const char *line) {
    struct curl_slist *list = curl_slist_append(b->headers, line);
    if (list)
        b->headers = list;
    return list != NULL;
}

static telex_status set_headers(struct http_backend *b) {
    for (const char *p = b->config.api_key; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return refuse(b, TELEX_INVALID, "api_key holds a space or a control character");
    bool ok = add_header(b, "Content-Type: application/json") &&
              add_header(b, "Accept: application/json, text/event-stream") &&
              add_header(b, "Expect:"); /* or curl waits a second before it sends a long prompt */
    char *bearer = NULL;
    if (b->config.api_key[0])
        ok = ok && asprintf(&bearer, "Authorization: Bearer %s", b->config.api_key) >= 0 &&
             add_header(b, bearer);
    free(bearer);
    return ok ? TELEX_OK : refuse(b, TELEX_RETRY, "out of memory");
}

static void init_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static telex_status start(struct http_backend *b, struct telex_bytes options) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    b->config = (struct http_config){.base_url = "",
                                     .model = "",
                                     .api_key = "",
                                     .schema_style = "json_schema",
                                     .proxy = "",
                                     .connect_timeout_ms = 5000,
                                     .stall_timeout_ms = 120000,
                                     .timeout_ms = 600000,
                                     .max_parallel = 4,
                                     .max_waiting = 256,
                                     .max_reply_bytes = 8 << 20,
                                     .stream = true,
                                     .usage = true,
                                     .guard_control = true};
    if (telex_options_read(http_options, options, &b->config, &b->config_memory) < 0)
        return refuse(b, TELEX_INVALID, "options do not match the table");
    telex_status status = set_address(b);
    if (status == TELEX_OK)
        status = set_headers(b);
    if (status != TELEX_OK)
        return status;
    snprintf(b->name, sizeof(b->name), "model-http %s", b->who);
    b->waiting_end = &b->waiting;
    b->next_id = 1;
    b->multi = curl_multi_init();
    if (!b->multi || pthread_create(&b->thread, NULL, transfer_main, b) != 0)
        return refuse(b, TELEX_RETRY, "no thread for transfers");
    b->started = true;
    return TELEX_OK;
}

telex_status http_open(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct http_backend *b = calloc(1, sizeof(*b));
    if (!b)
        return telex_fail(host, 0, TELEX_RETRY, "model-http: out of memory");
    b->host = host;
    pthread_mutex_init(&b->lock, NULL);
    telex_status status = start(b, options);
    if (status == TELEX_OK)
        *self = b;
    else
        http_close(b);
    return status;
}

void http_close(void *self) {
    struct http_backend *b = self;
    if (b->started) {
        pthread_mutex_lock(&b->lock);
        b->closing = true;
        pthread_mutex_unlock(&b->lock);
        curl_multi_wakeup(b->multi);
        pthread_join(b->thread, NULL);
    }
    if (b->multi)
        curl_multi_cleanup(b->multi);
    curl_slist_free_all(b->headers);
    pthread_mutex_destroy(&b->lock);
    free(b->endpoint);
    free(b->who);
    free(b->config_memory);
    free(b);
}

telex_status http_info(void *self, struct telex_backend_info *out) {
    struct http_backend *b = self;
    const struct telex_backend_info info = {
        .size = sizeof(info),
        .context_tokens = (uint32_t)b->config.context_tokens,
        .model = b->config.model,
        .weights_sha256 = "",
        .backend = b->name,
    };
    return telex_table_fill(out, &info, TELEX_UP_TO(struct telex_backend_info, backend)) ? TELEX_OK
                                                                                         : TELEX_INVALID;
}

/* ---- jobs ---- */

void http_job_destroy(struct http_job *job) {
    if (job->easy)
        curl_easy_cleanup(job->easy);
    reply_finish(&job->reply);
    grammar_destroy(job->grammar);
    free(job->body);
    free(job);
}

static telex_status check_job(struct http_backend *b, const struct telex_job *job) {
    if (!job || job->size < TELEX_UP_TO(struct telex_job, drafts) || job->n_messages == 0 || !job->messages ||
        job->timeout_ms < 0)
        return refuse(b, TELEX_INVALID, "the job has no messages, a bad size or a negative time");
    for (uint32_t i = 0; i < job->n_messages; i++)
        if (!job->messages[i] || job->messages[i]->size < TELEX_UP_TO(struct telex_message, text) ||
            job->messages[i]->role > TELEX_ROLE_ASSISTANT)
            return refuse(b, TELEX_INVALID, "a message has an unknown role or a bad size");
    const struct telex_sampler *s = job->sampler;
    if (s && (s->size < TELEX_UP_TO(struct telex_sampler, repeat_penalty) || !(s->temperature >= 0.0f)))
        return refuse(b, TELEX_INVALID, "the sampler has a bad size or temperature");
    return TELEX_OK;
}

static telex_status prepare(struct http_backend *b, const struct telex_job *asked, struct http_job *job) {
    char why[320];
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    job->submitted_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    job->deadline_ms = asked->timeout_ms ? job->submitted_ms + asked->timeout_ms : 0;
    reply_init(&job->reply, (size_t)b->config.max_reply_bytes);
    /* The same schemas as with local weights, so that a job does not depend on the backend. */
    telex_status status =
        asked->schema.size ? grammar_compile(asked->schema, &job->grammar, why, sizeof(why)) : TELEX_OK;
    if (status != TELEX_OK)
        return refuse(b, status == TELEX_LIMIT ? TELEX_UNSUPPORTED : status, why);
    job->body = request_body(&b->config, asked);
    return job->body ? TELEX_OK : refuse(b, TELEX_AGAIN, "out of memory");
}

telex_status http_generate(void *self, const struct telex_job *asked, telex_job_done done, void *arg,
                           uint64_t *job_id) {
    struct http_backend *b = self;
    telex_status status = check_job(b, asked);
    if (status != TELEX_OK)
        return status;
    struct http_job *job = calloc(1, sizeof(*job));
    if (!job)
        return refuse(b, TELEX_AGAIN, "out of memory");
    job->done = done;
    job->arg = arg;
    atomic_init(&job->cancelled, false);
    status = prepare(b, asked, job);
    pthread_mutex_lock(&b->lock);
    bool full = b->n_waiting >= (uint32_t)b->config.max_waiting;
    if (status == TELEX_OK && !full && !b->closing) {
        job->id = b->next_id++;
        if (job_id)
            *job_id = job->id;
        *b->waiting_end = job;
        b->waiting_end = &job->next;
        b->n_waiting++;
    } else if (status == TELEX_OK) {
        status = refuse(b, TELEX_AGAIN, "too many jobs wait");
    }
    pthread_mutex_unlock(&b->lock);
    if (status == TELEX_OK)
        curl_multi_wakeup(b->multi);
    else
        http_job_destroy(job);
    return status;
}

void http_cancel(void *self, uint64_t job_id) {
    struct http_backend *b = self;
    pthread_mutex_lock(&b->lock);
    struct http_job *lists[2] = {b->waiting, b->active};
    for (int i = 0; i < 2; i++)
        for (struct http_job *job = lists[i]; job; job = job->next)
            if (job->id == job_id)
                atomic_store(&job->cancelled, true);
    pthread_mutex_unlock(&b->lock);
    curl_multi_wakeup(b->multi);
}

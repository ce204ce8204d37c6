/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - from create to destroy, and the thread in between.
 *
 * The strand never touches what the thread owns: on_credit, drain and stop set a flag or nothing and wake the
 * loop. */
#include "stage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

void stage_count(struct stage *stage, int32_t metric, double amount) {
    if (stage->metrics && metric >= 0)
        stage->metrics->add(stage->host, metric, amount);
}

static void define_metrics(struct stage *stage) {
    static const struct {
        size_t at;
        const char *name, *doc;
    } metrics[] = {
        {offsetof(struct stage, polls), "feed_polls_total", "questions asked"},
        {offsetof(struct stage, unchanged), "feed_unchanged_total", "answers without anything new"},
        {offsetof(struct stage, failed), "feed_failures_total", "questions without a usable answer"},
        {offsetof(struct stage, records), "feed_records_total", "records given for the first time"},
        {offsetof(struct stage, edits), "feed_edits_total", "later versions of records"},
        {offsetof(struct stage, bytes), "feed_received_bytes_total", "bytes received, as sent"},
    };
    stage->metrics = stage->host->ext(stage->host, TELEX_METRICS);
    for (size_t i = 0; stage->metrics && i < sizeof(metrics) / sizeof(*metrics); i++)
        *(int32_t *)((char *)stage + metrics[i].at) =
            stage->metrics->define(stage->host, TELEX_COUNTER, metrics[i].name, metrics[i].doc);
}

/* The allow lists of the options. */
static telex_status read_allowed(struct stage *stage) {
    const struct telex_texts *addresses = &stage->options.allow_addresses,
                             *ports = &stage->options.allow_ports;
    stage->allowed = calloc(addresses->count + 1, sizeof(*stage->allowed));
    stage->ports = calloc(ports->count + 1, sizeof(*stage->ports));
    if (!stage->allowed || !stage->ports)
        return TELEX_FATAL;
    for (uint32_t i = 0; i < addresses->count; i++)
        if (address_block_parse(&stage->allowed[i], addresses->items[i]) < 0)
            return telex_fail(stage->host, 0, TELEX_FATAL,
                              "allow_addresses[%u]: \"%.60s\" is no address block such as 127.0.0.0/8", i,
                              addresses->items[i]);
    for (uint32_t i = 0; i < ports->count; i++) {
        char *end;
        unsigned long port = strtoul(ports->items[i], &end, 10);
        if (*end || !port || port > 65535)
            return telex_fail(stage->host, 0, TELEX_FATAL, "allow_ports[%u]: \"%.60s\" is no port", i,
                              ports->items[i]);
        stage->ports[i] = (uint16_t)port;
    }
    return TELEX_OK;
}

static void fill_fetch_config(struct stage *stage) {
    const struct options *o = &stage->options;
    if (*o->user_agent)
        snprintf(stage->user_agent, sizeof(stage->user_agent), "%s", o->user_agent);
    else
        snprintf(stage->user_agent, sizeof(stage->user_agent), "telex/0.1 (news wire; feed reader%s%.150s)",
                 *o->contact ? "; " : "", o->contact);
    stage->fetch_config = (struct fetch_config){
        .limits =
            {
                .connect_ms = o->connect_ms,
                .total_ms = o->timeout_ms,
                .wire_bytes = o->wire_bytes,
                .body_bytes = o->body_bytes,
                .ratio = o->ratio,
                .slow_bytes_s = o->slow_bytes_s,
                .slow_ms = o->slow_ms,
                .redirects = (int)o->redirects,
            },
        .user_agent = stage->user_agent,
        .allowed = stage->allowed,
        .n_allowed = o->allow_addresses.count,
        .ports = stage->ports,
        .n_ports = o->allow_ports.count,
    };
}

/* What was not given is empty. */
static void fill_options(struct options *o) {
    const char **texts[] = {&o->feeds_file, &o->user_agent, &o->contact};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (!*texts[i])
            *texts[i] = "";
}

telex_status stage_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct stage *stage = calloc(1, sizeof(*stage));
    if (!stage)
        return TELEX_FATAL;
    stage->host = host;
    if (telex_options_read(stage_options, options, &stage->options, &stage->options_memory) < 0) {
        free(stage);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    fill_options(&stage->options);
    telex_status status = list_read(stage);
    if (status == TELEX_OK)
        status = read_allowed(stage);
    if (status != TELEX_OK) {
        stage_destroy(stage);
        return status;
    }
    fill_fetch_config(stage);
    stage->kv = host->ext(host, TELEX_KV);
    define_metrics(stage);
    *self = stage;
    return TELEX_OK;
}

/* ---- the thread ---- */

static void on_wake(uv_async_t *wake) {
    struct stage *stage = wake->data;
    if (!atomic_load(&stage->stopping)) {
        emit_waiting(stage);
        poll_due(stage);
        return;
    }
    fetcher_destroy(stage->fetcher);
    stage->fetcher = NULL;
    uv_close((uv_handle_t *)&stage->tick, NULL);
    uv_close((uv_handle_t *)&stage->wake, NULL);
}

static void run(void *arg) {
    struct stage *stage = arg;
    poll_due(stage);
    uv_run(&stage->loop, UV_RUN_DEFAULT);
}

static void init_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT); /* for the life of the process: a plugin is never unloaded */
}

telex_status stage_start(void *self) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct stage *stage = self;
    pthread_once(&once, init_curl);
    telex_status status = state_load(stage);
    if (status != TELEX_OK)
        return status;
    int err = uv_loop_init(&stage->loop);
    if (err < 0)
        return telex_fail(stage->host, 0, TELEX_FATAL, "no event loop: %s", uv_strerror(err));
    uv_async_init(&stage->loop, &stage->wake, on_wake);
    uv_timer_init(&stage->loop, &stage->tick);
    stage->wake.data = stage->tick.data = stage;
    err = fetcher_create(&stage->fetcher, &stage->loop, &stage->fetch_config);
    if (err == 0)
        err = uv_thread_create(&stage->thread, run, stage);
    if (err < 0) {
        fetcher_destroy(stage->fetcher);
        uv_close((uv_handle_t *)&stage->tick, NULL);
        uv_close((uv_handle_t *)&stage->wake, NULL);
        uv_run(&stage->loop, UV_RUN_DEFAULT);
        uv_loop_close(&stage->loop);
        return telex_fail(stage->host, 0, TELEX_FATAL, "no thread for the feeds: %d", err);
    }
    stage->running = true;
    telex_say(stage->host, TELEX_INFO, 0, "follows %zu feeds of %zu sites", stage->n_sources,
              stage->n_domains);
    return TELEX_OK;
}

void stage_on_credit(void *self) {
    struct stage *stage = self;
    if (stage->running)
        uv_async_send(&stage->wake);
}

void stage_drain(void *self, int64_t deadline_ms) {
    struct stage *stage = self;
    (void)deadline_ms;
    atomic_store(&stage->draining, true);
}

void stage_stop(void *self) {
    struct stage *stage = self;
    if (!stage || !stage->running)
        return;
    atomic_store(&stage->stopping, true);
    uv_async_send(&stage->wake);
    uv_thread_join(&stage->thread);
    uv_loop_close(&stage->loop);
    stage->running = false;
}

void stage_destroy(void *self) {
    struct stage *stage = self;
    if (!stage)
        return;
    while (stage->first) {
        struct arrival *next = stage->first->next;
        arrival_free(stage->first);
        stage->first = next;
    }
    poll_finish(stage);
    for (size_t i = 0; i < stage->n_forget; i++)
        free(stage->forget[i]);
    free(stage->forget);
    list_finish(stage);
    free(stage->known.slots);
    free(stage->allowed);
    free(stage->ports);
    free(stage->options_memory);
    free(stage);
}

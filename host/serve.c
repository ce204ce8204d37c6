/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the engine's face: events to live readers, health and metrics to operators.
 *
 * An event is shown only after its commit, and its stream id is the wire's own seq, so what a reader has seen
 * can always be found again in the journal. */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <telex-sdk/json.h>

#include "http.h"
#include "log.h"

enum { REPLAY_MAX = 500 };

struct serve {
    struct engine *engine;
    struct http *http;
    struct http_site *site; /* under the engine's lock */
    char base[128], admin[128], epoch[16];
    char public_host[64], admin_host[64];
    bool closed;
};

/* ---- events ---- */

struct event {
    uint64_t seq;
    char kind[33];
    char *json; /* owned */
};

/* What a stream needs of a telex.event/1. False when it has no seq. */
static bool event_read(struct event *event, const struct telex_rec *rec) {
    struct telex_map map;
    if (telex_map_open(&map, rec->body) < 0)
        return false;
    struct telex_bytes act = telex_map_text(map.root, "act");
    event->seq = (uint64_t)telex_map_int(map.root, "seq", 0);
    snprintf(event->kind, sizeof(event->kind), "%.*s", (int)(act.size < 32 ? act.size : 32),
             (const char *)act.data);
    telex_map_close(&map);
    event->json = event->seq ? telex_json_line(rec->body) : NULL;
    return event->json != NULL;
}

static void on_event(void *arg, struct telex_rec *rec) {
    struct serve *serve = arg;
    struct event event;
    if (!serve->site || !event_read(&event, rec))
        return;
    http_event_publish(serve->site, event.seq, event.kind, event.json, strlen(event.json));
    free(event.json);
}

struct replay {
    uint64_t after;
    uint32_t left;
    http_replay_sink sink;
    void *sink_ctx;
};

static void replay_one(void *arg, struct telex_rec *rec) {
    struct replay *replay = arg;
    struct event event;
    if (replay->left == 0 || !event_read(&event, rec))
        return;
    if (event.seq > replay->after) {
        replay->sink(replay->sink_ctx, event.seq, event.kind, event.json, strlen(event.json));
        replay->left--;
    }
    free(event.json);
}

static int on_replay(void *ctx, const char *mount, uint64_t after, uint32_t max, http_replay_sink sink,
                     void *sink_ctx) {
    struct serve *serve = ctx;
    struct replay replay = {after, max, sink, sink_ctx};
    (void)mount;
    return journal_last_events(serve->engine->journal, REPLAY_MAX, replay_one, &replay);
}

static void newest_seq(void *arg, struct telex_rec *rec) {
    struct event event;
    uint64_t *seq = arg;
    if (!event_read(&event, rec))
        return;
    *seq = event.seq > *seq ? event.seq : *seq;
    free(event.json);
}

static void on_site(void *arg, const char *root) {
    struct serve *serve = arg;
    uint64_t seq = 0;
    struct http_site *site = NULL;
    journal_last_events(serve->engine->journal, 1, newest_seq, &seq);
    int err = http_site_add(serve->http, "/", root, seq, &site);
    if (err < 0) {
        log_say(TELEX_ERROR, "host", "cannot serve %s: %s", root, strerror(-err));
        return;
    }
    pthread_mutex_lock(&serve->engine->lock);
    serve->site = site;
    pthread_mutex_unlock(&serve->engine->lock);
}

/* ---- status ---- */

static const char *state_name(const struct stage *stage) {
    static const char *const names[] = {[STAGE_IDLE] = "starting",
                                        [STAGE_RUNNING] = "running",
                                        [STAGE_BACKOFF] = "restarting",
                                        [STAGE_FAILED] = "failed",
                                        [STAGE_STOPPED] = "stopped"};
    return names[stage->state];
}

static json_t *stage_status_locked(const struct stage *stage) {
    bool isolated = stage->instance && stage->instance->created && stage->instance->calls == &isolate_stage;
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:i}", "name",
                     stage->config->name, "plugin", stage->class->name, "state", state_name(stage), "steps",
                     (json_int_t)stage->n_steps, "outputs", (json_int_t)stage->n_outputs_total, "failures",
                     (json_int_t)stage->n_rejects, "retries", (json_int_t)stage->n_retries, "quarantined",
                     (json_int_t)stage->n_quarantined, "restarts", (json_int_t)stage->n_crashes, "open",
                     stage->instance ? (int)atomic_load(&stage->instance->n_open) : 0, "lives",
                     (json_int_t)stage->n_lives, "generation", (json_int_t)stage->generation, "pid",
                     isolated ? (int)isolate_pid(stage->instance->self) : (int)getpid());
}

json_t *serve_status(struct engine *engine) {
    json_t *stages = json_array(), *edges = json_array();
    const char *status = "ok";
    char pipeline[64];
    pthread_mutex_lock(&engine->lock);
    snprintf(pipeline, sizeof(pipeline), "%s", engine->config->pipeline);
    json_int_t generation = (json_int_t)engine->generation;
    for (size_t i = 0; i < engine->n_stages; i++) {
        json_array_append_new(stages, stage_status_locked(engine->stages[i]));
        if (engine->stages[i]->state == STAGE_FAILED || engine->stages[i]->state == STAGE_BACKOFF)
            status = "degraded";
    }
    for (size_t i = 0; i < engine->n_edges; i++) {
        const struct edge *edge = engine->edges[i];
        json_array_append_new(edges, json_pack("{s:s, s:i, s:i, s:I, s:I}", "name", edge->config->name,
                                               "waiting", (int)edge->n_waiting, "taken", (int)edge->n_taken,
                                               "delivered", (json_int_t)edge->n_delivered, "superseded",
                                               (json_int_t)edge->n_superseded));
    }
    if (engine->phase >= PHASE_DRAIN)
        status = "draining";
    if (engine->broken)
        status = "broken";
    pthread_mutex_unlock(&engine->lock);
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "status", status, "pipeline", pipeline, "generation",
                     generation, "uptime_ms", (json_int_t)(mono_ms() - engine->started_ms), "stages", stages,
                     "edges", edges);
}

static int on_health(void *ctx, FILE *out) {
    struct serve *serve = ctx;
    json_t *status = serve_status(serve->engine);
    const char *word = json_string_value(json_object_get(status, "status"));
    int code = word && strcmp(word, "ok") == 0 ? 200 : 503;
    json_dumpf(status, out, JSON_INDENT(2));
    json_decref(status);
    return code;
}

/* ---- metrics, as OpenMetrics text ---- */

struct stage_number {
    const char *name, *type, *doc;
    uint64_t (*value)(const struct stage *stage);
};

static uint64_t get_steps(const struct stage *stage) {
    return stage->n_steps;
}
static uint64_t get_outputs(const struct stage *stage) {
    return stage->n_outputs_total;
}
static uint64_t get_failures(const struct stage *stage) {
    return stage->n_rejects;
}
static uint64_t get_retries(const struct stage *stage) {
    return stage->n_retries;
}
static uint64_t get_quarantined(const struct stage *stage) {
    return stage->n_quarantined;
}
static uint64_t get_restarts(const struct stage *stage) {
    return stage->n_crashes;
}

static void stage_metrics_locked(const struct engine *engine, FILE *out) {
    static const struct stage_number numbers[] = {
        {"telex_stage_steps", "counter", "Steps committed.", get_steps},
        {"telex_stage_outputs", "counter", "Messages committed.", get_outputs},
        {"telex_stage_failures", "counter", "Steps that counted against their record.", get_failures},
        {"telex_stage_retries", "counter", "Steps put off by a passing fault.", get_retries},
        {"telex_stage_quarantined", "counter", "Records moved to quarantine.", get_quarantined},
        {"telex_stage_restarts", "counter", "Instances recreated.", get_restarts},
    };
    for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
        fprintf(out, "# TYPE %s %s\n# HELP %s %s\n", numbers[k].name, numbers[k].type, numbers[k].name,
                numbers[k].doc);
        for (size_t i = 0; i < engine->n_stages; i++)
            fprintf(out, "%s_total{stage=\"%s\"} %llu\n", numbers[k].name, engine->stages[i]->config->name,
                    (unsigned long long)numbers[k].value(engine->stages[i]));
    }
}

static void edge_metrics_locked(const struct engine *engine, FILE *out) {
    fprintf(out, "# TYPE telex_edge_waiting gauge\n# HELP telex_edge_waiting Messages waiting.\n");
    for (size_t i = 0; i < engine->n_edges; i++)
        fprintf(out, "telex_edge_waiting{edge=\"%s\"} %u\n", engine->edges[i]->config->name,
                engine->edges[i]->n_waiting);
    fprintf(
        out,
        "# TYPE telex_edge_delivered counter\n# HELP telex_edge_delivered Messages whose step committed.\n");
    for (size_t i = 0; i < engine->n_edges; i++)
        fprintf(out, "telex_edge_delivered_total{edge=\"%s\"} %llu\n", engine->edges[i]->config->name,
                (unsigned long long)engine->edges[i]->n_delivered);
}

static void plugin_metrics_locked(struct engine *engine, FILE *out) {
    for (size_t i = 0; i < engine->n_stages; i++) {
        struct stage *stage = engine->stages[i];
        pthread_mutex_lock(&stage->lock);
        for (uint32_t k = 0; k < stage->n_metrics; k++) {
            const struct metric *metric = &stage->metrics[k];
            bool counter = metric->kind == TELEX_COUNTER;
            fprintf(out, "# TYPE telex_%s_%s %s\ntelex_%s_%s%s{stage=\"%s\"} %.17g\n", stage->config->name,
                    metric->name, counter ? "counter" : "gauge", stage->config->name, metric->name,
                    counter ? "_total" : "", stage->config->name, metric->value);
        }
        pthread_mutex_unlock(&stage->lock);
    }
}

static int on_metrics(void *ctx, FILE *out) {
    struct engine *engine = ((struct serve *)ctx)->engine;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    fprintf(out, "# TYPE telex_resident_peak_bytes gauge\ntelex_resident_peak_bytes %lld\n",
            usage.ru_maxrss * 1024LL);
    pthread_mutex_lock(&engine->lock);
    stage_metrics_locked(engine, out);
    edge_metrics_locked(engine, out);
    plugin_metrics_locked(engine, out);
    pthread_mutex_unlock(&engine->lock);
    return 200;
}

static void on_log(void *ctx, int level, const char *line) {
    (void)ctx;
    log_say(level, "http", "%s", line);
}

/* ---- life ---- */

/* "127.0.0.1:8080" or "[::1]:8080" -> address without brackets, port. False when it is neither. */
static bool split_address(const char *text, char *host, size_t host_size, uint16_t *port) {
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (!colon)
        return false;
    bool bracket = text[0] == '[';
    size_t n = (size_t)(colon - text) - (bracket ? 2 : 0);
    char *end;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (n >= host_size || number > 65535 || *end)
        return false;
    memcpy(host, text + bracket, n);
    host[n] = 0;
    *port = (uint16_t)number;
    return true;
}

static int bind_from(struct http_bind *bind, const char *text, const char *key, char *host, size_t host_size,
                     char *why, size_t why_size) {
    bind->key = key;
    if (!text)
        return 0;
    if (!split_address(text, host, host_size, &bind->port)) {
        snprintf(why, why_size, "%s: '%s' is no address; write it as 127.0.0.1:8080", key, text);
        return -EINVAL;
    }
    bind->address = host;
    return 0;
}

static void format_url(char *out, size_t size, const char *host, uint16_t port) {
    if (port)
        snprintf(out, size, strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host, port);
}

int serve_start(struct serve **out, struct engine *engine, char *why, size_t why_size) {
    *out = NULL;
    if (!engine->config->listen && !engine->config->admin)
        return 0;
    struct serve *serve = calloc(1, sizeof(*serve));
    if (!serve)
        return -ENOMEM;
    serve->engine = engine;
    journal_epoch(engine->journal, serve->epoch);
    struct http_config config = {.epoch = serve->epoch,
                                 .replay = on_replay,
                                 .replay_ctx = serve,
                                 .log = on_log,
                                 .health = on_health,
                                 .metrics = on_metrics,
                                 .admin_ctx = serve,
                                 .replay_max = REPLAY_MAX};
    int err = bind_from(&config.public_bind, engine->config->listen, "http.listen", serve->public_host,
                        sizeof(serve->public_host), why, why_size);
    if (err == 0)
        err = bind_from(&config.admin_bind, engine->config->admin, "http.admin", serve->admin_host,
                        sizeof(serve->admin_host), why, why_size);
    if (err == 0)
        err = http_create(engine->loop, &config, &serve->http, why, why_size);
    if (err < 0) {
        free(serve);
        return err;
    }
    format_url(serve->base, sizeof(serve->base), serve->public_host, http_public_port(serve->http));
    format_url(serve->admin, sizeof(serve->admin), serve->admin_host, http_admin_port(serve->http));
    engine->hooks_arg = serve;
    engine->on_event = on_event;
    engine->on_site = on_site;
    engine->base_url = serve->base;
    *out = serve;
    return 0;
}

const char *serve_base(const struct serve *serve) {
    return serve && serve->base[0] ? serve->base : NULL;
}

const char *serve_admin(const struct serve *serve) {
    return serve && serve->admin[0] ? serve->admin : NULL;
}

static void on_closed(void *ctx) {
    ((struct serve *)ctx)->closed = true;
}

void serve_stop(struct serve *serve) {
    if (!serve)
        return;
    pthread_mutex_lock(&serve->engine->lock);
    serve->engine->on_event = NULL;
    serve->engine->on_site = NULL;
    serve->engine->base_url = NULL;
    serve->site = NULL;
    pthread_mutex_unlock(&serve->engine->lock);
    http_stop(serve->http, on_closed, serve);
    while (!serve->closed)
        uv_run(serve->engine->loop, UV_RUN_ONCE);
    free(serve);
}

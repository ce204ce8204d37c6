/* SPDX-License-Identifier: Apache-2.0 */
/* services.c - the extensions whose work is done by the host: kv, metrics, timer and http as questions.
 *
 * A runner has an extension when the host has it, so a plugin finds the same services wherever it runs. */
#include "remote.h"

#include <stdlib.h>
#include <string.h>

static struct remote *remote_of(const struct telex_host *host) {
    return host->impl;
}

/* ---- telex.kv/1 ---- */

static int64_t kv_get(const struct telex_host *host, telex_lease lease, struct telex_bytes key, void *out,
                      uint64_t capacity) {
    struct message m = {.type = FROM_KV_GET, .lease = lease};
    struct question q = {.stays = false};
    if (key.size > TELEX_KV_KEY_MAX_BYTES)
        return TELEX_INVALID;
    int64_t size = remote_ask(remote_of(host), m, key.data, key.size, &q);
    if (size == TELEX_OK) {
        size = (int64_t)q.size;
        uint64_t n = q.size < capacity ? q.size : capacity;
        if (n)
            memcpy(out, q.data, n);
    }
    question_finish(&q);
    return size;
}

static telex_status kv_put(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                           struct telex_bytes value) {
    if (key.size > TELEX_KV_KEY_MAX_BYTES || value.size > TELEX_KV_VALUE_MAX_BYTES)
        return TELEX_LIMIT;
    uint8_t *payload = malloc(key.size + value.size + 1);
    if (!payload)
        return TELEX_LIMIT;
    if (key.size)
        memcpy(payload, key.data, key.size);
    if (value.size)
        memcpy(payload + key.size, value.data, value.size);
    struct message m = {.type = FROM_KV_PUT, .lease = lease, .a = key.size};
    telex_status status = remote_ask(remote_of(host), m, payload, key.size + value.size, NULL);
    free(payload);
    return status;
}

static telex_status kv_del(const struct telex_host *host, telex_lease lease, struct telex_bytes key) {
    struct message m = {.type = FROM_KV_DEL, .lease = lease};
    if (key.size > TELEX_KV_KEY_MAX_BYTES)
        return TELEX_INVALID;
    return remote_ask(remote_of(host), m, key.data, key.size, NULL);
}

static telex_status kv_scan(const struct telex_host *host, telex_lease lease, struct telex_bytes prefix,
                            int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value),
                            void *arg) {
    struct message m = {.type = FROM_KV_SCAN, .lease = lease};
    struct question q = {.stays = false};
    if (prefix.size > TELEX_KV_KEY_MAX_BYTES || !visit)
        return TELEX_INVALID;
    telex_status status = remote_ask(remote_of(host), m, prefix.data, prefix.size, &q);
    uint64_t at = 0;
    while (status == TELEX_OK && q.size - at >= 8) {
        uint32_t sizes[2];
        memcpy(sizes, q.data + at, 8);
        struct telex_bytes key = {q.data + at + 8, sizes[0]};
        struct telex_bytes value = {q.data + at + 8 + sizes[0], sizes[1]};
        at += 8 + (uint64_t)sizes[0] + sizes[1];
        if (visit(arg, key, value) != 0)
            break;
    }
    question_finish(&q);
    return status;
}

static const struct telex_kv kv_table = {
    .size = sizeof(kv_table), .get = kv_get, .put = kv_put, .del = kv_del, .scan = kv_scan};

/* ---- telex.metrics/1 ---- */

static int32_t metrics_define(const struct telex_host *host, int32_t kind, const char *name,
                              const char *doc) {
    size_t n_name = name ? strlen(name) : 0, n_doc = doc ? strlen(doc) : 0;
    uint8_t payload[1024];
    if (n_name == 0 || n_name > 256 || n_doc > 512)
        return TELEX_INVALID;
    if (!strand_is_this()) {
        remote_broken(
            remote_of(host), "thread.control",
            "define: metrics are defined on the control thread, in create or a later call; refused");
        return TELEX_INVALID;
    }
    memcpy(payload, name, n_name);
    if (n_doc)
        memcpy(payload + n_name, doc, n_doc);
    struct message m = {.type = FROM_METRIC_DEFINE, .a = (uint64_t)kind, .b = n_name};
    return remote_ask(remote_of(host), m, payload, n_name + n_doc, NULL);
}

static void say_metric(const struct telex_host *host, uint32_t type, int32_t metric, double value) {
    struct message m = {.type = type, .a = (uint64_t)metric};
    memcpy(&m.b, &value, sizeof(value));
    remote_say(remote_of(host), m, NULL, 0, false);
}

static void metrics_add(const struct telex_host *host, int32_t metric, double amount) {
    say_metric(host, FROM_METRIC_ADD, metric, amount);
}

static void metrics_set(const struct telex_host *host, int32_t metric, double value) {
    say_metric(host, FROM_METRIC_SET, metric, value);
}

static const struct telex_metrics metrics_table = {
    .size = sizeof(metrics_table), .define = metrics_define, .add = metrics_add, .set = metrics_set};

/* ---- telex.timer/1 ---- */

static telex_status timer_set(const struct telex_host *host, uint64_t timer, int64_t delay_ms) {
    struct message m = {.type = FROM_TIMER_SET, .a = timer, .b = (uint64_t)delay_ms};
    return remote_ask(remote_of(host), m, NULL, 0, NULL);
}

static void timer_clear(const struct telex_host *host, uint64_t timer) {
    struct message m = {.type = FROM_TIMER_CLEAR, .a = timer};
    remote_say(remote_of(host), m, NULL, 0, true);
}

static const struct telex_timer timer_table = {
    .size = sizeof(timer_table), .set = timer_set, .clear = timer_clear};

/* ---- telex.http/1 ---- */

static telex_status http_site(const struct telex_host *host, const char *root) {
    size_t n = root ? strlen(root) : 0;
    struct message m = {.type = FROM_SITE};
    if (n == 0 || n > INLINE_MAX_BYTES)
        return TELEX_INVALID;
    return remote_ask(remote_of(host), m, root, n, NULL);
}

/* Asked once: the answer lives as long as the host handle. */
static const char *http_base(const struct telex_host *host) {
    struct remote *remote = remote_of(host);
    struct message m = {.type = FROM_BASE};
    struct question q = {.stays = false};
    telex_status status = remote_ask(remote, m, NULL, 0, &q);
    char *text = status == TELEX_OK ? strndup(q.data ? (const char *)q.data : "", q.size) : NULL;
    question_finish(&q);
    pthread_mutex_lock(&remote->lock);
    if (remote->base)
        free(text);
    else
        remote->base = text;
    const char *base = remote->base ? remote->base : "";
    pthread_mutex_unlock(&remote->lock);
    return base;
}

static const struct telex_http http_table = {
    .size = sizeof(http_table), .site = http_site, .base = http_base};

const void *services_ext(const struct telex_host *host, const char *id) {
    struct remote *remote = remote_of(host);
    uint32_t services = remote->setup.services;
    if (!id)
        return NULL;
    if (strcmp(id, TELEX_KV) == 0)
        return services & SERVICE_KV ? &kv_table : NULL;
    if (strcmp(id, TELEX_METRICS) == 0)
        return services & SERVICE_METRICS ? &metrics_table : NULL;
    if (strcmp(id, TELEX_TIMER) == 0)
        return services & SERVICE_TIMER ? &timer_table : NULL;
    if (strcmp(id, TELEX_HTTP) == 0)
        return services & SERVICE_HTTP ? &http_table : NULL;
    if (strcmp(id, TELEX_IO) == 0)
        return services & SERVICE_IO ? &watch_table : NULL;
    if (strcmp(id, TELEX_MODELS) == 0)
        return remote->models ? &jobs_table : NULL;
    return NULL;
}

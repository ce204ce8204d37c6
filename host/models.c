/* SPDX-License-Identifier: Apache-2.0 */
/* models.c - opens backends and keeps the list of running jobs.
 *
 * A job is listed before its backend hears of it, because the backend may be done before generate() returns;
 * the entry leaves the list when both have happened and nobody is cancelling it. The lock is never held while
 * a plugin's code runs.
 *
 * A backend gets a host of its own: it can log, read the clocks and say why something failed. */
#include "models.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <driver/driver.h>
#include <telex-sdk/message.h>
#include <telex-sdk/table.h>

/* One open plugin. */
struct backend {
    struct telex_host host; /* what the plugin sees; impl is the backend */
    const struct telex_host *outer;
    char *name, *path; /* owned */
    uint8_t *options;  /* owned copy, to find equal entries */
    size_t options_size;
    const struct telex_generate *generate; /* or: */
    const struct telex_model *model;
    void *self;
    struct driver *driver;        /* with model, unless it is an encoder */
    struct telex_model_info info; /* with model */
};

/* A job that has not ended. */
struct running {
    struct running *next, **at;
    struct models *models;
    struct backend *backend;
    telex_lease lease;
    uint64_t id, backend_id; /* backend_id is 0 until generate() has returned */
    bool done, returned, cancelled;
    uint32_t pins; /* cancels on their way */
    telex_job_done callback;
    void *arg;
};

struct models {
    struct backend *backends; /* n entries at most; shared ones appear once */
    size_t n_backends;
    struct {
        char *name;
        struct backend *backend;
    } * entries;
    size_t n;
    pthread_mutex_t lock;
    pthread_cond_t empty;
    struct running *running;
    uint64_t next_id;
};

/* ---- the host that a backend sees ---- */

/* What fail() was last told on this thread. */
static _Thread_local char last_why[512];

static void backend_log(const struct telex_host *host, int32_t level, telex_lease lease,
                        struct telex_bytes text) {
    const struct backend *b = host->impl;
    char line[1024];
    if (!b->outer || !b->outer->log)
        return;
    int n = snprintf(line, sizeof(line), "%s: %.*s", b->name, (int)(text.size < 900 ? text.size : 900),
                     (const char *)text.data);
    struct telex_bytes all = {(const uint8_t *)line, n < 0 ? 0 : (uint64_t)n};
    bool named = text.size > strlen(b->name) && memcmp(text.data, b->name, strlen(b->name)) == 0;
    b->outer->log(b->outer, level, lease, named ? text : all);
}

static telex_status backend_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                                 struct telex_bytes why) {
    (void)host, (void)lease;
    size_t n = why.size < sizeof(last_why) - 1 ? (size_t)why.size : sizeof(last_why) - 1;
    memcpy(last_why, why.data, n);
    last_why[n] = 0;
    return status;
}

static int64_t backend_now_ms(const struct telex_host *host, int32_t clock) {
    (void)host;
    struct timespec t;
    clock_gettime(clock == TELEX_CLOCK_WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const void *backend_ext(const struct telex_host *host, const char *id) {
    (void)host, (void)id;
    return NULL;
}

/* ---- open ---- */

static telex_status say(char *why, size_t why_size, telex_status status, const char *who, const char *what) {
    snprintf(why, why_size, "model %s: %s", who, what);
    return status;
}

/* The limits of the driver, where the plugin's table has them. */
static void read_driver_config(struct telex_bytes options, struct driver_config *config, char **record) {
    struct telex_map map;
    if (telex_map_open(&map, options) < 0)
        return;
    config->parallel = (uint32_t)telex_map_int(map.root, "parallel", 0);
    config->kv_tokens = (uint32_t)telex_map_int(map.root, "kv_tokens", 0);
    config->no_prefix_cache = !telex_map_flag(map.root, "prefix_cache", true);
    struct telex_bytes path = telex_map_text(map.root, "record");
    *record = path.size ? strndup((const char *)path.data, path.size) : NULL;
    config->record = *record;
    config->no_drafts = !telex_map_flag(map.root, "drafts", true);
    config->no_forced = !telex_map_flag(map.root, "forced", true);
    config->no_masked_head = !telex_map_flag(map.root, "masked_head", true);
    telex_map_close(&map);
}

static telex_status open_class(struct backend *b, const struct plugin_desc *plugin,
                               struct telex_bytes options, char *why, size_t why_size) {
    char reason[512];
    last_why[0] = 0;
    if (strcmp(plugin->class_id, TELEX_CLASS_GENERATE) != 0 &&
        strcmp(plugin->class_id, TELEX_CLASS_MODEL) != 0)
        return say(why, why_size, TELEX_INVALID, b->name, "this plugin is a stage, not a model");
    const void *table = plugin_load(plugin, reason, sizeof(reason));
    if (!table)
        return say(why, why_size, TELEX_FATAL, b->name, reason);
    bool weights = strcmp(plugin->class_id, TELEX_CLASS_MODEL) == 0;
    const struct telex_model *model = weights ? table : NULL;
    const struct telex_generate *generate = weights ? NULL : table;
    telex_status status =
        weights ? model->open(&b->host, options, &b->self) : generate->open(&b->host, options, &b->self);
    if (status != TELEX_OK)
        return say(why, why_size, status, b->name, last_why[0] ? last_why : "it does not open");
    b->model = model;
    b->generate = generate;
    if (!weights)
        return TELEX_OK;
    b->info = (struct telex_model_info){.size = sizeof(b->info)};
    if (model->info(b->self, &b->info) != TELEX_OK)
        return say(why, why_size, TELEX_FATAL, b->name, "it does not say what it is");
    if (b->info.flags & TELEX_MODEL_ENCODER)
        return TELEX_OK; /* no jobs: nothing to drive */
    struct driver_config config = {0};
    char *record = NULL;
    read_driver_config(options, &config, &record);
    status = driver_open(&b->host, model, b->self, &config, &b->driver, reason, sizeof(reason));
    free(record);
    return status == TELEX_OK ? status : say(why, why_size, status, b->name, reason);
}

static void close_backend(struct backend *b) {
    if (b->driver)
        driver_close(b->driver);
    if (b->model)
        b->model->close(b->self);
    if (b->generate)
        b->generate->close(b->self);
    free(b->name);
    free(b->path);
    free(b->options);
}

/* An open backend for an entry: one that is there already, or a new one. */
static telex_status backend_for(struct models *m, const struct telex_host *host,
                                const struct models_spec *spec, struct backend **out, char *why,
                                size_t why_size) {
    for (size_t i = 0; i < m->n_backends; i++) {
        struct backend *b = &m->backends[i];
        if (strcmp(b->path, spec->plugin->path) == 0 && b->options_size == spec->options.size &&
            memcmp(b->options, spec->options.data, b->options_size) == 0) {
            *out = b;
            return TELEX_OK;
        }
    }
    struct backend *b = &m->backends[m->n_backends];
    b->host = (struct telex_host){.size = sizeof(b->host),
                                  .impl = b,
                                  .ext = backend_ext,
                                  .log = backend_log,
                                  .fail = backend_fail,
                                  .now_ms = backend_now_ms};
    b->outer = host;
    b->name = strdup(spec->plugin->name);
    b->path = strdup(spec->plugin->path);
    b->options = malloc(spec->options.size + 1);
    m->n_backends++;
    if (!b->name || !b->path || !b->options)
        return say(why, why_size, TELEX_RETRY, spec->name, "out of memory");
    if (spec->options.size)
        memcpy(b->options, spec->options.data, spec->options.size);
    b->options_size = spec->options.size;
    *out = b;
    return open_class(b, spec->plugin, spec->options, why, why_size);
}

telex_status models_open(const struct telex_host *host, const struct models_spec *specs, size_t n,
                         struct models **out, char *why, size_t why_size) {
    struct models *m = calloc(1, sizeof(*m));
    if (!m)
        return say(why, why_size, TELEX_RETRY, "", "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->empty, NULL);
    m->next_id = 1;
    m->backends = calloc(n ? n : 1, sizeof(*m->backends));
    m->entries = calloc(n ? n : 1, sizeof(*m->entries));
    telex_status status =
        m->backends && m->entries ? TELEX_OK : say(why, why_size, TELEX_RETRY, "", "out of memory");
    for (size_t i = 0; i < n && status == TELEX_OK; i++) {
        m->entries[i].name = strdup(specs[i].name);
        m->n = i + 1;
        status = m->entries[i].name ? backend_for(m, host, &specs[i], &m->entries[i].backend, why, why_size)
                                    : say(why, why_size, TELEX_RETRY, specs[i].name, "out of memory");
    }
    if (status == TELEX_OK)
        *out = m;
    else
        models_close(m);
    return status;
}

long models_find(const struct models *m, const char *name) {
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->entries[i].name, name) == 0)
            return (long)i;
    return -1;
}

telex_status models_info(struct models *m, size_t index, struct telex_backend_info *out) {
    if (index >= m->n)
        return TELEX_NOT_FOUND;
    struct backend *b = m->entries[index].backend;
    if (b->generate)
        return b->generate->info(b->self, out);
    if (b->driver)
        return driver_info(b->driver, out);
    const struct telex_backend_info info = {.size = sizeof(info),
                                            .context_tokens = b->info.context_tokens,
                                            .model = b->info.model,
                                            .weights_sha256 = b->info.weights_sha256,
                                            .backend = b->name};
    return telex_table_fill(out, &info, TELEX_UP_TO(struct telex_backend_info, backend)) ? TELEX_OK
                                                                                         : TELEX_INVALID;
}

telex_status models_weights(struct models *m, size_t index, const struct telex_model **model_class,
                            void **model) {
    if (index >= m->n)
        return TELEX_NOT_FOUND;
    struct backend *b = m->entries[index].backend;
    if (!b->model)
        return TELEX_UNSUPPORTED;
    *model_class = b->model;
    *model = b->self;
    return TELEX_OK;
}

/* ---- jobs ---- */

/* Off the list once its callback has run and generate() has returned. Under the lock. */
static void leave(struct running *r) {
    if (!r->done || !r->returned || r->pins)
        return;
    struct models *m = r->models;
    *r->at = r->next;
    if (r->next)
        r->next->at = r->at;
    free(r);
    if (!m->running)
        pthread_cond_broadcast(&m->empty);
}

static void on_done(void *arg, const struct telex_result *result) {
    struct running *r = arg;
    struct models *m = r->models;
    r->callback(r->arg, result);
    pthread_mutex_lock(&m->lock);
    r->done = true;
    leave(r);
    pthread_mutex_unlock(&m->lock);
}

/* Cancel a job. Under the lock, which is given up meanwhile: the list may have changed when it returns. */
static void cancel_one(struct running *r) {
    struct models *m = r->models;
    r->cancelled = true;
    if (r->done || !r->returned)
        return; /* models_generate will see it */
    r->pins++;
    pthread_mutex_unlock(&m->lock);
    if (r->backend->generate)
        r->backend->generate->cancel(r->backend->self, r->backend_id);
    else
        driver_cancel(r->backend->driver, r->backend_id);
    pthread_mutex_lock(&m->lock);
    r->pins--;
    leave(r);
}

/* Cancel the job with this id, or those of this lease, or (both 0) all. Under the lock. */
static void cancel_where(struct models *m, uint64_t id, telex_lease lease) {
    for (struct running *r = m->running; r;) {
        bool meant = id ? r->id == id : lease ? r->lease == lease : true;
        if (meant && !r->cancelled) {
            cancel_one(r);
            r = m->running;
        } else {
            r = r->next;
        }
    }
}

static telex_status hand_in(struct running *r, const struct telex_job *job, uint64_t *backend_id, char *why,
                            size_t why_size) {
    struct backend *b = r->backend;
    if (b->driver)
        return driver_generate(b->driver, job, on_done, r, backend_id, why, why_size);
    if (!b->generate) {
        snprintf(why, why_size, "%s gives vectors; it writes no text", b->info.model);
        return TELEX_UNSUPPORTED;
    }
    last_why[0] = 0;
    telex_status status = b->generate->generate(b->self, job, on_done, r, backend_id);
    if (status != TELEX_OK)
        snprintf(why, why_size, "%s", last_why[0] ? last_why : "the backend refuses the job");
    return status;
}

telex_status models_generate(struct models *m, telex_lease lease, size_t index, const struct telex_job *job,
                             telex_job_done done, void *arg, uint64_t *job_id, char *why, size_t why_size) {
    if (index >= m->n) {
        snprintf(why, why_size, "no such model");
        return TELEX_NOT_FOUND;
    }
    struct running *r = calloc(1, sizeof(*r));
    if (!r) {
        snprintf(why, why_size, "out of memory");
        return TELEX_AGAIN;
    }
    *r = (struct running){
        .models = m, .backend = m->entries[index].backend, .lease = lease, .callback = done, .arg = arg};
    pthread_mutex_lock(&m->lock);
    r->id = m->next_id++;
    if (job_id)
        *job_id = r->id;
    r->next = m->running;
    r->at = &m->running;
    if (r->next)
        r->next->at = &r->next;
    m->running = r;
    pthread_mutex_unlock(&m->lock);
    uint64_t backend_id = 0;
    telex_status status = hand_in(r, job, &backend_id, why, why_size);
    pthread_mutex_lock(&m->lock);
    r->returned = true;
    r->backend_id = backend_id;
    r->done = r->done || status != TELEX_OK;
    if (r->cancelled && !r->done)
        cancel_one(r);
    else
        leave(r);
    pthread_mutex_unlock(&m->lock);
    return status;
}

void models_cancel(struct models *m, uint64_t job_id) {
    pthread_mutex_lock(&m->lock);
    if (job_id)
        cancel_where(m, job_id, 0);
    pthread_mutex_unlock(&m->lock);
}

void models_cancel_lease(struct models *m, telex_lease lease) {
    pthread_mutex_lock(&m->lock);
    if (lease)
        cancel_where(m, 0, lease);
    pthread_mutex_unlock(&m->lock);
}

/* ---- vectors ---- */

/* A text's ids, no more than the model takes, with its bos where it wants one. Gives them; NULL when out of
 * memory or refused. */
static int32_t *embed_ids(const struct backend *b, struct telex_bytes text, uint32_t *n) {
    const uint32_t bos = b->info.add_bos && b->info.bos >= 0, room = b->info.context_tokens;
    int32_t *ids = malloc(((size_t)room + 1) * sizeof(*ids));
    int64_t found = ids ? b->model->tokenize(b->self, text, 0, ids + bos, room - bos) : -1;
    if (found < 0) {
        free(ids);
        return NULL;
    }
    if (bos)
        ids[0] = b->info.bos;
    *n = found < (int64_t)(room - bos) ? (uint32_t)found + bos : room;
    return ids;
}

telex_status models_embed(struct models *m, size_t index, struct telex_bytes text, float *out,
                          uint32_t capacity, uint32_t *n, char *why, size_t why_size) {
    if (index >= m->n)
        return say(why, why_size, TELEX_NOT_FOUND, "", "there is no such model");
    struct backend *b = m->entries[index].backend;
    if (!b->model || !b->model->embed || !(b->info.flags & TELEX_MODEL_EMBED))
        return say(why, why_size, TELEX_UNSUPPORTED, m->entries[index].name, "it gives no vectors");
    *n = b->info.n_embd;
    if (capacity < *n)
        return say(why, why_size, TELEX_INVALID, m->entries[index].name,
                   "its vectors are longer than the room for them");
    uint32_t n_ids;
    int32_t *ids = embed_ids(b, text, &n_ids);
    void *context = NULL;
    if (!ids)
        return say(why, why_size, TELEX_AGAIN, m->entries[index].name, "no memory for the text's tokens now");
    last_why[0] = 0;
    telex_status status = b->model->context_open(b->self, 1, n_ids ? n_ids : 1, &context);
    if (status == TELEX_OK) {
        status = b->model->embed(context, ids, n_ids, out);
        b->model->context_close(context);
    }
    free(ids);
    return status == TELEX_OK
               ? status
               : say(why, why_size, status, m->entries[index].name, last_why[0] ? last_why : "embed failed");
}

/* ---- close ---- */

void models_close(struct models *m) {
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    cancel_where(m, 0, 0);
    while (m->running)
        pthread_cond_wait(&m->empty, &m->lock);
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; i < m->n_backends; i++)
        close_backend(&m->backends[i]);
    for (size_t i = 0; i < m->n; i++)
        free(m->entries[i].name);
    free(m->backends);
    free(m->entries);
    pthread_cond_destroy(&m->empty);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

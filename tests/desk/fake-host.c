/* SPDX-License-Identifier: Apache-2.0 */
/* fake-host.c - a host in one process for one stage and one model. */
#include "fake-host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEASE 7u

static struct fake_host *fake_of(const struct telex_host *host) {
    return (struct fake_host *)(uintptr_t)host;
}

static const void *get_ext(const struct telex_host *host, const char *id) {
    struct fake_host *fake = fake_of(host);
    return strcmp(id, TELEX_MODELS) == 0 && !fake->no_model ? &fake->models : NULL;
}

static void on_log(const struct telex_host *host, int32_t level, telex_lease lease, struct telex_bytes text) {
    struct fake_host *fake = fake_of(host);
    (void)lease;
    if (level >= TELEX_INFO)
        snprintf(fake->log, sizeof(fake->log), "%.*s", (int)text.size, (const char *)text.data);
    if (level >= TELEX_WARN || getenv("DESK_SHOW_LOG"))
        fprintf(stderr, "%.*s\n", (int)text.size, (const char *)text.data);
}

static telex_status on_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                            struct telex_bytes why) {
    (void)lease;
    snprintf(fake_of(host)->why, sizeof(fake_of(host)->why), "%.*s", (int)why.size, (const char *)why.data);
    return status;
}

static int64_t now(const struct telex_host *host, int32_t clock) {
    (void)host, (void)clock;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static telex_status view(const struct telex_host *host, const struct telex_rec *rec, struct telex_view *out) {
    (void)host;
    out->version = rec->version;
    out->schema = telex_text(rec->schema);
    out->id = telex_text(rec->id);
    out->body = telex_build_body(&rec->body);
    return TELEX_OK;
}

static void retain(const struct telex_host *host, struct telex_rec *rec) {
    (void)rec;
    fake_of(host)->n_references++;
}

static void release(const struct telex_host *host, struct telex_rec *rec) {
    (void)rec;
    fake_of(host)->n_references--;
}

static telex_status get(const struct telex_host *host, telex_lease lease, const char *schema,
                        struct telex_bytes id, uint64_t version, struct telex_rec **out) {
    (void)lease, (void)version;
    struct fake_host *fake = fake_of(host);
    for (size_t i = fake->n_records; i-- > 0;) /* the newest first, as the host has it */
        if (strcmp(fake->records[i].schema, schema) == 0 && telex_bytes_equal(id, fake->records[i].id)) {
            *out = &fake->records[i];
            fake->n_references++;
            return TELEX_OK;
        }
    return TELEX_NOT_FOUND;
}

static telex_status loan(const struct telex_host *host, telex_lease lease, uint32_t port, uint64_t capacity,
                         struct telex_loan *out) {
    (void)lease;
    struct fake_host *fake = fake_of(host);
    free(fake->room);
    fake->room = calloc(1, capacity + 1);
    out->port = port;
    out->capacity = capacity;
    out->data = fake->room;
    return fake->room ? TELEX_OK : TELEX_LIMIT;
}

static telex_status commit(const struct telex_host *host, struct telex_loan *out, uint64_t length) {
    struct fake_host *fake = fake_of(host);
    struct telex_bytes body = {out->data, length};
    if (telex_scan(body) != 0)
        return TELEX_INVALID;
    free(fake->output);
    fake->output = telex_json_line(body);
    return fake->output ? TELEX_OK : TELEX_INVALID;
}

static void abandon(const struct telex_host *host, struct telex_loan *out) {
    (void)host, (void)out;
}

static int32_t cancelled(const struct telex_host *host, telex_lease lease) {
    (void)lease;
    return fake_of(host)->cancelled;
}

static telex_status model_info(const struct telex_host *host, const char *name,
                               struct telex_backend_info *out) {
    (void)name;
    struct fake_host *fake = fake_of(host);
    return fake->model->info(fake->model_self, out);
}

static telex_status model_generate(const struct telex_host *host, telex_lease lease, const char *name,
                                   const struct telex_job *job, telex_job_done done, void *arg,
                                   uint64_t *job_id) {
    (void)lease, (void)name;
    struct fake_host *fake = fake_of(host);
    return fake->model->generate(fake->model_self, job, done, arg, job_id);
}

static void model_cancel(const struct telex_host *host, uint64_t job_id) {
    struct fake_host *fake = fake_of(host);
    fake->model->cancel(fake->model_self, job_id);
}

/* The first class that the plugin in `env` provides. */
static const void *load(const char *env, const char *class_id) {
    const char *path = getenv(env);
    void *so = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    if (!so) {
        fprintf(stderr, "%s: %s\n", env, path ? dlerror() : "not set");
        exit(1);
    }
    const struct telex_plugin *(*entry)(uint32_t) = NULL;
    *(void **)&entry = dlsym(so, "telex_entry_v1");
    return entry(TELEX_ABI_MINOR)->provides(class_id)[0];
}

/* Options that the table leaves to defaults, in the form that create() gets. */
static void put_default(struct telex_builder *b, const struct telex_option *option) {
    const char *initial = option->initial ? option->initial : "";
    char copy[2048], *rest = copy, *item;
    switch (option->type) {
    case TELEX_INT:
        telex_build_int(b, strtoll(initial, NULL, 10));
        break;
    case TELEX_DURATION:
        telex_build_int(b, strtoll(initial, NULL, 10) * (strstr(initial, "ms")  ? 1
                                                         : strchr(initial, 'm') ? 60000
                                                                                : 1000));
        break;
    case TELEX_SIZE:
        telex_build_int(b, strtoll(initial, NULL, 10) << 20);
        break;
    case TELEX_REAL:
        telex_build_real(b, strtod(initial, NULL));
        break;
    case TELEX_BOOL:
        telex_build_flag(b, strcmp(initial, "true") == 0);
        break;
    case TELEX_LIST: {
        snprintf(copy, sizeof(copy), "%s", initial);
        uint32_t n = initial[0] ? 1 : 0;
        for (const char *c = initial; *c; c++)
            n += *c == ',';
        telex_build_array(b, n);
        while ((item = strsep(&rest, ",")) && n--)
            telex_build_text(b, item);
        break;
    }
    default:
        telex_build_text(b, initial);
    }
}

static void build_options(struct telex_builder *b, const struct telex_option *const *table,
                          const char *json) {
    json_t *given = json_loads(json, 0, NULL);
    telex_build_init(b);
    telex_build_map_begin(b);
    for (; *table; table++) {
        json_t *value = json_object_get(given, (*table)->name);
        telex_build_key(b, (*table)->name);
        if (value)
            telex_build_json(b, value);
        else
            put_default(b, *table);
    }
    telex_build_map_end(b);
    json_decref(given);
}

static void open_model(struct fake_host *fake, const char *mode) {
    struct telex_builder b;
    char options[64];
    snprintf(options, sizeof(options), "{\"mode\":\"%s\"}", mode);
    fake->model = load("DESK_MODEL", TELEX_CLASS_GENERATE);
    build_options(&b, fake->model->options, options);
    if (fake->model->open(&fake->host, telex_build_body(&b), &fake->model_self) != TELEX_OK)
        exit(1);
    telex_build_finish(&b);
}

void fake_start(struct fake_host *fake, const char *mode, const char *options) {
    memset(fake, 0, sizeof(*fake));
    fake->host = (struct telex_host){.size = sizeof(fake->host),
                                     .abi_minor = TELEX_ABI_MINOR,
                                     .ext = get_ext,
                                     .log = on_log,
                                     .fail = on_fail,
                                     .now_ms = now,
                                     .view = view,
                                     .retain = retain,
                                     .release = release,
                                     .get = get,
                                     .loan = loan,
                                     .commit = commit,
                                     .abandon = abandon,
                                     .cancelled = cancelled};
    fake->models = (struct telex_models){
        .size = sizeof(fake->models), .info = model_info, .generate = model_generate, .cancel = model_cancel};
    open_model(fake, mode);
    struct telex_builder b;
    fake->stage = load("DESK_STAGE", TELEX_CLASS_STAGE);
    build_options(&b, fake->stage->options, options);
    if (fake->stage->create(&fake->host, telex_build_body(&b), &fake->stage_self) != TELEX_OK)
        exit(1);
    telex_build_finish(&b);
}

void fake_stop(struct fake_host *fake) {
    fake->stage->destroy(fake->stage_self);
    fake->model->close(fake->model_self);
    for (size_t i = 0; i < fake->n_records; i++) {
        free(fake->records[i].schema);
        free(fake->records[i].id);
        telex_build_finish(&fake->records[i].body);
    }
    free(fake->room);
    free(fake->output);
    memset(fake, 0, sizeof(*fake));
}

struct telex_rec *fake_store(struct fake_host *fake, const char *line) {
    char why[256] = "";
    if (fake->n_records == FAKE_RECORDS_MAX)
        exit(1);
    struct telex_rec *rec = &fake->records[fake->n_records++];
    json_t *json = json_loads(line, 0, NULL);
    telex_build_init(&rec->body);
    if (!json || telex_json_parse(line, strlen(line), &rec->body, why, sizeof(why)) < 0) {
        fprintf(stderr, "fake-host: %s: %.200s\n", why, line);
        exit(1);
    }
    rec->schema = strdup(json_string_value(json_object_get(json, "schema")));
    rec->id = strdup(json_string_value(json_object_get(json, "id")));
    rec->version = (uint64_t)json_integer_value(json_object_get(json, "version"));
    json_decref(json);
    return rec;
}

telex_status fake_process(struct fake_host *fake, const char *story) {
    free(fake->output);
    fake->output = NULL;
    fake->why[0] = '\0';
    struct telex_rec *rec = fake_store(fake, story);
    return fake->stage->process(fake->stage_self, LEASE, rec);
}

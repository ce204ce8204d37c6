/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - from a tree to a config: the pipeline's own keys, its models and its stages.
 *
 * Every reader tells what is wrong and goes on with a default, so that one run finds all errors; a config
 * with any error is never handed out. */
#include "config_build.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option_value.h"
#include "trust.h"

enum { NAME_MAX_BYTES = 40, STAGES_MAX = 64, MODELS_MAX = 16 };

static void *grown(void *items, size_t count, size_t each) {
    void *more = realloc(items, (count + 1) * each);
    if (!more)
        abort();
    memset((char *)more + count * each, 0, each);
    return more;
}

static char *copied(const char *text) {
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

/* ---- reading one key ---- */

void build_check_keys(struct build *b, const struct node *map, const char *path, const char *const *known,
                      size_t n_known) {
    char below[PATH_TEXT_BYTES], near[512];
    if (!map || map->kind == NODE_NONE)
        return;
    if (map->kind != NODE_MAP) {
        tell(b->errors, map->mark, path, "is no mapping; write `key: value` lines below it");
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        bool found = false;
        for (size_t k = 0; k < n_known && !found; k++)
            found = strcmp(map->keys[i], known[k]) == 0;
        if (found)
            continue;
        snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", map->keys[i]);
        tell(b->errors, map->key_marks[i], below, "is not known; %s",
             did_you_mean(map->keys[i], known, n_known, near, sizeof(near)));
    }
}

static void tell_at(struct build *b, const struct node *value, const char *path, const char *key,
                    const char *what) {
    char below[PATH_TEXT_BYTES];
    snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", key);
    tell(b->errors, value->mark, below, "%s", what);
}

const char *build_text(struct build *b, const struct node *map, const char *path, const char *key,
                       const char *otherwise) {
    const struct node *value = node_get(map, key);
    if (!value)
        return otherwise;
    if (value->kind == NODE_TEXT && *value->text)
        return value->text;
    tell_at(b, value, path, key,
            value->kind == NODE_NONE || value->kind == NODE_TEXT
                ? "has no value; give one or remove the key"
                : "is no text; write one word or a text in quotes");
    return otherwise;
}

int64_t build_int(struct build *b, const struct node *map, const char *path, const char *key,
                  int64_t otherwise, int64_t min, int64_t max) {
    char what[160], *end;
    const char *text = build_text(b, map, path, key, NULL);
    if (!text)
        return otherwise;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno == 0 && !*end && number >= min && number <= max)
        return number;
    snprintf(what, sizeof(what), "'%.40s' is not a whole number from %" PRId64 " to %" PRId64 "; give one",
             text, min, max);
    tell_at(b, node_get(map, key), path, key, what);
    return otherwise;
}

int64_t build_duration(struct build *b, const struct node *map, const char *path, const char *key,
                       const char *otherwise) {
    char what[160];
    int64_t ms;
    const char *text = build_text(b, map, path, key, otherwise);
    if (parse_duration(text, &ms) && ms > 0)
        return ms;
    snprintf(what, sizeof(what), "'%.40s' is not a duration; write 250ms, 10s, 5m, 2h or 3d", text);
    tell_at(b, node_get(map, key), path, key, what);
    return 1;
}

bool build_flag(struct build *b, const struct node *map, const char *path, const char *key, bool otherwise) {
    static const char *const words[] = {"false", "true"};
    return build_word(b, map, path, key, words, 2, otherwise) != 0;
}

int build_word(struct build *b, const struct node *map, const char *path, const char *key,
               const char *const *words, size_t n_words, int otherwise) {
    char what[700], near[512];
    const char *text = build_text(b, map, path, key, NULL);
    for (size_t i = 0; text && i < n_words; i++)
        if (strcmp(text, words[i]) == 0)
            return (int)i;
    if (text) {
        snprintf(what, sizeof(what), "'%.40s' is not known; %s", text,
                 did_you_mean(text, words, n_words, near, sizeof(near)));
        tell_at(b, node_get(map, key), path, key, what);
    }
    return otherwise;
}

static bool is_name(const char *text) {
    return *text && strlen(text) <= NAME_MAX_BYTES &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text) && *text != '-';
}

/* ---- the pipeline ---- */

/* host:port with a numeric port; [..]:port for IPv6. */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon == text || (*text != '[' && memchr(text, ':', (size_t)(colon - text))))
        return false;
    if (*text == '[' && colon[-1] != ']')
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && !*end && port <= 65535;
}

static char *read_address(struct build *b, const struct node *http, const char *key) {
    const char *text = build_text(b, http, "http", key, NULL);
    if (text && !is_address(text)) {
        tell_at(b, node_get(http, key), "http", key,
                "is no address with a port; write 127.0.0.1:8080 or [::1]:8080");
        return NULL;
    }
    return text ? copied(text) : NULL;
}

static void read_pipeline(struct build *b) {
    static const char *const known[] = {"pipeline", "journal", "http",   "drain",
                                        "plugins",  "models",  "stages", "tests"};
    static const char *const journal_known[] = {"path", "durability", "retention"};
    static const char *const http_known[] = {"listen", "admin"};
    static const char *const durabilities[] = {"full", "normal", "memory"};
    struct config *config = b->config;
    const struct node *journal = node_get(b->root, "journal"), *http = node_get(b->root, "http");
    char usual[100];
    build_check_keys(b, b->root, "", known, COUNT(known));
    build_check_keys(b, journal, "journal", journal_known, COUNT(journal_known));
    build_check_keys(b, http, "http", http_known, COUNT(http_known));
    const char *name = build_text(b, b->root, "", "pipeline", NULL);
    if (!node_get(b->root, "pipeline"))
        tell(b->errors, b->root->mark, "pipeline", "is missing; add a line such as `pipeline: archive`");
    else if (name && !is_name(name))
        tell_at(b, node_get(b->root, "pipeline"), "", "pipeline",
                "is no name; use at most 40 of a-z, 0-9 and hyphens");
    config->pipeline = copied(name ? name : "unnamed");
    snprintf(usual, sizeof(usual), "var/%.40s.journal", config->pipeline);
    config->journal_path = absolute_path(config->dir, build_text(b, journal, "journal", "path", usual));
    config->durability = build_word(b, journal, "journal", "durability", durabilities, 3, DURABILITY_FULL);
    config->retention_ms = build_duration(b, journal, "journal", "retention", "30d");
    config->listen = read_address(b, http, "listen");
    config->admin = read_address(b, http, "admin");
    if (config->listen && config->admin && strcmp(config->listen, config->admin) == 0 &&
        !strstr(config->listen, ":0"))
        tell_at(b, node_get(http, "admin"), "http", "admin",
                "is the address of listen; give it another port");
    config->drain_ms = build_duration(b, b->root, "", "drain", "20s");
}

/* ---- plugins ---- */

static const struct plugin_desc *find_plugin(struct build *b, const struct node *map, const char *path,
                                             bool is_model) {
    char why[1024], below[PATH_TEXT_BYTES];
    const char *name = build_text(b, map, path, "plugin", NULL);
    snprintf(below, sizeof(below), "%.300s.plugin", path);
    if (!name) {
        if (!node_get(map, "plugin"))
            tell(b->errors, map->mark, below, "is missing; name a plugin, `telex plugins` lists them");
        return NULL;
    }
    char *file = strchr(name, '/') ? absolute_path(b->config->dir, name) : copied(name);
    const struct plugin_desc *plugin = registry_find(b->registry, file, why, sizeof(why));
    free(file);
    if (!plugin) {
        tell(b->errors, node_get(map, "plugin")->mark, below, "%s", why);
        return NULL;
    }
    bool stage = strcmp(plugin->class_id, TELEX_CLASS_STAGE) == 0;
    if (stage == is_model) {
        tell(b->errors, node_get(map, "plugin")->mark, below, "%s is a %s; name a %s plugin", name,
             stage ? "stage" : "model backend", is_model ? "model" : "stage");
        return NULL;
    }
    return plugin;
}

/* `plugin: auto`: the weights plugin that says it runs best on this machine. */
static const struct plugin_desc *find_best(struct build *b, const struct node *map, const char *path,
                                           char **passed_over) {
    char below[PATH_TEXT_BYTES], passed[400];
    const struct plugin_desc *best = registry_best_model(b->registry, passed, sizeof(passed));
    snprintf(below, sizeof(below), "%.300s.plugin", path);
    if (!best)
        tell(b->errors, node_get(map, "plugin")->mark, below,
             "auto finds no plugin that runs weights on this machine%s%s; see `telex plugins`, or name one",
             *passed ? ": " : "", passed);
    *passed_over = copied(passed);
    return best;
}

static void read_model(struct build *b, const char *name, const struct node *map, struct mark mark) {
    static const char *const known[] = {"plugin", "options"};
    char path[PATH_TEXT_BYTES];
    struct config *config = b->config;
    snprintf(path, sizeof(path), "models.%.100s", name);
    build_check_keys(b, map, path, known, COUNT(known));
    if (map->kind != NODE_MAP) {
        if (map->kind == NODE_NONE)
            tell(b->errors, mark, path, "is empty; give it a plugin and options");
        return;
    }
    const struct node *plugin = node_get(map, "plugin");
    bool best = plugin && plugin->kind == NODE_TEXT && strcmp(plugin->text, "auto") == 0;
    config->models = grown(config->models, config->n_models, sizeof(*config->models));
    struct config_model *model = &config->models[config->n_models++];
    model->name = copied(name);
    model->line = mark.line;
    model->column = mark.column;
    model->plugin = best ? find_best(b, map, path, &model->passed_over) : find_plugin(b, map, path, true);
    if (model->plugin)
        model->options = build_options(b, model->plugin, node_get(map, "options"), mark, path);
}

static void read_models(struct build *b) {
    const struct node *models = node_get(b->root, "models");
    if (models && models->kind != NODE_MAP && models->kind != NODE_NONE)
        tell(b->errors, models->mark, "models",
             "is no mapping; write `NAME: {plugin: ..., options: {...}}` below it");
    for (size_t i = 0; models && models->kind == NODE_MAP && i < models->count && i < MODELS_MAX; i++)
        read_model(b, models->keys[i], models->items[i], models->key_marks[i]);
    if (models && models->kind == NODE_MAP && models->count > MODELS_MAX)
        tell(b->errors, models->mark, "models", "has more than %d models; take some out", MODELS_MAX);
}

/* ---- stages ---- */

static void bind_model(struct build *b, struct config_stage *stage, const char *role,
                       const struct node *value, const char *path) {
    const struct config *config = b->config;
    const char *words[MODELS_MAX];
    char near[512];
    if (value->kind != NODE_TEXT) {
        tell(b->errors, value->mark, path, "is no text; give the name of a model under `models`");
        return;
    }
    for (size_t i = 0; i < config->n_models; i++) {
        words[i] = config->models[i].name;
        if (strcmp(words[i], value->text) != 0)
            continue;
        stage->models = grown(stage->models, stage->n_models, sizeof(*stage->models));
        stage->model_roles = grown(stage->model_roles, stage->n_models, sizeof(*stage->model_roles));
        stage->models[stage->n_models] = i;
        stage->model_roles[stage->n_models++] = copied(role);
        return;
    }
    const struct node *models = node_get(b->root, "models");
    for (size_t i = 0; models && models->kind == NODE_MAP && i < models->count; i++)
        if (strcmp(models->keys[i], value->text) == 0)
            return; /* it is there but has errors of its own */
    tell(b->errors, value->mark, path, "names no model '%.40s'; %s", value->text,
         did_you_mean(value->text, words, config->n_models, near, sizeof(near)));
}

static void read_stage_models(struct build *b, struct config_stage *stage, const struct node *map,
                              const char *path) {
    char below[PATH_TEXT_BYTES];
    const struct node *one = node_get(map, "model"), *several = node_get(map, "models");
    snprintf(below, sizeof(below), "%.300s.%s", path, one ? "model" : "models");
    bool needs = !stage->plugin || plugin_needs(stage->plugin, "model");
    if (!needs && (one || several)) {
        tell(b->errors, node_key_mark(map, one ? "model" : "models"), below,
             "is given, but %s asks no model; remove it", stage->plugin->name);
        return;
    }
    if (one && several) {
        tell(b->errors, node_key_mark(map, "models"), below, "stands beside models; keep one of the two");
    } else if (one) {
        bind_model(b, stage, "", one, below);
    } else if (several && several->kind == NODE_MAP) {
        for (size_t i = 0; i < several->count; i++) {
            char role[PATH_TEXT_BYTES];
            snprintf(role, sizeof(role), "%.400s.%.100s", below, several->keys[i]);
            bind_model(b, stage, several->keys[i], several->items[i], role);
        }
    } else if (several) {
        tell(b->errors, several->mark, below, "is no mapping; write `role: model` lines below it");
    }
    if (stage->plugin && needs && !one && !several)
        tell(b->errors, (struct mark){b->config->path, stage->line, stage->column}, path,
             "needs a model; add `model: NAME` and a model of that name under `models`");
}

static uint64_t build_size(struct build *b, const struct node *map, const char *path, const char *key) {
    int64_t bytes = 0;
    const char *text = build_text(b, map, path, key, NULL);
    if (text && (!parse_size(text, &bytes) || bytes <= 0))
        tell_at(b, node_get(map, key), path, key, "is not a size; write 512MiB or 2GiB");
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* Bounds of a stage's process; they mean nothing to one that shares the host's. */
static void read_limits(struct build *b, struct config_stage *stage, const struct node *map,
                        const char *path) {
    static const char *const known[] = {"memory", "files", "processes", "nice"};
    const struct node *limits = node_get(map, "limits");
    char below[160];
    if (!limits)
        return;
    snprintf(below, sizeof(below), "%.120s.limits", path);
    if (limits->kind != NODE_MAP) {
        tell(b->errors, limits->mark, below, "is no mapping; write `memory: 2GiB` lines below it");
        return;
    }
    if (stage->isolation != ISOLATION_PROCESS)
        tell(b->errors, limits->mark, below, "bound a process of the stage's own; add `isolation: process`");
    build_check_keys(b, limits, below, known, COUNT(known));
    stage->limits = (struct isolate_limits){
        .nice = (int32_t)build_int(b, limits, below, "nice", 0, 0, 19),
        .memory_bytes = build_size(b, limits, below, "memory"),
        .files = (uint64_t)build_int(b, limits, below, "files", 0, 16, 1000000),
        .processes = (uint64_t)build_int(b, limits, below, "processes", 0, 1, 1000000),
    };
}

static void read_stage(struct build *b, const char *name, const struct node *map, struct mark mark) {
    static const char *const known[] = {"plugin",    "from",     "options", "model",  "models",
                                        "isolation", "attempts", "retries", "retry",  "open_steps",
                                        "timeout",   "critical", "limits",  "sandbox"};
    static const char *const isolations[] = {"thread", "process"}, *const sandboxes[] = {"needs", "off"};
    char path[PATH_TEXT_BYTES];
    struct config *config = b->config;
    config->stages = grown(config->stages, config->n_stages, sizeof(*config->stages));
    struct config_stage *stage = &config->stages[config->n_stages++];
    stage->name = copied(name);
    stage->line = mark.line;
    stage->column = mark.column;
    snprintf(path, sizeof(path), "stages.%.100s", name);
    if (!is_name(name))
        tell(b->errors, mark, path, "is no name; use at most 40 of a-z, 0-9 and hyphens");
    build_check_keys(b, map, path, known, COUNT(known));
    if (map->kind != NODE_MAP) {
        if (map->kind == NODE_NONE)
            tell(b->errors, mark, path, "is empty; give it a plugin");
        return;
    }
    stage->plugin = find_plugin(b, map, path, false);
    const char *role = stage->plugin ? json_string_value(json_object_get(stage->plugin->about, "role")) : "";
    bool write = strcmp(role, "write") == 0;
    if (stage->plugin)
        stage->options = build_options(b, stage->plugin, node_get(map, "options"), mark, path);
    stage->isolation = build_word(b, map, path, "isolation", isolations, 2, write);
    stage->attempts = (uint32_t)build_int(b, map, path, "attempts", 3, 1, 1000);
    stage->retries = (uint32_t)build_int(b, map, path, "retries", 30, 0, 1000000);
    stage->retry_ms = build_duration(b, map, path, "retry", "500ms");
    int64_t steps = write ? 1 : stage->isolation == ISOLATION_PROCESS ? 512 : 64;
    stage->open_steps = (uint32_t)build_int(b, map, path, "open_steps", steps, 1, 4096);
    stage->timeout_ms = build_duration(b, map, path, "timeout", write ? "600s" : "30s");
    stage->critical = build_flag(b, map, path, "critical", false);
    stage->sandbox_off = build_word(b, map, path, "sandbox", sandboxes, 2, 0) == 1;
    read_limits(b, stage, map, path);
    read_stage_models(b, stage, map, path);
}

static void read_stages(struct build *b) {
    const struct node *stages = node_get(b->root, "stages");
    if (!stages || stages->kind != NODE_MAP || stages->count == 0) {
        tell(b->errors, stages ? stages->mark : b->root->mark, "stages",
             "%s; write `NAME: {plugin: ...}` lines below it",
             !stages                                                 ? "is missing"
             : stages->kind == NODE_MAP || stages->kind == NODE_NONE ? "is empty"
                                                                     : "is no mapping");
        return;
    }
    if (stages->count > STAGES_MAX) {
        tell(b->errors, stages->mark, "stages", "has more than %d stages; split the pipeline", STAGES_MAX);
        return;
    }
    for (size_t i = 0; i < stages->count; i++)
        read_stage(b, stages->keys[i], stages->items[i], stages->key_marks[i]);
    build_edges(b, stages);
    build_check_graph(b, stages);
}

/* ---- the whole ---- */

static char *folder_of(const char *path) {
    char absolute[PATH_MAX];
    const char *slash = strrchr(path, '/');
    char *parent = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    char *real = parent && realpath(parent, absolute) ? strdup(absolute) : strdup("/");
    free(parent);
    return real;
}

static int by_place(const void *a, const void *b) {
    const struct config_error *x = a, *y = b;
    int file = strcmp(x->file, y->file);
    if (file != 0)
        return file;
    return x->line != y->line ? (x->line > y->line) - (x->line < y->line)
                              : (x->column > y->column) - (x->column < y->column);
}

/* `lock_path`: NULL, or where to say which lock is to be written. */
static int check(const char *path, const char *const *overrides, struct registry *registry,
                 struct config_errors *errors, struct config **out, char **lock_path) {
    *out = NULL;
    struct node *root = tree_read(path, errors);
    if (!root)
        return (int)errors->count;
    for (int i = 0; overrides && overrides[i]; i++)
        tree_override(root, overrides[i], i + 1, errors);
    struct build b = {errors, registry, calloc(1, sizeof(struct config)), root, lock_path != NULL};
    if (!b.config)
        abort();
    b.config->path = copied(path);
    b.config->dir = folder_of(path);
    read_pipeline(&b);
    if (build_trust(&b)) { /* else it is not known whom to run, not even in a child */
        read_models(&b);
        read_stages(&b);
    }
    node_destroy(root);
    if (errors->count > 0) {
        qsort(errors->items, errors->count, sizeof(*errors->items), by_place);
        config_destroy(b.config);
        return (int)errors->count;
    }
    const struct trust *trust = registry_trust(registry);
    if (lock_path)
        *lock_path = trust && trust->lock_path ? copied(trust->lock_path)
                                               : absolute_path(b.config->dir, "plugins.lock");
    *out = b.config;
    return 0;
}

int config_check(const char *path, const char *const *overrides, struct registry *registry,
                 struct config_errors *errors, struct config **out) {
    return check(path, overrides, registry, errors, out, NULL);
}

int config_check_unlocked(const char *path, struct registry *registry, struct config_errors *errors,
                          struct config **out, char **lock_path) {
    *lock_path = NULL;
    return check(path, NULL, registry, errors, out, lock_path);
}

void config_place(const char *path, const char *key, int *line, int *column) {
    struct config_errors errors = {0};
    struct node *root = tree_read(path, &errors);
    const struct node *at = root;
    char word[64];
    *line = *column = 1;
    for (const char *rest = key; at && *rest;) {
        size_t size = strcspn(rest, ".");
        snprintf(word, sizeof(word), "%.*s", (int)(size < 63 ? size : 63), rest);
        if (node_get(at, word)) {
            struct mark mark = node_key_mark(at, word);
            *line = mark.line;
            *column = mark.column;
        }
        at = node_get(at, word);
        rest += size + (rest[size] == '.');
    }
    node_destroy(root);
    config_errors_finish(&errors);
}

char *config_journal_path(const char *path, struct config_errors *errors) {
    struct node *root = tree_read(path, errors);
    if (!root)
        return NULL;
    char usual[100], *dir = folder_of(path);
    struct build b = {.errors = errors, .root = root};
    const struct node *journal = node_get(root, "journal");
    const char *name = build_text(&b, root, "", "pipeline", "unnamed");
    snprintf(usual, sizeof(usual), "var/%.40s.journal", name);
    const char *given = build_text(&b, journal, "journal", "path", usual);
    char *out = dir ? absolute_path(dir, given) : NULL;
    free(dir);
    node_destroy(root);
    return out;
}

int config_load(const char *path, const char *const *overrides, struct registry *registry, FILE *out_errors,
                struct config **out) {
    struct config_errors errors = {0};
    int n = config_check(path, overrides, registry, &errors, out);
    for (size_t i = 0; i < errors.count; i++) {
        const struct config_error *e = &errors.items[i];
        fprintf(out_errors, "%s:%d:%d: %s: %s\n", e->file, e->line, e->column, e->path, e->text);
    }
    config_errors_finish(&errors);
    return n;
}

static void finish_edge(struct config_edge *edge) {
    for (size_t i = 0; i < edge->n_where; i++) {
        for (size_t k = 0; k < edge->where[i].n_values; k++)
            free(edge->where[i].values[k]);
        free(edge->where[i].values);
        free(edge->where[i].key);
    }
    free(edge->where);
    free(edge->name);
}

void config_destroy(struct config *config) {
    if (!config)
        return;
    for (size_t i = 0; i < config->n_models; i++) {
        free(config->models[i].name);
        free(config->models[i].passed_over);
        free((void *)config->models[i].options.data);
    }
    for (size_t i = 0; i < config->n_stages; i++) {
        struct config_stage *stage = &config->stages[i];
        for (size_t k = 0; k < stage->n_models; k++)
            free(stage->model_roles[k]);
        free(stage->model_roles);
        free(stage->models);
        free((void *)stage->options.data);
        free(stage->name);
    }
    for (size_t i = 0; i < config->n_edges; i++)
        finish_edge(&config->edges[i]);
    free(config->models);
    free(config->stages);
    free(config->edges);
    free(config->path);
    free(config->dir);
    free(config->pipeline);
    free(config->journal_path);
    free(config->listen);
    free(config->admin);
    free(config);
}

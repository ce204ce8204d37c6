/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan.c - reads a file of tests; every error names file, line and remedy, as those of configs do. */
#include "test_plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/json.h>

#include "../config_build.h"
#include "../option_value.h"

enum { TESTS_MAX = 200, RECORDS_MAX = 100000 };

static void *grown(void *items, size_t n, size_t each) {
    void *more = realloc(items, (n + 1) * each);
    if (!more)
        abort();
    memset((char *)more + n * each, 0, each);
    return more;
}

/* ---- values ---- */

static json_t *scalar_value(const struct node *node) {
    char *end;
    const char *text = node->text;
    if (!node->plain)
        return json_string(text);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*text && !*end && errno == 0)
        return json_integer(number);
    bool digits = strspn(text, "+-.0123456789eE") == strlen(text) && strpbrk(text, "0123456789");
    double real = strtod(text, &end);
    return digits && *text && !*end ? json_real(real) : json_string(text);
}

json_t *test_value(const struct node *node) {
    json_t *out = node->kind == NODE_LIST ? json_array() : node->kind == NODE_MAP ? json_object() : NULL;
    if (!out)
        return node->kind == NODE_NONE ? json_null() : scalar_value(node);
    for (size_t i = 0; i < node->count; i++)
        if (node->kind == NODE_LIST)
            json_array_append_new(out, test_value(node->items[i]));
        else
            json_object_set_new(out, node->keys[i], test_value(node->items[i]));
    return out;
}

/* ---- overrides ---- */

/* Takes text. */
static void add_override(struct test_plan *plan, char *text, struct mark mark) {
    if (plan->n_overrides == TEST_OVERRIDES_MAX || !text) {
        free(text);
        return;
    }
    plan->override_marks[plan->n_overrides] = mark;
    plan->overrides[plan->n_overrides++] = text;
}

__attribute__((format(printf, 3, 4))) static void override(struct test_plan *plan, struct mark mark,
                                                           const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    add_override(plan, text, mark);
}

static void read_set(struct build *b, struct test_plan *plan, const struct node *set, const char *path) {
    if (set && set->kind != NODE_MAP && set->kind != NODE_NONE)
        tell(b->errors, set->mark, path,
             "is no mapping; write `stages.NAME.options.KEY: value` lines below it");
    for (size_t i = 0; set && set->kind == NODE_MAP && i < set->count; i++) {
        json_t *value = test_value(set->items[i]);
        char *text = set->items[i]->kind == NODE_NONE ? strdup("")
                     : set->items[i]->kind == NODE_TEXT && set->items[i]->plain
                         ? strdup(set->items[i]->text)
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT); /* which is YAML too */
        override(plan, set->key_marks[i], "%s=%s", set->keys[i], text ? text : "");
        free(text);
        json_decref(value);
    }
}

static bool is_set(const struct test_plan *plan, const char *key) {
    size_t size = strlen(key);
    for (size_t i = 0; i < plan->n_overrides; i++)
        if (strncmp(plan->overrides[i], key, size) == 0 && plan->overrides[i][size] == '=')
            return true;
    return false;
}

/* ---- records ---- */

/* The output port of a plugin that gives a schema; UINT32_MAX where none does. */
static uint32_t port_for(const struct plugin_desc *plugin, const char *schema) {
    size_t n = plugin_port_count(plugin, "out");
    for (size_t i = 0; i < n; i++)
        if (schemas_hold(json_object_get(plugin_port(plugin, "out", i), "schemas"), schema))
            return (uint32_t)i;
    return UINT32_MAX;
}

static void add_body(struct build *b, struct test_source *source, const struct plugin_desc *plugin,
                     json_t *record, struct mark mark, const char *path) {
    struct telex_builder body;
    if (!json_is_object(record) || json_string_length(json_object_get(record, "id")) == 0 ||
        json_string_length(json_object_get(record, "id")) > TELEX_ID_MAX_BYTES) {
        tell(b->errors, mark, path,
             "is no record; write a mapping with an `id` of 1 to 64 bytes, in quotes when "
             "it is a number");
        return;
    }
    const char *schema = json_string_value(json_object_get(record, "schema"));
    if (!schema) {
        json_object_set_new(record, "schema", json_string("telex.record/1"));
        schema = "telex.record/1";
    }
    uint32_t port = port_for(plugin, schema);
    if (port == UINT32_MAX) {
        tell(b->errors, mark, path, "is a %.60s, which %s never gives; `telex plugins %s` lists its outputs",
             schema, plugin->name, plugin->name);
        return;
    }
    telex_build_init(&body);
    telex_build_json(&body, record);
    struct telex_bytes bytes = telex_build_body(&body);
    source->bodies = grown(source->bodies, source->n, sizeof(*source->bodies));
    source->ports = grown(source->ports, source->n, sizeof(*source->ports));
    uint8_t *copy = malloc(bytes.size + 1);
    if (!copy)
        abort();
    memcpy(copy, bytes.data, bytes.size);
    source->bodies[source->n] = (struct telex_bytes){copy, bytes.size};
    source->ports[source->n++] = port;
    telex_build_finish(&body);
}

static void read_jsonl(struct build *b, struct test_source *source, const struct plugin_desc *plugin,
                       const struct node *node, const char *dir, const char *path) {
    char *file = absolute_path(dir, node->text), *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    FILE *in = fopen(file, "r");
    if (!in)
        tell(b->errors, node->mark, path,
             "%s cannot be read: %s; give a JSONL file, or the records themselves", file, strerror(errno));
    for (int number = 1; in && source->n < RECORDS_MAX && (size = getline(&line, &capacity, in)) >= 0;
         number++) {
        json_error_t error;
        json_t *record = size > 1 ? json_loadb(line, (size_t)size, 0, &error) : NULL;
        if (record)
            add_body(b, source, plugin, record,
                     (struct mark){node->mark.file, node->mark.line, node->mark.column}, path);
        else if (size > 1)
            tell(b->errors, node->mark, path, "%s:%d: %s; each line is one JSON object", file, number,
                 error.text);
        json_decref(record);
    }
    if (in)
        fclose(in);
    free(line);
    free(file);
}

static size_t find_stage(struct build *b, const struct config *config, const char *name, struct mark mark,
                         const char *path) {
    const char *names[64];
    char near[512];
    size_t n = 0;
    for (; n < config->n_stages && n < 64; n++) {
        if (strcmp(config->stages[n].name, name) == 0)
            return n;
        names[n] = config->stages[n].name;
    }
    tell(b->errors, mark, path, "names no stage '%.40s'; %s", name,
         did_you_mean(name, names, n, near, sizeof(near)));
    return SIZE_MAX;
}

static bool is_source(const struct config_stage *stage) {
    return plugin_port_count(stage->plugin, "in") == 0;
}

static void read_records(struct build *b, struct test_plan *plan, const struct node *records, const char *dir,
                         const char *path) {
    char below[PATH_TEXT_BYTES], item[PATH_TEXT_BYTES];
    if (records && records->kind != NODE_MAP) {
        tell(b->errors, records->mark, path,
             "is no mapping; write `SOURCE: [records]` or `SOURCE: file.jsonl`");
        return;
    }
    for (size_t i = 0; records && i < records->count; i++) {
        const struct node *given = records->items[i];
        snprintf(below, sizeof(below), "%.300s.%.100s", path, records->keys[i]);
        size_t stage = find_stage(b, plan->config, records->keys[i], records->key_marks[i], below);
        if (stage == SIZE_MAX)
            continue;
        const struct plugin_desc *plugin = plan->config->stages[stage].plugin;
        if (!is_source(&plan->config->stages[stage])) {
            tell(b->errors, records->key_marks[i], below,
                 "is no source; give the records of the source before it");
            continue;
        }
        plan->sources = grown(plan->sources, plan->n_sources, sizeof(*plan->sources));
        struct test_source *source = &plan->sources[plan->n_sources++];
        source->stage = stage;
        if (given->kind == NODE_TEXT)
            read_jsonl(b, source, plugin, given, dir, below);
        else if (given->kind == NODE_MAP)
            tell(b->errors, given->mark, below, "is a mapping; begin each record with a hyphen");
        for (size_t k = 0; given->kind == NODE_LIST && k < given->count; k++) {
            const struct node *one = given->items[k];
            struct mark mark = one->kind == NODE_MAP && one->count ? one->key_marks[0] : one->mark;
            json_t *record = test_value(one);
            snprintf(item, sizeof(item), "%.400s[%zu]", below, k);
            add_body(b, source, plugin, record, mark, item);
            json_decref(record);
        }
    }
}

/* ---- faults ---- */

static struct test_source *given_source(struct test_plan *plan, size_t stage) {
    for (size_t i = 0; i < plan->n_sources; i++)
        if (plan->sources[i].stage == stage)
            return &plan->sources[i];
    return NULL;
}

static void read_stage_fault(struct build *b, struct test_plan *plan, const struct node *node,
                             struct mark mark, const char *path) {
    static const char *const kinds[] = {
        [FAULT_CRASH] = "crash", [FAULT_HANG] = "hang", [FAULT_FAIL] = "fail", [FAULT_REJECT] = "reject"};
    static const char *const known[] = {"stage", "crash", "hang", "fail", "reject", "times"};
    struct test_fault fault = {.mark = mark};
    int n_kinds = 0;
    const char *name = build_text(b, node, path, "stage", NULL);
    build_check_keys(b, node, path, known, COUNT(known));
    for (uint32_t i = 0; i < FAULT_KINDS; i++)
        if (node_get(node, kinds[i])) {
            fault.fault.kind = i;
            fault.fault.at = (uint32_t)build_int(b, node, path, kinds[i], 1, 1, 1000000);
            n_kinds++;
        }
    fault.fault.times = (uint32_t)build_int(b, node, path, "times", 1, 1, 1000000);
    if (n_kinds != 1)
        tell(b->errors, mark, path,
             "%s; say one of crash, hang, fail and reject, with the number of a record",
             n_kinds ? "are several faults in one" : "says no fault");
    fault.stage = name ? find_stage(b, plan->config, name, mark, path) : SIZE_MAX;
    if (!name)
        tell(b->errors, mark, path, "names no stage; write `stage: NAME`, or `host: N` for the host itself");
    if (fault.stage == SIZE_MAX || n_kinds != 1)
        return;
    bool source = is_source(&plan->config->stages[fault.stage]);
    struct test_source *given = given_source(plan, fault.stage);
    if (source && fault.fault.kind == FAULT_FAIL)
        fault.fault.times = fault.fault.at; /* so many starts */
    if (given && fault.fault.kind == FAULT_FAIL)
        given->failing_starts = fault.fault.times;
    else if (given || (source && fault.fault.kind == FAULT_REJECT))
        tell(b->errors, mark, path,
             "%s; a source can `fail: N` of its starts, or let the stage behind it have the fault",
             given ? "strikes a source whose records are given"
                   : "rejects, but a source is handed no record");
    plan->faults = grown(plan->faults, plan->n_faults, sizeof(*plan->faults));
    plan->faults[plan->n_faults++] = fault;
}

static void read_faults(struct build *b, struct test_plan *plan, const struct node *faults,
                        const char *path) {
    static const char *const host_known[] = {"host"};
    char below[PATH_TEXT_BYTES];
    if (faults && faults->kind != NODE_LIST)
        tell(b->errors, faults->mark, path, "is no list; begin each fault with a hyphen");
    for (size_t i = 0; faults && faults->kind == NODE_LIST && i < faults->count; i++) {
        const struct node *node = faults->items[i];
        struct mark mark = node->kind == NODE_MAP && node->count ? node->key_marks[0] : node->mark;
        snprintf(below, sizeof(below), "%.400s[%zu]", path, i);
        if (node->kind != NODE_MAP) {
            tell(b->errors, mark, below, "is no mapping; write {stage: NAME, crash: 3}");
        } else if (node_get(node, "host")) {
            build_check_keys(b, node, below, host_known, COUNT(host_known));
            plan->faults = grown(plan->faults, plan->n_faults, sizeof(*plan->faults));
            plan->faults[plan->n_faults++] = (struct test_fault){
                .stage = SIZE_MAX,
                .mark = mark,
                .fault = {.kind = FAULT_CRASH,
                          .at = (uint32_t)build_int(b, node, below, "host", 1, 1, 1000000),
                          .times = 1}};
        } else {
            read_stage_fault(b, plan, node, mark, below);
        }
    }
}

/* ---- the config of one test ---- */

/* Errors of an override are told where the test sets it. */
static void move_errors(const struct test_plan *plan, struct config_errors *from, struct config_errors *to) {
    for (size_t i = 0; i < from->count; i++) {
        const struct config_error *e = &from->items[i];
        struct mark mark = {e->file, e->line, e->column};
        if (strcmp(e->file, "--set") == 0 && (size_t)e->line <= plan->n_overrides)
            mark = plan->override_marks[e->line - 1];
        tell(to, mark, e->path, "%s", e->text);
    }
    config_errors_finish(from);
}

static bool load_config(struct build *b, struct test_plan *plan, const char *config_path) {
    struct config_errors errors = {0};
    config_destroy(plan->config);
    plan->config = NULL;
    int n =
        config_check(config_path, (const char *const *)plan->overrides, b->registry, &errors, &plan->config);
    move_errors(plan, &errors, b->errors);
    return n == 0;
}

/* A stage that writes files writes them into the private folder, where the test does not say otherwise. */
static void redirect_files(struct test_plan *plan, const struct config_stage *stage, const char *state) {
    size_t i;
    const json_t *option;
    char key[256];
    if (!plugin_needs(stage->plugin, "fs:write"))
        return;
    json_array_foreach(json_object_get(stage->plugin->about, "options"), i, option) {
        const char *name = json_string_value(json_object_get(option, "name"));
        snprintf(key, sizeof(key), "stages.%.60s.options.%.100s", stage->name, name);
        if (option_type(option) == TELEX_PATH && !is_set(plan, key))
            override(plan, plan->mark, "%s=%s/%s/%s", key, state, stage->name, name);
    }
}

/* A test reads from nowhere but its records and files. */
static void check_sources(struct build *b, struct test_plan *plan, const char *path) {
    for (size_t i = 0; i < plan->config->n_stages; i++) {
        const struct config_stage *stage = &plan->config->stages[i];
        if (is_source(stage) && !given_source(plan, i) && plugin_needs(stage->plugin, "net"))
            tell(b->errors, plan->mark, path,
                 "would let %s ask the network; give its records: `records: {%s: [...]}`", stage->name,
                 stage->name);
    }
}

static void read_test(struct build *b, struct test_file *file, struct test_plan *plan,
                      const struct node *node, const char *dir, const char *state,
                      const char *const *overrides) {
    static const char *const known[] = {"set", "records", "faults", "timeout", "expect"};
    char path[PATH_TEXT_BYTES], below[PATH_TEXT_BYTES];
    snprintf(path, sizeof(path), "tests.%.200s", plan->name);
    if (node->kind != NODE_MAP) {
        tell(b->errors, plan->mark, path, "is no mapping; write `records`, `faults` and `expect` below it");
        return;
    }
    build_check_keys(b, node, path, known, COUNT(known));
    plan->timeout_ms = build_duration(b, node, path, "timeout", "60s");
    plan->expect = node_get(node, "expect");
    override(plan, plan->mark, "journal={path: \"%s/test.journal\", durability: normal}", state);
    override(plan, plan->mark, "http={}");
    read_set(b, plan, node_get(file->root, "set"), "set");
    snprintf(below, sizeof(below), "%.400s.set", path);
    read_set(b, plan, node_get(node, "set"), below);
    for (int i = 0; overrides && overrides[i]; i++)
        override(plan, (struct mark){"--set", i + 1, 1}, "%s", overrides[i]);
    if (!load_config(b, plan, file->config_path))
        return;
    snprintf(below, sizeof(below), "%.400s.records", path);
    read_records(b, plan, node_get(node, "records"), dir, below);
    snprintf(below, sizeof(below), "%.400s.faults", path);
    read_faults(b, plan, node_get(node, "faults"), below);
    check_sources(b, plan, path);
    for (size_t i = 0; i < plan->config->n_stages; i++)
        redirect_files(plan, &plan->config->stages[i], state);
    for (size_t i = 0; i < plan->n_faults; i++)
        if (plan->faults[i].stage != SIZE_MAX && !given_source(plan, plan->faults[i].stage))
            override(plan, plan->faults[i].mark, "stages.%s.isolation=process",
                     plan->config->stages[plan->faults[i].stage].name);
    load_config(b, plan, file->config_path);
}

static void read_env(struct build *b, const struct node *env) {
    for (size_t i = 0; env && env->kind == NODE_MAP && i < env->count; i++)
        if (env->items[i]->kind == NODE_TEXT)
            setenv(env->keys[i], env->items[i]->text, 0);
        else
            tell(b->errors, env->key_marks[i], "env", "a variable is a text; write NAME: value");
}

static char *folder_of(const char *path) {
    char real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    char *parent = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    char *out = strdup(parent && realpath(parent, real) ? real : "/");
    free(parent);
    return out;
}

int test_file_read(struct test_file *file, const char *path, const char *state, const char *const *overrides,
                   struct registry *registry, struct config_errors *errors) {
    static const char *const known[] = {"config", "env", "set", "tests"};
    struct build b = {.errors = errors, .registry = registry};
    memset(file, 0, sizeof(*file));
    file->path = strdup(path);
    setenv("TELEX_STATE", state, 1);
    b.root = file->root = tree_read(path, errors);
    if (!file->root)
        return (int)errors->count;
    char *dir = folder_of(path);
    const struct node *tests = node_get(file->root, "tests");
    const char *config = build_text(&b, file->root, "", "config", NULL);
    file->config_path = config ? absolute_path(dir, config) : strdup(path);
    if (config)
        build_check_keys(&b, file->root, "", known, COUNT(known));
    read_env(&b, node_get(file->root, "env"));
    if (!tests || tests->kind != NODE_MAP || tests->count == 0 || tests->count > TESTS_MAX)
        tell(errors, tests ? tests->mark : file->root->mark, "tests",
             "%s; write `a name: {records: ..., expect: ...}` lines below it",
             !tests                    ? "is missing"
             : tests->count == 0       ? "is empty"
             : tests->kind != NODE_MAP ? "is no mapping"
                                       : "has more than 200 tests");
    size_t n = errors->count == 0 ? tests->count : 0;
    file->plans = calloc(n + 1, sizeof(*file->plans));
    for (size_t i = 0; i < n && file->plans; i++) {
        struct test_plan *plan = &file->plans[file->n_plans++];
        plan->name = tests->keys[i];
        plan->mark = tests->key_marks[i];
        read_test(&b, file, plan, tests->items[i], dir, state, overrides);
    }
    free(dir);
    return (int)errors->count;
}

void test_file_finish(struct test_file *file) {
    for (size_t i = 0; i < file->n_plans; i++) {
        struct test_plan *plan = &file->plans[i];
        for (size_t k = 0; k < plan->n_sources; k++) {
            for (size_t m = 0; m < plan->sources[k].n; m++)
                free((void *)plan->sources[k].bodies[m].data);
            free(plan->sources[k].bodies);
            free(plan->sources[k].ports);
        }
        for (size_t k = 0; k < plan->n_overrides; k++)
            free(plan->overrides[k]);
        free(plan->sources);
        free(plan->faults);
        config_destroy(plan->config);
    }
    free(file->plans);
    node_destroy(file->root);
    free(file->config_path);
    free(file->path);
    memset(file, 0, sizeof(*file));
}

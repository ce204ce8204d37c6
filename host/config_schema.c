/* SPDX-License-Identifier: Apache-2.0 */
/* config_schema.c - the JSON Schema of configs, built from the same tables that config_check reads.
 *
 * It accepts what config_check accepts as far as a schema can say it: ports, schemas of edges and the graph
 * are beyond it. Every value may be a text with ${env:NAME}. */
#include "config.h"

#include <string.h>

#include "option_value.h"

#define ENV_PATTERN "\\$\\{env:"

/* `schema`, or a text with a variable in it. Takes schema. */
static json_t *or_variable(json_t *schema) {
    return json_pack("{s:[o,{s:s,s:s}]}", "anyOf", schema, "type", "string", "pattern", ENV_PATTERN);
}

static json_t *text_schema(const char *doc) {
    return json_pack("{s:s,s:s}", "type", "string", "description", doc);
}

static json_t *pattern_schema(const char *pattern, const char *doc) {
    json_t *one = or_variable(json_pack("{s:s,s:s}", "type", "string", "pattern", pattern));
    json_object_set_new(one, "description", json_string(doc));
    return one;
}

#define DURATION_PATTERN "^[0-9]+(ms|s|m|h|d)$"

static json_t *duration_schema(const char *doc) {
    return pattern_schema(DURATION_PATTERN, doc);
}

static json_t *count_schema(json_int_t min, json_int_t max, const char *doc) {
    json_t *one = or_variable(json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", min, "maximum", max));
    json_object_set_new(one, "description", json_string(doc));
    return one;
}

static json_t *words_schema(const char *const *words, const char *doc) {
    json_t *list = json_array();
    for (; *words; words++)
        json_array_append_new(list, json_string(*words));
    json_t *one = or_variable(json_pack("{s:o}", "enum", list));
    json_object_set_new(one, "description", json_string(doc));
    return one;
}

/* An object that allows only `properties`. Takes both; required may be NULL. */
static json_t *object_schema(json_t *properties, json_t *required) {
    json_t *out =
        json_pack("{s:s,s:o,s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
    if (required && json_array_size(required) > 0)
        json_object_set(out, "required", required);
    json_decref(required);
    return out;
}

/* ---- options ---- */

static void set_range(json_t *schema, const json_t *option) {
    if (json_object_get(option, "min"))
        json_object_set(schema, "minimum", json_object_get(option, "min"));
    if (json_object_get(option, "max"))
        json_object_set(schema, "maximum", json_object_get(option, "max"));
}

static json_t *value_schema(const json_t *option) {
    json_t *out;
    switch (option_type(option)) {
    case TELEX_INT:
    case TELEX_REAL:
        out = json_pack("{s:s}", "type", option_type(option) == TELEX_INT ? "integer" : "number");
        set_range(out, option);
        return or_variable(out);
    case TELEX_BOOL:
        return or_variable(json_pack("{s:s}", "type", "boolean"));
    case TELEX_DURATION:
        return or_variable(json_pack("{s:s,s:s}", "type", "string", "pattern", DURATION_PATTERN));
    case TELEX_SIZE:
        return or_variable(json_pack("{s:[{s:s,s:i},{s:s,s:s}]}", "anyOf", "type", "integer", "minimum", 0,
                                     "type", "string", "pattern", "^[0-9]+(B|KiB|MiB|GiB)?$"));
    case TELEX_CHOICE:
        return or_variable(json_pack("{s:O}", "enum", json_object_get(option, "choices")));
    case TELEX_LIST:
        return json_pack("{s:s,s:{s:[s,s,s]}}", "type", "array", "items", "type", "string", "number",
                         "boolean");
    default: /* text may be written without quotes even where it reads as a number */
        return json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean");
    }
}

static json_t *options_schema(const json_t *table) {
    json_t *properties = json_object(), *required = json_array();
    size_t i;
    json_t *option;
    json_array_foreach((json_t *)table, i, option) {
        json_t *schema = value_schema(option), *initial = json_object_get(option, "initial");
        json_object_set(schema, "description", json_object_get(option, "doc"));
        if (initial)
            json_object_set(schema, "default", initial);
        json_object_set_new(properties, json_string_value(json_object_get(option, "name")), schema);
        if (json_is_true(json_object_get(option, "required")))
            json_array_append(required, json_object_get(option, "name"));
    }
    return object_schema(properties, required);
}

/* ---- plugins: if plugin is NAME, then options are these ---- */

struct names {
    json_t *stages, *stage_rules, *models, *model_rules;
};

static void add_plugin(void *arg, const struct plugin_desc *plugin) {
    struct names *names = arg;
    bool stage = strcmp(plugin->class_id, TELEX_CLASS_STAGE) == 0;
    const json_t *table = json_object_get(plugin->about, "options");
    json_t *then = json_pack("{s:{s:o}}", "properties", "options", options_schema(table));
    json_t *required =
        json_object_get(json_object_get(json_object_get(then, "properties"), "options"), "required");
    if (required)
        json_object_set_new(then, "required", json_pack("[s]", "options"));
    json_array_append_new(stage ? names->stages : names->models,
                          json_pack("{s:s,s:s}", "const", plugin->name, "description", plugin->doc));
    json_array_append_new(stage ? names->stage_rules : names->model_rules,
                          json_pack("{s:{s:{s:{s:s}},s:[s]},s:o}", "if", "properties", "plugin", "const",
                                    plugin->name, "required", "plugin", "then", then));
}

/* A known name, or the path of a .so. Takes names. */
static json_t *plugin_schema(json_t *names) {
    json_array_append_new(names, json_pack("{s:s,s:s,s:s}", "type", "string", "pattern", "/", "description",
                                           "path of a plugin's .so"));
    json_t *out = json_pack("{s:o}", "anyOf", names);
    json_object_set_new(out, "description", json_string("plugin by name or path"));
    return out;
}

static json_t *from_schema(void) {
    json_t *edge = json_object();
    json_object_set_new(edge, "stage", text_schema("stage that the records come from"));
    json_object_set_new(edge, "port", text_schema("its output port, where it has several that fit"));
    json_object_set_new(edge, "to", text_schema("input port of this stage, where it has several that fit"));
    json_object_set_new(edge, "where",
                        json_pack("{s:s,s:{s:[s,s]},s:s}", "type", "object", "additionalProperties", "type",
                                  "string", "array", "description",
                                  "key: values; a message passes when all keys match"));
    json_object_set_new(edge, "keyed",
                        json_pack("{s:s,s:s}", "type", "boolean", "description",
                                  "one version of a message at a time, the newest first"));
    json_object_set_new(edge, "capacity", count_schema(1, 1000000, "messages that may wait"));
    json_t *one = json_pack("[{s:s},o]", "type", "string", object_schema(edge, json_pack("[s]", "stage")));
    json_t *list =
        json_pack("{s:s,s:i,s:{s:o}}", "type", "array", "minItems", 1, "items", "anyOf", json_copy(one));
    json_array_append_new(one, list);
    return json_pack("{s:o,s:s}", "anyOf", one, "description", "where this stage's records come from");
}

static json_t *limits_schema(void) {
    json_t *p = json_object();
    json_object_set_new(p, "memory", text_schema("address space, such as 2GiB; not for CUDA"));
    json_object_set_new(p, "files", count_schema(16, 1000000, "open descriptors"));
    json_object_set_new(p, "processes", count_schema(1, 1000000, "of the user; does not bind root"));
    json_object_set_new(p, "nice", count_schema(0, 19, "added to the host's"));
    json_t *out = object_schema(p, NULL);
    json_object_set_new(out, "description", json_string("bounds of a stage with `isolation: process`"));
    return out;
}

static json_t *stage_schema(json_t *names, json_t *rules) {
    static const char *const isolations[] = {"thread", "process", NULL};
    json_t *p = json_object();
    json_object_set_new(p, "plugin", plugin_schema(names));
    json_object_set_new(p, "from", from_schema());
    json_object_set_new(p, "options", json_pack("{s:s}", "type", "object"));
    json_object_set_new(p, "model", text_schema("a model under `models`"));
    json_object_set_new(p, "models",
                        json_pack("{s:s,s:{s:s},s:s}", "type", "object", "additionalProperties", "type",
                                  "string", "description", "role: a model under `models`"));
    json_object_set_new(p, "isolation", words_schema(isolations, "default: process for write stages"));
    static const char *const sandboxes[] = {"needs", "off", NULL};
    json_object_set_new(p, "sandbox",
                        words_schema(sandboxes, "what a stage with `isolation: process` may do"));
    json_object_set_new(p, "limits", limits_schema());
    json_object_set_new(p, "attempts", count_schema(1, 1000, "failures before a record goes to quarantine"));
    json_object_set_new(p, "retries", count_schema(0, 1000000, "passing faults before quarantine"));
    json_object_set_new(p, "retry", duration_schema("pause before the first retry, doubling up to 60 s"));
    json_object_set_new(p, "open_steps", count_schema(1, 4096, "records that the stage may hold at once"));
    json_object_set_new(p, "timeout", duration_schema("time that one record may take"));
    json_object_set_new(p, "critical", or_variable(json_pack("{s:s}", "type", "boolean")));
    json_t *out = object_schema(p, json_pack("[s]", "plugin"));
    if (json_array_size(rules) > 0)
        json_object_set(out, "allOf", rules);
    json_decref(rules);
    return out;
}

static json_t *model_schema(json_t *names, json_t *rules) {
    json_t *p = json_object();
    json_array_insert_new(names, 0,
                          json_pack("{s:s,s:s}", "const", "auto", "description", "the best that runs here"));
    json_object_set_new(p, "plugin", plugin_schema(names));
    json_object_set_new(p, "options", json_pack("{s:s}", "type", "object"));
    json_t *out = object_schema(p, json_pack("[s]", "plugin"));
    if (json_array_size(rules) > 0)
        json_object_set(out, "allOf", rules);
    json_decref(rules);
    return out;
}

static json_t *journal_schema(void) {
    static const char *const durabilities[] = {"full", "normal", "memory", NULL};
    json_t *p = json_object();
    json_object_set_new(p, "path", text_schema("journal file, relative to the config"));
    json_object_set_new(p, "durability",
                        words_schema(durabilities, "full: every step is on disk before it counts"));
    json_object_set_new(p, "retention", duration_schema("how long records, stories and events are kept"));
    return object_schema(p, NULL);
}

static json_t *http_schema(void) {
    json_t *p = json_object();
    json_object_set_new(p, "listen", pattern_schema(":[0-9]+$", "address of the readers' pages"));
    json_object_set_new(p, "admin", pattern_schema(":[0-9]+$", "address of /healthz and /metrics"));
    return object_schema(p, NULL);
}

static json_t *plugins_schema(void) {
    static const char *const requires[] = {"none", "lock", "signature", NULL};
    json_t *p = json_object();
    json_object_set_new(p, "lock", text_schema("file that pins plugins, relative to the config"));
    json_object_set_new(p, "require",
                        words_schema(requires, "default: signature with keys, lock with a lock, else none"));
    json_object_set_new(p, "keys",
                        json_pack("{s:s,s:i,s:i,s:{s:s},s:s}", "type", "array", "minItems", 1, "maxItems", 64,
                                  "items", "type", "string", "description",
                                  "public keys that are trusted, as text or as files"));
    return object_schema(p, NULL);
}

json_t *config_schema(struct registry *registry) {
    struct names names = {json_array(), json_array(), json_array(), json_array()};
    registry_each(registry, add_plugin, NULL, &names);
    json_t *p = json_object();
    json_object_set_new(p, "pipeline", pattern_schema("^[a-z0-9][a-z0-9-]{0,39}$", "name of the pipeline"));
    json_object_set_new(p, "journal", journal_schema());
    json_object_set_new(p, "http", http_schema());
    json_object_set_new(p, "drain", duration_schema("time to finish what is open when told to stop"));
    json_object_set_new(p, "plugins", plugins_schema());
    json_object_set_new(p, "models",
                        json_pack("{s:s,s:o}", "type", "object", "additionalProperties",
                                  model_schema(names.models, names.model_rules)));
    json_object_set_new(p, "stages",
                        json_pack("{s:s,s:i,s:o}", "type", "object", "minProperties", 1,
                                  "additionalProperties", stage_schema(names.stages, names.stage_rules)));
    json_object_set_new(
        p, "tests",
        json_pack("{s:s,s:s}", "type", "object", "description", "for `telex test`: docs/testing.md"));
    json_t *out = object_schema(p, json_pack("[s,s]", "pipeline", "stages"));
    json_object_set_new(out, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(out, "title", json_string("telex pipeline"));
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* config_options.c - options of one plugin, from a tree or from the command line, to one checked msgpack map.
 *
 * The map holds every option that is given or has a default, in the order of the table. The text of a secret
 * appears in no message. */
#include "config_build.h"

#include <stdlib.h>
#include <string.h>

#include "option_value.h"

enum { OPTIONS_MAX = 512 };

static const char *name_of(const json_t *option) {
    return json_string_value(json_object_get(option, "name"));
}

/* The names of a table, for did_you_mean. */
static size_t names_of(const json_t *table, const char **names) {
    size_t n = 0, i;
    json_t *option;
    json_array_foreach((json_t *)table, i, option) if (n < OPTIONS_MAX) names[n++] = name_of(option);
    return n;
}

static const char *what_is(const struct node *value) {
    switch (value->kind) {
    case NODE_NONE:
        return "has no value; give one or remove the key";
    case NODE_MAP:
        return "is a mapping; give one value";
    default:
        return "is a list; give one value";
    }
}

static bool wants_plain(uint32_t type) {
    return type == TELEX_INT || type == TELEX_REAL || type == TELEX_BOOL;
}

static int from_list(const json_t *option, const struct node *value, struct option_value *out, char *why,
                     size_t why_size) {
    const char *items[1024];
    size_t n = 0;
    for (; n < value->count && n < COUNT(items) && value->items[n]->kind == NODE_TEXT; n++)
        items[n] = value->items[n]->text;
    if (n == value->count)
        return option_value_list(option, items, n, out, why, why_size);
    snprintf(why, why_size,
             n == COUNT(items) ? "has more than 1024 items; take some out"
                               : "has an item that is no text; write each as one word or in quotes");
    return -1;
}

static int from_node(const json_t *option, const struct node *value, const char *dir,
                     struct option_value *out, char *why, size_t why_size) {
    uint32_t type = option_type(option);
    if (type == TELEX_LIST && value->kind == NODE_LIST)
        return from_list(option, value, out, why, why_size);
    if (type == TELEX_LIST || value->kind != NODE_TEXT) {
        snprintf(why, why_size, "%s",
                 type == TELEX_LIST && value->kind != NODE_NONE
                     ? "is no list; write [a, b], or one item a line after `- `"
                     : what_is(value));
        return -1;
    }
    if (wants_plain(type) && !value->plain) {
        snprintf(why, why_size, "is text; write the value without quotes");
        return -1;
    }
    return option_value_parse(option, value->text, dir, out, why, why_size);
}

static void put(struct telex_builder *packed, const json_t *option, struct option_value *value) {
    telex_build_key(packed, name_of(option));
    option_value_build(value, packed);
    option_value_finish(value);
}

/* The checked default, if there is one. about_check has parsed it before. */
static void put_initial(struct telex_builder *packed, const json_t *option, const char *dir) {
    const char *initial = json_string_value(json_object_get(option, "initial"));
    struct option_value value;
    char why[256];
    if (initial && option_value_parse(option, initial, dir, &value, why, sizeof(why)) == 0)
        put(packed, option, &value);
}

/* The body of a finished builder as bytes of their own. */
static struct telex_bytes taken(struct telex_builder *packed) {
    struct telex_bytes body = telex_build_body(packed);
    uint8_t *copy = malloc(body.size);
    if (!copy || packed->broken)
        abort();
    memcpy(copy, body.data, body.size);
    body.data = copy;
    telex_build_finish(packed);
    return body;
}

struct telex_bytes build_options(struct build *b, const struct plugin_desc *plugin,
                                 const struct node *options, struct mark above, const char *path) {
    const char *names[OPTIONS_MAX];
    char below[PATH_TEXT_BYTES], why[512];
    const json_t *table = json_object_get(plugin->about, "options");
    struct telex_builder packed;
    size_t i;
    json_t *option;
    snprintf(below, sizeof(below), "%.300s.options", path);
    build_check_keys(b, options, below, names, names_of(table, names));
    telex_build_init(&packed);
    telex_build_map_begin(&packed);
    json_array_foreach((json_t *)table, i, option) {
        struct option_value value;
        const struct node *given = node_get(options, name_of(option));
        snprintf(below, sizeof(below), "%.300s.options.%s", path, name_of(option));
        if (!given && json_is_true(json_object_get(option, "required")))
            tell(b->errors, options && options->kind == NODE_MAP ? options->mark : above, below,
                 "is missing; give it: %s", json_string_value(json_object_get(option, "doc")));
        else if (!given)
            put_initial(&packed, option, b->config->dir);
        else if (from_node(option, given, b->config->dir, &value, why, sizeof(why)) < 0)
            tell(b->errors, given->mark, below, "%s", why);
        else
            put(&packed, option, &value);
    }
    telex_build_map_end(&packed);
    return taken(&packed);
}

/* ---- loose options: key=value texts ---- */

static const char *find_pair(const char *const *pairs, const char *name) {
    const char *found = NULL;
    size_t size = strlen(name);
    for (; pairs && *pairs; pairs++)
        if (strncmp(*pairs, name, size) == 0 && (*pairs)[size] == '=')
            found = *pairs + size + 1; /* the last one wins */
    return found;
}

/* Texts that name no option of the table. */
static int unknown_pairs(const json_t *table, const char *const *pairs, FILE *errors) {
    const char *names[OPTIONS_MAX];
    char near[512], key[80];
    size_t n = names_of(table, names);
    int n_errors = 0;
    for (; pairs && *pairs; pairs++) {
        size_t size = strcspn(*pairs, "="), i = 0;
        while (i < n && (strlen(names[i]) != size || strncmp(names[i], *pairs, size) != 0))
            i++;
        snprintf(key, sizeof(key), "%.*s", size < 60 ? (int)size : 60, *pairs);
        if ((*pairs)[size] != '=')
            n_errors++, fprintf(errors, "option %s: has no value; write %s=VALUE\n", key, key);
        else if (i == n)
            n_errors++, fprintf(errors, "option %s: is not known; %s\n", key,
                                did_you_mean(key, names, n, near, sizeof(near)));
    }
    return n_errors;
}

int config_options(const struct plugin_desc *plugin, const char *const *pairs, const char *dir, FILE *errors,
                   struct telex_bytes *out) {
    const json_t *table = json_object_get(plugin->about, "options");
    struct telex_builder packed;
    char why[512];
    size_t i;
    json_t *option;
    int n_errors = unknown_pairs(table, pairs, errors);
    telex_build_init(&packed);
    telex_build_map_begin(&packed);
    json_array_foreach((json_t *)table, i, option) {
        struct option_value value;
        const char *given = find_pair(pairs, name_of(option));
        if (!given && json_is_true(json_object_get(option, "required")))
            n_errors++, fprintf(errors, "option %s: is missing; give -o %s=VALUE: %s\n", name_of(option),
                                name_of(option), json_string_value(json_object_get(option, "doc")));
        else if (!given)
            put_initial(&packed, option, dir);
        else if (option_value_parse(option, given, dir, &value, why, sizeof(why)) < 0)
            n_errors++, fprintf(errors, "option %s: %s\n", name_of(option), why);
        else
            put(&packed, option, &value);
    }
    telex_build_map_end(&packed);
    *out = taken(&packed);
    if (n_errors > 0) {
        free((void *)out->data);
        *out = (struct telex_bytes){NULL, 0};
    }
    return n_errors;
}

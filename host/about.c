/* SPDX-License-Identifier: Apache-2.0 */
/* about.c - checks a plugin's description, which came from the plugin and is trusted in nothing.
 *
 * After about_check every member that loader.h names is there, of its type and within its bounds. */
#include "about.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <telex/plugin.h>

#include "option_value.h"

enum { NAME_MAX_BYTES = 64, DOC_MAX_BYTES = 2000 };

struct checker {
    char *why;
    size_t why_size;
};

static int refuse(const struct checker *c, const char *what, const char *name, const char *remedy) {
    snprintf(c->why, c->why_size, "%s%s%s; %s", what, name ? " " : "", name ? name : "", remedy);
    return -1;
}

/* Lower case letters, digits, '-' or '_', beginning with a letter. */
static bool is_name(const char *text) {
    if (!text || *text < 'a' || *text > 'z' || strlen(text) > NAME_MAX_BYTES)
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(text);
}

static bool short_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text && strlen(text) <= DOC_MAX_BYTES;
}

static bool all_text(const json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)list, i, item) if (!json_is_string(item)) return false;
    return json_is_array(list);
}

static const char *name_of(const json_t *object) {
    return json_string_value(json_object_get(object, "name"));
}

/* Whether an earlier item has the same name (and direction, for ports). */
static bool is_repeated(const json_t *list, size_t at) {
    const json_t *item = json_array_get(list, at);
    for (size_t i = 0; i < at; i++)
        if (strcmp(name_of(json_array_get(list, i)), name_of(item)) == 0 &&
            json_equal(json_object_get(json_array_get(list, i), "direction"),
                       json_object_get(item, "direction")))
            return true;
    return false;
}

static int check_option(const struct checker *c, const json_t *option) {
    char problem[256];
    const char *name = name_of(option), *type = json_string_value(json_object_get(option, "type"));
    if (!is_name(name))
        return refuse(c, "has an option without a good name", name,
                      "use lower case letters, digits and underscores");
    if (!type)
        return refuse(c, "has an option of unknown type:", name,
                      "set .type to one of telex/option.h, or update telex");
    if (!short_text(option, "doc"))
        return refuse(c, "says nothing about its option", name, "give it one line of .doc");
    const json_t *choices = json_object_get(option, "choices");
    if (strcmp(type, "choice") == 0 && (json_array_size(choices) == 0 || !all_text(choices)))
        return refuse(c, "has a choice without choices:", name, "set .choices");
    const char *initial = json_string_value(json_object_get(option, "initial"));
    struct option_value value;
    if (initial && option_value_parse(option, initial, "/", &value, problem, sizeof(problem)) < 0) {
        snprintf(c->why, c->why_size, "has a bad .initial for its option %s: %s", name, problem);
        return -1;
    }
    if (initial)
        option_value_finish(&value);
    return 0;
}

static int check_options(const struct checker *c, const json_t *options) {
    size_t i;
    json_t *option;
    if (!json_is_array(options))
        return refuse(c, "has no option list", NULL, "build it against this telex's headers");
    json_array_foreach((json_t *)options, i, option) {
        if (check_option(c, option) < 0)
            return -1;
        if (is_repeated(options, i))
            return refuse(c, "has two options named", name_of(option), "rename one");
    }
    return 0;
}

static int check_ports(const struct checker *c, const json_t *about) {
    size_t i, n_in = 0, n_out = 0;
    json_t *port, *ports = json_object_get(about, "ports");
    json_array_foreach(ports, i, port) {
        const char *direction = json_string_value(json_object_get(port, "direction"));
        if (!is_name(name_of(port)) || !direction || json_array_size(json_object_get(port, "schemas")) == 0 ||
            !all_text(json_object_get(port, "schemas")))
            return refuse(c, "has a port without name, direction or schemas", name_of(port),
                          "see telex/stage.h");
        if (is_repeated(ports, i))
            return refuse(c, "has two ports named", name_of(port), "rename one");
        n_in += strcmp(direction, "in") == 0;
        n_out += strcmp(direction, "out") == 0;
    }
    if (n_in + n_out == 0)
        return refuse(c, "has no port", NULL, "give .ports at least one");
    if (n_out > 0 && json_integer_value(json_object_get(about, "max_outputs")) < 1)
        return refuse(c, "has outputs but max_outputs 0", NULL,
                      "set the most messages that one step commits");
    return 0;
}

static bool provides(const json_t *manifest, const char *class_id) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(manifest, "provides"), i, item) {
        const char *text = json_string_value(item);
        if (text && strcmp(text, class_id) == 0)
            return true;
    }
    return false;
}

static int check_agreement(const struct checker *c, const json_t *about, const json_t *manifest) {
    static const char *const same[] = {"name", "version"};
    for (int i = 0; i < 2; i++) {
        const char *in_class = json_string_value(json_object_get(about, same[i]));
        const char *in_manifest = json_string_value(json_object_get(manifest, same[i]));
        if (strcmp(in_class, in_manifest) != 0) {
            snprintf(c->why, c->why_size,
                     "disagrees with its manifest: %s is '%s' in the class, '%s' in the manifest; "
                     "give both from one place",
                     same[i], in_class, in_manifest);
            return -1;
        }
    }
    const char *class_id = json_string_value(json_object_get(about, "class"));
    if (!provides(manifest, class_id))
        return refuse(c, "disagrees with its manifest, which does not list the class it provides:", class_id,
                      "use the macro that fits the class");
    return 0;
}

int about_check(const json_t *about, const json_t *manifest, char *why, size_t why_size) {
    const struct checker c = {why, why_size};
    const char *class_id = json_string_value(json_object_get(about, "class"));
    if (!class_id || !is_name(name_of(about)))
        return refuse(&c, "has a bad name", name_of(about), "use lower case letters, digits and hyphens");
    if (!short_text(about, "version") || !short_text(about, "doc"))
        return refuse(&c, "gives no version or no doc", NULL, "set both in its class table");
    if (!all_text(json_object_get(about, "needs")))
        return refuse(&c, "has a damaged list of needs", NULL, "end .needs with NULL");
    if (check_agreement(&c, about, manifest) < 0 || check_options(&c, json_object_get(about, "options")) < 0)
        return -1;
    if (strcmp(class_id, TELEX_CLASS_STAGE) != 0)
        return 0;
    if (!short_text(about, "role"))
        return refuse(&c, "has an unknown role", NULL, "set .role to one of telex/stage.h");
    return check_ports(&c, about);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.c - `telex plugins [NAME]`: what is installed, or what one plugin takes and gives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../loader.h"
#include "cli.h"

struct plugins_args {
    const char *name; /* NULL: all */
    int json;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct plugins_args *args = state->input;
    switch (key) {
    case 'j':
        args->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (args->name)
            argp_usage(state);
        args->name = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {{"json", 'j', NULL, 0, "print JSON", 0}, {0}};
static const struct argp argp = {options,
                                 parse,
                                 "[NAME]",
                                 "List the plugins that telex finds, or describe one by name or by path.\v"
                                 "Folders are searched in the order of TELEX_PLUGIN_PATH (separated by "
                                 "colons), then the build tree's or the "
                                 "installed one.",
                                 NULL,
                                 NULL,
                                 NULL};

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "a, b" from a list of texts. Gives it. */
static char *joined(const json_t *list) {
    char *out = NULL;
    size_t size, i;
    json_t *item;
    FILE *stream = open_memstream(&out, &size);
    if (!stream)
        return NULL;
    json_array_foreach((json_t *)list, i, item)
        fprintf(stream, "%s%s", i ? ", " : "", json_string_value(item));
    fclose(stream);
    return out;
}

static void show_option(const json_t *option) {
    const json_t *min = json_object_get(option, "min"), *choices = json_object_get(option, "choices");
    const char *initial = json_string_value(json_object_get(option, "initial"));
    printf("    %-20s %-9s %s", text_of(option, "name"), text_of(option, "type"), text_of(option, "doc"));
    if (json_is_true(json_object_get(option, "required")))
        printf(" (required)");
    if (initial)
        printf(" [%s]", *initial ? initial : "\"\"");
    if (min)
        printf(" {%.15g to %.15g%s%s}", json_number_value(min),
               json_number_value(json_object_get(option, "max")), *text_of(option, "unit") ? " " : "",
               text_of(option, "unit"));
    char *list = choices ? joined(choices) : NULL;
    if (list)
        printf(" {%s}", list);
    free(list);
    putchar('\n');
}

static void show_one(const struct plugin_desc *desc) {
    size_t i;
    json_t *item;
    char *needs = joined(json_object_get(desc->about, "needs"));
    printf("%s %s - %s\n", desc->name, desc->version, desc->doc);
    printf("  file     %s\n  sha256   %s\n  class    %s\n", desc->path, desc->sha256, desc->class_id);
    if (*text_of(desc->about, "role"))
        printf("  role     %s\n", text_of(desc->about, "role"));
    if (*desc->license)
        printf("  licence  %s\n", desc->license);
    if (needs && *needs)
        printf("  needs    %s\n", needs);
    free(needs);
    if (json_array_size(json_object_get(desc->about, "ports")) > 0)
        printf("  ports\n");
    json_array_foreach(json_object_get(desc->about, "ports"), i, item) {
        char *schemas = joined(json_object_get(item, "schemas"));
        printf("    %-4s %-20s %s\n", text_of(item, "direction"), text_of(item, "name"),
               schemas ? schemas : "");
        free(schemas);
    }
    if (json_array_size(json_object_get(desc->about, "options")) > 0)
        printf("  options\n");
    json_array_foreach(json_object_get(desc->about, "options"), i, item) show_option(item);
}

static json_t *as_json(const struct plugin_desc *desc) {
    json_t *out = json_deep_copy(desc->about);
    if (out) {
        json_object_set_new(out, "path", json_string(desc->path));
        json_object_set_new(out, "sha256", json_string(desc->sha256));
    }
    return out;
}

/* What the tour over all plugins collects. */
struct listing {
    int json;
    json_t *good, *bad;
};

static void list_good(void *arg, const struct plugin_desc *desc) {
    const struct listing *listing = arg;
    const char *role = text_of(desc->about, "role");
    if (listing->json)
        json_array_append_new(listing->good, as_json(desc));
    else
        printf("%-20s %-9s %-18s %s\n", desc->name, desc->version, *role ? role : desc->class_id, desc->doc);
}

static void list_bad(void *arg, const char *path, const char *why) {
    const struct listing *listing = arg;
    if (listing->json)
        json_array_append_new(listing->bad, json_pack("{s:s,s:s}", "path", path, "why", why));
    else
        fprintf(stderr, "telex plugins: %s\n", why);
}

static int list_all(struct registry *registry, int json) {
    struct listing listing = {json, json_array(), json_array()};
    registry_each(registry, list_good, list_bad, &listing);
    json_t *all = json_pack("{s:o,s:o}", "plugins", listing.good, "refused", listing.bad);
    if (json)
        cli_print_json(all);
    else
        json_decref(all);
    return EXIT_FINE;
}

int cmd_plugins(int argc, char **argv) {
    struct plugins_args args = {0};
    char why[1024];
    int code = cli_parse(&argp, argc, argv, &args);
    struct registry *registry = code == 0 ? cli_registry() : NULL;
    if (!registry)
        return code ? code : EXIT_FAILED;
    if (!args.name) {
        code = list_all(registry, args.json);
    } else {
        const struct plugin_desc *desc = registry_find(registry, args.name, why, sizeof(why));
        code = desc ? EXIT_FINE : EXIT_FAILED;
        if (!desc)
            fprintf(stderr, "telex plugins: %s\n", why);
        else if (args.json)
            cli_print_json(as_json(desc));
        else
            show_one(desc);
    }
    registry_destroy(registry);
    return code;
}

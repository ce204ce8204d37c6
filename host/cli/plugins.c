/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.c - `telex plugins [NAME]`: what is installed, or what one plugin takes and gives; and the way to
 * the commands that say which plugins are trusted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "../plugin_file.h"
#include "cli.h"
#include "help.h"
#include "plugins.h"

struct plugins_args {
    const char *name;   /* NULL: all */
    const char *config; /* NULL: none is asked */
    int json;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct plugins_args *args = state->input;
    switch (key) {
    case 'j':
        args->json = 1;
        return 0;
    case 'c':
        args->config = arg;
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

static const struct argp_option options[] = {
    {"config", 'c', "CONFIG", 0,
     "show only what this config's `plugins` trusts, and check signatures by its keys", 0},
    {"json", 'j', NULL, 0, "print JSON", 0},
    {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[NAME]",
    .doc = "List the plugins that telex finds, or describe one by name or by path.\v"
           "Folders are searched in the order of TELEX_PLUGIN_PATH (separated by colons), then the build "
           "tree's or "
           "the installed one. The signature of a plugin is none, good (by a key of the config), unknown (by "
           "a key "
           "that the config has not, or no config is given) or bad.\n\n"
           "`telex plugins lock` pins plugins; `keygen`, `sign` and `verify` are about their signatures; "
           "each has a "
           "--help."};

static void look_at_signature(const struct registry *registry, const struct plugin_desc *desc,
                              struct signature_report *out) {
    const struct trust *trust = registry_trust(registry);
    struct plugin_file file;
    char why[200];
    *out = (struct signature_report){.state = SIGNATURE_NONE};
    if (plugin_file_read(&file, desc->path, why, sizeof(why)) < 0)
        return;
    struct telex_bytes bytes = {file.data, file.size};
    trust_signature(trust ? trust->keys : NULL, trust ? trust->n_keys : 0, desc->path, bytes, out);
    plugin_file_finish(&file);
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
    printf("    %-20s %-9s %s", cli_text(option, "name", ""), cli_text(option, "type", ""),
           cli_text(option, "doc", ""));
    if (json_is_true(json_object_get(option, "required")))
        printf(" (required)");
    if (initial)
        printf(" [%s]", *initial ? initial : "\"\"");
    if (min)
        printf(" {%.15g to %.15g%s%s}", json_number_value(min),
               json_number_value(json_object_get(option, "max")), *cli_text(option, "unit", "") ? " " : "",
               cli_text(option, "unit", ""));
    char *list = choices ? joined(choices) : NULL;
    if (list)
        printf(" {%s}", list);
    free(list);
    putchar('\n');
}

static void show_signature(const struct registry *registry, const struct plugin_desc *desc) {
    struct signature_report report;
    look_at_signature(registry, desc, &report);
    printf("  signature %s", plugins_signature_word(&report));
    if (*report.key)
        printf(", key %s", report.key);
    if (*report.comment)
        printf(": %s", report.comment);
    else if (report.state == SIGNATURE_BAD)
        printf(": %s", report.why);
    putchar('\n');
}

static void show_one(const struct registry *registry, const struct plugin_desc *desc) {
    size_t i;
    json_t *item;
    char *needs = joined(json_object_get(desc->about, "needs"));
    printf("%s %s - %s\n", desc->name, desc->version, desc->doc);
    printf("  file     %s\n  sha256   %s\n  class    %s\n", desc->path, desc->sha256, desc->class_id);
    if (*cli_text(desc->about, "role", ""))
        printf("  role     %s\n", cli_text(desc->about, "role", ""));
    if (*cli_text(desc->about, "probe_why", ""))
        printf("  cannot run here: %s\n", cli_text(desc->about, "probe_why", ""));
    if (*desc->license)
        printf("  licence  %s\n", desc->license);
    if (needs && *needs)
        printf("  needs    %s\n", needs);
    free(needs);
    show_signature(registry, desc);
    if (json_array_size(json_object_get(desc->about, "ports")) > 0)
        printf("  ports\n");
    json_array_foreach(json_object_get(desc->about, "ports"), i, item) {
        char *schemas = joined(json_object_get(item, "schemas"));
        printf("    %-4s %-20s %s\n", cli_text(item, "direction", ""), cli_text(item, "name", ""),
               schemas ? schemas : "");
        free(schemas);
    }
    if (json_array_size(json_object_get(desc->about, "options")) > 0)
        printf("  options\n");
    json_array_foreach(json_object_get(desc->about, "options"), i, item) show_option(item);
}

static json_t *as_json(const struct registry *registry, const struct plugin_desc *desc) {
    struct signature_report report;
    json_t *out = json_deep_copy(desc->about);
    if (out) {
        look_at_signature(registry, desc, &report);
        json_object_set_new(out, "path", json_string(desc->path));
        json_object_set_new(out, "sha256", json_string(desc->sha256));
        json_object_set_new(out, "signature",
                            json_pack("{s:s,s:s,s:s}", "state", plugins_signature_word(&report), "key",
                                      report.key, "comment", report.comment));
    }
    return out;
}

/* What the tour over all plugins collects. */
struct listing {
    const struct registry *registry;
    int json;
    json_t *good, *bad;
};

static void list_good(void *arg, const struct plugin_desc *desc) {
    const struct listing *listing = arg;
    const char *role = cli_text(desc->about, "role", "");
    if (listing->json)
        json_array_append_new(listing->good, as_json(listing->registry, desc));
    else {
        struct signature_report report;
        look_at_signature(listing->registry, desc, &report);
        printf("%-20s %-9s %-18s %-8s %s\n", desc->name, desc->version, *role ? role : desc->class_id,
               plugins_signature_word(&report), desc->doc);
        if (*cli_text(desc->about, "probe_why", ""))
            printf("%-20s cannot run here: %s\n", "", cli_text(desc->about, "probe_why", ""));
    }
}

static void list_bad(void *arg, const char *path, const char *why) {
    const struct listing *listing = arg;
    if (listing->json)
        json_array_append_new(listing->bad, json_pack("{s:s,s:s}", "path", path, "why", why));
    else
        fprintf(stderr, "telex plugins: %s\n", why);
}

static int list_all(struct registry *registry, int json) {
    struct listing listing = {registry, json, json_array(), json_array()};
    if (!json)
        printf("%-20s %-9s %-18s %-8s %s\n", "NAME", "VERSION", "KIND", "SIGNED", "WHAT IT DOES");
    registry_each(registry, list_good, list_bad, &listing);
    json_t *all = json_pack("{s:o,s:o}", "plugins", listing.good, "refused", listing.bad);
    if (json)
        cli_print_json(all);
    else
        json_decref(all);
    return EXIT_FINE;
}

static int show(struct registry *registry, const struct plugins_args *args) {
    char why[1024];
    if (!args->name)
        return list_all(registry, args->json);
    const struct plugin_desc *desc = registry_find(registry, args->name, why, sizeof(why));
    if (!desc) {
        fprintf(stderr, "telex plugins: %s\n", why);
        return registry_distrusts(registry) ? EXIT_UNTRUSTED : EXIT_FAILED;
    }
    if (args->json)
        cli_print_json(as_json(registry, desc));
    else
        show_one(registry, desc);
    return EXIT_FINE;
}

static const struct help_below below[] = {
    {"lock", "[CONFIG]", "pin plugins in plugins.lock", plugins_lock},                 /* plugins_lock.c */
    {"keygen", "[NAME]", "make a pair of keys", plugins_keygen},                       /* plugins_sign.c */
    {"sign", "PLUGIN.so...", "sign plugins", plugins_sign},                            /* plugins_sign.c */
    {"verify", "CONFIG | PLUGIN.so...", "check locks and signatures", plugins_verify}, /* plugins_sign.c */
    {0},
};

int cmd_plugins(int argc, char **argv) {
    struct plugins_args args = {0};
    struct config *config = NULL;
    if (help_wanted(argc, argv))
        return help_json(&argp, argv[0], below), EXIT_FINE;
    for (const struct help_below *command = below; argc > 1 && command->name; command++) {
        char name[40];
        if (strcmp(argv[1], command->name) != 0)
            continue;
        snprintf(name, sizeof(name), "plugins %s", command->name);
        argv[1] = name;
        return command->run(argc - 1, argv + 1);
    }
    int code = cli_parse(&argp, argc, argv, &args);
    struct registry *registry = code == 0 ? cli_registry() : NULL;
    if (!registry)
        return code ? code : EXIT_FAILED;
    if (args.config && config_load(args.config, NULL, registry, stderr, &config) != 0)
        code = cli_config_code(registry);
    else
        code = show(registry, &args);
    config_destroy(config);
    registry_destroy(registry);
    return code;
}

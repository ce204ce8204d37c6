/* SPDX-License-Identifier: Apache-2.0 */
/* validate.c - `telex validate CONFIG`: every error of a config, or one line that it is fine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "cli.h"

enum { OVERRIDES_MAX = 64 };

struct validate_args {
    const char *config;
    const char *overrides[OVERRIDES_MAX + 1];
    int n_overrides, json;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct validate_args *args = state->input;
    switch (key) {
    case 'j':
        args->json = 1;
        return 0;
    case 's':
        if (args->n_overrides == OVERRIDES_MAX)
            argp_error(state, "more than %d overrides", OVERRIDES_MAX);
        args->overrides[args->n_overrides++] = arg;
        return 0;
    default:
        return cli_parse_one(key, arg, state, &args->config, "one config at a time",
                             "which config? configs/ has some");
    }
}

static const struct argp_option options[] = {
    {"set", 's', "PATH=VALUE", 0, "override a value of the config, as `telex run` takes it", 0},
    {"json", 'j', NULL, 0, "print {\"errors\": [...]} on stdout", 0},
    {0},
};
static const struct argp argp = {
    options,
    parse,
    "CONFIG",
    "Check a config against the installed plugins without running anything.\v"
    "Each error is one line: file:line:column: path: what is wrong; remedy. Exit code 0 "
    "when there is none, 77 when a plugin is not one that `plugins` trusts, 78 otherwise.",
    NULL,
    NULL,
    NULL};

static json_t *as_json(const struct config_errors *errors) {
    json_t *list = json_array();
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *e = &errors->items[i];
        json_array_append_new(list, json_pack("{s:s,s:i,s:i,s:s,s:s}", "file", e->file, "line", e->line,
                                              "column", e->column, "path", e->path, "error", e->text));
    }
    return json_pack("{s:o}", "errors", list);
}

int cmd_validate(int argc, char **argv) {
    struct validate_args args = {0};
    struct config_errors errors = {0};
    struct config *config;
    int code = cli_parse(&argp, argc, argv, &args);
    struct registry *registry = code == 0 ? cli_registry() : NULL;
    if (!registry)
        return code ? code : EXIT_FAILED;
    code = config_check(args.config, args.overrides, registry, &errors, &config) == 0
               ? EXIT_FINE
               : cli_config_code(registry);
    for (size_t i = 0; i < errors.count && !args.json; i++) {
        const struct config_error *e = &errors.items[i];
        fprintf(stderr, "%s:%d:%d: %s: %s\n", e->file, e->line, e->column, e->path, e->text);
    }
    if (args.json)
        cli_print_json(as_json(&errors));
    else if (code == EXIT_FINE)
        printf("%s: fine: pipeline %s, %zu stages, %zu edges\n", args.config, config->pipeline,
               config->n_stages, config->n_edges);
    else
        fprintf(stderr, "%s: %zu error%s\n", args.config, errors.count, errors.count == 1 ? "" : "s");
    config_errors_finish(&errors);
    config_destroy(config);
    registry_destroy(registry);
    return code;
}

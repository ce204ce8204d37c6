/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - `telex schema`: the JSON Schema of configs, with the options of every plugin that is installed.
 */
#include "../config.h"
#include "cli.h"

static error_t parse(int key, char *arg, struct argp_state *state) {
    (void)arg;
    if (key == ARGP_KEY_ARG)
        argp_usage(state);
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {NULL,
                                 parse,
                                 "",
                                 "Print the JSON Schema (draft 2020-12) of telex configs.\v"
                                 "With `telex schema > telex.schema.json` and a first line `# "
                                 "yaml-language-server: $schema=telex.schema.json`, "
                                 "editors complete and check a config while it is written.",
                                 NULL,
                                 NULL,
                                 NULL};

int cmd_schema(int argc, char **argv) {
    int code = cli_parse(&argp, argc, argv, NULL);
    struct registry *registry = code == 0 ? cli_registry() : NULL;
    if (!registry)
        return code ? code : EXIT_FAILED;
    cli_print_json(config_schema(registry));
    registry_destroy(registry);
    return EXIT_FINE;
}

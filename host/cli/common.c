/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - what the commands share. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../loader.h"

int cli_parse(const struct argp *argp, int argc, char **argv, void *input) {
    char name[64], *first = argv[0];
    argp_err_exit_status = EXIT_USAGE;
    snprintf(name, sizeof(name), "telex %s", argv[0]);
    argv[0] = name;
    error_t err = argp_parse(argp, argc, argv, 0, NULL, input);
    argv[0] = first;
    return err == 0 ? 0 : EXIT_USAGE;
}

struct registry *cli_registry(void) {
    char **dirs = registry_default_dirs();
    struct registry *registry = dirs ? registry_create((const char *const *)dirs) : NULL;
    for (char **dir = dirs; dir && *dir; dir++)
        free(*dir);
    free(dirs);
    if (!registry)
        fprintf(stderr, "telex: out of memory\n");
    return registry;
}

void cli_print_json(json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

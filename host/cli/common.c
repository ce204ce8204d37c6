/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - what the commands share. */
#include "cli.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../config.h"
#include "../loader.h"
#include "help.h"

int cli_parse(const struct argp *argp, int argc, char **argv, void *input) {
    char name[64], *first = argv[0];
    if (help_wanted(argc, argv)) {
        help_json(argp, argv[0], NULL);
        exit(EXIT_FINE);
    }
    argp_err_exit_status = EXIT_USAGE;
    snprintf(name, sizeof(name), "telex %s", argv[0]);
    argv[0] = name;
    error_t err = argp_parse(argp, argc, argv, 0, NULL, input);
    argv[0] = first;
    return err == 0 ? 0 : EXIT_USAGE;
}

error_t cli_parse_one(int key, char *arg, struct argp_state *state, const char **what, const char *more,
                      const char *none) {
    switch (key) {
    case ARGP_KEY_ARG:
        if (*what)
            argp_error(state, "%s", more);
        *what = arg;
        return 0;
    case ARGP_KEY_END:
        if (!*what)
            argp_error(state, "%s", none);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const char *cli_text(const json_t *object, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}

long long cli_int(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
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

int cli_config_code(const struct registry *registry) {
    return registry_distrusts(registry) ? EXIT_UNTRUSTED : EXIT_CONFIG;
}

char *cli_data_file(const char *in_source, const char *installed) {
    char exe[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0; /* the program's folder */
    const char *last = strrchr(exe, '/');
    bool build = last && strcmp(last, "/host") == 0;
    int made = build ? asprintf(&path, "%s/%s", TELEX_SOURCE_ROOT, in_source)
                     : asprintf(&path, "%s/%s/%s", exe, TELEX_DATA_DIR_FROM_BIN, installed);
    if (made >= 0 && access(path, R_OK) == 0)
        return path;
    if (made >= 0)
        free(path);
    if (asprintf(&path, "%s/%s", TELEX_DATA_DIR, installed) < 0)
        return NULL;
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

void cli_print_json(json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

int cli_socket(const char *what, char out[CONTROL_PATH_MAX]) {
    const char *dot = strrchr(what, '.');
    bool config = dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
    struct config_errors errors = {0};
    char *journal = config ? config_journal_path(what, &errors) : strdup(what);
    for (size_t i = 0; i < errors.count && !journal; i++)
        fprintf(stderr, "%s:%d:%d: %s: %s\n", errors.items[i].file, errors.items[i].line,
                errors.items[i].column, errors.items[i].path, errors.items[i].text);
    int code = journal ? 0 : config ? EXIT_CONFIG : EXIT_FAILED;
    config_errors_finish(&errors);
    if (journal)
        control_path(journal, out);
    free(journal);
    return code;
}

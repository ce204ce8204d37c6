/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - `telex status CONFIG`: the generation, stages and edges of a running pipeline. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum { ANSWER_MS = 10000 };

struct arguments {
    const char *what;
    bool json;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "print what /healthz shows", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    default:
        return cli_parse_one(key, arg, state, &a->what, "one pipeline at a time",
                             "which pipeline? give its config, or its journal");
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CONFIG|JOURNAL",
    .doc = "Show how a running pipeline is doing: the generation of its config, its stages and edges.\v"
           "\"since\" is the generation in which a stage last changed, \"lives\" how often its instance was "
           "made. Exit "
           "codes: 0 ok, 1 degraded, draining or broken, or no host runs, 78 the config cannot be read."};

static void print_status(const json_t *status) {
    size_t i;
    json_t *item;
    printf("%s: %s, generation %lld, up %lld s\n", cli_text(status, "pipeline", "?"),
           cli_text(status, "status", "?"), cli_int(status, "generation"),
           cli_int(status, "uptime_ms") / 1000);
    printf("%-20s %-20s %-10s %5s %5s %7s %10s %10s %8s\n", "stage", "plugin", "state", "since", "lives",
           "pid", "steps", "outputs", "failures");
    json_array_foreach(json_object_get(status, "stages"), i, item) {
        printf("%-20s %-20s %-10s %5lld %5lld %7lld %10lld %10lld %8lld\n", cli_text(item, "name", "?"),
               cli_text(item, "plugin", "?"), cli_text(item, "state", "?"), cli_int(item, "generation"),
               cli_int(item, "lives"), cli_int(item, "pid"), cli_int(item, "steps"), cli_int(item, "outputs"),
               cli_int(item, "failures"));
    }
    printf("%-52s %10s %10s\n", "edge", "waiting", "delivered");
    json_array_foreach(json_object_get(status, "edges"), i, item) {
        printf("%-52s %10lld %10lld\n", cli_text(item, "name", "?"), cli_int(item, "waiting"),
               cli_int(item, "delivered"));
    }
}

int cmd_status(int argc, char **argv) {
    struct arguments a = {0};
    char socket[CONTROL_PATH_MAX], why[2048] = "";
    json_t *status = NULL;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code != 0 || (code = cli_socket(a.what, socket)) != 0)
        return code;
    json_t *request = json_pack("{s:s}", "command", "status");
    int err = control_call(socket, request, ANSWER_MS, &status, why, sizeof(why));
    json_decref(request);
    if (err < 0) {
        fprintf(stderr, "telex status: %s\n", why);
        return EXIT_FAILED;
    }
    code = strcmp(cli_text(status, "status", "?"), "ok") == 0 ? EXIT_FINE : EXIT_FAILED;
    if (a.json) {
        cli_print_json(status);
        return code;
    }
    print_status(status);
    json_decref(status);
    return code;
}

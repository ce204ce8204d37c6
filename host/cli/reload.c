/* SPDX-License-Identifier: Apache-2.0 */
/* reload.c - `telex reload [--wait] CONFIG`: the running pipeline reads its config again. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../option_value.h"
#include "cli.h"

enum { ANSWER_MS = 3600000 };

struct arguments {
    const char *what;
    int64_t drain_ms; /* -1: the config's */
    bool waits, json;
};

static const struct argp_option options[] = {
    {"wait", 'w', NULL, 0, "wait until the new config runs, or was rolled back", 0},
    {"drain", 'd', "DURATION", 0,
     "how long open steps of changed stages may end before they are released and run again (the config's "
     "drain)",
     0},
    {"json", 'j', NULL, 0, "print the host's answer as JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'w':
        a->waits = true;
        return 0;
    case 'd':
        if (!parse_duration(arg, &a->drain_ms) || a->drain_ms < 0)
            argp_error(state, "'%s' is not a duration; write 0s, 250ms or 10s", arg);
        return 0;
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
    .doc = "Have the host of a running pipeline read its config file again.\v"
           "The host reads the file and the --set values that it was started with. Stages that differ are "
           "replaced at "
           "the end of a step, all others work on; with any error nothing changes. SIGHUP does the same.\n\n"
           "Exit codes: 0 the new config runs (without --wait: was found good), 1 it was rolled back or no "
           "host runs, 78 "
           "the config is wrong, or changes what takes a restart."};

static void print_errors(const json_t *answer) {
    const json_t *errors = json_object_get(answer, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++) {
        const json_t *e = json_array_get(errors, i);
        fprintf(stderr, "%s:%lld:%lld: %s: %s\n", cli_text(e, "file", ""), cli_int(e, "line"),
                cli_int(e, "column"), cli_text(e, "path", ""), cli_text(e, "error", ""));
    }
    fprintf(stderr, "telex reload: %s: nothing was changed; generation %lld goes on\n",
            cli_text(answer, "file", ""), cli_int(answer, "generation"));
}

static void print_switch(const json_t *answer) {
    const json_t *restarted = json_object_get(answer, "restarted");
    size_t n = json_array_size(restarted);
    printf("generation %lld: %zu stage%s restarted", cli_int(answer, "generation"), n, n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++)
        printf("%s%s%s", i ? ", " : " (", json_string_value(json_array_get(restarted, i)),
               i + 1 == n ? ")" : "");
    printf(", %lld untouched, %.2f s\n", cli_int(answer, "untouched"), (double)cli_int(answer, "ms") / 1000);
}

static int exit_code_of(const json_t *answer) {
    const char *outcome = cli_text(answer, "outcome", "");
    if (strcmp(outcome, "invalid") == 0)
        return json_is_true(json_object_get(answer, "untrusted")) ? EXIT_UNTRUSTED : EXIT_CONFIG;
    return strcmp(outcome, "failed") == 0 ? EXIT_FAILED : EXIT_FINE;
}

static void print_answer(const json_t *answer) {
    const char *outcome = cli_text(answer, "outcome", "");
    if (strcmp(outcome, "invalid") == 0)
        print_errors(answer);
    else if (strcmp(outcome, "switched") == 0)
        print_switch(answer);
    else if (strcmp(outcome, "unchanged") == 0)
        printf("generation %lld: nothing differs, nothing was restarted\n", cli_int(answer, "generation"));
    else if (strcmp(outcome, "accepted") == 0)
        printf("%s is good; the host is changing over\n", cli_text(answer, "file", ""));
    else
        fprintf(stderr, "telex reload: %s; generation %lld runs\n", cli_text(answer, "error", ""),
                cli_int(answer, "generation"));
}

int cmd_reload(int argc, char **argv) {
    struct arguments a = {.drain_ms = -1};
    char socket[CONTROL_PATH_MAX], why[2048] = "";
    json_t *answer = NULL;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code != 0 || (code = cli_socket(a.what, socket)) != 0)
        return code;
    json_t *request = json_pack("{s:s, s:b}", "command", "reload", "wait", a.waits);
    if (a.drain_ms >= 0)
        json_object_set_new(request, "drain_ms", json_integer(a.drain_ms));
    int err = control_call(socket, request, ANSWER_MS, &answer, why, sizeof(why));
    json_decref(request);
    if (err < 0) {
        fprintf(stderr, "telex reload: %s\n", why);
        return EXIT_FAILED;
    }
    code = exit_code_of(answer);
    if (a.json) {
        cli_print_json(answer);
        return code;
    }
    print_answer(answer);
    json_decref(answer);
    return code;
}

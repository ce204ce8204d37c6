/* SPDX-License-Identifier: Apache-2.0 */
/* test.c - `telex test FILE`: pipelines against given records and planned faults, with what is expected. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "../log.h"
#include "test_expect.h"
#include "test_plan.h"
#include "test_run.h"

enum { FILES_MAX = 256, LOG_LINES = 6, SETS_MAX = 32 };

struct arguments {
    const char *files[FILES_MAX], *only, *keep;
    size_t n_files;
    const char *overrides[SETS_MAX + 1];
    size_t n_overrides;
    bool json, list;
};

static const struct argp_option options[] = {
    {"test", 't', "TEXT", 0, "only tests whose name has this text in it", 0},
    {"set", 's', "PATH=VALUE", 0, "override a value of the config in every test", 0},
    {"list", 'L', NULL, 0, "name the tests and run none", 0},
    {"keep", 'k', "FOLDER", 0, "use this folder and leave the last test's journal, log and files in it", 0},
    {"json", 'j', NULL, 0, "print the results as JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 't':
        a->only = arg;
        return 0;
    case 's':
        if (a->n_overrides == SETS_MAX)
            argp_error(state, "more than %d overrides", SETS_MAX);
        a->overrides[a->n_overrides++] = arg;
        return 0;
    case 'L':
        a->list = true;
        return 0;
    case 'k':
        a->keep = arg;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (a->n_files == FILES_MAX)
            argp_error(state, "more than %d files", FILES_MAX);
        a->files[a->n_files++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->n_files == 0)
            argp_error(state, "which file? one with `tests` in it: configs/seed.test.yaml is an example");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "FILE...",
    .doc = "Run pipelines against given records and planned faults.\v"
           "A FILE is a config with `tests` in it, or names one with `config`. The real host runs in a "
           "folder of "
           "its own, with real processes for isolated stages; docs/testing.md has the notation. Exit codes: "
           "0 all is as "
           "expected, 1 something is not (named as file:line:column), 78 a file is wrong.",
};

struct totals {
    size_t n_run, n_failed;
};

/* The last warnings of a log, for someone who looks at a failure. */
static void print_log(const char *state) {
    char path[PATH_MAX], *line = NULL, last[LOG_LINES][240];
    size_t capacity = 0, n = 0;
    snprintf(path, sizeof(path), "%.4000s/log", state);
    FILE *in = fopen(path, "r");
    while (in && getline(&line, &capacity, in) >= 0)
        if (strstr(line, " warn ") || strstr(line, " error "))
            snprintf(last[n++ % LOG_LINES], sizeof(last[0]), "%.*s", (int)strcspn(line, "\n"), line);
    for (size_t i = n > LOG_LINES ? n - LOG_LINES : 0; i < n; i++)
        printf("    log: %s\n", last[i % LOG_LINES]);
    free(line);
    if (in)
        fclose(in);
}

static void print_failures(const char *file, const char *test, const json_t *failures, const char *state) {
    size_t i, k;
    json_t *failure, *line;
    json_array_foreach((json_t *)failures, i, failure) {
        printf("%s:%lld:%lld: %s: %s: %s\n", file,
               (long long)json_integer_value(json_object_get(failure, "line")),
               (long long)json_integer_value(json_object_get(failure, "column")), test,
               json_string_value(json_object_get(failure, "path")),
               json_string_value(json_object_get(failure, "text")));
        json_array_foreach(json_object_get(failure, "detail"), k, line)
            printf("    %s\n", json_string_value(line));
    }
    print_log(state);
}

/* 0, or the program's exit code where nothing more makes sense. */
static int run_test(const struct arguments *a, const struct test_file *file, const struct test_plan *plan,
                    const char *state, struct totals *totals, json_t *results) {
    struct test_outcome outcome;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (test_run(plan, state, &outcome) < 0)
        return EXIT_FAILED;
    json_t *failures = test_expect(plan, state, &outcome);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    bool passed = json_array_size(failures) == 0;
    totals->n_run++;
    totals->n_failed += !passed;
    if (a->json) {
        json_array_append_new(results,
                              json_pack("{s:s, s:s, s:b, s:f, s:O}", "file", file->path, "test", plan->name,
                                        "passed", passed, "seconds", seconds, "failures", failures));
    } else if (passed) {
        printf("%s: %s: passed (%.1f s)\n", file->path, plan->name, seconds);
    } else {
        printf("%s: %s: FAILED (%.1f s)\n", file->path, plan->name, seconds);
        print_failures(file->path, plan->name, failures, state);
    }
    fflush(stdout);
    json_decref(failures);
    test_outcome_finish(&outcome);
    return 0;
}

static int run_file(const struct arguments *a, const char *path, const char *state, struct registry *registry,
                    struct totals *totals, json_t *results) {
    struct test_file file;
    struct config_errors errors = {0};
    char name[600];
    int code = 0;
    test_file_read(&file, path, state, a->overrides, registry, &errors);
    for (size_t i = 0; i < file.n_plans; i++) {
        snprintf(name, sizeof(name), "tests.%.200s", file.plans[i].name);
        if (file.plans[i].config)
            test_expect_check(&file.plans[i], name, &errors);
    }
    for (size_t i = 0; i < errors.count; i++)
        fprintf(stderr, "%s:%d:%d: %s: %s\n", errors.items[i].file, errors.items[i].line,
                errors.items[i].column, errors.items[i].path, errors.items[i].text);
    if (errors.count > 0)
        code = EXIT_CONFIG;
    for (size_t i = 0; i < file.n_plans && code == 0; i++) {
        if (a->only && !strstr(file.plans[i].name, a->only))
            continue;
        if (a->list)
            printf("%s:%d: %s\n", path, file.plans[i].mark.line, file.plans[i].name);
        else
            code = run_test(a, &file, &file.plans[i], state, totals, results);
    }
    config_errors_finish(&errors);
    test_file_finish(&file);
    return code;
}

int cmd_test(int argc, char **argv) {
    struct arguments a = {0};
    struct totals totals = {0};
    char folder[] = "/tmp/telex-test-XXXXXX", kept[PATH_MAX], state[PATH_MAX];
    int code = cli_parse(&argp, argc, argv, &a);
    if (code != 0)
        return code;
    struct registry *registry = cli_registry();
    if (!registry)
        return EXIT_FAILED;
    if (!a.keep && !mkdtemp(folder))
        return perror("telex test: /tmp"), registry_destroy(registry), EXIT_FAILED;
    if (a.keep && *a.keep != '/' && !getcwd(kept, sizeof(kept)))
        return perror("telex test"), registry_destroy(registry), EXIT_FAILED;
    snprintf(state, sizeof(state), "%.1500s%s%.1500s/telex-test",
             !a.keep          ? folder
             : *a.keep == '/' ? ""
                              : kept,
             a.keep && *a.keep != '/' ? "/" : "", a.keep ? a.keep : "");
    json_t *results = json_array();
    for (size_t i = 0; i < a.n_files; i++) {
        int one = run_file(&a, a.files[i], state, registry, &totals, results);
        code = one > code ? one : code;
    }
    if (!a.keep)
        test_remove_tree(folder);
    if (a.json)
        cli_print_json(results);
    else
        json_decref(results);
    if (!a.json && totals.n_run > 0)
        printf("%zu test%s, %zu failed\n", totals.n_run, totals.n_run == 1 ? "" : "s", totals.n_failed);
    if (code == 0 && !a.list && totals.n_run == 0) {
        fprintf(stderr, "telex test: no test has '%s' in its name; --list names them\n",
                a.only ? a.only : "");
        code = EXIT_USAGE;
    }
    registry_destroy(registry);
    return code ? code : totals.n_failed ? EXIT_FAILED : EXIT_FINE;
}

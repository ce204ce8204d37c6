/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - `telex check PLUGIN.so`: the conformance kit for plugin authors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "../option_value.h"
#include "cli.h"

enum { PAIRS_MAX = 128 };

struct check_args {
    const char *path, *reference;
    const char *pairs[PAIRS_MAX + 1];
    int n_pairs, json, rules, life_ms;
    const char *only;
    uint64_t seed;
    uint32_t n_cases;
    int64_t one_case;
};

static uint64_t parse_number(struct argp_state *state, const char *arg, uint64_t max) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(arg, &end, 10);
    if (errno != 0 || *end || end == arg || *arg == '-' || number > max)
        argp_error(state, "'%s' is not a number up to %llu", arg, (unsigned long long)max);
    return number;
}

/* What fuzzing is told. */
static error_t parse_case(int key, char *arg, struct argp_state *state) {
    struct check_args *args = state->input;
    switch (key) {
    case 's':
        args->seed = parse_number(state, arg, INT64_MAX);
        return 0;
    case 'c':
        args->one_case = (int64_t)parse_number(state, arg, 1000000000);
        args->only = "fuzz";
        return 0;
    case 'n':
        args->n_cases = (uint32_t)parse_number(state, arg, 1000000000);
        return 0;
    case 'l':
        args->only = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct check_args *args = state->input;
    int64_t ms;
    switch (key) {
    case 'o':
        if (args->n_pairs == PAIRS_MAX)
            argp_error(state, "more than %d options", PAIRS_MAX);
        args->pairs[args->n_pairs++] = arg;
        return 0;
    case 't':
        if (!parse_duration(arg, &ms) || ms < 1 || ms > 3600000)
            argp_error(state, "'%s' is not a duration up to 1h, such as 20s", arg);
        args->life_ms = (int)ms;
        return 0;
    case 'j':
        args->json = 1;
        return 0;
    case 'R':
        args->reference = arg;
        return 0;
    case 'r':
        args->rules = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (args->path)
            argp_error(state, "one plugin at a time");
        args->path = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->path && !args->rules)
            argp_error(state, "which plugin? give the path of its .so");
        return 0;
    default:
        return parse_case(key, arg, state);
    }
}

static const struct argp_option options[] = {
    {"option", 'o', "KEY=VALUE", 0, "an option of the plugin; required ones must be given", 0},
    {"timeout", 't', "DURATION", 0, "time that one life may take (20s)", 0},
    {"reference", 'R', "MODEL", 0, "a model backend that this one's logits are held against", 0},
    {"life", 'l', "NAME", 0, "run only this scenario, as findings name it", 0},
    {"seed", 's', "N", 0, "of the messages and options that are made up (1)", 0},
    {"case", 'c', "K", 0, "run only this case of the seed", 0},
    {"cases", 'n', "COUNT", 0, "how many are made up (200); 0 for none", 0},
    {"json", 'j', NULL, 0, "print {\"plugin\", \"findings\": [...], \"scenarios\": [...]}", 0},
    {"rules", 'r', NULL, 0, "list the rules and what each says", 0},
    {0},
};
static const struct argp argp = {
    options,
    parse,
    "PLUGIN.so",
    "Check that a plugin keeps the contract of telex/*.h.\v"
    "The file is linted and described; a stage is then lived through in child "
    "processes by a small host that watches "
    "every call; a model backend is tokenised with, decoded with, copied, cut, cancelled and "
    "asked wrongly. Each finding names its rule and the life it was seen in. Exit "
    "code 0 without errors, 1 with.",
    NULL,
    NULL,
    NULL};

static int print_rules(int as_json) {
    json_t *list = json_array();
    for (const struct check_rule *rule = check_rules; rule->id; rule++) {
        const char *level = rule->level == CHECK_WARNING ? "warning" : "error";
        if (as_json)
            json_array_append_new(
                list, json_pack("{s:s,s:s,s:s}", "rule", rule->id, "level", level, "doc", rule->doc));
        else
            printf("%-22s %-8s %s\n", rule->id, level, rule->doc);
    }
    if (as_json)
        cli_print_json(list);
    else
        json_decref(list);
    return EXIT_FINE;
}

static size_t count_errors(const json_t *findings) {
    size_t n = 0, i;
    json_t *finding;
    json_array_foreach((json_t *)findings, i, finding) n +=
        strcmp(json_string_value(json_object_get(finding, "level")), "error") == 0;
    return n;
}

static void print_findings(const char *path, const json_t *result) {
    size_t i, k;
    json_t *finding, *scenario;
    const json_t *findings = json_object_get(result, "findings");
    json_array_foreach((json_t *)findings, i, finding) {
        printf("%s: %s: %s: %s (", path, json_string_value(json_object_get(finding, "level")),
               json_string_value(json_object_get(finding, "rule")),
               json_string_value(json_object_get(finding, "text")));
        json_array_foreach(json_object_get(finding, "scenarios"), k, scenario)
            printf("%s%s", k ? ", " : "", json_string_value(scenario));
        printf(")\n");
    }
    size_t n_errors = count_errors(findings), n_lives = json_array_size(json_object_get(result, "scenarios"));
    size_t n_warnings = json_array_size(findings) - n_errors;
    if (n_errors + n_warnings == 0)
        printf("%s: fine: %zu checks passed\n", path, n_lives);
    else
        printf("%s: %zu error%s, %zu warning%s; `telex check --rules` explains them\n", path, n_errors,
               n_errors == 1 ? "" : "s", n_warnings, n_warnings == 1 ? "" : "s");
}

int cmd_check(int argc, char **argv) {
    struct check_args args = {.life_ms = 20000, .seed = 1, .n_cases = 200, .one_case = -1};
    int code = cli_parse(&argp, argc, argv, &args);
    if (code != 0 || args.rules)
        return code ? code : print_rules(args.json);
    struct registry *registry = cli_registry();
    if (!registry)
        return EXIT_FAILED;
    const struct check_how how = {.pairs = args.pairs,
                                  .reference = args.reference,
                                  .only = args.only,
                                  .life_ms = args.life_ms,
                                  .seed = args.seed,
                                  .n_cases = args.n_cases,
                                  .one_case = args.one_case};
    json_t *result = check_plugin(registry, args.path, &how);
    code = !result                                                 ? EXIT_USAGE
           : count_errors(json_object_get(result, "findings")) > 0 ? EXIT_FAILED
                                                                   : EXIT_FINE;
    if (result && args.json)
        cli_print_json(result);
    else if (result)
        print_findings(args.path, result), json_decref(result);
    registry_destroy(registry);
    return code;
}

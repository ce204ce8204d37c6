/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - `telex stage NAME`: one stage alone, messages as lines on stdin, what it gives as lines on
 * stdout.
 *
 * A pipeline of three in memory: lines -> the stage -> lines. Lines whose schema the stage does not take are
 * kept for it to look up, so a stage that reads stories is given their records as earlier lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "../log.h"
#include "stage_io.h"
#include "stage_run.h"

enum { MAX_OPTIONS = 128 };

struct arguments {
    const char *name, *input;
    const char *pairs[MAX_OPTIONS + 1];
    size_t n_pairs;
    const char *model;
    const char *model_pairs[MAX_OPTIONS + 1];
    size_t n_model_pairs;
    int32_t level;
};

static const struct argp_option options[] = {
    {"option", 'o', "KEY=VALUE", 0, "set an option of the stage (see `telex plugins NAME`)", 0},
    {"model", 'm', "PLUGIN", 0, "the model that the stage asks, such as model-cpu", 0},
    {"model-option", 'M', "KEY=VALUE", 0, "set an option of the model, such as path=FILE", 0},
    {"input", 'i', "FILE", 0, "read messages from FILE instead of stdin", 0},
    {"log", 'l', "LEVEL", 0, "debug, info, warn (default) or error, on stderr", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'o':
        if (a->n_pairs == MAX_OPTIONS)
            argp_error(state, "more than %d options", MAX_OPTIONS);
        a->pairs[a->n_pairs++] = arg;
        return 0;
    case 'm':
        a->model = arg;
        return 0;
    case 'M':
        if (a->n_model_pairs == MAX_OPTIONS)
            argp_error(state, "more than %d options", MAX_OPTIONS);
        a->model_pairs[a->n_model_pairs++] = arg;
        return 0;
    case 'i':
        a->input = arg;
        return 0;
    case 'l':
        if ((a->level = log_level_parse(arg)) < 0)
            argp_error(state, "no log level '%s'", arg);
        return 0;
    default:
        return cli_parse_one(key, arg, state, &a->name, "one stage at a time",
                             "which stage? see `telex plugins`");
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "NAME",
    .doc = "Run one stage over messages.\v"
           "Each line of input is one JSON object with \"schema\" and \"id\". Example:\n"
           "  telex stage cluster-story < records.jsonl > stories.jsonl",
};

/* A plugin of one of two classes, or NULL after a line on stderr. */
static const struct plugin_desc *find(struct registry *registry, const char *name, bool model) {
    char why[512];
    const struct plugin_desc *plugin = registry_find(registry, name, why, sizeof(why));
    bool is_stage = plugin && strcmp(plugin->class_id, TELEX_CLASS_STAGE) == 0;
    if (!plugin)
        fprintf(stderr, "telex stage: %s\n", why);
    else if (is_stage == model)
        fprintf(stderr, "telex stage: %s is no %s, it provides %s\n", name, model ? "model" : "stage",
                plugin->class_id);
    else
        return plugin;
    return NULL;
}

/* The model that --model names, checked. 0 or an exit code; *model.plugin stays NULL without one. */
static int find_model(struct registry *registry, const struct arguments *a, struct config_model *model) {
    if (!a->model)
        return 0;
    model->name = "model";
    model->plugin = find(registry, a->model, true);
    if (!model->plugin)
        return EXIT_FAILED;
    return config_options(model->plugin, a->model_pairs, ".", stderr, &model->options) ? EXIT_CONFIG : 0;
}

static int run_alone(struct registry *registry, const struct arguments *a, FILE *in) {
    char why[512];
    struct config_model model = {0};
    struct telex_bytes stage_options = {NULL, 0};
    const struct telex_stage *class;
    int code = EXIT_FAILED;
    const struct plugin_desc *plugin = find(registry, a->name, false);
    if (!plugin)
        return EXIT_FAILED;
    if (config_options(plugin, a->pairs, ".", stderr, &stage_options) != 0)
        code = EXIT_CONFIG;
    else if ((code = find_model(registry, a, &model)) != 0)
        ;
    else if (!(class = plugin_load(plugin, why, sizeof(why)))) {
        fprintf(stderr, "telex stage: %s\n", why);
        code = EXIT_FAILED;
    } else {
        stage_io_setup(in, a->input ? a->input : "stdin", stdout);
        size_t first_model = 0;
        struct config_stage stage = {.name = (char *)plugin->name,
                                     .options = stage_options,
                                     .models = &first_model,
                                     .n_models = model.plugin ? 1 : 0};
        code = stage_run("telex stage", class, &stage, &model, stage.n_models);
    }
    free((void *)stage_options.data);
    free((void *)model.options.data);
    return code;
}

int cmd_stage(int argc, char **argv) {
    struct arguments a = {.level = TELEX_WARN};
    int code = cli_parse(&argp, argc, argv, &a);
    if (code != 0)
        return code;
    log_setup(a.level, false);
    struct registry *registry = cli_registry();
    FILE *in = a.input ? fopen(a.input, "r") : stdin;
    if (!in)
        fprintf(stderr, "telex stage: %s: %s\n", a.input, strerror(errno));
    code = in && registry ? run_alone(registry, &a, in) : EXIT_FAILED;
    if (in && in != stdin)
        fclose(in);
    registry_destroy(registry);
    return code;
}

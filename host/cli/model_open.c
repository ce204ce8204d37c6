/* SPDX-License-Identifier: Apache-2.0 */
/* model_open.c - from the command line to one open backend. */
#include "model_open.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../config.h"
#include "../log.h"
#include "catalogue.h"
#include "cli.h"

error_t model_args_parse(int key, char *arg, struct argp_state *state, struct model_args *args) {
    switch (key) {
    case 'P':
        args->plugin = arg;
        return 0;
    case 'o':
        if (args->n_pairs == MODEL_OPTIONS_MAX)
            argp_error(state, "more than %d options", MODEL_OPTIONS_MAX);
        args->pairs[args->n_pairs++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (args->model)
            return ARGP_ERR_UNKNOWN;
        args->model = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->model && !args->plugin)
            argp_error(state, "which model? see `telex model list`, give a GGUF file, or --plugin");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void log_line(const struct telex_host *host, int32_t level, telex_lease lease,
                     struct telex_bytes text) {
    (void)host, (void)lease;
    struct telex_bytes none = {NULL, 0};
    if (level >= TELEX_WARN)
        log_text(level, "model", none, text);
}

static const struct telex_host logging_host = {.size = sizeof(logging_host), .log = log_line};

/* The file behind a name or path. Gives it; NULL with the reason printed. */
static char *weights_path(const char *model) {
    struct catalogue catalogue;
    if (access(model, R_OK) == 0)
        return strdup(model);
    if (strchr(model, '/')) {
        fprintf(stderr, "telex: cannot read %s\n", model);
        return NULL;
    }
    if (catalogue_read(&catalogue, stderr) < 0)
        return NULL;
    const struct catalogue_entry *entry = catalogue_find(&catalogue, model);
    char *path = NULL;
    if (!entry)
        fprintf(stderr, "telex: no model or file '%s'; see `telex model list`\n", model);
    else if (!entry->present)
        fprintf(stderr, "telex: %s is not here yet; get it with `telex model pull %s`\n", model, model);
    else
        path = strdup(entry->path);
    catalogue_finish(&catalogue);
    return path;
}

struct best {
    const struct plugin_desc *plugin;
    json_int_t probe;
};

static void keep_best(void *arg, const struct plugin_desc *plugin) {
    struct best *best = arg;
    json_int_t probe = json_integer_value(json_object_get(plugin->about, "probe"));
    if (strcmp(plugin->class_id, TELEX_CLASS_MODEL) == 0 && probe > best->probe)
        *best = (struct best){plugin, probe};
}

static const struct plugin_desc *find_plugin(struct registry *registry, const char *name) {
    char why[512];
    struct best best = {0};
    if (name && strcmp(name, "auto") != 0) {
        const struct plugin_desc *plugin = registry_find(registry, name, why, sizeof(why));
        if (!plugin)
            fprintf(stderr, "telex: %s\n", why);
        return plugin;
    }
    registry_each(registry, keep_best, NULL, &best);
    if (!best.plugin)
        fprintf(stderr, "telex: no plugin runs weights on this machine; see `telex plugins`\n");
    return best.plugin;
}

int model_open(const struct model_args *args, struct opened_model *out) {
    const char *pairs[MODEL_OPTIONS_MAX + 2] = {NULL};
    char *path = NULL, *pair = NULL, why[512];
    struct telex_bytes options = {NULL, 0};
    int code = EXIT_FAILED;
    memset(out, 0, sizeof(*out));
    out->registry = cli_registry();
    const struct plugin_desc *plugin = out->registry ? find_plugin(out->registry, args->plugin) : NULL;
    if (!plugin)
        goto close;
    memcpy(pairs, args->pairs, args->n_pairs * sizeof(*pairs));
    if (args->model) {
        path = weights_path(args->model);
        if (!path || asprintf(&pair, "path=%s", path) < 0)
            goto close;
        pairs[args->n_pairs] = pair;
    }
    code = EXIT_CONFIG;
    if (config_options(plugin, pairs, ".", stderr, &options) != 0)
        goto close;
    code = EXIT_FAILED;
    struct models_spec spec = {"model", plugin, options};
    if (models_open(&logging_host, &spec, 1, &out->models, why, sizeof(why)) == TELEX_OK)
        code = 0;
    else
        fprintf(stderr, "telex: %s\n", why);
close:
    free((void *)options.data);
    free(path);
    free(pair);
    if (code != 0)
        model_close(out);
    return code;
}

void model_close(struct opened_model *opened) {
    models_close(opened->models);
    registry_destroy(opened->registry);
    memset(opened, 0, sizeof(*opened));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model_open.c - from the command line to one open backend. */
#include "model_open.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
            argp_error(state,
                       "which model? see `telex model list`, give a GGUF file, a backend, or --plugin");
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

/* The file of a catalogue entry. Gives it; NULL with the reason printed, or (silently) when there is no such
 * entry. */
static char *catalogue_path(const char *name, bool *known) {
    struct catalogue catalogue;
    *known = true;
    if (catalogue_read(&catalogue, stderr) < 0)
        return NULL;
    const struct catalogue_entry *entry = catalogue_find(&catalogue, name);
    char *path = NULL;
    if (!entry)
        *known = false;
    else if (!entry->present)
        fprintf(stderr, "telex: %s is not here yet; get it with `telex model pull %s`\n", name, name);
    else
        path = strdup(entry->path);
    catalogue_finish(&catalogue);
    return path;
}

static const struct plugin_desc *find_plugin(struct opened_model *out, const char *name) {
    char why[512];
    const struct plugin_desc *plugin;
    if (name && strcmp(name, "auto") != 0) {
        plugin = registry_find(out->registry, name, why, sizeof(why));
        if (!plugin)
            fprintf(stderr, "telex: %s\n", why);
        return plugin;
    }
    plugin = registry_best_model(out->registry, out->passed_over, sizeof(out->passed_over));
    if (!plugin)
        fprintf(stderr, "telex: no plugin runs weights on this machine%s%s; see `telex plugins`\n",
                *out->passed_over ? ": " : "", out->passed_over);
    return plugin;
}

/* ---- NAME[:KEY=VALUE,...] ---- */

/* Where the options begin: at the first colon with KEY= behind it. The end of the text when there are none.
 */
static size_t name_length(const char *spec) {
    for (const char *colon = strchr(spec, ':'); colon; colon = strchr(colon + 1, ':')) {
        size_t key = strspn(colon + 1, "abcdefghijklmnopqrstuvwxyz0123456789_-");
        if (key > 0 && colon[1 + key] == '=')
            return (size_t)(colon - spec);
    }
    return strlen(spec);
}

/* Cut off the next KEY=VALUE in place; "\," stands for a comma. */
static char *next_pair(char **rest) {
    char *begin = *rest, *to = begin, *at = begin;
    while (*at && *at != ',') {
        if (*at == '\\' && at[1] == ',')
            at++;
        *to++ = *at++;
    }
    *rest = *at ? at + 1 : NULL;
    *to = 0;
    return begin;
}

/* What a command line's words come to. All owned. */
struct choice {
    char *words;  /* the spec, cut up */
    char *plugin; /* NULL: auto */
    char *path, *path_pair;
    const char *pairs[MODEL_OPTIONS_MAX + 3];
    size_t n_pairs;
};

static void finish_choice(struct choice *c) {
    free(c->words);
    free(c->plugin);
    free(c->path);
    free(c->path_pair);
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && (!S_ISDIR(st.st_mode) || strchr(path, '/'));
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A file, a name of the list, a backend by path or by name; in this order. False with the reason printed. */
static bool choose_name(struct registry *registry, const char *name, struct choice *c) {
    bool known = false;
    char why[512];
    if (ends_with(name, ".so") && !c->plugin)
        return asprintf(&c->plugin, "%s%s", strchr(name, '/') ? "" : "./", name) >= 0;
    if (is_file(name))
        return (c->path = strdup(name)) != NULL;
    if (strchr(name, '/')) {
        fprintf(stderr, "telex: cannot read %s\n", name);
        return false;
    }
    c->path = catalogue_path(name, &known);
    if (c->path || known)
        return c->path != NULL;
    if (!c->plugin && registry_find(registry, name, why, sizeof(why)))
        return (c->plugin = strdup(name)) != NULL;
    fprintf(stderr, "telex: no model, file or backend '%s'; see `telex model list` and `telex plugins`\n",
            name);
    return false;
}

static bool add_pair(struct choice *c, const char *pair) {
    if (c->n_pairs < MODEL_OPTIONS_MAX) {
        c->pairs[c->n_pairs++] = pair;
        return true;
    }
    fprintf(stderr, "telex: more than %d options\n", MODEL_OPTIONS_MAX);
    return false;
}

/* `path` may also be a name of the list. */
static bool find_listed_path(struct choice *c) {
    for (size_t i = 0; i < c->n_pairs; i++) {
        const char *value = strncmp(c->pairs[i], "path=", 5) == 0 ? c->pairs[i] + 5 : NULL;
        bool known = false;
        if (!value || c->path || strchr(value, '/') || is_file(value))
            continue;
        c->path = catalogue_path(value, &known);
        if (known && !c->path)
            return false;
        if (known)
            c->pairs[i] = c->pairs[--c->n_pairs];
    }
    return true;
}

static bool choose(struct registry *registry, const struct model_args *args, struct choice *c) {
    bool good = true;
    memset(c, 0, sizeof(*c));
    for (size_t i = 0; i < args->n_pairs && good; i++)
        good = add_pair(c, args->pairs[i]);
    if (args->plugin && !(c->plugin = strdup(args->plugin)))
        return false;
    if (args->model && good) {
        size_t n = name_length(args->model);
        c->words = strdup(args->model);
        if (!c->words)
            return false;
        char *rest = c->words[n] ? c->words + n + 1 : NULL;
        c->words[n] = 0;
        while (good && rest)
            good = add_pair(c, next_pair(&rest));
        good = good && choose_name(registry, c->words, c);
    }
    good = good && find_listed_path(c);
    if (good && c->path) {
        good = asprintf(&c->path_pair, "path=%s", c->path) >= 0;
        c->pairs[c->n_pairs++] = c->path_pair;
    }
    return good;
}

int model_open(const struct model_args *args, struct opened_model *out) {
    char why[512];
    struct choice choice = {0};
    struct telex_bytes options = {NULL, 0};
    int code = EXIT_FAILED;
    memset(out, 0, sizeof(*out));
    out->registry = cli_registry();
    const struct plugin_desc *plugin =
        out->registry && choose(out->registry, args, &choice) ? find_plugin(out, choice.plugin) : NULL;
    if (!plugin)
        goto close;
    code = EXIT_CONFIG;
    if (config_options(plugin, choice.pairs, ".", stderr, &options) != 0)
        goto close;
    code = EXIT_FAILED;
    struct models_spec spec = {"model", plugin, options};
    if (models_open(&logging_host, &spec, 1, &out->models, why, sizeof(why)) == TELEX_OK)
        code = 0;
    else
        fprintf(stderr, "telex: %s\n", why);
close:
    free((void *)options.data);
    finish_choice(&choice);
    if (code != 0)
        model_close(out);
    return code;
}

void model_close(struct opened_model *opened) {
    models_close(opened->models);
    registry_destroy(opened->registry);
    memset(opened, 0, sizeof(*opened));
}

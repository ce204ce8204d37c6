/* SPDX-License-Identifier: Apache-2.0 */
/* plugins_lock.c - `telex plugins lock`: writes down which files are the plugins that one has now, and says
 * what differs from what was written before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "cli.h"
#include "plugins.h"

struct lock_args {
    const char *config, *output;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct lock_args *args = state->input;
    switch (key) {
    case 'o':
        args->output = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (args->config)
            argp_error(state, "one config at a time");
        args->config = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "where to write; default: the config's `plugins.lock`, or ./plugins.lock", 0},
    {0},
};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[CONFIG]",
    .doc = "Pin the plugins that a config uses, or else all that telex finds: name, version, sha256, file.\v"
           "A config with `plugins: {lock: plugins.lock}` then runs these files and no others. What changed "
           "since "
           "the lock was last written is printed, for a person to judge. A config that requires signatures "
           "still "
           "does here.",
};

/* What is collected, and whether all of it fits. */
struct collected {
    struct lock lock;
    bool failed;
};

static void collect(void *arg, const struct plugin_desc *desc) {
    struct collected *out = arg;
    char why[300];
    if (lock_add(&out->lock, desc->name, desc->version, desc->sha256, desc->path, why, sizeof(why)) == 0)
        return;
    fprintf(stderr, "telex plugins lock: %s: %s\n", desc->path, why);
    out->failed = true;
}

static void refused(void *arg, const char *path, const char *why) {
    (void)arg, (void)path;
    fprintf(stderr, "telex plugins lock: left out: %s\n", why);
}

/* The plugins of a config, and where its lock is. 0 or an exit code. */
static int collect_config(struct registry *registry, const char *path, struct collected *out,
                          char **lock_path) {
    struct config_errors errors = {0};
    struct config *config;
    int n = config_check_unlocked(path, registry, &errors, &config, lock_path);
    for (size_t i = 0; i < errors.count; i++) {
        const struct config_error *e = &errors.items[i];
        fprintf(stderr, "%s:%d:%d: %s: %s\n", e->file, e->line, e->column, e->path, e->text);
    }
    config_errors_finish(&errors);
    if (n != 0)
        return cli_config_code(registry);
    for (size_t i = 0; i < config->n_stages; i++)
        if (config->stages[i].plugin)
            collect(out, config->stages[i].plugin);
    for (size_t i = 0; i < config->n_models; i++)
        collect(out, config->models[i].plugin);
    config_destroy(config);
    return EXIT_FINE;
}

static void show_changes(const struct lock *old, const struct lock *new) {
    for (size_t i = 0; i < new->n; i++) {
        const struct lock_entry *e = &new->items[i], *was = lock_find(old, e->name);
        if (!was)
            printf("+ %s %s %.12s %s\n", e->name, e->version, e->sha256, e->file);
        else if (strcmp(was->sha256, e->sha256) != 0)
            printf("~ %s %s %.12s -> %s %.12s %s\n", e->name, was->version, was->sha256, e->version,
                   e->sha256, e->file);
    }
    for (size_t i = 0; i < old->n; i++)
        if (!lock_find(new, old->items[i].name))
            printf("- %s %s %.12s\n", old->items[i].name, old->items[i].version, old->items[i].sha256);
}

static int write_lock(struct lock *lock, const char *path) {
    struct lock old;
    char why[300];
    if (lock_read(&old, path, why, sizeof(why)) == -1)
        fprintf(stderr, "telex plugins lock: %s: the old one %s\n", path, why);
    int err = lock_write(lock, path);
    if (err == 0) {
        show_changes(&old, lock);
        printf("%s: %zu plugin%s\n", path, lock->n, lock->n == 1 ? "" : "s");
    } else
        fprintf(stderr, "telex plugins lock: %s: %s\n", path, strerror(-err));
    lock_finish(&old);
    return err == 0 ? EXIT_FINE : EXIT_FAILED;
}

int plugins_lock(int argc, char **argv) {
    struct lock_args args = {0};
    struct collected all = {0};
    char *lock_path = NULL;
    int code = cli_parse(&argp, argc, argv, &args);
    struct registry *registry = code == 0 ? cli_registry() : NULL;
    if (!registry)
        return code ? code : EXIT_FAILED;
    if (args.config)
        code = collect_config(registry, args.config, &all, &lock_path);
    else
        registry_each(registry, collect, refused, &all);
    if (code == EXIT_FINE && all.failed)
        code = EXIT_FAILED;
    if (code == EXIT_FINE)
        code = write_lock(&all.lock, args.output ? args.output : lock_path ? lock_path : "plugins.lock");
    lock_finish(&all.lock);
    free(lock_path);
    registry_destroy(registry);
    return code;
}

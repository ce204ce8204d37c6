/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - a pipeline as its operator wrote it, checked.
 *
 * config_load reads YAML (libfyaml), checks every key against what is known and every option against its
 * plugin's table, and collects all errors before it gives up; each error has file:line:column, the key's path
 * and a remedy.
 * `${env:NAME}` and `${env:NAME:-default}` are replaced in text values only, after parsing.
 *
 *     pipeline: archive                       # name, [a-z0-9-]
 *     journal: {path: var/archive.journal, durability: full}   # full | normal | memory; retention: 30d
 *     http: {listen: 127.0.0.1:8080, admin: 127.0.0.1:8081}     # absent: no listener
 *     drain: 20s
 *     plugins: {lock: plugins.lock, require: lock}              # none | lock | signature; keys: [...]
 *     models:
 *       desk: {plugin: model-cpu, options: {path: ...}}          # plugin: auto = the best that probes well
 *     stages:
 *       signal:  {plugin: signal-archive, options: {...}}
 *       cluster: {plugin: cluster-story, from: signal}
 *       write:   {plugin: write-transformer, from: cluster, model: desk, isolation: process}
 *       wire:    {plugin: wire-site, from: {stage: write, where: {beat: [a, b]}, keyed: true}}
 *
 * `from` is a stage, "stage.port", a mapping (stage, port, to, where, keyed, capacity), or a list of those.
 * Beside these keys a stage has: models (role: model), isolation (thread | process), attempts, retries, retry
 * (pause before the first), open_steps, timeout, critical. docs/config.md says what each means. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include <telex/abi.h>

#include "isolate.h"
#include "loader.h"

struct config_model {
    char *name;
    const struct plugin_desc *plugin; /* borrowed from the registry */
    struct telex_bytes options;       /* checked msgpack map, owned */
    char *passed_over;                /* auto: which backends cannot run here, and why; "" or NULL */
    int line, column;
};

enum { ISOLATION_THREAD = 0, ISOLATION_PROCESS = 1 };

/* Passes a message when the text under `key` is one of `values`. */
struct config_where {
    char *key;
    char **values;
    size_t n_values;
};

struct config_edge {
    char *name;      /* "signal.records>cluster.records", the edge's identity in the journal */
    size_t from, to; /* indices into stages */
    uint32_t from_port, to_port;
    bool keyed;        /* one lease per message id at a time; a newer version replaces a waiting older one;
                        * default: true into a stage of role write, false elsewhere */
    uint32_t capacity; /* waiting messages at which the upstream stage gets no more input; default 1024 */
    struct config_where *where; /* all must pass */
    size_t n_where;
};

struct config_stage {
    char *name;
    const struct telex_stage *builtin; /* a class of this program itself; NULL: the plugin's */
    const struct plugin_desc *plugin;  /* borrowed from the registry */
    struct telex_bytes options;        /* checked msgpack map, owned */
    int isolation;                     /* default: process for role write, thread otherwise */
    bool sandbox_off;                  /* `sandbox: off`: a runner without its bounds */
    struct isolate_limits limits;      /* of its process */
    uint32_t attempts;                 /* failures that count before quarantine; default 3 */
    uint32_t retries;                  /* RETRY answers before quarantine; default 30 */
    int64_t retry_ms;                  /* pause before the first retry, doubling up to 60 s; default 500 ms */
    uint32_t open_steps;               /* at once; default 1 for role write, else 512 in a process, 64 here */
    int64_t timeout_ms;                /* per step; default 30 s, 600 s for role write */
    bool critical;                     /* the pipeline stops when this stage fails for good */
    size_t *models;                    /* indices into models; [0] answers to "" */
    char **model_roles;                /* under which name the stage knows each */
    size_t n_models;
    int line, column;
};

enum { DURABILITY_FULL = 0, DURABILITY_NORMAL = 1, DURABILITY_MEMORY = 2 };

struct config {
    char *path;         /* of the file */
    char *dir;          /* absolute, what relative paths in it start from */
    char *pipeline;     /* name */
    char *journal_path; /* absolute; default var/<pipeline>.journal */
    int durability;
    int64_t retention_ms;
    char *listen, *admin; /* NULL: none */
    int64_t drain_ms;
    struct config_model *models;
    size_t n_models;
    struct config_stage *stages; /* in the order of the file */
    size_t n_stages;
    struct config_edge *edges;
    size_t n_edges;
};

/* One thing that is wrong. */
struct config_error {
    char *file; /* the config, or "--set": then line is the number of the override, from 1 */
    char *path; /* "stages.write.options.beats", or a word in brackets such as (syntax) */
    char *text; /* "what is wrong; remedy" */
    int line, column;
};

struct config_errors {
    struct config_error *items; /* in the order of the file */
    size_t count;
};
void config_errors_finish(struct config_errors *errors); /* accepts a zeroed one */

/* Load and check a config; from then on the registry trusts what the config trusts. `overrides` is a
 * NULL-ended list of "path.to.key=value" texts from the command line, or NULL; a value is YAML, so a list is
 * "[a, b]". 0 and *out (config_destroy), or the number of errors, in *errors (zeroed by the caller, finished
 * by the caller). */
int config_check(const char *path, const char *const *overrides, struct registry *registry,
                 struct config_errors *errors, struct config **out);

/* The same for a config whose lock is about to be written: it need not be there and is not asked. The path
 * for it goes to *lock_path (free): `plugins.lock` of the config, or else a plugins.lock beside it. */
int config_check_unlocked(const char *path, struct registry *registry, struct config_errors *errors,
                          struct config **out, char **lock_path);

/* The same as config_check with the errors printed to `errors`, one a line, as "file:line:column: path: what
 * is wrong; remedy". */
int config_load(const char *path, const char *const *overrides, struct registry *registry, FILE *errors,
                struct config **out);
void config_destroy(struct config *config);

/* Where a key such as "journal.path" stands in a file; 1 and 1 where it does not. */
void config_place(const char *path, const char *key, int *line, int *column);

/* The journal that a config names, absolute, with nothing else of it checked. NULL with the number of errors
 * in *errors, as for config_check. */
char *config_journal_path(const char *path, struct config_errors *errors);

/* Check a loose set of options given as key=value texts against a plugin (for `telex stage NAME -o
 * key=value`). Gives the checked map in *out (free out->data). 0 or the number of errors, printed. */
int config_options(const struct plugin_desc *plugin, const char *const *pairs, const char *dir, FILE *errors,
                   struct telex_bytes *out);

/* The JSON Schema of configs, with the options of every plugin in the registry. Gives a reference. */
json_t *config_schema(struct registry *registry);

#endif

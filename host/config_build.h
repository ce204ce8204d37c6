/* SPDX-License-Identifier: Apache-2.0 */
/* config_build.h - what the files that turn a tree into a config share. */
#ifndef HOST_CONFIG_BUILD_H
#define HOST_CONFIG_BUILD_H

#include "config_tree.h"

struct build {
    struct config_errors *errors; /* borrowed */
    struct registry *registry;    /* borrowed */
    struct config *config;        /* owned until it is handed over */
    const struct node *root;      /* borrowed */
    bool relock;                  /* the lock is not asked */
};

enum { PATH_TEXT_BYTES = 512 };

/* Tell of every key of a map that is not in the list. */
void build_check_keys(struct build *b, const struct node *map, const char *path, const char *const *known,
                      size_t n_known);

/* Typed reads of one key of a map; each tells what is wrong and then gives the default. `path` is the map's.
 */
const char *build_text(struct build *b, const struct node *map, const char *path, const char *key,
                       const char *otherwise);
int64_t build_int(struct build *b, const struct node *map, const char *path, const char *key,
                  int64_t otherwise, int64_t min, int64_t max);
int64_t build_duration(struct build *b, const struct node *map, const char *path, const char *key,
                       const char *otherwise);
bool build_flag(struct build *b, const struct node *map, const char *path, const char *key, bool otherwise);
/* The index of the text in `words`. */
int build_word(struct build *b, const struct node *map, const char *path, const char *key,
               const char *const *words, size_t n_words, int otherwise);

/* Check options (a map, or NULL) against the plugin's table; gives the checked msgpack map. `above` says
 * where the plugin is named, for a required option that is missing. */
struct telex_bytes build_options(struct build *b, const struct plugin_desc *plugin,
                                 const struct node *options, struct mark above, const char *path);

/* Read `plugins`, which plugins are trusted, and hand it to the registry. False when it is wrong, and told
 * (config_trust.c). */
bool build_trust(struct build *b);

/* Edges from the stages' `from`, with ports and schemas checked; then the whole graph (config_graph.c). */
void build_edges(struct build *b, const struct node *stages);
void build_check_graph(struct build *b, const struct node *stages);

/* The port of a plugin: the i-th of a direction, or NULL. */
const json_t *plugin_port(const struct plugin_desc *plugin, const char *direction, size_t i);
size_t plugin_port_count(const struct plugin_desc *plugin, const char *direction);
bool plugin_needs(const struct plugin_desc *plugin, const char *need);
/* Whether a list of schemas holds one, or "*". */
bool schemas_hold(const json_t *schemas, const char *schema);

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* config_tree.h - a YAML file as a tree that keeps where everything stands, and the list of what is wrong
 * with it.
 *
 * The tree is ours, not libfyaml's: bounded in size and depth, without aliases, with every ${env:...}
 * replaced. */
#ifndef HOST_CONFIG_TREE_H
#define HOST_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

/* Where something stands. file is borrowed for the life of the tree. */
struct mark {
    const char *file;
    int line, column; /* from 1 */
};

enum node_kind { NODE_NONE, NODE_TEXT, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool plain; /* text: written without quotes, or it came from ${env:...} */
    struct mark mark;
    char *text;             /* NODE_TEXT: no zero byte inside */
    size_t count;           /* of items */
    struct node **items;    /* LIST, MAP: never NULL inside */
    char **keys;            /* MAP */
    struct mark *key_marks; /* MAP */
};

/* Read a file of at most 1 MiB. NULL when it is no YAML mapping; errors say why. What is returned is whole
 * even when there are errors, so that the caller can find more. Destroy it also after errors. */
struct node *tree_read(const char *path, struct config_errors *errors);

/* Apply the n-th "a.b.c=value"; the value is YAML. Missing mappings are made. */
void tree_override(struct node *root, const char *text, int n, struct config_errors *errors);

void node_destroy(struct node *node);

/* The value under key, or NULL where map is no map or has none. */
const struct node *node_get(const struct node *map, const char *key);

/* The mark of a map's key; the map's own where it has no such key. */
struct mark node_key_mark(const struct node *map, const char *key);

/* Note one error: "path: what; remedy" at a mark. */
__attribute__((format(printf, 4, 5))) void tell(struct config_errors *errors, struct mark mark,
                                                const char *path, const char *format, ...);

/* ", did you mean X?" or "" in a static-size buffer, for the remedy of an unknown word. */
const char *did_you_mean(const char *text, const char *const *words, size_t n_words, char *out,
                         size_t out_size);

#endif

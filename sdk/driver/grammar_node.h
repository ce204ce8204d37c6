/* SPDX-License-Identifier: Apache-2.0 */
/* grammar_node.h - what schema.c builds and grammar.c walks. */
#ifndef SDK_DRIVER_GRAMMAR_NODE_H
#define SDK_DRIVER_GRAMMAR_NODE_H

#include "grammar.h"

enum node_kind { NODE_OBJECT, NODE_ARRAY, NODE_STRING, NODE_INTEGER, NODE_NUMBER, NODE_CHOICE };

/* A text of known bytes. */
struct literal {
    char *text;
    uint32_t size;
};

struct node {
    enum node_kind kind;
    uint32_t n;               /* object: properties, at least 1; choice: texts, at least 1 */
    struct literal *literals; /* object: `{"key":` or `,"key":`; choice: sorted, distinct. owned */
    uint16_t *children;       /* object: a node for each property; array: one. owned */
    uint32_t min, max;        /* array: items; string: characters */
};

struct grammar {
    struct node *nodes; /* 0 is the root */
    uint32_t n_nodes;
};

#endif

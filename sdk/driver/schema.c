/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - from a JSON Schema to the nodes that grammar.c walks.
 *
 * Every keyword of a schema is either used, a known annotation, or refused by name. Nodes refer to each other
 * by index, since the table moves while it grows. */
#include "grammar.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar_node.h"

enum { RANGE_MAX = 4096 /* whole numbers that a range may hold */ };

struct compiler {
    struct grammar *grammar;
    uint32_t capacity;
    char *why;
    size_t why_size;
    char path[256]; /* of the schema at hand, such as "/properties/faq/items" */
};

__attribute__((format(printf, 3, 4))) static telex_status refuse(struct compiler *c, telex_status status,
                                                                 const char *format, ...) {
    va_list args;
    char text[512];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(c->why, c->why_size, "schema%s%s: %s", c->path[0] ? " at " : "", c->path, text);
    return status;
}

static telex_status no_memory(struct compiler *c) {
    return refuse(c, TELEX_RETRY, "out of memory");
}

/* Every key of the schema must be an annotation or one of `known`, a list of words with a space around each.
 */
static telex_status check_keys(struct compiler *c, json_t *schema, const char *known) {
    static const char annotations[] =
        " title description default examples $schema $id $comment type enum const ";
    const char *key;
    json_t *value;
    json_object_foreach(schema, key, value) {
        char word[64];
        int n = snprintf(word, sizeof(word), " %s ", key);
        if (n < (int)sizeof(word) && !strchr(key, ' ') && (strstr(annotations, word) || strstr(known, word)))
            continue;
        return refuse(c, TELEX_UNSUPPORTED, "keyword \"%.64s\" is not supported here", key);
    }
    return TELEX_OK;
}

static telex_status read_count(struct compiler *c, json_t *schema, const char *key, uint32_t otherwise,
                               uint32_t *out) {
    json_t *value = json_object_get(schema, key);
    *out = otherwise;
    if (!value)
        return TELEX_OK;
    json_int_t count = json_is_integer(value) ? json_integer_value(value) : -1;
    if (count < 0 || count >= UINT32_MAX)
        return refuse(c, TELEX_INVALID, "%s must be a whole number from 0 on", key);
    *out = (uint32_t)count;
    return TELEX_OK;
}

static struct node *node_at(struct compiler *c, uint16_t index) {
    return &c->grammar->nodes[index];
}

static telex_status add_node(struct compiler *c, enum node_kind kind, uint16_t *index) {
    struct grammar *g = c->grammar;
    if (g->n_nodes == GRAMMAR_MAX_NODES)
        return refuse(c, TELEX_LIMIT, "more than %d parts", GRAMMAR_MAX_NODES);
    if (g->n_nodes == c->capacity) {
        uint32_t capacity = c->capacity ? 2 * c->capacity : 16;
        struct node *nodes = realloc(g->nodes, capacity * sizeof(*nodes));
        if (!nodes)
            return no_memory(c);
        g->nodes = nodes;
        c->capacity = capacity;
    }
    *index = (uint16_t)g->n_nodes++;
    memset(node_at(c, *index), 0, sizeof(struct node));
    node_at(c, *index)->kind = kind;
    return TELEX_OK;
}

/* ---- choices ---- */

static int compare_literals(const void *a, const void *b) {
    const struct literal *x = a, *y = b;
    uint32_t n = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->text, y->text, n);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Add a choice among n texts; takes each text, also on failure. */
static telex_status add_choice(struct compiler *c, char **texts, size_t n, uint16_t *index) {
    telex_status status = add_node(c, NODE_CHOICE, index);
    struct literal *literals = status == TELEX_OK ? calloc(n, sizeof(*literals)) : NULL;
    bool whole = literals != NULL;
    for (size_t i = 0; i < n; i++) {
        whole = whole && texts[i];
        if (literals)
            literals[i] = (struct literal){texts[i], texts[i] ? (uint32_t)strlen(texts[i]) : 0};
        else
            free(texts[i]);
    }
    if (!literals)
        return status == TELEX_OK ? no_memory(c) : status;
    struct node *node = node_at(c, *index);
    node->literals = literals;
    node->n = (uint32_t)n;
    if (!whole)
        return no_memory(c);
    qsort(literals, n, sizeof(*literals), compare_literals);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < n; i++) {
        if (compare_literals(&literals[kept - 1], &literals[i]) == 0)
            free(literals[i].text);
        else
            literals[kept++] = literals[i];
    }
    node->n = kept;
    return TELEX_OK;
}

static bool has_type(json_t *value, const char *type) {
    if (!type)
        return true;
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    static const char *const names[] = {[JSON_OBJECT] = "object",
                                        [JSON_ARRAY] = "array",
                                        [JSON_STRING] = "string",
                                        [JSON_INTEGER] = "integer",
                                        [JSON_NULL] = "null"};
    size_t kind = json_typeof(value);
    return kind < sizeof(names) / sizeof(names[0]) && names[kind] && strcmp(type, names[kind]) == 0;
}

/* enum and const: their values as canonical texts. With a choice the other constraints would have to be
 * checked value by value, so they are refused. */
static telex_status add_values(struct compiler *c, json_t *schema, const char *type, uint16_t *index) {
    json_t *constant = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    telex_status status = check_keys(c, schema, " ");
    if (status != TELEX_OK)
        return status;
    if (constant && list)
        return refuse(c, TELEX_UNSUPPORTED, "keyword \"enum\" is not supported beside \"const\"");
    if (list && (!json_is_array(list) || json_array_size(list) == 0))
        return refuse(c, TELEX_INVALID, "enum must be a list of at least one value");
    size_t n = list ? json_array_size(list) : 1, kept = 0;
    char **texts = calloc(n, sizeof(*texts));
    if (!texts)
        return no_memory(c);
    for (size_t i = 0; i < n; i++) {
        json_t *value = list ? json_array_get(list, i) : constant;
        if (has_type(value, type))
            texts[kept++] = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    status = kept ? add_choice(c, texts, kept, index)
                  : refuse(c, TELEX_INVALID, "no value of %s has type \"%s\"", list ? "enum" : "const", type);
    free(texts);
    return status;
}

static telex_status add_words(struct compiler *c, const char *first, const char *second, uint16_t *index) {
    char *texts[2] = {strdup(first), second ? strdup(second) : NULL};
    return add_choice(c, texts, second ? 2 : 1, index);
}

/* A whole number within bounds is a choice among few. */
static telex_status add_range(struct compiler *c, json_t *schema, uint16_t *index) {
    json_t *low = json_object_get(schema, "minimum"), *high = json_object_get(schema, "maximum");
    if (!low || !high)
        return refuse(c, TELEX_UNSUPPORTED, "keyword \"%s\" is supported only with both bounds",
                      low ? "minimum" : "maximum");
    if (!json_is_integer(low) || !json_is_integer(high) || json_integer_value(low) > json_integer_value(high))
        return refuse(c, TELEX_INVALID, "minimum and maximum must be whole numbers in order");
    uint64_t n = (uint64_t)json_integer_value(high) - (uint64_t)json_integer_value(low) + 1;
    if (n == 0 || n > RANGE_MAX)
        return refuse(c, TELEX_UNSUPPORTED, "keyword \"maximum\" is supported up to %d above minimum",
                      RANGE_MAX - 1);
    char **texts = calloc(n, sizeof(*texts));
    if (!texts)
        return no_memory(c);
    for (uint64_t i = 0; i < n; i++)
        if (asprintf(&texts[i], "%lld", (long long)json_integer_value(low) + (long long)i) < 0)
            texts[i] = NULL;
    telex_status status = add_choice(c, texts, n, index);
    free(texts);
    return status;
}

/* ---- objects, arrays, strings ---- */

static telex_status add_schema(struct compiler *c, json_t *schema, uint32_t depth, uint16_t *index);

/* Compile a schema one level down, with its place in the path. */
static telex_status add_below(struct compiler *c, json_t *schema, uint32_t depth, const char *place,
                              const char *name, uint16_t *index) {
    size_t used = strlen(c->path);
    snprintf(c->path + used, sizeof(c->path) - used, "/%s%s%.64s", place, name[0] ? "/" : "", name);
    telex_status status = add_schema(c, schema, depth + 1, index);
    if (status == TELEX_OK)
        c->path[used] = 0;
    return status;
}

static telex_status check_required(struct compiler *c, json_t *schema, json_t *properties) {
    json_t *required = json_object_get(schema, "required"),
           *more = json_object_get(schema, "additionalProperties");
    if (more && !json_is_false(more))
        return refuse(c, TELEX_UNSUPPORTED, "keyword \"additionalProperties\" is supported only as false");
    if (required && !json_is_array(required))
        return refuse(c, TELEX_INVALID, "required must be a list");
    size_t i;
    json_t *name, *value;
    json_array_foreach(
        required, i,
        name) if (!json_is_string(name) ||
                  !json_object_get(
                      properties,
                      json_string_value(name))) return refuse(c, TELEX_INVALID,
                                                              "required names a property that is not listed");
    const char *key;
    json_object_foreach(properties, key, value) {
        bool found = false;
        json_array_foreach(required, i, name) found = found || strcmp(json_string_value(name), key) == 0;
        if (!found)
            return refuse(c, TELEX_UNSUPPORTED,
                          "keyword \"required\" must list every property; \"%.64s\" is missing", key);
    }
    return TELEX_OK;
}

static char *key_literal(const char *key, bool first) {
    json_t *text = json_string(key);
    char *quoted = text ? json_dumps(text, JSON_COMPACT | JSON_ENCODE_ANY) : NULL, *literal = NULL;
    if (quoted && asprintf(&literal, "%c%s:", first ? '{' : ',', quoted) < 0)
        literal = NULL;
    free(quoted);
    json_decref(text);
    return literal;
}

static telex_status add_object(struct compiler *c, json_t *schema, uint32_t depth, uint16_t *index) {
    telex_status status = check_keys(c, schema, " properties required additionalProperties ");
    if (status != TELEX_OK)
        return status;
    json_t *properties = json_object_get(schema, "properties"), *child;
    if (properties && !json_is_object(properties))
        return refuse(c, TELEX_INVALID, "properties must be an object");
    status = check_required(c, schema, properties);
    if (status != TELEX_OK)
        return status;
    size_t n = json_object_size(properties);
    if (n == 0)
        return add_words(c, "{}", NULL, index);
    status = add_node(c, NODE_OBJECT, index);
    if (status != TELEX_OK)
        return status;
    node_at(c, *index)->literals = calloc(n, sizeof(struct literal));
    node_at(c, *index)->children = calloc(n, sizeof(uint16_t));
    if (!node_at(c, *index)->literals || !node_at(c, *index)->children)
        return no_memory(c);
    const char *key;
    json_object_foreach(properties, key, child) {
        struct node *node = node_at(c, *index);
        uint32_t i = node->n++;
        char *text = key_literal(key, i == 0);
        if (!text)
            return no_memory(c);
        node->literals[i] = (struct literal){text, (uint32_t)strlen(text)};
        uint16_t below;
        status = add_below(c, child, depth, "properties", key, &below);
        if (status != TELEX_OK)
            return status;
        node_at(c, *index)->children[i] = below;
    }
    return TELEX_OK;
}

static telex_status read_bounds(struct compiler *c, json_t *schema, const char *low, const char *high,
                                struct node *node) {
    telex_status status = read_count(c, schema, low, 0, &node->min);
    if (status == TELEX_OK)
        status = read_count(c, schema, high, UINT32_MAX, &node->max);
    if (status == TELEX_OK && node->min > node->max)
        status = refuse(c, TELEX_INVALID, "%s is above %s", low, high);
    return status;
}

static telex_status add_array(struct compiler *c, json_t *schema, uint32_t depth, uint16_t *index) {
    telex_status status = check_keys(c, schema, " items minItems maxItems ");
    if (status == TELEX_OK)
        status = add_node(c, NODE_ARRAY, index);
    if (status == TELEX_OK)
        status = read_bounds(c, schema, "minItems", "maxItems", node_at(c, *index));
    if (status != TELEX_OK)
        return status;
    json_t *items = json_object_get(schema, "items");
    if (!items)
        return refuse(c, TELEX_UNSUPPORTED, "array without \"items\"");
    node_at(c, *index)->children = calloc(1, sizeof(uint16_t));
    if (!node_at(c, *index)->children)
        return no_memory(c);
    uint16_t below;
    status = add_below(c, items, depth, "items", "", &below);
    if (status == TELEX_OK)
        node_at(c, *index)->children[0] = below;
    return status;
}

static telex_status add_string(struct compiler *c, json_t *schema, uint16_t *index) {
    telex_status status = check_keys(c, schema, " minLength maxLength ");
    if (status == TELEX_OK)
        status = add_node(c, NODE_STRING, index);
    return status == TELEX_OK ? read_bounds(c, schema, "minLength", "maxLength", node_at(c, *index)) : status;
}

static telex_status add_number(struct compiler *c, json_t *schema, bool whole, uint16_t *index) {
    telex_status status = check_keys(c, schema, whole ? " minimum maximum " : " ");
    if (status != TELEX_OK)
        return status;
    if (whole && (json_object_get(schema, "minimum") || json_object_get(schema, "maximum")))
        return add_range(c, schema, index);
    return add_node(c, whole ? NODE_INTEGER : NODE_NUMBER, index);
}

static telex_status add_schema(struct compiler *c, json_t *schema, uint32_t depth, uint16_t *index) {
    if (!json_is_object(schema))
        return refuse(c, TELEX_INVALID, "a schema must be an object");
    if (depth >= GRAMMAR_MAX_DEPTH)
        return refuse(c, TELEX_LIMIT, "nested deeper than %d", GRAMMAR_MAX_DEPTH);
    json_t *type = json_object_get(schema, "type");
    if (type && !json_is_string(type))
        return refuse(c, TELEX_UNSUPPORTED, "keyword \"type\" is supported only as one name");
    const char *name = json_string_value(type);
    if (json_object_get(schema, "enum") || json_object_get(schema, "const"))
        return add_values(c, schema, name, index);
    if (!name) {
        telex_status status = check_keys(c, schema, " ");
        return status != TELEX_OK ? status : refuse(c, TELEX_UNSUPPORTED, "a schema without \"type\"");
    }
    if (strcmp(name, "object") == 0)
        return add_object(c, schema, depth, index);
    if (strcmp(name, "array") == 0)
        return add_array(c, schema, depth, index);
    if (strcmp(name, "string") == 0)
        return add_string(c, schema, index);
    if (strcmp(name, "integer") == 0 || strcmp(name, "number") == 0)
        return add_number(c, schema, name[0] == 'i', index);
    telex_status status = check_keys(c, schema, " ");
    if (status != TELEX_OK)
        return status;
    if (strcmp(name, "boolean") == 0)
        return add_words(c, "false", "true", index);
    if (strcmp(name, "null") == 0)
        return add_words(c, "null", NULL, index);
    return refuse(c, TELEX_INVALID, "type \"%.64s\" does not exist", name);
}

telex_status grammar_compile(struct telex_bytes schema, struct grammar **out, char *why, size_t why_size) {
    struct compiler c = {.why = why, .why_size = why_size};
    json_error_t error;
    if (schema.size > GRAMMAR_MAX_BYTES)
        return refuse(&c, TELEX_LIMIT, "%llu bytes, the limit is %d", (unsigned long long)schema.size,
                      GRAMMAR_MAX_BYTES);
    json_t *root = json_loadb((const char *)schema.data, schema.size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return refuse(&c, TELEX_INVALID, "line %d, column %d: %s", error.line, error.column, error.text);
    c.grammar = calloc(1, sizeof(*c.grammar));
    uint16_t index;
    telex_status status = c.grammar ? add_schema(&c, root, 0, &index) : no_memory(&c);
    json_decref(root);
    if (status == TELEX_OK)
        *out = c.grammar;
    else
        grammar_destroy(c.grammar);
    return status;
}

void grammar_destroy(struct grammar *grammar) {
    if (!grammar)
        return;
    for (uint32_t i = 0; i < grammar->n_nodes; i++) {
        struct node *node = &grammar->nodes[i];
        for (uint32_t k = 0; node->literals && k < node->n; k++)
            free(node->literals[k].text);
        free(node->literals);
        free(node->children);
    }
    free(grammar->nodes);
    free(grammar);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* config_tree.c - from YAML text to a tree.
 *
 * Bounds: 1 MiB of text, NODES_MAX nodes counted after aliases are followed, DEPTH_MAX levels, KEYS_MAX keys
 * in a mapping. An alias bomb meets the second, an alias to itself the third. */
#include "config_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libfyaml.h>

#include "config_env.h"

enum { FILE_MAX_BYTES = 1 << 20, NODES_MAX = 20000, DEPTH_MAX = 24, KEYS_MAX = 600, ERRORS_MAX = 200 };

/* ---- errors ---- */

void tell(struct config_errors *errors, struct mark mark, const char *path, const char *format, ...) {
    va_list args;
    if (errors->count == ERRORS_MAX)
        return;
    struct config_error *items = realloc(errors->items, (errors->count + 1) * sizeof(*items));
    if (!items)
        abort(); /* a few hundred bytes: nothing sensible is left to do */
    errors->items = items;
    struct config_error *error = &items[errors->count++];
    *error = (struct config_error){.file = strdup(mark.file),
                                   .path = strdup(*path ? path : "(config)"),
                                   .line = mark.line > 0 ? mark.line : 1,
                                   .column = mark.column > 0 ? mark.column : 1};
    va_start(args, format);
    if (vasprintf(&error->text, format, args) < 0)
        error->text = NULL;
    va_end(args);
    if (!error->file || !error->path || !error->text)
        abort();
}

void config_errors_finish(struct config_errors *errors) {
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->items[i].file);
        free(errors->items[i].path);
        free(errors->items[i].text);
    }
    free(errors->items);
    memset(errors, 0, sizeof(*errors));
}

const char *did_you_mean(const char *text, const char *const *words, size_t n_words, char *out,
                         size_t out_size) {
    const char *near = nearest_word(text, words, n_words);
    size_t used = 0;
    if (near) {
        snprintf(out, out_size, "did you mean %s?", near);
        return out;
    }
    used += (size_t)snprintf(out, out_size, n_words ? "known here:" : "nothing is known here");
    for (size_t i = 0; i < n_words && used < out_size - 70; i++)
        used += (size_t)snprintf(out + used, out_size - used, "%s %s", i ? "," : "", words[i]);
    return out;
}

/* ---- nodes ---- */

void node_destroy(struct node *node) {
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++) {
        node_destroy(node->items[i]);
        if (node->keys)
            free(node->keys[i]);
    }
    free(node->items);
    free(node->keys);
    free(node->key_marks);
    free(node->text);
    free(node);
}

const struct node *node_get(const struct node *map, const char *key) {
    for (size_t i = 0; map && map->kind == NODE_MAP && i < map->count; i++)
        if (strcmp(map->keys[i], key) == 0)
            return map->items[i];
    return NULL;
}

struct mark node_key_mark(const struct node *map, const char *key) {
    for (size_t i = 0; map->kind == NODE_MAP && i < map->count; i++)
        if (strcmp(map->keys[i], key) == 0)
            return map->key_marks[i];
    return map->mark;
}

static struct node *node_create(enum node_kind kind, struct mark mark) {
    struct node *node = calloc(1, sizeof(*node));
    if (!node)
        abort();
    node->kind = kind;
    node->mark = mark;
    return node;
}

/* Takes item; key is copied, NULL for a list. */
static void node_add(struct node *node, const char *key, struct mark key_mark, struct node *item) {
    if ((node->count & (node->count - 1)) == 0) {
        size_t room = node->count ? 2 * node->count : 1;
        node->items = realloc(node->items, room * sizeof(*node->items));
        if (key) {
            node->keys = realloc(node->keys, room * sizeof(*node->keys));
            node->key_marks = realloc(node->key_marks, room * sizeof(*node->key_marks));
        }
        if (!node->items || (key && (!node->keys || !node->key_marks)))
            abort();
    }
    node->items[node->count] = item;
    if (key) {
        node->keys[node->count] = strdup(key);
        node->key_marks[node->count] = key_mark;
        if (!node->keys[node->count])
            abort();
    }
    node->count++;
}

/* ---- from libfyaml ---- */

struct reader {
    struct config_errors *errors;
    const char *file;
    const struct mark *fixed; /* where all of it stands, for a text from the command line; or NULL */
    size_t n_nodes;
    bool full; /* the bound was met and told */
};

static struct node *convert(struct reader *r, struct fy_node *from, struct mark where, const char *path,
                            int depth);

static struct mark scalar_mark(const struct reader *r, struct fy_node *from, struct mark otherwise) {
    struct fy_token *token = fy_node_get_type(from) == FYNT_SCALAR ? fy_node_get_scalar_token(from) : NULL;
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (r->fixed)
        return *r->fixed;
    if (!mark || mark->line < 0)
        return otherwise;
    return (struct mark){r->file, mark->line + 1, mark->column + 1};
}

/* Where a node of any kind begins: its first scalar. */
static struct mark first_mark(const struct reader *r, struct fy_node *from, struct mark otherwise) {
    for (int depth = 0; from && depth < DEPTH_MAX; depth++) {
        void *at = NULL;
        if (fy_node_get_type(from) == FYNT_SCALAR)
            return scalar_mark(r, from, otherwise);
        from = fy_node_is_mapping(from) ? fy_node_pair_key(fy_node_mapping_iterate(from, &at))
                                        : fy_node_sequence_iterate(from, &at);
    }
    return otherwise;
}

static struct node *convert_scalar(struct reader *r, struct fy_node *from, struct mark mark,
                                   const char *path) {
    size_t size = 0;
    char problem[256];
    const char *text = fy_node_get_scalar(from, &size);
    bool plain = fy_node_get_style(from) == FYNS_PLAIN;
    if (!text ||
        (plain && (size == 0 || (size == 1 && *text == '~') || (size == 4 && memcmp(text, "null", 4) == 0))))
        return node_create(NODE_NONE, mark);
    struct node *node = node_create(NODE_TEXT, mark);
    node->plain = plain;
    if (memchr(text, 0, size)) {
        tell(r->errors, mark, path, "has a zero byte in it; remove it");
        size = strnlen(text, size);
    }
    node->text = strndup(text, size);
    bool changed = false;
    char *replaced = node->text ? env_replace(node->text, &changed, problem, sizeof(problem)) : NULL;
    if (replaced) {
        free(node->text);
        node->text = replaced;
        node->plain = plain || changed;
    } else {
        tell(r->errors, mark, path, "%s", problem);
    }
    return node;
}

static struct node *convert_map(struct reader *r, struct fy_node *from, struct mark where, const char *path,
                                int depth) {
    void *at = NULL;
    struct fy_node_pair *pair;
    struct node *map = node_create(NODE_MAP, where);
    while ((pair = fy_node_mapping_iterate(from, &at)) && !r->full) {
        char below[512];
        size_t size = 0;
        struct fy_node *key_node = fy_node_pair_key(pair);
        bool is_text = key_node && fy_node_get_type(key_node) == FYNT_SCALAR && !fy_node_is_alias(key_node);
        const char *key_text = is_text ? fy_node_get_scalar(key_node, &size) : NULL;
        struct mark mark = is_text ? scalar_mark(r, key_node, where) : where;
        if (!key_text || size == 0 || size > 200 || memchr(key_text, 0, size)) {
            tell(r->errors, first_mark(r, key_node, mark), *path ? path : "(syntax)",
                 "has a key that is no short text; write a word before the colon");
            continue;
        }
        char *key = strndup(key_text, size);
        if (!key)
            abort();
        snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", key);
        if (map->count == 0 && map->mark.line == 0)
            map->mark = mark;
        const struct node *earlier = node_get(map, key);
        if (earlier)
            tell(r->errors, mark, below, "is given twice, first on line %d; remove one",
                 node_key_mark(map, key).line);
        else if (strcmp(key, "<<") == 0)
            tell(r->errors, mark, below, "merge keys are not supported; repeat the keys");
        else if (map->count == KEYS_MAX)
            tell(r->errors, mark, path, "has more than %d keys; take some out", KEYS_MAX), r->full = true;
        else
            node_add(map, key, mark, convert(r, fy_node_pair_value(pair), mark, below, depth + 1));
        free(key);
    }
    return map;
}

static struct node *convert_list(struct reader *r, struct fy_node *from, struct mark where, const char *path,
                                 int depth) {
    void *at = NULL;
    struct fy_node *item;
    struct node *list = node_create(NODE_LIST, where);
    while ((item = fy_node_sequence_iterate(from, &at)) && !r->full) {
        char below[512];
        snprintf(below, sizeof(below), "%s[%zu]", path, list->count);
        node_add(list, NULL, where, convert(r, item, where, below, depth + 1));
    }
    return list;
}

/* `where` is the mark of the key or list above, for a node that has none of its own. Never NULL. */
static struct node *convert(struct reader *r, struct fy_node *from, struct mark where, const char *path,
                            int depth) {
    if (!from)
        return node_create(NODE_NONE, where);
    struct mark mark = scalar_mark(r, from, where);
    if (!r->full && (++r->n_nodes > NODES_MAX || depth > DEPTH_MAX)) {
        tell(r->errors, mark, "(aliases)", "%s",
             depth > DEPTH_MAX ? "the file is nested too deeply, or an alias contains itself; write it flat"
                               : "aliases grow the file to more than 20000 values; use fewer");
        r->full = true;
    }
    if (r->full)
        return node_create(NODE_NONE, mark);
    if (fy_node_is_alias(from)) {
        struct fy_node *target = fy_node_resolve_alias(from);
        if (target)
            return convert(r, target, mark, path, depth + 1);
        tell(r->errors, mark, path, "refers to an anchor that does not exist; define it with & above");
        return node_create(NODE_NONE, mark);
    }
    size_t tag_size;
    if (fy_node_get_tag(from, &tag_size))
        tell(r->errors, mark, path, "has a YAML tag; remove the word that begins with '!'");
    if (fy_node_get_type(from) == FYNT_SCALAR)
        return convert_scalar(r, from, mark, path);
    return fy_node_is_mapping(from) ? convert_map(r, from, where, path, depth)
                                    : convert_list(r, from, where, path, depth);
}

static void tell_syntax(struct reader *r, struct fy_diag *diag) {
    void *at = NULL;
    struct fy_diag_error *error;
    bool any = false;
    while ((error = fy_diag_errors_iterate(diag, &at))) {
        struct mark mark = {r->file, error->line > 0 ? error->line : 1,
                            error->column > 0 ? error->column : 1};
        tell(r->errors, mark, "(syntax)", "%s; see https://yaml.org for the notation",
             error->msg ? error->msg : "?");
        any = true;
    }
    if (!any)
        tell(r->errors, (struct mark){r->file, 1, 1}, "(syntax)",
             "is no YAML that can be read; check its first lines");
}

static struct node *parse(struct reader *r, const char *text, size_t size) {
    struct fy_diag_cfg diag_cfg;
    struct node *root = NULL;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    fy_diag_set_collect_errors(diag, true);
    /* Not RESOLVE_DOCUMENT, which expands aliases without a bound; duplicate keys are ours to report. */
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_ALLOW_DUPLICATE_KEYS, .diag = diag};
    struct fy_parser *parser = diag ? fy_parser_create(&cfg) : NULL;
    struct fy_document *document =
        parser && fy_parser_set_string(parser, text, size) == 0 ? fy_parse_load_document(parser) : NULL;
    struct mark start = {r->file, 1, 1};
    if (document) {
        root = convert(r, fy_document_root(document), (struct mark){r->file, 0, 0}, "", 0);
        struct fy_document *second = fy_parse_load_document(parser);
        if (second)
            tell(r->errors, first_mark(r, fy_document_root(second), start), "(syntax)",
                 "a second YAML document begins; a config is one, remove the line '---' before it");
        else if (fy_parser_get_stream_error(parser))
            tell_syntax(r, diag);
        if (second)
            fy_parse_document_destroy(parser, second);
        fy_parse_document_destroy(parser, document);
    } else if (!parser || fy_parser_get_stream_error(parser)) {
        tell_syntax(r, diag);
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    if (root && root->mark.line == 0)
        root->mark = start;
    return root;
}

/* Gives the bytes; NULL after telling why. */
static char *read_text(const char *path, size_t *size, struct config_errors *errors) {
    struct stat st;
    struct mark start = {path, 1, 1};
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        tell(errors, start, "(file)", "cannot be read: %s; check the path", strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        tell(errors, start, "(file)", "is a folder; give the config file in it");
    } else {
        ssize_t n = 0;
        text = malloc(FILE_MAX_BYTES + 2);
        *size = 0;
        while (text && *size <= FILE_MAX_BYTES &&
               (n = read(fd, text + *size, FILE_MAX_BYTES + 1 - *size)) > 0)
            *size += (size_t)n;
        if (!text || n < 0 || *size > FILE_MAX_BYTES) {
            tell(errors, start, "(file)", "%s",
                 n < 0 ? "cannot be read; check the path"
                       : "is over 1 MiB; a config is small, check the path");
            free(text);
            text = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    return text;
}

struct node *tree_read(const char *path, struct config_errors *errors) {
    size_t size, before = errors->count;
    struct reader r = {.errors = errors, .file = path};
    char *text = read_text(path, &size, errors);
    struct node *root = text ? parse(&r, text, size) : NULL;
    free(text);
    if (errors->count == before && (!root || root->kind != NODE_MAP)) {
        tell(errors, (struct mark){path, 1, 1}, "(file)",
             !root || root->kind == NODE_NONE ? "is empty; see configs/ for examples"
                                              : "is no mapping; begin with `pipeline: NAME`");
    }
    if (root && root->kind == NODE_MAP && !r.full)
        return root;
    node_destroy(root); /* also when a bound was met: what is left of the tree would only mislead */
    return NULL;
}

/* ---- overrides ---- */

/* The item of `node` under one word of a path, made when it is missing. NULL where the word does not fit. */
static struct node **step_into(struct node *node, const char *word, struct mark mark) {
    if (node->kind == NODE_NONE)
        node->kind = NODE_MAP;
    if (node->kind == NODE_LIST) {
        char *end;
        unsigned long i = strtoul(word, &end, 10);
        return *end || end == word || i >= node->count ? NULL : &node->items[i];
    }
    if (node->kind != NODE_MAP)
        return NULL;
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->keys[i], word) == 0)
            return &node->items[i];
    node_add(node, word, mark, node_create(NODE_NONE, mark));
    return &node->items[node->count - 1];
}

void tree_override(struct node *root, const char *text, int n, struct config_errors *errors) {
    struct mark mark = {"--set", n, 1};
    struct reader r = {.errors = errors, .file = mark.file, .fixed = &mark};
    const char *equals = strchr(text, '=');
    struct node *at = root, **slot = NULL;
    char *copy = equals && equals > text ? strndup(text, (size_t)(equals - text)) : NULL, *rest = copy, *word;
    while (copy && (word = strsep(&rest, "."))) {
        slot = *word ? step_into(at, word, mark) : NULL;
        if (!slot)
            break;
        at = *slot;
    }
    if (!slot) {
        tell(errors, mark, copy ? copy : text, "names no place in the config; write path.to.key=value");
    } else {
        size_t size = strlen(equals + 1);
        struct node *value = size ? parse(&r, equals + 1, size) : node_create(NODE_NONE, mark);
        if (value && value->kind == NODE_TEXT)
            value->plain = true;
        if (value) {
            value->mark = mark;
            node_destroy(*slot);
            *slot = value;
        }
    }
    free(copy);
}

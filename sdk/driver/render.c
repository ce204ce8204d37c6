/* SPDX-License-Identifier: Apache-2.0 */
/* render.c - checks a JSON value against the nodes of a grammar while it writes it out. */
#include "render.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar_node.h"

struct writer {
    const struct grammar *grammar;
    FILE *out;
    char *why;
    size_t why_size;
    char path[256];
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct writer *w, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(w->why, w->why_size, "%s: %s", w->path[0] ? w->path : "/", text);
    return false;
}

static bool write_node(struct writer *w, uint16_t index, const json_t *value);

static bool write_below(struct writer *w, uint16_t index, const json_t *value, const char *name,
                        size_t place) {
    size_t used = strlen(w->path);
    if (name)
        snprintf(w->path + used, sizeof(w->path) - used, "/%.64s", name);
    else
        snprintf(w->path + used, sizeof(w->path) - used, "/%zu", place);
    bool ok = write_node(w, index, value);
    if (ok)
        w->path[used] = 0;
    return ok;
}

/* The property name inside `{"name":` or `,"name":`. Gives a reference. */
static json_t *name_of(const struct literal *literal) {
    return json_loadb(literal->text + 1, literal->size - 2, JSON_DECODE_ANY, NULL);
}

static bool write_object(struct writer *w, const struct node *node, const json_t *value) {
    if (!json_is_object(value))
        return refuse(w, "not an object");
    for (uint32_t i = 0; i < node->n; i++) {
        json_t *name = name_of(&node->literals[i]);
        const char *text = json_string_value(name);
        const json_t *child = text ? json_object_get(value, text) : NULL;
        fwrite(node->literals[i].text, 1, node->literals[i].size, w->out);
        bool ok = child ? write_below(w, node->children[i], child, text, 0)
                        : refuse(w, "property \"%.64s\" is missing", text ? text : "");
        json_decref(name);
        if (!ok)
            return false;
    }
    if (json_object_size(value) != node->n)
        return refuse(w, "%zu properties where the schema has %u", json_object_size(value), node->n);
    fputc('}', w->out);
    return true;
}

static bool write_array(struct writer *w, const struct node *node, const json_t *value) {
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n < node->min || n > node->max)
        return refuse(w, "not an array of %u to %u items", node->min, node->max);
    fputc('[', w->out);
    for (size_t i = 0; i < n; i++) {
        if (i)
            fputc(',', w->out);
        if (!write_below(w, node->children[0], json_array_get(value, i), NULL, i))
            return false;
    }
    fputc(']', w->out);
    return true;
}

static bool write_string(struct writer *w, const struct node *node, const json_t *value) {
    if (!json_is_string(value))
        return refuse(w, "not a string");
    const uint8_t *text = (const uint8_t *)json_string_value(value);
    size_t size = json_string_length(value), characters = 0;
    fputc('"', w->out);
    for (size_t i = 0; i < size; i++) {
        characters += (text[i] & 0xc0) != 0x80;
        if (text[i] == '"' || text[i] == '\\')
            fputc('\\', w->out);
        bool control = text[i] < 0x20 || text[i] == 0x7f;
        bool c1 = text[i] == 0xc2 && i + 1 < size && text[i + 1] < 0xa0;
        fputc(control || c1 ? ' ' : text[i], w->out);
        i += c1;
    }
    fputc('"', w->out);
    if (characters < node->min || characters > node->max)
        return refuse(w, "%zu characters where the schema allows %u to %u", characters, node->min, node->max);
    return true;
}

static bool write_number(struct writer *w, const struct node *node, const json_t *value) {
    if (json_is_integer(value)) {
        fprintf(w->out, "%lld", (long long)json_integer_value(value));
        return true;
    }
    if (!json_is_real(value) || node->kind == NODE_INTEGER)
        return refuse(w, "not a%s number", node->kind == NODE_INTEGER ? " whole" : "");
    char text[64]; /* no exponents in the grammar */
    int n = snprintf(text, sizeof(text), "%.15g", json_real_value(value));
    if (n < 0 || strpbrk(text, "eEn"))
        return refuse(w, "a number out of range");
    fputs(text, w->out);
    return true;
}

static bool write_choice(struct writer *w, const struct node *node, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    bool found = false;
    for (uint32_t i = 0; text && i < node->n && !found; i++)
        found = strcmp(node->literals[i].text, text) == 0;
    if (found)
        fputs(text, w->out);
    free(text);
    return found || refuse(w, "not one of the values that the schema lists");
}

static bool write_node(struct writer *w, uint16_t index, const json_t *value) {
    const struct node *node = &w->grammar->nodes[index];
    switch (node->kind) {
    case NODE_OBJECT:
        return write_object(w, node, value);
    case NODE_ARRAY:
        return write_array(w, node, value);
    case NODE_STRING:
        return write_string(w, node, value);
    case NODE_CHOICE:
        return write_choice(w, node, value);
    default:
        return write_number(w, node, value);
    }
}

char *grammar_render(const struct grammar *grammar, const json_t *value, char *why, size_t why_size) {
    char *text = NULL;
    size_t size = 0;
    struct writer w = {
        .grammar = grammar, .out = open_memstream(&text, &size), .why = why, .why_size = why_size};
    if (!w.out) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    bool ok = write_node(&w, 0, value);
    if (fclose(w.out) != 0 && ok)
        ok = refuse(&w, "out of memory");
    if (ok)
        return text;
    free(text);
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* config_graph.c - from each stage's `from` to edges, and what must hold for the graph as a whole.
 *
 * An edge is checked when everything upstream of it is known: a port of "*" gives what came in, so schemas
 * flow through filters in topological order. */
#include "config_build.h"

#include <stdlib.h>
#include <string.h>

enum { PORTS_MAX = 32, SCHEMAS_MAX = 32 };

/* ---- plugins ---- */

const json_t *plugin_port(const struct plugin_desc *plugin, const char *direction, size_t i) {
    size_t k;
    json_t *port;
    json_array_foreach(json_object_get(plugin->about, "ports"), k, port) {
        if (strcmp(json_string_value(json_object_get(port, "direction")), direction) == 0 && i-- == 0)
            return port;
    }
    return NULL;
}

size_t plugin_port_count(const struct plugin_desc *plugin, const char *direction) {
    size_t n = 0;
    while (plugin_port(plugin, direction, n))
        n++;
    return n;
}

bool plugin_needs(const struct plugin_desc *plugin, const char *need) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(plugin->about, "needs"), i, item) {
        if (strcmp(json_string_value(item), need) == 0)
            return true;
    }
    return false;
}

bool schemas_hold(const json_t *schemas, const char *schema) {
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)schemas, i, item) {
        const char *text = json_string_value(item);
        if (strcmp(text, schema) == 0 || strcmp(text, "*") == 0)
            return true;
    }
    return false;
}

static const char *port_name(const json_t *port) {
    return json_string_value(json_object_get(port, "name"));
}

static const json_t *port_schemas(const json_t *port) {
    return json_object_get(port, "schemas");
}

static bool is_any(const json_t *port) {
    return schemas_hold(port_schemas(port), "*");
}

/* Whether some message of one port could enter the other. */
static bool could_meet(const json_t *out, const json_t *in) {
    size_t i;
    json_t *item;
    if (is_any(out) || is_any(in))
        return true;
    json_array_foreach(port_schemas(out), i, item) {
        if (schemas_hold(port_schemas(in), json_string_value(item)))
            return true;
    }
    return false;
}

/* ---- one edge ---- */

/* What an operator wrote about one edge. Borrowed from the tree. */
struct written {
    const struct node *node; /* for its mark; the map itself when it is one */
    char from[64], from_port[80];
    const char *to_port;
};

static size_t find_stage(const struct config *config, const char *name) {
    size_t i = 0;
    while (i < config->n_stages && strcmp(config->stages[i].name, name) != 0)
        i++;
    return i;
}

/* A port by name, or the only one that fits `other` when no name is given. -1 after telling. */
static int pick_port(struct build *b, const struct plugin_desc *plugin, const char *direction,
                     const char *name, const json_t *other, struct mark mark, const char *path) {
    const char *names[PORTS_MAX];
    char near[512];
    size_t n = plugin_port_count(plugin, direction);
    int fits = -1, n_fits = 0;
    bool out = strcmp(direction, "out") == 0;
    for (size_t i = 0; i < n && i < PORTS_MAX; i++) {
        const json_t *port = plugin_port(plugin, direction, i);
        names[i] = port_name(port);
        if (name && strcmp(names[i], name) == 0)
            return (int)i;
        if (!other || (out ? could_meet(port, other) : could_meet(other, port))) {
            fits = (int)i;
            n_fits++;
        }
    }
    if (n == 0)
        tell(b->errors, mark, path, "%s has no %s; %s", plugin->name, out ? "output" : "input",
             out ? "take its records from an earlier stage" : "it is a source, remove `from`");
    else if (name)
        tell(b->errors, mark, path, "%s has no %s port '%.40s'; %s", plugin->name, out ? "output" : "input",
             name, did_you_mean(name, names, n < PORTS_MAX ? n : PORTS_MAX, near, sizeof(near)));
    else if (n_fits == 1 || n == 1)
        return n == 1 ? 0 : fits;
    else
        tell(b->errors, mark, path, "%s %s; name one with %s, %s", plugin->name,
             n_fits ? "has several ports that fit" : "has no port that fits",
             out ? "`from: {stage: ..., port: NAME}`" : "`to: NAME`",
             did_you_mean("?", names, n < PORTS_MAX ? n : PORTS_MAX, near, sizeof(near)));
    return -1;
}

static void add_value(struct build *b, struct config_where *where, const struct node *value,
                      const char *path) {
    if (value->kind != NODE_TEXT) {
        tell(b->errors, value->mark, path, "is no text; write `key: value` or `key: [a, b]`");
        return;
    }
    where->values = realloc(where->values, (where->n_values + 1) * sizeof(*where->values));
    if (!where->values || !(where->values[where->n_values++] = strdup(value->text)))
        abort();
}

static void read_where(struct build *b, struct config_edge *edge, const struct node *map, const char *path) {
    char below[PATH_TEXT_BYTES];
    if (!map)
        return;
    if (map->kind != NODE_MAP || map->count == 0) {
        tell(b->errors, map->mark, path, "is no mapping; write `where: {beat: [a, b]}`");
        return;
    }
    edge->where = calloc(map->count, sizeof(*edge->where));
    if (!edge->where)
        abort();
    for (size_t i = 0; i < map->count; i++) {
        struct config_where *where = &edge->where[edge->n_where++];
        const struct node *value = map->items[i];
        snprintf(below, sizeof(below), "%.400s.%.100s", path, map->keys[i]);
        where->key = strdup(map->keys[i]);
        if (!where->key)
            abort();
        for (size_t k = 0; value->kind == NODE_LIST && k < value->count; k++)
            add_value(b, where, value->items[k], below);
        if (value->kind != NODE_LIST)
            add_value(b, where, value, below);
        if (where->n_values == 0 && value->kind == NODE_LIST)
            tell(b->errors, map->key_marks[i], below, "lets nothing pass; list what may");
    }
}

/* "stage", "stage.port" or a mapping into its parts. */
static bool read_written(struct build *b, const struct node *node, const char *path, struct written *out) {
    static const char *const known[] = {"stage", "port", "to", "where", "keyed", "capacity"};
    memset(out, 0, sizeof(*out));
    out->node = node;
    if (node->kind == NODE_TEXT) {
        size_t size = strcspn(node->text, ".");
        snprintf(out->from, sizeof(out->from), "%.*s", size < 63 ? (int)size : 63, node->text);
        snprintf(out->from_port, sizeof(out->from_port), "%s", node->text[size] ? node->text + size + 1 : "");
        return true;
    }
    if (node->kind != NODE_MAP) {
        tell(b->errors, node->mark, path,
             "names no stage; write `from: STAGE`, `from: STAGE.PORT`, a mapping or a list");
        return false;
    }
    build_check_keys(b, node, path, known, COUNT(known));
    if (!node_get(node, "stage"))
        tell(b->errors, node->mark, path, "names no stage; add `stage: NAME`");
    const char *stage = build_text(b, node, path, "stage", NULL),
               *port = build_text(b, node, path, "port", "");
    snprintf(out->from, sizeof(out->from), "%s", stage ? stage : "");
    snprintf(out->from_port, sizeof(out->from_port), "%s", port);
    out->to_port = build_text(b, node, path, "to", NULL);
    return stage != NULL;
}

static bool find_from(struct build *b, const struct written *written, const char *path, size_t to,
                      size_t *from) {
    const char *words[64];
    char near[512];
    const struct config *config = b->config;
    *from = find_stage(config, written->from);
    if (*from == config->n_stages) {
        for (size_t i = 0; i < config->n_stages; i++)
            words[i] = config->stages[i].name;
        tell(b->errors, written->node->mark, path, "names no stage '%.40s'; %s", written->from,
             did_you_mean(written->from, words, config->n_stages, near, sizeof(near)));
        return false;
    }
    if (*from == to) {
        tell(b->errors, written->node->mark, path, "is the stage itself; name an earlier one");
        return false;
    }
    return config->stages[*from].plugin && config->stages[to].plugin;
}

static bool pick_ports(struct build *b, const struct written *written, struct config_edge *edge,
                       const char *path) {
    const struct plugin_desc *from = b->config->stages[edge->from].plugin,
                             *to = b->config->stages[edge->to].plugin;
    struct mark mark = written->node->mark;
    const json_t *only_in = plugin_port_count(to, "in") == 1 ? plugin_port(to, "in", 0) : NULL;
    int out = pick_port(b, from, "out", *written->from_port ? written->from_port : NULL, only_in, mark, path);
    if (out < 0)
        return false;
    int in = pick_port(b, to, "in", written->to_port, plugin_port(from, "out", (size_t)out), mark, path);
    if (in < 0)
        return false;
    edge->from_port = (uint32_t)out;
    edge->to_port = (uint32_t)in;
    return true;
}

static bool is_same(const struct config_edge *a, const struct config_edge *b) {
    return a->from == b->from && a->to == b->to && a->from_port == b->from_port && a->to_port == b->to_port;
}

static void read_edge(struct build *b, size_t to, const struct node *node, const char *path) {
    struct written written;
    struct config *config = b->config;
    struct config_edge edge = {.to = to};
    if (!read_written(b, node, path, &written) || !find_from(b, &written, path, to, &edge.from) ||
        !pick_ports(b, &written, &edge, path))
        return;
    for (size_t i = 0; i < config->n_edges; i++)
        if (is_same(&config->edges[i], &edge)) {
            tell(b->errors, node->mark, path, "is the same edge a second time; remove one");
            return;
        }
    const struct plugin_desc *consumer = config->stages[to].plugin;
    bool write = strcmp(json_string_value(json_object_get(consumer->about, "role")), "write") == 0;
    char below[PATH_TEXT_BYTES];
    snprintf(below, sizeof(below), "%.400s.where", path);
    if (node->kind == NODE_MAP) {
        read_where(b, &edge, node_get(node, "where"), below);
        edge.keyed = build_flag(b, node, path, "keyed", write);
        edge.capacity = (uint32_t)build_int(b, node, path, "capacity", 1024, 1, 1000000);
    } else {
        edge.keyed = write;
        edge.capacity = 1024;
    }
    const json_t *out = plugin_port(config->stages[edge.from].plugin, "out", edge.from_port);
    if (asprintf(&edge.name, "%s.%s>%s.%s", config->stages[edge.from].name, port_name(out),
                 config->stages[to].name, port_name(plugin_port(consumer, "in", edge.to_port))) < 0)
        abort();
    struct config_edge *edges = realloc(config->edges, (config->n_edges + 1) * sizeof(*edges));
    if (!edges)
        abort();
    config->edges = edges;
    config->edges[config->n_edges++] = edge;
}

void build_edges(struct build *b, const struct node *stages) {
    char path[PATH_TEXT_BYTES];
    for (size_t i = 0; i < b->config->n_stages; i++) {
        const struct config_stage *stage = &b->config->stages[i];
        const struct node *from = node_get(stages->items[i], "from");
        snprintf(path, sizeof(path), "stages.%s.from", stage->name);
        if (from && from->kind == NODE_LIST) {
            if (from->count == 0)
                tell(b->errors, from->mark, path, "is an empty list; name a stage");
            for (size_t k = 0; k < from->count; k++) {
                char below[PATH_TEXT_BYTES];
                snprintf(below, sizeof(below), "%.400s[%zu]", path, k);
                read_edge(b, i, from->items[k], below);
            }
        } else if (from) {
            read_edge(b, i, from, path);
        }
    }
}

/* ---- the graph ---- */

/* What a port can give: `any`, or a list. */
struct gives {
    bool any;
    const char *schemas[SCHEMAS_MAX];
    size_t n;
};

static void give(struct gives *gives, const char *schema) {
    for (size_t i = 0; i < gives->n; i++)
        if (strcmp(gives->schemas[i], schema) == 0)
            return;
    if (gives->n < SCHEMAS_MAX)
        gives->schemas[gives->n++] = schema;
}

/* Whether `where` lets a schema through. */
static bool passes(const struct config_edge *edge, const char *schema) {
    for (size_t i = 0; i < edge->n_where; i++) {
        bool found = strcmp(edge->where[i].key, "schema") != 0;
        for (size_t k = 0; k < edge->where[i].n_values && !found; k++)
            found = strcmp(edge->where[i].values[k], schema) == 0;
        if (!found)
            return false;
    }
    return true;
}

static struct gives port_gives(const struct config *config, size_t stage, uint32_t port, size_t depth);

/* What an edge carries: what its port gives, less what `where` keeps back. */
static struct gives edge_carries(const struct config *config, const struct config_edge *edge, size_t depth) {
    struct gives all = port_gives(config, edge->from, edge->from_port, depth), out = {.any = all.any};
    for (size_t i = 0; i < all.n; i++)
        if (passes(edge, all.schemas[i]))
            give(&out, all.schemas[i]);
    for (size_t i = 0; i < edge->n_where && all.any; i++)
        if (strcmp(edge->where[i].key, "schema") == 0) {
            out.any = false;
            for (size_t k = 0; k < edge->where[i].n_values; k++)
                give(&out, edge->where[i].values[k]);
        }
    return out;
}

/* The graph has no cycle here; depth bounds the work all the same. */
static struct gives port_gives(const struct config *config, size_t stage, uint32_t port, size_t depth) {
    struct gives out = {0};
    const json_t *self = plugin_port(config->stages[stage].plugin, "out", port);
    size_t k;
    json_t *item;
    json_array_foreach(port_schemas(self), k, item) {
        if (strcmp(json_string_value(item), "*") != 0)
            give(&out, json_string_value(item));
    }
    if (!is_any(self))
        return out;
    bool fed = false;
    for (size_t i = 0; i < config->n_edges && depth > 0; i++) {
        const struct config_edge *edge = &config->edges[i];
        if (edge->to != stage || !is_any(plugin_port(config->stages[stage].plugin, "in", edge->to_port)))
            continue;
        struct gives in = edge_carries(config, edge, depth - 1);
        fed = true;
        out.any = out.any || in.any;
        for (size_t n = 0; n < in.n; n++)
            give(&out, in.schemas[n]);
    }
    out.any = out.any || !fed;
    return out;
}

static void check_schemas(struct build *b, const struct config_edge *edge, const struct node *stages) {
    const struct config *config = b->config;
    const struct config_stage *from = &config->stages[edge->from], *to = &config->stages[edge->to];
    const json_t *in = plugin_port(to->plugin, "in", edge->to_port);
    struct gives carries = edge_carries(config, edge, config->n_stages < 16 ? config->n_stages : 16);
    char path[PATH_TEXT_BYTES];
    const char *bad = NULL;
    size_t n_good = 0;
    for (size_t i = 0; i < carries.n; i++) {
        if (schemas_hold(port_schemas(in), carries.schemas[i]))
            n_good++;
        else
            bad = carries.schemas[i];
    }
    snprintf(path, sizeof(path), "stages.%s.from", to->name);
    struct mark mark = node_key_mark(node_get(stages, to->name), "from");
    if (bad && n_good == 0)
        tell(b->errors, mark, path,
             "%s gives %s, %s takes %s; put a stage between them that makes one from the other", from->name,
             bad, to->name, json_string_value(json_array_get(port_schemas(in), 0)));
    else if (bad)
        tell(b->errors, mark, path,
             "%s also gives %s, which %s does not take; add `where: {schema: ...}` to the edge", from->name,
             bad, to->name);
    else if (!carries.any && carries.n == 0)
        tell(b->errors, mark, path, "lets nothing from %s pass; mend its `where: {schema: ...}`", from->name);
}

/* Marks every stage that a source reaches by taking stages whose inputs are all taken; what is left is a
 * cycle or behind one. */
static size_t order(const struct config *config, bool *taken) {
    size_t n_taken = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < config->n_stages; i++) {
            bool ready = !taken[i];
            for (size_t k = 0; k < config->n_edges && ready; k++)
                ready = config->edges[k].to != i || taken[config->edges[k].from];
            if (!ready)
                continue;
            taken[i] = moved = true;
            n_taken++;
        }
    }
    return n_taken;
}

/* Walk backwards from a stage that was not taken until one comes twice: that walk holds a cycle. */
static void tell_cycle(struct build *b, const bool *taken, const struct node *stages) {
    const struct config *config = b->config;
    size_t at = 0, steps[128], n = 0;
    char text[400] = "", path[PATH_TEXT_BYTES];
    while (taken[at])
        at++;
    for (size_t seen = config->n_stages; n < COUNT(steps); n++) {
        for (size_t i = 0; i < n && seen == config->n_stages; i++)
            if (steps[i] == at)
                seen = i;
        steps[n] = at;
        if (seen < config->n_stages) {
            for (size_t i = n + 1; i > seen; i--)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", *text ? " -> " : "",
                         config->stages[steps[i - 1]].name);
            break;
        }
        for (size_t k = 0; k < config->n_edges; k++)
            if (config->edges[k].to == at && !taken[config->edges[k].from]) {
                at = config->edges[k].from;
                break;
            }
    }
    snprintf(path, sizeof(path), "stages.%s.from", config->stages[at].name);
    tell(b->errors, node_key_mark(node_get(stages, config->stages[at].name), "from"), path,
         "closes a circle: %s; remove one of its edges", text);
}

static void check_ends(struct build *b, size_t i, const struct node *stages) {
    const struct config *config = b->config;
    const struct config_stage *stage = &config->stages[i];
    size_t n_out = 0;
    char path[PATH_TEXT_BYTES];
    struct mark mark = {config->path, stage->line, stage->column};
    if (!stage->plugin)
        return;
    for (size_t k = 0; k < config->n_edges; k++) {
        n_out += config->edges[k].from == i;
    }
    bool wire = strcmp(json_string_value(json_object_get(stage->plugin->about, "role")), "wire") == 0;
    snprintf(path, sizeof(path), "stages.%s", stage->name);
    if (plugin_port_count(stage->plugin, "in") > 0 && !node_get(stages->items[i], "from"))
        tell(b->errors, mark, path, "takes records but nothing comes in; add `from: STAGE`");
    if (plugin_port_count(stage->plugin, "out") > 0 && n_out == 0 && !wire)
        tell(b->errors, mark, path, "gives records that no stage takes; add a stage with `from: %s`",
             stage->name);
}

void build_check_graph(struct build *b, const struct node *stages) {
    const struct config *config = b->config;
    bool whole = b->errors->count == 0, *taken = calloc(config->n_stages + 1, sizeof(*taken));
    if (!taken)
        abort();
    size_t n_taken = order(config, taken);
    if (n_taken < config->n_stages)
        tell_cycle(b, taken, stages);
    for (size_t k = 0; k < config->n_edges && n_taken == config->n_stages; k++)
        check_schemas(b, &config->edges[k], stages);
    /* With a stage or edge refused above, missing neighbours are likely its doing. */
    for (size_t i = 0; i < config->n_stages && whole; i++)
        check_ends(b, i, stages);
    free(taken);
}

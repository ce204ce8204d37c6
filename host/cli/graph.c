/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - `telex graph CONFIG`: the pipeline in the DOT language, stages in the order of the file. */
#include <stdio.h>
#include <string.h>

#include "../config.h"
#include "cli.h"

static error_t parse(int key, char *arg, struct argp_state *state) {
    return cli_parse_one(key, arg, state, state->input, "one config at a time",
                         "which config? configs/ has some");
}

static const struct argp argp = {NULL,
                                 parse,
                                 "CONFIG",
                                 "Draw a pipeline: `telex graph CONFIG | dot -Tsvg > pipeline.svg`.\v"
                                 "A box is a stage (double when it runs in a process of its own), a dashed "
                                 "box a model. An edge carries the name of "
                                 "its output port, and in brackets what its `where` lets pass.",
                                 NULL,
                                 NULL,
                                 NULL};

/* Text inside a quoted DOT string. */
static void put_escaped(const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static const char *output_name(const struct config_stage *stage, uint32_t port) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(stage->plugin->about, "ports"), i, item) {
        if (strcmp(json_string_value(json_object_get(item, "direction")), "out") == 0 && port-- == 0)
            return json_string_value(json_object_get(item, "name"));
    }
    return "";
}

static void put_edge(const struct config *config, const struct config_edge *edge) {
    const struct config_stage *from = &config->stages[edge->from], *to = &config->stages[edge->to];
    printf("  \"%s\" -> \"%s\" [label=\"%s", from->name, to->name, output_name(from, edge->from_port));
    for (size_t i = 0; i < edge->n_where; i++) {
        printf("\\n[");
        put_escaped(edge->where[i].key);
        for (size_t k = 0; k < edge->where[i].n_values; k++) {
            printf("%s", k ? ", " : ": ");
            put_escaped(edge->where[i].values[k]);
        }
        printf("]");
    }
    printf("\"%s];\n", edge->keyed ? ", style=bold" : "");
}

static void put_graph(const struct config *config) {
    printf("digraph \"%s\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n"
           "  edge [fontname=\"sans-serif\", fontsize=10];\n",
           config->pipeline);
    for (size_t i = 0; i < config->n_stages; i++) {
        const struct config_stage *stage = &config->stages[i];
        printf("  \"%s\" [label=\"%s\\n%s %s\"%s];\n", stage->name, stage->name, stage->plugin->name,
               stage->plugin->version, stage->isolation == ISOLATION_PROCESS ? ", peripheries=2" : "");
    }
    for (size_t i = 0; i < config->n_models; i++)
        printf("  \"model %s\" [label=\"%s\\n%s %s\", style=dashed];\n", config->models[i].name,
               config->models[i].name, config->models[i].plugin->name, config->models[i].plugin->version);
    for (size_t i = 0; i < config->n_edges; i++)
        put_edge(config, &config->edges[i]);
    for (size_t i = 0; i < config->n_stages; i++)
        for (size_t k = 0; k < config->stages[i].n_models; k++)
            printf("  \"%s\" -> \"model %s\" [style=dashed, label=\"%s\"];\n", config->stages[i].name,
                   config->models[config->stages[i].models[k]].name, config->stages[i].model_roles[k]);
    printf("}\n");
}

int cmd_graph(int argc, char **argv) {
    const char *path = NULL;
    struct config *config;
    int code = cli_parse(&argp, argc, argv, &path);
    struct registry *registry = code == 0 ? cli_registry() : NULL;
    if (!registry)
        return code ? code : EXIT_FAILED;
    code = config_load(path, NULL, registry, stderr, &config) == 0 ? EXIT_FINE : cli_config_code(registry);
    if (code == EXIT_FINE)
        put_graph(config);
    config_destroy(config);
    registry_destroy(registry);
    return code;
}

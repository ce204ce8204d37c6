/* SPDX-License-Identifier: Apache-2.0 */
/* stage_table.c - one block: the table, its ports, their lists. What about_check found good is not checked
 * again. */
#include "stage_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <telex/abi.h>

struct block {
    struct telex_stage table;
    struct telex_port *ports;       /* owned */
    const struct telex_port **list; /* owned, NULL-ended */
    const char **schemas;           /* owned: every port's, each list NULL-ended */
};

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static uint32_t role_of(const char *role) {
    static const struct {
        const char *name;
        uint32_t role;
    } roles[] = {
        {"signal", TELEX_SIGNAL}, {"cluster", TELEX_CLUSTER}, {"write", TELEX_WRITE}, {"wire", TELEX_WIRE}};
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (role && strcmp(role, roles[i].name) == 0)
            return roles[i].role;
    return TELEX_FILTER;
}

static bool has_word(const json_t *list, const char *word) {
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one) {
        if (strcmp(json_string_value(one), word) == 0)
            return true;
    }
    return false;
}

static size_t count_schemas(const json_t *ports) {
    size_t i, n = 0;
    const json_t *port;
    json_array_foreach((json_t *)(uintptr_t)ports, i, port) {
        n += json_array_size(json_object_get(port, "schemas")) + 1;
    }
    return n;
}

static void fill_ports(struct block *block, const json_t *ports) {
    size_t i, k;
    const json_t *one, *schema;
    const char **schemas = block->schemas;
    json_array_foreach((json_t *)(uintptr_t)ports, i, one) {
        const char *direction = text_of(one, "direction");
        block->ports[i] =
            (struct telex_port){.size = sizeof(struct telex_port),
                                .direction = strcmp(direction, "in") == 0 ? TELEX_IN : TELEX_OUT,
                                .name = text_of(one, "name"),
                                .schemas = schemas};
        json_array_foreach(json_object_get(one, "schemas"), k, schema) {
            *schemas++ = json_string_value(schema);
        }
        *schemas++ = NULL;
        block->list[i] = &block->ports[i];
    }
}

struct telex_stage *stage_table_create(const struct plugin_desc *desc) {
    const json_t *about = desc->about, *ports = json_object_get(about, "ports");
    size_t n = json_array_size(ports);
    struct block *block = calloc(1, sizeof(*block));
    if (!block)
        return NULL;
    block->ports = calloc(n + 1, sizeof(*block->ports));
    block->list = calloc(n + 1, sizeof(*block->list));
    block->schemas = calloc(count_schemas(ports) + 1, sizeof(*block->schemas));
    if (!block->ports || !block->list || !block->schemas) {
        stage_table_destroy(&block->table);
        return NULL;
    }
    fill_ports(block, ports);
    block->table = (struct telex_stage){
        .size = sizeof(struct telex_stage),
        .role = role_of(text_of(about, "role")),
        .flags = has_word(json_object_get(about, "flags"), "stateful") ? TELEX_STAGE_STATEFUL : 0,
        .max_outputs = (uint32_t)json_integer_value(json_object_get(about, "max_outputs")),
        .name = desc->name,
        .version = desc->version,
        .doc = desc->doc,
        .ports = block->list,
    };
    return &block->table;
}

void stage_table_destroy(const struct telex_stage *table) {
    struct block *block = (struct block *)(uintptr_t)table;
    if (!block)
        return;
    free(block->ports);
    free(block->list);
    free(block->schemas);
    free(block);
}

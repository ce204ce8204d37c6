/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - the conformance kit: does a plugin keep the contract?
 *
 * A plugin is linted, described, and then lived through in child processes by a small host in memory that
 * watches every call (check_host.c). Whatever the plugin does ends as a finding with the id of the rule that
 * it broke. */
#ifndef HOST_CHECK_H
#define HOST_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "loader.h"

enum check_level { CHECK_WARNING, CHECK_ERROR };

struct check_rule {
    const char *id; /* "lease.twice" */
    enum check_level level;
    const char *doc; /* what the contract says, one line */
};

/* Every rule, ended by one without an id. */
extern const struct check_rule check_rules[];
const struct check_rule *check_rule_find(const char *id);

/* Check the file at path. `pairs` are its options as key=value texts (NULL-ended); a life may take life_ms.
 * reference: a backend, as the model commands take it, that the logits of this one are held against; or NULL.
 * Gives {"plugin","path","findings":[{"rule","level","scenarios":[],"text"}],"scenarios":[names run]}, or
 * NULL with a line on stderr when the options are wrong. */
json_t *check_plugin(struct registry *registry, const char *path, const char *const *pairs,
                     const char *reference, int life_ms);

/* Live through all scenarios that fit, each in a child, until one hangs; append to findings and scenarios
 * (check_child.c). */
void check_lives(const struct plugin_desc *plugin, struct telex_bytes options, int life_ms, json_t *findings,
                 json_t *scenarios);

/* Append a finding; one that is there already gets the scenario added. */
void check_add(json_t *findings, const char *rule, const char *scenario, const char *text);

#endif

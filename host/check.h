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

/* How to check. */
struct check_how {
    const char *const *pairs; /* options as key=value texts, NULL-ended */
    const char *reference; /* a backend, as model commands take it, that logits are held against; or NULL */
    const char *only;      /* the one scenario to run; NULL: all */
    int life_ms;           /* what one life may take */
    uint64_t seed;         /* of the cases of fuzzing */
    uint32_t n_cases;
    int64_t one_case; /* the only case to run; -1: all, where nothing else was found */
};

/* Check the file at path. Gives {"plugin","path","findings":[{"rule","level","scenarios":[],"text"}],
 * "scenarios":[names run]}, or NULL with a line on stderr when the options are wrong. A finding of a fuzzed
 * case has "seed", "case", "option" and "records" too. */
json_t *check_plugin(struct registry *registry, const char *path, const struct check_how *how);

/* Whether the file is worth going on with; findings about it are appended (check_lint.c). */
bool check_lint(const char *path, json_t *findings);

/* Live through all scenarios that fit, each in a child, until one hangs; append to findings and scenarios
 * (check_child.c). */
void check_lives(const struct check_how *how, const struct plugin_desc *plugin, struct telex_bytes options,
                 json_t *findings, json_t *scenarios);

/* The same for cases made from the seed (check_fuzz.c). */
struct check_variations;
void check_fuzz(const struct check_how *how, const struct plugin_desc *plugin, struct telex_bytes options,
                const struct check_variations *variations, json_t *findings, json_t *scenarios);

/* Append a finding; one that is there already gets the scenario added. Borrowed. */
json_t *check_add(json_t *findings, const char *rule, const char *scenario, const char *text);

#endif

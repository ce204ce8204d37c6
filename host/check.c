/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - the conformance kit from a path to its findings: lint, description, lives. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_model.h"
#include "config.h"

json_t *check_add(json_t *findings, const char *rule, const char *scenario, const char *text) {
    size_t i;
    json_t *there;
    const struct check_rule *known = check_rule_find(rule);
    json_array_foreach(findings, i, there) {
        if (strcmp(json_string_value(json_object_get(there, "rule")), rule) == 0 &&
            strcmp(json_string_value(json_object_get(there, "text")), text) == 0) {
            json_array_append_new(json_object_get(there, "scenarios"), json_string(scenario));
            return there;
        }
    }
    json_t *finding = json_pack("{s:s,s:s,s:[s],s:s}", "rule", rule, "level",
                                known && known->level == CHECK_WARNING ? "warning" : "error", "scenarios",
                                scenario, "text", text);
    json_array_append_new(findings, finding);
    return finding;
}

static json_t *result(const char *path, const struct plugin_desc *plugin, json_t *findings,
                      json_t *scenarios) {
    return json_pack("{s:s,s:s,s:o,s:o}", "plugin", plugin ? plugin->name : "", "path", path, "findings",
                     findings, "scenarios", scenarios);
}

/* The rule that about_check's words stand for (about.c). */
static const char *described_rule(const char *why) {
    return strstr(why, "disagrees with its manifest") || strstr(why, "in its manifest; name the file")
               ? "describe.manifest"
           : strstr(why, " option") || strstr(why, "has a choice without choices") ? "describe.option"
                                                                                   : "describe";
}

json_t *check_plugin(struct registry *registry, const char *path, const struct check_how *how) {
    json_t *findings = json_array(), *scenarios = json_array();
    char why[1024], file[4096];
    const struct plugin_desc *plugin = NULL;
    snprintf(file, sizeof(file), "%s%s", strchr(path, '/') ? "" : "./", path);
    if (!check_lint(file, findings))
        return result(path, NULL, findings, scenarios);
    plugin = registry_find(registry, file, why, sizeof(why));
    if (!plugin) {
        size_t skip = strncmp(why, file, strlen(file)) == 0 ? strlen(file) + 2 : 0;
        check_add(findings, described_rule(why + skip), "describe", why + skip);
        return result(path, NULL, findings, scenarios);
    }
    json_array_append_new(scenarios, json_string("lint"));
    json_array_append_new(scenarios, json_string("describe"));
    char cwd[4096];
    struct telex_bytes options;
    if (config_options(plugin, how->pairs, getcwd(cwd, sizeof(cwd)) ? cwd : "/", stderr, &options) != 0) {
        json_decref(findings);
        json_decref(scenarios);
        return NULL;
    }
    int err = 0;
    if (strcmp(plugin->class_id, TELEX_CLASS_STAGE) == 0)
        check_lives(how, plugin, options, findings, scenarios);
    else
        err = check_backend(plugin, how->pairs, options, how->reference, how->life_ms, findings, scenarios);
    free((void *)options.data);
    if (err < 0) {
        json_decref(findings);
        json_decref(scenarios);
        return NULL;
    }
    return result(path, plugin, findings, scenarios);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* check_process.h - scenarios of the conformance kit, each in a child process of its own. */
#ifndef HOST_CHECK_PROCESS_H
#define HOST_CHECK_PROCESS_H

#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>

#include "check.h"

struct check_scenario;

/* What a scenario has in its child. */
struct check_run {
    FILE *out;         /* to the parent */
    const void *table; /* the plugin's class */
    struct telex_bytes options;
    int life_ms; /* what a scenario may take */
    const void *arg;
    const struct check_scenario *scenario;
};

struct check_scenario {
    const char *name;
    void (*run)(struct check_run *run);
    bool (*fits)(const void *table); /* NULL: always */
};

/* Run all that fit until one hangs; append to findings and to the names of those run. arg: for the scenarios.
 */
void check_scenarios(const struct plugin_desc *plugin, struct telex_bytes options, int life_ms,
                     const struct check_scenario *all, size_t n, const void *arg, json_t *findings,
                     json_t *names);

/* Name the call that comes now: if the child ends in it, the finding says so. */
void check_say(const struct check_run *run, const char *call);

/* Say that a rule is broken; each rule once a child. [any] */
__attribute__((format(printf, 3, 4))) void check_report(FILE *out, const char *rule, const char *format, ...);
void check_vreport(FILE *out, const char *rule, const char *format, va_list args);

/* Entries of a folder of /proc/self, waited for while it has more than `wanted`: threads end a moment after
 * they are joined. */
size_t check_settled_count(const char *folder, size_t wanted);

#endif

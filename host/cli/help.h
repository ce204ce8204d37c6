/* SPDX-License-Identifier: Apache-2.0 */
/* help.h - the tables behind --help, as JSON. docs/manpages.py makes the manuals of them, so a manual cannot
 * differ from what --help says. */
#ifndef HOST_CLI_HELP_H
#define HOST_CLI_HELP_H

#include <argp.h>
#include <stdbool.h>

/* A command below another; a list ends with a zeroed one. */
struct help_below {
    const char *name, *args, *doc;
    int (*run)(int argc, char **argv); /* its argv[0] is its whole name */
};

/* Whether the only argument is --help-json. */
bool help_wanted(int argc, char **argv);

/* Print {"name","commands":[{"name","args","doc"}]}, and with an argp "args", "doc" and "after" (the text
 * before and behind the options) and "options":[{"names":[],"arg","doc"}]; an option without names is the
 * heading of a group. */
void help_json(const struct argp *argp, const char *name, const struct help_below *below);

#endif

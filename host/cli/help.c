/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - `--help-json`: what --help says, from the same tables, for programs that write manuals. */
#include "help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* A copy of the text up to or behind the \v that argp takes as "after the options". */
static json_t *part(const char *doc, bool after) {
    const char *mark = doc ? strchr(doc, '\v') : NULL;
    if (after)
        return json_string(mark ? mark + 1 : "");
    return doc ? json_stringn(doc, mark ? (size_t)(mark - doc) : strlen(doc)) : json_string("");
}

static void add_name(json_t *names, const struct argp_option *option) {
    char text[80];
    if (option->key > 0 && option->key < 127 && isprint(option->key)) {
        snprintf(text, sizeof(text), "-%c", option->key);
        json_array_append_new(names, json_string(text));
    }
    if (option->name) {
        snprintf(text, sizeof(text), "--%s", option->name);
        json_array_append_new(names, json_string(text));
    }
}

static json_t *options_of(const struct argp *argp) {
    json_t *list = json_array(), *names = NULL;
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++) {
        if (o->flags & OPTION_HIDDEN)
            continue;
        if (!(o->flags & OPTION_ALIAS) || !names) {
            names = json_array();
            json_array_append_new(list, json_pack("{s:o,s:s,s:s}", "names", names, "arg",
                                                  o->arg ? o->arg : "", "doc", o->doc ? o->doc : ""));
        }
        add_name(names, o);
    }
    return list;
}

void help_json(const struct argp *argp, const char *name, const struct help_below *below) {
    json_t *commands = json_array();
    for (; below && below->name; below++)
        json_array_append_new(commands, json_pack("{s:s,s:s,s:s}", "name", below->name, "args", below->args,
                                                  "doc", below->doc));
    json_t *all = json_pack("{s:s,s:o}", "name", name, "commands", commands);
    if (argp) {
        json_object_set_new(all, "args", json_string(argp->args_doc ? argp->args_doc : ""));
        json_object_set_new(all, "doc", part(argp->doc, false));
        json_object_set_new(all, "after", part(argp->doc, true));
        json_object_set_new(all, "options", options_of(argp));
    }
    cli_print_json(all);
}

bool help_wanted(int argc, char **argv) {
    return argc == 2 && strcmp(argv[1], "--help-json") == 0;
}

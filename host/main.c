/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program `telex`: finds the command and hands over.
 *
 * Each command parses its own options and says its own exit code (cli/NAME.c). */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "loader.h"

static const struct help_below commands[] = {
    {"run", "CONFIG", "run a pipeline", cmd_run}, /* cli/run.c */
    {"validate", "CONFIG", "check a config: every error with file:line:column",
     cmd_validate},                                                                      /* cli/validate.c */
    {"graph", "CONFIG", "draw a pipeline as DOT", cmd_graph},                            /* cli/graph.c */
    {"plugins", "[NAME]", "list plugins, or show one's options and ports", cmd_plugins}, /* cli/plugins.c */
    {"plugin", "new NAME", "begin a plugin of your own", cmd_plugin},      /* cli/plugin_new.c */
    {"check", "PLUGIN.so", "does a plugin keep the contract?", cmd_check}, /* cli/check.c */
    {"stage", "NAME [-o KEY=VALUE]...", "one stage alone: JSONL in, JSONL out", cmd_stage}, /* cli/stage.c */
    {"replay", "CONFIG --stage NAME", "one stage again over what it was given",
     cmd_replay},                                                                        /* cli/replay.c */
    {"test", "FILE...", "pipelines against given records and planned faults", cmd_test}, /* cli/test.c */
    {"model", "COMMAND", "models: list, pull, show, tokenize, generate, bench, compare",
     cmd_model}, /* cli/model.c */
    {"dispatches", "CONFIG [DSP-ID]", "list dispatches, or one whole with its records",
     cmd_dispatches},                                                          /* cli/dispatches.c */
    {"explain", "CONFIG RECORD", "why a record is in its story", cmd_explain}, /* cli/explain.c */
    {"status", "CONFIG", "how a running pipeline is doing", cmd_status},       /* cli/status.c */
    {"audit", "CONFIG", "is every record accounted for?", cmd_audit},          /* cli/audit.c */
    {"quarantine", "list|retry|drop CONFIG", "records that could not pass",
     cmd_quarantine}, /* cli/quarantine.c */
    {"reload", "[--wait] CONFIG", "have a running pipeline read its config again",
     cmd_reload},                                                                      /* cli/reload.c */
    {"feeds", "CONFIG", "how the feeds that a pipeline follows are doing", cmd_feeds}, /* cli/feeds.c */
    {"schema", "", "JSON Schema of configs, for editors", cmd_schema},                 /* cli/schema.c */
    {0},
};

static void print_help(FILE *out) {
    fprintf(out, "Usage: telex COMMAND [ARGUMENT...]\n\ntelex runs a news wire: signal -> cluster -> write "
                 "-> wire.\n\n");
    for (const struct help_below *command = commands; command->name; command++)
        fprintf(out, "  %-11s %-24s %s\n", command->name, command->args, command->doc);
    fprintf(out, "\n`telex COMMAND --help` explains one. Exit codes: 0 fine, 1 failed, 2 usage, 77 not "
                 "trusted, 78 config.\n");
}

static int unknown(const char *name) {
    const char *names[sizeof(commands) / sizeof(*commands)];
    size_t n = 0;
    for (; commands[n].name; n++)
        names[n] = commands[n].name;
    const char *near = nearest_word(name, names, n);
    fprintf(stderr, "telex: no command '%.40s'; ", name);
    if (near)
        fprintf(stderr, "did you mean %s?\n", near);
    else
        fprintf(stderr, "see `telex --help`\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("telex %s (ABI %u.%u)\n", TELEX_VERSION, TELEX_ABI_MAJOR, TELEX_ABI_MINOR);
        return EXIT_FINE;
    }
    if (help_wanted(argc, argv))
        return help_json(NULL, "telex", commands), EXIT_FINE;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_FINE;
    }
    for (const struct help_below *command = commands; command->name; command++)
        if (strcmp(argv[1], command->name) == 0)
            return command->run(argc - 1, argv + 1);
    return unknown(argv[1]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model_commands.h - the commands of `telex model` that have a file of their own. As cli.h says. */
#ifndef HOST_CLI_MODEL_COMMANDS_H
#define HOST_CLI_MODEL_COMMANDS_H

int cmd_bench(int argc, char **argv);   /* model_bench.c */
int cmd_compare(int argc, char **argv); /* model_compare.c */
int cmd_embed(int argc, char **argv);
int cmd_perplexity(int argc, char **argv); /* model_perplexity.c */

#endif

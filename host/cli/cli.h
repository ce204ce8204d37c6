/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - the commands of the program `telex`.
 *
 * A command gets its own name as argv[0] and gives the program's exit code. It prints results on stdout,
 * everything else on stderr, and colours neither when it is no terminal. */
#ifndef HOST_CLI_H
#define HOST_CLI_H

#include <argp.h>
#include <jansson.h>

#include "../control.h"

/* Exit codes. */
enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNTRUSTED = 77, EXIT_CONFIG = 78 };

int cmd_run(int argc, char **argv);
int cmd_validate(int argc, char **argv);
int cmd_graph(int argc, char **argv);
int cmd_plugins(int argc, char **argv);
int cmd_plugin(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_stage(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_dispatches(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_quarantine(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_feeds(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_schema(int argc, char **argv);

/* argp_parse for a command: usage errors exit with EXIT_USAGE, --help shows "telex NAME". Returns 0 or an
 * exit code. */
int cli_parse(const struct argp *argp, int argc, char **argv, void *input);

/* Of a command that takes one argument, the keys of argp for it: *what becomes it; a second is refused with
 * `more`, none with `none`. ARGP_ERR_UNKNOWN for every other key. */
error_t cli_parse_one(int key, char *arg, struct argp_state *state, const char **what, const char *more,
                      const char *none);

/* The control socket of the pipeline that a config (*.yaml, *.yml) or a journal names; of a config only that
 * is read. 0, or an exit code after lines on stderr. */
int cli_socket(const char *what, char out[CONTROL_PATH_MAX]);

/* A registry over registry_default_dirs, or NULL with a line on stderr. */
struct registry;
struct registry *cli_registry(void);

/* The exit code of a config that was refused: UNTRUSTED where a plugin of its is not trusted, else CONFIG. */
int cli_config_code(const struct registry *registry);

/* A file or folder that belongs to the program: in the source tree when it runs from a build tree
 * (build/host/telex), else in the data folder of the installation. Gives the first that exists; NULL when
 * none does. */
char *cli_data_file(const char *in_source, const char *installed);

/* A member of an object, borrowed; `otherwise` and 0 where it is not there or is no such thing. */
const char *cli_text(const json_t *object, const char *key, const char *otherwise);
long long cli_int(const json_t *object, const char *key);

/* Print indented and end the line. Takes value. */
void cli_print_json(json_t *value);

#endif

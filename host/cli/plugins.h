/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.h - the commands below `telex plugins`. */
#ifndef HOST_CLI_PLUGINS_H
#define HOST_CLI_PLUGINS_H

#include "../trust.h"

/* Each gets its whole name, such as "plugins lock", as argv[0] and gives the exit code. */
int plugins_lock(int argc, char **argv);
int plugins_keygen(int argc, char **argv);
int plugins_sign(int argc, char **argv);
int plugins_verify(int argc, char **argv);

/* One word for a state: none, good, unknown or bad. */
const char *plugins_signature_word(const struct signature_report *report);

#endif

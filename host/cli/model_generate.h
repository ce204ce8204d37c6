/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_CLI_MODEL_GENERATE_H
#define HOST_CLI_MODEL_GENERATE_H

#include <stdio.h>

int cmd_generate(int argc, char **argv);

/* All of a stream, at most 16 MiB, with a zero behind it. Gives it; NULL with the reason printed. */
char *model_read_text(FILE *in, size_t *size);
/* The same of a file, or of standard input for "-". */
char *model_read_path(const char *path, size_t *size);

#endif

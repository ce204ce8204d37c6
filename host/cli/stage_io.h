/* SPDX-License-Identifier: Apache-2.0 */
/* stage_io.h - the two ends that `telex stage` puts around one stage: JSONL on stdin, JSONL on stdout. */
#ifndef HOST_CLI_STAGE_IO_H
#define HOST_CLI_STAGE_IO_H

#include <stdio.h>

#include <telex/stage.h>

/* A source that gives one message a line, and a sink that writes one. Only one of each in a process. */
extern const struct telex_stage stage_io_source, stage_io_sink;

/* What they read and write; name is for error lines. Call before the engine starts. */
void stage_io_setup(FILE *in, const char *name, FILE *out);

/* How many lines were no messages; each was named on stderr. */
unsigned stage_io_bad_lines(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* stage_io.h - the two ends that `telex stage` and `telex replay` put around one stage: JSONL or recorded
 * messages in, JSONL out. */
#ifndef HOST_CLI_STAGE_IO_H
#define HOST_CLI_STAGE_IO_H

#include <stdbool.h>
#include <stdio.h>

#include <telex/stage.h>

/* A source that gives one message a step, and a sink that writes a line for each. Only one of each in a
 * process. The source has an output for each input port of the stage, and a last one that leads nowhere: what
 * it puts there is only kept, for the stage to look up. */
enum { STAGE_IO_INPUTS = 7, STAGE_IO_KEPT = STAGE_IO_INPUTS };
extern const struct telex_stage stage_io_source, stage_io_sink;

/* A recorded message and where it goes. */
struct stage_io_message {
    struct telex_bytes body; /* borrowed until the next is asked for */
    uint32_t port;           /* of the source */
};

/* What they read and write; name is for error lines. Call before the engine starts. */
void stage_io_setup(FILE *in, const char *name, FILE *out);

/* The same with messages from elsewhere: `next` fills one and returns false at the end. */
void stage_io_setup_messages(bool (*next)(void *arg, struct stage_io_message *message), void *arg, FILE *out);

/* How many lines were no messages; each was named on stderr. */
unsigned stage_io_bad_lines(void);

#endif

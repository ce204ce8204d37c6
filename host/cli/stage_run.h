/* SPDX-License-Identifier: Apache-2.0 */
/* stage_run.h - one stage alone in this process, between the two ends of stage_io.h. */
#ifndef HOST_CLI_STAGE_RUN_H
#define HOST_CLI_STAGE_RUN_H

#include "../config.h"

/* Run a stage until its input is through. Call stage_io_setup first.
 *
 * stage: its name, options and models (indices into `models`); how it is isolated and how often it is tried
 * do not count: one process, one attempt. All borrowed. command: for lines on stderr. The program's exit
 * code: EXIT_FAILED when a message could not pass. */
int stage_run(const char *command, const struct telex_stage *class, const struct config_stage *stage,
              struct config_model *models, size_t n_models);

#endif

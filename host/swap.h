/* SPDX-License-Identifier: Apache-2.0 */
/* swap.h - a running pipeline takes on another config.
 *
 * A swap is a transaction over the stages that differ. First each new stage is created beside the old one,
 * which works on. Then the old ones are paused: no new input, and what is open may end until the drain time
 * is over; what is still open then is released and will be delivered again, and its late completion is
 * refused. Once everything of the old stages is committed, the new ones are started, so that what they read
 * of their state is all of it. When all have started, the edges are handed over under the engine's lock and
 * the old ones end. Until that moment any failure only ends the new stages, and the old ones go on as they
 * were.
 *
 * Stages that do not differ are not paused, edges keep what waits on them. */
#ifndef HOST_SWAP_H
#define HOST_SWAP_H

#include "engine.h"

/* What becomes of a stage of the new config. */
enum swap_act {
    SWAP_KEEP,    /* goes on, untouched */
    SWAP_REPLACE, /* another takes its place */
};

struct swap_result {
    bool done;        /* the new config runs */
    int64_t took_ms;  /* all of it */
    int64_t pause_ms; /* from the first pause of a stage to its work being taken up again */
    char why[1200];   /* why it is not done */
};

/* Swap engine->config for `to`, whose stages have the same names. `acts`: for each stage of `to`. Open steps
 * may end for drain_ms. `to` must live until no stage of the engine has it as its pipeline. One at a time, on
 * a thread that is neither the loop's nor a stage's. */
void swap_run(struct engine *engine, const struct config *to, const enum swap_act *acts, int64_t drain_ms,
              struct swap_result *result);

#endif

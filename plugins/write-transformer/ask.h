/* SPDX-License-Identifier: Apache-2.0 */
/* ask.h - hand a wave of prompts to the model and wait for all of them.
 *
 * The jobs of one wave do not depend on each other, so a backend may run them as one batch. */
#ifndef DESK_ASK_H
#define DESK_ASK_H

#include <telex/ext/models.h>

#include "prompt.h"

/* What jobs took and gave, in tokens and in passes; 0 where a backend does not count. */
struct ask_counts {
    uint32_t prompt, cached, output, passes, forced, drafted, accepted;
};

struct ask_job {
    struct prompt prompt;
    uint64_t seed;
    float temperature;
    /* what came of it */
    char *answer; /* the text of the JSON answer, in the arena; NULL: none that can be read */
    telex_status status;
    struct ask_counts counts;
    const char *error; /* in the arena; "" */
};

static inline void ask_count(struct ask_counts *sum, const struct ask_counts *more) {
    sum->prompt += more->prompt;
    sum->cached += more->cached;
    sum->output += more->output;
    sum->passes += more->passes;
    sum->forced += more->forced;
    sum->drafted += more->drafted;
    sum->accepted += more->accepted;
}

struct ask {
    const struct telex_host *host;     /* borrowed */
    const struct telex_models *models; /* borrowed */
    const char *model;                 /* the name under which the config binds it */
    telex_lease lease;
    int64_t timeout_ms; /* of one job */
    struct arena *arena;
};

/* Run the jobs. OK when each was answered or refused for itself (REJECT); RETRY, FATAL, CANCELLED, NOT_FOUND
 * or UNSUPPORTED when the model cannot be used now, with `why` set to text that lives in the arena. [strand]
 */
telex_status ask_all(const struct ask *ask, struct ask_job *jobs, size_t n, const char **why);

#endif

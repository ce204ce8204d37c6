/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/wait.h - ask a model and wait, for stages that think in a straight line. */
#ifndef TELEX_SDK_WAIT_H
#define TELEX_SDK_WAIT_H

#include <telex/ext/models.h>

/* A result that outlives its callback: owned, finish it with telex_answer_finish. */
struct telex_answer {
    struct telex_result result; /* text and error point into `memory` */
    void *memory;
};

/* Hand in a job and block until it is done. The job's own status (also in answer->result.status), or why it was not
 * accepted; answer is always finishable. Call it from process(), never from a done callback. [strand] */
telex_status telex_generate_wait(const struct telex_host *host, const struct telex_models *models, telex_lease lease,
                                 const char *name, const struct telex_job *job, struct telex_answer *answer);

void telex_answer_finish(struct telex_answer *answer);

#endif

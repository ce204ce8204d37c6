/* SPDX-License-Identifier: Apache-2.0 */
/* test_run.h - runs one planned test: the real engine in a child process, stages in their runners. */
#ifndef HOST_CLI_TEST_RUN_H
#define HOST_CLI_TEST_RUN_H

#include <jansson.h>

#include "test_plan.h"

/* How the host ended. */
struct test_outcome {
    int exit_code; /* of the last life; -1: it did not end by itself */
    int signal;    /* that ended it unplanned, or 0 */
    bool timed_out;
    unsigned lives;               /* of the host */
    json_t *status;               /* owned; what serve_status says at the end of the last life, or NULL */
    struct fault_page *pages[64]; /* by stage; NULL: no faults there */
};

/* Run it in `state`, which is emptied first. 0, or -1 after a line on stderr. test_outcome_finish after 0. */
int test_run(const struct test_plan *plan, const char *state, struct test_outcome *out);
void test_outcome_finish(struct test_outcome *outcome);

/* Remove a folder and all in it. */
void test_remove_tree(const char *path);

/* The source that gives the records of a plan (test_given.c): put it into the config in place of the
 * plugin's. In the child only; `source` must outlive the engine. */
void test_give(struct config_stage *stage, const struct test_source *source);

#endif

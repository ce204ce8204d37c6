/* SPDX-License-Identifier: Apache-2.0 */
/* test_expect.h - what a test expects, held against what happened.
 *
 *     expect:
 *       exit: 0                      # of the host; 0 when absent
 *       audit: clean                 # or `any`; clean when absent: nothing lost, nothing published twice
 *       quarantined: 0               # records; 0 when absent
 *       published: 1                 # dispatches, by the wire's events
 *       stages: {short: {steps: 3, outputs: 3, restarts: 1, retries: 0, failures: 1, quarantined: 0}}
 *       messages:
 *         - from: short              # stage or stage.port that put it out; absent: any
 *           schema: telex.record/1   # absent: any
 *           where: {title: {contains: Ardel}, "body.0.text": x}     # absent: all
 *           count: 3                 # absent: at least one
 *           ids: [a, b]              # exactly these, in this order
 *           each: {words: {at_least: 20}}                            # what all of them must be
 *       quarantine: [{stage: short, id: a, reason: {contains: "SIGSEGV"}}]
 *       log: ["recreating the instance"]
 *
 * A value is the value itself, or a mapping of contains, matches (an extended regular expression), absent,
 * at_least, at_most, one_of, length. A number is a number or at_least and at_most. */
#ifndef HOST_CLI_TEST_EXPECT_H
#define HOST_CLI_TEST_EXPECT_H

#include "test_run.h"

/* Check the notation of an expectation, so that a bad one is an error and no failure. */
void test_expect_check(const struct test_plan *plan, const char *path, struct config_errors *errors);

/* What is not as expected: [{"line","column","path","text","detail":[lines]}], in the order of the file.
 * Gives a reference; NULL after a line on stderr. */
json_t *test_expect(const struct test_plan *plan, const char *state, const struct test_outcome *outcome);

#endif

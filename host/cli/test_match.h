/* SPDX-License-Identifier: Apache-2.0 */
/* test_match.h - one expected value against one that came. */
#ifndef HOST_CLI_TEST_MATCH_H
#define HOST_CLI_TEST_MATCH_H

#include "test_plan.h"

enum { MATCH_WHY_BYTES = 400 };

/* Does `got` (NULL: it is absent) satisfy what `want` says? Otherwise `why` gets "is X, not Y". */
bool match_value(const struct node *want, const json_t *got, char why[MATCH_WHY_BYTES]);

/* All of a mapping of dotted paths; `why` names the first that differs. */
bool match_all(const struct node *want, const json_t *message, char why[MATCH_WHY_BYTES]);

/* Check the notation: matchers known, patterns well formed, numbers numbers. */
void match_check(const struct node *want, const char *path, struct config_errors *errors);
void match_check_all(const struct node *want, const char *path, struct config_errors *errors);

/* "3", "at least 2 and at most 4": for messages. */
void match_describe(const struct node *want, char *out, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* fail.h - one sentence that says which file, what, where, and what to do.
 *
 * Functions that open or check things fill a struct model_fail and return a negative errno;
 * nothing here allocates, so an out-of-memory message always comes through. */
#ifndef TELEX_MODEL_FAIL_H
#define TELEX_MODEL_FAIL_H

struct model_fail {
    char text[640];
};

/* Write the sentence and return `err` (a negative errno), so that a caller can say `return model_fail(...)`.
 * `fail` may be NULL. */
__attribute__((format(printf, 3, 4))) int model_fail(struct model_fail *fail, int err, const char *format,
                                                     ...);

#endif

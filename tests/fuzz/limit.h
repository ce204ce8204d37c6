/* SPDX-License-Identifier: Apache-2.0 */
/* limit.h - a fuzzed input must not make a program allocate beyond what its own size explains.
 *
 * Counts what is allocated, through the sanitizer's hooks where there is one (elsewhere it counts nothing).
 */
#ifndef TESTS_FUZZ_LIMIT_H
#define TESTS_FUZZ_LIMIT_H

#include <stddef.h>

/* From now on at most `bytes` may be held beyond what is held now; more ends the program with a message. */
void limit_begin(size_t bytes);
void limit_end(void);

#endif

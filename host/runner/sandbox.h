/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - what a runner can no longer do once it is inside: everything that the plugin did not declare.
 *
 * The host says on the command line what the stage and its models need and which paths their options name; the bounds
 * close before the first thread starts and before any file of theirs is loaded, and cannot be opened again. Where the
 * kernel lacks a part, that part is left out and named. */
#ifndef RUNNER_SANDBOX_H
#define RUNNER_SANDBOX_H

#include <stddef.h>

/* Words of the command line. */
#define SANDBOX_OFF   "sandbox=off"
#define SANDBOX_NEEDS "needs=" /* comma-joined, perhaps empty */
#define SANDBOX_READ  "read="  /* a path to read below, and to load code from; several */
#define SANDBOX_WRITE "write=" /* a path to write below; several */

/* Close the bounds that `words` ask for (n of them). Single-threaded. `lacks` gets what the kernel has not, "" when
 * nothing. 0, or a negative errno when a bound that the kernel has cannot be closed: the runner must not go on. */
int sandbox_enter(char *const *words, int n, char *lacks, size_t lacks_size);

#endif

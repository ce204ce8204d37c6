/* SPDX-License-Identifier: Apache-2.0 */
/* surroundings.h - what all of a process shares and a plugin leaves as it found it.
 *
 * The locale, how SIGTERM, SIGINT, SIGHUP and SIGPIPE are taken, descriptors 0 to 2; and of its thread the
 * signal mask and the locale. A host notes them before the first plugin call, looks again after calls, and
 * puts right what has changed. */
#ifndef HOST_SURROUNDINGS_H
#define HOST_SURROUNDINGS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Note how the process stands. Once, before plugins run. */
void surroundings_note(void);

/* What belongs to one thread. */
struct thread_surroundings {
    sigset_t mask;
    bool noted;
};
void surroundings_note_thread(struct thread_surroundings *own);

/* Look on the thread that plugin code has just left, and put right what it changed. False: nothing. Else
 * `what` says it, and *shared whether another thread may have done it. */
bool surroundings_mend(const struct thread_surroundings *own, char *what, size_t size, bool *shared);

#endif

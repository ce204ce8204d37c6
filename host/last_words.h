/* SPDX-License-Identifier: Apache-2.0 */
/* last_words.h - what a process says on stderr before it dies of a signal: which, where, the stack. */
#ifndef HOST_LAST_WORDS_H
#define HOST_LAST_WORDS_H

#include <telex/abi.h>

/* Once a process. `where`, or NULL: says what the dying thread was doing; only last_words_say in it. Does
 * nothing under a sanitizer, which has last words of its own. */
void last_words_install(void (*where)(void));

/* A stack of its own for the handler of this thread, so that an overflow of the thread's is heard too. */
void last_words_thread_begin(void);
void last_words_thread_end(void);

/* One write to stderr, safe in a handler. */
void last_words_say(const char *text);
void last_words_say_bytes(struct telex_bytes text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* calling.h - which plugin a thread of the host is in: for lines that name a broken rule, and for last words.
 *
 * A strand says so around every call. The names of rules are those of `telex check --rules`, with
 * life.surroundings (surroundings.h), loan.size and thread.control beside them. docs/misbehaviour.md has all.
 */
#ifndef HOST_CALLING_H
#define HOST_CALLING_H

#include "engine.h"
#include "surroundings.h"

/* This thread is in a call of the instance, of the plugin's own code; calling_leave looks what it changed.
 * Not for the proxy of a runner. Called without a lock. */
void calling_enter(struct instance *instance, const char *call);
void calling_leave(void);

/* Within a call of process(): the record, borrowed until the next or calling_leave. */
void calling_record(struct telex_rec *rec);
void calling_done(void); /* the record is let go of */
/* After a call of process(): look what the calls since the last look changed when a clock tick has passed,
 * when the batch is small, or when the stage was caught before. */
void calling_recorded(bool ticked);
void calling_look(void); /* now */

/* A plugin broke a rule: one line that names plugin, rule and record, as far as lease or thread tell which.
 * At most a bounded number of lines a second and stage. Gives INVALID. Called without a lock. [any] */
__attribute__((format(printf, 4, 5))) telex_status rule_broken(struct instance *instance, const char *rule,
                                                               telex_lease lease, const char *format, ...);

/* True when the calling thread is in a call of the instance. */
bool calling_is_in(const struct instance *instance);

/* True, and said as life.after-stop, when the instance has ended: only a thread it left behind can call then.
 */
bool calling_is_late(struct instance *instance, const char *call);

/* Once a process, before plugins are loaded: name the plugin when it ends the process, by a signal or exit().
 */
void calling_install_last_words(void);

#endif

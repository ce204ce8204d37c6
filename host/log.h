/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line per happening, on stderr: who, which record, what, and what happens next.
 *
 * As text ("11:03:44.120 warn  write: story 41: out of room; sent as it stands") or, with LOG_JSON, one JSON
 * object a line with ts, level, who, lease, record and text. Never blocks the caller for longer than one
 * write. [any] */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include <stdbool.h>

#include <telex/abi.h>

/* Lines below `level` are dropped. Call once, before the first line. */
void log_setup(int32_t level, bool json);
int32_t log_level(void);

/* "debug", "info", "warn", "error"; -1 for anything else. */
int32_t log_level_parse(const char *text);

/* who: a stage's name or "host". record: the id a line is about, or empty. Control characters are shown
 * escaped. */
void log_text(int32_t level, const char *who, struct telex_bytes record, struct telex_bytes text);

__attribute__((format(printf, 3, 4))) void log_say(int32_t level, const char *who, const char *format, ...);

#endif

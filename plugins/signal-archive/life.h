/* SPDX-License-Identifier: Apache-2.0 */
/* life.h - the calls of the stage, in the order of a life (life.c). */
#ifndef SIGNAL_ARCHIVE_LIFE_H
#define SIGNAL_ARCHIVE_LIFE_H

#include "archive.h"

enum { ARCHIVE_BATCH_MAX = 256 };

extern const struct telex_option *const archive_options[]; /* plugin.c */

telex_status archive_create(const struct telex_host *host, struct telex_bytes options, void **self);
telex_status archive_start(void *self);
void archive_on_credit(void *self);
void archive_on_timer(void *self, uint64_t timer);
void archive_drain(void *self, int64_t deadline_ms);
void archive_destroy(void *self);

#endif

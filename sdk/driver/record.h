/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - jobs written down, one line of JSON each, to be run again elsewhere.
 *
 * A line holds the whole job (messages, schema, drafts, sampler, seed, limits), its outcome with the token
 * ids, and when it came: `n` jobs were handed in before it, of which `done_before` were done. Jobs with equal
 * `done_before` and `n` - that is, with none open - begin a wave. */
#ifndef SDK_DRIVER_RECORD_H
#define SDK_DRIVER_RECORD_H

#include <stdio.h>

#include "job.h"

struct json_t;

/* What is known when a job is handed in. NULL: out of memory. The caller frees it with record_drop. [any] */
struct json_t *record_begin(const struct telex_job *asked);
void record_drop(struct json_t *record);

/* Add the place in the order. */
void record_place(struct json_t *record, uint64_t n, uint64_t done_before);

/* Add the outcome and append the line. Takes the record. 0 or a negative errno. */
int record_end(struct json_t *record, const struct job *job, FILE *file);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - the assignment log in the host's key-value store.
 *
 * Keys: "schema" (layout version), "clock", "e" + 16 hex digits of a seq (one event), "m" + 16 hex digits of
 * a story's seq (its memory). Records themselves are not kept: they are read through the host by id and
 * version. */
#ifndef CLUSTER_STATE_H
#define CLUSTER_STATE_H

#include <telex/ext/kv.h>

#include "cluster.h"

struct state {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed; NULL: nothing is kept */
    telex_lease lease;             /* of the step in hand */
};

/* Write one change of the step in hand. 0 or a negative errno. [strand] */
int state_put_event(const struct state *state, const struct cluster_event *event);
int state_put_memory(const struct state *state, const struct cluster_memory *memory);
int state_put_clock(const struct state *state, uint64_t next_seq, int64_t clock_ms);
int state_drop_event(const struct state *state, uint64_t seq);
int state_drop_memory(const struct state *state, uint64_t story);

/* Rebuild a new cluster from what is committed. 0, -EBADMSG with the reason logged, -ENOMEM. [strand] */
int state_restore(const struct state *state, struct cluster *cluster);

/* The fields of a telex.record/1 that the core reads, pointing into `body`. */
struct telex_map;
void state_read_record(const struct telex_map *map, struct cluster_record *record);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* journal_memory.h - what stands behind `durability: memory`: messages by id, for as long as the process
 * lives.
 *
 * Bounded: beyond MEMORY_MAX_BYTES the oldest are forgotten. The caller holds the journal's read lock. */
#ifndef HOST_JOURNAL_MEMORY_H
#define HOST_JOURNAL_MEMORY_H

#include "record.h"

enum { MEMORY_MAX_BYTES = 64 << 20 };

struct memory_store;

struct memory_store *memory_create(void);
void memory_destroy(struct memory_store *store); /* accepts NULL */

/* Say that a message will be put in soon. */
void memory_expect(struct memory_store *store, struct telex_rec *rec);
/* Keep a reference to a message that was expected; it is put in once. */
void memory_put(struct memory_store *store, struct telex_rec *rec);

/* The newest version when version is UINT64_MAX. Gives a reference; NULL when there is none. */
struct telex_rec *memory_get(struct memory_store *store, const char *schema, struct telex_bytes id,
                             uint64_t version);

#endif

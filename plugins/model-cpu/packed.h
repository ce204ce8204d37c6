/* SPDX-License-Identifier: Apache-2.0 */
/* packed.h - packed weights on disk, so that a model opens without being packed again.
 *
 * A folder holds two kinds of files:
 *
 *   SHA256-LAYOUT.pack   the packed matrices of the GGUF file with that hash: a header of 4096 bytes, then
 *                        what the memory holds. Mapped read-only, shared by every process that opens it.
 *   DEV-INODE-SIZE-MTIME-CTIME.sha256   the hash of a file that has these marks, written twice, so that the
 *                        file need not be read to be recognised.
 *
 * Files appear whole or not at all: they are written beside their place, synced and renamed. A packed file
 * that is short, damaged (a checksum over all of it is computed on every open) or of another layout is
 * removed and counts as absent. When the folder holds more than its limit, the packed files used longest ago
 * go first; whoever maps one holds a shared lock on it (flock), and a file in use stays, over the limit if it
 * must be. Nothing here is an error for the caller: without the cache a model is packed in memory. */
#ifndef TELEX_PACKED_H
#define TELEX_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "pool.h"

enum { PACKED_LAYOUT = 2 /* grows whenever matrix.h lays something out differently */ };

struct packed_cache {
    char dir[4096];
    uint64_t min_bytes; /* smaller models are packed faster than they are looked up */
    uint64_t max_bytes; /* of all packed files together */
};

/* The user's own cache: $XDG_CACHE_HOME/telex/packed, models of 32 MiB and more, 16 GiB in all until
 * the caller says otherwise. False
 * without a home folder. */
bool packed_default(struct packed_cache *cache);

/* The hash in hex of a file with these marks, if it is known. */
bool packed_sha256(const struct packed_cache *cache, const struct stat *marks, char sha256[65]);
void packed_note_sha256(const struct packed_cache *cache, const struct stat *marks, const char *sha256);

/* The n_bytes of packed weights of that file, read-only, or NULL. *in_use becomes the descriptor that holds
 * the lock; packed_unmap takes both. */
void *packed_map(const struct packed_cache *cache, const char *sha256, size_t n_bytes, struct pool *pool,
                 int *in_use);
void packed_unmap(void *weights, size_t n_bytes, int in_use);

/* Keep these weights. 0 or negative errno, when they could not be kept. */
int packed_keep(const struct packed_cache *cache, const char *sha256, const void *weights, size_t n_bytes,
                struct pool *pool);

#endif

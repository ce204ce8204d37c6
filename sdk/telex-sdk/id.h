/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/id.h - deterministic ids. */
#ifndef TELEX_SDK_ID_H
#define TELEX_SDK_ID_H

#include <telex/abi.h>

/* The first 128 bits of SHA-256 over the parts as 32 lower-case hex digits and a zero. Each part is preceded by its
 * length as eight big-endian bytes, so that no two lists of parts collide by concatenation. `kind` keeps the ids of
 * different things apart ("record", "story", "dispatch"). [any] */
void telex_id(char out[33], const char *kind, const struct telex_bytes *parts, uint32_t n_parts);

/* SHA-256 of some bytes as 64 hex digits and a zero. [any] */
void telex_sha256_hex(char out[65], struct telex_bytes data);

#endif

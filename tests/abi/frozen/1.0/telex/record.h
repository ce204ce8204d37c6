/* SPDX-License-Identifier: Apache-2.0 */
/* telex/record.h - what travels between stages.
 *
 * A record is immutable, counted and in the host's memory. Its body is one msgpack map whose keys are text;
 * three of them mean something to the host: "schema" (text, such as "telex.story/1"), "id" (text of 1 to 64 bytes)
 * and "version" (unsigned, 0 when absent). A message's identity is (id, version). Keys that a stage does not know
 * pass through it untouched when it forwards the record. */
#ifndef TELEX_RECORD_H
#define TELEX_RECORD_H

#include "abi.h"

struct telex_rec; /* the host's; counted */

/* A look into a record. Valid while the caller holds the record: inside process(), or between retain and release. */
struct telex_view {
    uint32_t size, flags;
    uint64_t version;
    struct telex_bytes schema, id, body;
};

/* Room for one output: write at most `capacity` bytes at data, then commit or abandon. */
struct telex_loan {
    uint32_t size;
    uint32_t port; /* index into the stage's outputs */
    uint64_t handle;
    uint64_t capacity;
    uint8_t *data;
};

/* Bounds that the host enforces on every body. */
enum {
    TELEX_BODY_MAX_BYTES = 16 << 20,
    TELEX_BODY_MAX_DEPTH = 32,
    TELEX_ID_MAX_BYTES = 64
};

#endif

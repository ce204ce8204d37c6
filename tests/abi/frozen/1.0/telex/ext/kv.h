/* SPDX-License-Identifier: Apache-2.0 */
/* telex/ext/kv.h - "telex.kv/1": the only state a stage may keep.
 *
 * One namespace per stage of a pipeline, ordered by key. Changes belong to a step and commit with it; reads under a
 * lease see that step's own changes. lease 0 reads what is committed. A stage that writes declares
 * TELEX_STAGE_STATEFUL. Keep a "schema" key with the version of your own layout. */
#ifndef TELEX_EXT_KV_H
#define TELEX_EXT_KV_H

#include "../host.h"

#define TELEX_KV "telex.kv/1"

enum { TELEX_KV_KEY_MAX_BYTES = 256, TELEX_KV_VALUE_MAX_BYTES = 16 << 20 };

struct telex_kv {
    uint32_t size;
    /* Copy at most `capacity` bytes of the value to out. Returns its whole size, or NOT_FOUND, INVALID. [any] */
    int64_t (*get)(const struct telex_host *host, telex_lease lease, struct telex_bytes key, void *out,
                   uint64_t capacity);
    /* Both borrowed. OK, LIMIT, INVALID (no lease). [any] */
    telex_status (*put)(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                        struct telex_bytes value);
    /* Forget a key; OK also where there was none. [any] */
    telex_status (*del)(const struct telex_host *host, telex_lease lease, struct telex_bytes key);
    /* Call visit for each key that begins with prefix, in byte order, on this thread, until it returns non-zero.
     * Key and value are borrowed for the call; visit makes no kv call. OK, or INVALID. [any] */
    telex_status (*scan)(const struct telex_host *host, telex_lease lease, struct telex_bytes prefix,
                         int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value),
                         void *arg);
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/message.h - read and build the msgpack maps that travel between stages.
 *
 * Reading: telex_map_open scans a body first, so that a hostile size never reaches an allocation, then hands out
 * msgpack-c objects. Building: a telex_builder grows a body and commits it. Both are plain values of the caller;
 * nothing here is shared between threads. */
#ifndef TELEX_SDK_MESSAGE_H
#define TELEX_SDK_MESSAGE_H

#include <stdbool.h>
#include <string.h>

#include <msgpack.h>

#include <telex/host.h>

static inline struct telex_bytes telex_text(const char *text) {
    struct telex_bytes bytes = {(const uint8_t *)text, text ? strlen(text) : 0};
    return bytes;
}

static inline bool telex_bytes_equal(struct telex_bytes a, const char *b) {
    return a.size == strlen(b) && memcmp(a.data, b, a.size) == 0;
}

/* 0 when body is exactly one msgpack map with text keys, at most TELEX_BODY_MAX_DEPTH deep, that claims no more
 * elements than it has bytes; -EBADMSG otherwise, -E2BIG over TELEX_BODY_MAX_BYTES. Allocates nothing. */
int telex_scan(struct telex_bytes body);

/* The same, and what the host reads of a message: schema and id stay empty and version 0 where the map has none of
 * that type. All borrowed from body. */
struct telex_head {
    struct telex_bytes schema, id;
    uint64_t version;
};
int telex_scan_head(struct telex_bytes body, struct telex_head *head);

/* ---- reading ---- */

struct telex_map {
    msgpack_unpacked unpacked; /* owned */
    const msgpack_object *root;
};

/* Open a body, which must outlive the map (text points into it). 0, -EBADMSG, -E2BIG or -ENOMEM. */
int telex_map_open(struct telex_map *map, struct telex_bytes body);
void telex_map_close(struct telex_map *map); /* accepts a zeroed map */

/* The value under key, or NULL. `map` may be NULL or no map. */
const msgpack_object *telex_map_find(const msgpack_object *map, const char *key);

/* Typed reads; a missing key or another type gives the empty or the `otherwise` value. */
struct telex_bytes telex_map_text(const msgpack_object *map, const char *key);
int64_t telex_map_int(const msgpack_object *map, const char *key, int64_t otherwise);
double telex_map_real(const msgpack_object *map, const char *key, double otherwise);
bool telex_map_flag(const msgpack_object *map, const char *key, bool otherwise);
/* The array under key; *count is 0 and the result NULL where there is none. */
const msgpack_object *telex_map_array(const msgpack_object *map, const char *key, uint32_t *count);
/* The text of an object that is one; empty otherwise. */
struct telex_bytes telex_object_text(const msgpack_object *object);

/* ---- building ---- */

struct telex_builder {
    msgpack_sbuffer buffer; /* owned */
    msgpack_packer packer;
    struct {
        size_t at;
        uint32_t count;
    } open[TELEX_BODY_MAX_DEPTH];
    uint32_t depth;
    bool broken; /* out of memory or nested too deep; commit will say so */
};

void telex_build_init(struct telex_builder *b);
void telex_build_finish(struct telex_builder *b); /* frees; accepts a zeroed builder */

/* A map between begin and end; its entries are counted by the keys. */
void telex_build_map_begin(struct telex_builder *b);
void telex_build_map_end(struct telex_builder *b);
void telex_build_key(struct telex_builder *b, const char *key);
void telex_build_array(struct telex_builder *b, uint32_t count); /* exactly count values follow */

void telex_build_bytes(struct telex_builder *b, struct telex_bytes text); /* as text */
void telex_build_text(struct telex_builder *b, const char *text);       /* NULL: nil */
void telex_build_int(struct telex_builder *b, int64_t value);
void telex_build_real(struct telex_builder *b, double value);
void telex_build_flag(struct telex_builder *b, bool value);
void telex_build_nil(struct telex_builder *b);
void telex_build_object(struct telex_builder *b, const msgpack_object *object); /* a copy */

/* What has been built so far, borrowed until the next build call. */
struct telex_bytes telex_build_body(const struct telex_builder *b);

/* Loan, copy, commit: one message on an output port of a step. The builder can be finished or reused after.
 * What loan and commit return. [any] */
telex_status telex_build_commit(struct telex_builder *b, const struct telex_host *host, telex_lease lease,
                                uint32_t port);

#endif

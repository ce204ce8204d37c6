/* SPDX-License-Identifier: Apache-2.0 */
/* draft.c - the index of draft.h: chains of places by the four bytes before them.
 *
 * A place p stands for "behind byte p - 1". Places are chained from the newest to the oldest, so a search
 * meets the text put out first, then the drafts, then the messages from the last to the first; a later find
 * must be longer. */
#include "draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKED_AT_MAX = 64 /* places of one chain */ };

static uint32_t bucket_of(const struct draft_index *x, uint32_t place) {
    uint32_t key;
    memcpy(&key, x->bytes + place - DRAFT_KEY_BYTES, sizeof(key));
    return (key * 0x9E3779B1u >> 12) & (x->n_buckets - 1);
}

static int reserve(struct draft_index *x, size_t more) {
    if (x->capacity - x->n >= more)
        return 0;
    size_t capacity = (x->n + more) * 2;
    uint8_t *bytes = realloc(x->bytes, capacity);
    if (!bytes)
        return -ENOMEM;
    x->bytes = bytes;
    uint32_t *older = realloc(x->older, (capacity + 1) * sizeof(*older));
    if (!older)
        return -ENOMEM;
    x->older = older;
    x->capacity = (uint32_t)capacity;
    return 0;
}

/* There is room. */
static void append(struct draft_index *x, uint8_t byte) {
    x->bytes[x->n++] = byte;
    if (x->n < DRAFT_KEY_BYTES)
        return;
    uint32_t bucket = bucket_of(x, x->n);
    x->older[x->n] = x->newest[bucket];
    x->newest[bucket] = x->n + 1;
}

/* A text as it would be put out: in a JSON string control characters cannot stand, and two are escaped. */
static void append_source(struct draft_index *x, struct telex_bytes text, bool json, bool open, bool close) {
    if (json && open)
        append(x, '"');
    if (open && x->n_starts < DRAFT_STARTS_MAX)
        x->starts[x->n_starts++] = x->n;
    for (uint64_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (json && (byte == '"' || byte == '\\'))
            append(x, '\\');
        append(x, json && (byte < 0x20 || byte == 0x7f) ? ' ' : byte);
    }
    if (json && close)
        append(x, '"');
    x->ends[x->n_ends++] = x->n;
}

static struct telex_bytes cut(struct telex_bytes text, uint64_t most) {
    return (struct telex_bytes){text.data, text.data ? (text.size < most ? text.size : most) : 0};
}

/* The first of the messages that are kept, and how many bytes those have. */
static uint32_t first_message(const struct telex_job *job, uint64_t *n_bytes) {
    uint32_t first = job->n_messages;
    *n_bytes = 0;
    while (first > 0 && *n_bytes + job->messages[first - 1]->text.size <= DRAFT_MESSAGES_MAX)
        *n_bytes += job->messages[--first]->text.size;
    return first;
}

int draft_init(struct draft_index *x, const struct telex_job *job, bool json) {
    uint32_t n_drafts = job->drafts ? job->n_drafts : 0, first;
    uint64_t from_messages, from_drafts = 0;
    memset(x, 0, sizeof(*x));
    first = first_message(job, &from_messages);
    for (uint32_t i = 0; i < n_drafts && from_drafts < DRAFT_SOURCES_MAX; i++)
        from_drafts += cut(job->drafts[i], DRAFT_SOURCES_MAX - from_drafts).size + 1;
    for (x->n_buckets = 1024; x->n_buckets < from_messages + from_drafts && x->n_buckets < 1 << 17;)
        x->n_buckets *= 2;
    x->newest = calloc(x->n_buckets, sizeof(*x->newest));
    x->ends = calloc((size_t)job->n_messages + n_drafts + 1, sizeof(*x->ends));
    if (!x->newest || !x->ends || reserve(x, 2 * (from_messages + from_drafts) + 256) < 0) {
        draft_finish(x);
        return -ENOMEM;
    }
    for (; first < job->n_messages; first++)
        append_source(x, cut(job->messages[first]->text, DRAFT_MESSAGES_MAX), json, false, false);
    for (uint32_t i = 0; i < n_drafts && from_drafts > 0; i++) {
        struct telex_bytes draft = cut(job->drafts[i], from_drafts - 1);
        append_source(x, draft, json, true, draft.size == job->drafts[i].size);
        from_drafts -= draft.size + 1;
    }
    x->text_at = x->n;
    return 0;
}

void draft_finish(struct draft_index *x) {
    free(x->bytes);
    free(x->older);
    free(x->newest);
    free(x->ends);
    memset(x, 0, sizeof(*x));
}

int draft_extend(struct draft_index *x, const uint8_t *bytes, uint32_t n) {
    if (reserve(x, n) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        append(x, bytes[i]);
    return 0;
}

/* Bytes before a place that agree with the end of the text. */
static uint32_t agreement(const struct draft_index *x, uint32_t place) {
    uint32_t most = x->n - x->text_at, n = 0;
    most = most < place ? most : place;
    most = most < DRAFT_MATCH_MAX ? most : DRAFT_MATCH_MAX;
    while (n < most && x->bytes[place - 1 - n] == x->bytes[x->n - 1 - n])
        n++;
    return n;
}

/* How many sources end at or before a place. */
static uint32_t ended(const struct draft_index *x, uint32_t place) {
    uint32_t low = 0, high = x->n_ends;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->ends[middle] <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Nothing follows a place where a source ends. */
static bool is_end(const struct draft_index *x, uint32_t place) {
    uint32_t n = ended(x, place);
    return n > 0 && x->ends[n - 1] == place;
}

/* What follows a place, to the end of its source. */
static void follow(const struct draft_index *x, uint32_t place, struct draft_match *out) {
    uint32_t source = ended(x, place), end = source < x->n_ends ? x->ends[source] : x->n;
    out->bytes = x->bytes + place;
    out->n = end - place;
    out->whole = source < x->n_ends;
}

/* The longest agreement, and its place, of those that another byte than `except` follows (-1: any does). */
static uint32_t longest(const struct draft_index *x, int except, uint32_t *best_place) {
    uint32_t best = 0, looked = 0;
    for (uint32_t at = x->newest[bucket_of(x, x->n)]; at && looked < LOOKED_AT_MAX;
         at = x->older[at - 1], looked++) {
        uint32_t place = at - 1;
        uint32_t n = place == x->n ? 0 : agreement(x, place);
        if (n > best && !is_end(x, place) && x->bytes[place] != except) {
            best = n;
            *best_place = place;
        }
    }
    return best < DRAFT_KEY_BYTES ? 0 : best;
}

bool draft_find(const struct draft_index *x, struct draft_match *out) {
    uint32_t place = 0, other = 0;
    if (x->n - x->text_at < DRAFT_KEY_BYTES)
        return false;
    const uint32_t best = longest(x, -1, &place);
    if (best == 0)
        return false;
    follow(x, place, out);
    out->matched = best;
    out->rival = longest(x, x->bytes[place], &other);
    return out->n > 0;
}

bool draft_start(const struct draft_index *x, uint32_t i, struct draft_match *out) {
    if (i >= x->n_starts)
        return false;
    follow(x, x->starts[i], out);
    out->matched = out->rival = 0;
    return out->n > 0;
}

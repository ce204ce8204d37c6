/* SPDX-License-Identifier: Apache-2.0 */
/* emit.c - from an arrival to committed steps.
 *
 * A step holds at most BATCH records and what is remembered of them; the last step of an arrival also holds
 * what is remembered of the feed. If the process dies between two of them, the feed is asked again and the
 * records that were committed are known. */
#include "stage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define DAY_MS       (24 * 3600 * 1000ll)
#define VERSIONS_MAX 100 /* a page that changes at each look is not edited, it is generated */
#define REFRESH_DAYS 7

void arrival_free(struct arrival *arrival) {
    memory_finish(&arrival->memory);
    feed_finish(&arrival->feed);
    free(arrival);
}

void emit_push(struct stage *stage, struct arrival *arrival) {
    if (stage->last)
        stage->last->next = arrival;
    else
        stage->first = arrival;
    stage->last = arrival;
    stage->n_waiting++;
    emit_waiting(stage);
}

static uint32_t owner_of(const struct source *source) {
    char head[9] = {0};
    memcpy(head, source->key, 8);
    return (uint32_t)strtoul(head, NULL, 16);
}

static void short_sha(uint8_t out[8], const char *hex) {
    for (int i = 0; i < 8; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

/* What to do about a record: its version if it is to be given out, 0 if not. Updates its entry; `*changed`
 * says whether the entry is to be stored. */
static uint32_t version_of(struct stage *stage, const struct arrival *arrival, const struct record *record,
                           struct known **entry, bool *changed) {
    int32_t today = (int32_t)(arrival->fetched_ms / DAY_MS);
    uint8_t sha[8];
    struct known *known = known_find(&stage->known, record->id, true);
    *entry = known;
    *changed = false;
    if (!known)
        return 0;
    short_sha(sha, record->sha256);
    if (!known->version) {
        known->owner = owner_of(arrival->source);
    } else if (!memcmp(known->sha, sha, 8) || known->owner != owner_of(arrival->source) ||
               known->version >= VERSIONS_MAX) {
        *changed = today - known->day >= REFRESH_DAYS;
        known->day = *changed ? today : known->day;
        return 0;
    }
    memcpy(known->sha, sha, 8);
    known->version++;
    known->day = today;
    *changed = true;
    return known->version;
}

static telex_status give(struct stage *stage, telex_lease lease, const struct record *record,
                         uint32_t version) {
    struct telex_builder b;
    telex_build_init(&b);
    record_write(record, version, &b);
    telex_status status = telex_build_commit(&b, stage->host, lease, 0);
    telex_build_finish(&b);
    stage_count(stage, version > 1 ? stage->edits : stage->records, 1);
    return status;
}

/* One item. *given grows when it became a message. */
static telex_status emit_item(struct stage *stage, telex_lease lease, struct arrival *arrival, size_t i,
                              int *given) {
    const struct source *source = arrival->source;
    struct record record;
    struct record_source about = {
        .address = arrival->memory.url,
        .name = source->name,
        .outlet = source->outlet,
        .owner = source->owner,
        .primary = source->primary,
        .lang = source->lang,
        .fetched_ms = arrival->fetched_ms,
    };
    if (!record_fill(&record, &arrival->feed, i, &about))
        return TELEX_OK;
    if (stage->options.max_age_ms && record.published_ms < arrival->fetched_ms - stage->options.max_age_ms)
        return TELEX_OK;
    struct known *known;
    bool changed;
    uint32_t version = version_of(stage, arrival, &record, &known, &changed);
    if (!known)
        return TELEX_FATAL;
    telex_status status = changed ? state_put_known(stage, lease, record.id, known) : TELEX_OK;
    if (status != TELEX_OK || !version)
        return status;
    if (record.cut)
        telex_say(stage->host, TELEX_WARN, lease, "%s: record %s: text cut at %" PRId64 " bytes",
                  source->address, record.id, stage->options.text_bytes);
    ++*given;
    ++*(version > 1 ? &arrival->memory.edits : &arrival->memory.records);
    return give(stage, lease, &record, version);
}

/* One step of an arrival. *done when it was the last. */
static telex_status step(struct stage *stage, telex_lease lease, struct arrival *arrival, bool *done) {
    telex_status status = state_forget_some(stage, lease);
    if (status == TELEX_OK)
        status = state_list_some(stage, lease);
    int given = 0;
    for (int looked = 0;
         status == TELEX_OK && arrival->at < arrival->feed.n_items && given < BATCH && looked < 4096;
         arrival->at++, looked++)
        status = emit_item(stage, lease, arrival, arrival->at, &given);
    *done = arrival->at == arrival->feed.n_items;
    if (status == TELEX_OK && *done)
        status = state_put_source(stage, lease, arrival->source, &arrival->memory);
    return status == TELEX_OK ? state_put_domains(stage, lease) : status;
}

/* The arrival is stored: the feed may be asked again. */
static void finish(struct stage *stage, struct arrival *arrival) {
    struct source *source = arrival->source;
    stage->first = arrival->next;
    if (!stage->first)
        stage->last = NULL;
    stage->n_waiting--;
    memory_finish(&source->memory);
    source->memory = arrival->memory;
    arrival->memory = (struct memory){0};
    source->busy = false;
    source->stored = true;
    source->asked &= !arrival->again;
    list_settle(stage, source);
    arrival_free(arrival);
    poll_soon(stage);
}

void emit_waiting(struct stage *stage) {
    while (stage->first && !stage->broken && !atomic_load(&stage->stopping)) {
        telex_lease lease;
        bool done = false;
        if (stage->host->open(stage->host, &lease) != TELEX_OK)
            return; /* on_credit will wake us */
        telex_status status = step(stage, lease, stage->first, &done);
        telex_status taken =
            stage->host->complete(stage->host, lease, status == TELEX_OK ? TELEX_OK : TELEX_FATAL);
        if (status != TELEX_OK || taken != TELEX_OK) {
            stage->broken = true; /* what is in memory is ahead of the state: the host makes the stage anew */
            telex_say(stage->host, TELEX_ERROR, 0, "%s: a step failed with status %d",
                      stage->first->source->address, status != TELEX_OK ? status : taken);
            return;
        }
        if (done)
            finish(stage, stage->first);
    }
}

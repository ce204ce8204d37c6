/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c - when a story is reported, and what the report says.
 *
 * A story's gate opens once and stays open. An open story is handed over again when enough new reports
 * brought new facts; copies never count. A story that was ever handed over is also reported when it merges,
 * so that what was published about it can be corrected. */
#include "story.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_SAMPLE = 12, COPIES_QUIET = 64, REPORTS_QUIET = 512 };
static const int64_t BREAKING_SLOT_MS = 15 * 60 * 1000;
static const double FRESH_HALF_MS = 8 * 3600 * 1000.0;
static const double FACT_SHARE = 0.25;

uint32_t gate_independent(const struct story *story) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < story->n_outlets; i++)
        n += story->outlets[i].reports > 0;
    return n;
}

static bool gate_open(const struct cluster *cluster, const struct story *story) {
    const struct cluster_options *options = &cluster->options;
    if (story->memory.handed)
        return true;
    return (options->gate_outlets > 0 && gate_independent(story) >= options->gate_outlets) ||
           (options->gate_records > 0 && story->n_reports >= options->gate_records) ||
           (options->gate_primary && story->primary);
}

/* Whether a report says something that its story does not: a value, or a good share of telling terms. Asked
 * before it joins. */
bool gate_fact(struct cluster *cluster, const struct story *story, const struct record *record) {
    double known = 0, all = 0;
    if (record->likeness == CLUSTER_COPY)
        return false;
    for (uint32_t i = 0; i < record->n_terms; i++) {
        const struct record_term *term = &record->terms[i];
        double weight = score_rarity(cluster, &cluster->index.terms[term->term]) * term->weight;
        const struct story_term *entry = story_find(story, term->term);
        all += weight;
        known += entry ? weight : 0;
        if (!entry && term->kind == TEXT_NUMBER && term->weight >= TEXT_WEIGHT_ONE / 4)
            return true;
    }
    return all - known > FACT_SHARE * all;
}

/* Distinct outlets in the last hour against what the average live story gets in one, faded by age. */
static double breaking(const struct cluster *cluster, const struct story *story) {
    int64_t since = cluster->clock_ms - 4 * BREAKING_SLOT_MS;
    uint64_t seen[64];
    uint32_t outlets = 0;
    for (uint32_t i = story->n_members; i > 0 && i + 256 > story->n_members && outlets < 64; i--) {
        const struct record *record = story->members[i - 1];
        uint32_t k = 0;
        if (record->event_ms < since || record->likeness == CLUSTER_COPY)
            continue;
        while (k < outlets && seen[k] != record->outlet_key)
            k++;
        if (k == outlets)
            seen[outlets++] = record->outlet_key;
    }
    double expected = (double)cluster->n_records / (cluster->n_stories ? cluster->n_stories : 1) / 24;
    double root = 1 + expected / 2; /* near sqrt(1 + expected) for small rates */
    double age = (double)(cluster->clock_ms - story->last_ms) / FRESH_HALF_MS;
    double z = (outlets - expected) / root / (1 + age * age);
    return z > 0 ? (double)(int64_t)(z * 1000 + 0.5) / 1000 : 0;
}

/* The title of the report that is most like the story's profile. */
static struct text_slice label(const struct story *story) {
    uint32_t n = story->n_members < LABEL_SAMPLE ? story->n_members : LABEL_SAMPLE;
    const struct record *best = story->members[0];
    double top = -1;
    for (uint32_t i = 0; i < n; i++) {
        const struct record *record = story->members[(uint64_t)i * story->n_members / n];
        double sum = 0, all = 1;
        if (!record->title_len || record->likeness == CLUSTER_COPY)
            continue;
        for (uint32_t k = 0; k < record->n_terms; k++) {
            const struct story_term *entry = story_find(story, record->terms[k].term);
            if (record->terms[k].title && entry) {
                sum += entry->n * record->terms[k].weight;
                all += record->terms[k].weight;
            }
        }
        if (sum / all > top || !best->title_len) {
            top = sum / all;
            best = record;
        }
    }
    return record_title(best);
}

/* Fill everything that does not depend on why the story is reported. The arrays are the caller's. */
static void describe(struct cluster *cluster, const struct story *story, struct cluster_story *out,
                     struct text_slice *records, struct text_slice *outlets) {
    story_id(story, out->id);
    for (uint32_t i = 0; i < story->n_members; i++) {
        records[i] = record_id(story->members[i]);
        out->n_copies += story->members[i]->likeness == CLUSTER_COPY;
    }
    for (uint32_t i = 0; i < story->n_outlets; i++)
        outlets[i] = record_outlet(story->outlets[i].first);
    out->records = records;
    out->n_records = story->n_members;
    out->outlets = outlets;
    out->n_outlets = story->n_outlets;
    out->n_reports = story->n_reports;
    out->n_independent = gate_independent(story);
    out->n_copies += story->memory.copies;
    out->first_ms = story->first_ms;
    out->last_ms = story->last_ms;
    out->breaking = breaking(cluster, story);
    out->label = label(story);
}

static int send(struct cluster *cluster, struct story *story, struct cluster_story *out) {
    struct text_slice *slices = calloc((size_t)story->n_members + story->n_outlets, sizeof(*slices));
    if (!slices)
        return -ENOMEM;
    describe(cluster, story, out, slices, slices + story->n_members);
    out->version = ++story->memory.version;
    memcpy(out->split_from, story->memory.split_from, sizeof(out->split_from));
    int err = cluster->sink.story(cluster->sink.arg, out);
    free(slices);
    return err;
}

int gate_report(struct cluster *cluster, struct story *story, const char *reason, unsigned change) {
    bool open = gate_open(cluster, story);
    struct cluster_memory *memory = &story->memory;
    memory->facts += (change & GATE_FACT) != 0;
    bool due = open && (!memory->handed || memory->facts > 0) &&
               (double)story->n_reports - (double)memory->handed >=
                   cluster->options.gate_growth * (double)memory->handed;
    /* A flood is reported each time the story has grown by an eighth, which bounds the bytes. */
    uint32_t copies = story->n_members - story->n_reports;
    bool flood = change & GATE_COPY ? copies > COPIES_QUIET : story->n_members > REPORTS_QUIET;
    bool quiet = flood && story->n_members * 8ull < memory->reported * 9;
    bool mended = (change & GATE_MENDED) && memory->handed;
    bool all = cluster->options.emit[0] == 'a';
    int err = 0;
    if (due || mended || (all && !quiet)) {
        struct cluster_story out = {.state = "open",
                                    .gate = open ? "open" : "shut",
                                    .reason = due && !memory->handed ? "gate opened" : reason,
                                    .news = due || mended};
        memory->reported = story->n_members;
        if (due || mended) {
            memory->handed = story->n_reports;
            memory->facts = 0;
        }
        err = send(cluster, story, &out);
    }
    return err ? err : cluster->sink.remember(cluster->sink.arg, memory);
}

int gate_report_split(struct cluster *cluster, struct story *part) {
    bool open = gate_open(cluster, part);
    struct cluster_story out = {
        .state = "open", .gate = open ? "open" : "shut", .reason = "split", .news = open};
    int err = 0;
    if (open || cluster->options.emit[0] == 'a') {
        part->memory.reported = part->n_members;
        part->memory.handed = open ? part->n_reports : 0;
        err = send(cluster, part, &out);
    }
    return err ? err : cluster->sink.remember(cluster->sink.arg, &part->memory);
}

int gate_report_merged(struct cluster *cluster, struct story *gone, const struct story *into) {
    if (!gone->memory.version)
        return 0; /* nobody has heard of it */
    struct cluster_story out = {
        .state = "merged", .gate = "shut", .reason = "merged", .news = gone->memory.handed > 0};
    story_id(into, out.merged_into);
    return send(cluster, gone, &out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c - one record's way: read it, find its like, score, join or found, mend, report.
 *
 * Every change is applied by cluster_join or story_absorb, here and when the log is replayed, so that a
 * restored cluster is the one that was lost. Nothing that a decision reads lies outside live stories, the
 * clock and the counter. */
#include "story.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A candidate that met so much less than the first on the walk is not scored. */
static const double WALK_SHARE = 0.2;

static const uint64_t LOOK_BACK[] = {24, 96, 384};

int cluster_create(const struct cluster_options *options, const struct cluster_sink *sink,
                   struct cluster **out) {
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    if (!cluster)
        return -ENOMEM;
    cluster->options = *options;
    cluster->sink = *sink;
    cluster->next_seq = 1;
    cluster->rules = (struct text_rules){
        .lead_bytes = (uint32_t)options->lead_bytes,
        .title_word = TEXT_WEIGHT_ONE,
        .title_pair = 14,
        .title_name = options->names ? 14 : 0,
        .title_number = 35,
        .lead_word = 6,
        .lead_pair = 8,
        .lead_name = 13,
        .lead_number = 15,
        .name_rest = 8,
    };
    if (index_init(&cluster->index, (uint32_t)options->prior) != 0 || records_init(cluster) != 0) {
        cluster_destroy(cluster);
        return -ENOMEM;
    }
    *out = cluster;
    return 0;
}

void cluster_destroy(struct cluster *cluster) {
    if (!cluster)
        return;
    while (cluster->newest)
        story_free(cluster, cluster->newest);
    records_finish(cluster);
    index_finish(&cluster->index);
    free(cluster->stories);
    free(cluster->free_slots);
    free(cluster->walk);
    free(cluster->touched);
    free(cluster->by_seq);
    free(cluster);
}

void cluster_explain(struct cluster *cluster, const char *format, ...) {
    char line[768];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    cluster->sink.explain(cluster->sink.arg, line);
}

/* When it happened, as far as the record can be believed: not later than it was fetched. */
static int64_t event_time(const struct cluster *cluster, const struct cluster_record *record) {
    int64_t ms = record->published_ms > 0 ? record->published_ms : record->fetched_ms;
    if (record->fetched_ms > 0 && ms > record->fetched_ms)
        ms = record->fetched_ms;
    return ms > 0 ? ms : cluster->clock_ms;
}

int cluster_join(struct cluster *cluster, const struct cluster_event *event, struct record *record,
                 struct story **out) {
    struct story *story = story_by_seq(cluster, event->story);
    int err = -EBADMSG;
    if (!story && event->story != event->seq)
        goto undo_record;
    record->seq = event->seq;
    record->likeness = (uint8_t)event->likeness;
    record->like = event->like;
    cluster->clock_ms = event->clock_ms;
    err = -ENOMEM;
    if (!story)
        story = story_new(cluster, event->seq);
    if (!story || record_link(cluster, record) != 0 || story_add(cluster, story, record) != 0 ||
        story_note_event(story, event->seq) != 0)
        goto undo_record;
    story_touch(cluster, story);
    *out = story;
    return 0;
undo_record:
    if (!record->story)
        record_free(cluster, record);
    return err;
}

int cluster_forget_events(struct cluster *cluster, const struct story *story) {
    int err = cluster->sink.forget(cluster->sink.arg, story->seq);
    for (uint32_t i = 0; !err && i < story->n_events; i++)
        err = cluster->sink.forget(cluster->sink.arg, story->events[i]);
    return err ? err : cluster->sink.forget_memory(cluster->sink.arg, story->seq);
}

static int retire(struct cluster *cluster) {
    int64_t before = cluster->clock_ms - cluster->options.retire_ms;
    for (int n = 0; n < CLUSTER_RETIRED_MAX && cluster->oldest; n++) {
        struct story *story = cluster->oldest;
        bool full = cluster->n_records > (uint64_t)cluster->options.max_records;
        if (story->touched_ms >= before && !full)
            break;
        int err = cluster_forget_events(cluster, story);
        if (err)
            return err;
        if (cluster->sink.explain) {
            char name[33];
            story_id(story, name);
            cluster_explain(cluster, "story %.8s retires with %u records%s", name, story->n_members,
                            full ? ", for room" : "");
        }
        story_free(cluster, story);
    }
    return 0;
}

static void explain_join(struct cluster *cluster, const struct record *record, const struct candidate *best,
                         const char *decision) {
    if (!cluster->sink.explain)
        return;
    int id = (int)record->id_len;
    if (!best) {
        cluster_explain(cluster, "record %.*s: %s, no story shares enough", id, record_id(record).data,
                        decision);
        return;
    }
    char name[33];
    story_id(best->story, name);
    cluster_explain(
        cluster,
        "record %.*s and story %.8s (%u): %s, score %.3f of %.3f = profile %.3f, member %.3f (%.*s), "
        "evidence %.2f, time %.3f, contrast %.3f, form %.3f (%+.2f), accord +%.3f (%u), conflict -%.3f (%u), "
        "outlet "
        "-%.3f%s",
        id, record_id(record).data, name, best->story->n_reports, decision, best->score, best->need,
        best->profile, best->member, best->nearest ? (int)best->nearest->id_len : 0,
        best->nearest ? record_id(best->nearest).data : "", best->evidence, best->time, best->contrast,
        best->form, best->form_odds, best->accord, best->agree, best->conflict, best->contradict,
        best->outlet, best->recurs ? ", the same column on another day" : "");
}

static void why_line(struct cluster *cluster, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void why_line(struct cluster *cluster, const char *format, ...) {
    size_t room = sizeof(cluster->why) - cluster->why_size;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(cluster->why + cluster->why_size, room, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < room)
        cluster->why_size += (uint32_t)n;
}

/* Keep what was weighed: the weights, then the WHY_STORIES best stories that were looked at. */
static void keep_why(struct cluster *cluster, const struct candidate *found, uint32_t n) {
    enum { WHY_STORIES = 4 };
    const struct cluster_options *options = &cluster->options;
    bool told[CANDIDATES_MAX] = {false};
    why_line(cluster, "weights %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f\n", 1 - options->member,
             options->member, options->evidence, options->contrast, options->accord, options->conflict,
             options->same_outlet, options->column, options->form);
    for (uint32_t k = 0; k < n && k < WHY_STORIES; k++) {
        uint32_t at = 0;
        for (uint32_t i = 1; i < n; i++)
            at = told[at] || (!told[i] && found[i].score - found[i].need > found[at].score - found[at].need)
                     ? i
                     : at;
        const struct candidate *c = &found[at];
        char name[33];
        told[at] = true;
        story_id(c->story, name);
        char form[32] = "- -";
        if (c->formed)
            snprintf(form, sizeof(form), "%.3f %+.2f", c->form, c->form_odds);
        why_line(cluster, "%s %u %.3f %.3f %.2f %.3f %.3f %s %.3f %.3f %.3f %.3f %.3f %.*s\n", name,
                 c->story->n_reports, c->profile, c->member, c->evidence, c->time, c->contrast, form,
                 c->accord, c->conflict, c->outlet, c->score, c->need,
                 c->nearest ? (int)c->nearest->id_len : 1, c->nearest ? record_id(c->nearest).data : "-");
    }
}

/* The story that a record belongs to, or NULL: it founds its own. */
static struct story *choose(struct cluster *cluster, const struct record *record) {
    struct candidate found[CANDIDATES_MAX];
    uint32_t n = score_candidates(cluster, record, found), scored = 0;
    struct candidate *best = NULL;
    double walked = n ? found[0].score : 0, accord = 2 * cluster->options.accord;
    for (uint32_t i = 0; i < n && found[i].score >= WALK_SHARE * walked; i++) {
        if (!score_may_reach(cluster, &found[i], score_need(cluster, found[i].story) - accord))
            continue;
        struct candidate *candidate = &found[scored++];
        *candidate = found[i];
        score_join(cluster, record, candidate);
        if (!best || candidate->score - candidate->need > best->score - best->need)
            best = candidate;
    }
    bool joins = best && best->score >= best->need;
    if (cluster->sink.why)
        keep_why(cluster, found, scored);
    explain_join(cluster, record, best, joins ? "join" : "new");
    return joins ? best->story : NULL;
}

/* A record whose text is known already. */
static int count_copy(struct cluster *cluster, struct story *story, const struct record *record) {
    story->memory.copies++;
    if (cluster->sink.explain) {
        char name[33];
        story_id(story, name);
        cluster_explain(cluster, "record %.*s: counted as a copy in story %.8s, which lists %u records",
                        (int)record->id_len, record_id(record).data, name, story->n_members);
    }
    return cluster->sink.remember(cluster->sink.arg, &story->memory);
}

/* Stories that were founded some events ago are compared again: what they lacked may have come since. Which
 * ones depends on the counter alone, so that a replay looks at the same. */
static int look_again(struct cluster *cluster, uint64_t seq, const struct record *record) {
    for (size_t i = 0; i < sizeof(LOOK_BACK) / sizeof(LOOK_BACK[0]) && LOOK_BACK[i] < seq; i++) {
        struct story *story = story_by_seq(cluster, seq - LOOK_BACK[i]);
        uint64_t before = cluster->next_seq;
        if (!story || story == record->story)
            continue;
        int err = merge_around(cluster, &story);
        if (story != record->story)
            story->split_due = false; /* a story is looked at whole when a record joins it */
        if (!err && cluster->next_seq != before && story != record->story)
            err = gate_report(cluster, story, "merged", GATE_MENDED);
        if (err)
            return err;
    }
    return 0;
}

static int place(struct cluster *cluster, struct record *record) {
    enum cluster_likeness likeness;
    cluster->why_size = 0;
    const struct record *like = record_like(cluster, record, &likeness);
    struct story *story = like ? like->story : choose(cluster, record);
    record->likeness = (uint8_t)likeness;
    if (like && cluster->sink.explain) {
        char name[33];
        story_id(story, name);
        cluster_explain(cluster, "record %.*s and story %.8s (%u): %s of %.*s", (int)record->id_len,
                        record_id(record).data, name, story->n_reports,
                        likeness == CLUSTER_COPY ? "copy" : "revision", (int)like->id_len,
                        record_id(like).data);
    }
    if (likeness == CLUSTER_COPY && story->n_members >= cluster->options.max_listed) {
        int err = count_copy(cluster, story, record);
        record_free(cluster, record);
        return err;
    }
    bool fact = !story || gate_fact(cluster, story, record);
    struct cluster_event event = {.seq = cluster->next_seq++,
                                  .kind = CLUSTER_JOIN,
                                  .clock_ms = cluster->clock_ms,
                                  .record = record_id(record),
                                  .version = record->version,
                                  .likeness = likeness,
                                  .like = like ? like->seq : 0,
                                  .why = {cluster->why, cluster->why_size}};
    event.story = story ? story->seq : event.seq;
    const char *reason = !story ? "new" : likeness == CLUSTER_COPY ? "copy" : "joined";
    int err = cluster_join(cluster, &event, record, &story);
    if (!err)
        err = cluster->sink.event(cluster->sink.arg, &event);
    if (!err && likeness == CLUSTER_NEW && story->n_reports > 1)
        err = merge_around(cluster, &story);
    if (!err)
        err = look_again(cluster, event.seq, record);
    story = record->story;
    bool merged = cluster->next_seq != event.seq + 1;
    uint64_t before = cluster->next_seq;
    if (!err)
        err = split_check(cluster, &story);
    bool split = cluster->next_seq != before;
    unsigned change = (fact ? GATE_FACT : 0u) | (likeness == CLUSTER_COPY ? GATE_COPY : 0u) |
                      (merged || split ? GATE_MENDED : 0u);
    return err ? err : gate_report(cluster, story, split ? "split" : merged ? "merged" : reason, change);
}

static struct record *read_record(struct cluster *cluster, const struct cluster_record *from,
                                  int64_t event_ms) {
    struct cluster_record named = *from;
    const char *outlet = cluster->options.outlet;
    if (!named.outlet.len)
        named.outlet = (struct text_slice){outlet, strlen(outlet)};
    cluster->sketch_of = NULL;
    text_analyse(&cluster->doc, named.title, named.text, named.outlet, &cluster->rules);
    return record_new(cluster, &named, event_ms);
}

int cluster_add(struct cluster *cluster, const struct cluster_record *from) {
    if (from->id.len == 0 || from->id.len > CLUSTER_ID_BYTES)
        return -EINVAL;
    int64_t event_ms = event_time(cluster, from);
    if (event_ms > cluster->clock_ms)
        cluster->clock_ms = event_ms;
    int err = retire(cluster);
    if (err)
        return err;
    struct record *known = record_find(cluster, from->id);
    if (known) {
        if (from->version <= known->version)
            return 0;
        return gate_report(cluster, known->story, "edited", GATE_FACT);
    }
    struct record *record = read_record(cluster, from, event_ms);
    return record ? place(cluster, record) : -ENOMEM;
}

int cluster_restore_event(struct cluster *cluster, const struct cluster_event *event,
                          const struct cluster_record *from) {
    if (event->seq >= cluster->next_seq)
        cluster->next_seq = event->seq + 1;
    if (event->kind == CLUSTER_MERGE) {
        struct story *into = story_by_seq(cluster, event->into), *gone = story_by_seq(cluster, event->story);
        if (!into || !gone || into == gone)
            return -EBADMSG;
        cluster->clock_ms = event->clock_ms;
        int err = story_absorb(cluster, into, gone);
        if (!err)
            err = story_note_event(into, event->seq);
        if (!err)
            story_touch(cluster, into);
        into->split_due = false; /* what was due was done in the same step */
        return err;
    }
    if (event->record.len == 0 || event->record.len > CLUSTER_ID_BYTES)
        return -EBADMSG;
    struct cluster_record lost = {.id = event->record, .version = event->version};
    const struct cluster_record *source = from ? from : &lost;
    struct story *story;
    cluster->clock_ms = event->clock_ms;
    struct record *record = read_record(cluster, source, event_time(cluster, source));
    if (!record)
        return -ENOMEM;
    int err = cluster_join(cluster, event, record, &story);
    if (!err)
        story->split_due = false;
    return err;
}

int cluster_restore_memory(struct cluster *cluster, const struct cluster_memory *memory) {
    struct story *story = story_by_seq(cluster, memory->story);
    if (!story)
        return -EBADMSG;
    story->memory = *memory;
    return 0;
}

void cluster_restore_clock(struct cluster *cluster, uint64_t next_seq, int64_t clock_ms) {
    cluster->next_seq = next_seq;
    cluster->clock_ms = clock_ms;
}

uint64_t cluster_next_seq(const struct cluster *cluster) {
    return cluster->next_seq;
}

int64_t cluster_clock_ms(const struct cluster *cluster) {
    return cluster->clock_ms;
}

uint32_t cluster_live_stories(const struct cluster *cluster) {
    return cluster->n_stories;
}

uint32_t cluster_live_records(const struct cluster *cluster) {
    return cluster->n_records;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* split.c - stories that turn out to be several.
 *
 * Which records meet first depends on the order of arrival, and two that met early may have little in common
 * with what came of their story. When a story has doubled, its reports are compared with each other: those
 * that no chain of likeness ties to the founder leave, one story for each group that holds together. The
 * founder keeps the id. In the log the old events are taken back and every record joins anew, so that nothing
 * but joins and merges is ever replayed. */
#include "story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The report that one is most like, of some. */
struct closest {
    const struct record *report; /* NULL: none */
    double score, form;
};

/* Groups of up to SPLIT_MAX reports, by a number for each; a group's number is its first report's place. */
struct groups {
    const struct record *reports[SPLIT_MAX];
    uint32_t group[SPLIT_MAX];
    struct closest within[SPLIT_MAX], beyond[SPLIT_MAX]; /* its group; by measure */
    uint32_t n;
};

/* What must be left of the likeness of two titles that may fill one form. */
static const double FORM_TIES = 0.45;

static void unite(struct groups *groups, uint32_t a, uint32_t b) {
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    for (uint32_t i = 0; i < groups->n; i++) {
        if (groups->group[i] == high)
            groups->group[i] = low;
    }
}

/* Gives whether there is more than one group. */
static bool find_groups(struct cluster *cluster, const struct story *story, struct groups *groups) {
    groups->n = 0;
    for (uint32_t i = 0; i < story->n_members; i++) {
        if (story->members[i]->likeness != CLUSTER_NEW)
            continue; /* goes with what it is like */
        groups->group[groups->n] = groups->n;
        groups->reports[groups->n++] = story->members[i];
    }
    uint32_t n_groups = groups->n;
    struct sketch sketches[SPLIT_MAX];
    double prior = form_prior(cluster, groups->n);
    for (uint32_t i = 0; i < groups->n && n_groups > 1; i++)
        form_read(&sketches[i], groups->reports[i]);
    for (uint32_t i = 0; i < groups->n && n_groups > 1; i++) {
        score_mark(cluster, groups->reports[i]);
        for (uint32_t k = i + 1; k < groups->n; k++) {
            if (groups->group[i] == groups->group[k] ||
                score_with(cluster, groups->reports[k]) < cluster->options.split)
                continue;
            if (form_left(cluster, &sketches[i], &sketches[k],
                          prior + form_text(groups->reports[i], groups->reports[k])) < FORM_TIES)
                continue;
            unite(groups, groups->group[i], groups->group[k]);
            n_groups--;
        }
    }
    return n_groups > 1;
}

static void note_closest(struct closest *closest, const struct record *report, double score, double form) {
    if (!closest->report || score * form > closest->score * closest->form)
        *closest = (struct closest){report, score, form};
}

/* Find for each report what it is most like in its group and beyond it: what a reader is told of a split. */
static void measure(struct cluster *cluster, struct groups *groups) {
    struct sketch sketches[SPLIT_MAX];
    double prior = form_prior(cluster, groups->n);
    for (uint32_t i = 0; i < groups->n; i++) {
        form_read(&sketches[i], groups->reports[i]);
        groups->within[i] = groups->beyond[i] = (struct closest){0};
    }
    for (uint32_t i = 0; i < groups->n; i++) {
        const struct record *one = groups->reports[i];
        score_mark(cluster, one);
        for (uint32_t k = i + 1; k < groups->n; k++) {
            const struct record *other = groups->reports[k];
            double score = score_with(cluster, other);
            double form = form_left(cluster, &sketches[i], &sketches[k], prior + form_text(one, other));
            bool same = groups->group[i] == groups->group[k];
            note_closest(same ? &groups->within[i] : &groups->beyond[i], other, score, form);
            note_closest(same ? &groups->within[k] : &groups->beyond[k], one, score, form);
        }
    }
}

/* The group of a member: its own, or that of the report it is like. */
static uint32_t group_of(const struct groups *groups, const struct story *story,
                         const struct record *record) {
    for (uint32_t hops = 0; record && record->likeness != CLUSTER_NEW && hops < story->n_members; hops++) {
        const struct record *like = NULL;
        for (uint32_t i = 0; i < story->n_members && !like; i++)
            like = story->members[i]->seq == record->like ? story->members[i] : NULL;
        record = like;
    }
    for (uint32_t i = 0; i < groups->n; i++) {
        if (groups->reports[i] == record)
            return groups->group[i];
    }
    return 0; /* what it was like is elsewhere: it stays with the founder */
}

enum { WHY_BYTES = 96 + 2 * (CLUSTER_ID_BYTES + 32) };

/* What telex explain reads of a record that a split moved or left: "split STORY VERSION SCORE FORM", the
 * story and its version before, and what ties two reports; then "within" and "beyond" with score, form and
 * record. */
static struct text_slice describe(const struct cluster *cluster, const struct groups *groups,
                                  const struct record *record, const struct cluster_memory *memory,
                                  const char from[33], char out[WHY_BYTES]) {
    static const char *const names[] = {"within", "beyond"};
    if (!cluster->sink.why)
        return (struct text_slice){"", 0};
    int n = snprintf(out, WHY_BYTES, "split %s %llu %.3f %.2f\n", from, (unsigned long long)memory->version,
                     cluster->options.split, FORM_TIES);
    for (uint32_t i = 0; i < groups->n; i++) {
        const struct closest *closest[] = {&groups->within[i], &groups->beyond[i]};
        for (size_t k = 0; groups->reports[i] == record && k < 2; k++) {
            if (closest[k]->report)
                n += snprintf(out + n, WHY_BYTES - (size_t)n, "%s %.3f %.2f %.*s\n", names[k],
                              closest[k]->score, closest[k]->form, (int)record_id(closest[k]->report).len,
                              record_id(closest[k]->report).data);
        }
    }
    return (struct text_slice){out, (size_t)n};
}

/* Members on their way from one story to others. */
struct leaving {
    struct record **records; /* owned; as they joined */
    uint32_t *group;         /* owned */
    uint64_t *was;           /* owned; their seqs before */
    const struct groups *groups;
    struct cluster_memory memory; /* of the story that they leave */
    char from[33];                /* its id */
    uint32_t n;
};

static void leaving_free(struct leaving *leaving) {
    free(leaving->records);
    free(leaving->group);
    free(leaving->was);
}

static int leaving_take(struct leaving *leaving, const struct groups *groups, const struct story *story) {
    leaving->n = story->n_members;
    leaving->groups = groups;
    leaving->memory = story->memory;
    story_id(story, leaving->from);
    leaving->records = malloc(leaving->n * sizeof(*leaving->records));
    leaving->group = malloc(leaving->n * sizeof(*leaving->group));
    leaving->was = malloc(leaving->n * sizeof(*leaving->was));
    if (!leaving->records || !leaving->group || !leaving->was)
        return -ENOMEM;
    for (uint32_t i = 0; i < leaving->n; i++) {
        leaving->records[i] = story->members[i];
        leaving->group[i] = group_of(groups, story, story->members[i]);
        leaving->was[i] = story->members[i]->seq;
    }
    return 0;
}

/* The seq that the record with an old one has now. */
static uint64_t seq_now(const struct leaving *leaving, uint64_t was) {
    for (uint32_t i = 0; i < leaving->n; i++) {
        if (leaving->was[i] == was)
            return leaving->records[i]->seq;
    }
    return was;
}

/* Let the members of one group join a story of their own. */
static int settle(struct cluster *cluster, const struct leaving *leaving, uint32_t group,
                  struct story **out) {
    *out = NULL;
    for (uint32_t i = 0; i < leaving->n; i++) {
        struct record *record = leaving->records[i];
        char why[WHY_BYTES];
        if (leaving->group[i] != group)
            continue;
        struct cluster_event event = {
            .seq = cluster->next_seq++,
            .kind = CLUSTER_JOIN,
            .clock_ms = cluster->clock_ms,
            .record = record_id(record),
            .version = record->version,
            .likeness = (enum cluster_likeness)record->likeness,
            .like = seq_now(leaving, record->like),
            .why = describe(cluster, leaving->groups, record, &leaving->memory, leaving->from, why)};
        event.story = *out ? (*out)->seq : event.seq;
        int err = cluster_join(cluster, &event, record, out);
        if (!err)
            err = cluster->sink.event(cluster->sink.arg, &event);
        if (err)
            return err;
    }
    return 0;
}

/* Take a story out of the log and the tables; its members belong to none. */
static int dissolve(struct cluster *cluster, struct story *story, const struct leaving *leaving) {
    int err = cluster_forget_events(cluster, story);
    for (uint32_t i = 0; i < leaving->n; i++)
        record_unlink(cluster, leaving->records[i]);
    story_dissolve(cluster, story);
    return err;
}

int split_check(struct cluster *cluster, struct story **story) {
    struct groups groups;
    struct leaving leaving = {0};
    bool due = (*story)->split_due;
    (*story)->split_due = false;
    if (!due || cluster->options.split <= 0 || (*story)->n_reports > SPLIT_MAX ||
        !find_groups(cluster, *story, &groups))
        return 0;
    if (cluster->sink.why)
        measure(cluster, &groups);
    int err = leaving_take(&leaving, &groups, *story);
    if (!err)
        err = dissolve(cluster, *story, &leaving);
    if (!err)
        err = settle(cluster, &leaving, 0, story);
    for (uint32_t g = 1; !err && g < groups.n; g++) {
        struct story *part;
        if (groups.group[g] != g)
            continue;
        err = settle(cluster, &leaving, g, &part);
        part = err ? NULL : part;
        if (part && cluster->sink.explain)
            cluster_explain(cluster, "story %.8s: %u of %u reports leave, nothing ties them to the founder",
                            leaving.from, part->n_reports, groups.n);
        if (part) {
            part->split_due = false;
            part->memory.version =
                leaving.memory.version; /* above any that a story of its id had before it merged */
            memcpy(part->memory.split_from, leaving.from, sizeof(leaving.from));
            err = gate_report_split(cluster, part);
        }
    }
    if (!err) {
        struct cluster_memory memory = leaving.memory;
        memory.story = (*story)->seq;
        memory.handed = memory.handed < (*story)->n_reports ? memory.handed : (*story)->n_reports;
        (*story)->memory = memory;
        (*story)->split_due = false;
    }
    leaving_free(&leaving);
    return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* merge.c - stories that turn out to be one.
 *
 * Joining decides on one record and the order of arrival; what it split apart is mended here, where whole
 * stories are compared. Welding two events is the worse error, so three judges must agree: the profiles, a
 * quorum of single pairs across the two, and the anchors. The older story goes on; the other's id leads to
 * it. */
#include "story.h"

#include <stdlib.h>

/* A story that met so much less than the first on the walk is not compared. */
static const double WALK_SHARE = 0.25;

static uint32_t sample(const struct story *story, uint32_t most) {
    return story->n_members < most ? story->n_members : most;
}

/* The share of cross pairs that agree, over at most PAIRS_MAX pairs spread evenly over both stories. */
static double cross_pairs(struct cluster *cluster, const struct story *a, const struct story *b,
                          double *form) {
    const struct story *larger = a->n_reports > b->n_reports ? a : b;
    uint32_t n_a = sample(a, 8), n_b = sample(b, PAIRS_MAX / n_a), agree = 0, pairs = 0, met = 0;
    struct sketch mine, theirs[PAIRS_MAX];
    double prior = form_prior(cluster, larger->n_reports);
    bool read[PAIRS_MAX] = {false};
    *form = 0;
    for (uint32_t i = 0; i < n_a; i++) {
        const struct record *one = a->members[(uint64_t)i * a->n_members / n_a];
        form_read(&mine, one);
        score_mark(cluster, one);
        for (uint32_t k = 0; k < n_b; k++) {
            const struct record *other = b->members[(uint64_t)k * b->n_members / n_b];
            pairs++;
            double alike = score_with(cluster, other) * score_contrast(cluster, other, larger);
            if (alike < cluster->options.quorum_pair)
                continue;
            if (!read[k])
                form_read(&theirs[k], other);
            read[k] = true;
            double left = form_left(cluster, &mine, &theirs[k], prior + form_text(one, other));
            agree += alike * left >= cluster->options.quorum_pair;
            *form += left;
            met++;
        }
    }
    *form = met ? *form / met : 1;
    return (double)agree / pairs;
}

/* How long neither of them was told; 0: never so long. */
static int64_t gap(const struct story *a, const struct story *b) {
    int64_t ms = a->first_ms > b->last_ms ? a->first_ms - b->last_ms : b->first_ms - a->last_ms;
    return ms > 0 ? ms : 0;
}

/* Whether every outlet of `few` is in `many` already: then it may be one hand with a template. */
static bool same_outlets(const struct story *few, const struct story *many) {
    for (uint32_t i = 0; i < few->n_outlets; i++) {
        uint32_t k = 0;
        while (k < many->n_outlets && many->outlets[k].key != few->outlets[i].key)
            k++;
        if (k == many->n_outlets)
            return false;
    }
    return few->n_outlets > 0;
}

/* Not where most live records come from that outlet. */
static bool one_hand_tells(const struct cluster *cluster, const struct story *story) {
    const struct record *record = story->outlets[0].first;
    return cluster->index.terms[record->outlet_term].users * 2 < cluster->n_records;
}

/* Whether a story of one record is a column that the other holds on another day. */
static bool one_column(const struct story *few, const struct story *many) {
    uint32_t n = few->n_reports == 1 ? sample(many, PAIRS_MAX) : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (record_recurs(few->members[0], many->members[(uint64_t)i * many->n_members / n]))
            return true;
    }
    return false;
}

/* Whether two stories, alike by `score`, are one event. Single records need what a joining one would. */
static bool are_one(struct cluster *cluster, const struct story *a, const struct story *b, double score) {
    const struct story *smaller = a->n_reports < b->n_reports ? a : b;
    double need =
        cluster->options.merge - score_ease(cluster) +
        (cluster->options.join - cluster->options.merge) / (smaller->n_reports * smaller->n_reports);
    bool one_hand = same_outlets(smaller, smaller == a ? b : a) && one_hand_tells(cluster, smaller);
    need += one_hand ? cluster->options.same_outlet : 0;
    if (smaller->n_reports == 1 && smaller->members[0]->column)
        need += cluster->options.column;
    double age_a = score_age_need(cluster, a), age_b = score_age_need(cluster, b);
    need += age_a > age_b ? age_a : age_b;
    int64_t apart = gap(a, b);
    score *= score_time(cluster, apart);
    if (score < need || apart > cluster->options.retire_ms || one_column(smaller, smaller == a ? b : a))
        return false;
    bool conflict = cluster->options.conflict > 0 && (anchors_conflict(a, b) || anchors_conflict(b, a));
    double form = 1, quorum = conflict ? 0 : cross_pairs(cluster, a, b, &form);
    bool one = !conflict && quorum >= cluster->options.quorum && score * form >= need;
    if (cluster->sink.explain) {
        char names[2][33];
        story_id(a, names[0]);
        story_id(b, names[1]);
        cluster_explain(
            cluster,
            "stories %.8s (%u) and %.8s (%u): %s, profiles %.3f of %.3f, form %.2f, quorum %.2f of %.2f%s",
            names[0], a->n_reports, names[1], b->n_reports, one ? "merge" : "stay apart", score, need, form,
            quorum, cluster->options.quorum, conflict ? ", anchors contradict" : "");
    }
    return one;
}

static int merge(struct cluster *cluster, struct story *into, struct story *from) {
    struct cluster_event event = {.seq = cluster->next_seq++,
                                  .kind = CLUSTER_MERGE,
                                  .clock_ms = cluster->clock_ms,
                                  .story = from->seq,
                                  .into = into->seq};
    int err = gate_report_merged(cluster, from, into);
    if (!err)
        err = cluster->sink.event(cluster->sink.arg, &event);
    if (!err)
        err = cluster->sink.forget_memory(cluster->sink.arg, from->seq);
    if (!err)
        err = story_absorb(cluster, into, from);
    if (!err)
        err = story_note_event(into, event.seq);
    if (!err)
        story_touch(cluster, into);
    return err;
}

int merge_around(struct cluster *cluster, struct story **story) {
    struct candidate found[CANDIDATES_MAX];
    for (int round = 0; round < CLUSTER_MERGES_MAX; round++) {
        uint32_t n = score_neighbours(cluster, *story, found);
        struct story *other = NULL;
        double least = n ? found[0].score * WALK_SHARE : 0;
        double need =
            cluster->options.join < cluster->options.merge ? cluster->options.join : cluster->options.merge;
        need -= score_ease(cluster);
        for (uint32_t i = 0; i < n; i++) {
            /* Two single records met when the younger came. */
            bool met = found[i].story->n_reports == 1 && (*story)->n_reports == 1 &&
                       found[i].story->seq < (*story)->seq;
            bool near = !met && found[i].score >= least && score_may_reach(cluster, &found[i], need);
            found[i].score = near ? score_story(cluster, found[i].story) : 0;
        }
        for (uint32_t i = 0; i < n && !other; i++) {
            if (are_one(cluster, *story, found[i].story, found[i].score))
                other = found[i].story;
        }
        if (!other)
            return 0;
        struct story *into = other->seq < (*story)->seq ? other : *story;
        struct story *from = into == other ? *story : other;
        int err = merge(cluster, into, from);
        if (err)
            return err;
        *story = into;
    }
    return 0;
}

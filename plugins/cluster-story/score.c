/* SPDX-License-Identifier: Apache-2.0 */
/* score.c - how alike a record and a story are, and why.
 *
 * A term says more the fewer live stories hold it: rarity is counted over stories, not over records, so the
 * name that three hundred reports of one event share stays as telling as it was in the first. All arithmetic
 * is IEEE additions, products, quotients and roots in a fixed order: the same bits everywhere. */
#include "story.h"

#include <math.h>
#include <string.h>

/* What the terms of an ordinary headline weigh together. */
static const double TITLE_MASS = 8;

/* The mean size counts up to DENSITY_MAX, as if SINGLES_BEFORE records had stood alone before the first. */
enum { DENSITY_MAX = 16, SINGLES_BEFORE = 48 };
static const double RARITY_MIN = 0.02;
static const double EVIDENCE_RISE = 0.84; /* for each doubling of the reports behind a term */
static const int64_t DAY_MS = 24 * 3600 * 1000;

static double rarity_top(const struct cluster *cluster) {
    return index_log2(cluster->n_stories + cluster->index.prior + 1);
}

static double rarity_under(const struct term *term, double top) {
    double rarity = 1 - term->spread / top;
    return rarity > RARITY_MIN ? rarity : RARITY_MIN;
}

double score_rarity(const struct cluster *cluster, const struct term *term) {
    return rarity_under(term, rarity_top(cluster));
}

/* ---- the walk: which stories share telling terms ---- */

struct walker {
    uint32_t term;
    double weight; /* of the term for what is marked, times its rarity */
};

/* Keep the WALK_TERMS most telling terms that are not on every page. */
static uint32_t pick_walkers(const struct cluster *cluster, struct walker *best, uint32_t n, uint32_t term,
                             double weight) {
    const struct term *entry = &cluster->index.terms[term];
    if (entry->n_stories == 0 || entry->n_stories > POSTINGS_MAX)
        return n;
    if (n == WALK_TERMS && weight <= best[n - 1].weight)
        return n;
    uint32_t i = n < WALK_TERMS ? n++ : n - 1;
    for (; i > 0 && weight > best[i - 1].weight; i--)
        best[i] = best[i - 1];
    best[i] = (struct walker){term, weight};
    return n;
}

static double share(const struct story *story, uint32_t sum) {
    return (double)sum / ((double)TEXT_WEIGHT_ONE * story->n_reports);
}

static void walk(struct cluster *cluster, const struct walker *walkers, uint32_t n) {
    if (++cluster->epoch == 0) {
        for (uint32_t i = 0; i < cluster->n_slots; i++)
            cluster->walk[i].epoch = 0;
        cluster->epoch = 1;
    }
    cluster->n_touched = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct term *term = &cluster->index.terms[walkers[i].term];
        const struct posting *postings = index_postings(term);
        double weight = walkers[i].weight;
        for (uint32_t k = 0; k < term->n_stories; k++) {
            struct slot *slot = &cluster->walk[postings[k].story];
            if (slot->epoch != cluster->epoch) {
                slot->epoch = cluster->epoch;
                slot->walked = 0;
                cluster->touched[cluster->n_touched++] = postings[k].story;
            }
            slot->walked += weight * ((double)postings[k].sum * (double)slot->inverse);
        }
    }
}

/* Slots are numbered as they come free, so that ties go by the story's age. */
static bool better(const struct cluster *cluster, uint32_t a, uint32_t b) {
    double x = cluster->walk[a].walked, y = cluster->walk[b].walked;
    return x != y ? x > y : cluster->stories[a]->seq < cluster->stories[b]->seq;
}

/* The best of what the walk met, best first, `except` left out. */
static uint32_t best_touched(const struct cluster *cluster, const struct story *except,
                             struct candidate *out) {
    uint32_t best[CANDIDATES_MAX], n = 0;
    double least = 0;
    for (uint32_t i = 0; i < cluster->n_touched; i++) {
        uint32_t slot = cluster->touched[i];
        if (cluster->walk[slot].walked < least || cluster->stories[slot] == except ||
            (n == CANDIDATES_MAX && !better(cluster, slot, best[n - 1])))
            continue;
        uint32_t at = n < CANDIDATES_MAX ? n++ : n - 1;
        for (; at > 0 && better(cluster, slot, best[at - 1]); at--)
            best[at] = best[at - 1];
        best[at] = slot;
        if (n == CANDIDATES_MAX)
            least = cluster->walk[best[n - 1]].walked;
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] =
            (struct candidate){.story = cluster->stories[best[i]], .score = cluster->walk[best[i]].walked};
    return n;
}

double score_contrast(const struct cluster *cluster, const struct record *record, const struct story *story) {
    uint32_t shared = 0, own = 0;
    for (uint32_t i = 0; i < record->n_terms; i++) {
        const struct term *term = &cluster->index.terms[record->terms[i].term];
        if (term->epoch == cluster->index.epoch)
            shared += term->telling || record->terms[i].telling;
        else
            own += record->terms[i].telling;
    }
    uint32_t theirs = cluster->marked_telling > shared ? cluster->marked_telling - shared : 0;
    uint32_t less = own < theirs ? own : theirs;
    if (less == 0)
        return 1;
    return 1 - cluster->options.contrast * less / (less + shared) / story->n_reports;
}

void score_mark(struct cluster *cluster, const struct record *record) {
    double top = rarity_top(cluster), square = 0, mass = 0;
    cluster->index.epoch++;
    cluster->marked_telling = 0;
    for (uint32_t i = 0; i < record->n_terms; i++) {
        struct term *term = &cluster->index.terms[record->terms[i].term];
        term->telling = record->terms[i].telling;
        cluster->marked_telling += term->telling;
        double weight = rarity_under(term, top) * record->terms[i].weight / TEXT_WEIGHT_ONE;
        term->epoch = cluster->index.epoch;
        term->weight = (float)weight;
        square += weight * weight;
        mass += weight;
    }
    cluster->marked = sqrt(square);
    cluster->marked_mass = mass;
}

/* Walk the WALK_TERMS terms that weigh most. What they leave out is the most that a story could share beyond
 * what the walk will show. */
static void walk_terms(struct cluster *cluster, const struct walker *terms, uint32_t n_terms) {
    struct walker best[WALK_TERMS];
    uint32_t n = 0;
    double all = 0;
    for (uint32_t i = 0; i < n_terms; i++) {
        all += terms[i].weight;
        n = pick_walkers(cluster, best, n, terms[i].term, terms[i].weight);
    }
    walk(cluster, best, n);
    for (uint32_t i = 0; i < n; i++)
        all -= best[i].weight;
    cluster->unwalked = all > 0 ? all : 0;
}

uint32_t score_candidates(struct cluster *cluster, const struct record *record, struct candidate *out) {
    struct walker terms[TEXT_TERMS_MAX];
    double top = rarity_top(cluster);
    score_mark(cluster, record);
    for (uint32_t i = 0; i < record->n_terms; i++) {
        const struct term *term = &cluster->index.terms[record->terms[i].term];
        terms[i] = (struct walker){record->terms[i].term, (double)term->weight * rarity_under(term, top)};
    }
    walk_terms(cluster, terms, record->n_terms);
    return best_touched(cluster, record->story, out);
}

static void mark_story(struct cluster *cluster, const struct story *story) {
    double top = rarity_top(cluster), square = 0, mass = 0;
    cluster->index.epoch++;
    uint32_t n = story_profile_size(story);
    for (uint32_t i = 0; i < n; i++) {
        const struct story_term *entry = story_profile(story, i);
        struct term *term = &cluster->index.terms[entry->term];
        double weight = rarity_under(term, top) * share(story, entry->sum);
        term->epoch = cluster->index.epoch;
        term->weight = (float)weight;
        square += weight * weight;
        mass += weight;
    }
    cluster->marked = sqrt(square);
    cluster->marked_mass = mass;
}

uint32_t score_neighbours(struct cluster *cluster, const struct story *story, struct candidate *out) {
    struct walker terms[PROFILE_MAX];
    double top = rarity_top(cluster);
    mark_story(cluster, story);
    uint32_t size = story_profile_size(story);
    for (uint32_t i = 0; i < size; i++) {
        uint32_t number = story_profile(story, i)->term;
        const struct term *term = &cluster->index.terms[number];
        terms[i] = (struct walker){number, (double)term->weight * rarity_under(term, top)};
    }
    walk_terms(cluster, terms, size);
    return best_touched(cluster, story, out);
}

/* ---- the score ---- */

/* Cosine of what is marked and a story's profile. In *evidence: what the shared terms amount to, each the
 * more the more reports of the story stand behind it. */
static double profile_cosine(const struct cluster *cluster, const struct story *story, double *evidence) {
    double top = rarity_top(cluster), square = 0, dot = 0;
    *evidence = 0;
    uint32_t n = story_profile_size(story);
    for (uint32_t i = 0; i < n; i++) {
        const struct story_term *entry = story_profile(story, i);
        const struct term *term = &cluster->index.terms[entry->term];
        double rarity = rarity_under(term, top);
        double weight = rarity * share(story, entry->sum);
        square += weight * weight;
        if (term->epoch == cluster->index.epoch) {
            dot += weight * (double)term->weight;
            /* Pairs and names repeat words that are counted already. */
            if (term->kind == TEXT_WORD || term->kind == TEXT_NUMBER)
                *evidence += rarity * (double)term->weight * (1 + EVIDENCE_RISE * index_log2(entry->n));
        }
    }
    return square > 0 && cluster->marked > 0 ? dot / (sqrt(square) * cluster->marked) : 0;
}

/* Shared terms must amount to something: one common word in two short titles is a high cosine and no
 * evidence. Who says more must share more: two long texts on one subject meet in many words without being
 * about one event. */
static double evidence_factor(const struct cluster *cluster, double evidence) {
    return evidence / (evidence + cluster->options.evidence * (1 + cluster->marked_mass / TITLE_MASS) / 2);
}

bool score_may_reach(const struct cluster *cluster, const struct candidate *candidate, double need) {
    const struct story *story = candidate->story;
    double dot = candidate->score + cluster->unwalked;
    double evidence = dot * (1 + EVIDENCE_RISE * index_log2(story->n_reports));
    double cosine = story->n_reports == 1 ? sqrt(2 * dot) / cluster->marked : 1;
    return (cosine < 1 ? cosine : 1) * evidence_factor(cluster, evidence) >= need;
}

double score_with(const struct cluster *cluster, const struct record *record) {
    double top = rarity_top(cluster), square = 0, dot = 0;
    for (uint32_t i = 0; i < record->n_terms; i++) {
        const struct term *term = &cluster->index.terms[record->terms[i].term];
        double weight = rarity_under(term, top) * record->terms[i].weight / TEXT_WEIGHT_ONE;
        square += weight * weight;
        if (term->epoch == cluster->index.epoch)
            dot += weight * (double)term->weight;
    }
    return square > 0 && cluster->marked > 0 ? dot / (sqrt(square) * cluster->marked) : 0;
}

double score_story(const struct cluster *cluster, const struct story *other) {
    double evidence, cosine = profile_cosine(cluster, other, &evidence);
    return cosine * evidence_factor(cluster, evidence);
}

/* The best of at most MEMBERS_SCORED members, spread evenly over the story's life. */
static double best_member(const struct cluster *cluster, struct candidate *candidate) {
    const struct story *story = candidate->story;
    uint32_t n = story->n_members < MEMBERS_SCORED ? story->n_members : MEMBERS_SCORED;
    double best = -1;
    for (uint32_t i = 0; i < n; i++) {
        struct record *member = story->members[(uint64_t)i * story->n_members / n];
        if (member->likeness == CLUSTER_COPY && n > 1)
            continue;
        double cosine = score_with(cluster, member);
        if (cosine > best) {
            best = cosine;
            candidate->nearest = member;
        }
    }
    return best > 0 ? best : 0;
}

/* Anchors of a record against a story's: equal values agree; a subject with other values only contradicts. */
static void compare_anchors(const struct record *record, struct candidate *candidate) {
    const struct story *story = candidate->story;
    const struct text_anchor *anchors = record_anchors(record);
    for (uint32_t i = 0; i < record->n_anchors; i++) {
        bool subject = false, value = false;
        for (uint32_t k = 0; k < story->n_anchors && !value; k++) {
            if (story->anchors[k].subject == anchors[i].subject) {
                subject = true;
                value = story->anchors[k].value == anchors[i].value;
            }
        }
        candidate->agree += value;
        if (subject && !value)
            candidate->contradict += anchors[i].strong ? 3 : 1;
    }
}

/* How much less is asked because this stream repeats itself: where the average story has many records, a
 * record is likely to belong to one; where most stand alone, it is likely to be another. */
double score_ease(const struct cluster *cluster) {
    uint32_t stories = cluster->n_stories + SINGLES_BEFORE, records = cluster->n_records + SINGLES_BEFORE;
    uint32_t whole = records / stories;
    if (whole >= DENSITY_MAX)
        return cluster->options.density * index_log2(DENSITY_MAX);
    double part =
        (double)(records % stories) / stories / whole; /* log2 between two whole means, near enough */
    return cluster->options.density * (index_log2(whole) + part);
}

/* A subject that is written about every day is not one event: the longer a story has gone on, the more is
 * asked. */
double score_age_need(const struct cluster *cluster, const struct story *story) {
    int64_t days = (cluster->clock_ms - story->first_ms) / DAY_MS;
    return days > 1 ? cluster->options.age_rise * index_log2(days < 365 ? (uint32_t)days : 365) : 0;
}

double score_need(const struct cluster *cluster, const struct story *story) {
    uint32_t size = story->n_reports < 64 ? story->n_reports : 64;
    return cluster->options.join + cluster->options.join_rise * index_log2(size) +
           score_age_need(cluster, story) - score_ease(cluster);
}

double score_time(const struct cluster *cluster, int64_t apart) {
    double ratio = (double)apart / (double)cluster->options.half_life_ms;
    return 1 / (1 + ratio * ratio);
}

static bool has_outlet(const struct story *story, uint64_t key) {
    for (uint32_t i = 0; i < story->n_outlets; i++) {
        if (story->outlets[i].key == key)
            return true;
    }
    return false;
}

/* An outlet that has reported a story seldom reports it again, but often fills one template. Where all live
 * records come from one outlet, that it is the same one says nothing. */
static double outlet_penalty(const struct cluster *cluster, const struct record *record,
                             const struct story *story) {
    if (record->outlet_term == UINT32_MAX || !has_outlet(story, record->outlet_key))
        return 0;
    double own = cluster->index.terms[record->outlet_term].users;
    double others = cluster->n_records + 1 - own;
    return cluster->options.same_outlet / story->n_outlets * others / (others + own);
}

void score_join(struct cluster *cluster, const struct record *record, struct candidate *candidate) {
    const struct cluster_options *options = &cluster->options;
    const struct story *story = candidate->story;
    candidate->profile = profile_cosine(cluster, story, &candidate->evidence);
    if (story->n_members == 1) {
        candidate->nearest = story->members[0];
        candidate->member = candidate->profile; /* they are one */
    } else {
        candidate->member = best_member(cluster, candidate);
    }
    int64_t late = record->event_ms - story->last_ms, early = story->first_ms - record->event_ms;
    candidate->time = score_time(cluster, late > 0 ? late : early > 0 ? early : 0);
    candidate->outlet = outlet_penalty(cluster, record, story);
    compare_anchors(record, candidate);
    uint32_t against =
        candidate->contradict > candidate->agree ? candidate->contradict - candidate->agree : 0;
    candidate->conflict = options->conflict * (against < 3 ? against : 3) / 3;
    candidate->accord = options->accord * (candidate->agree < 2 ? candidate->agree : 2);
    candidate->contrast = candidate->nearest ? score_contrast(cluster, candidate->nearest, story) : 1;
    candidate->score =
        ((1 - options->member) * candidate->profile + options->member * candidate->member) * candidate->time *
            candidate->contrast * evidence_factor(cluster, candidate->evidence) -
        candidate->conflict + candidate->accord - candidate->outlet - (record->column ? options->column : 0);
    candidate->recurs = candidate->nearest && record_recurs(record, candidate->nearest);
    if (candidate->recurs)
        candidate->score = 0;
    candidate->need = score_need(cluster, story);
    candidate->form = 1;
    if (candidate->nearest && candidate->score >= candidate->need) {
        form_of_story(cluster, record, candidate);
        candidate->score *= candidate->form;
    }
}

bool anchors_conflict(const struct story *a, const struct story *b) {
    for (uint32_t i = 0; i < a->n_anchors; i++) {
        bool subject = false, value = false;
        if (!a->anchors[i].strong)
            continue;
        for (uint32_t k = 0; k < b->n_anchors; k++) {
            if (b->anchors[k].strong && b->anchors[k].subject == a->anchors[i].subject) {
                subject = true;
                value |= b->anchors[k].value == a->anchors[i].value;
            }
        }
        if (subject && !value && a->anchors[i].n * 2 > a->n_reports)
            return true;
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* form.c - what is left of a likeness where two titles fill one form with other things.
 *
 * Two titles that share most of their words are either one event told twice or one form filled twice: an
 * outlet's template, a yearly ritual, the next match, the next quarter. differ.c says which is more likely
 * for two titles; here that is turned into a share of the score. The more reports a story has, the more of
 * its titles share words by chance, so the more it takes. */
#include "story.h"

enum { FORM_MEMBERS = 4 };

/* As log odds for two events: up to here a likeness counts in full. */
static const double FORM_ONE = -0.88;
/* How much the nearest report counts beside FORM_MEMBERS others of its story. */
static const double FORM_NEAREST = 0.58;
/* Taken off the odds for each doubling of a story beyond four reports, and for each unit of score_ease. */
static const double FORM_SIZE = 0.8, FORM_EASE = 5;

/* The option at which titles are not compared by form. */
static const double FORM_OFF = 20;

/* Taken off where both have a text: then the score knows more than titles say. */
static const double FORM_TEXT = 8;

double form_text(const struct record *a, const struct record *b) {
    return a->n_words >= TEXT_SIMHASH_WORDS && b->n_words >= TEXT_SIMHASH_WORDS ? FORM_TEXT : 0;
}

double form_prior(const struct cluster *cluster, uint32_t reports) {
    return FORM_EASE * score_ease(cluster) + FORM_SIZE * index_log2(reports > 4 ? reports / 4 : 1);
}

static double form_odds(const struct sketch *a, const struct sketch *b, double prior) {
    struct differ differ;
    differ_read(&differ, a, b);
    return differ_weigh(&differ) - prior;
}

static double left_of(const struct cluster *cluster, double odds) {
    double two = cluster->options.form;
    if (odds <= FORM_ONE || two >= FORM_OFF)
        return 1;
    return odds < two ? (two - odds) / (two - FORM_ONE) : 0;
}

double form_left(const struct cluster *cluster, const struct sketch *a, const struct sketch *b,
                 double prior) {
    return left_of(cluster, form_odds(a, b, prior));
}

void form_read(struct sketch *sketch, const struct record *record) {
    sketch_read(sketch, record_title(record), record_outlet(record));
}

void form_of_story(struct cluster *cluster, const struct record *record, struct candidate *candidate) {
    const struct story *story = candidate->story;
    const struct record *nearest = candidate->nearest;
    struct sketch other;
    double prior = form_prior(cluster, story->n_reports), sum = 0;
    if (cluster->sketch_of != record)
        form_read(&cluster->sketch, record);
    cluster->sketch_of = record;
    form_read(&other, nearest);
    candidate->form_odds = form_odds(&cluster->sketch, &other, prior + form_text(record, nearest));
    candidate->formed = true;
    double near = left_of(cluster, candidate->form_odds);
    uint32_t n = story->n_members < FORM_MEMBERS ? story->n_members : FORM_MEMBERS, asked = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct record *member = story->members[(uint64_t)i * story->n_members / n];
        if (member == nearest || member->likeness == CLUSTER_COPY)
            continue;
        form_read(&other, member);
        sum += form_left(cluster, &cluster->sketch, &other, prior + form_text(record, member));
        asked++;
    }
    candidate->form = asked ? FORM_NEAREST * near + (1 - FORM_NEAREST) * sum / asked : near;
}

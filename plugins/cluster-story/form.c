/* SPDX-License-Identifier: Apache-2.0 */
/* form.c - what is left of a likeness where two titles fill one form with other things. */
#include "story.h"

enum { FORM_MEMBERS = 4 };


double form_left(const struct cluster *cluster, const struct sketch *a, const struct sketch *b, double prior) {
    struct differ differ;
    differ_read(&differ, a, b);
    double odds = differ_weigh(&differ) - prior;
    double one = cluster->options.form_one, two = cluster->options.form_two;
    if (odds > one)
        return odds < two ? (two - odds) / (two - one) : 0;
    return 1;
}

void form_read(struct sketch *sketch, const struct record *record) {
    sketch_read(sketch, record->title, record->outlet);
}

double form_prior(const struct cluster *cluster, uint32_t reports) {
    return cluster->options.form_ease * score_ease(cluster) + cluster->options.form_size * index_log2(reports > 4 ? reports / 4 : 1);
}

double form_of_story(const struct cluster *cluster, const struct story *story, const struct record *nearest) {
    struct sketch other;
    double prior = form_prior(cluster, story->n_reports);
    form_read(&other, nearest);
    double near = form_left(cluster, &cluster->sketch, &other, prior), sum = 0;
    uint32_t n = story->n_members < FORM_MEMBERS ? story->n_members : FORM_MEMBERS, asked = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct record *member = story->members[(uint64_t)i * story->n_members / n];
        if (member == nearest || member->likeness == CLUSTER_COPY)
            continue;
        form_read(&other, member);
        sum += form_left(cluster, &cluster->sketch, &other, prior);
        asked++;
    }
    if (!asked)
        return near;
    double own = cluster->options.form_near;
    return near * own + (1 - own) * sum / asked;
}

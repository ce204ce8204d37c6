/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - which sentence of the brief supports which part of the dispatch.
 *
 * The best sentence that stands alone leads. The rest is taken one by one: high score, little in common
 * with what is taken, and from the record that has given least, so that every record is heard. */
#include "plan.h"

#include <errno.h>
#include <string.h>

#define REPEAT_COST 0.9  /* per share of words that a taken sentence has too */
#define RECORD_COST 0.12 /* per sentence that its record has given */

struct pick {
    const struct brief *brief;
    uint32_t taken[BRIEF_SENTENCES_MAX];
    size_t n_taken;
    uint32_t given[BRIEF_RECORDS_MAX];
};

static bool is_candidate(const struct pick *pick, uint32_t i) {
    const struct brief_sentence *sentence = &pick->brief->sentences[i];
    if (sentence->unusable || sentence->same_as >= 0)
        return false;
    for (size_t t = 0; t < pick->n_taken; t++)
        if (pick->taken[t] == i)
            return false;
    return true;
}

static double worth(const struct pick *pick, uint32_t i) {
    const struct brief_sentence *sentence = &pick->brief->sentences[i];
    double repeated = 0;
    for (size_t t = 0; t < pick->n_taken; t++) {
        double share = facts_overlap(&sentence->facts, &pick->brief->sentences[pick->taken[t]].facts);
        repeated = share > repeated ? share : repeated;
    }
    return sentence->score - REPEAT_COST * repeated - RECORD_COST * pick->given[sentence->record];
}

static bool take_best(struct pick *pick, bool leading, uint32_t *out) {
    const struct brief *brief = pick->brief;
    int64_t best = -1;
    double best_worth = 0;
    for (uint32_t i = 0; i < brief->n_sentences; i++) {
        const struct brief_sentence *sentence = &brief->sentences[i];
        if (!is_candidate(pick, i) || (leading && (sentence->needs_context || sentence->facts.n_quotes > 0)))
            continue;
        double value = worth(pick, i) - (leading ? 0.4 * sentence->order : 0);
        if (best < 0 || value > best_worth) {
            best = i;
            best_worth = value;
        }
    }
    if (best < 0)
        return false;
    *out = (uint32_t)best;
    pick->taken[pick->n_taken++] = (uint32_t)best;
    pick->given[brief->sentences[best].record]++;
    return true;
}

/* How many go into the paragraph when `n` are left behind the lead; the questions get the rest, up to three.
 */
static size_t body_share(size_t n) {
    static const size_t shares[] = {0, 1, 2, 2, 2, 3, 3, 4, 5};
    return n < sizeof(shares) / sizeof(shares[0]) ? shares[n] : PLAN_BODY_MAX;
}

/* A question needs something to ask for: a number, a day, a name, a reason. */
static double askable(const struct brief_sentence *sentence) {
    double value = sentence->score;
    value += 0.25 * (double)(sentence->facts.n_numbers > 2 ? 2 : sentence->facts.n_numbers);
    value -= sentence->facts.n_quotes > 0 ? 0.3 : 0;
    value -= sentence->n_context > 1 ? 0.3 : 0;
    return value;
}

/* Order a paragraph as the records tell it: record by record, as published, sentence by sentence. */
static void sort_by_place(uint32_t *list, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && list[k - 1] > list[k]; k--) {
            uint32_t swap = list[k];
            list[k] = list[k - 1];
            list[k - 1] = swap;
        }
}

static void sort_by_askable(const struct brief *brief, uint32_t *list, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i;
             k > 0 && askable(&brief->sentences[list[k - 1]]) < askable(&brief->sentences[list[k]]); k--) {
            uint32_t swap = list[k];
            list[k] = list[k - 1];
            list[k - 1] = swap;
        }
}

int plan_make(const struct brief *brief, size_t min_sentences, struct plan *plan) {
    struct pick pick = {.brief = brief};
    uint32_t rest[PLAN_PICKS_MAX];
    size_t n_rest = 0;
    memset(plan, 0, sizeof(*plan));
    if (!take_best(&pick, true, &plan->lead))
        return -ENODATA;
    while (n_rest < PLAN_PICKS_MAX && take_best(&pick, false, &rest[n_rest]))
        n_rest++;
    if (n_rest + 1 < min_sentences)
        return -ENODATA;
    plan->n_body = body_share(n_rest);
    memcpy(plan->body, rest, plan->n_body * sizeof(rest[0]));
    sort_by_place(plan->body, plan->n_body);
    uint32_t *others = rest + plan->n_body;
    size_t n_others = n_rest - plan->n_body, n_near = n_others < 8 ? n_others : 8;
    sort_by_askable(brief, others, n_near);
    plan->n_faq = n_others < PLAN_FAQ_MAX ? n_others : PLAN_FAQ_MAX;
    memcpy(plan->faq, others, plan->n_faq * sizeof(rest[0]));
    plan->n_spare = n_others - plan->n_faq;
    memcpy(plan->spare, others + plan->n_faq, plan->n_spare * sizeof(rest[0]));
    return 0;
}

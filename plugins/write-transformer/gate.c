/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c - may this sentence stand, given the sentences that it cites? */
#include "gate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct gate_length gate_lengths[FIELDS] = {
    [FIELD_HEADLINE] = {20, 110}, [FIELD_DEK] = {40, 320},      [FIELD_HEADING] = {8, 70},
    [FIELD_BODY] = {30, 360},     [FIELD_QUESTION] = {15, 160}, [FIELD_ANSWER] = {25, 360},
};
const char *const gate_field_names[FIELDS] = {"headline", "dek",      "section_heading",
                                              "body",     "question", "answer"};

static const char *const rule_names[GATE_RULES] = {
    [GATE_NUMBERS] = "numbers",        [GATE_NAMES] = "names", [GATE_TOGETHER] = "together",
    [GATE_POLARITY] = "polarity",      [GATE_HEDGE] = "hedge", [GATE_ATTRIBUTION] = "attribution",
    [GATE_NOVELTY] = "novelty",        [GATE_WHOLE] = "whole", [GATE_NOT_AGAIN] = "not again",
    [GATE_QUESTION] = "question fits",
};

const char *gate_rule_name(enum gate_rule rule) {
    return rule < GATE_RULES ? rule_names[rule] : "";
}

void gate_fail(struct gate_verdict *verdict, enum gate_rule rule, const char *format, ...) {
    if (verdict->failed & (1u << rule))
        return;
    verdict->failed |= 1u << rule;
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->why[rule], sizeof(verdict->why[rule]), format, args);
    va_end(args);
}

/* One rule for all kinds of words that came from the same place: equal, akin, or one cut from the other. */
bool word_related(const struct word *a, const struct word *b) {
    if (strcmp(a->canon, b->canon) == 0 || strcmp(a->low, b->low) == 0)
        return true;
    size_t na = strlen(a->low), nb = strlen(b->low), same = 0;
    while (a->low[same] && a->low[same] == b->low[same])
        same++;
    return same >= 5 && na - same <= 4 && nb - same <= 4;
}

static bool facts_have_word(const struct facts *facts, const struct word *word) {
    for (size_t i = 0; i < facts->n_words; i++)
        if (facts->words[i].kind == WORD_TEXT && word_related(&facts->words[i], word))
            return true;
    return false;
}

bool gate_has_word(const struct gate_sources *sources, const struct word *word, bool title) {
    for (size_t i = 0; i < sources->n; i++)
        if (facts_have_word(sources->sentences[i], word))
            return true;
    return title && sources->title && facts_have_word(sources->title, word);
}

bool gate_check(const struct gate_input *input, struct gate_verdict *verdict) {
    *verdict = (struct gate_verdict){0};
    gate_numbers(input, verdict);
    gate_names(input, verdict);
    gate_novelty(input, verdict);
    gate_whole(input, verdict);
    gate_not_again(input, verdict);
    if (input->field == FIELD_QUESTION)
        return verdict->failed == 0; /* it claims nothing; its answer is judged against it */
    gate_together(input, verdict);
    gate_polarity(input, verdict);
    gate_hedge(input, verdict);
    gate_attribution(input, verdict);
    if (input->field == FIELD_ANSWER && input->question)
        gate_question(input, verdict);
    return verdict->failed == 0;
}

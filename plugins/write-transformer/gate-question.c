/* SPDX-License-Identifier: Apache-2.0 */
/* gate-question.c - rule "question fits": the answer is what the question asks for. */
#include "gate.h"

#include <string.h>

#include "lexicon.h"

enum asked { ASKED_WHO, ASKED_WHEN, ASKED_WHERE, ASKED_HOW_MUCH, ASKED_WHY, ASKED_WHAT, ASKED_NOTHING };

static bool is_low(const struct facts *f, size_t i, const char *low) {
    return i < f->n_words && strcmp(f->words[i].low, low) == 0;
}

static enum asked asked_by(const struct facts *question) {
    for (size_t i = 0; i < question->n_words && i < 4; i++) {
        if (is_low(question, i, "who") || is_low(question, i, "whose") || is_low(question, i, "whom"))
            return ASKED_WHO;
        if (is_low(question, i, "when"))
            return ASKED_WHEN;
        if (is_low(question, i, "where"))
            return ASKED_WHERE;
        if (is_low(question, i, "why"))
            return ASKED_WHY;
        if (is_low(question, i, "how")) {
            static const char *const measures[] = {"much", "many", "large", "big",  "high",
                                                   "long", "far",  "low",   "often"};
            for (size_t m = 0; m < sizeof(measures) / sizeof(measures[0]); m++)
                if (is_low(question, i + 1, measures[m]))
                    return ASKED_HOW_MUCH;
            return ASKED_WHAT;
        }
        if (is_low(question, i, "what") || is_low(question, i, "which"))
            return ASKED_WHAT;
    }
    return ASKED_NOTHING;
}

static bool asks_long(const struct facts *question) {
    for (size_t i = 0; i + 1 < question->n_words; i++)
        if (is_low(question, i, "how") && is_low(question, i + 1, "long"))
            return true;
    return false;
}

static bool is_time(const struct number *number) {
    return number->kind == NUMBER_DATE || number->kind == NUMBER_WEEKDAY || number->kind == NUMBER_YEAR ||
           number->kind == NUMBER_PERIOD || number->kind == NUMBER_DAY ||
           (number->kind == NUMBER_COUNT &&
            (strcmp(number->unit, "year") == 0 || strcmp(number->unit, "month") == 0 ||
             strcmp(number->unit, "week") == 0 || strcmp(number->unit, "daily") == 0)) ||
           (number->kind == NUMBER_ORDINAL);
}

/* A number of the answer that the question does not give itself: a time, or a count. */
static bool new_number(const struct facts *question, const struct facts *answer, bool time) {
    for (size_t i = 0; i < answer->n_numbers; i++) {
        const struct number *number = &answer->numbers[i];
        bool fits = time ? is_time(number)
                         : number->kind == NUMBER_COUNT || number->kind == NUMBER_FACTOR ||
                               number->kind == NUMBER_YEAR;
        if (fits && !facts_have_number(question, number))
            return true;
    }
    return false;
}

static bool new_name(const struct facts *question, const struct facts *answer, bool or_role, bool placed) {
    for (size_t w = 0; w < answer->n_words; w++) {
        const struct word *word = &answer->words[w];
        bool name = word->part == PART_NAME && word->kind == WORD_TEXT && !(word->flags & LEX_STOP);
        bool role = or_role && word->kind == WORD_TEXT && (word->flags & LEX_ROLE);
        if ((!name && !role) || facts_have_name(question, word))
            continue;
        size_t before = w;
        while (placed && before > 0 &&
               (answer->words[before - 1].part == PART_NAME || is_low(answer, before - 1, "the")))
            before--;
        if (!placed || (before > 0 && (answer->words[before - 1].flags & LEX_PREP)))
            return true;
    }
    return false;
}

static bool gives_reason(const struct facts *answer) {
    for (size_t w = 0; w < answer->n_words; w++) {
        const struct word *word = &answer->words[w];
        if (word->kind != WORD_TEXT)
            continue;
        if ((word->flags & LEX_CAUSAL) || is_low(answer, w, "since") || is_low(answer, w, "as") ||
            is_low(answer, w, "after") ||
            (is_low(answer, w, "to") && w + 1 < answer->n_words && word_has_content(&answer->words[w + 1])))
            return true;
    }
    return false;
}

/* Content, names and numbers of the answer that the question does not have. */
static size_t count_new(const struct facts *question, const struct facts *answer) {
    size_t n = 0;
    for (size_t w = 0; w < answer->n_words; w++) {
        const struct word *word = &answer->words[w];
        bool counts = word_has_content(word) || (word->part == PART_NAME && word->kind == WORD_TEXT);
        bool known = false;
        for (size_t k = 0; counts && k < question->n_words && !known; k++)
            known = word_related(&question->words[k], word);
        n += counts && !known;
    }
    for (size_t i = 0; i < answer->n_numbers; i++)
        n += !facts_have_number(question, &answer->numbers[i]);
    return n;
}

static bool on_topic(const struct facts *question, const struct facts *answer) {
    size_t n = 0, n_shared = 0;
    for (size_t w = 0; w < question->n_words; w++) {
        const struct word *word = &question->words[w];
        if (!word_has_content(word) && !(word->part == PART_NAME && word->kind == WORD_TEXT))
            continue;
        n++;
        for (size_t k = 0; k < answer->n_words; k++)
            if (word_related(&answer->words[k], word)) {
                n_shared++;
                break;
            }
    }
    return n > 0 && n_shared * 2 >= n;
}

void gate_question(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *question = input->question, *answer = input->draft;
    const char *missing = NULL;
    switch (asked_by(question)) {
    case ASKED_WHO:
        missing = new_name(question, answer, true, false) ? NULL : "asks who, and no one new is named";
        break;
    case ASKED_WHEN:
        missing = new_number(question, answer, true) ? NULL : "asks when, and no time is given";
        break;
    case ASKED_WHERE:
        missing = new_name(question, answer, false, true) ? NULL : "asks where, and no place is given";
        break;
    case ASKED_HOW_MUCH:
        missing =
            new_number(question, answer, false) || (asks_long(question) && new_number(question, answer, true))
                ? NULL
                : "asks how much, and no new number is given";
        break;
    case ASKED_WHY:
        missing = gives_reason(answer) ? NULL : "asks why, and no reason is given";
        break;
    case ASKED_WHAT:
        missing = count_new(question, answer) >= 2 || new_number(question, answer, false) ||
                          new_number(question, answer, true)
                      ? NULL
                      : "the answer says no more than the question";
        break;
    case ASKED_NOTHING:
        missing = "does not begin with what it asks for";
        break;
    }
    if (!missing && !on_topic(question, answer))
        missing = "the answer is about something else";
    if (missing)
        gate_fail(verdict, GATE_QUESTION, "%s", missing);
}

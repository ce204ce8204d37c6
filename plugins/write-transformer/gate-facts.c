/* SPDX-License-Identifier: Apache-2.0 */
/* gate-facts.c - rules "numbers" and "names": what is said is in the sources. */
#include "gate.h"

#include <ctype.h>
#include <string.h>

#include "lexicon.h"

#define PAIR_REACH 6 /* words between two parts of one name, titles and commas included */

static bool unit_near(const struct facts *facts, const char *unit) {
    for (size_t i = 0; i < facts->n_numbers; i++)
        if (strcmp(facts->numbers[i].unit, unit) == 0)
            return true;
    return false;
}

bool facts_have_number(const struct facts *facts, const struct number *number) {
    for (size_t i = 0; i < facts->n_numbers; i++) {
        const struct number *source = &facts->numbers[i];
        if (number_same(number, source, unit_near(facts, number->hard ? number->unit : source->unit)))
            return true;
    }
    return false;
}

bool gate_has_number(const struct gate_sources *sources, const struct number *number) {
    for (size_t i = 0; i < sources->n; i++)
        if (facts_have_number(sources->sentences[i], number))
            return true;
    return false;
}

static size_t count_number(const struct facts *facts, const struct number *number) {
    size_t n = 0;
    for (size_t i = 0; i < facts->n_numbers; i++)
        n += number_same(number, &facts->numbers[i], true);
    return n;
}

/* A number said twice where the sources say it once has taken another's place. */
static bool said_too_often(const struct gate_input *input, const struct number *number) {
    size_t n = 0;
    for (size_t i = 0; i < input->sources->n; i++)
        n += count_number(input->sources->sentences[i], number);
    return n > 0 && number->kind == NUMBER_COUNT && count_number(input->draft, number) > n;
}

static bool has_unit(const struct gate_sources *sources, const char *unit) {
    for (size_t i = 0; i < sources->n; i++) {
        const struct facts *source = sources->sentences[i];
        for (size_t k = 0; k < source->n_numbers; k++)
            if (strcmp(source->numbers[k].unit, unit) == 0 || strcmp(source->numbers[k].per, unit) == 0)
                return true;
        for (size_t w = 0; w < source->n_words; w++)
            if (source->words[w].kind == WORD_TEXT && strcmp(number_unit_of(&source->words[w]), unit) == 0)
                return true;
    }
    return false;
}

void gate_numbers(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t w = 0; w < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        if (word->part == PART_PLAIN && number_counts_by(word) &&
            !has_unit(input->sources, number_unit_of(word)))
            gate_fail(verdict, GATE_NUMBERS, "the sources do not count by \"%s\"", word->low);
    }
    for (size_t i = 0; i < draft->n_numbers; i++) {
        const struct number *number = &draft->numbers[i];
        if (gate_has_number(input->sources, number)) {
            if (said_too_often(input, number))
                gate_fail(verdict, GATE_NUMBERS, "%g stands once in the sources and twice here",
                          number->value);
            continue;
        }
        if (number->first >= draft->n_words || number->last == 0)
            continue;
        const struct word *first = &draft->words[number->first], *last = &draft->words[number->last - 1];
        gate_fail(verdict, GATE_NUMBERS, "\"%.*s\" is in no cited sentence",
                  (int)(last->start + last->len - first->start), draft->text + first->start);
    }
}

/* "United States" for "U.S." and back. */
static bool same_land(const struct facts *facts, const struct word *word) {
    bool united = strcmp(word->low, "united") == 0 || strcmp(word->low, "states") == 0;
    bool short_form =
        strcmp(word->low, "u.s") == 0 || strcmp(word->low, "us") == 0 || strcmp(word->low, "american") == 0;
    for (size_t i = 0; i < facts->n_words; i++) {
        const char *low = facts->words[i].low;
        if (united && (strcmp(low, "u.s") == 0 || (strcmp(low, "us") == 0 && facts->words[i].caps)))
            return true;
        if (short_form && strcmp(low, "united") == 0 && i + 1 < facts->n_words &&
            strcmp(facts->words[i + 1].low, "states") == 0)
            return true;
    }
    return false;
}

bool facts_have_name(const struct facts *facts, const struct word *word) {
    for (size_t i = 0; i < facts->n_words; i++) {
        const struct word *source = &facts->words[i];
        if (source->kind != WORD_TEXT)
            continue;
        if (name_words_match(source->low, word->low) || (word->first && word_related(source, word)))
            return true;
        bool common = (source->flags & LEX_WORDY) && (word->flags & LEX_WORDY);
        if (common && strcmp(source->canon, word->canon) == 0)
            return true; /* Corp and Corporation, Minister and ministers */
    }
    return same_land(facts, word);
}

bool gate_has_name(const struct gate_sources *sources, const struct word *word, bool title) {
    for (size_t i = 0; i < sources->n; i++)
        if (facts_have_name(sources->sentences[i], word))
            return true;
    return title && sources->title && facts_have_name(sources->title, word);
}

/* Whether an acronym is made of the first letters of a name in `facts`: "SEC" of "Securities and Exchange
 * Commission". */
static bool spells(const struct facts *facts, const char *low) {
    for (size_t i = 0; i < facts->n_words; i++) {
        size_t at = 0, w = i;
        for (; low[at] && w < facts->n_words; w++) {
            const struct word *word = &facts->words[w];
            if (word->kind == WORD_TEXT && word->low[0] == low[at] && word->cap)
                at++;
            else if (!(word->flags & (LEX_PREP | LEX_CONJ | LEX_STOP)))
                break;
        }
        if (at >= 2 && low[at] == '\0')
            return true;
    }
    return false;
}

static bool name_stands(const struct gate_input *input, const struct word *word) {
    if (gate_has_name(input->sources, word, true))
        return true;
    if (!word->caps || !name_book_form(input->book, word->low))
        return false;
    for (size_t i = 0; i < input->sources->n; i++)
        if (spells(input->sources->sentences[i], word->low))
            return true; /* the story has the acronym, this sentence its long form */
    return false;
}

/* A word in capitals that could be a name nobody mentioned: it opens the sentence, or all of it is set in
 * capitals. */
static bool is_unknown_name(const struct gate_input *input, const struct word *word) {
    if (word->kind != WORD_TEXT || word->part != PART_PLAIN || !word->cap)
        return false;
    if (!word->first && !input->draft->titled)
        return false;
    if ((word->flags & LEX_WORDY) || gate_has_word(input->sources, word, true))
        return false;
    return !name_book_plain(input->book, word->low);
}

static bool both_near(const struct facts *facts, const struct word *a, const struct word *b) {
    for (size_t i = 0; i < facts->n_words; i++) {
        if (!name_words_match(facts->words[i].low, a->low))
            continue;
        size_t from = i > PAIR_REACH ? i - PAIR_REACH : 0, to = i + PAIR_REACH;
        for (size_t k = from; k < facts->n_words && k <= to; k++)
            if (k != i && name_words_match(facts->words[k].low, b->low))
                return true;
    }
    return false;
}

/* The parts of one name stand near each other in some source: no first name with another's last. */
static bool parts_belong(const struct gate_input *input, const struct word *a, const struct word *b) {
    const struct gate_sources *sources = input->sources;
    if ((a->flags | b->flags) & (LEX_ROLE | LEX_WORDY))
        return true;
    if (!gate_has_name(sources, a, false) || !gate_has_name(sources, b, false))
        return true; /* from the title, or an acronym */
    for (size_t i = 0; i < sources->n; i++)
        if (both_near(sources->sentences[i], a, b) || same_land(sources->sentences[i], a))
            return true;
    return sources->title && both_near(sources->title, a, b);
}

void gate_names(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t i = 0; i < draft->n_names; i++) {
        const struct word *before = NULL;
        for (size_t w = draft->names[i].first; w < draft->names[i].last; w++) {
            const struct word *word = &draft->words[w];
            if (word->kind != WORD_TEXT || ((word->flags & LEX_STOP) && !word->caps))
                continue;
            if (!name_stands(input, word))
                gate_fail(verdict, GATE_NAMES, "\"%.*s\" is in no cited sentence and not in the title",
                          (int)word->len, draft->text + word->start);
            else if (before && !parts_belong(input, before, word))
                gate_fail(verdict, GATE_NAMES, "\"%.*s\" and \"%.*s\" are no one name in the sources",
                          (int)before->len, draft->text + before->start, (int)word->len,
                          draft->text + word->start);
            before = word;
        }
    }
    for (size_t w = 0; w < draft->n_words; w++)
        if (is_unknown_name(input, &draft->words[w]))
            gate_fail(verdict, GATE_NAMES, "\"%.*s\" may be a name that no source has",
                      (int)draft->words[w].len, draft->text + draft->words[w].start);
}

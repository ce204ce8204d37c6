/* SPDX-License-Identifier: Apache-2.0 */
/* gate-stance.c - rules "polarity" and "hedge": how sure the source is, and whether it says yes or no.
 *
 * A cue in a source holds for its targets, the content words in its scope. If the draft repeats a
 * target, it must stand under a cue of the draft as well; if the draft leaves the targets out, it may leave
 * the cue out with them. */
#include "gate.h"

#include <string.h>

#include "lexicon.h"

#define TARGETS_MAX 3
#define HEDGE_REACH 10

struct targets {
    const struct word *words[TARGETS_MAX];
    size_t n;
};

static bool is_target(const struct word *word) {
    return word_has_content(word) &&
           !(word->flags & (LEX_MODAL | LEX_NEG | LEX_DENY | LEX_REPORT | LEX_ROLE));
}

/* The first content words behind the cue, else the last ones before it. */
static struct targets targets_of(const struct facts *facts, const struct cue *cue) {
    struct targets targets = {.n = 0};
    for (size_t w = cue->word + 1; w < cue->last && targets.n < TARGETS_MAX; w++)
        if (is_target(&facts->words[w]))
            targets.words[targets.n++] = &facts->words[w];
    bool stands_behind = cue->kind == CUE_NEGATION ||
                         (cue->word > 0 && (facts->words[cue->word - 1].flags & LEX_BE)); /* "was expected" */
    for (size_t w = cue->word; w-- > cue->first && targets.n == 0 && stands_behind;)
        if (is_target(&facts->words[w]))
            targets.words[targets.n++] = &facts->words[w];
    for (size_t w = cue->word + 1; w < cue->last && targets.n == 0; w++) /* "neither confirmed nor denied" */
        if (word_has_content(&facts->words[w]))
            targets.words[targets.n++] = &facts->words[w];
    return targets;
}

static bool is_cue_at(const struct facts *facts, size_t w, uint8_t kind) {
    for (size_t i = 0; i < facts->n_cues; i++)
        if (facts->cues[i].word == w && facts->cues[i].kind == kind)
            return true;
    return false;
}

/* Where a target word stands in the draft, n_words where it does not. A cue is no target. */
static size_t place_of(const struct facts *draft, const struct word *target, uint8_t kind, size_t from) {
    for (size_t w = from; w < draft->n_words; w++)
        if (word_has_content(&draft->words[w]) && !is_cue_at(draft, w, kind) &&
            word_related(&draft->words[w], target))
            return w;
    return draft->n_words;
}

static bool covered(const struct facts *draft, size_t w, uint8_t kind) {
    for (size_t i = 0; i < draft->n_cues; i++)
        if (draft->cues[i].kind == kind && w >= draft->cues[i].first && w < draft->cues[i].last)
            return true;
    return false;
}

static const struct cue *negation_of(const struct facts *source, const struct facts *draft,
                                     const struct cue *said) {
    for (size_t i = 0; i < source->n_cues; i++) {
        const struct cue *cue = &source->cues[i];
        if (cue->kind != CUE_NEGATION)
            continue;
        bool empty = true;
        for (size_t w = said->first; w < said->last; w++) {
            if (!is_target(&draft->words[w]))
                continue;
            empty = false;
            for (size_t k = cue->first; k < cue->last; k++)
                if (word_related(&source->words[k], &draft->words[w]))
                    return cue;
        }
        if (empty || word_related(&source->words[cue->word], &draft->words[said->word]))
            return cue;
    }
    return NULL;
}

static size_t count_negations(const struct facts *facts) {
    size_t n = 0;
    for (size_t i = 0; i < facts->n_cues; i++)
        n += facts->cues[i].kind == CUE_NEGATION;
    return n;
}

static void negations_added(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    size_t n_source = 0;
    for (size_t s = 0; s < input->sources->n; s++)
        n_source += count_negations(input->sources->sentences[s]);
    if (count_negations(draft) > n_source)
        gate_fail(verdict, GATE_POLARITY, "says no more often than the sources");
    for (size_t i = 0; i < draft->n_cues; i++) {
        if (draft->cues[i].kind != CUE_NEGATION)
            continue;
        bool known = false;
        for (size_t s = 0; s < input->sources->n && !known; s++)
            known = negation_of(input->sources->sentences[s], draft, &draft->cues[i]) != NULL;
        if (!known)
            gate_fail(verdict, GATE_POLARITY, "\"%s\" is not what the sources say",
                      draft->words[draft->cues[i].word].low);
    }
}

static void negations_lost(const struct gate_input *input, const struct facts *source,
                           struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t i = 0; i < source->n_cues; i++) {
        const struct cue *cue = &source->cues[i];
        if (cue->kind != CUE_NEGATION)
            continue;
        struct targets targets = targets_of(source, cue);
        size_t n_said = 0, n_covered = 0;
        for (size_t t = 0; t < targets.n; t++) {
            size_t w = place_of(draft, targets.words[t], CUE_NEGATION, 0);
            n_said += w < draft->n_words;
            bool any = false;
            for (; w < draft->n_words && !any; w = place_of(draft, targets.words[t], CUE_NEGATION, w + 1))
                any = covered(draft, w, CUE_NEGATION);
            n_covered += any;
        }
        if (n_said > 0 && n_covered == 0)
            gate_fail(verdict, GATE_POLARITY, "\"%s\" of the source is lost", source->words[cue->word].low);
    }
}

/* ---- up and down ---- */

/* Words that point up or down in some uses only. */
static bool points(const struct facts *f, size_t w, uint32_t direction, bool as_evidence) {
    static const char *const loose[] = {"over", "under", "more", "less", "up", "down", "fewer"};
    const struct word *word = &f->words[w];
    if (!(word->flags & direction) || word->kind != WORD_TEXT || word->part == PART_NAME)
        return false;
    for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
        if (strcmp(loose[i], word->low) == 0) {
            bool counted = w + 1 < f->n_words &&
                           (f->words[w + 1].part == PART_NUMBER || strcmp(f->words[w + 1].low, "from") == 0 ||
                            strcmp(f->words[w + 1].low, "by") == 0);
            bool compared = w + 1 < f->n_words && strcmp(f->words[w + 1].low, "than") == 0 &&
                            !(w + 2 < f->n_words && f->words[w + 2].part == PART_NUMBER);
            return as_evidence || compared ||
                   (counted && (strcmp(word->low, "up") == 0 || strcmp(word->low, "down") == 0));
        }
    return true;
}

static bool any_points(const struct facts *facts, uint32_t direction) {
    for (size_t w = 0; w < facts->n_words; w++)
        if (points(facts, w, direction, true))
            return true;
    return false;
}

static void directions_kept(const struct gate_input *input, struct gate_verdict *verdict) {
    static const uint32_t directions[] = {LEX_UP, LEX_DOWN};
    const struct facts *draft = input->draft;
    for (size_t d = 0; d < 2; d++)
        for (size_t w = 0; w < draft->n_words; w++) {
            if (!points(draft, w, directions[d], false))
                continue;
            bool known = input->sources->title && any_points(input->sources->title, directions[d]);
            for (size_t s = 0; s < input->sources->n && !known; s++)
                known = any_points(input->sources->sentences[s], directions[d]);
            if (!known)
                gate_fail(verdict, GATE_POLARITY, "\"%s\" points %s, the sources do not", draft->words[w].low,
                          d == 0 ? "up" : "down");
        }
}

/* The direction that leads to a number: "rose 4.5%", "down from 7.1%"; 0 where none does. */
static uint32_t direction_of(const struct facts *f, const struct number *number) {
    for (size_t back = 1; back <= 3 && back <= number->first; back++) {
        const struct word *word = &f->words[number->first - back];
        if (word->kind == WORD_PUNCT || word->part != PART_PLAIN)
            return 0;
        uint32_t both = word->flags & (LEX_UP | LEX_DOWN);
        bool bound = strcmp(word->low, "over") == 0 || strcmp(word->low, "under") == 0 ||
                     strcmp(word->low, "more") == 0 || strcmp(word->low, "less") == 0 ||
                     (strcmp(word->low, "up") == 0 && back == 2 && number->bound);
        if (both == LEX_UP || both == LEX_DOWN)
            return bound ? 0 : both;
    }
    return 0;
}

/* A number that the sources reach by going up is not reached by going down. */
static void number_directions_kept(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t i = 0; i < draft->n_numbers; i++) {
        uint32_t said = direction_of(draft, &draft->numbers[i]);
        bool opposed = false, agreed = false;
        for (size_t s = 0; s < input->sources->n && said; s++) {
            const struct facts *source = input->sources->sentences[s];
            for (size_t k = 0; k < source->n_numbers; k++) {
                if (!number_same(&draft->numbers[i], &source->numbers[k], true))
                    continue;
                uint32_t own = direction_of(source, &source->numbers[k]);
                agreed |= own == said;
                opposed |= own != 0 && own != said;
            }
        }
        if (opposed && !agreed)
            gate_fail(verdict, GATE_POLARITY, "the sources reach %g the other way", draft->numbers[i].value);
    }
}

void gate_polarity(const struct gate_input *input, struct gate_verdict *verdict) {
    negations_added(input, verdict);
    negations_lost(input, input->sources->sentences[input->sources->main], verdict);
    directions_kept(input, verdict);
    number_directions_kept(input, verdict);
}

/* ---- hedges ---- */

/* Which hedges of a draft are no stronger than one of a source. */
static uint32_t no_stronger(uint32_t flags) {
    uint32_t soft = LEX_MODAL | LEX_RUMOUR | LEX_EXPECT;
    if (flags & (LEX_MODAL | LEX_RUMOUR))
        return soft;
    return soft | LEX_PLAN;
}

/* After a verb of speech "would" is the past of "will": the group "said it would", which is more than it
 * planned. */
static bool is_reported_will(const struct facts *draft, const struct word *word, const struct word *own) {
    return draft->n_speeches > 0 && !(own->flags & LEX_MODAL) && strcmp(word->low, "would") == 0;
}

static bool hedged_near(const struct facts *draft, size_t w, const struct word *own, uint32_t allowed) {
    for (size_t i = 0; i < draft->n_cues; i++) {
        const struct cue *cue = &draft->cues[i];
        size_t distance = cue->word > w ? cue->word - w : w - cue->word;
        if (cue->kind != CUE_HEDGE || is_reported_will(draft, &draft->words[cue->word], own))
            continue;
        if (strcmp(draft->words[cue->word].low, own->low) == 0 ||
            ((cue->flags & allowed) && distance <= HEDGE_REACH))
            return true;
    }
    return false;
}

/* Whether the draft says the target somewhere, and nowhere under a hedge that is weak enough. "Would not
 * comment" may become "declined to comment": there the negation carries both. */
static const struct word *unhedged(const struct facts *draft, const struct facts *source,
                                   const struct cue *cue, const struct word *target, bool heading) {
    size_t w = place_of(draft, target, CUE_HEDGE, 0);
    const struct word *said = w < draft->n_words ? &draft->words[w] : NULL;
    bool negated = cue->flags == LEX_MODAL && covered(source, (size_t)(target - source->words), CUE_NEGATION);
    bool shifts = strcmp(source->words[cue->word].low, "would") == 0 && source->n_speeches > 0;
    for (; w < draft->n_words; w = place_of(draft, target, CUE_HEDGE, w + 1)) {
        bool to_come = w > 0 && (strcmp(draft->words[w - 1].low, "to") == 0 ||
                                 (w > 1 && strcmp(draft->words[w - 1].low, "be") == 0 &&
                                  strcmp(draft->words[w - 2].low, "to") == 0));
        if (heading && to_come && (cue->flags & LEX_PLAN))
            return NULL; /* "agreed to buy" as "to buy" in a heading */
        for (size_t k = w > 3 ? w - 3 : 0; k < w && shifts; k++)
            if (strcmp(draft->words[k].low, "will") == 0)
                return NULL; /* "said it would" as "said it will" */
        if (hedged_near(draft, w, &source->words[cue->word], no_stronger(cue->flags)))
            return NULL;
        if (negated && covered(draft, w, CUE_NEGATION))
            return NULL;
    }
    return said;
}

static void hedges_lost(const struct gate_input *input, const struct facts *source,
                        struct gate_verdict *verdict) {
    bool heading = input->field == FIELD_HEADLINE || input->field == FIELD_HEADING;
    const struct facts *draft = input->draft;
    for (size_t i = 0; i < source->n_cues; i++) {
        const struct cue *cue = &source->cues[i];
        if (cue->kind != CUE_HEDGE)
            continue;
        struct targets targets = targets_of(source, cue);
        bool would = strcmp(source->words[cue->word].low, "would") == 0;
        for (size_t t = 0; t < targets.n && t < (would ? 1u : 2u); t++) {
            if (is_cue_at(source, (size_t)(targets.words[t] - source->words), CUE_HEDGE))
                continue;
            const struct word *said = unhedged(draft, source, cue, targets.words[t], heading);
            if (said)
                gate_fail(verdict, GATE_HEDGE, "\"%s\" of the source is lost before \"%s\"",
                          source->words[cue->word].low, said->low);
        }
    }
}

static bool same_start(const char *a, const char *b, size_t n) {
    return strlen(a) >= n && strlen(b) >= n && strncmp(a, b, n) == 0;
}

/* A word of certainty, reason or judgement must be the record's own word, or a form of it. */
static bool is_own_word(const struct facts *source, const struct word *word, uint32_t word_class) {
    for (size_t i = 0; i < source->n_words; i++) {
        const struct word *own = &source->words[i];
        if (own->kind != WORD_TEXT)
            continue;
        if (strcmp(own->low, word->low) == 0 || same_start(own->low, word->low, 5))
            return true;
        if ((own->flags & word_class) && strcmp(own->canon, word->canon) == 0)
            return true;
    }
    return false;
}

/* "will" for "would" in reported speech, for "'ll", and for the "to" of a headline. */
static bool may_say_will(const struct facts *source) {
    for (size_t i = 0; i < source->n_words; i++) {
        const char *low = source->words[i].low;
        if (strcmp(low, "will") == 0 || strcmp(low, "shall") == 0 || strcmp(low, "won't") == 0 ||
            strstr(low, "'ll"))
            return true;
        if (strcmp(low, "would") == 0 && source->n_speeches > 0)
            return true;
    }
    return false;
}

/* "if", "unless": what holds on a condition must keep one. */
static bool has_condition(const struct facts *f, bool weak) {
    static const char *const words[] = {"if",    "unless", "provided", "whether", "would",
                                        "could", "may",    "might",    "should"};
    for (size_t w = 0; w < f->n_words; w++)
        for (size_t i = 0; i < (weak ? sizeof(words) / sizeof(words[0]) : 2); i++)
            if (!f->words[w].quoted && f->words[w].part != PART_NUMBER &&
                strcmp(f->words[w].low, words[i]) == 0)
                return true;
    return false;
}

void gate_hedge(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    const struct gate_sources *sources = input->sources;
    const struct facts *source = sources->sentences[sources->main];
    hedges_lost(input, source, verdict);
    if (has_condition(source, false) && !has_condition(draft, true))
        gate_fail(verdict, GATE_HEDGE, "the condition of the source is lost");
    for (size_t w = 0; w < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        if (!(word->flags & LEX_CERTAIN) || word->part != PART_PLAIN || word->quoted)
            continue;
        bool will = strcmp(word->low, "will") == 0 || strcmp(word->low, "won't") == 0, known = false;
        for (size_t s = 0; s < sources->n && !known; s++)
            known = will ? may_say_will(sources->sentences[s])
                         : is_own_word(sources->sentences[s], word, LEX_CERTAIN);
        if (!known)
            gate_fail(verdict, GATE_HEDGE, "\"%s\" is surer than the sources", word->low);
    }
}

bool gate_own_word(const struct gate_sources *sources, const struct word *word, uint32_t word_class) {
    for (size_t s = 0; s < sources->n; s++)
        if (is_own_word(sources->sentences[s], word, word_class))
            return true;
    return sources->title && is_own_word(sources->title, word, word_class);
}

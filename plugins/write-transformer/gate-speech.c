/* SPDX-License-Identifier: Apache-2.0 */
/* gate-speech.c - rule "attribution": who says it survives, and quotations are verbatim. */
#include "gate.h"

#include <ctype.h>
#include <string.h>

#include "lexicon.h"

/* A word that says who speaks, of some kind. */
static bool speaks(const struct word *word, bool names_only) {
    if (word->part == PART_NAME && word->kind == WORD_TEXT)
        return !(word->flags & LEX_STOP);
    return !names_only && word->kind == WORD_TEXT && (word->flags & LEX_ROLE);
}

static bool has_pronoun(const struct facts *f, size_t first, size_t last) {
    for (size_t i = first; i < last; i++)
        if (f->words[i].flags & LEX_PRONOUN)
            return true;
    return false;
}

/* How a speaker is known: by name, else by office, else by any word for him. */
enum { BY_NAME, BY_ROLE, BY_WORD, BY_NOTHING };

static bool speaks_by(const struct word *word, int level) {
    if (level == BY_NAME)
        return speaks(word, true);
    if (level == BY_ROLE)
        return speaks(word, false);
    return word->kind == WORD_TEXT && word_has_content(word) && !(word->flags & (LEX_REPORT | LEX_CERTAIN));
}

static int level_of(const struct facts *f, size_t first, size_t last) {
    for (int level = BY_NAME; level < BY_NOTHING; level++)
        for (size_t i = first; i < last; i++)
            if (speaks_by(&f->words[i], level))
                return level;
    return BY_NOTHING;
}

/* "Saudi Arabian Oil Minister Hisham Nazer" is Nazer: whoever speaks in his place must bear his last name
 * too. */
static bool is_him(const struct facts *draft, const struct speech *said, const struct facts *source,
                   size_t word) {
    for (size_t n = 0; n < source->n_names; n++) {
        const struct name *run = &source->names[n];
        if (word < run->first || word >= run->last)
            continue;
        bool titled = false;
        for (size_t k = run->first; k + 1 < run->last; k++)
            titled |= (source->words[k].flags & LEX_ROLE) != 0;
        for (size_t i = said->near_first; i < said->last && titled; i++)
            titled = !name_words_match(draft->words[i].low, source->words[run->last - 1].low);
        return !titled;
    }
    return true;
}

/* "a unit of Crown Ridge": a name that a preposition governs is not the speaker himself. */
static bool is_governed(const struct facts *f, size_t w) {
    if (f->words[w].part != PART_NAME)
        return false;
    while (w > 0 && f->words[w - 1].part == PART_NAME)
        w--;
    w -= w > 0 && strcmp(f->words[w - 1].low, "the") == 0;
    return w > 0 && f->words[w - 1].kind == WORD_TEXT && (f->words[w - 1].flags & LEX_PREP);
}

static bool any_free(const struct facts *f, size_t first, size_t last, int level) {
    for (size_t i = first; i < last; i++)
        if (speaks_by(&f->words[i], level) && !is_governed(f, i))
            return true;
    return false;
}

/* Whether one of the words that name the draft's speaker is among words [first, last) of a source. */
static bool shares_speaker(const struct facts *draft, const struct speech *said, int level,
                           const struct facts *source, size_t first, size_t last) {
    bool free = any_free(draft, said->near_first, said->last, level);
    for (size_t i = said->near_first; i < said->last; i++) {
        if (!speaks_by(&draft->words[i], level) || (free && is_governed(draft, i)))
            continue;
        for (size_t k = first; k < last; k++) {
            const struct word *word = &source->words[k];
            if (word->kind != WORD_TEXT)
                continue;
            if ((name_words_match(word->low, draft->words[i].low) && is_him(draft, said, source, k)) ||
                (level != BY_NAME && strcmp(word->canon, draft->words[i].canon) == 0))
                return true;
        }
    }
    return false;
}

/* A pronoun of the source stands for someone of the sentence before it, or of the title. */
static bool antecedent_has(const struct gate_input *input, size_t s, const struct speech *said, int level) {
    const struct gate_sources *sources = input->sources;
    if (s > 0 && sources->follows[s] &&
        shares_speaker(input->draft, said, level, sources->sentences[s - 1], 0,
                       sources->sentences[s - 1]->n_words))
        return true;
    return sources->title &&
           shares_speaker(input->draft, said, level, sources->title, 0, sources->title->n_words);
}

static bool said_in(const struct gate_input *input, size_t s, const struct speech *said, int level) {
    const struct facts *draft = input->draft, *source = input->sources->sentences[s];
    for (size_t i = 0; i < source->n_speeches; i++) {
        const struct speech *own = &source->speeches[i];
        if (shares_speaker(draft, said, level, source, own->first, own->last))
            return true;
        if (has_pronoun(source, own->first, own->last) && antecedent_has(input, s, said, level))
            return true;
    }
    return false;
}

static void speakers_known(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    const struct gate_sources *sources = input->sources;
    for (size_t i = 0; i < draft->n_speeches; i++) {
        const struct speech *said = &draft->speeches[i];
        int level = level_of(draft, said->near_first, said->last);
        bool named = level < BY_NOTHING, known = !named;
        size_t n_source = 0;
        for (size_t s = 0; s < sources->n; s++) {
            n_source += sources->sentences[s]->n_speeches;
            known |= named && said_in(input, s, said, level);
        }
        bool brief = input->field == FIELD_HEADLINE || input->field == FIELD_HEADING;
        if ((n_source == 0 || brief) && sources->title && sources->title->n_speeches > 0)
            known |= named && shares_speaker(draft, said, level, sources->title, 0, sources->title->n_words);
        if (!known || (n_source == 0 && !named))
            gate_fail(verdict, GATE_ATTRIBUTION, "the sources do not have this speaker at \"%s\"",
                      draft->words[said->verb].low);
    }
}

/* A headline may drop "said" where the speaker himself acts. */
static bool speaker_acts(const struct facts *draft, const struct facts *source) {
    for (size_t i = 0; i < source->n_speeches; i++)
        for (size_t w = source->speeches[i].first; w < source->speeches[i].last; w++) {
            if (!speaks(&source->words[w], false))
                continue;
            for (size_t k = 0; k < draft->n_words; k++)
                if (speaks(&draft->words[k], false) &&
                    name_words_match(draft->words[k].low, source->words[w].low))
                    return true;
        }
    return false;
}

/* Whether somebody says something; "expects" and "believes" are no sayings unless `any_kind` will do. */
static bool reports(const struct facts *facts, bool any_kind) {
    for (size_t i = 0; i < facts->n_speeches; i++)
        if (any_kind || !(facts->words[facts->speeches[i].verb].flags & (LEX_EXPECT | LEX_RUMOUR)))
            return true;
    return false;
}

/* "Tarn said it and Vale agreed to buy" as "Tarn and Vale agreed to buy": who speaks tells of his own plan,
 * and the plan is still called one. */
static bool does_own_act(const struct facts *draft, const struct facts *source) {
    if (draft->n_names == 0 || draft->names[0].first > 1)
        return false;
    bool plan = false, own = false;
    for (size_t i = 0; i < draft->n_cues; i++)
        plan |= draft->cues[i].kind == CUE_HEDGE && (draft->cues[i].flags & LEX_PLAN) != 0;
    for (size_t i = 0; i < source->n_speeches && plan; i++) {
        const struct speech *speech = &source->speeches[i];
        const struct word *next =
            speech->verb + 1 < source->n_words ? &source->words[speech->verb + 1] : NULL;
        bool itself = next && (strcmp(next->low, "it") == 0 || strcmp(next->low, "they") == 0);
        for (size_t w = speech->near_first; w < speech->last && itself; w++)
            own |= source->words[w].part == PART_NAME &&
                   name_words_match(source->words[w].low, draft->words[draft->names[0].first].low);
    }
    return own;
}

/* Whether the draft repeats what lies in the source's quotation or behind its report verb. */
static void attribution_kept(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    const struct facts *source = input->sources->sentences[input->sources->main];
    if (source->n_speeches == 0 || reports(draft, !reports(source, false)) || does_own_act(draft, source))
        return;
    bool brief = input->field == FIELD_HEADLINE || input->field == FIELD_HEADING;
    for (size_t i = 0; i < draft->n_cues; i++)
        if ((draft->cues[i].flags & LEX_DENY) && speaker_acts(draft, source))
            return; /* "said it would not" as "declined to": refusing is saying */
    if (brief && (speaker_acts(draft, source) || input->field == FIELD_HEADING))
        return;
    gate_fail(verdict, GATE_ATTRIBUTION, "who \"%s\" it is lost",
              source->words[source->speeches[0].verb].low);
}

/* Bytes of two texts compared as quotations: case of the first letter and the last mark do not count. */
static bool found_verbatim(const char *text, const char *quote, size_t len) {
    while (len > 0 && strchr(",.;:!? ", quote[len - 1]))
        len--;
    for (const char *at = text; len > 0 && *at; at++) {
        if (tolower((unsigned char)*at) != tolower((unsigned char)quote[0]))
            continue;
        if (strncmp(at + 1, quote + 1, len - 1) == 0)
            return true;
    }
    return false;
}

static void quotes_verbatim(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t q = 0; q < draft->n_quotes; q++) {
        const struct quote *quote = &draft->quotes[q];
        bool known = false;
        for (size_t s = 0; s < input->sources->n; s++) {
            const struct facts *source = input->sources->sentences[s];
            for (size_t k = 0; k < source->n_quotes && !known; k++)
                known = quote->end > quote->start &&
                        found_verbatim(source->text + source->quotes[k].start, draft->text + quote->start,
                                       quote->end - quote->start);
        }
        if (!known)
            gate_fail(verdict, GATE_ATTRIBUTION, "\"%.*s\" is no quotation of the sources",
                      (int)(quote->end - quote->start), draft->text + quote->start);
        else if (draft->n_speeches == 0)
            gate_fail(verdict, GATE_ATTRIBUTION, "a quotation without its speaker");
    }
}

void gate_attribution(const struct gate_input *input, struct gate_verdict *verdict) {
    speakers_known(input, verdict);
    attribution_kept(input, verdict);
    quotes_verbatim(input, verdict);
}

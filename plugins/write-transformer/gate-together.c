/* SPDX-License-Identifier: Apache-2.0 */
/* gate-together.c - rule "together": a clause's facts stand together in a record, and each name does there
 * what the draft says it does.
 *
 * The first half guards against facts of two sentences in one. The second guards against the right
 * facts around the wrong subject: for a name that a verb follows, the same verb must follow it in the source.
 */
#include "gate.h"

#include <string.h>

#include "lexicon.h"

#define VERB_REACH    6
#define COUNTED_REACH 5
#define NEAR_WORDS    4

struct window {
    const struct facts *parts[2];
};

static bool window_has_name(const struct window *window, const struct word *word) {
    return facts_have_name(window->parts[0], word) ||
           (window->parts[1] && facts_have_name(window->parts[1], word));
}

static bool window_has_number(const struct window *window, const struct number *number) {
    return facts_have_number(window->parts[0], number) ||
           (window->parts[1] && facts_have_number(window->parts[1], number));
}

static bool in_clause(const struct facts *draft, uint32_t first, uint8_t clause) {
    return first < draft->n_words && draft->words[first].clause == clause;
}

/* Whether one window has everything that the clause names and counts. */
static bool clause_fits(const struct facts *draft, uint8_t clause, const struct window *window) {
    for (size_t i = 0; i < draft->n_numbers; i++)
        if (in_clause(draft, draft->numbers[i].first, clause) &&
            !window_has_number(window, &draft->numbers[i]))
            return false;
    for (size_t w = 0; w < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        if (word->part != PART_NAME || word->kind != WORD_TEXT || word->clause != clause)
            continue;
        if ((word->flags & (LEX_STOP | LEX_ROLE)) || word->caps)
            continue; /* acronyms are settled by "names" */
        if (!window_has_name(window, word))
            return false;
    }
    return true;
}

static size_t count_facts(const struct facts *draft, uint8_t clause) {
    size_t n = 0;
    for (size_t i = 0; i < draft->n_numbers; i++)
        n += in_clause(draft, draft->numbers[i].first, clause);
    for (size_t i = 0; i < draft->n_names; i++)
        n += in_clause(draft, draft->names[i].first, clause);
    return n;
}

static bool clause_stands(const struct gate_input *input, uint8_t clause) {
    const struct gate_sources *sources = input->sources;
    for (size_t i = 0; i < sources->n; i++) {
        struct window window = {{sources->sentences[i], NULL}};
        if (i + 1 < sources->n && sources->follows[i + 1])
            window.parts[1] = sources->sentences[i + 1];
        if (clause_fits(input->draft, clause, &window))
            return true;
    }
    struct window title = {{sources->title, NULL}};
    return sources->title && clause_fits(input->draft, clause, &title);
}

/* ---- who does what ---- */

static bool is_low(const struct facts *f, size_t i, const char *low) {
    return i < f->n_words && strcmp(f->words[i].low, low) == 0;
}

/* "of Chicago", "from Marriott", "in the United States and Mexico": a name that a preposition governs. */
static bool is_governed(const struct facts *f, size_t first) {
    size_t i = first;
    for (size_t back = 0; i > 0 && back < 3; back++) {
        const struct word *word = &f->words[i - 1];
        if (word->kind == WORD_TEXT && (word->flags & LEX_PREP))
            return true;
        bool skips = is_low(f, i - 1, "the") || is_low(f, i - 1, "a") || is_low(f, i - 1, "an") ||
                     is_low(f, i - 1, "its") || is_low(f, i - 1, "and") || word->part == PART_NAME;
        if (!skips)
            return false;
        while (i > 0 && f->words[i - 1].part == PART_NAME)
            i--;
        i -= i > 0 && f->words[i - 1].part != PART_NAME && skips && !(f->words[i - 1].flags & LEX_PREP);
    }
    return i > 0 && f->words[i - 1].kind == WORD_TEXT && (f->words[i - 1].flags & LEX_PREP);
}

static bool run_matches(const struct facts *a, const struct name *x, const struct facts *b,
                        const struct name *y) {
    for (size_t i = x->first; i < x->last; i++)
        for (size_t k = y->first; k < y->last; k++) {
            const struct word *u = &a->words[i], *v = &b->words[k];
            bool real = u->kind == WORD_TEXT && v->kind == WORD_TEXT && !(u->flags & (LEX_STOP | LEX_ROLE));
            if (real && name_words_match(u->low, v->low))
                return true;
        }
    return false;
}

/* "Redstone, who controls National Amusements, a chain operator, offered": a name between such commas is no
 * subject. */
static bool is_aside(const struct facts *f, const struct name *run, size_t verb) {
    bool closed = false;
    for (size_t w = run->last; w < verb && !closed; w++)
        closed = is_low(f, w, ",");
    bool nearest = true;
    for (size_t w = run->first; w-- > 0 && closed;) {
        if (!is_low(f, w, ","))
            continue;
        if (w > 0 && (is_low(f, w + 1, "who") || is_low(f, w + 1, "which") || is_low(f, w + 1, "whose")))
            return true;
        if (nearest && w > 0 && (is_low(f, w + 1, "a") || is_low(f, w + 1, "an")))
            return true;
        nearest = false;
    }
    return false;
}

/* Whether the draft's name may be the subject of the word `verb` in a source. */
static bool leads_to(const struct facts *draft, const struct name *name, const struct facts *source,
                     size_t verb) {
    bool nearest = false;
    size_t behind = verb;
    for (size_t i = source->n_names; i-- > 0;) {
        const struct name *run = &source->names[i];
        if (run->last > verb)
            continue;
        if (is_governed(source, run->first) || is_aside(source, run, verb))
            continue;
        bool matches = run_matches(draft, name, source, run);
        if (matches && verb - run->last < NEAR_WORDS)
            return true;
        bool joined = nearest && behind - run->last <= 3; /* "A and B", "A said it and B" */
        if (nearest && !joined)
            return false;
        if (matches)
            return true;
        nearest = true;
        behind = run->first;
    }
    return !nearest; /* no name before the verb: a pronoun or a role, whose name the context has */
}

/* Whether the nearest free name before the source's verb is the draft's. */
static bool is_subject(const struct facts *draft, const struct name *name, const struct facts *source,
                       size_t verb) {
    for (size_t i = source->n_names; i-- > 0;) {
        const struct name *run = &source->names[i];
        if (run->last <= verb && !is_governed(source, run->first))
            return run_matches(draft, name, source, run);
    }
    return false;
}

/* "was quoted", "will be bought": a participle behind a form of to be. */
static bool is_passive(const struct facts *f, size_t verb) {
    static const char *const forms[] = {"is", "are", "was", "were", "be", "been", "being"};
    static const char *const odd[] = {"bought", "sold",  "told",  "made",   "held",    "led",
                                      "set",    "given", "taken", "paid",   "built",   "cut",
                                      "found",  "shown", "known", "driven", "written", "seen"};
    const char *low = f->words[verb].low;
    size_t len = strlen(low);
    bool participle = len > 3 && strcmp(low + len - 2, "ed") == 0;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        participle |= strcmp(odd[i], low) == 0;
    for (size_t i = verb > 3 ? verb - 3 : 0; i < verb && participle; i++)
        for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++)
            if (strcmp(forms[k], f->words[i].low) == 0)
                return true;
    return false;
}

static bool is_noun_by(const struct facts *f, size_t verb) {
    size_t to = verb + 8 < f->n_words ? verb + 8 : f->n_words;
    for (size_t i = verb; i < to; i++)
        if (is_low(f, i, "by"))
            return true;
    return false;
}

/* The word that the name acts by: the first content word behind it that some source has too, or 0. */
static size_t verb_of(const struct facts *draft, const struct name *name,
                      const struct gate_sources *sources) {
    size_t to = name->last + VERB_REACH < draft->n_words ? name->last + VERB_REACH : draft->n_words;
    for (size_t w = name->last; w < to; w++) {
        const struct word *word = &draft->words[w];
        bool resumes = w == name->last && is_low(draft, w, ",") && w + 1 < draft->n_words &&
                       (draft->words[w + 1].flags & (LEX_BE | LEX_MODAL)); /* ", the B, is adding" */
        if (word->kind == WORD_PUNCT && strchr(",;:.", word->low[0]) && !resumes)
            return 0;
        if (word->part == PART_NAME)
            return 0;
        if (word->part == PART_PLAIN && word->kind == WORD_TEXT && !(word->flags & LEX_STOP) &&
            gate_has_word(sources, word, false))
            return w;
    }
    return 0;
}

static bool is_speaker(const struct facts *draft, const struct name *name) {
    for (size_t i = 0; i < draft->n_speeches; i++)
        if (name->first >= draft->speeches[i].near_first && name->first < draft->speeches[i].last &&
            (draft->speeches[i].verb < name->first || draft->speeches[i].verb - name->last < NEAR_WORDS))
            return true;
    return false;
}

/* "Nazer was quoted by the agency" must not become "Nazer quoted the agency". */
static bool turns_voice(const struct gate_input *input, const struct name *name, size_t verb) {
    const struct facts *draft = input->draft;
    for (size_t i = 0; i < input->sources->n; i++) {
        const struct facts *source = input->sources->sentences[i];
        for (size_t w = 0; w < source->n_words; w++)
            if (strcmp(source->words[w].low, draft->words[verb].low) == 0 &&
                is_passive(source, w) != is_passive(draft, verb) && is_subject(draft, name, source, w))
                return true;
    }
    return false;
}

static bool acts_so(const struct gate_input *input, const struct name *name, size_t verb) {
    const struct gate_sources *sources = input->sources;
    const struct facts *draft = input->draft;
    const struct word *word = &draft->words[verb];
    bool said_passive = is_passive(draft, verb), found = false;
    for (size_t i = 0; i < sources->n; i++) {
        const struct facts *source = sources->sentences[i];
        for (size_t w = 0; w < source->n_words; w++) {
            if (source->words[w].kind != WORD_TEXT || !word_related(&source->words[w], word))
                continue;
            found = true;
            bool leads = leads_to(draft, name, source, w), turned = said_passive != is_passive(source, w);
            if (turned && strcmp(source->words[w].low, word->low) == 0) {
                if (!is_subject(draft, name, source, w))
                    return true; /* the voice changed, and with it who stands first */
            } else if (leads || is_noun_by(source, w) != is_noun_by(draft, verb)) {
                return true;
            }
        }
    }
    return !found;
}

/* ---- what a number counts, and whom a name belongs to ---- */

/* The first governed name behind a number, before the next number: "14 shops in Ohio", or n_names. */
static size_t name_counted(const struct facts *f, const struct number *number) {
    for (size_t i = 0; i < f->n_names; i++) {
        const struct name *name = &f->names[i];
        if (name->first < number->last || name->first - number->last > COUNTED_REACH)
            continue;
        for (size_t k = 0; k < f->n_numbers; k++)
            if (f->numbers[k].first >= number->last && f->numbers[k].first < name->first)
                return f->n_names;
        for (size_t w = number->last; w < name->first; w++)
            if (f->words[w].kind == WORD_PUNCT && strchr(",;:", f->words[w].low[0]))
                return f->n_names;
        return is_governed(f, name->first) ? i : f->n_names;
    }
    return f->n_names;
}

/* Whether the sources give the number to somebody else. */
static bool given_to_another(const struct gate_input *input, const struct number *number,
                             const struct name *name) {
    bool another = false;
    for (size_t s = 0; s < input->sources->n; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t i = 0; i < source->n_numbers; i++) {
            if (!number_same(number, &source->numbers[i], true))
                continue;
            size_t own = name_counted(source, &source->numbers[i]);
            if (own == source->n_names)
                continue;
            if (run_matches(input->draft, name, source, &source->names[own]))
                return false;
            another = true;
        }
    }
    return another;
}

/* "of Pemberton", "in U.S.": whether the name is only ever the bare subject in the sources; for a place
 * ("in Kuwait") also whether it is only ever an owner there ("Kuwait's minister"). */
static bool only_acts(const struct gate_input *input, const struct name *name, bool place) {
    bool found = false;
    for (size_t s = 0; s < input->sources->n; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t i = 0; i < source->n_names; i++) {
            const struct name *run = &source->names[i];
            if (!run_matches(input->draft, name, source, run))
                continue;
            found = true;
            const struct word *next = run->last < source->n_words ? &source->words[run->last] : NULL;
            bool acts = next && ((next->flags & (LEX_BE | LEX_REPORT | LEX_MODAL | LEX_PLAN | LEX_EXPECT)) ||
                                 next->low[0] == ',' || (next->flags & LEX_CONJ));
            bool owns = source->words[run->last - 1].possessive;
            if (is_governed(source, run->first) || (owns && !place) || (!acts && !owns))
                return false;
        }
    }
    return found;
}

/* The preposition that leads to a number, over articles and signs; NULL where none does. */
static const char *lead_in(const struct facts *f, const struct number *number) {
    static const char *const leads[] = {"for", "to", "from", "by", "of", "at"};
    for (size_t i = number->first; i > 0 && number->first - i < 4; i--) {
        const struct word *word = &f->words[i - 1];
        for (size_t k = 0; k < sizeof(leads) / sizeof(leads[0]); k++)
            if (strcmp(leads[k], word->low) == 0)
                return leads[k];
        bool skips = (word->flags & LEX_STOP) || word->low[0] == '$' || (word->flags & LEX_UNIT);
        if (word->part == PART_NUMBER || !skips)
            return NULL;
    }
    return NULL;
}

/* "to 6% from 5.5%" must not become "to 5.5% from 6%", nor "part of the $26 billion plan" "for $26 billion".
 */
static bool leads_differ(const struct gate_input *input, const struct number *number, const char **own) {
    const char *said = number->kind == NUMBER_COUNT && number->hard ? lead_in(input->draft, number) : NULL;
    bool differs = false;
    for (size_t s = 0; s < input->sources->n && said; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t i = 0; i < source->n_numbers; i++) {
            if (!number_same(number, &source->numbers[i], true))
                continue;
            const char *lead = lead_in(source, &source->numbers[i]);
            if (!lead || strcmp(lead, said) == 0)
                return false;
            *own = lead;
            differs = true;
        }
    }
    return differs;
}

/* "50.1% of the remainder": a share of something that the sources do not put behind it. */
static bool shares_another(const struct gate_input *input, const struct number *number) {
    const struct facts *draft = input->draft;
    size_t of = number->last, thing = of + 1;
    if (number->kind != NUMBER_COUNT || strcmp(number->unit, "percent") != 0 || !is_low(draft, of, "of"))
        return false;
    if (is_low(draft, thing, "the") || is_low(draft, thing, "its") || is_low(draft, thing, "their"))
        thing++;
    if (thing >= draft->n_words || !word_has_content(&draft->words[thing]))
        return false;
    bool found = false;
    for (size_t s = 0; s < input->sources->n; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t i = 0; i < source->n_numbers; i++) {
            if (!number_same(number, &source->numbers[i], true))
                continue;
            found = true;
            for (size_t w = source->numbers[i].last; w < source->n_words && w < source->numbers[i].last + 6;
                 w++)
                if (word_related(&source->words[w], &draft->words[thing]))
                    return false;
        }
    }
    return found;
}

/* "NVIDIA's Mistral": a possessive with a name behind it that the sources do not give to it. */
static bool owns_another(const struct gate_input *input, const struct name *owner, const struct name *owned) {
    const struct facts *draft = input->draft;
    if (!draft->words[owner->last - 1].possessive || owned->first - owner->last > 2)
        return false;
    for (size_t w = owner->last; w < owned->last; w++)
        if (draft->words[w].flags & LEX_ROLE)
            return false;
    bool possessed = false;
    for (size_t s = 0; s < input->sources->n; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t i = 0; i + 1 < source->n_names; i++) {
            if (!source->words[source->names[i].last - 1].possessive ||
                !run_matches(draft, owner, source, &source->names[i]))
                continue;
            possessed = true;
            if (run_matches(draft, owned, source, &source->names[i + 1]))
                return false;
        }
    }
    return possessed;
}

/* The word that governs a name, over an article; NULL where none does. */
static const char *name_lead(const struct facts *f, const struct name *name) {
    size_t at = name->first;
    if (at > 0 && (is_low(f, at - 1, "the") || is_low(f, at - 1, "a") || is_low(f, at - 1, "its")))
        at--;
    return at > 0 && f->words[at - 1].kind == WORD_TEXT && (f->words[at - 1].flags & LEX_PREP)
               ? f->words[at - 1].low
               : NULL;
}

/* A heading is short, so its prepositions carry it: "tools for AMD" is not "developers who build on AMD". */
static bool leads_elsewhere(const struct gate_input *input, const struct name *name) {
    static const char *const strong[] = {"for", "by", "from", "to", "against"};
    const char *said = name_lead(input->draft, name);
    bool is_strong = false, governed = false;
    for (size_t i = 0; i < sizeof(strong) / sizeof(strong[0]) && said; i++)
        is_strong |= strcmp(strong[i], said) == 0;
    for (size_t s = 0; s < input->sources->n && is_strong; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t i = 0; i < source->n_names; i++) {
            const char *own = name_lead(source, &source->names[i]);
            if (!own || !run_matches(input->draft, name, source, &source->names[i]))
                continue;
            if (strcmp(own, said) == 0)
                return false;
            governed = true;
        }
    }
    return governed;
}

static bool is_owner(const struct word *word) {
    return word->possessive || strcmp(word->low, "its") == 0 || strcmp(word->low, "his") == 0 ||
           strcmp(word->low, "her") == 0 || strcmp(word->low, "their") == 0 || strcmp(word->low, "our") == 0;
}

/* "the partners" must not become "its partners": a thing that the sources have, but give to nobody. */
static bool owned_by_nobody(const struct gate_input *input, size_t thing) {
    const struct word *word = &input->draft->words[thing];
    bool found = false;
    for (size_t s = 0; s < input->sources->n; s++) {
        const struct facts *source = input->sources->sentences[s];
        for (size_t w = 0; w < source->n_words; w++) {
            if (source->words[w].kind != WORD_TEXT || !word_related(&source->words[w], word))
                continue;
            found = true;
            for (size_t back = 1; back <= 4 && back <= w; back++)
                if (is_owner(&source->words[w - back]) ||
                    (back == 1 && source->words[w - 1].part == PART_NAME))
                    return false;
            for (size_t on = 1; on <= 3; on++)
                if (is_low(source, w + on, "of") || is_low(source, w + on, "for"))
                    return false;
        }
    }
    return found;
}

static void owners_kept(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t w = 0; w + 1 < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        size_t thing = w + 1;
        if (word->kind != WORD_TEXT || word->quoted || word->possessive || !is_owner(word))
            continue;
        while (thing < draft->n_words && draft->words[thing].part != PART_PLAIN)
            thing++;
        if (thing < draft->n_words && word_has_content(&draft->words[thing]) && owned_by_nobody(input, thing))
            gate_fail(verdict, GATE_TOGETHER, "\"%s %s\" belongs to nobody in the sources", word->low,
                      draft->words[thing].low);
    }
}

static void belongings_kept(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t i = 0; i < draft->n_numbers; i++) {
        size_t name = name_counted(draft, &draft->numbers[i]);
        if (name < draft->n_names && given_to_another(input, &draft->numbers[i], &draft->names[name]))
            gate_fail(verdict, GATE_TOGETHER, "the sources give %g to another name", draft->numbers[i].value);
        if (shares_another(input, &draft->numbers[i]))
            gate_fail(verdict, GATE_TOGETHER, "the sources have %g of something else",
                      draft->numbers[i].value);
        const char *own = NULL;
        if (leads_differ(input, &draft->numbers[i], &own))
            gate_fail(verdict, GATE_TOGETHER, "the sources have \"%s\" before %g", own,
                      draft->numbers[i].value);
    }
    for (size_t i = 0; i + 1 < draft->n_names; i++)
        if (owns_another(input, &draft->names[i], &draft->names[i + 1]))
            gate_fail(verdict, GATE_TOGETHER,
                      "the possessive \"%.*s\" has another name behind it in the sources",
                      (int)draft->words[draft->names[i].first].len,
                      draft->text + draft->words[draft->names[i].first].start);
    bool heading = input->field == FIELD_HEADLINE || input->field == FIELD_HEADING;
    for (size_t i = 0; i < draft->n_names && heading; i++)
        if (leads_elsewhere(input, &draft->names[i]))
            gate_fail(verdict, GATE_TOGETHER, "the sources have another word than \"%s\" before \"%s\"",
                      name_lead(draft, &draft->names[i]), draft->words[draft->names[i].first].low);
    for (size_t i = 0; i < draft->n_names; i++) {
        uint32_t first = draft->names[i].first;
        size_t at = first > 1 && is_low(draft, first - 1, "the") ? first - 2 : first - 1;
        bool held =
            first > 0 && (is_low(draft, at, "of") || is_low(draft, at, "in") || is_low(draft, at, "at"));
        if (held && only_acts(input, &draft->names[i], !is_low(draft, at, "of")))
            gate_fail(verdict, GATE_TOGETHER, "\"%.*s\" only acts in the sources",
                      (int)draft->words[first].len, draft->text + draft->words[first].start);
    }
}

void gate_together(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    belongings_kept(input, verdict);
    owners_kept(input, verdict);
    for (size_t w = 0; w < draft->n_words; w++) {
        uint8_t clause = draft->words[w].clause;
        if ((w > 0 && draft->words[w - 1].clause == clause) || count_facts(draft, clause) < 2)
            continue;
        if (!clause_stands(input, clause))
            gate_fail(verdict, GATE_TOGETHER, "no cited sentence has all the facts of the clause at \"%.*s\"",
                      (int)draft->words[w].len, draft->text + draft->words[w].start);
    }
    for (size_t i = 0; i < draft->n_names; i++) {
        const struct name *name = &draft->names[i];
        size_t verb = verb_of(draft, name, input->sources);
        if (verb == 0 || is_governed(draft, name->first) || draft->words[name->last - 1].possessive)
            continue;
        bool right = is_speaker(draft, name) ? !turns_voice(input, name, verb) : acts_so(input, name, verb);
        if (right)
            continue;
        const struct word *first = &draft->words[name->first], *last = &draft->words[name->last - 1];
        gate_fail(verdict, GATE_TOGETHER, "\"%.*s\" does not \"%s\" in the sources",
                  (int)(last->start + last->len - first->start), draft->text + first->start,
                  draft->words[verb].low);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - what one sentence claims.
 *
 * No parser: cues, speakers and scopes are found by words and punctuation, which wire copy keeps
 * regular enough. What is read here is compared with what is read the same way from another sentence, so a
 * scope that is a word too wide does no harm as long as it is so on both sides. */
#include "facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lexicon.h"

#define SCOPE_WORDS 12

bool word_has_content(const struct word *word) {
    return word->kind == WORD_TEXT && word->part == PART_PLAIN && !(word->flags & LEX_STOP);
}

static bool is(const struct facts *f, size_t i, const char *low) {
    return i < f->n_words && strcmp(f->words[i].low, low) == 0;
}

static bool ends_clause(const struct word *word) {
    return (word->kind == WORD_PUNCT && strchr(",;:.!?", word->low[0]) != NULL) ||
           (word->kind == WORD_TEXT && strcmp(word->low, "but") == 0);
}

/* Negation and denial, where the word really is one. */
static uint32_t negation_at(const struct facts *f, size_t i) {
    const struct word *word = &f->words[i];
    uint32_t flags = word->flags & (LEX_NEG | LEX_DENY);
    if (!flags || word->part == PART_NUMBER)
        return 0;
    if (is(f, i, "no") && i + 1 < f->n_words && f->words[i + 1].low[0] == '.')
        return 0; /* "No. 2" */
    if (is(f, i, "not") && is(f, i + 1, "only"))
        return 0;
    bool rules = is(f, i, "ruled") || is(f, i, "rules") || is(f, i, "ruling") || is(f, i, "rule");
    if (rules)
        return is(f, i + 1, "out") ? LEX_DENY : 0;
    bool needs_to = is(f, i, "declined") || is(f, i, "declines") || is(f, i, "failed") || is(f, i, "fails") ||
                    is(f, i, "fail");
    if (needs_to)
        return is(f, i + 1, "to") ? LEX_DENY : 0;
    return flags;
}

static uint32_t hedge_at(const struct facts *f, size_t i) {
    const struct word *word = &f->words[i];
    uint32_t flags = word->flags & (LEX_MODAL | LEX_EXPECT | LEX_PLAN | LEX_RUMOUR);
    bool is_to = is(f, i, "to") && i > 0 && i + 1 < f->n_words && word_has_content(&f->words[i + 1]) &&
                 (is(f, i - 1, "is") || is(f, i - 1, "are") || is(f, i - 1, "was") || is(f, i - 1, "were"));
    if (is_to)
        return LEX_PLAN; /* "policy is to raise the reserve" */
    if (!flags || word->part != PART_PLAIN)
        return 0;
    if (is(f, i, "due") && is(f, i + 1, "to") && !(i + 2 < f->n_words && (f->words[i + 2].flags & LEX_BE)))
        return 0; /* "due to" gives a reason */
    if (is(f, i, "set") && !is(f, i + 1, "to"))
        return 0;
    if ((is(f, i, "call") || is(f, i, "calls") || is(f, i, "called")) && !is(f, i + 1, "for"))
        return 0;
    return flags;
}

static void add_cue(struct facts *f, uint8_t kind, uint32_t flags, size_t i) {
    if (f->n_cues == CUES_MAX)
        return;
    struct cue *cue = &f->cues[f->n_cues++];
    *cue = (struct cue){.kind = kind, .flags = flags, .word = (uint32_t)i};
    size_t last = i + 1, first = i + 1;
    while (last < f->n_words && last - i <= SCOPE_WORDS && !ends_clause(&f->words[last]))
        last++;
    bool backward = is(f, i, "unlikely") || is(f, i, "baseless") || is(f, i, "silent") || kind == CUE_HEDGE;
    for (first = i; backward && first > 0 && i - first < SCOPE_WORDS && !ends_clause(&f->words[first - 1]);)
        first--;
    cue->first = (uint32_t)(backward ? first : i + 1);
    cue->last = (uint32_t)last;
}

static void read_cues(struct facts *f) {
    for (size_t i = 0; i < f->n_words; i++) {
        if (f->words[i].kind != WORD_TEXT)
            continue;
        uint32_t flags = negation_at(f, i);
        if (flags)
            add_cue(f, CUE_NEGATION, flags, i);
        flags = hedge_at(f, i);
        if (flags)
            add_cue(f, CUE_HEDGE, flags, i);
    }
}

static bool can_speak(const struct word *word) {
    return word->part == PART_NAME || (word->flags & (LEX_ROLE | LEX_PRONOUN));
}

static bool any_speaker(const struct facts *f, size_t first, size_t last) {
    for (size_t i = first; i < last; i++)
        if (can_speak(&f->words[i]))
            return true;
    return false;
}

/* A report verb, not a noun that looks like one ("market reports", "its estimates"). */
static bool is_report_verb(const struct facts *f, size_t i) {
    const struct word *word = &f->words[i];
    if (!(word->flags & LEX_REPORT) || word->part != PART_PLAIN || word->quoted)
        return false;
    if (is(f, i, "according"))
        return is(f, i + 1, "to");
    const struct word *before = i > 0 ? &f->words[i - 1] : NULL;
    if (is(f, i, "quoted"))
        return before && (can_speak(before) || (before->flags & LEX_BE));
    bool nounish = is(f, i, "named") || is(f, i, "reports") || is(f, i, "report") || is(f, i, "estimates") ||
                   is(f, i, "estimate") || is(f, i, "claims") || is(f, i, "forecast") ||
                   is(f, i, "forecasts") || is(f, i, "notes") || is(f, i, "states") ||
                   is(f, i, "questions") || is(f, i, "state") || is(f, i, "note");
    if (nounish) { /* a verb if somebody stands before it, and no word that only a noun follows */
        bool noun = !before || before->kind != WORD_TEXT || (before->flags & LEX_PREP) ||
                    before->possessive || (before->flags & LEX_BE) ||
                    ((before->flags & LEX_STOP) && !(before->flags & LEX_PRONOUN)) ||
                    strcmp(before->low, "its") == 0 || strcmp(before->low, "their") == 0;
        size_t from = i;
        while (from > 0 && !ends_clause(&f->words[from - 1]))
            from--;
        return !noun && any_speaker(f, from, i);
    }
    if (strstr("expected reported estimated believed forecast added quoted", word->low) &&
        strlen(word->low) > 5)
        return !before || !(before->flags & LEX_BE) || before->quoted;
    return true;
}

/* `," said Perrin Long`: the speaker stands behind the verb. */
static size_t speaker_behind(const struct facts *f, size_t verb) {
    size_t i = verb + (is(f, verb, "according") ? 2 : 1), from = i;
    size_t last = i;
    while (i < f->n_words && i < from + 8 && !ends_clause(&f->words[i])) {
        i++;
        if (can_speak(&f->words[i - 1]))
            last = i;
    }
    return last;
}

/* ", said Perrin Long of Lipper." but not ", said RMJ would be bought": nothing but the speaker up to the
 * clause's end. */
static bool only_speaker_behind(const struct facts *f, size_t verb) {
    size_t i = verb + 1;
    bool any = false;
    for (; i < f->n_words && !ends_clause(&f->words[i]); i++) {
        const struct word *word = &f->words[i];
        any |= can_speak(word);
        bool fits = can_speak(word) || (word->flags & LEX_PREP) || word->low[0] == '-' || is(f, i, "the") ||
                    is(f, i, "a") || is(f, i, "and");
        if (!fits || (word->flags & LEX_PRONOUN))
            return false;
    }
    return any;
}

static void read_speeches(struct facts *f) {
    size_t since = 0;
    for (size_t i = 0; i < f->n_words && f->n_speeches < SPEECHES_MAX; i++) {
        if (f->words[i].kind != WORD_TEXT || !is_report_verb(f, i))
            continue;
        if (i > 0 && is(f, i - 1, "as") && f->n_speeches > 0)
            continue; /* "was quoted by the daily as saying": one speech, and the daily did not make it */
        struct speech *speech = &f->speeches[f->n_speeches++];
        *speech = (struct speech){.verb = (uint32_t)i};
        const struct word *before = i > 0 ? &f->words[i - 1] : NULL;
        bool inverted = before && before->kind == WORD_PUNCT && strchr(",\"", before->low[0]) &&
                        (before->low[0] == '"' || only_speaker_behind(f, i));
        if (is(f, i, "according") || (inverted && f->words[i].low[0] != 'a')) {
            speech->first = speech->near_first = (uint32_t)(i + (is(f, i, "according") ? 2 : 1));
            speech->last = (uint32_t)speaker_behind(f, i);
            if (speech->last > speech->first)
                continue;
        }
        speech->first = (uint32_t)since;
        speech->last = (uint32_t)i;
        size_t comma = i;
        while (comma > since &&
               !(f->words[comma - 1].kind == WORD_PUNCT && strchr(",;:\"", f->words[comma - 1].low[0])))
            comma--;
        speech->near_first = (uint32_t)(any_speaker(f, comma, i) ? comma : since);
        since = i + 1;
    }
}

static void read_quotes(struct facts *f) {
    size_t open = 0;
    bool in = false;
    int brackets = 0;
    for (size_t i = 0; i < f->n_words; i++) {
        const struct word *word = &f->words[i];
        if (word->kind != WORD_PUNCT)
            continue;
        brackets += word->low[0] == '(' ? 1 : word->low[0] == ')' ? -1 : 0;
        if (word->low[0] != '"')
            continue;
        if (in && f->n_quotes < QUOTES_MAX)
            f->quotes[f->n_quotes++] = (struct quote){(uint32_t)open, word->start};
        open = word->start + 1;
        in = !in;
    }
    f->unbalanced = in || brackets != 0;
}

static bool counts(const struct word *word) {
    return word_has_content(word) ||
           (word->part == PART_NAME && word->kind == WORD_TEXT && !(word->flags & LEX_STOP));
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* What the sentence is about, as hashes: comparing two sentences is then one walk over both. */
static int read_keys(struct facts *f, struct arena *arena) {
    f->keys = arena_alloc(arena, (f->n_words ? f->n_words : 1) * sizeof(*f->keys));
    if (!f->keys)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < f->n_words; i++) {
        if (!counts(&f->words[i]))
            continue;
        uint32_t hash = 2166136261u;
        for (const char *c = f->words[i].canon; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 16777619u;
        f->keys[n++] = hash;
    }
    qsort(f->keys, n, sizeof(*f->keys), by_value);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || f->keys[i] != f->keys[i - 1])
            f->keys[f->n_keys++] = f->keys[i];
    return 0;
}

int facts_read(struct facts *f, struct arena *arena, const struct name_book *book, const char *text,
               int64_t published_ms) {
    memset(f, 0, sizeof(*f));
    f->text = text;
    f->published_ms = published_ms;
    int err = words_read(arena, text, &f->words, &f->n_words);
    if (err < 0)
        return err;
    f->titled = words_are_titled(f->words, f->n_words);
    f->n_numbers = numbers_read(f->words, f->n_words, f->numbers);
    f->n_numbers = numbers_resolve_days(f->numbers, f->n_numbers, published_ms);
    f->n_names = names_read(book, f->words, f->n_words, f->names);
    read_cues(f);
    read_speeches(f);
    read_quotes(f);
    return read_keys(f, arena);
}

bool facts_have(const struct facts *f, const char *canon) {
    for (size_t i = 0; i < f->n_words; i++)
        if (strcmp(f->words[i].canon, canon) == 0)
            return true;
    return false;
}

double facts_overlap(const struct facts *a, const struct facts *b) {
    size_t n_both = 0;
    for (size_t i = 0, k = 0; i < a->n_keys && k < b->n_keys;) {
        n_both += a->keys[i] == b->keys[k];
        uint32_t left = a->keys[i], right = b->keys[k];
        i += left <= right;
        k += right <= left;
    }
    return a->n_keys ? (double)n_both / (double)a->n_keys : 0;
}

/* ---- pronouns ---- */

static bool any_low(const struct word *word, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(word->low, list[i]) == 0)
            return true;
    return false;
}
#define ANY_LOW(word, list) any_low(word, list, sizeof(list) / sizeof((list)[0]))

static const char *const men[] = {"he", "she", "him", "his", "her", "hers"};
static const char *const many[] = {"they", "them", "their", "theirs"};
static const char *const things[] = {"it", "its"};
static const char *const pointers[] = {"this", "that", "these", "those", "such"};
static const char *const firms[] = {"inc", "co",    "corp", "plc",      "ltd",   "ag",
                                    "sa",  "group", "bank", "holdings", "agency"};

/* Whether the name may be a person's: two words without a firm's ending, or one who speaks in this sentence.
 */
static bool is_person(const struct facts *f, const struct name *name) {
    size_t n = 0;
    for (size_t w = name->first; w < name->last; w++) {
        if (ANY_LOW(&f->words[w], firms))
            return false;
        n += f->words[w].kind == WORD_TEXT;
    }
    for (size_t i = 0; i < f->n_speeches; i++)
        if (name->first >= f->speeches[i].near_first && name->last <= f->speeches[i].last &&
            f->speeches[i].verb - f->speeches[i].near_first < 8)
            return true;
    return n >= 2;
}

static bool man_before(const struct facts *f, size_t at) {
    static const char *const offices[] = {
        "minister",  "president", "chairman", "director",  "spokesman", "spokeswoman", "analyst", "governor",
        "secretary", "economist", "trader",   "executive", "king",      "prince",      "judge",   "lawyer",
        "investor",  "dealer",    "expert",   "engineer",  "owner",     "founder",     "manager", "chief"};
    for (size_t i = 0; i < f->n_names && f->names[i].first < at; i++)
        if (is_person(f, &f->names[i]))
            return true;
    for (size_t w = 0; w < at; w++)
        if (ANY_LOW(&f->words[w], offices))
            return true;
    return false;
}

/* Several who can speak: a plural office, or two names. */
static bool many_before(const struct facts *f, size_t at) {
    size_t n = 0;
    for (size_t i = 0; i < f->n_names && f->names[i].first < at; i++)
        n++;
    for (size_t w = 0; w < at; w++)
        if ((f->words[w].flags & LEX_ROLE) && f->words[w].low[strlen(f->words[w].low) - 1] == 's')
            return true;
    return n >= 2;
}

static bool thing_before(const struct facts *f, size_t at, bool content) {
    for (size_t w = 0; w < at; w++)
        if (f->words[w].part == PART_NAME || (f->words[w].flags & LEX_ROLE) ||
            (content && word_has_content(&f->words[w])))
            return true;
    return false;
}

static bool speaks_alone(const struct facts *f, size_t w) {
    for (size_t i = 0; i < f->n_speeches; i++)
        if (w >= f->speeches[i].near_first && w < f->speeches[i].last)
            return true;
    return false;
}

/* "The company said": one of several that could be meant, at the head and without a name. */
static bool is_bare_office(const struct facts *f) {
    static const char *const offices[] = {"company",    "companies", "firm",        "firms",     "group",
                                          "agency",     "spokesman", "spokeswoman", "unit",      "bank",
                                          "venture",    "minister",  "chairman",    "president", "executive",
                                          "subsidiary", "partners"};
    size_t the = f->n_words > 0 && (f->words[0].flags & LEX_CONJ) ? 1 : 0; /* "But the group" */
    if (f->n_words < the + 3 || !is(f, the, "the") || !ANY_LOW(&f->words[the + 1], offices))
        return false;
    const struct word *next = &f->words[the + 2];
    return next->kind == WORD_TEXT && next->part == PART_PLAIN && !(next->flags & LEX_PREP);
}

size_t facts_unsettled(const struct facts *f) {
    if (is_bare_office(f))
        return is(f, 0, "the") ? 1 : 2;
    for (size_t w = 0; w < f->n_words; w++) {
        const struct word *word = &f->words[w];
        if (word->kind != WORD_TEXT || word->quoted || word->part != PART_PLAIN)
            continue;
        if (word->first && ANY_LOW(word, pointers))
            return w;
        bool settled = true;
        if (ANY_LOW(word, men))
            settled = man_before(f, w);
        else if (ANY_LOW(word, many))
            settled = many_before(f, w) || (!speaks_alone(f, w) && thing_before(f, w, true));
        else if (ANY_LOW(word, things))
            settled = thing_before(f, w, !speaks_alone(f, w));
        if (!settled)
            return w;
    }
    return f->n_words;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* refer.c - whom "he", "they", "it" and "the company" mean, where the sentence before says it plainly.
 *
 * Wire copy keeps its subject: who spoke last speaks on. So only the speaker, or the subject at the head,
 * of a sentence right before is ever taken, and only if he is of the right kind: a person for "he", several
 * for "they", a named body for "it". A wrong guess would be worse than none, so in doubt there is none. */
#include "refer.h"

#include <string.h>
#include <strings.h>

#include "lexicon.h"

#define MEANT_MAX_BYTES 110

enum kind { KIND_MAN, KIND_MANY, KIND_BODY, KIND_NONE };

static bool is_any(const char *low, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], low) == 0)
            return true;
    return false;
}
#define IS_ANY(low, list) is_any(low, list, sizeof(list) / sizeof((list)[0]))

static enum kind kind_of(const struct facts *facts, size_t w) {
    static const char *const men[] = {"he", "she", "his", "her"};
    static const char *const many[] = {"they", "their", "companies", "partners", "firms"};
    static const char *const bodies[] = {"it",     "its",  "company", "firm", "group",
                                         "agency", "bank", "venture", "unit"};
    const char *low = facts->words[w].low;
    return IS_ANY(low, men)      ? KIND_MAN
           : IS_ANY(low, many)   ? KIND_MANY
           : IS_ANY(low, bodies) ? KIND_BODY
                                 : KIND_NONE;
}

static bool has_firm_ending(const struct facts *f, const struct name *name) {
    static const char *const endings[] = {
        "inc",      "co",     "corp",     "plc",  "ltd",        "ag",        "sa",     "group",
        "holdings", "hotels", "partners", "bank", "industries", "institute", "agency", "coalition"};
    for (size_t w = name->first; w < name->last; w++)
        if (IS_ANY(f->words[w].low, endings))
            return true;
    return false;
}

/* A person's name has two words that begin with a capital, and no firm's ending. */
static bool is_man(const struct facts *f, const struct name *name) {
    size_t n = 0;
    for (size_t w = name->first; w < name->last; w++)
        n += f->words[w].kind == WORD_TEXT && f->words[w].cap;
    return n >= 2 && !has_firm_ending(f, name);
}

/* A run that a preposition governs ("of Prudential-Bache") is not the speaker himself. */
static bool is_governed(const struct facts *f, uint32_t first) {
    size_t at = first;
    if (at > 0 && strcmp(f->words[at - 1].low, "the") == 0)
        at--;
    return at > 0 && f->words[at - 1].kind == WORD_TEXT && (f->words[at - 1].flags & LEX_PREP);
}

static char *text_between(struct arena *arena, const struct facts *f, size_t first, size_t last) {
    const struct word *a = &f->words[first], *b = &f->words[last - 1];
    size_t len = b->start + b->len - a->start - (b->possessive && b->len > 2 ? 2 : 0);
    return len <= MEANT_MAX_BYTES ? arena_copy(arena, f->text + a->start, len) : NULL;
}

/* The only run of its kind in words [first, last); n_names where there is none or more than one. */
static size_t only_name(const struct facts *f, size_t first, size_t last, bool man) {
    size_t found = f->n_names;
    for (size_t i = 0; i < f->n_names; i++) {
        const struct name *name = &f->names[i];
        if (name->first < first || name->last > last || is_governed(f, name->first) ||
            f->words[name->last - 1].possessive)
            continue;
        if (man && !is_man(f, name))
            continue;
        if (found < f->n_names)
            return man ? f->n_names : found; /* a body's other names are its parents and partners */
        found = i;
    }
    return found;
}

/* "Traders and analysts in oil markets", "Four Inns Inc and Vale Partners": several who speak. */
static char *several(struct arena *arena, const struct facts *f, size_t first, size_t last) {
    bool plural = false, joined = false;
    size_t n_names = 0;
    for (size_t w = first; w < last; w++) {
        const struct word *word = &f->words[w];
        if (word->flags & LEX_PRONOUN)
            return NULL;
        plural |=
            (word->flags & LEX_ROLE) && word->low[strlen(word->low) - 1] == 's' && word->kind == WORD_TEXT;
        joined |= strcmp(word->low, "and") == 0;
    }
    for (size_t i = 0; i < f->n_names; i++)
        n_names += f->names[i].first >= first && f->names[i].last <= last;
    bool bad_end = last > first && f->words[last - 1].kind != WORD_TEXT;
    return (plural || (joined && n_names >= 2)) && last > first && !bad_end
               ? text_between(arena, f, first, last)
               : NULL;
}

static char *speaker_of(struct arena *arena, const struct facts *f, enum kind kind) {
    for (size_t i = f->n_speeches; i-- > 0;) {
        const struct speech *speech = &f->speeches[i];
        if (speech->last <= speech->first)
            continue;
        if (kind == KIND_MANY) {
            char *meant = several(arena, f, speech->near_first, speech->last);
            if (meant)
                return meant;
            continue;
        }
        size_t name = only_name(f, speech->first, speech->last, kind == KIND_MAN);
        if (name < f->n_names)
            return text_between(arena, f, f->names[name].first, f->names[name].last);
    }
    return NULL;
}

/* The name at the head of a sentence without a speaker: "RMJ is the holding company of ...". */
static char *head_of(struct arena *arena, const struct facts *f, enum kind kind) {
    if (kind == KIND_MANY || f->n_speeches > 0 || f->n_names == 0 || f->names[0].first > 1)
        return NULL;
    const struct name *name = &f->names[0];
    if ((kind == KIND_MAN) != is_man(f, name) || f->words[name->last - 1].possessive)
        return NULL;
    return text_between(arena, f, name->first, name->last);
}

/* The sentence's own subject is a pronoun of the same kind: it passes on whom the one before it named. */
static bool passes_on(const struct facts *f, enum kind kind) {
    size_t w = facts_unsettled(f);
    return w < f->n_words && kind_of(f, w) == kind;
}

char *refer_find(struct arena *arena, const struct facts *facts, size_t unsettled,
                 const struct facts *const *before, size_t n_before, uint32_t *n_needed) {
    enum kind kind = kind_of(facts, unsettled);
    for (size_t i = 0; i < n_before && kind != KIND_NONE; i++) {
        bool settled = facts_unsettled(before[i]) == before[i]->n_words;
        char *meant = settled ? speaker_of(arena, before[i], kind) : NULL;
        if (!meant && settled)
            meant = head_of(arena, before[i], kind);
        if (meant) {
            *n_needed = (uint32_t)i + 1;
            return meant;
        }
        if (!passes_on(before[i], kind))
            return NULL;
    }
    return NULL;
}

bool refer_asks_for_man(const struct facts *facts, size_t unsettled) {
    return kind_of(facts, unsettled) == KIND_MAN;
}

const struct word *refer_man(const struct facts *facts) {
    for (size_t i = facts->n_speeches; i-- > 0;) {
        size_t name = only_name(facts, facts->speeches[i].first, facts->speeches[i].last, true);
        if (name < facts->n_names)
            return &facts->words[facts->names[name].last - 1];
    }
    return NULL;
}

char *refer_replace(struct arena *arena, const struct facts *facts, size_t unsettled, const char *modern,
                    const char *meant) {
    const struct word *word = &facts->words[unsettled];
    static const char *const owners[] = {"his", "her", "its", "their"};
    bool owns = IS_ANY(word->low, owners),
         office = unsettled >= 1 && strcmp(facts->words[unsettled - 1].low, "the") == 0;
    char *own = arena_copy(arena, facts->text + word->start, word->len);
    char *wanted = own && office ? arena_print(arena, "the %s", own) : own;
    if (!wanted)
        return NULL;
    size_t len = strlen(wanted);
    for (const char *at = modern; (at = strcasestr(at, wanted)); at++) {
        bool starts = at == modern || strchr(" \"(", at[-1]) != NULL;
        bool stops = strchr(" ,.;:\"')", at[len]) != NULL;
        if (!starts || !stops)
            continue;
        const char *tail = owns ? (meant[strlen(meant) - 1] == 's' ? "'" : "'s") : "";
        return arena_print(arena, "%.*s%s%s%s", (int)(at - modern), modern, meant, tail, at + len);
    }
    return NULL;
}

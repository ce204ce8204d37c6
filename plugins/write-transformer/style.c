/* SPDX-License-Identifier: Apache-2.0 */
/* style.c - the house's way to write numbers and days, by rule and without a model.
 *
 * A small model keeps "$12.5 million" far more often than it turns "12.5 mln dlrs" into it, so the
 * turning is done here, before it reads the sentence. */
#include "style.h"

#include <stdio.h>
#include <string.h>

#include "lexicon.h"
#include "text.h"

struct out {
    char *text;
    size_t len, cap;
};

static void put(struct out *out, const char *text, size_t len) {
    if (out->len + len >= out->cap)
        len = out->cap - out->len - 1;
    memcpy(out->text + out->len, text, len);
    out->len += len;
    out->text[out->len] = '\0';
}

static void put_text(struct out *out, const char *text) {
    put(out, text, strlen(text));
}

static bool is(const struct facts *f, size_t i, const char *low) {
    return i < f->n_words && strcmp(f->words[i].low, low) == 0;
}

static const char *const small_numbers[] = {"zero",  "one",   "two",  "three", "four",   "five",  "six",
                                            "seven", "eight", "nine", "ten",   "eleven", "twelve"};

/* The digits of a number word, or NULL. */
static const char *digits_of(const struct word *word, char *room, size_t cap) {
    if (word->kind == WORD_NUMBER)
        return word->low;
    for (size_t i = 0; i < sizeof(small_numbers) / sizeof(small_numbers[0]); i++)
        if (strcmp(small_numbers[i], word->low) == 0) {
            snprintf(room, cap, "%zu", i);
            return room;
        }
    return NULL;
}

static const char *multiplier_of(const struct facts *f, size_t i) {
    static const char *const forms[][2] = {
        {"mln", "million"},    {"million", "million"}, {"bln", "billion"},  {"billion", "billion"},
        {"bilion", "billion"}, {"bn", "billion"},      {"tln", "trillion"}, {"trillion", "trillion"}};
    for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++)
        if (is(f, i, forms[k][0]))
            return forms[k][1];
    return NULL;
}

static bool is_dollar(const struct facts *f, size_t i) {
    return is(f, i, "dlr") || is(f, i, "dlrs") || is(f, i, "dollar") || is(f, i, "dollars");
}

/* A whole amount at word `i`: writes it and returns the words it took, or 0. */
static size_t put_amount(struct out *out, const struct facts *f, size_t i) {
    char room[24];
    const char *digits = digits_of(&f->words[i], room, sizeof(room));
    bool signed_already = i > 0 && is(f, i - 1, "$");
    if (!digits)
        return 0;
    size_t at = i + 1;
    const char *range = NULL;
    if (is(f, at, "-") && f->words[at].joined && at + 1 < f->n_words &&
        f->words[at + 1].kind == WORD_NUMBER && !is(f, at + 2, "/")) {
        range = f->words[at + 1].low;
        at += 2;
    }
    const char *multiplier = multiplier_of(f, at);
    at += multiplier != NULL;
    size_t money = at + (is(f, at, "u.s") && is_dollar(f, at + 1));
    bool dollars = is_dollar(f, money), percent = is(f, at, "pct") || is(f, at, "percent");
    if (is(f, at, "dollar") && f->words[at].joined)
        dollars = false;
    if (!dollars && !percent && !multiplier)
        return 0;
    if (dollars && !signed_already)
        put_text(out, "$");
    put_text(out, digits);
    if (range) {
        put_text(out, "-");
        put_text(out, range);
    }
    if (multiplier) {
        put_text(out, " ");
        put_text(out, multiplier);
    }
    if (percent)
        put_text(out, "%");
    return (dollars ? money + 1 : percent ? at + 1 : at) - i;
}

static const char *day_name(int64_t published_ms, int offset) {
    static const char *const names[] = {"Thursday", "Friday",  "Saturday", "Sunday",
                                        "Monday",   "Tuesday", "Wednesday"};
    int64_t day = published_ms / 86400000 + offset;
    return names[((day % 7) + 7) % 7];
}

/* "today" as its weekday: "published on Sunday", "On Wednesday, ...", "today's" -> "Sunday's". */
static size_t put_day(struct out *out, const struct facts *f, size_t i) {
    bool today = is(f, i, "today"), yesterday = is(f, i, "yesterday"), tomorrow = is(f, i, "tomorrow");
    if ((!today && !yesterday && !tomorrow) || f->published_ms <= 0 || f->words[i].quoted)
        return 0;
    const char *name = day_name(f->published_ms, yesterday ? -1 : tomorrow ? 1 : 0);
    bool by = i > 0 && (f->words[i - 1].flags & LEX_PREP);
    if (!by && !f->words[i].possessive)
        put_text(out, f->words[i].first ? "On " : "on ");
    put_text(out, name);
    if (f->words[i].possessive)
        put_text(out, "'s");
    return 1;
}

static size_t put_short_form(struct out *out, const struct facts *f, size_t i) {
    if (is(f, i, "(") && is(f, i + 1, "bpd") && is(f, i + 2, ")")) {
        while (out->len && out->text[out->len - 1] == ' ')
            out->text[--out->len] = '\0';
        return 3;
    }
    static const char *const forms[][2] = {{"dlrs", "dollars"},      {"dlr", "dollar"},  {"pct", "percent"},
                                           {"bpd", "barrels a day"}, {"mln", "million"}, {"bln", "billion"},
                                           {"cts", "cents"}};
    for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++)
        if (is(f, i, forms[k][0])) {
            put_text(out, forms[k][1]);
            return 1;
        }
    return 0;
}

char *style_modern(struct arena *arena, const struct facts *f) {
    size_t len = strlen(f->text), at = 0;
    struct out out = {.text = arena_alloc(arena, len * 2 + 64), .cap = len * 2 + 64};
    if (!out.text)
        return NULL;
    for (size_t i = 0; i < f->n_words;) {
        put(&out, f->text + at, f->words[i].start - at);
        at = f->words[i].start;
        size_t taken = 0;
        if (!f->words[i].quoted || f->words[i].low[0] == '"') {
            taken = put_amount(&out, f, i);
            taken = taken ? taken : put_day(&out, f, i);
            taken = taken ? taken : put_short_form(&out, f, i);
        }
        if (taken) {
            const struct word *last = &f->words[i + taken - 1];
            at = last->start + last->len;
            i += taken;
        } else {
            put(&out, f->text + at, f->words[i].len);
            at += f->words[i].len;
            i++;
        }
    }
    put(&out, f->text + at, len - at);
    return out.text;
}

/* ---- answers and titles ---- */

static void capitalise(char *text) {
    char *first = text;
    while (*first == '"' || *first == '(')
        first++;
    if (*first >= 'a' && *first <= 'z' && strncmp(first, "al-", 3) != 0)
        *first = (char)(*first - 32);
}

/* Words of a text set as running text writes them: names by the book, the rest lower. */
static char *set_case(struct arena *arena, const struct name_book *book, const char *text,
                      bool keep_unknown) {
    struct word *words = NULL;
    size_t n = 0, at = 0;
    if (words_read(arena, text, &words, &n) < 0)
        return NULL;
    size_t len = strlen(text);
    struct out out = {.text = arena_alloc(arena, len * 2 + 64), .cap = len * 2 + 64};
    if (!out.text)
        return NULL;
    bool after_name = false;
    for (size_t i = 0; i < n; i++) {
        const struct word *word = &words[i];
        put(&out, text + at, word->start - at);
        at = word->start + word->len;
        const char *form = word->kind == WORD_TEXT ? name_book_usual(book, word->low) : NULL;
        bool part = i + 1 < n && words[i + 1].kind == WORD_TEXT && name_book_form(book, words[i + 1].low);
        if ((word->flags & LEX_STOP) && !part)
            form = NULL; /* "New" only before "York" */
        if (form && !part && !after_name && (word->flags & LEX_WORDY) && name_book_plain(book, word->low))
            form = NULL; /* a common word that stands alone: "to sell hotel" */
        after_name = form != NULL;
        bool dotted = word->kind == WORD_TEXT && strchr(word->low, '.') != NULL;
        bool mixed = word->cap && !word->caps && keep_unknown && !name_book_plain(book, word->low) &&
                     !(word->flags & LEX_WORDY);
        if (form)
            put_text(&out, form);
        else if (word->kind != WORD_TEXT || dotted || mixed || (word->flags & (LEX_MONTH | LEX_WEEKDAY)))
            put(&out, text + word->start, word->len - (word->possessive ? 2 : 0));
        else
            put_text(&out, word->low);
        if (word->possessive && word->len > 2)
            put_text(&out, "'s");
    }
    put(&out, text + at, len - at);
    return out.text;
}

char *style_title(struct arena *arena, const struct name_book *book, const char *title) {
    char *mask = text_mask(arena, title, strlen(title), NULL);
    char *clean = mask ? text_clean(arena, mask, (struct text_range){0, (uint32_t)strlen(title)}) : NULL;
    char *set = clean ? set_case(arena, book, clean, false) : NULL;
    if (!set)
        return NULL;
    capitalise(set);
    return set;
}

/* "U. S. Government" is "U.S. Government". Returns the new length. */
static size_t join_initials(char *text) {
    size_t out = 0;
    for (size_t i = 0; text[i]; i++) {
        bool gap = text[i] == ' ' && i >= 2 && text[i - 1] == '.' && text[i - 2] >= 'A' &&
                   text[i - 2] <= 'Z' && (i == 2 || text[i - 3] == ' ') && text[i + 1] >= 'A' &&
                   text[i + 1] <= 'Z' && text[i + 2] == '.';
        if (!gap)
            text[out++] = text[i];
    }
    text[out] = '\0';
    return out;
}

char *style_tidy(struct arena *arena, const struct name_book *book, const char *text, bool heading,
                 bool question) {
    size_t len = strlen(text);
    if (len > UINT32_MAX / 4)
        return NULL;
    char *clean = text_clean(arena, text, (struct text_range){0, (uint32_t)len});
    if (!clean)
        return NULL;
    len = join_initials(clean);
    if (heading) {
        struct word *words = NULL;
        size_t n = 0;
        while (len && strchr(".,;:", clean[len - 1]))
            clean[--len] = '\0';
        int err = words_read(arena, clean, &words, &n);
        if (err == 0 && words_are_titled(words, n))
            clean = set_case(arena, book, clean, true);
    } else if (len && clean[len - 1] != '.' && clean[len - 1] != '?' && clean[len - 1] != '!' &&
               !(clean[len - 1] == '"' && len > 1 && strchr(".?!", clean[len - 2]))) {
        clean = arena_print(arena, "%s%c", clean, question ? '?' : '.');
    }
    if (clean)
        capitalise(clean);
    return clean;
}

char *style_quote(struct arena *arena, const char *clean, const char *source) {
    char *inner = arena_copy(arena, clean, strlen(clean));
    if (!inner)
        return NULL;
    for (char *c = inner; *c; c++)
        if (*c == '"')
            *c = '\'';
    return arena_print(arena, "%s said: \"%s\"", source, inner);
}

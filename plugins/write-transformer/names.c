/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - which words are names, learnt from the story itself. */
#include "names.h"

#include <errno.h>
#include <string.h>

#include "lexicon.h"

#define BUCKETS 1024

struct name_entry {
    struct name_entry *next;
    const char *low;
    const char *form;         /* as first met with a capital in running text; NULL: never */
    uint32_t n_form, n_plain; /* times met with a capital, and in lower case */
};

int name_book_init(struct name_book *book, struct arena *arena) {
    book->arena = arena;
    book->n = 0;
    book->buckets = arena_alloc(arena, BUCKETS * sizeof(*book->buckets));
    return book->buckets ? 0 : -ENOMEM;
}

static struct name_entry **bucket_of(const struct name_book *book, const char *low) {
    uint32_t hash = 2166136261u;
    for (; *low; low++)
        hash = (hash ^ (unsigned char)*low) * 16777619u;
    return &book->buckets[hash % BUCKETS];
}

static struct name_entry *find(const struct name_book *book, const char *low) {
    struct name_entry *entry = *bucket_of(book, low);
    while (entry && strcmp(entry->low, low) != 0)
        entry = entry->next;
    return entry;
}

static struct name_entry *find_or_add(struct name_book *book, const char *low) {
    struct name_entry *entry = find(book, low);
    if (entry)
        return entry;
    entry = arena_alloc(book->arena, sizeof(*entry));
    if (!entry)
        return NULL;
    struct name_entry **bucket = bucket_of(book, low);
    entry->low = low;
    entry->next = *bucket;
    *bucket = entry;
    book->n++;
    return entry;
}

bool words_are_titled(const struct word *words, size_t n_words) {
    size_t n_open = 0, n_cap = 0;
    for (size_t i = 0; i < n_words; i++) {
        if (words[i].kind != WORD_TEXT || (words[i].flags & LEX_STOP) || words[i].first)
            continue;
        n_open++;
        n_cap += words[i].cap;
    }
    return n_open >= 3 && n_cap == n_open;
}

static bool after_break(const struct word *words, size_t i) {
    return words[i].first ||
           (i > 0 && words[i - 1].kind == WORD_PUNCT && strchr("\":.!?(", words[i - 1].low[0]));
}

int name_book_learn(struct name_book *book, const char *text, const struct word *words, size_t n_words) {
    if (words_are_titled(words, n_words))
        return 0;
    for (size_t i = 0; i < n_words; i++) {
        const struct word *word = &words[i];
        if (word->kind != WORD_TEXT || (word->cap && after_break(words, i) && !word->caps))
            continue;
        struct name_entry *entry = find_or_add(book, word->low);
        if (!entry)
            return -ENOMEM;
        if (!word->cap)
            entry->n_plain++;
        else
            entry->n_form++;
        if (!word->cap) {
            continue;
        } else if (!entry->form) {
            entry->form = arena_copy(book->arena, text + word->start, word->len - (word->possessive ? 2 : 0));
            if (!entry->form)
                return -ENOMEM;
        }
    }
    return 0;
}

const char *name_book_form(const struct name_book *book, const char *low) {
    const struct name_entry *entry = book ? find(book, low) : NULL;
    return entry && !(lexicon_flags(low) & LEX_STOP) ? entry->form : NULL;
}

const char *name_book_usual(const struct name_book *book, const char *low) {
    const struct name_entry *entry = book ? find(book, low) : NULL;
    return entry && entry->n_form >= entry->n_plain ? entry->form : NULL;
}

bool name_book_plain(const struct name_book *book, const char *low) {
    const struct name_entry *entry = book ? find(book, low) : NULL;
    return entry && entry->n_plain > 0;
}

static bool is_particle(const char *low) {
    static const char *const particles[] = {"al",  "de", "del", "der", "van", "von",
                                            "bin", "el", "la",  "da",  "di",  "du"};
    for (size_t i = 0; i < sizeof(particles) / sizeof(particles[0]); i++)
        if (strcmp(particles[i], low) == 0)
            return true;
    return false;
}

/* "Barlow said": a first word that no list and no running text knows as a common one. */
static bool opens_name(const struct name_book *book, const struct word *first) {
    return !(first->flags & LEX_WORDY) && !name_book_plain(book, first->low);
}

/* "New York", "First Boston": a common word that a capital behind it makes part of a name. */
static bool opens_other_name(const struct word *word, const struct word *end) {
    const struct word *next = word + 1;
    bool articles =
        strcmp(word->low, "the") == 0 || strcmp(word->low, "a") == 0 || strcmp(word->low, "an") == 0;
    if (word->first || articles || (word->flags & (LEX_PRONOUN | LEX_PREP | LEX_CONJ | LEX_BE | LEX_WH)) ||
        next == end)
        return false;
    return next->kind == WORD_TEXT && next->cap && !(next->flags & (LEX_STOP | LEX_MONTH | LEX_WEEKDAY));
}

static bool is_name_word(const struct name_book *book, const struct word *word, const struct word *end,
                         bool titled) {
    if (word->kind != WORD_TEXT || word->part == PART_NUMBER || !word->cap)
        return false;
    if ((word->flags & (LEX_PRONOUN | LEX_MONTH | LEX_WEEKDAY)) || strcmp(word->low, "i") == 0)
        return false;
    if (titled)
        return name_book_form(book, word->low) != NULL && !name_book_plain(book, word->low);
    if (word->flags & LEX_STOP && !word->caps)
        return opens_other_name(word, end);
    if (word->first)
        return (name_book_form(book, word->low) != NULL && !(word->flags & LEX_STOP)) ||
               opens_name(book, word);
    return true;
}

/* Words that hold a name together: "Bank of New York", "al-Khalifa", "Prudential-Bache", "Dedham, Mass.". */
static size_t bridge(const struct name_book *book, const struct word *words, size_t n, size_t at,
                     bool titled) {
    size_t i = at;
    if (i < n && words[i].low[0] == '-' && words[i].joined)
        i++;
    else if (i < n && strcmp(words[i].low, "of") == 0 && i + 1 < n && strcmp(words[i + 1].low, "the") == 0)
        i += 2;
    else if (i < n && (strcmp(words[i].low, "of") == 0 || words[i].low[0] == '&'))
        i++;
    if (i < n && is_particle(words[i].low) && !words[i].cap) {
        i++;
        if (i < n && words[i].low[0] == '-')
            i++;
    }
    return i > at && i < n && is_name_word(book, &words[i], words + n, titled) ? i : at;
}

size_t names_read(const struct name_book *book, struct word *words, size_t n_words, struct name *out) {
    bool titled = words_are_titled(words, n_words);
    size_t n = 0;
    for (size_t i = 0; i < n_words && n < NAMES_MAX;) {
        size_t first = i;
        if (is_particle(words[i].low) && !words[i].cap && i + 2 < n_words && words[i + 1].low[0] == '-' &&
            words[i + 2].cap)
            i += 2; /* "al-Qabas" */
        if (!is_name_word(book, &words[i], words + n_words, titled)) {
            i = first + 1;
            continue;
        }
        for (i++; i < n_words && !words[i - 1].possessive;) {
            bool guessed =
                words[i - 1].first && !name_book_form(book, words[i - 1].low); /* "Directors of Holm Bank" */
            bool more = is_name_word(book, &words[i], words + n_words, titled);
            size_t next = more || guessed ? i : bridge(book, words, n_words, i, titled);
            if (next == i && !is_name_word(book, &words[i], words + n_words, titled))
                break;
            i = next + 1;
        }
        out[n++] = (struct name){(uint32_t)first, (uint32_t)i};
        for (size_t w = first; w < i; w++)
            words[w].part = words[w].kind == WORD_PUNCT ? words[w].part : PART_NAME;
    }
    return n;
}

bool name_words_match(const char *a, const char *b) {
    static const char *const peoples[] = {"i", "n", "an", "ian", "ese", "ish", "s", "is"};
    size_t na = strlen(a), nb = strlen(b);
    if (na == nb)
        return strcmp(a, b) == 0;
    const char *longer = na > nb ? a : b;
    size_t shorter = na > nb ? nb : na;
    if (shorter < 4 || strncmp(a, b, shorter) != 0)
        return false;
    for (size_t i = 0; i < sizeof(peoples) / sizeof(peoples[0]); i++)
        if (strcmp(longer + shorter, peoples[i]) == 0)
            return true;
    return false;
}

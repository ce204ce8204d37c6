/* SPDX-License-Identifier: Apache-2.0 */
/* split.c - where the sentences of wire copy begin and end.
 *
 * Paragraphs first (a blank line, or a line that is indented), then sentences in each. A full stop
 * ends a sentence if a new one can begin behind it and the word before it is no abbreviation, or is
 * one behind which the next word can only begin a sentence ("in the U.S. The company"). */
#include "split.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define QUOTE_MAX_BYTES    600 /* beyond it a quotation mark was left open by mistake */
#define DATELINE_MAX_BYTES 90

static const char *const abbreviations[] = {
    "mr",     "mrs",  "ms",   "dr",  "prof", "gen", "gov", "sen",  "rep",  "rev",   "st",   "co",
    "corp",   "inc",  "ltd",  "plc", "bros", "no",  "vs",  "etc",  "jan",  "feb",   "mar",  "apr",
    "jun",    "jul",  "aug",  "sep", "sept", "oct", "nov", "dec",  "mass", "calif", "conn", "fla",
    "ill",    "mich", "minn", "pa",  "tenn", "tex", "va",  "wash", "wis",  "ariz",  "ark",  "colo",
    "ga",     "ind",  "kan",  "ky",  "la",   "md",  "mo",  "mont", "neb",  "nev",   "okla", "ore",
    "messrs", "lt",   "col",  "maj", "capt", "sgt", "adm", "hon",  "jr",   "sr",    "dept", "est",
    "approx", "fig",  "al",   "cf",  "e.g",  "i.e", "a.m", "p.m",
};
/* Abbreviations that can also close a sentence: cut behind them if a starter follows. */
static const char *const starters[] = {
    "the",     "a",     "an",    "it",       "he",        "she",  "they",    "we",    "in",    "on",
    "at",      "but",   "and",   "this",     "these",     "that", "those",   "its",   "his",   "their",
    "however", "under", "for",   "as",       "last",      "some", "no",      "there", "after", "while",
    "when",    "if",    "asked", "analysts", "officials", "both", "earlier",
};

static bool listed(const char *const *list, size_t n, const char *word, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == len && strncasecmp(list[i], word, len) == 0)
            return true;
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == TEXT_GAP || c == '\n' || c == '\t' || c == '\r';
}

/* A word with a full stop behind it that does not end the sentence by itself: "Co.", "U.S.", "J.". */
static bool is_abbreviation(const char *text, size_t start, size_t stop) {
    size_t at = stop;
    while (at > start && (isalpha((unsigned char)text[at - 1]) || text[at - 1] == '.'))
        at--;
    const char *word = text + at;
    size_t len = stop - at;
    if (len == 0)
        return false;
    if (len == 1 && isupper((unsigned char)word[0]))
        return true;
    if (listed(abbreviations, sizeof(abbreviations) / sizeof(abbreviations[0]), word, len))
        return true;
    return len >= 3 && word[1] == '.' && isalpha((unsigned char)word[0]); /* U.S, E.F, a.m */
}

static bool is_starter(const char *text, size_t at, size_t end) {
    size_t len = 0;
    while (at + len < end && isalpha((unsigned char)text[at + len]))
        len++;
    return listed(starters, sizeof(starters) / sizeof(starters[0]), text + at, len);
}

/* Whether the sentence [start, ...) ends at the mark `i`; sets the offset behind its last byte. */
static bool ends_at(const char *text, size_t start, size_t end, size_t i, bool in_quote, size_t *behind) {
    char mark = text[i];
    if (mark != '.' && mark != '?' && mark != '!')
        return false;
    if (mark == '.' && ((i + 1 < end && text[i + 1] == '.') || (i > start && text[i - 1] == '.'))) {
        return false; /* an ellipsis leaves something out of a sentence */
    }
    size_t at = i + 1;
    while (at < end && (text[at] == '"' || text[at] == ')' || text[at] == '\'')) {
        in_quote = text[at] == '"' ? !in_quote : in_quote;
        at++;
    }
    if (in_quote)
        return false;
    *behind = at;
    if (at >= end)
        return true;
    if (!is_space(text[at]))
        return false;
    while (at < end && is_space(text[at]))
        at++;
    if (at >= end)
        return true;
    unsigned char next = (unsigned char)text[at];
    if (!isupper(next) && !isdigit(next) && next != '"' && next != '(' && next != '$' && next < 0x80)
        return false;
    if (mark == '.' && *behind == i + 1 && is_abbreviation(text, start, i))
        return is_starter(text, at, end) && i - start > 20;
    return true;
}

/* The end of the paragraph that begins at `at`: before a blank line or an indented one. */
static size_t paragraph_end(const char *text, size_t len, size_t at) {
    for (size_t i = at; i < len; i++) {
        if (text[i] != '\n')
            continue;
        size_t next = i + 1;
        if (next >= len || text[next] == '\n' || text[next] == '\r')
            return i;
        if (text[next] == '\t' || (next + 1 < len && text[next] == ' ' && text[next + 1] == ' '))
            return i;
    }
    return len;
}

/* "LONDON, Mar 2 - ", "NEW YORK, March 2 (Reuters) -", "PARIS --": the length to leave out, or 0. */
static size_t dateline_bytes(const char *text, size_t len) {
    size_t reach = len < DATELINE_MAX_BYTES ? len : DATELINE_MAX_BYTES, caps = 0;
    while (caps < reach && isupper((unsigned char)text[caps]))
        caps++;
    for (size_t i = caps; caps >= 3 && i + 1 < reach; i++) {
        if (text[i] == '-' && is_space(text[i - 1])) {
            size_t to = i + (text[i + 1] == '-' ? 2 : 1);
            return to < len && is_space(text[to]) ? to : 0;
        }
        if ((unsigned char)text[i] == 0xE2 && i + 2 < reach && (unsigned char)text[i + 1] == 0x80)
            return i + 3;
        if (text[i] == '.' && i + 1 < reach && is_space(text[i + 1]) && islower((unsigned char)text[i - 1]))
            return 0;
    }
    return 0;
}

/* "By Patti Domm, Reuters" and "Reuter" alone: who sent it, no sentence of it. */
static bool is_signature(const char *text, size_t len) {
    while (len && is_space(text[len - 1]))
        len--;
    size_t n_words = 0;
    for (size_t i = 0; i < len; i++)
        n_words += i == 0 || is_space(text[i - 1]);
    if (n_words <= 2 && (strncasecmp(text, "reuter", 6) == 0 || strncasecmp(text, "end", len) == 0))
        return true;
    return n_words <= 9 && len > 4 && strncmp(text, "By ", 3) == 0 && isupper((unsigned char)text[3]) &&
           text[len - 1] != '.';
}

struct walk {
    const char *text;
    struct split_sentence *out;
    size_t cap, n;
    uint32_t paragraph;
};

static void keep(struct walk *walk, size_t start, size_t end) {
    while (start < end && is_space(walk->text[start]))
        start++;
    while (end > start && is_space(walk->text[end - 1]))
        end--;
    if (start == end || walk->n == walk->cap ||
        (end - start < 12 && is_signature(walk->text + start, end - start)))
        return;
    walk->out[walk->n++] =
        (struct split_sentence){.range = {(uint32_t)start, (uint32_t)end}, .paragraph = walk->paragraph};
}

/* "obligations  Bank of New York owns": two spaces and a capital where a full stop was lost on the wire. */
static bool is_lost_stop(const char *text, size_t start, size_t end, size_t i) {
    return i > start && i + 2 < end && text[i] == ' ' && text[i + 1] == ' ' &&
           isupper((unsigned char)text[i + 2]) && islower((unsigned char)text[i - 1]);
}

static void split_paragraph(struct walk *walk, size_t at, size_t end) {
    const char *text = walk->text;
    size_t start = at, quote_at = 0, behind = 0;
    bool in_quote = false;
    for (size_t i = at; i < end; i++) {
        if (text[i] == '"') {
            in_quote = !in_quote;
            quote_at = i;
        }
        bool open = in_quote && i - quote_at < QUOTE_MAX_BYTES;
        if (!open && is_lost_stop(text, at, end, i)) {
            keep(walk, start, i);
            start = i;
            continue;
        }
        if (!ends_at(text, start, end, i, open, &behind))
            continue;
        keep(walk, start, behind);
        start = behind;
        i = behind - 1;
        in_quote = false;
    }
    keep(walk, start, end);
}

size_t split_sentences(const char *mask, size_t len, struct split_sentence *out, size_t cap) {
    struct walk walk = {.text = mask, .out = out, .cap = cap};
    for (size_t at = 0; at < len && walk.n < cap;) {
        while (at < len && is_space(mask[at]))
            at++;
        size_t end = paragraph_end(mask, len, at);
        size_t from = at;
        if (walk.n == 0 && end > at) {
            if (is_signature(mask + at, end - at))
                from = end;
            else
                from += dateline_bytes(mask + at, end - at);
        } else if (end > at && is_signature(mask + at, end - at)) {
            from = end;
        }
        size_t before = walk.n;
        split_paragraph(&walk, from, end);
        walk.paragraph += walk.n > before;
        at = end;
    }
    return walk.n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* beat.c - which beat and which kind a dispatch is, from the lists in the config. */
#include "beat.h"

#include <string.h>

#include "lexicon.h"

#define TITLE_WEIGHT  3
#define LEAD_WEIGHT   2
#define LEADS         4 /* sentences of a record that count */
#define KEYWORD_BYTES 48

static unsigned count_in(const struct facts *facts, const char *low, const char *canon) {
    unsigned n = 0;
    for (size_t w = 0; w < facts->n_words; w++)
        n += facts->words[w].kind == WORD_TEXT &&
             (strcmp(facts->words[w].low, low) == 0 || strcmp(facts->words[w].canon, canon) == 0);
    return n > 3 ? 3 : n;
}

static unsigned score_word(const struct brief *brief, const char *low) {
    char stem[KEYWORD_BYTES];
    const char *canon = lexicon_canon(low, stem, sizeof(stem));
    unsigned score = 0;
    for (size_t r = 0; r < brief->n_records; r++)
        score += TITLE_WEIGHT * count_in(&brief->records[r].title_facts, low, canon);
    for (size_t i = 0; i < brief->n_sentences; i++)
        if (brief->sentences[i].order < LEADS && !brief->sentences[i].unusable)
            score += (brief->sentences[i].order == 0 ? LEAD_WEIGHT : 1) *
                     count_in(&brief->sentences[i].facts, low, canon);
    return score;
}

/* Score of a line's words; `*any` tells whether it has some. */
static unsigned score_line(const struct brief *brief, const char *words, bool *any) {
    unsigned score = 0;
    *any = false;
    while (*words) {
        char low[KEYWORD_BYTES];
        size_t skip = strspn(words, " ,"), n = strcspn(words + skip, " ,");
        if (n > 0 && n < sizeof(low)) {
            for (size_t i = 0; i < n; i++) {
                char c = words[skip + i];
                low[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
            }
            low[n] = '\0';
            *any = true;
            score += score_word(brief, low);
        }
        words += skip + n;
    }
    return score;
}

char *beat_choose(const struct brief *brief, const struct telex_texts *lines) {
    const char *best = lines->count ? lines->items[0] : "", *general = NULL;
    unsigned best_score = 0;
    for (uint32_t i = 0; i < lines->count; i++) {
        const char *colon = strchr(lines->items[i], ':');
        bool any = false;
        unsigned score = colon ? score_line(brief, colon + 1, &any) : 0;
        if (!any && !general)
            general = lines->items[i];
        if (score > best_score) {
            best = lines->items[i];
            best_score = score;
        }
    }
    if (best_score == 0 && general)
        best = general;
    return arena_copy(brief->arena, best, strcspn(best, ":"));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* brief.c - what a story's records say, as ranked sentences without repetition.
 *
 * A sentence ranks by where it stands (news stands first), by how much other records say the same,
 * and by what it holds; ties go to the earlier record and sentence, so the ranking is the same every time. */
#include "brief.h"

#include <errno.h>
#include <string.h>

#include "lexicon.h"
#include "refer.h"
#include "split.h"
#include "style.h"

#define SENTENCE_MIN_BYTES 30
#define SENTENCE_MAX_BYTES 420
#define SAME_SHARE         0.62 /* of the content words in common, both ways on average */

static const char *why_unusable(const struct brief_sentence *sentence) {
    const struct facts *facts = &sentence->facts;
    const char *clean = sentence->clean, *taint = text_taint(clean);
    size_t len = strlen(clean);
    if (taint)
        return taint;
    if (len < SENTENCE_MIN_BYTES || len > SENTENCE_MAX_BYTES)
        return "too short or too long";
    if (facts->unbalanced)
        return "a quotation that is cut";
    if (facts->n_quotes > 0 && facts->n_speeches == 0)
        return "a quotation without its speaker";
    char end = clean[len - 1] == '"' ? clean[len - 2] : clean[len - 1];
    if (end != '.')
        return "no full sentence";
    if (!(clean[0] >= 'A' && clean[0] <= 'Z') && clean[0] != '"' && clean[0] != '$' &&
        (unsigned char)clean[0] < 0x80 && !(clean[0] >= '0' && clean[0] <= '9') &&
        strncmp(clean, "al-", 3) != 0)
        return "no full sentence";
    for (size_t w = 0; w < facts->n_words; w++) {
        const struct word *word = &facts->words[w];
        bool self = strcmp(word->low, "we") == 0 || strcmp(word->low, "our") == 0 ||
                    strcmp(word->low, "i") == 0 || strcmp(word->low, "my") == 0;
        if (self && !word->quoted && word->part != PART_NAME && word->kind == WORD_TEXT)
            return "speaks for its writer";
    }
    if (facts->titled)
        return "a heading";
    return NULL;
}

/* Whether more than one person has spoken in the record before sentence `i`: then "he" is safe in one
 * paragraph only. */
static bool several_men_before(const struct brief *brief, size_t i) {
    const struct word *one = NULL;
    for (size_t k = i; k-- > 0 && brief->sentences[k].record == brief->sentences[i].record;) {
        const struct word *man = refer_man(&brief->sentences[k].facts);
        if (man && one && strcmp(man->low, one->low) != 0)
            return true;
        one = man ? man : one;
    }
    return false;
}

/* Put a name where a sentence says "he", "they" or "it", if the sentences before it say whom that means. */
static void settle(struct brief *brief, size_t i) {
    struct brief_sentence *sentence = &brief->sentences[i];
    const struct facts *before[BRIEF_CONTEXT_MAX];
    size_t n = 0, unsettled = facts_unsettled(&sentence->facts);
    sentence->needs_context = unsettled < sentence->facts.n_words;
    if (!sentence->needs_context || sentence->unusable)
        return;
    bool near_only = refer_asks_for_man(&sentence->facts, unsettled) && several_men_before(brief, i);
    for (size_t back = 1; back <= BRIEF_CONTEXT_MAX && back <= i; back++) {
        const struct brief_sentence *other = &brief->sentences[i - back];
        if (near_only && other->paragraph != sentence->paragraph)
            break;
        if (other->record != sentence->record || text_taint(other->clean))
            break;
        before[n++] = &other->facts;
    }
    char *meant = refer_find(brief->arena, &sentence->facts, unsettled, before, n, &sentence->n_context);
    if (!meant) {
        sentence->unusable = "about somebody whom it does not name";
        return;
    }
    char *named = refer_replace(brief->arena, &sentence->facts, unsettled, sentence->modern, meant);
    if (!named)
        sentence->unusable = "about somebody whom it does not name";
    else
        sentence->modern = named;
}

static double alike(const struct facts *a, const struct facts *b) {
    return (facts_overlap(a, b) + facts_overlap(b, a)) / 2;
}

static void score(struct brief *brief) {
    for (size_t i = 0; i < brief->n_sentences; i++) {
        struct brief_sentence *sentence = &brief->sentences[i];
        double best[BRIEF_RECORDS_MAX] = {0}, central = 0;
        for (size_t k = 0; k < brief->n_sentences; k++) {
            const struct brief_sentence *other = &brief->sentences[k];
            if (other->record == sentence->record || other->unusable)
                continue;
            double share = alike(&sentence->facts, &other->facts);
            if (share > best[other->record])
                best[other->record] = share;
        }
        for (size_t r = 0; r < brief->n_records; r++)
            central += best[r];
        size_t n_names = sentence->facts.n_names, n_numbers = sentence->facts.n_numbers,
               len = strlen(sentence->clean);
        sentence->score = 1.0 / (1.0 + 0.25 * sentence->order);
        sentence->score += brief->n_records > 1 ? 0.8 * central / (double)(brief->n_records - 1) : 0;
        sentence->score +=
            0.06 * (double)(n_names > 3 ? 3 : n_names) + 0.06 * (double)(n_numbers > 3 ? 3 : n_numbers);
        sentence->score -= sentence->needs_context ? 0.15 : 0;
        sentence->score -= len > 280 ? 0.2 : 0;
        sentence->score -= sentence->facts.n_quotes > 0 ? 0.05 : 0;
    }
}

/* Each sentence that repeats a better one points at it. Better: usable first, then by score, then earlier. */
static void find_repetitions(struct brief *brief) {
    for (size_t i = 0; i < brief->n_sentences; i++) {
        struct brief_sentence *sentence = &brief->sentences[i];
        sentence->same_as = -1;
        double most = SAME_SHARE;
        for (size_t k = 0; k < brief->n_sentences && !sentence->unusable; k++) {
            const struct brief_sentence *other = &brief->sentences[k];
            if (k == i || other->unusable || other->score < sentence->score ||
                (other->score <= sentence->score && k > i))
                continue;
            double share = alike(&sentence->facts, &other->facts);
            if (share >= most) {
                most = share;
                sentence->same_as = (int32_t)k;
            }
        }
    }
    for (size_t i = 0; i < brief->n_sentences; i++) {
        int32_t *same_as = &brief->sentences[i].same_as;
        while (*same_as >= 0 && brief->sentences[*same_as].same_as >= 0)
            *same_as = brief->sentences[*same_as].same_as;
    }
}

/* First reading: where the sentences are, and what running text says about capitals. */
static int split_record(struct brief *brief, uint32_t r) {
    struct brief_record *record = &brief->records[r];
    char *mask = text_mask(brief->arena, record->text, record->text_bytes, &record->n_hidden);
    struct split_sentence *found = arena_alloc(brief->arena, BRIEF_RECORD_SENTENCES_MAX * sizeof(*found));
    if (!mask || !found)
        return -ENOMEM;
    size_t n = split_sentences(mask, record->text_bytes, found, BRIEF_RECORD_SENTENCES_MAX);
    for (size_t i = 0; i < n && brief->n_sentences < BRIEF_SENTENCES_MAX; i++) {
        struct brief_sentence *sentence = &brief->sentences[brief->n_sentences];
        struct word *words = NULL;
        size_t n_words = 0;
        char *clean = text_clean(brief->arena, mask, found[i].range);
        if (!clean)
            return -ENOMEM;
        int err = words_read(brief->arena, clean, &words, &n_words);
        if (err == -E2BIG)
            continue;
        if (err == 0)
            err = name_book_learn(&brief->book, clean, words, n_words);
        if (err < 0)
            return err;
        *sentence = (struct brief_sentence){.record = r,
                                            .order = (uint32_t)i,
                                            .paragraph = found[i].paragraph,
                                            .range = found[i].range,
                                            .clean = clean,
                                            .same_as = -1};
        brief->n_sentences++;
    }
    return 0;
}

static int read_titles(struct brief *brief) {
    for (size_t r = 0; r < brief->n_records; r++) {
        struct brief_record *record = &brief->records[r];
        const char *title = record->title ? record->title : "";
        record->heading = style_title(brief->arena, &brief->book, title);
        if (!record->heading)
            return -ENOMEM;
        int err = facts_read(&record->title_facts, brief->arena, &brief->book, record->heading, 0);
        if (err == -E2BIG) {
            record->heading = "";
            err = facts_read(&record->title_facts, brief->arena, &brief->book, "", 0);
        }
        if (err < 0)
            return err;
    }
    return 0;
}

int brief_read(struct brief *brief) {
    brief->sentences = arena_alloc(brief->arena, BRIEF_SENTENCES_MAX * sizeof(*brief->sentences));
    if (!brief->sentences || name_book_init(&brief->book, brief->arena) < 0)
        return -ENOMEM;
    for (uint32_t r = 0; r < brief->n_records; r++) {
        int err = split_record(brief, r);
        if (err < 0)
            return err;
    }
    int err = read_titles(brief);
    for (size_t i = 0; i < brief->n_sentences && err == 0; i++) {
        struct brief_sentence *sentence = &brief->sentences[i];
        err = facts_read(&sentence->facts, brief->arena, &brief->book, sentence->clean,
                         brief->records[sentence->record].published_ms);
        if (err < 0)
            break;
        sentence->modern = style_modern(brief->arena, &sentence->facts);
        if (!sentence->modern)
            return -ENOMEM;
        sentence->unusable = why_unusable(sentence);
        brief->n_tainted += text_taint(sentence->clean) != NULL;
    }
    if (err < 0)
        return err;
    for (size_t i = 0; i < brief->n_sentences; i++)
        settle(brief, i);
    score(brief);
    find_repetitions(brief);
    return 0;
}

void brief_sources(const struct brief *brief, size_t index, struct gate_sources *sources) {
    const struct brief_sentence *sentence = &brief->sentences[index];
    *sources = (struct gate_sources){.title = &brief->records[sentence->record].title_facts};
    for (size_t back = sentence->n_context; back > 0; back--) {
        sources->follows[sources->n] = sources->n > 0;
        sources->sentences[sources->n++] = &brief->sentences[index - back].facts;
    }
    sources->main = sources->n;
    sources->follows[sources->n] = sources->n > 0;
    sources->sentences[sources->n++] = &sentence->facts;
}

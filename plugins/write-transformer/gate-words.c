/* SPDX-License-Identifier: Apache-2.0 */
/* gate-words.c - rules "novelty", "whole" and "not again": the draft's own words, its shape, and its
 * neighbours. */
#include "gate.h"

#include <string.h>

#include "lexicon.h"
#include "split.h"
#include "text.h"

#define NOVEL_SHARE 0.20 /* of the content words may be the draft's own */
#define AGAIN_SHARE 0.80 /* of the content words of one stand in the other */
#define SHOUT_WORDS 4    /* so many words in capitals in a row are no acronyms */

/* ---- novelty ---- */

static bool is_reason_known(const struct gate_sources *sources) {
    for (size_t s = 0; s < sources->n; s++)
        for (size_t i = 0; i < sources->sentences[s]->n_words; i++) {
            const struct word *word = &sources->sentences[s]->words[i];
            bool since = strcmp(word->low, "since") == 0 && i + 1 < sources->sentences[s]->n_words &&
                         (word[1].flags & LEX_PRONOUN);
            if (word->kind == WORD_TEXT && ((word->flags & LEX_CAUSAL) || since))
                return true;
        }
    return false;
}

static void no_own_judgement(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t w = 0; w < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        if (word->kind != WORD_TEXT || word->part == PART_NAME || word->quoted)
            continue;
        if ((word->flags & LEX_EVAL) && !gate_own_word(input->sources, word, LEX_EVAL))
            gate_fail(verdict, GATE_NOVELTY, "\"%s\" is a judgement of its own", word->low);
        bool expects =
            strcmp(word->low, "due") == 0 && w + 1 < draft->n_words && draft->words[w + 1].flags == 0;
        if ((word->flags & LEX_CAUSAL) && !expects && !is_reason_known(input->sources) &&
            !gate_own_word(input->sources, word, LEX_CAUSAL))
            gate_fail(verdict, GATE_NOVELTY, "\"%s\" is a reason of its own", word->low);
    }
}

/* Report verbs are free where they report; "attribution" judges them there. */
static bool is_free(const struct facts *draft, size_t w, enum gate_field field) {
    const struct word *word = &draft->words[w];
    if (field == FIELD_QUESTION && (word->flags & (LEX_WH | LEX_UNIT | LEX_ASK | LEX_REPORT)))
        return true;
    for (size_t i = 0; i < draft->n_speeches; i++)
        if (draft->speeches[i].verb == w && !(word->flags & LEX_CERTAIN))
            return true;
    return false;
}

void gate_novelty(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    size_t n = 0, n_novel = 0;
    const struct word *first_novel = NULL;
    for (size_t w = 0; w < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        if (!word_has_content(word) || is_free(draft, w, input->field))
            continue;
        n++;
        if (gate_has_word(input->sources, word, true))
            continue;
        n_novel++;
        first_novel = first_novel ? first_novel : word;
    }
    size_t free_words =
        input->field == FIELD_QUESTION ? 0 : 1; /* a question brings in no subject of its own */
    if (n_novel > free_words && (double)n_novel > NOVEL_SHARE * (double)n)
        gate_fail(verdict, GATE_NOVELTY, "%zu of %zu content words are its own, first \"%s\"", n_novel, n,
                  first_novel->low);
    if (input->field != FIELD_QUESTION)
        no_own_judgement(input, verdict);
}

/* ---- whole ---- */

static void no_foreign_marks(const struct facts *draft, struct gate_verdict *verdict) {
    static const char *const marks[] = {"http://", "https://", "www.", "{",   "}", "[", "]",
                                        "\\",      "```",      "**",   "...", "<", ">"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (strstr(draft->text, marks[i]) && !(draft->n_quotes && strcmp(marks[i], "...") == 0))
            gate_fail(verdict, GATE_WHOLE, "\"%s\" has no place in a sentence", marks[i]);
    const char *taint = text_taint(draft->text);
    if (taint)
        gate_fail(verdict, GATE_WHOLE, "%s", taint);
    for (const char *c = draft->text; *c; c++)
        if ((unsigned char)*c < 0x20)
            gate_fail(verdict, GATE_WHOLE, "a control character");
}

static void no_stump(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    size_t len = strlen(draft->text), n_words = 0;
    const struct word *last = NULL;
    for (size_t w = 0; w < draft->n_words; w++)
        if (draft->words[w].kind != WORD_PUNCT) {
            last = &draft->words[w];
            n_words++;
        }
    bool brief = input->field == FIELD_HEADLINE || input->field == FIELD_HEADING;
    char end = len ? draft->text[len - 1] : '\0';
    if (end == '"' && len > 1)
        end = draft->text[len - 2];
    if (input->field == FIELD_QUESTION ? end != '?' : !brief && end != '.')
        gate_fail(verdict, GATE_WHOLE, "does not end as it should");
    if (brief && (end == '.' || end == ',' || end == ';' || end == ':'))
        gate_fail(verdict, GATE_WHOLE, "ends with \"%c\"", end);
    if (len > 1 && draft->text[len - 1] == '.' && strchr(",;:-(", draft->text[len - 2]))
        gate_fail(verdict, GATE_WHOLE, "breaks off at \"%c\"", draft->text[len - 2]);
    if (n_words < (brief ? 3u : 4u))
        gate_fail(verdict, GATE_WHOLE, "%zu words are no sentence", n_words);
    bool dangles = last && (last->flags & (LEX_PREP | LEX_CONJ)) && !(last->flags & (LEX_UP | LEX_DOWN));
    bool article = last && (strcmp(last->low, "the") == 0 || strcmp(last->low, "a") == 0 ||
                            strcmp(last->low, "an") == 0);
    bool be = last && (last->flags & LEX_BE) && input->field != FIELD_QUESTION;
    if (article || be || (dangles && input->field != FIELD_QUESTION))
        gate_fail(verdict, GATE_WHOLE, "breaks off at \"%s\"", last->low);
    struct split_sentence found[2];
    if (split_sentences(draft->text, len, found, 2) > 1)
        gate_fail(verdict, GATE_WHOLE, "is more than one sentence");
    if (draft->unbalanced)
        gate_fail(verdict, GATE_WHOLE, "a quotation mark or bracket is left open");
}

/* Something that can be a verb: a form of be or have, a modal, a report, a cue, or a word with a verb's
 * ending. */
static bool has_verb(const struct facts *draft) {
    static const char *const plain[] = {"buy",  "sell",  "rise", "fall",  "own",   "pay",  "keep",   "hold",
                                        "cut",  "face",  "win",  "lose",  "make",  "take", "get",    "give",
                                        "lead", "build", "join", "raise", "drop",  "deny", "reject", "back",
                                        "end",  "meet",  "move", "open",  "close", "find", "show"};
    for (size_t w = 0; w < draft->n_words; w++) {
        const struct word *word = &draft->words[w];
        if (word->kind != WORD_TEXT || word->part == PART_NAME)
            continue;
        if (word->flags & (LEX_BE | LEX_MODAL | LEX_REPORT | LEX_UP | LEX_DOWN | LEX_PLAN | LEX_EXPECT))
            return true;
        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
            if (strcmp(plain[i], word->low) == 0)
                return true;
        size_t len = strlen(word->low);
        bool ending = len > 3 && (strcmp(word->low + len - 2, "ed") == 0 || word->low[len - 1] == 's');
        if (ending || (word->flags & LEX_WORDY && strcmp(word->low, word->canon) != 0))
            return true;
    }
    return false;
}

static void pronouns_settled(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    size_t w = facts_unsettled(draft);
    if (w < draft->n_words && !input->before)
        gate_fail(verdict, GATE_WHOLE, "\"%s\" stands for nobody named before", draft->words[w].low);
}

/* "we", "our" outside quotation marks: a sentence torn out of one. */
static void no_first_person(const struct facts *draft, struct gate_verdict *verdict) {
    static const char *const persons[] = {"we", "our", "ours", "us", "i", "my", "me"};
    for (size_t w = 0; w < draft->n_words; w++)
        for (size_t i = 0; i < sizeof(persons) / sizeof(persons[0]); i++)
            if (!draft->words[w].quoted && !draft->words[w].caps && draft->words[w].kind == WORD_TEXT &&
                strcmp(draft->words[w].low, persons[i]) == 0 && draft->words[w].part != PART_NAME)
                gate_fail(verdict, GATE_WHOLE, "\"%s\" outside a quotation", persons[i]);
}

static void no_shouting(const struct facts *draft, struct gate_verdict *verdict) {
    size_t run = 0;
    for (size_t w = 0; w < draft->n_words; w++) {
        if (draft->words[w].kind != WORD_TEXT)
            continue;
        run = draft->words[w].caps ? run + 1 : 0;
        if (run >= SHOUT_WORDS)
            gate_fail(verdict, GATE_WHOLE, "%zu words in capitals", run);
    }
}

static bool opens_well(const struct facts *draft) {
    if (draft->n_words == 0)
        return false;
    const struct word *first = &draft->words[0];
    bool particle = first->kind == WORD_TEXT && first->part == PART_NAME; /* al-Qabas */
    return first->cap || first->kind == WORD_NUMBER || particle || strchr("\"$", first->low[0]) != NULL ||
           (unsigned char)first->low[0] >= 0x80;
}

/* "closing expected by March 31" where the source says that it was expected: a heading's grammar in a
 * sentence. */
static void no_telegram(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t w = 1; w + 1 < draft->n_words; w++) {
        const struct word *word = &draft->words[w], *next = &draft->words[w + 1];
        bool hedged = strcmp(word->low, "expected") == 0 || strcmp(word->low, "scheduled") == 0 ||
                      strcmp(word->low, "planned") == 0;
        bool timed = next->kind == WORD_TEXT && (next->flags & LEX_PREP);
        bool be = false;
        for (size_t back = 1; back <= 3 && back <= w; back++)
            be |= (draft->words[w - back].flags & (LEX_BE | LEX_PRONOUN)) != 0 ||
                  draft->words[w - back].low[0] == ',';
        if (hedged && timed && !be)
            gate_fail(verdict, GATE_WHOLE, "\"%s\" lacks its verb", word->low);
    }
}

void gate_whole(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    size_t len = strlen(draft->text);
    struct gate_length length = gate_lengths[input->field];
    if (len < length.min_bytes || len > length.max_bytes)
        gate_fail(verdict, GATE_WHOLE, "%zu bytes, a %s has %u to %u", len, gate_field_names[input->field],
                  length.min_bytes, length.max_bytes);
    if (!opens_well(draft))
        gate_fail(verdict, GATE_WHOLE, "does not begin as it should");
    no_foreign_marks(draft, verdict);
    no_stump(input, verdict);
    no_shouting(draft, verdict);
    no_first_person(draft, verdict);
    if (input->field == FIELD_DEK || input->field == FIELD_BODY || input->field == FIELD_ANSWER)
        no_telegram(input, verdict);
    if (input->field != FIELD_QUESTION)
        pronouns_settled(input, verdict);
    if (!has_verb(draft) && input->field != FIELD_HEADING && input->field != FIELD_QUESTION)
        gate_fail(verdict, GATE_WHOLE, "has no verb");
}

/* ---- not again ---- */

static bool same_numbers(const struct facts *a, const struct facts *b) {
    for (size_t i = 0; i < a->n_numbers; i++)
        if (!facts_have_number(b, &a->numbers[i]))
            return false;
    return true;
}

static bool same_run(const struct facts *a, size_t i, const struct facts *b, size_t k) {
    for (size_t n = 0; n < 3; n++)
        if (strcmp(a->words[i + n].low, b->words[k + n].low) != 0 || a->words[i + n].kind == WORD_PUNCT)
            return false;
    return true;
}

static size_t count_runs(const struct facts *facts, const struct facts *of, size_t i) {
    size_t n = 0;
    for (size_t k = 0; k + 3 <= facts->n_words; k++)
        n += same_run(of, i, facts, k);
    return n;
}

/* A small model in a loop: three words in a row twice, where no source has them twice. */
static void no_loop(const struct gate_input *input, struct gate_verdict *verdict) {
    const struct facts *draft = input->draft;
    for (size_t i = 0; i + 3 <= draft->n_words; i++) {
        size_t n = count_runs(draft, draft, i), most = 1;
        for (size_t s = 0; s < input->sources->n && n > 1; s++) {
            size_t there = count_runs(input->sources->sentences[s], draft, i);
            most = there > most ? there : most;
        }
        if (n > most)
            gate_fail(verdict, GATE_NOT_AGAIN, "repeats itself at \"%s %s %s\"", draft->words[i].low,
                      draft->words[i + 1].low, draft->words[i + 2].low);
    }
}

void gate_not_again(const struct gate_input *input, struct gate_verdict *verdict) {
    no_loop(input, verdict);
    for (size_t i = 0; i < input->n_earlier; i++) {
        const struct facts *earlier = input->earlier[i];
        double there = facts_overlap(input->draft, earlier), back = facts_overlap(earlier, input->draft);
        bool short_one = input->field == FIELD_HEADING || input->field == FIELD_QUESTION;
        bool says_more = !same_numbers(input->draft, earlier);
        bool again = there >= AGAIN_SHARE && !says_more;
        if (short_one)
            again = there >= 0.8 && back >= 0.7;
        if (!short_one && !again && there >= 0.6 && back >= 0.6 && !says_more)
            again = true;
        if (again)
            gate_fail(verdict, GATE_NOT_AGAIN, "repeats \"%.60s\"", earlier->text);
    }
}

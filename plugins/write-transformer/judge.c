/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - what becomes of a piece that was answered.
 *
 * Whatever stands at the end has passed the gate, or is the record's own sentence in quotation marks, or the
 * record's own title. */
#include "judge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lexicon.h"
#include "style.h"

#define EARLIER_MAX (2 * DRAFT_PIECES_MAX)

struct earlier {
    const struct facts *list[EARLIER_MAX];
    size_t n;
};

/* Everything that stands, except the piece itself. A question is compared with questions only. */
static void collect(const struct draft *draft, const struct piece *self, bool questions,
                    struct earlier *earlier) {
    earlier->n = 0;
    for (size_t i = 0; i < draft->n_pieces; i++) {
        const struct piece *piece = &draft->pieces[i];
        if (piece == self || piece->state != PIECE_STANDS)
            continue;
        if (self->field == FIELD_HEADLINE || (self->field == FIELD_DEK && piece->field == FIELD_HEADLINE))
            continue; /* a headline and its dek say the same news, short and in full */
        if (piece->field == FIELD_HEADING)
            continue; /* a heading may name what a sentence says */
        const struct facts *facts = questions ? piece->question_facts : piece->facts;
        if (facts && (!questions || piece->field == FIELD_ANSWER))
            earlier->list[earlier->n++] = facts;
    }
}

static void refuse(struct draft *draft, struct piece *piece, bool question, const char *text,
                   const struct gate_verdict *verdict) {
    for (unsigned rule = 0; rule < GATE_RULES; rule++) {
        if (!(verdict->failed & (1u << rule)))
            continue;
        draft->tally.refused[rule]++;
        if (piece->n_refusals == DRAFT_REFUSALS_MAX)
            continue;
        char *why = arena_copy(draft->brief->arena, verdict->why[rule], strlen(verdict->why[rule]));
        piece->refusals[piece->n_refusals++] = (struct refusal){
            .rule = (uint8_t)rule, .question = question, .text = text, .why = why ? why : ""};
    }
}

static void cite(struct piece *piece, uint32_t record, struct text_range range, bool title) {
    for (size_t i = 0; i < piece->n_citations; i++) {
        const struct piece_citation *known = &piece->citations[i];
        if (known->record == record && known->range.start == range.start && known->title == title)
            return;
    }
    if (piece->n_citations < DRAFT_CITATIONS_MAX)
        piece->citations[piece->n_citations++] =
            (struct piece_citation){.record = record, .range = range, .title = title};
}

/* Whether another sentence carries every number and name of the piece by itself. */
static bool supports_too(const struct brief *brief, size_t index, const struct piece *piece) {
    struct gate_sources sources;
    struct gate_verdict verdict = {0};
    brief_sources(brief, index, &sources);
    struct gate_input input = {.field = (enum gate_field)piece->field,
                               .draft = piece->facts,
                               .sources = &sources,
                               .book = &brief->book};
    gate_numbers(&input, &verdict);
    gate_names(&input, &verdict);
    gate_novelty(&input, &verdict);
    return verdict.failed == 0;
}

/* The sentence, the ones that name whom it is about, and those that say the same in other records. */
static void cite_support(const struct brief *brief, struct piece *piece) {
    const struct brief_sentence *sentence = &brief->sentences[piece->sentence];
    cite(piece, sentence->record, sentence->range, false);
    for (uint32_t back = 1; back <= sentence->n_context; back++)
        cite(piece, sentence->record, brief->sentences[piece->sentence - back].range, false);
    uint32_t heard = 1u << sentence->record;
    for (size_t i = 0; i < brief->n_sentences; i++) {
        const struct brief_sentence *other = &brief->sentences[i];
        if (other->same_as != (int32_t)piece->sentence || (heard & (1u << other->record)))
            continue;
        if (!supports_too(brief, i, piece))
            continue;
        heard |= 1u << other->record;
        cite(piece, other->record, other->range, false);
    }
}

static void stand(struct draft *draft, struct piece *piece, enum piece_origin origin) {
    piece->state = PIECE_STANDS;
    piece->origin = (uint8_t)origin;
    if (origin != ORIGIN_TITLE)
        cite_support(draft->brief, piece);
    draft->tally.written += origin == ORIGIN_WRITTEN;
    draft->tally.rewritten += origin == ORIGIN_REWRITTEN;
    draft->tally.quoted += origin == ORIGIN_QUOTED || origin == ORIGIN_TITLE;
}

static void drop(struct draft *draft, struct piece *piece) {
    piece->state = PIECE_DROPPED;
    draft->tally.dropped++;
}

/* What may be said of a text that is the record's own: that it is whole and not said yet. */
static bool own_words_stand(struct draft *draft, struct piece *piece, const struct facts *facts, bool quoted,
                            struct gate_verdict *verdict) {
    struct earlier earlier;
    struct gate_sources sources;
    collect(draft, piece, false, &earlier);
    brief_sources(draft->brief, piece->sentence, &sources);
    struct gate_input input = {.field = (enum gate_field)piece->field,
                               .draft = facts,
                               .sources = &sources,
                               .book = &draft->brief->book,
                               .earlier = earlier.list,
                               .n_earlier = earlier.n,
                               .question = piece->question_facts};
    *verdict = (struct gate_verdict){0};
    gate_whole(&input, verdict);
    gate_not_again(&input, verdict);
    if (piece->field == FIELD_ANSWER && quoted)
        gate_question(&input, verdict);
    return verdict->failed == 0;
}

/* "A report on tarn.example": only a plain host name is printed. NULL without memory. */
static const char *source_name(const struct brief *brief, const struct piece *piece) {
    const struct brief_record *record = &brief->records[brief->sentences[piece->sentence].record];
    size_t len = strlen(record->outlet);
    bool plain =
        len > 0 && len <= 60 && strspn(record->outlet, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
    return plain ? arena_print(brief->arena, "A report on %s", record->outlet) : "A source record";
}

/* Put the record's own sentence in the piece's place. 1 when it stands, 0 when it cannot, or -ENOMEM. */
static int quote_record(struct draft *draft, struct piece *piece) {
    struct arena *arena = draft->brief->arena;
    const struct brief_sentence *sentence = &draft->brief->sentences[piece->sentence];
    const char *clean = sentence->clean;
    if (sentence->needs_context && sentence->n_context != 1)
        return 0;
    if (sentence->needs_context) /* the sentence before it says whom it means, so both are quoted */
        clean = arena_print(arena, "%s %s", sentence[-1].clean, sentence->clean);
    const char *source = source_name(draft->brief, piece);
    char *text = source && clean ? style_quote(arena, clean, source) : NULL;
    struct facts *facts = arena_alloc(arena, sizeof(*facts));
    if (!text || !facts)
        return -ENOMEM;
    int err = facts_read(facts, arena, &draft->brief->book, text, 0);
    if (err < 0)
        return err == -E2BIG ? 0 : err;
    struct gate_verdict verdict;
    if (!own_words_stand(draft, piece, facts, true, &verdict))
        return 0;
    piece->text = text;
    piece->facts = facts;
    stand(draft, piece, ORIGIN_QUOTED);
    return 1;
}

/* A record's title, set as a heading, for a headline or section heading that cannot be written. */
static int take_title(struct draft *draft, struct piece *piece) {
    struct brief *brief = draft->brief;
    uint32_t own = brief->sentences[piece->sentence].record;
    for (uint32_t k = 0; k < brief->n_records; k++) {
        uint32_t r = (own + k) % (uint32_t)brief->n_records;
        struct brief_record *record = &brief->records[r];
        struct gate_verdict verdict;
        if (record->heading[0] == '\0' ||
            !own_words_stand(draft, piece, &record->title_facts, false, &verdict))
            continue;
        piece->text = record->heading;
        piece->facts = &record->title_facts;
        cite(piece, r, (struct text_range){0, 0}, true);
        stand(draft, piece, ORIGIN_TITLE);
        return 1;
    }
    return 0;
}

/* The last resort of a section heading: what it is about, by name. */
static int name_heading(struct draft *draft, struct piece *piece, uint32_t sentence) {
    struct arena *arena = draft->brief->arena;
    const struct facts *source = &draft->brief->sentences[sentence].facts;
    for (size_t i = 0; i < source->n_names; i++) {
        const struct word *first = &source->words[source->names[i].first],
                          *last = &source->words[source->names[i].last - 1];
        size_t len = last->start + last->len - first->start - (last->possessive ? 2 : 0);
        char *text = arena_print(arena, "What is known of %.*s", (int)len, source->text + first->start);
        struct facts *facts = arena_alloc(arena, sizeof(*facts));
        if (!text || !facts)
            return -ENOMEM;
        int err = facts_read(facts, arena, &draft->brief->book, text, 0);
        struct gate_verdict verdict;
        if (err < 0 || !own_words_stand(draft, piece, facts, false, &verdict))
            continue;
        piece->text = text;
        piece->facts = facts;
        piece->sentence = sentence;
        stand(draft, piece, ORIGIN_FORM);
        return 1;
    }
    return 0;
}

/* A title that is not the headline, else a name of the sentences that the section is made of. */
static int head_section(struct draft *draft, struct piece *piece) {
    int done = take_title(draft, piece);
    for (size_t i = 0; i < draft->n_pieces && done == 0; i++)
        if (draft->pieces[i].field == FIELD_BODY || draft->pieces[i].field == FIELD_DEK)
            done = name_heading(draft, piece, draft->pieces[i].sentence);
    return done;
}

static int fall_back(struct draft *draft, struct piece *piece) {
    int done = 0;
    if (piece->field == FIELD_HEADLINE)
        done = take_title(draft, piece);
    else if (piece->field == FIELD_HEADING)
        done = head_section(draft, piece);
    else if (piece->field != FIELD_ANSWER || piece->question_stands)
        done = quote_record(draft, piece);
    if (done == 0)
        drop(draft, piece);
    return done < 0 ? done : 0;
}

/* The sentence before it in the paragraph, if it says what the record says right before this one. */
static const struct facts *sentence_before(const struct draft *draft, const struct piece *piece) {
    const struct piece *before = NULL;
    for (const struct piece *other = draft->pieces; other < piece; other++)
        if (other->field == FIELD_BODY && piece->field == FIELD_BODY && other->state == PIECE_STANDS)
            before = other;
    uint32_t n_context = draft->brief->sentences[piece->sentence].n_context;
    bool names_him =
        before && before->sentence < piece->sentence && before->sentence + n_context >= piece->sentence;
    return names_him && before->facts->n_names > 0 ? before->facts : NULL;
}

static void judge_question(struct draft *draft, struct piece *piece, const struct gate_sources *sources) {
    struct earlier earlier;
    struct gate_verdict verdict;
    collect(draft, piece, true, &earlier);
    struct gate_input input = {.field = FIELD_QUESTION,
                               .draft = piece->question_facts,
                               .sources = sources,
                               .book = &draft->brief->book,
                               .earlier = earlier.list,
                               .n_earlier = earlier.n};
    piece->question_stands = gate_check(&input, &verdict);
    if (!piece->question_stands)
        refuse(draft, piece, true, piece->question, &verdict);
}

static int judge_piece(struct draft *draft, struct piece *piece) {
    struct gate_sources sources;
    struct gate_verdict verdict;
    struct earlier earlier;
    brief_sources(draft->brief, piece->sentence, &sources);
    if (piece->field == FIELD_ANSWER && !piece->question_stands)
        judge_question(draft, piece, &sources);
    collect(draft, piece, false, &earlier);
    struct gate_input input = {.field = (enum gate_field)piece->field,
                               .draft = piece->facts,
                               .sources = &sources,
                               .book = &draft->brief->book,
                               .earlier = earlier.list,
                               .n_earlier = earlier.n,
                               .before = sentence_before(draft, piece),
                               .question = piece->question_stands ? piece->question_facts : NULL};
    bool good = gate_check(&input, &verdict), asks = piece->field == FIELD_ANSWER;
    if (good && (!asks || piece->question_stands)) {
        stand(draft, piece, piece->attempts > 1 ? ORIGIN_REWRITTEN : ORIGIN_WRITTEN);
        return 0;
    }
    if (!good)
        refuse(draft, piece, false, piece->text, &verdict);
    bool only_question = !good && verdict.failed == 1u << GATE_QUESTION;
    if (only_question || (asks && !piece->question_stands)) {
        if (piece->question_attempts > draft->rewrites) {
            drop(draft, piece);
            return 0;
        }
        if (only_question) { /* the answer is right: ask for another question */
            refuse(draft, piece, true, piece->question, &verdict);
            piece->question_stands = false;
        }
    }
    if (good || only_question)
        return 0;
    if (piece->attempts > draft->rewrites)
        return fall_back(draft, piece);
    piece->facts = NULL;
    return 0;
}

int judge_all(struct draft *draft) {
    for (size_t i = 0; i < draft->n_pieces; i++) {
        struct piece *piece = &draft->pieces[i];
        if (piece->state != PIECE_OPEN || !piece->facts ||
            (piece->field == FIELD_ANSWER && !piece->question_facts))
            continue;
        int err = judge_piece(draft, piece);
        if (err < 0)
            return err;
    }
    return 0;
}

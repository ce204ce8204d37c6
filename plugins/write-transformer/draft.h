/* SPDX-License-Identifier: Apache-2.0 */
/* draft.h - from a plan to sentences that stand.
 *
 * Each part of the dispatch is a piece with its supporting sentence. Pieces go to the model in
 * waves; what the gate refuses goes back with the reason, then is replaced by a quotation of the record,
 * then dropped for a spare sentence. */
#ifndef DESK_DRAFT_H
#define DESK_DRAFT_H

#include "ask.h"
#include "brief.h"
#include "gate.h"
#include "plan.h"

enum {
    DRAFT_PIECES_MAX = 48,
    DRAFT_REFUSALS_MAX = 6,
    DRAFT_CITATIONS_MAX = 8,
};

enum piece_state { PIECE_OPEN, PIECE_STANDS, PIECE_DROPPED };
enum piece_origin { ORIGIN_WRITTEN, ORIGIN_REWRITTEN, ORIGIN_QUOTED, ORIGIN_TITLE, ORIGIN_FORM };

struct refusal {
    uint8_t rule;
    bool question; /* of the question, not of the answer */
    const char *text, *why;
};

struct piece_citation {
    uint32_t record;
    struct text_range range;
    bool title; /* the record's title; the range is empty */
};

struct piece {
    uint8_t field; /* enum gate_field: HEADLINE, DEK, HEADING, BODY or ANSWER */
    uint8_t state, origin, attempts;
    uint8_t question_attempts;
    bool question_stands;
    uint32_t sentence; /* of the brief */
    const char *text;  /* of the last attempt, or what stands */
    struct facts *facts;
    const char *question;
    struct facts *question_facts;
    struct refusal refusals[DRAFT_REFUSALS_MAX];
    size_t n_refusals;
    struct piece_citation citations[DRAFT_CITATIONS_MAX];
    size_t n_citations;
};

struct draft_tally {
    uint32_t jobs, written, rewritten, quoted, dropped;
    uint32_t refused[GATE_RULES];
    struct ask_counts counts;
};

struct draft {
    struct brief *brief;             /* borrowed */
    const struct previous *previous; /* the dispatch of the version before. borrowed; NULL: none */
    struct plan plan;
    struct piece pieces[DRAFT_PIECES_MAX]; /* headline, dek, body, heading, questions; spares behind */
    size_t n_pieces;
    struct draft_tally tally;
    char prompt_sha256[65]; /* of everything asked, in order */
    uint32_t rewrites;      /* allowed per piece */
    float temperature;      /* of a second rewrite; the first attempts are greedy */
    const char *seed_id;    /* dispatch id */
    uint64_t seed_version;
};

/* Write the dispatch: the draft needs brief, plan, rewrites, temperature and seed. What ask_all returns; OK
 * also when too little stands (see draft_stands). [strand] */
telex_status draft_write(struct draft *draft, const struct ask *ask, const char **why);

/* NULL when headline, dek, heading and `min_body` sentences and `min_faq` answers stand, else what is
 * missing. [any] */
const char *draft_stands(const struct draft *draft, size_t min_body, size_t min_faq);

/* The seed of one attempt, from the dispatch's id and version. [any] */
uint64_t draft_seed(const char *id, uint64_t version, uint32_t piece, uint32_t attempt);

#endif

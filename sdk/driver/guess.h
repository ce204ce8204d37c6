/* SPDX-License-Identifier: Apache-2.0 */
/* guess.h - which tokens probably come next, how sure that is, and how many of them are worth a row.
 *
 * Both answers are measured: how often a drafted token was right, by how much of the text agreed before it;
 * and how long a batch takes, by its rows. Neither ever changes a text. */
#ifndef SDK_DRIVER_GUESS_H
#define SDK_DRIVER_GUESS_H

#include "draft.h"
#include "grammar.h"
#include "vocab.h"

enum {
    GUESS_MAX = 16,       /* tokens drafted for one job in one batch */
    GUESS_CLASSES = 9,    /* of a drafted token: first of a string, of several matches, by bytes that agree */
    GUESS_COST_ROWS = 64, /* batches of up to so many rows are timed apart */
    GUESS_COST_STEPS = 8, /* larger ones by powers of two */
    GUESS_COST_SLOTS = GUESS_COST_ROWS + GUESS_COST_STEPS,
    GUESS_COST_STALE = 512 /* batches after which a time that was not seen again counts as unknown */
};

/* Drafted tokens, none of them checked against a grammar. */
struct guess {
    uint32_t n;
    int32_t ids[GUESS_MAX];
    uint8_t class_of[GUESS_MAX];
    float chance[GUESS_MAX]; /* that this one and all before it are right */
};

/* How often drafted tokens were right, lately. */
struct guess_record {
    float right[GUESS_CLASSES];
};

void guess_record_init(struct guess_record *record);
void guess_learn(struct guess_record *record, uint8_t class_of, bool right);

/* What a guess is made from. All borrowed; grammar NULL: free text. */
struct guess_place {
    const struct draft_index *index;
    const struct telex_model *model_class;
    void *model;
    const struct vocab *vocab;
    const struct grammar *grammar;
    const struct grammar_state *state;
    uint32_t n_strings; /* strings that the text has begun before this place */
    bool at_start;      /* nothing of the text, or of its string, is written yet */
};

void guess_make(const struct guess_place *place, const struct guess_record *record, struct guess *out);

/* How long batches take. */
struct guess_costs {
    float ms[GUESS_COST_SLOTS];
    uint32_t at[GUESS_COST_SLOTS]; /* the count when it was timed last; 0: never */
    uint32_t count;
};

void guess_timed(struct guess_costs *costs, uint32_t n_rows, double ms);

/* The expected time of a batch of n >= 1 rows, in ms; in some other unit before anything was timed. */
double guess_cost(const struct guess_costs *costs, uint32_t n_rows);

/* How many drafted tokens each job gets, so that the batch's expected tokens per second are most. `base` rows
 * are in the batch anyway, `n_sure` tokens come of it anyway; at most `room` are added. Writes length[i] for
 * guesses[i]. */
void guess_lengths(const struct guess_costs *costs, const struct guess *const *guesses, uint32_t n,
                   uint32_t base, uint32_t n_sure, uint32_t room, uint32_t *length);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* guess.c - drafts as tokens, their chances, and the number of them that pays.
 *
 * The rows of a batch are not equally dear: kernels work on tiles of several rows, so the cost of a batch is
 * a staircase. The lengths are therefore chosen by trying every number of rows, most promising first. */
#include "guess.h"

#include <string.h>

enum { TAIL_BYTES = 160, FORCED_BEHIND = 16, TOKENS_MAX = 192 };

/* ---- chances ---- */

/* Before anything is known: as on recorded dispatches of a small model, a little less. */
static const float first_chance[GUESS_CLASSES] = {0.4f, 0.5f, 0.5f, 0.55f, 0.7f, 0.75f, 0.8f, 0.9f, 0.92f};
static const float LEARN = 1.0f / 32;

enum { CLASS_START, CLASS_RIVALS, CLASS_MATCHED };

/* `matched` bytes agree before the draft, and `at` bytes of it come before the token. */
static uint8_t class_for(const struct draft_match *match, uint32_t at) {
    static const uint32_t upto[GUESS_CLASSES - CLASS_MATCHED - 1] = {3, 5, 8, 12, 20, 40};
    uint8_t c = CLASS_MATCHED;
    if (at == 0 && match->matched == 0)
        return CLASS_START;
    if (at == 0 && match->rival > 0)
        return CLASS_RIVALS;
    while (c < GUESS_CLASSES - 1 && match->matched + at > upto[c - CLASS_MATCHED])
        c++;
    return c;
}

void guess_record_init(struct guess_record *record) {
    memcpy(record->right, first_chance, sizeof(first_chance));
}

void guess_learn(struct guess_record *record, uint8_t class_of, bool right) {
    float *chance = &record->right[class_of];
    *chance += LEARN * ((right ? 1.0f : 0.0f) - *chance);
}

/* ---- tokens ---- */

/* The bytes of a match as far as the grammar takes them, with what it forces behind them. How many; *open
 * says that more would follow, so that the last token may be cut short. */
static uint32_t fitting_bytes(const struct guess_place *p, const struct draft_match *match, uint8_t *out,
                              bool *open) {
    uint32_t n = match->n < TAIL_BYTES ? match->n : TAIL_BYTES, fits = 0;
    *open = n < match->n || !match->whole;
    memcpy(out, match->bytes, n);
    if (!p->grammar)
        return n;
    struct grammar_state state, last;
    grammar_copy(&state, p->state);
    grammar_copy(&last, p->state);
    while (fits < n && state.depth > 0 && grammar_step(p->grammar, &state, out[fits])) {
        grammar_copy(&last, &state);
        fits++;
    }
    if (fits < n)
        *open = false;
    if (!*open)
        fits += (uint32_t)grammar_forced(p->grammar, &last, out + fits, FORCED_BEHIND);
    return fits;
}

static void cut_tokens(const struct guess_place *p, const struct guess_record *record, const uint8_t *bytes,
                       uint32_t n, bool open, const struct draft_match *match, struct guess *out) {
    int32_t ids[TOKENS_MAX];
    const struct vocab *v = p->vocab;
    int64_t count = p->model_class->tokenize(p->model, (struct telex_bytes){bytes, n}, 0, ids, TOKENS_MAX);
    if (count > TOKENS_MAX)
        count = TOKENS_MAX;
    float chance = 1.0f;
    uint32_t at = 0;
    for (int64_t i = 0; i < count && out->n < GUESS_MAX; i++) {
        uint32_t size = ids[i] >= 0 && (uint32_t)ids[i] < v->n ? vocab_size(v, ids[i]) : 0;
        if (size == 0 || size > n - at || memcmp(vocab_bytes(v, ids[i]), bytes + at, size) != 0)
            return; /* the tokenizer spells it otherwise, as with a space before it */
        if (open && at + size == n)
            return;
        uint8_t class_of = class_for(match, at);
        chance *= record->right[class_of];
        out->ids[out->n] = ids[i];
        out->class_of[out->n] = class_of;
        out->chance[out->n++] = chance;
        at += size;
    }
}

void guess_make(const struct guess_place *p, const struct guess_record *record, struct guess *out) {
    uint8_t bytes[TAIL_BYTES + FORCED_BEHIND];
    struct draft_match match;
    bool open;
    out->n = 0;
    bool found = p->at_start ? draft_start(p->index, p->n_strings, &match) : draft_find(p->index, &match);
    if (!found)
        return;
    uint32_t n = fitting_bytes(p, &match, bytes, &open);
    if (n > 0)
        cut_tokens(p, record, bytes, n, open, &match, out);
}

/* ---- costs ---- */

/* Other work on the machine makes a batch slower, nothing makes it faster than it is: a lower time counts for
 * more than a higher one. */
static const float COST_FALLS = 0.5f, COST_RISES = 0.05f;
/* What drafts must promise over none. */
static const double WORTH_DRAFTING = 1.05;

/* The slot of a batch, and the rows that it stands for. */
static uint32_t slot_of(uint32_t n_rows) {
    uint32_t slot = n_rows, rows = GUESS_COST_ROWS;
    if (n_rows < GUESS_COST_ROWS)
        return slot;
    for (slot = GUESS_COST_ROWS; rows * 2 <= n_rows && slot < GUESS_COST_SLOTS - 1; slot++)
        rows *= 2;
    return slot;
}

static double rows_of(uint32_t slot) {
    return slot < GUESS_COST_ROWS ? slot : (double)GUESS_COST_ROWS * (1 << (slot - GUESS_COST_ROWS));
}

static bool known(const struct guess_costs *costs, uint32_t slot) {
    return costs->at[slot] > 0 && costs->count - costs->at[slot] < GUESS_COST_STALE;
}

void guess_timed(struct guess_costs *costs, uint32_t n_rows, double ms) {
    uint32_t slot = slot_of(n_rows);
    ms = ms > 0.001 ? ms : 0.001; /* the clock's step */
    if (slot >= GUESS_COST_ROWS)  /* as a batch of exactly that many rows */
        ms *= rows_of(slot) / n_rows;
    float *cost = &costs->ms[slot], change = (float)ms - *cost;
    *cost = known(costs, slot) ? *cost + (change < 0 ? COST_FALLS : COST_RISES) * change : (float)ms;
    costs->at[slot] = ++costs->count;
}

/* The cost of rows before it is known, in any unit: each is a quarter of a batch of one. A guess too low
 * would keep itself up: batches of so many rows would be all that is ever timed. */
static double supposed(double n_rows) {
    return 3.0 + n_rows;
}

/* From the times of this slot and its neighbours. */
static double between(const struct guess_costs *costs, uint32_t n_rows) {
    const uint32_t n = GUESS_COST_SLOTS, slot = slot_of(n_rows);
    uint32_t below = slot, above = slot + (slot < GUESS_COST_ROWS ? 0 : 1);
    while (below > 0 && !known(costs, below))
        below--;
    while (above < n && !known(costs, above))
        above++;
    double low = costs->ms[below], low_rows = rows_of(below);
    if (below == slot && slot < GUESS_COST_ROWS)
        return low;
    if (below == 0 && above == n)
        return supposed(n_rows);
    if (below == 0)
        return costs->ms[above] * supposed(n_rows) / supposed(rows_of(above));
    if (above == n)
        return low * supposed(n_rows) / supposed(low_rows);
    return low + (costs->ms[above] - low) * (n_rows - low_rows) / (rows_of(above) - low_rows);
}

double guess_cost(const struct guess_costs *costs, uint32_t n_rows) {
    double cost = between(costs, n_rows);
    for (uint32_t slot = slot_of(n_rows) + 1; slot < GUESS_COST_SLOTS; slot++)
        if (known(costs, slot) && costs->ms[slot] < cost) /* fewer rows never cost more */
            cost = costs->ms[slot];
    return cost;
}

/* The job whose next drafted token is most likely right, or n. */
static uint32_t most_promising(const struct guess *const *guesses, uint32_t n, const uint32_t *length) {
    uint32_t best = n;
    for (uint32_t i = 0; i < n; i++)
        if (length[i] < guesses[i]->n &&
            (best == n || guesses[i]->chance[length[i]] > guesses[best]->chance[length[best]]))
            best = i;
    return best;
}

void guess_lengths(const struct guess_costs *costs, const struct guess *const *guesses, uint32_t n,
                   uint32_t base, uint32_t n_sure, uint32_t room, uint32_t *length) {
    double cost = guess_cost(costs, base), tokens = n_sure;
    double best_rate = WORTH_DRAFTING * tokens / cost;
    uint32_t best = 0, added = 0, i;
    memset(length, 0, n * sizeof(*length));
    while (added < room && (i = most_promising(guesses, n, length)) < n) {
        tokens += guesses[i]->chance[length[i]++];
        cost = guess_cost(costs, base + ++added);
        double rate = tokens / cost;
        if (rate >= best_rate) {
            best_rate = rate;
            best = added;
        }
    }
    memset(length, 0, n * sizeof(*length));
    for (added = 0; added < best && (i = most_promising(guesses, n, length)) < n; added++)
        length[i]++;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* differ.c - where two titles differ. */
#include "differ.h"

#include "index.h"

#include <stdbool.h>
#include <string.h>

/* Bytes that two words share from their first on, up to eight. */
static uint32_t common_prefix(const struct sketch_word *a, const struct sketch_word *b) {
    uint64_t other = a->prefix ^ b->prefix;
    uint32_t same = other ? (uint32_t)__builtin_ctzll(other) / 8 : 8;
    uint32_t least = a->len < b->len ? a->len : b->len;
    return same < least ? same : least;
}

/* One word, or two forms of one: "evacuated" and "evacuations", "Valdova" and "Valdovan". */
static bool same_word(const struct sketch_word *a, const struct sketch_word *b) {
    if (a->hash == b->hash)
        return true;
    if ((a->flags | b->flags) & SKETCH_NUMBER)
        return false;
    uint32_t prefix = common_prefix(a, b), longer = a->len > b->len ? a->len : b->len;
    return prefix >= 4 && prefix + 4 >= longer && (prefix >= 6 || prefix + 2 >= longer);
}

struct pairing {
    const struct sketch *a, *b;
    uint32_t in_a, in_b;                                         /* words that the other has, by bit */
    uint32_t row_a, row_b;                                       /* of these, the ones in the same order */
    uint8_t longest[SKETCH_WORDS_MAX + 1][SKETCH_WORDS_MAX + 1]; /* common subsequence of what is left */
    uint32_t same[SKETCH_WORDS_MAX];                             /* by bit */
};

static void pair_up(struct pairing *pairing) {
    const struct sketch *a = pairing->a, *b = pairing->b;
    for (uint32_t i = 0; i < a->n_words; i++) {
        for (uint32_t k = 0; k < b->n_words; k++) {
            if (same_word(&a->words[i], &b->words[k])) {
                pairing->same[i] |= 1u << k;
                pairing->in_a |= 1u << i;
                pairing->in_b |= 1u << k;
            }
        }
    }
    for (uint32_t i = a->n_words; i-- > 0;) {
        for (uint32_t k = b->n_words; k-- > 0;) {
            uint8_t down = pairing->longest[i + 1][k], right = pairing->longest[i][k + 1];
            uint8_t best = down > right ? down : right, here = (uint8_t)(pairing->longest[i + 1][k + 1] + 1);
            pairing->longest[i][k] = (pairing->same[i] >> k & 1) && here > best ? here : best;
        }
    }
    for (uint32_t i = 0, k = 0; i < a->n_words && k < b->n_words;) {
        if ((pairing->same[i] >> k & 1) && pairing->longest[i][k] == pairing->longest[i + 1][k + 1] + 1) {
            pairing->row_a |= 1u << i++;
            pairing->row_b |= 1u << k++;
        } else if (pairing->longest[i + 1][k] >= pairing->longest[i][k + 1]) {
            i++;
        } else {
            k++;
        }
    }
}

/* Words of both that stand in the place of each other: what lies between two shared words on both sides. */
struct swaps {
    uint32_t all, names, numbers;
    bool head; /* before the first shared word */
};

/* Which of the words [from, to) the other title lacks, and how many of these are names or numbers. */
static uint32_t lacked(const struct sketch *sketch, uint32_t in_other, uint32_t from, uint32_t to,
                       unsigned flags) {
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += !(in_other >> i & 1) && !(sketch->words[i].flags & SKETCH_TOLL) &&
             (!flags || (sketch->words[i].flags & flags));
    return n;
}

static uint32_t fewer_lacked(const struct pairing *pairing, const uint32_t from[2], const uint32_t to[2],
                             unsigned flags) {
    uint32_t mine = lacked(pairing->a, pairing->in_a, from[0], to[0], flags);
    uint32_t theirs = lacked(pairing->b, pairing->in_b, from[1], to[1], flags);
    return mine < theirs ? mine : theirs;
}

static void find_swaps(const struct pairing *pairing, struct swaps *swaps) {
    uint32_t from[2] = {0, 0}, to[2];
    *swaps = (struct swaps){0};
    for (bool first = true, last = false; !last; first = false) {
        to[0] = from[0], to[1] = from[1];
        while (to[0] < pairing->a->n_words && !(pairing->row_a >> to[0] & 1))
            to[0]++;
        while (to[1] < pairing->b->n_words && !(pairing->row_b >> to[1] & 1))
            to[1]++;
        last = to[0] == pairing->a->n_words;
        uint32_t n = fewer_lacked(pairing, from, to, 0);
        swaps->all += n;
        swaps->names += fewer_lacked(pairing, from, to, SKETCH_NAME | SKETCH_MAYBE);
        swaps->numbers += fewer_lacked(pairing, from, to, SKETCH_NUMBER);
        swaps->head |= first && n;
        from[0] = to[0] + 1, from[1] = to[1] + 1;
    }
}

/* Names of one title, a run of words as one, that the other lacks; in *shared those that it has. */
static uint32_t own_names(const struct sketch *sketch, uint32_t in_other, uint32_t *shared) {
    const unsigned flags = SKETCH_NAME | SKETCH_MAYBE;
    uint32_t own = 0;
    *shared = 0;
    for (uint32_t i = 0; i < sketch->n_words;) {
        bool has = in_other >> i & 1, name = sketch->words[i].flags & flags;
        uint32_t end = i + 1;
        for (; name && end < sketch->n_words && (sketch->words[end].flags & SKETCH_NEXT); end++)
            has |= in_other >> end & 1;
        own += name && !has;
        *shared += name && has;
        i = end;
    }
    return own;
}

/* Whether two values are one as far as the coarser of them is given: 4,512 and 4,500. */
static bool near_value(uint64_t a, uint64_t b) {
    uint64_t round = 1, coarse_a = 1, coarse_b = 1;
    for (; round < 1000000000000000u && (a % (round * 10) == 0 || b % (round * 10) == 0); round *= 10) {
        coarse_a = a % (round * 10) == 0 ? round * 10 : coarse_a;
        coarse_b = b % (round * 10) == 0 ? round * 10 : coarse_b;
    }
    uint64_t coarse = coarse_a > coarse_b ? coarse_a : coarse_b, apart = a > b ? a - b : b - a;
    return a == b || (coarse_a != coarse_b && apart <= coarse / 2 && apart * 10 <= a);
}

/* Whether both have values of a kind and subject and none in common. */
static bool contradict(const struct sketch *a, const struct sketch *b, enum sketch_kind kind) {
    bool against = false;
    for (uint32_t i = 0; i < a->n_marks; i++) {
        bool subject = false, value = false;
        if (a->marks[i].kind != kind)
            continue;
        for (uint32_t k = 0; k < b->n_marks; k++) {
            if (b->marks[k].kind != kind || b->marks[k].subject != a->marks[i].subject)
                continue;
            subject = true;
            bool rounds = kind == SKETCH_MONEY || kind == SKETCH_PERCENT || kind == SKETCH_COUNT;
            value |= rounds ? near_value(a->marks[i].value, b->marks[k].value)
                            : a->marks[i].value == b->marks[k].value;
        }
        if (value)
            return false;
        against |= subject;
    }
    return against;
}

static double part(uint32_t n, uint32_t of) {
    return of ? (double)n / of : 0;
}

/* Read off how the words of both stand to each other. */
static void read_words(struct differ *differ, const struct pairing *pairing) {
    const struct sketch *a = pairing->a, *b = pairing->b;
    uint32_t shared = (uint32_t)__builtin_popcount(pairing->in_a);
    uint32_t row = (uint32_t)__builtin_popcount(pairing->row_a);
    uint32_t fewer = a->n_words < b->n_words ? a->n_words : b->n_words;
    uint32_t longer = a->n_words + b->n_words - fewer;
    struct swaps swaps;
    find_swaps(pairing, &swaps);
    uint32_t rest = longer - (shared < longer ? shared : longer);
    differ->shared = shared;
    differ->frame = part(row, fewer);
    differ->cover = part(row, longer);
    differ->moved = part(shared - row < shared ? shared - row : shared, shared);
    differ->swapped = part(swaps.all, swaps.all + row);
    differ->slots = part(swaps.names + swaps.numbers, swaps.names + swaps.numbers + row);
    differ->inserted = part(rest > swaps.all ? rest - swaps.all : 0, longer);
    differ->head = swaps.head;
    for (uint32_t i = 0; i < a->n_words; i++)
        differ->values += (pairing->in_a >> i & 1) && (a->words[i].flags & SKETCH_NUMBER) != 0;
}

void differ_read(struct differ *differ, const struct sketch *one, const struct sketch *other) {
    static const enum sketch_kind kinds[] = {SKETCH_PERIOD,  SKETCH_SCORE,   SKETCH_DATE,
                                             SKETCH_WEEKDAY, SKETCH_MONTH,   SKETCH_YEAR,
                                             SKETCH_MONEY,   SKETCH_PERCENT, SKETCH_COUNT};
    bool turn = memcmp(one->words, other->words, sizeof(one->words)) > 0;
    const struct sketch *a = turn ? other : one, *b = turn ? one : other;
    struct pairing pairing = {.a = a, .b = b};
    uint32_t shared_names, ignored;
    *differ = (struct differ){0};
    pair_up(&pairing);
    read_words(differ, &pairing);
    uint32_t own_a = own_names(a, pairing.in_a, &shared_names);
    uint32_t own_b = own_names(b, pairing.in_b, &ignored);
    uint32_t others = own_a < own_b ? own_a : own_b;
    differ->names = shared_names;
    differ->others = part(others, others + shared_names);
    differ->column = a->column && b->column;
    differ->way = contradict(a, b, SKETCH_WAY);
    differ->clash = contradict(a, b, SKETCH_ORDER) || contradict(b, a, SKETCH_ORDER);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !differ->clash; i++)
        differ->clash = contradict(a, b, kinds[i]);
}

enum feature {
    ALWAYS,
    THIN,
    SWAPPED,
    SWAPPED_IN_ROW,
    HEAD_IN_ROW,
    OTHERS,
    CLASH,
    WAY,
    COLUMN,
    SHARP,
    EVEN,
    NAMES,
    VALUES,
    SHARED,
    FEATURES,
};

/* Log odds for two events, fitted offline by logistic regression on pairs of titles of the development sets.
 * Each weight is multiplied by what differ_weigh says the titles have of the feature. */
static const double weights[FEATURES] = {
    [ALWAYS] = 2.15,        /* before anything else is known of two titles that share words */
    [THIN] = -6,            /* how far the common row falls short of COVER_FULL: too little of one form */
    [SWAPPED] = 1.5,        /* words in the place of others, as a share */
    [SWAPPED_IN_ROW] = 1.8, /* the same where every shared word stands in one order */
    [HEAD_IN_ROW] = 0.3,    /* and where the titles begin with other words: who did it */
    [OTHERS] = 1.75,        /* names that only one of them has, as a share */
    [CLASH] = 1.55,         /* values that contradict each other */
    [WAY] = 0.8,            /* one went up and the other down */
    [COLUMN] = 2.2,         /* both in the form of a list or a share notice */
    [SHARP] = 2.7,          /* one order, nothing put in, and names or values swapped or in contradiction */
    [EVEN] = 1.3,           /* one order, hardly anything put in, and other words swapped */
    [NAMES] = -0.15,        /* each shared name, up to NAMES_COUNTED */
    [VALUES] = -0.85,       /* each shared value, up to VALUES_COUNTED: chance seldom gives the same number */
    [SHARED] = -2.3,        /* log2 of one more than the shared words, at least two */
};
static const double COVER_FULL = 0.45, INSERTED_FEW = 0.18;
enum { NAMES_COUNTED = 3, VALUES_COUNTED = 2 };

double differ_weigh(const struct differ *d) {
    bool row = d->moved == 0;
    const double has[FEATURES] = {
        [ALWAYS] = 1,
        [THIN] = d->cover < COVER_FULL ? COVER_FULL - d->cover : 0,
        [SWAPPED] = d->swapped,
        [SWAPPED_IN_ROW] = row ? d->swapped : 0,
        [HEAD_IN_ROW] = row && d->head,
        [OTHERS] = d->others,
        [CLASH] = d->clash,
        [WAY] = d->way,
        [COLUMN] = d->column,
        [SHARP] = row && (d->slots > 0 || d->clash) && d->inserted == 0,
        [EVEN] = row && d->inserted < INSERTED_FEW && d->swapped > 0 && d->frame < 1,
        [NAMES] = d->names < NAMES_COUNTED ? d->names : NAMES_COUNTED,
        [VALUES] = d->values < VALUES_COUNTED ? d->values : VALUES_COUNTED,
        [SHARED] = index_log2(1 + (d->shared < 2 ? 2 : d->shared)),
    };
    double odds = 0;
    for (uint32_t i = 0; i < FEATURES; i++)
        odds += weights[i] * has[i];
    return odds;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* sketch.c - reads a title's content words, names, places and values.
 *
 * A word is a name where it has a capital and the title's other words have none; where capitals do not tell,
 * a word that is in no list of common ones may be one. Values keep what they count, because only values of
 * one thing can contradict each other. Counts of the dead and hurt are left out: they grow while a story
 * lasts. */
#include "sketch.h"

#include <string.h>

#include "number.h"
#include "sketch_words.h"
#include "token.h"
#include "words.h"

struct reading {
    struct sketch *sketch;
    const struct token_list *list;
    uint32_t from, to;
    bool cased;                                   /* capitals tell names */
    uint64_t last_hash;                           /* of the content word just before; 0: none */
    const struct sketch_known *known[TOKENS_MAX]; /* of [from, to) */
};

/* What is known of a token; of none outside the headline. */
static const struct sketch_known *known_at(const struct reading *reading, uint32_t i) {
    static const struct sketch_known nothing;
    return i >= reading->from && i < reading->to ? reading->known[i] : &nothing;
}

static bool has_sort(const struct reading *reading, uint32_t i, uint32_t sort) {
    return known_at(reading, i)->sorts & sort;
}

/* Its number among months, weekdays or ordinals; 0: it is in no such list. */
static uint32_t nth_of(const struct reading *reading, uint32_t i, uint32_t sort) {
    const struct sketch_known *known = known_at(reading, i);
    return known->sorts & sort ? known->nth : 0;
}

static void mark(struct reading *reading, enum sketch_kind kind, uint64_t subject, uint64_t value) {
    struct sketch *sketch = reading->sketch;
    if (sketch->n_marks < SKETCH_MARKS_MAX)
        sketch->marks[sketch->n_marks++] =
            (struct sketch_mark){.value = value, .subject = (uint32_t)subject, .kind = (uint8_t)kind};
}

static uint64_t prefix_of(const struct token_list *list, uint32_t i) {
    uint64_t prefix = 0;
    size_t len = list->tokens[i].len;
    memcpy(&prefix, token_text(list, i), len < sizeof(prefix) ? len : sizeof(prefix));
    return prefix;
}

static struct sketch_word *put_word(struct reading *reading, uint32_t i, uint64_t hash, unsigned flags) {
    struct sketch *sketch = reading->sketch;
    if (sketch->n_words == SKETCH_WORDS_MAX)
        return NULL;
    struct sketch_word *word = &sketch->words[sketch->n_words++];
    *word = (struct sketch_word){.prefix = prefix_of(reading->list, i),
                                 .hash = (uint32_t)hash,
                                 .flags = (uint8_t)flags,
                                 .len = reading->list->tokens[i].len};
    return word;
}

/* ---- dates ---- */

static uint32_t month_of(const struct reading *reading, uint32_t i) {
    uint32_t month = nth_of(reading, i, SORT_MONTH);
    if (!month || !(reading->list->tokens[i].flags & TOKEN_CAP))
        return 0;
    if (month != 5 && month != 3)
        return month;
    /* "May" and "march" are verbs as well: a day stands beside the month, or "in" before it. */
    bool day = (i + 1 < reading->to && (reading->list->tokens[i + 1].flags & TOKEN_DIGIT)) ||
               (i > reading->from && (reading->list->tokens[i - 1].flags & TOKEN_DIGIT));
    return day || has_sort(reading, i - 1, SORT_BEFORE_MONTH) ? month : 0;
}

/* The day number at a token: 1 to 31; 0: none. */
static uint32_t day_of(const struct reading *reading, uint32_t i) {
    if (i < reading->from || i >= reading->to)
        return 0;
    const struct token *token = &reading->list->tokens[i];
    const char *text = token_text(reading->list, i);
    if (!(token->flags & TOKEN_DIGIT) || token->len > 4 || token->percent)
        return 0;
    uint32_t day = 0;
    size_t k = 0;
    for (; k < token->len && text[k] >= '0' && text[k] <= '9'; k++)
        day = day * 10 + (uint32_t)(text[k] - '0');
    bool bare = k == token->len, ordinal = k + 2 == token->len && !(token->flags & TOKEN_START);
    return day <= 31 && (bare || ordinal) ? day : 0;
}

/* Gives the tokens it took. */
static uint32_t read_date(struct reading *reading, uint32_t i) {
    uint32_t weekday = nth_of(reading, i, SORT_WEEKDAY), month, day;
    if (weekday) {
        mark(reading, SKETCH_WEEKDAY, 0, weekday);
        return 1;
    }
    if ((month = month_of(reading, i))) {
        mark(reading, SKETCH_MONTH, 0, month);
        day = day_of(reading, i + 1);
        if (day)
            mark(reading, SKETCH_DATE, 0, month * 100 + day);
        return day ? 2 : 1;
    }
    day = day_of(reading, i);
    if (day && (month = month_of(reading, i + 1))) {
        mark(reading, SKETCH_MONTH, 0, month);
        mark(reading, SKETCH_DATE, 0, month * 100 + day);
        return 2;
    }
    return 0;
}

/* ---- which way ---- */

/* A title that has words of both sides takes none. */
static void read_way(struct reading *reading) {
    uint32_t sorts = 0;
    for (uint32_t i = reading->from; i < reading->to; i++)
        sorts |= reading->known[i]->sorts;
    for (uint32_t k = 0; k < SKETCH_WAYS; k++) {
        bool one = sorts & (uint32_t)SORT_WAY << k, other = sorts & (uint32_t)SORT_OTHER_WAY << k;
        if (one != other)
            mark(reading, SKETCH_WAY, k, one);
    }
}

/* ---- values ---- */

/* The next content word, at most two tokens on. */
static uint32_t counted(const struct reading *reading, uint32_t i) {
    for (uint32_t k = i; k < reading->to && k < i + 3; k++) {
        const struct token *token = &reading->list->tokens[k];
        if (token->gap & (GAP_BREAK | GAP_BAR | GAP_COMMA))
            return 0;
        if ((token->flags & TOKEN_ALPHA) && !(token->flags & TOKEN_STOP))
            return k;
    }
    return 0;
}

/* "31-28". Gives the tokens it took. */
static uint32_t read_score(struct reading *reading, uint32_t i) {
    uint32_t value[2];
    for (uint32_t k = 0; k < 2; k++) {
        const struct token *token = &reading->list->tokens[i + k];
        const char *text = token_text(reading->list, i + k);
        if (i + k >= reading->to || (token->flags & (TOKEN_DIGIT | TOKEN_ALPHA)) != TOKEN_DIGIT ||
            token->len > 3 || token->percent || (k && token->gap != GAP_HYPHEN))
            return 0;
        value[k] = 0;
        for (size_t d = 0; d < token->len; d++)
            value[k] = value[k] * 10 + (uint32_t)(text[d] - '0');
    }
    uint32_t low = value[0] < value[1] ? value[0] : value[1], high = value[0] + value[1] - low;
    mark(reading, SKETCH_SCORE, 0, high * 1000 + low);
    put_word(reading, i, 0x5c04e000u + high * 1000 + low, SKETCH_NUMBER);
    return 2;
}

/* What a plain number behind `i` - 1 numbers, or 0: day 21, GPT-6, Firefox 151. */
static uint64_t numbered(const struct reading *reading, uint32_t i) {
    const struct sketch *sketch = reading->sketch;
    const struct token *token = &reading->list->tokens[i];
    if (i == reading->from || !text_near(token))
        return 0;
    const struct token *before = &reading->list->tokens[i - 1];
    if (before->flags & TOKEN_DIGIT)
        return 0;
    uint8_t per_mille;
    uint64_t hash = text_word_hash(token_text(reading->list, i - 1), before->len, &per_mille);
    if (before->sorts & WORD_ORDINAL)
        return hash;
    bool name = reading->last_hash && sketch->n_words &&
                (sketch->words[sketch->n_words - 1].flags & (SKETCH_NAME | SKETCH_MAYBE)) && per_mille == 0;
    bool hyphen = token->gap == GAP_HYPHEN && (before->flags & TOKEN_ALPHA) && !(before->flags & TOKEN_STOP);
    return name || hyphen ? hash : 0;
}

/* Keep what a value says; gives whether it is a toll. */
static bool mark_value(struct reading *reading, uint32_t i, uint32_t taken, const struct number *number) {
    const uint64_t money = text_hash("money", 5), percent = text_hash("percent", 7);
    if (number->kind == NUMBER_QUARTER) {
        mark(reading, SKETCH_PERIOD, 0, number->value);
        return false;
    }
    if (number->kind == NUMBER_YEAR) {
        mark(reading, SKETCH_YEAR, 0, number->value);
        return false;
    }
    if (number->unit == money || number->unit == percent) {
        mark(reading, number->unit == money ? SKETCH_MONEY : SKETCH_PERCENT, 0, number->value);
        return false;
    }
    uint64_t subject = numbered(reading, i);
    if (subject) {
        mark(reading, SKETCH_ORDER, subject, number->value);
        return false;
    }
    uint32_t noun = counted(reading, i + taken);
    if (has_sort(reading, noun, SORT_TOLL) || has_sort(reading, i - 1, SORT_TOLL))
        return true;
    if (!noun)
        return false;
    uint8_t per_mille;
    subject = text_word_hash(token_text(reading->list, noun), reading->list->tokens[noun].len, &per_mille);
    mark(reading, SKETCH_COUNT, subject, number->value);
    return false;
}

/* "first Test", "2nd round": what the ordinal at `i` numbers. */
static void read_ordinal(struct reading *reading, uint32_t i) {
    uint32_t which = nth_of(reading, i, SORT_ORDINAL);
    uint32_t noun = which ? counted(reading, i + 1) : 0;
    uint8_t per_mille;
    if (noun)
        mark(reading, SKETCH_ORDER,
             text_word_hash(token_text(reading->list, noun), reading->list->tokens[noun].len, &per_mille),
             which * 1000);
}

/* ---- words ---- */

/* Whether what stands before `i` says that it is a place: "in", "off", "near the", "in southern". */
static bool placed(const struct reading *reading, uint32_t i) {
    for (uint32_t k = i; k > reading->from && k + 3 > i; k--) {
        if (reading->list->tokens[k].gap & (GAP_BREAK | GAP_BAR | GAP_COMMA))
            return false;
        if (has_sort(reading, k - 1, SORT_BEFORE_PLACE))
            return true;
        if (!has_sort(reading, k - 1, SORT_SIDE))
            return false;
    }
    return false;
}

static unsigned name_flags(const struct reading *reading, uint32_t i, uint8_t per_mille) {
    const struct token *token = &reading->list->tokens[i], *next = token + 1;
    bool capital = token->flags & TOKEN_CAP, runs_on = i + 1 < reading->to && text_near(next) &&
                                                       (next->flags & TOKEN_CAP) &&
                                                       !(next->flags & TOKEN_STOP);
    if (!capital)
        return (token->flags & TOKEN_MIXED) ? SKETCH_NAME : 0;
    if (!reading->cased)
        return per_mille == 0 ? SKETCH_MAYBE : 0;
    if (!(token->flags & TOKEN_START) || (token->flags & TOKEN_UPPER) || (runs_on && per_mille == 0))
        return SKETCH_NAME;
    return per_mille == 0 ? SKETCH_MAYBE : 0;
}

/* Gives the tokens it took. */
static uint32_t read_word(struct reading *reading, uint32_t i) {
    const struct token_list *list = reading->list;
    const struct token *token = &list->tokens[i];
    uint8_t per_mille;
    uint64_t hash = text_word_hash(token_text(list, i), token->len, &per_mille);
    unsigned flags = name_flags(reading, i, per_mille);
    if ((flags & (SKETCH_NAME | SKETCH_MAYBE)) && placed(reading, i))
        flags |= SKETCH_PLACE;
    const struct sketch *sketch = reading->sketch;
    if (reading->last_hash && sketch->n_words && text_near(token) && (flags & (SKETCH_NAME | SKETCH_MAYBE)) &&
        (sketch->words[sketch->n_words - 1].flags & (SKETCH_NAME | SKETCH_MAYBE)))
        flags |= SKETCH_NEXT | (sketch->words[sketch->n_words - 1].flags & SKETCH_PLACE);
    if ((token->flags & TOKEN_MIXED) && token->len > 1)
        mark(reading, SKETCH_ORDER,
             reading->last_hash && (sketch->words[sketch->n_words - 1].flags & SKETCH_NAME)
                 ? reading->last_hash
                 : 1,
             hash);
    flags |= per_mille >= 5 ? SKETCH_COMMON : 0;
    if (put_word(reading, i, hash, flags))
        reading->last_hash = hash;
    return 1;
}

void sketch_read(struct sketch *sketch, struct text_slice title, struct text_slice outlet) {
    struct token_list list;
    struct reading reading;
    memset(sketch, 0, sizeof(*sketch));
    token_list_read(&list, title);
    reading.sketch = sketch, reading.list = &list;
    reading.from = 0, reading.to = list.n, reading.last_hash = 0;
    text_headline(&list, outlet, &reading.from, &reading.to);
    reading.cased = !text_title_case(&list);
    for (uint32_t i = reading.from; i < reading.to; i++)
        reading.known[i] = sketch_known(list.tokens[i].hash);
    sketch->column = text_column(&list, reading.from, reading.to);
    for (uint32_t i = reading.from; i < reading.to;) {
        struct number number;
        read_ordinal(&reading, i);
        uint32_t taken = read_date(&reading, i);
        taken = taken ? taken : read_score(&reading, i);
        if (!taken && (taken = number_read(&list, i, &number))) {
            bool toll = mark_value(&reading, i, taken, &number);
            /* A year tells little: it is a word like others. */
            unsigned flags = number.kind == NUMBER_YEAR ? SKETCH_COMMON : SKETCH_NUMBER;
            put_word(&reading, i, number.value * 31 + number.unit + 0x6e756d,
                     flags | (toll ? SKETCH_TOLL : 0u));
        }
        if (!taken && (list.tokens[i].flags & TOKEN_STOP))
            taken = 1;
        else if (!taken) {
            i += read_word(&reading, i);
            continue;
        }
        reading.last_hash = 0;
        i += taken;
    }
    read_way(&reading);
}

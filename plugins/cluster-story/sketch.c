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
#include "token.h"
#include "words.h"

struct reading {
    struct sketch *sketch;
    const struct token_list *list;
    uint32_t from, to;
    bool cased;         /* capitals tell names */
    uint64_t last_hash; /* of the content word just before; 0: none */
};

/* Position of a token among words in one string, a space behind each; 0: not there. */
static uint32_t among(const struct reading *reading, uint32_t i, const char *words) {
    uint32_t at = 1;
    if (i < reading->from || i >= reading->to)
        return 0;
    size_t len = reading->list->tokens[i].len;
    for (const char *word = words; *word; at++) {
        size_t n = strcspn(word, " ");
        if (n == len && memcmp(word, token_text(reading->list, i), len) == 0)
            return at;
        word += n + (word[n] == ' ');
    }
    return 0;
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

static const char months[] =
    "january february march april may june july august september october november december ";
static const char month_shorts[] = "jan feb mar apr may jun jul aug sep oct nov dec ";
static const char weekdays[] = "monday tuesday wednesday thursday friday saturday sunday ";

static uint32_t month_of(const struct reading *reading, uint32_t i) {
    uint32_t month = among(reading, i, months);
    month = month ? month : among(reading, i, month_shorts);
    if (!month || !(reading->list->tokens[i].flags & TOKEN_CAP))
        return 0;
    if (month != 5 && month != 3)
        return month;
    /* "May" and "march" are verbs as well: a day stands beside the month, or "in" before it. */
    bool day = (i + 1 < reading->to && (reading->list->tokens[i + 1].flags & TOKEN_DIGIT)) ||
               (i > reading->from && (reading->list->tokens[i - 1].flags & TOKEN_DIGIT));
    return day || among(reading, i - 1, "in by since until till from before after for of last this next ")
               ? month
               : 0;
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
    uint32_t weekday = among(reading, i, weekdays), month, day;
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

/* Two sides of one thing; a title that has words of both takes none. */
static const struct {
    const char *one, *other;
} ways[] = {
    {"up rise rises rose rising raises raised raise jump jumps jumped gain gains gained climb climbs climbed "
     "surge "
     "surges surged soar soars soared rally rallies grow grows grew higher above upgraded upgrades increase "
     "increases "
     "lifts hikes ",
     "down fall falls fell falling drop drops dropped sink sinks sank slump slumps slide slides slid tumble "
     "tumbles "
     "plunge plunges lower lowers lowered below cut cuts decline declines downgraded downgrades decrease "
     "decreases "
     "slips sags shrinks "},
    {"approve approves approved accept accepts accepted pass passes passed backs ",
     "reject rejects rejected block blocks blocked veto vetoes vetoed "},
    {"open opens opened reopen reopens reopened resume resumes resumed ",
     "close closes closed shut shuts suspend suspends suspended closure "},
    {"buy buys buying bought acquire acquires acquired ", "sell sells selling sold divests "},
    {"win wins won beat beats beaten triumph ", "lose loses lost draw draws drew "},
    {"safe alive rescued ", "dead killed dies "},
};

static void read_way(struct reading *reading) {
    for (uint32_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++) {
        bool one = false, other = false;
        for (uint32_t i = reading->from; i < reading->to; i++) {
            one |= among(reading, i, ways[k].one) != 0;
            other |= among(reading, i, ways[k].other) != 0;
        }
        if (one != other)
            mark(reading, SKETCH_WAY, k, one);
    }
}

/* ---- values ---- */

static const char toll_words[] =
    "kill kills killed killing dead die dies died death deaths injured injures hurt wounded wounds missing "
    "rescued "
    "rescues arrested arrests people victims toll evacuated trapped leaves sick infected stranded hostages ";

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
    if (among(reading, noun, toll_words) || among(reading, i - 1, toll_words))
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
    uint32_t which = among(reading, i, "first second third fourth fifth sixth seventh eighth ninth tenth ");
    which = which ? which : among(reading, i, "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th ");
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
        if (among(reading, k - 1, "in at near off from outside across around over on "))
            return true;
        if (!among(reading, k - 1,
                   "the northern southern eastern western central north south east west downtown "))
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
    struct reading reading = {.sketch = sketch, .list = &list};
    memset(sketch, 0, sizeof(*sketch));
    token_list_read(&list, title);
    reading.to = list.n;
    text_headline(&list, outlet, &reading.from, &reading.to);
    reading.cased = !text_title_case(&list);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* numbers.c - the numbers, dates and days of a sentence, by value and unit.
 *
 * 12.5 mln dlrs, $12.5 million and 12,500,000 dollars are one number; "three to 3.5 billion" may mean
 * 3 or 3 billion in its first half, so that half carries both. */
#include "numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lexicon.h"

struct valued {
    const char *word;
    double value;
};

static const struct valued cardinals[] = {
    {"zero", 0},      {"one", 1},       {"two", 2},       {"three", 3},    {"four", 4},     {"five", 5},
    {"six", 6},       {"seven", 7},     {"eight", 8},     {"nine", 9},     {"ten", 10},     {"eleven", 11},
    {"twelve", 12},   {"thirteen", 13}, {"fourteen", 14}, {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17},
    {"eighteen", 18}, {"nineteen", 19}, {"twenty", 20},   {"thirty", 30},  {"forty", 40},   {"fifty", 50},
    {"sixty", 60},    {"seventy", 70},  {"eighty", 80},   {"ninety", 90},
};
static const struct valued ordinals[] = {
    {"first", 1},   {"second", 2}, {"third", 3}, {"fourth", 4}, {"fifth", 5},     {"sixth", 6},
    {"seventh", 7}, {"eighth", 8}, {"ninth", 9}, {"tenth", 10}, {"eleventh", 11}, {"twelfth", 12},
};
static const struct valued fractions[] = {
    {"half", 0.5},      {"halves", 0.5},    {"third", 1.0 / 3}, {"thirds", 1.0 / 3}, {"quarter", 0.25},
    {"quarters", 0.25}, {"fourth", 0.25},   {"fifth", 0.2},     {"fifths", 0.2},     {"sixth", 1.0 / 6},
    {"eighth", 0.125},  {"eighths", 0.125}, {"tenth", 0.1},     {"tenths", 0.1},
};
static const struct valued factors[] = {
    {"half", 0.5},  {"halved", 0.5}, {"halve", 0.5},  {"halving", 0.5}, {"double", 2},
    {"doubled", 2}, {"doubles", 2},  {"doubling", 2}, {"twice", 2},     {"twofold", 2},
    {"triple", 3},  {"tripled", 3},  {"tripling", 3}, {"thrice", 3},    {"quadrupled", 4},
};
static const struct valued multipliers[] = {
    {"hundred", 1e2},  {"thousand", 1e3},  {"k", 1e3},        {"million", 1e6}, {"mln", 1e6},  {"m", 1e6},
    {"millions", 1e6}, {"billion", 1e9},   {"billions", 1e9}, {"bilion", 1e9},  {"bn", 1e9},   {"bln", 1e9},
    {"b", 1e9},        {"trillion", 1e12}, {"tln", 1e12},     {"t", 1e12},      {"dozen", 12},
};
static const struct valued months[] = {
    {"january", 1},  {"jan", 1},    {"february", 2},  {"feb", 2},       {"march", 3},     {"mar", 3},
    {"april", 4},    {"apr", 4},    {"may", 5},       {"june", 6},      {"jun", 6},       {"july", 7},
    {"jul", 7},      {"august", 8}, {"aug", 8},       {"september", 9}, {"sep", 9},       {"sept", 9},
    {"october", 10}, {"oct", 10},   {"november", 11}, {"nov", 11},      {"december", 12}, {"dec", 12},
};
static const struct valued weekdays[] = {
    {"monday", 1},    {"mon", 1}, {"tuesday", 2},  {"tue", 2}, {"tues", 2},
    {"wednesday", 3}, {"wed", 3}, {"thursday", 4}, {"thu", 4}, {"thurs", 4},
    {"friday", 5},    {"fri", 5}, {"saturday", 6}, {"sat", 6}, {"sunday", 7},
};
static const struct valued days[] = {{"yesterday", -1}, {"today", 0}, {"tonight", 0}, {"tomorrow", 1}};
static const struct valued turns[] = {{"last", -1},   {"past", -1}, {"this", 0},
                                      {"current", 0}, {"next", 1},  {"coming", 1}};
static const char *const hard_units[] = {"dollar", "percent", "barrel", "cent",  "pound",  "stg",   "yen",
                                         "franc",  "mark",    "euro",   "tonne", "ton",    "ounce", "year",
                                         "month",  "week",    "daily",  "hour",  "minute", "point", "bushel",
                                         "gallon", "mile",    "km",     "acre",  "quarter"};

struct scan {
    struct word *words;
    size_t n;
    struct number *out;
    size_t n_out;
};

static bool value_of(const struct valued *list, size_t n, const char *word, double *value) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].word, word) == 0) {
            *value = list[i].value;
            return true;
        }
    return false;
}
#define VALUE_OF(list, word, value) value_of(list, sizeof(list) / sizeof((list)[0]), word, value)

static const char *low_at(const struct scan *s, size_t i) {
    return i < s->n ? s->words[i].low : "";
}

static bool is_at(const struct scan *s, size_t i, const char *word) {
    return i < s->n && strcmp(s->words[i].low, word) == 0;
}

static bool joined_at(const struct scan *s, size_t i) {
    return i < s->n && s->words[i].joined;
}

static double plain_value(const char *digits) {
    char text[64];
    size_t n = 0;
    for (; *digits && n < sizeof(text) - 1; digits++)
        if (*digits != ',')
            text[n++] = *digits;
    text[n] = '\0';
    return strtod(text, NULL);
}

/* "72-5/8", "5/8": digits at `i`. Returns the word behind them. */
static size_t read_digits(const struct scan *s, size_t i, double *value) {
    *value = plain_value(low_at(s, i));
    size_t at = i + 1;
    bool mixed = is_at(s, at, "-") && joined_at(s, at) && at + 3 < s->n && is_at(s, at + 2, "/") &&
                 joined_at(s, at + 2);
    if (mixed && s->words[at + 1].kind == WORD_NUMBER && s->words[at + 3].kind == WORD_NUMBER) {
        double below = plain_value(low_at(s, at + 3));
        *value += below > 0 ? plain_value(low_at(s, at + 1)) / below : 0;
        return at + 4;
    }
    if (is_at(s, at, "/") && joined_at(s, at) && at + 1 < s->n && s->words[at + 1].kind == WORD_NUMBER) {
        double below = plain_value(low_at(s, at + 1));
        if (below > 0)
            *value /= below;
        return at + 2;
    }
    return at;
}

/* "twenty-five", "three", "one-fifth". Returns the word behind it, or `i` where no number word stands. */
static size_t read_spelled(const struct scan *s, size_t i, double *value, bool *fraction) {
    double more = 0;
    if (!VALUE_OF(cardinals, low_at(s, i), value))
        return i;
    size_t at = i + 1, part = at + is_at(s, at, "-");
    if (*value >= 20 && part < s->n && VALUE_OF(cardinals, low_at(s, part), &more) && more < 10) {
        *value += more;
        return part + 1;
    }
    if (part < s->n && VALUE_OF(fractions, low_at(s, part), &more) &&
        (part > at || is_at(s, part + 1, "of"))) {
        *value *= more;
        *fraction = true;
        return part + 1;
    }
    return at;
}

static size_t read_multipliers(const struct scan *s, size_t at, double *value) {
    double by = 0;
    for (;;) {
        size_t here = at + (is_at(s, at, "-") && joined_at(s, at));
        if (here >= s->n || !VALUE_OF(multipliers, low_at(s, here), &by))
            return at;
        if (strlen(low_at(s, here)) == 1 && !joined_at(s, here))
            return at;
        *value *= by;
        at = here + 1;
    }
}

static const char *money_sign(const char *sign) {
    return strcmp(sign, "$") == 0              ? "dollar"
           : strcmp(sign, "\xE2\x82\xAC") == 0 ? "euro"
           : strcmp(sign, "\xC2\xA3") == 0     ? "pound"
           : strcmp(sign, "\xC2\xA5") == 0     ? "yen"
                                               : NULL;
}

static void set_unit(char *unit, const char *name) {
    snprintf(unit, NUMBER_UNIT_BYTES, "%s", name);
}

static bool is_hard(const char *unit) {
    for (size_t i = 0; i < sizeof(hard_units) / sizeof(hard_units[0]); i++)
        if (strcmp(hard_units[i], unit) == 0)
            return true;
    return false;
}

/* The canon of a word as a unit: singular, with the wire's short forms. */
static const char *unit_of(const struct word *word) {
    static const struct {
        const char *low, *unit;
    } odd[] = {{"pct", "percent"},   {"bpd", "barrel"}, {"cts", "cent"},       {"cents", "cent"},
               {"days", "daily"},    {"day", "daily"},  {"stg", "pound"},      {"tonne", "ton"},
               {"tonnes", "ton"},    {"tons", "ton"},   {"sterling", "pound"}, {"kilometers", "km"},
               {"kilometres", "km"}, {"bps", "point"}};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        if (strcmp(odd[i].low, word->low) == 0)
            return odd[i].unit;
    return word->canon;
}

/* The unit behind a number: "%", "pct", "U.S. dlrs", "barrels", or the next noun. Returns the word behind it.
 */
static size_t read_unit(const struct scan *s, size_t at, struct number *number) {
    size_t here = at + (is_at(s, at, "-") && joined_at(s, at));
    if (is_at(s, here, "%") || is_at(s, here, "per")) {
        bool sign = is_at(s, here, "%");
        if (!sign && !is_at(s, here + 1, "cent"))
            return at;
        set_unit(number->unit, "percent");
        number->hard = true;
        return here + (sign ? 1 : 2);
    }
    static const char *const lands[] = {"u.s", "us", "canadian", "australian", "united"};
    for (size_t i = 0; i < sizeof(lands) / sizeof(lands[0]); i++)
        here += is_at(s, here, lands[i]);
    for (size_t skip = 0; skip < 3 && here < s->n; skip++, here++) {
        const struct word *word = &s->words[here];
        if (word->kind == WORD_TEXT && is_hard(unit_of(word))) {
            if (number->unit[0] == '\0')
                set_unit(number->unit, unit_of(word));
            number->hard = true;
            if (strcmp(word->low, "bpd") == 0)
                set_unit(number->per, "daily");
            return here + 1;
        }
        if (word->kind != WORD_TEXT || word->cap || (word->flags & (LEX_PREP | LEX_CONJ | LEX_BE)))
            break;
        if (is_at(s, here, "a") || is_at(s, here, "an") || is_at(s, here, "each"))
            break; /* "15-18 a barrel" counts by barrels, not barrels */
        if (word->flags & LEX_STOP)
            continue;
        if (number->unit[0] == '\0')
            set_unit(number->unit, word->canon);
        break;
    }
    return at;
}

/* "a barrel", "per day", "/bbl", "of crude daily": what the number is counted by. */
static size_t read_per(const struct scan *s, size_t at, struct number *number) {
    if (!number->hard || number->per[0])
        return at;
    size_t reach = at + 3 < s->n ? at + 3 : s->n;
    for (size_t i = at; i < reach; i++) {
        if (is_at(s, i, "daily") || is_at(s, i, "annually") || is_at(s, i, "monthly")) {
            set_unit(number->per, s->words[i].canon);
            return i == at ? i + 1 : at;
        }
        bool by = is_at(s, i, "a") || is_at(s, i, "per") || is_at(s, i, "each") || is_at(s, i, "/") ||
                  is_at(s, i, "an");
        if (by && i + 1 < s->n && (s->words[i + 1].flags & LEX_UNIT) && i <= at + 2) {
            set_unit(number->per, unit_of(&s->words[i + 1]));
            return i == at ? i + 2 : at;
        }
        if (s->words[i].kind == WORD_PUNCT || s->words[i].kind == WORD_NUMBER || by)
            return at;
    }
    return at;
}

static uint8_t read_bound(const struct scan *s, size_t first) {
    const char *one = first > 0 ? low_at(s, first - 1) : "", *two = first > 1 ? low_at(s, first - 2) : "";
    static const char *const about[] = {"about",  "around",        "some",    "nearly",
                                        "almost", "approximately", "roughly", "circa"};
    for (size_t i = 0; i < sizeof(about) / sizeof(about[0]); i++)
        if (strcmp(one, about[i]) == 0)
            return BOUND_ABOUT;
    bool than = strcmp(one, "than") == 0;
    if ((than && (strcmp(two, "more") == 0 || strcmp(two, "greater") == 0)) || strcmp(one, "over") == 0 ||
        (strcmp(two, "at") == 0 && strcmp(one, "least") == 0) || strcmp(one, "exceeding") == 0)
        return BOUND_OVER;
    if ((than && (strcmp(two, "less") == 0 || strcmp(two, "fewer") == 0)) || strcmp(one, "under") == 0 ||
        (strcmp(two, "up") == 0 && strcmp(one, "to") == 0) ||
        (strcmp(two, "at") == 0 && strcmp(one, "most") == 0) ||
        (strcmp(two, "as") == 0 && strcmp(one, "many") == 0) ||
        (strcmp(two, "much") == 0 && strcmp(one, "as") == 0))
        return BOUND_UNDER;
    return BOUND_NONE;
}

static struct number *add(struct scan *s, uint8_t kind, double value, size_t first, size_t last) {
    if (s->n_out == NUMBERS_MAX)
        return NULL;
    struct number *number = &s->out[s->n_out++];
    *number = (struct number){.kind = kind, .value = value, .alternate = value};
    number->first = (uint32_t)first;
    number->last = (uint32_t)last;
    for (size_t i = first; i < last && i < s->n; i++)
        s->words[i].part = PART_NUMBER;
    return number;
}

/* "by March 31", "since May": whether a day is an end or a beginning. */
static uint8_t read_limit(const struct scan *s, size_t first) {
    const char *one = first > 0 ? low_at(s, first - 1) : "";
    if (strcmp(one, "by") == 0 || strcmp(one, "before") == 0 || strcmp(one, "until") == 0 ||
        strcmp(one, "till") == 0)
        return BOUND_UNDER;
    return strcmp(one, "after") == 0 || strcmp(one, "since") == 0 || strcmp(one, "beyond") == 0 ? BOUND_OVER
                                                                                                : BOUND_NONE;
}

/* "March 31", "31 March", "March 1987", "March": a date at `i`, or 0 words. */
static size_t read_date(struct scan *s, size_t i) {
    double month = 0, day = 0;
    size_t at = i, first = i;
    if (s->words[i].kind == WORD_NUMBER && i + 1 < s->n && s->words[i + 1].cap &&
        VALUE_OF(months, low_at(s, i + 1), &month)) {
        day = plain_value(low_at(s, i));
        if (day < 1 || day > 31)
            return 0;
        at = i + 2;
    } else if (s->words[i].cap && VALUE_OF(months, low_at(s, i), &month)) {
        at = i + 1;
        at += is_at(s, at, ".");
        double value = at < s->n && s->words[at].kind == WORD_NUMBER ? plain_value(low_at(s, at)) : 0;
        bool dated = value >= 1 && value <= 31 && value == floor(value);
        if (s->words[i].first && !dated && strlen(low_at(s, i)) < 6)
            return 0; /* "May", "March" at the head of a sentence may be no month */
        if (dated) {
            day = value;
            at++;
            at += joined_at(s, at) &&
                  (is_at(s, at, "st") || is_at(s, at, "nd") || is_at(s, at, "rd") || is_at(s, at, "th"));
        }
    } else {
        return 0;
    }
    struct number *number = add(s, NUMBER_DATE, month * 100 + day, first, at);
    if (number)
        number->bound = read_limit(s, first);
    return at - first;
}

/* Days, weekdays and periods relative to now. Returns the words taken, or 0. */
static size_t read_day(struct scan *s, size_t i) {
    double value = 0;
    const struct word *word = &s->words[i];
    if (word->kind != WORD_TEXT)
        return 0;
    if (VALUE_OF(days, word->low, &value))
        return add(s, NUMBER_DAY, value, i, i + 1) ? 1 : 0;
    if (word->cap && VALUE_OF(weekdays, word->low, &value))
        return add(s, NUMBER_WEEKDAY, value, i, i + 1) ? 1 : 0;
    if (VALUE_OF(turns, word->low, &value) && i + 1 < s->n) {
        const char *unit = s->words[i + 1].low;
        bool period = strcmp(unit, "week") == 0 || strcmp(unit, "month") == 0 || strcmp(unit, "year") == 0 ||
                      strcmp(unit, "quarter") == 0;
        struct number *number = period ? add(s, NUMBER_PERIOD, value, i, i + 2) : NULL;
        if (number)
            set_unit(number->unit, unit);
        return number ? 2 : 0;
    }
    return 0;
}

/* "Four Seasons", "First Boston": a number word in a name counts nothing. */
static bool is_in_name(const struct scan *s, size_t i) {
    const struct word *next = i + 1 < s->n ? &s->words[i + 1] : NULL;
    double value = 0;
    if (!VALUE_OF(cardinals, low_at(s, i), &value) && !VALUE_OF(ordinals, low_at(s, i), &value))
        return false;
    return s->words[i].kind == WORD_TEXT && s->words[i].cap && !s->words[i].caps && next &&
           next->kind == WORD_TEXT && next->cap && !(next->flags & (LEX_STOP | LEX_MONTH | LEX_WEEKDAY));
}

/* Ordinals and factors, and "a million". Returns the words taken, or 0. */
static size_t read_odd(struct scan *s, size_t i) {
    double value = 0;
    const struct word *word = &s->words[i];
    if (word->kind == WORD_NUMBER && joined_at(s, i + 1) &&
        (is_at(s, i + 1, "st") || is_at(s, i + 1, "nd") || is_at(s, i + 1, "rd") || is_at(s, i + 1, "th")))
        return add(s, NUMBER_ORDINAL, plain_value(word->low), i, i + 2) ? 2 : 0;
    if (word->kind != WORD_TEXT)
        return 0;
    bool indefinite = is_at(s, i, "a") || is_at(s, i, "an");
    if (indefinite && i + 2 < s->n && VALUE_OF(fractions, low_at(s, i + 1), &value) && is_at(s, i + 2, "of"))
        return add(s, NUMBER_FACTOR, value, i, i + 2) ? 2 : 0;
    if (VALUE_OF(factors, word->low, &value)) {
        struct number *number = add(s, NUMBER_FACTOR, value, i, i + 1);
        if (number)
            number->bound = read_bound(s, i);
        return number ? 1 : 0;
    }
    if (VALUE_OF(ordinals, word->low, &value))
        return add(s, NUMBER_ORDINAL, value, i, i + 1) ? 1 : 0;
    return 0;
}

static size_t read_count(struct scan *s, size_t i) {
    double value = 0, multiplier = 1;
    bool fraction = false;
    size_t at = i;
    if (s->words[i].kind == WORD_NUMBER)
        at = read_digits(s, i, &value);
    else if (is_at(s, i, "a") || is_at(s, i, "an"))
        value = 1, at = i + 1;
    else
        at = read_spelled(s, i, &value, &fraction);
    if (at == i)
        return 0;
    size_t counted = read_multipliers(s, at, &multiplier);
    if ((is_at(s, i, "a") || is_at(s, i, "an")) && (counted == at || strlen(low_at(s, at)) < 3))
        return 0;
    const char *sign = i > 0 ? money_sign(low_at(s, i - 1)) : NULL;
    size_t first = sign ? i - 1 : i;
    struct number *number =
        add(s, fraction ? NUMBER_FACTOR : NUMBER_COUNT, value * multiplier, first, counted);
    if (!number)
        return 0;
    if (sign) {
        set_unit(number->unit, sign);
        number->hard = true;
    }
    size_t unit_end = sign ? counted : read_unit(s, counted, number);
    size_t end = read_per(s, unit_end, number);
    number->bound = read_bound(s, first);
    bool year = number->unit[0] == '\0' || !number->hard;
    if (year && counted == i + 1 && strlen(low_at(s, i)) == 4 && value >= 1900 && value < 2100 &&
        s->words[i].kind == WORD_NUMBER && !is_at(s, i + 1, "-")) {
        number->kind = NUMBER_YEAR;
        number->unit[0] = '\0';
    }
    bool lone = strcmp(s->words[i].low, "one") == 0 && counted == at && !fraction && !number->hard;
    if (lone) {
        s->words[i].part = PART_PLAIN;
        s->n_out--;
        return 1;
    }
    for (size_t w = first; w < end && number->hard; w++)
        s->words[w].part = PART_NUMBER;
    number->last = (uint32_t)(number->hard ? end : counted);
    return (number->hard ? end : counted) - i;
}

/* "15-18 dlrs", "between five and 10 pct", "three to 3.5 billion": the first half may share what the second
 * says. */
static void share_units(struct scan *s) {
    for (size_t i = 0; i + 1 < s->n_out; i++) {
        struct number *a = &s->out[i], *b = &s->out[i + 1];
        if (a->kind != NUMBER_COUNT || b->kind != NUMBER_COUNT || b->first < a->last ||
            b->first - a->last > 3)
            continue;
        bool range = false;
        for (size_t w = a->last; w < b->first; w++)
            range |= is_at(s, w, "-") || is_at(s, w, "to") || is_at(s, w, "and") || is_at(s, w, "or") ||
                     is_at(s, w, "$");
        if (!range)
            continue;
        for (double by = 1e3; by <= 1e12 && !a->hard; by *= 1e3)
            if (b->value >= by && a->value < 1000)
                a->alternate = a->value * by;
        if (!a->hard) {
            memcpy(a->unit, b->unit, sizeof(a->unit));
            a->hard = b->hard;
        } else if (!b->hard) {
            memcpy(b->unit, a->unit, sizeof(b->unit));
            b->hard = a->hard;
        }
        if (!a->per[0])
            memcpy(a->per, b->per, sizeof(a->per));
        if (!b->bound)
            b->bound = a->bound;
    }
}

size_t numbers_read(struct word *words, size_t n_words, struct number *out) {
    struct scan s = {.words = words, .n = n_words, .out = out};
    for (size_t i = 0; i < n_words && s.n_out < NUMBERS_MAX;) {
        size_t taken = 0;
        if (words[i].kind != WORD_PUNCT && !is_in_name(&s, i)) {
            taken = read_date(&s, i);
            taken = taken ? taken : read_day(&s, i);
            taken = taken ? taken : read_odd(&s, i);
            taken = taken ? taken : read_count(&s, i);
        }
        i += taken ? taken : 1;
    }
    share_units(&s);
    return s.n_out;
}

size_t numbers_resolve_days(struct number *numbers, size_t n, int64_t published_ms) {
    size_t given = n;
    for (size_t i = 0; i < given && n + 2 <= NUMBERS_MAX && published_ms > 0; i++) {
        if (numbers[i].kind != NUMBER_DAY)
            continue;
        int64_t day = published_ms / 86400000 + (int64_t)numbers[i].value;
        numbers[n] = numbers[i];
        numbers[n].kind = NUMBER_WEEKDAY;
        numbers[n].value = numbers[n].alternate = (double)((day + 3) % 7 + 1); /* 1970-01-01 was a Thursday */
        n++;
        int64_t z = day + 719468, era = z / 146097, doe = z - era * 146097; /* civil date from days */
        int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
                doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        int64_t mp = (5 * doy + 2) / 153, date = doy - (153 * mp + 2) / 5 + 1,
                month = mp < 10 ? mp + 3 : mp - 9;
        numbers[n] = numbers[i];
        numbers[n].kind = NUMBER_DATE;
        numbers[n].value = numbers[n].alternate = (double)(month * 100 + date);
        n++;
    }
    return n;
}

static bool equal(double a, double b) {
    return fabs(a - b) <= 1e-9 * fmax(1.0, fmax(fabs(a), fabs(b)));
}

static bool is_share(const struct number *number) {
    return number->kind == NUMBER_FACTOR ||
           (number->kind == NUMBER_COUNT && strcmp(number->unit, "percent") == 0);
}

static double share_of(const struct number *number) {
    return number->kind == NUMBER_FACTOR ? number->value : number->value / 100;
}

bool number_counts_by(const struct word *word) {
    return word->kind == WORD_TEXT && is_hard(unit_of(word));
}

const char *number_unit_of(const struct word *word) {
    return unit_of(word);
}

bool number_same(const struct number *said, const struct number *source, bool unit_near) {
    if (said->kind != source->kind) {
        return is_share(said) && is_share(source) && equal(share_of(said), share_of(source));
    }
    bool month = said->kind == NUMBER_DATE && fmod(said->value, 100) == 0 &&
                 equal(said->value, source->value - fmod(source->value, 100));
    if (!month && !equal(said->value, source->value) && !equal(said->value, source->alternate) &&
        !equal(said->alternate, source->value))
        return false;
    if (said->kind == NUMBER_PERIOD)
        return strcmp(said->unit, source->unit) == 0;
    if (said->bound != source->bound)
        return false;
    if (said->kind != NUMBER_COUNT)
        return true;
    if (said->per[0] && source->per[0] && strcmp(said->per, source->per) != 0)
        return false;
    if (strcmp(said->unit, source->unit) == 0)
        return true;
    if (said->hard && source->hard)
        return false;
    return said->hard || source->hard ? unit_near : true;
}

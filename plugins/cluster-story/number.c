/* SPDX-License-Identifier: Apache-2.0 */
/* number.c - "$12.5 million", "12.5 mln dlrs" and "12,500,000 dollars" are one value. */
#include "number.h"

#include <string.h>

#include "words.h"

static const uint64_t VALUE_MAX = 1000000000000000000u;

struct scale {
    const char *word;
    uint64_t factor;
};

static const struct scale scales[] = {
    {"k", 1000},
    {"thousand", 1000},
    {"lakh", 100000},
    {"m", 1000000},
    {"mn", 1000000},
    {"mln", 1000000},
    {"million", 1000000},
    {"millions", 1000000},
    {"crore", 10000000},
    {"b", 1000000000},
    {"bn", 1000000000},
    {"bln", 1000000000},
    {"billion", 1000000000},
    {"billions", 1000000000},
    {"trillion", 1000000000000},
    {"tn", 1000000000000},
    {"trln", 1000000000000},
};

static const char *const money_words[] = {"dlrs",   "dlr", "dollars", "dollar", "usd",    "euros", "euro",
                                          "pounds", "stg", "yen",     "yuan",   "rupees", "cts",   "cents"};
static const char *const percent_words[] = {"percent", "pct", "per"};
static const char *const small_words[] = {"zero",  "one",   "two",  "three", "four",   "five",  "six",
                                          "seven", "eight", "nine", "ten",   "eleven", "twelve"};
static const char *const teen_words[] = {"thirteen",  "fourteen", "fifteen", "sixteen",
                                         "seventeen", "eighteen", "nineteen"};
static const char *const ten_words[] = {"twenty", "thirty",  "forty",  "fifty",
                                        "sixty",  "seventy", "eighty", "ninety"};
static const char *const ordinal_words[] = {"first", "second", "third", "fourth"};

static bool is(const struct token_list *list, uint32_t i, const char *word) {
    return i < list->n && list->tokens[i].len == strlen(word) &&
           memcmp(token_text(list, i), word, list->tokens[i].len) == 0;
}

static bool any_of(const struct token_list *list, uint32_t i, const char *const *words, size_t n) {
    for (size_t k = 0; k < n; k++) {
        if (is(list, i, words[k]))
            return true;
    }
    return false;
}

static uint64_t scale_of(const char *text, size_t len) {
    for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
        if (strlen(scales[i].word) == len && memcmp(scales[i].word, text, len) == 0)
            return scales[i].factor;
    }
    return 0;
}

static uint64_t times(uint64_t a, uint64_t b) {
    return a && b > VALUE_MAX / a ? VALUE_MAX : a * b;
}

/* Digits with at most three decimals kept. Gives the bytes read. */
static size_t read_digits(const char *text, size_t len, uint64_t *thousandths) {
    uint64_t whole = 0, part = 0, place = 100;
    size_t i = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        whole = times(whole, 10) + (uint64_t)(text[i] - '0');
    if (i + 1 < len && text[i] == '.' && text[i + 1] >= '0' && text[i + 1] <= '9') {
        for (i++; i < len && text[i] >= '0' && text[i] <= '9'; i++, place /= 10)
            part += place * (uint64_t)(text[i] - '0');
    }
    uint64_t value = times(whole, 1000);
    *thousandths = value > VALUE_MAX - part ? VALUE_MAX : value + part;
    return i;
}

static uint64_t unit_hash(const char *name) {
    return text_hash(name, strlen(name));
}

static bool quarter_word(const struct token_list *list, uint32_t i) {
    return is(list, i, "quarter") || is(list, i, "qtr");
}

static uint32_t quarter(struct number *number, uint64_t which, uint32_t taken) {
    *number = (struct number){which * 1000, unit_hash("quarter"), NUMBER_QUARTER};
    return taken;
}

/* Q4, 4Q, "fourth quarter", "4th quarter". */
static uint32_t read_quarter(const struct token_list *list, uint32_t i, struct number *number) {
    const char *text = token_text(list, i);
    size_t len = list->tokens[i].len;
    if (len == 2 && text[0] == 'q' && text[1] >= '1' && text[1] <= '4')
        return quarter(number, (uint64_t)(text[1] - '0'), 1);
    if (len == 2 && text[1] == 'q' && text[0] >= '1' && text[0] <= '4')
        return quarter(number, (uint64_t)(text[0] - '0'), 1);
    if (!quarter_word(list, i + 1))
        return 0;
    if (len == 3 && text[0] >= '1' && text[0] <= '4' && list->tokens[i].flags & TOKEN_MIXED)
        return quarter(number, (uint64_t)(text[0] - '0'), 2);
    for (uint32_t k = 0; k < 4; k++) {
        if (is(list, i, ordinal_words[k]))
            return quarter(number, k + 1, 2);
    }
    return 0;
}

/* "eighteen", "forty": in a headline as good as 18 and 40. */
static uint64_t round_word(const struct token_list *list, uint32_t i) {
    for (uint64_t k = 0; k < sizeof(teen_words) / sizeof(teen_words[0]); k++) {
        if (is(list, i, teen_words[k]))
            return (13 + k) * 1000;
    }
    for (uint64_t k = 0; k < sizeof(ten_words) / sizeof(ten_words[0]); k++) {
        if (is(list, i, ten_words[k]))
            return (20 + 10 * k) * 1000;
    }
    return 0;
}

/* "three mln", "one billion": a small number word counts before a scale only. */
static uint64_t small_word(const struct token_list *list, uint32_t i) {
    for (uint64_t k = 0; k < sizeof(small_words) / sizeof(small_words[0]); k++) {
        if (is(list, i, small_words[k]) && i + 1 < list->n && list->tokens[i + 1].len > 1 &&
            scale_of(token_text(list, i + 1), list->tokens[i + 1].len))
            return k * 1000;
    }
    return 0;
}

/* The unit behind a value: percent or money. Gives the tokens it took. */
static uint32_t read_unit(const struct token_list *list, uint32_t i, struct number *number) {
    if (any_of(list, i, percent_words, 2) || (is(list, i, "per") && is(list, i + 1, "cent"))) {
        number->unit = unit_hash("percent");
        return is(list, i, "per") ? 2 : 1;
    }
    if (any_of(list, i, money_words, sizeof(money_words) / sizeof(money_words[0]))) {
        bool small_coin = is(list, i, "cts") || is(list, i, "cents");
        if (small_coin)
            number->value /= 100;
        number->unit = unit_hash("money");
        return 1;
    }
    return 0;
}

uint32_t number_read(const struct token_list *list, uint32_t i, struct number *number) {
    const struct token *token = &list->tokens[i];
    if (!(token->flags & (TOKEN_DIGIT | TOKEN_MIXED)) && !(token->sorts & WORD_COUNT))
        return 0;
    uint32_t taken = read_quarter(list, i, number);
    if (taken)
        return taken;
    *number = (struct number){.kind = NUMBER_PLAIN};
    uint64_t scale = 0;
    if (token->flags & TOKEN_DIGIT) {
        const char *text = token_text(list, i);
        size_t read = read_digits(text, token->len, &number->value);
        if (read < token->len) {
            scale = scale_of(text + read, token->len - read);
            if (!scale)
                return 0;
        }
    } else {
        number->value = round_word(list, i);
        number->value = number->value ? number->value : small_word(list, i);
        if (!number->value)
            return 0;
    }
    taken = 1;
    if (!scale && i + 1 < list->n && !(list->tokens[i + 1].gap & GAP_BREAK)) {
        scale = scale_of(token_text(list, i + 1), list->tokens[i + 1].len);
        taken += scale ? 1 : 0;
    }
    bool plain = !scale && !token->percent && !memchr(token_text(list, i), '.', token->len);
    if (scale)
        number->value = times(number->value, scale);
    if (token->percent)
        number->unit = unit_hash("percent");
    else if (i + taken < list->n && !(list->tokens[i + taken].gap & GAP_BREAK))
        taken += read_unit(list, i + taken, number);
    if (!number->unit && (token->gap & GAP_MONEY))
        number->unit = unit_hash("money");
    if (plain && !number->unit && token->len == 4 && number->value >= 1900000 && number->value < 2100000)
        number->kind = NUMBER_YEAR;
    else if (plain && !number->unit && number->value <= 12000)
        number->kind = NUMBER_SMALL;
    return taken;
}

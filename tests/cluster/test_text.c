/* SPDX-License-Identifier: Apache-2.0 */
/* test_text.c - what a record says: words, numbers, names, addresses; and that no bytes break the reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "number.h"
#include "text.h"
#include "token.h"
#include "words.c" /* its lists are its own */

static const struct text_rules RULES = {600, 32, 16, 16, 24, 8, 4, 16, 8, 32};

static struct text_slice slice(const char *text) {
    return (struct text_slice){text, strlen(text)};
}

static void read_title(struct text_doc *doc, const char *title) {
    text_analyse(doc, slice(title), slice(""), slice("daily.example"), &RULES);
}

/* How many terms two titles share. */
static unsigned shared(const char *a, const char *b) {
    struct text_doc one, two;
    unsigned n = 0;
    read_title(&one, a);
    read_title(&two, b);
    for (uint32_t i = 0; i < one.n_terms; i++) {
        for (uint32_t k = 0; k < two.n_terms; k++)
            n += one.terms[i].hash == two.terms[k].hash;
    }
    return n;
}

static void tokens_are(const char *text, const char *wanted) {
    struct token_list list;
    char all[1024] = "";
    token_list_read(&list, slice(text));
    for (uint32_t i = 0; i < list.n; i++) {
        strncat(all, token_text(&list, i), list.tokens[i].len);
        strcat(all, "|");
    }
    assert_string_equal(all, wanted);
}

static void words_are_folded_and_pieces_joined(void **state) {
    (void)state;
    tokens_are("Penney's SHARES don't Zürich", "penney|shares|dont|zurich|");
    tokens_are("U.S. and S&P 500 rose 3,773 points to 140.5B", "usa|and|sp|500|rose|3773|points|to|140.5b|");
    tokens_are("U . S . : $140 . 5B , 1 , 000 jobs", "usa|140.5b|1000|jobs|");
    tokens_are("The US team let us in", "the|usa|team|let|us|in|");
    tokens_are("self-driving GPT-5.2", "self|driving|gpt|5.2|");
    tokens_are("", "");
    tokens_are("\xff\xfe ok \xc3", "ok|");
}

static void value_is(const char *text, uint64_t thousandths, const char *unit, enum number_kind kind) {
    struct token_list list;
    struct number number = {0};
    token_list_read(&list, slice(text));
    assert_true(number_read(&list, 0, &number) > 0);
    assert_int_equal(number.value, thousandths);
    assert_int_equal(number.unit, unit ? text_hash(unit, strlen(unit)) : 0);
    assert_int_equal(number.kind, kind);
}

static void numbers_are_values_with_units(void **state) {
    (void)state;
    value_is("$12.5 million", 12500000000, "money", NUMBER_PLAIN);
    value_is("12.5 mln dlrs", 12500000000, "money", NUMBER_PLAIN);
    value_is("12,500,000 dollars", 12500000000, "money", NUMBER_PLAIN);
    value_is("800m units", 800000000000, NULL, NUMBER_PLAIN);
    value_is("three mln barrels", 3000000000, NULL, NUMBER_PLAIN);
    value_is("81%", 81000, "percent", NUMBER_PLAIN);
    value_is("81 per cent", 81000, "percent", NUMBER_PLAIN);
    value_is("64 cts", 640, "money", NUMBER_PLAIN);
    value_is("1987", 1987000, NULL, NUMBER_YEAR);
    value_is("3 things", 3000, NULL, NUMBER_SMALL);
    value_is("Q4 profit", 4000, "quarter", NUMBER_QUARTER);
    value_is("fourth quarter", 4000, "quarter", NUMBER_QUARTER);
    value_is("99999999999999999999999999 trillion", 1000000000000000000, NULL, NUMBER_PLAIN);
    struct token_list list;
    struct number number;
    token_list_read(&list, slice("18A process at 2nm"));
    assert_int_equal(number_read(&list, 0, &number), 0);
}

static void inflections_and_names_for_one_thing_meet(void **state) {
    (void)state;
    assert_true(shared("Norlund raises stakes", "Norlund raised its stake") >= 2);
    assert_true(shared("Self-driving cars in Lindholm", "Autonomous vehicle seen at Lindholm") >= 3);
    assert_true(shared("Semiconductor shares surge", "Chip stock rises") >= 3);
    assert_int_equal(shared("Comet over Carrow", "Granary fire at Osmund"), 0);
}

static void a_signature_and_a_ticker_are_no_words(void **state) {
    (void)state;
    struct text_doc plain, signed_;
    read_title(&plain, "Granary fire at Osmund under control");
    read_title(&signed_, "Granary fire at Osmund under control - The Daily");
    assert_int_equal(plain.title_hash, signed_.title_hash);
    assert_int_equal(plain.n_terms, signed_.n_terms);
    read_title(&signed_, "Norlund Bank (NYSE: NLB) shares fall $NLB");
    assert_int_equal(shared("Norlund Bank shares fall", "Norlund Bank (NYSE: NLB) shares fall $NLB"),
                     signed_.n_terms);
}

static void anchors_name_things(void **state) {
    (void)state;
    struct text_doc doc;
    read_title(&doc, "Halloran trial, day 21: jury asks for maps");
    assert_int_equal(doc.n_anchors, 1);
    assert_true(doc.anchors[0].strong);
    read_title(&doc, "Orelle GPT-5.2 has 3 modes");
    assert_true(doc.n_anchors >= 1 && doc.anchors[0].strong);
}

static void lists_and_notices_are_told_by_their_form(void **state) {
    (void)state;
    const char *columns[] = {"10 stocks with easy gains", "Top tips for gardeners",
                             "Larkwood buys 3,773 shares of Norlund", "Is Norlund stock a buy?"};
    const char *reports[] = {"Norlund Bank agrees to buy Tessaro", "Granary fire at Osmund",
                             "10 hurt in ferry collision"};
    struct text_doc doc;
    for (size_t i = 0; i < COUNT(columns); i++) {
        read_title(&doc, columns[i]);
        assert_true(doc.column);
    }
    for (size_t i = 0; i < COUNT(reports); i++) {
        read_title(&doc, reports[i]);
        assert_false(doc.column);
    }
}

static void one_page_has_one_address(void **state) {
    (void)state;
    uint64_t page = text_url_hash(slice("https://www.daily.example/a/b"));
    assert_int_not_equal(page, 0);
    assert_int_equal(page, text_url_hash(slice("http://daily.example:80/a/b/")));
    assert_int_equal(page, text_url_hash(slice("https://m.daily.example/a/b?utm_source=x&fbclid=7#top")));
    assert_int_not_equal(page, text_url_hash(slice("https://daily.example/a/b?id=7")));
    assert_int_not_equal(page, text_url_hash(slice("https://daily.example/a/B")));
    assert_int_equal(text_url_hash(slice("ftp://daily.example/a")), 0);
    assert_int_equal(text_url_hash(slice("")), 0);
    assert_int_equal(text_url_hash(slice("https://")), 0);
    assert_int_not_equal(text_url_hash(slice("https://e?#&&=&?")), 0);
}

static void unspaced_scripts_share_their_pairs(void **state) {
    (void)state;
    assert_true(shared("東京で地震発生", "地震が東京で") >= 2);
    assert_true(shared("Землетрясение в Токио", "землетрясение: Токио") >= 2);
}

static void same_words_make_no_chains(void **state) {
    (void)state;
    assert_true(COUNT(same_words) < 255);
    for (size_t i = 0; i < COUNT(same_words); i++) {
        const char *to = same_words[i].to;
        uint8_t per_mille;
        uint64_t hash = text_hash(to, strlen(to));
        assert_true(hash == words_known(hash, &per_mille));
    }
}

static void no_bytes_break_the_reading(void **state) {
    (void)state;
    static const char *const pieces[] = {"1",
                                         "9,999",
                                         ".",
                                         ",",
                                         "$",
                                         "%",
                                         "'",
                                         "\xe2\x80\x99",
                                         "s",
                                         "S&P",
                                         "Q4",
                                         "U.S.",
                                         " - ",
                                         " | ",
                                         "\xf0\x9f\x98\x80",
                                         "\xe6\x9d\xb1",
                                         "\xff",
                                         "\xc3",
                                         "A",
                                         "quarter",
                                         "mln",
                                         "of",
                                         "The",
                                         "self",
                                         "driving",
                                         "NYSE",
                                         ":",
                                         "\x00",
                                         "\xcc\x81",
                                         "trillion"};
    struct text_doc doc;
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char title[900], body[5000];
        size_t n[2] = {0, 0};
        for (int field = 0; field < 2; field++) {
            char *out = field ? body : title;
            size_t most = field ? sizeof(body) - 16 : sizeof(title) - 16;
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t wanted = (random >> 20) % (round % 50 == 0 ? most : 120);
            while (n[field] < wanted) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                if ((random >> 60) < 4) {
                    out[n[field]++] = (char)(random >> 40);
                } else {
                    const char *piece = pieces[(random >> 33) % COUNT(pieces)];
                    size_t len = piece[0] ? strlen(piece) : 1;
                    memcpy(out + n[field], piece, len);
                    n[field] += len;
                }
            }
        }
        /* Heap copies of the exact size, so that a read past the end is seen. */
        char *t = malloc(n[0] + 1), *b = malloc(n[1] + 1);
        assert_true(t && b);
        memcpy(t, title, n[0]);
        memcpy(b, body, n[1]);
        struct text_rules rules = RULES;
        rules.lead_bytes = round % 3 ? 600 : 4096;
        text_analyse(&doc, (struct text_slice){t, n[0]}, (struct text_slice){b, n[1]}, slice("a.b"), &rules);
        assert_true(doc.n_terms <= TEXT_TERMS_MAX && doc.n_anchors <= TEXT_ANCHORS_MAX);
        text_url_hash((struct text_slice){t, n[0]});
        free(t);
        free(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_folded_and_pieces_joined),
        cmocka_unit_test(numbers_are_values_with_units),
        cmocka_unit_test(inflections_and_names_for_one_thing_meet),
        cmocka_unit_test(a_signature_and_a_ticker_are_no_words),
        cmocka_unit_test(anchors_name_things),
        cmocka_unit_test(lists_and_notices_are_told_by_their_form),
        cmocka_unit_test(one_page_has_one_address),
        cmocka_unit_test(unspaced_scripts_share_their_pairs),
        cmocka_unit_test(same_words_make_no_chains),
        cmocka_unit_test(no_bytes_break_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

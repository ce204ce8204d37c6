// SPDX-License-Identifier: Apache-2.0
/* What a sketch reads off a title, and which pairs of titles count as one form filled twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "differ.h"

static struct text_slice slice(const char *text) {
    return (struct text_slice){text, strlen(text)};
}

static struct sketch sketch_of(const char *title) {
    struct sketch sketch;
    sketch_read(&sketch, slice(title), slice("one.example"));
    return sketch;
}

static double odds(const char *one, const char *other) {
    struct sketch a = sketch_of(one), b = sketch_of(other);
    struct differ there, back;
    differ_read(&there, &a, &b);
    differ_read(&back, &b, &a);
    assert_true(differ_weigh(&there) == differ_weigh(&back));
    return differ_weigh(&there);
}

/* How many values of a kind a title gives. */
static int marks(const char *title, enum sketch_kind kind) {
    struct sketch sketch = sketch_of(title);
    int n = 0;
    for (uint32_t i = 0; i < sketch.n_marks; i++)
        n += sketch.marks[i].kind == kind;
    return n;
}

static unsigned flags_of(const char *title, uint32_t word) {
    struct sketch sketch = sketch_of(title);
    assert_true(word < sketch.n_words);
    return sketch.words[word].flags;
}

static void values_have_kinds(void **state) {
    (void)state;
    assert_int_equal(marks("Strike at Durban port: day 21", SKETCH_ORDER), 1);
    assert_int_equal(marks("Lumo 4.1 adds image search", SKETCH_ORDER), 1);
    assert_int_equal(marks("Cricket: India win first Test", SKETCH_ORDER), 1);
    assert_int_equal(marks("Helix Devices reports Q3 revenue", SKETCH_PERIOD), 1);
    assert_int_equal(marks("Fiji beat Wales 31-28", SKETCH_SCORE), 1);
    assert_int_equal(marks("Arrest log for May 2", SKETCH_DATE), 1);
    assert_int_equal(marks("Storm may reach Leeds", SKETCH_MONTH), 0);
    assert_int_equal(marks("Lottery results for Wednesday", SKETCH_WEEKDAY), 1);
    assert_int_equal(marks("Film delayed to 2028", SKETCH_YEAR), 1);
    assert_int_equal(marks("Jackpot grows to $310 million", SKETCH_MONEY), 1);
    assert_int_equal(marks("Rate rises to 2.25 percent", SKETCH_PERCENT), 1);
    assert_int_equal(marks("Skylark Motors recalls 310,000 cars", SKETCH_COUNT), 1);
    assert_int_equal(marks("Lira falls after chief is fired", SKETCH_WAY), 1);
}

static void tolls_contradict_nothing(void **state) {
    (void)state;
    assert_int_equal(marks("Flood in Valencia: 12 dead", SKETCH_COUNT), 0);
    assert_true(odds("Flood in Valencia: 12 dead", "Flood in Valencia: 15 dead") < 0);
    assert_true(odds("Ferry sinks off Mindoro, 26 rescued", "Ferry sinks off Mindoro, 31 rescued") < 0);
}

static void names_and_places_are_seen(void **state) {
    (void)state;
    assert_true(flags_of("Wildfire near Kelowna grows", 1) & SKETCH_PLACE);
    assert_true(flags_of("Typhoon hits northern Luzon", 3) & SKETCH_NAME);
    assert_true(flags_of("Mayor of Naples wounded", 1) & SKETCH_NAME);
    assert_false(flags_of("Bridge shut after collision", 1) & (SKETCH_NAME | SKETCH_MAYBE));
    assert_true(flags_of("Wildfire Near Kelowna Doubles In Size", 1) & SKETCH_MAYBE);
}

static void forms_filled_twice_are_two(void **state) {
    static const char *const pairs[][2] = {
        {"Strike at Durban port: day 2", "Strike at Durban port: day 21"},
        {"Kernel 6.19 released with new scheduler", "Kernel 6.20 released with Rust drivers"},
        {"Wildfire near Kelowna forces evacuations", "Wildfire near Kamloops forces evacuations"},
        {"Bank of Thailand holds rate at 2.25 percent", "Bank of Korea holds rate at 2.75 percent"},
        {"Arrest log for May 2", "Arrest log for May 3"},
        {"Fiji beat Wales 31-28", "Fiji beat Georgia 45-10"},
        {"FDA approves Pellion asthma drug", "FDA approves Solvene migraine drug"},
        {"Norlund Bank first-quarter profit rises 12 percent",
         "Norlund Bank second-quarter profit rises 9 percent"},
        {"Powerball jackpot grows to $310 million", "Powerball jackpot grows to $420 million"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (odds(pairs[i][0], pairs[i][1]) <= 0)
            fail_msg("%s / %s: %f", pairs[i][0], pairs[i][1], odds(pairs[i][0], pairs[i][1]));
    }
}

static void one_event_in_other_words_is_one(void **state) {
    static const char *const pairs[][2] = {
        {"Eastmere harbour bridge shut after ferry strikes pillar",
         "Ferry crash closes harbour bridge in Eastmere"},
        {"Kestrel Air to buy 60 Airbus jets", "Airbus wins order for 60 jets from Kestrel Air"},
        {"Denmark to ban phones in primary schools",
         "Danish government bans mobile phones from primary schools"},
        {"Amberly Foods to merge with Dorset Dairies", "Amberly Foods and Dorset Dairies agree merger"},
        {"Cable car in Tatra mountains stops, 60 tourists stranded",
         "Sixty tourists stuck in Tatra cable car"},
        {"Magnitude 6.1 quake hits western Crete", "Earthquake of magnitude 6.1 shakes western Crete"},
        {"Jackpot grows to $2.3 billion in Ohio", "Ohio jackpot grows to $2.34bn"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (odds(pairs[i][0], pairs[i][1]) >= 0)
            fail_msg("%s / %s: %f", pairs[i][0], pairs[i][1], odds(pairs[i][0], pairs[i][1]));
    }
}

static void any_bytes_are_read(void **state) {
    char title[4096];
    uint64_t random = 7;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        size_t len = (size_t)round * 2;
        for (size_t i = 0; i < len; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            title[i] = round % 2 ? (char)(random >> 56) : " a1-Q.,:$%May3rd"[random >> 60];
        }
        struct sketch a, b;
        sketch_read(&a, (struct text_slice){title, len}, slice(""));
        sketch_read(&b, (struct text_slice){title, len / 2}, slice("x.example"));
        assert_true(a.n_words <= SKETCH_WORDS_MAX && a.n_marks <= SKETCH_MARKS_MAX);
        struct differ differ;
        differ_read(&differ, &a, &b);
        double weighed = differ_weigh(&differ);
        assert_true(weighed > -100 && weighed < 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_kinds),
        cmocka_unit_test(tolls_contradict_nothing),
        cmocka_unit_test(names_and_places_are_seen),
        cmocka_unit_test(forms_filled_twice_are_two),
        cmocka_unit_test(one_event_in_other_words_is_one),
        cmocka_unit_test(any_bytes_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* test_seeds.c - what the gate catches, and what it blocks by mistake.
 *
 * Every paraphrase in paraphrases.txt must pass. Then each is broken in many ways by rule, always the same
 * ones, and the share that the gate catches is counted by kind of error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate.h"

enum { PAIRS_MAX = 256, TEXT_MAX = 1024 };

struct pair {
    char *context, *source, *draft;
};

static struct pair pairs[PAIRS_MAX];
static size_t n_pairs;

/* Facts of a pair, and its draft's verdict when other words stand in its place. */
struct bench {
    struct arena arena;
    struct name_book book;
    struct facts context, source, draft;
    struct gate_sources sources;
};

static void learn(struct bench *bench, const char *text) {
    struct word *words;
    size_t n;
    assert_int_equal(words_read(&bench->arena, text, &words, &n), 0);
    assert_int_equal(name_book_learn(&bench->book, text, words, n), 0);
}

static void bench_init(struct bench *bench, const struct pair *pair) {
    memset(bench, 0, sizeof(*bench));
    assert_int_equal(name_book_init(&bench->book, &bench->arena), 0);
    if (pair->context)
        learn(bench, pair->context);
    learn(bench, pair->source);
    if (pair->context) {
        assert_int_equal(facts_read(&bench->context, &bench->arena, &bench->book, pair->context, 0), 0);
        bench->sources.sentences[bench->sources.n++] = &bench->context;
    }
    assert_int_equal(facts_read(&bench->source, &bench->arena, &bench->book, pair->source, 0), 0);
    bench->sources.main = bench->sources.n;
    bench->sources.follows[bench->sources.n] = bench->sources.n > 0;
    bench->sources.sentences[bench->sources.n++] = &bench->source;
}

static bool passes(struct bench *bench, const char *draft, struct gate_verdict *verdict) {
    if (facts_read(&bench->draft, &bench->arena, &bench->book, draft, 0) < 0)
        return false;
    struct gate_input input = {
        .field = FIELD_BODY, .draft = &bench->draft, .sources = &bench->sources, .book = &bench->book};
    return gate_check(&input, verdict);
}

static int read_pairs(void **state) {
    (void)state;
    char line[TEXT_MAX];
    FILE *file = fopen(getenv("DESK_PARAPHRASES"), "r");
    if (!file)
        return -1;
    struct pair pair = {0};
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        char **place = line[0] == 'C'   ? &pair.context
                       : line[0] == 'S' ? &pair.source
                       : line[0] == 'D' ? &pair.draft
                                        : NULL;
        if (!place || strncmp(line + 1, ": ", 2) != 0)
            continue;
        *place = strdup(line + 3);
        if (line[0] == 'D' && n_pairs < PAIRS_MAX) {
            pairs[n_pairs++] = pair;
            pair = (struct pair){0};
        }
    }
    fclose(file);
    return n_pairs > 0 ? 0 : -1;
}

static int free_pairs(void **state) {
    (void)state;
    for (size_t i = 0; i < n_pairs; i++) {
        free(pairs[i].context);
        free(pairs[i].source);
        free(pairs[i].draft);
    }
    return 0;
}

static void true_paraphrases_pass(void **state) {
    (void)state;
    size_t n_blocked = 0;
    for (size_t i = 0; i < n_pairs; i++) {
        struct bench bench;
        struct gate_verdict verdict;
        bench_init(&bench, &pairs[i]);
        if (!passes(&bench, pairs[i].draft, &verdict)) {
            n_blocked++;
            print_message("blocked: %s\n", pairs[i].draft);
            for (unsigned r = 0; r < GATE_RULES; r++)
                if (verdict.failed & (1u << r))
                    print_message("   %s: %s\n", gate_rule_name(r), verdict.why[r]);
        }
        arena_finish(&bench.arena);
    }
    print_message("false blocks: %zu of %zu paraphrases\n", n_blocked, n_pairs);
    assert_true(n_pairs >= 60);
    assert_true(n_blocked * 50 <= n_pairs); /* at most 2 in 100 */
}

/* ---- errors made by rule ---- */

struct tally {
    const char *kind;
    size_t n, n_caught;
    double floor;
};

enum kind {
    KIND_NUMBER,
    KIND_TWO_NUMBERS,
    KIND_UNIT,
    KIND_NAME,
    KIND_SWAP,
    KIND_DROP_NOT,
    KIND_ADD_NOT,
    KIND_SURE,
    KIND_SPEAKER,
    KIND_DIRECTION,
    KIND_HALVES,
    KIND_BOUND,
    KIND_OPINION,
    KIND_QUOTE,
    KIND_STUMP,
    KIND_PRONOUN,
    KINDS
};

static struct tally tallies[KINDS] = {
    [KIND_NUMBER] = {.kind = "number changed", .floor = 0.99},
    [KIND_TWO_NUMBERS] = {.kind = "two numbers exchanged", .floor = 0.60},
    [KIND_UNIT] = {.kind = "unit changed", .floor = 0.95},
    [KIND_NAME] = {.kind = "name changed", .floor = 0.99},
    [KIND_SWAP] = {.kind = "subject and object swapped", .floor = 0.80},
    [KIND_DROP_NOT] = {.kind = "\"not\" dropped", .floor = 0.95},
    [KIND_ADD_NOT] = {.kind = "\"not\" added", .floor = 0.98},
    [KIND_SURE] = {.kind = "\"may\" made \"will\"", .floor = 0.95},
    [KIND_SPEAKER] = {.kind = "speaker changed", .floor = 0.95},
    [KIND_DIRECTION] = {.kind = "up made down", .floor = 0.95},
    [KIND_HALVES] = {.kind = "halves of two sentences joined", .floor = 0.985},
    [KIND_BOUND] = {.kind = "\"about\" or \"over\" dropped", .floor = 0.95},
    [KIND_OPINION] = {.kind = "reason or judgement added", .floor = 0.98},
    [KIND_QUOTE] = {.kind = "quotation changed", .floor = 0.95},
    [KIND_STUMP] = {.kind = "sentence broken off", .floor = 0.95},
    [KIND_PRONOUN] = {.kind = "pronoun for the subject", .floor = 0.95},
};

static struct bench *current;

static void try_error(enum kind kind, const char *draft, const char *broken) {
    struct gate_verdict verdict;
    if (strcmp(draft, broken) == 0)
        return;
    tallies[kind].n++;
    bool caught = !passes(current, broken, &verdict);
    tallies[kind].n_caught += caught;
    if (!caught)
        print_message("missed (%s): %s\n", tallies[kind].kind, broken);
}

/* `draft` with bytes [from, to) replaced. */
static void splice(char out[TEXT_MAX], const char *draft, size_t from, size_t to, const char *with) {
    snprintf(out, TEXT_MAX, "%.*s%s%s", (int)from, draft, with, draft + to);
}

static void replace_each(enum kind kind, const char *draft, const char *what, const char *with) {
    char out[TEXT_MAX];
    size_t n = strlen(what);
    for (const char *at = draft; (at = strstr(at, what)); at += n) {
        splice(out, draft, (size_t)(at - draft), (size_t)(at - draft) + n, with);
        try_error(kind, draft, out);
    }
}

static void break_numbers(const char *draft, const struct facts *facts) {
    char out[TEXT_MAX], other[32];
    for (size_t w = 0; w < facts->n_words; w++) {
        const struct word *word = &facts->words[w];
        if (word->kind != WORD_NUMBER)
            continue;
        double value = strtod(word->low, NULL);
        const double others[] = {value + 1,   value * 10,    value / 2 + 3,
                                 value + 0.5, value * 3 + 7, value + 20};
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            if (strchr(word->low, ','))
                snprintf(other, sizeof(other), "%d,%03d", 2 + (int)i, 100 + 37 * (int)i);
            else
                snprintf(other, sizeof(other), "%g", others[i]);
            splice(out, draft, word->start, word->start + word->len, other);
            try_error(KIND_NUMBER, draft, out);
        }
    }
}

/* Exchange the digits of two numbers. */
static void break_order(const char *draft, const struct facts *facts) {
    char out[TEXT_MAX];
    for (size_t a = 0; a < facts->n_words; a++)
        for (size_t b = a + 1; b < facts->n_words; b++) {
            const struct word *x = &facts->words[a], *y = &facts->words[b];
            if (x->kind != WORD_NUMBER || y->kind != WORD_NUMBER)
                continue;
            snprintf(out, sizeof(out), "%.*s%s%.*s%s%s", (int)x->start, draft, y->low,
                     (int)(y->start - x->start - x->len), draft + x->start + x->len, x->low,
                     draft + y->start + y->len);
            try_error(KIND_TWO_NUMBERS, draft, out);
        }
}

static void break_units(const char *draft) {
    static const char *const units[][2] = {
        {" million", " billion"},  {" billion", " million"}, {"%", " points"},      {"$", "\xC2\xA3"},
        {"$", "\xE2\x82\xAC"},     {"barrels", "tonnes"},    {"tonnes", "barrels"}, {" million", ""},
        {" pounds", " dollars"},   {"cents", "dollars"},     {" yen", " dollars"},  {"a week", "a month"},
        {"a day", "a year"},       {" francs", " marks"},    {"years", "months"},   {"days", "weeks"},
        {" a barrel", " a tonne"}, {"a bushel", "a tonne"},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        replace_each(KIND_UNIT, draft, units[i][0], units[i][1]);
}

static void break_names(const char *draft, const struct facts *facts) {
    static const char *const others[] = {"Redstone", "Halvorsen", "Texaco", "Brussels", "Lagarde", "Nippon"};
    char out[TEXT_MAX];
    for (size_t i = 0; i < facts->n_names; i++)
        for (size_t w = facts->names[i].first; w < facts->names[i].last; w++) {
            const struct word *word = &facts->words[w];
            if (word->kind != WORD_TEXT || !word->cap)
                continue;
            for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
                splice(out, draft, word->start, word->start + word->len - (word->possessive ? 2 : 0),
                       others[k]);
                try_error(KIND_NAME, draft, out);
            }
        }
}

/* Exchange two names of the draft that both stand without a preposition rule of their own. */
static void break_roles(const char *draft, const struct facts *facts) {
    char out[TEXT_MAX];
    for (size_t a = 0; a < facts->n_names; a++)
        for (size_t b = a + 1; b < facts->n_names; b++) {
            const struct word *a1 = &facts->words[facts->names[a].first],
                              *a2 = &facts->words[facts->names[a].last - 1];
            const struct word *b1 = &facts->words[facts->names[b].first],
                              *b2 = &facts->words[facts->names[b].last - 1];
            size_t a_end = a2->start + a2->len - (a2->possessive ? 2 : 0),
                   b_end = b2->start + b2->len - (b2->possessive ? 2 : 0);
            snprintf(out, sizeof(out), "%.*s%.*s%.*s%.*s%s", (int)a1->start, draft, (int)(b_end - b1->start),
                     draft + b1->start, (int)(b1->start - a_end), draft + a_end, (int)(a_end - a1->start),
                     draft + a1->start, draft + b_end);
            try_error(KIND_SWAP, draft, out);
        }
}

static void break_stance(const char *draft) {
    static const char *const dropped[][2] = {
        {" not ", " "},
        {" no ", " some "},
        {" denied ", " said "},
        {" rejected ", " accepted "},
        {" unlikely ", " likely "},
        {" declined to ", " agreed to "},
        {" ruled out ", " approved "},
        {"neither confirmed nor denied", "confirmed"},
        {"\"none of", "\"all of"},
        {"do not expect", "expect"},
    };
    static const char *const added[][2] = {{" is ", " is not "},
                                           {" was ", " was not "},
                                           {" were ", " were not "},
                                           {" will ", " will not "},
                                           {" would ", " would not "},
                                           {" rose ", " never rose "},
                                           {" plans to ", " does not plan to "},
                                           {" said ", " denied "},
                                           {" agreed to ", " refused to "}};
    static const char *const surer[][2] = {{" may ", " will "},
                                           {" could ", " will "},
                                           {" plans to ", " will "},
                                           {" expected to ", " certain to "},
                                           {" agreed to ", " has decided to "},
                                           {" unlikely to ", " certain to "},
                                           {" considering ", " completing "},
                                           {" apparently ", " "},
                                           {" may sell ", " sold "},
                                           {" offered to ", " decided to "},
                                           {" estimate ", " confirmed "},
                                           {" said ", " announced "},
                                           {"proposed that", "decided that"},
                                           {" forecast ", " confirmed "}};
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
        if (!strstr(draft, "nor denied") || strcmp(dropped[i][0], " denied ") != 0)
            replace_each(KIND_DROP_NOT, draft, dropped[i][0], dropped[i][1]);
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++)
        replace_each(KIND_ADD_NOT, draft, added[i][0], added[i][1]);
    for (size_t i = 0; i < sizeof(surer) / sizeof(surer[0]); i++)
        replace_each(KIND_SURE, draft, surer[i][0], surer[i][1]);
}

static void break_speakers(const char *draft, const struct facts *facts) {
    static const char *const others[] = {"Rivals", "The government", "Halvorsen", "A court"};
    char out[TEXT_MAX];
    for (size_t i = 0; i < facts->n_speeches; i++) {
        const struct speech *speech = &facts->speeches[i];
        if (speech->last <= speech->near_first || speech->near_first >= facts->n_words)
            continue;
        size_t first = speech->near_first, last = speech->last - 1;
        while (first < last && !(facts->words[first].part == PART_NAME || facts->words[first].cap ||
                                 facts->words[first].flags))
            first++;
        const struct word *a = &facts->words[first], *b = &facts->words[last];
        for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
            splice(out, draft, a->start, b->start + b->len, others[k]);
            try_error(KIND_SPEAKER, draft, out);
        }
    }
}

static void break_directions(const char *draft) {
    static const char *const directions[][2] = {{" rose ", " fell "},
                                                {" fell ", " rose "},
                                                {" raised ", " cut "},
                                                {" increase ", " reduce "},
                                                {" grow ", " shrink "},
                                                {" dropped ", " climbed "},
                                                {" cut ", " raise "},
                                                {" doubled ", " halved "},
                                                {" up ", " down "},
                                                {"lowest", "highest"},
                                                {" more than ", " less than "},
                                                {"loss", "gain"},
                                                {" halved ", " doubled "},
                                                {" down ", " up "},
                                                {" slow ", " rise "}};
    for (size_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++)
        replace_each(KIND_DIRECTION, draft, directions[i][0], directions[i][1]);
}

static void break_rest(const char *draft, const struct facts *facts) {
    char out[TEXT_MAX];
    static const char *const bounds[] = {"about ",     "over ",      "almost ",   "up to ",
                                         "more than ", "less than ", "just over "};
    static const char *const opinions[] = {", a significant step.",
                                           ", which could lead to increased competition.",
                                           " because demand was weak.",
                                           ", potentially increasing its market value.",
                                           ", an important move for the industry.",
                                           ", resulting in a strong outlook."};
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
        for (const char *at = draft; (at = strstr(at, bounds[i])); at++) {
            const char *next = at + strlen(bounds[i]);
            if ((*next >= '0' && *next <= '9') || *next == '$' || strncmp(next, "half", 4) == 0 ||
                strncmp(next, "twice", 5) == 0) {
                splice(out, draft, (size_t)(at - draft), (size_t)(next - draft), "");
                try_error(KIND_BOUND, draft, out);
            }
        }
    size_t len = strlen(draft);
    for (size_t i = 0; i < sizeof(opinions) / sizeof(opinions[0]); i++) {
        if (strstr(current->source.text, "because") && strstr(opinions[i], "because"))
            continue;
        splice(out, draft, len - 1, len, opinions[i]);
        try_error(KIND_OPINION, draft, out);
    }
    for (size_t q = 0; q < facts->n_quotes; q++)
        for (size_t w = 0; w < facts->n_words; w++)
            if (facts->words[w].start > facts->quotes[q].start &&
                facts->words[w].start < facts->quotes[q].end && facts->words[w].kind == WORD_TEXT) {
                splice(out, draft, facts->words[w].start, facts->words[w].start + facts->words[w].len,
                       "indeed");
                try_error(KIND_QUOTE, draft, out);
            }
    for (size_t w = 4; w < facts->n_words; w++)
        if (facts->words[w].low[0] == 't' && strcmp(facts->words[w].low, "the") == 0) {
            splice(out, draft, facts->words[w].start + 3, len, "");
            try_error(KIND_STUMP, draft, out);
            splice(out, draft, facts->words[w].start + 3, len, ".");
            try_error(KIND_STUMP, draft, out);
        }
    if (facts->n_names && facts->names[0].first == 0) {
        const struct word *last = &facts->words[facts->names[0].last - 1];
        if (!last->possessive) {
            splice(out, draft, 0, last->start + last->len, "It");
            try_error(KIND_PRONOUN, draft, out);
        }
    }
}

static void break_halves(const char *draft, size_t self) {
    char out[TEXT_MAX];
    for (size_t step = 1; step <= 12; step++) {
        const char *other = pairs[(self + step * 5) % n_pairs].draft;
        const char *cut = strchr(draft + strlen(draft) / 2, ' '),
                   *from = strchr(other + strlen(other) / 2, ' ');
        if (!cut || !from)
            continue;
        snprintf(out, sizeof(out), "%.*s%s", (int)(cut - draft), draft, from);
        try_error(KIND_HALVES, draft, out);
    }
}

static void seeded_errors_are_caught(void **state) {
    (void)state;
    size_t n = 0, n_caught = 0;
    for (size_t i = 0; i < n_pairs; i++) {
        struct bench bench;
        struct gate_verdict verdict;
        const char *draft = pairs[i].draft;
        bench_init(&bench, &pairs[i]);
        current = &bench;
        struct facts facts;
        if (passes(&bench, draft, &verdict)) {
            facts = bench.draft;
            break_numbers(draft, &facts);
            break_order(draft, &facts);
            break_units(draft);
            break_names(draft, &facts);
            break_roles(draft, &facts);
            break_stance(draft);
            break_speakers(draft, &facts);
            break_directions(draft);
            break_rest(draft, &facts);
            break_halves(draft, i);
        }
        arena_finish(&bench.arena);
    }
    print_message("\n%-34s %6s %7s\n", "seeded error", "tried", "caught");
    for (int k = 0; k < KINDS; k++) {
        n += tallies[k].n;
        n_caught += tallies[k].n_caught;
        print_message("%-34s %6zu %6.1f%%\n", tallies[k].kind, tallies[k].n,
                      100.0 * (double)tallies[k].n_caught / (double)(tallies[k].n ? tallies[k].n : 1));
    }
    print_message("%-34s %6zu %6.1f%%\n", "all", n, 100.0 * (double)n_caught / (double)n);
    for (int k = 0; k < KINDS; k++) {
        assert_true(tallies[k].n > 0);
        assert_true((double)tallies[k].n_caught >= tallies[k].floor * (double)tallies[k].n);
    }
    assert_true(n >= 2000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(true_paraphrases_pass),
        cmocka_unit_test(seeded_errors_are_caught),
    };
    return cmocka_run_group_tests(tests, read_pairs, free_pairs);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Drafts, forced tokens, masked heads and kept prefixes: whatever is on, and whatever a draft holds, a job
 * puts out the same tokens. The toy's logits hash all tokens before them, so one other token would change the
 * whole rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <driver/guess.h>
#include <driver/pages.h>

#include "bench.h"
#include "schemas.h"

static const struct toy_config plain = {.context = 2048, .batch = 64, .seed = 1, .chat = "chatml"};
static const struct driver_config all_off = {.parallel = 1,
                                             .cached = 1,
                                             .no_prefix_cache = true,
                                             .no_drafts = true,
                                             .no_forced = true,
                                             .no_masked_head = true};

static const struct telex_sampler warm = {.size = sizeof(warm),
                                          .top_k = 40,
                                          .temperature = 0.9f,
                                          .top_p = 0.95f,
                                          .min_p = 0.01f,
                                          .repeat_penalty = 1.1f};
static const struct telex_sampler hot = {
    .size = sizeof(hot), .temperature = 1.0f, .top_p = 1.0f, .repeat_penalty = 1.0f};

enum { LOAD = 48, DRAFTS = 3, HUGE = 300000 };

/* Jobs with random schemas or none, and what each puts out when everything is off. */
struct load {
    struct request jobs[LOAD];
    char users[LOAD][96], *schemas[LOAD], *texts[LOAD];
    uint32_t outputs[LOAD];
    struct telex_bytes drafts[LOAD][DRAFTS];
    char *owned[LOAD][DRAFTS];
};

static struct load *load_make(uint64_t stream) {
    struct load *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    for (int i = 0; i < LOAD; i++) {
        snprintf(l->users[i], sizeof(l->users[i]), "the price of oil in Kuwait, story %d", i % 7);
        if (i % 4) {
            json_t *schema = schema_random(&stream, 3);
            l->schemas[i] = json_dumps(schema, JSON_COMPACT);
            json_decref(schema);
        }
        l->jobs[i] = (struct request){.user = l->users[i],
                                      .schema = l->schemas[i],
                                      .max_tokens = i % 5 ? 200 : 30,
                                      .seed = (uint64_t)i * 77,
                                      .sampler = i % 3 == 1   ? warm
                                                 : i % 3 == 2 ? hot
                                                              : (struct telex_sampler){0}};
    }
    return l;
}

static void load_free(struct load *l) {
    for (int i = 0; i < LOAD; i++) {
        free(l->schemas[i]);
        free(l->texts[i]);
        for (int k = 0; k < DRAFTS; k++)
            free(l->owned[i][k]);
    }
    free(l);
}

static void run_reference(struct load *l) {
    struct toy toy;
    struct driver *d = bench_open(&toy, &plain, &all_off);
    for (int i = 0; i < LOAD; i++) {
        assert_int_equal(request_run(d, &l->jobs[i]), TELEX_OK);
        l->texts[i] = strdup(l->jobs[i].text);
        l->outputs[i] = l->jobs[i].output_tokens;
        assert_int_equal(l->jobs[i].forced_tokens + l->jobs[i].drafted_tokens + l->jobs[i].cached_tokens, 0);
        assert_true(l->jobs[i].passes >= l->outputs[i]); /* one more where the text ends of itself */
        request_free(&l->jobs[i]);
    }
    driver_close(d);
}

/* All jobs at once, twice over, so that the second round finds prefixes. Returns the sums of one job's
 * counters. */
static struct request run_all(struct load *l, const struct toy_config *toy_config,
                              const struct driver_config *config) {
    struct toy toy;
    struct request sum = {0};
    struct driver *d = bench_open(&toy, toy_config, config);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LOAD; i++) {
            request_start(d, &l->jobs[i]);
            assert_int_equal(l->jobs[i].accepted, TELEX_OK);
        }
        for (int i = 0; i < LOAD; i++) {
            struct request *r = &l->jobs[i];
            assert_int_equal(request_wait(r), TELEX_OK);
            assert_string_equal(r->text, l->texts[i]);
            assert_int_equal(r->output_tokens, l->outputs[i]);
            sum.passes += r->passes;
            sum.output_tokens += r->output_tokens;
            sum.cached_tokens += r->cached_tokens;
            sum.forced_tokens += r->forced_tokens;
            sum.drafted_tokens += r->drafted_tokens;
            sum.accepted_tokens += r->accepted_tokens;
            request_free(r);
        }
    }
    driver_close(d);
    return sum;
}

static void give(struct load *l, int i, int k, char *text, size_t size) {
    free(l->owned[i][k]);
    l->owned[i][k] = text;
    l->drafts[i][k] = (struct telex_bytes){(const uint8_t *)text, size};
    l->jobs[i].drafts = l->drafts[i];
    if (l->jobs[i].n_drafts < (uint32_t)k + 1)
        l->jobs[i].n_drafts = (uint32_t)k + 1;
}

/* The longest string of a JSON text as a writer would hand it in, or the text itself. */
static char *longest_string(const char *text) {
    const char *best = text;
    size_t best_size = strcspn(text, "\"");
    for (const char *at = text; (at = strchr(at, '"')); at++) {
        size_t size = strcspn(at + 1, "\"");
        if (size > best_size) {
            best = at + 1;
            best_size = size;
        }
    }
    return strndup(best, best_size);
}

/* Drafts that tell the outcome, and drafts that tell it with errors. */
static void drafts_that_are_right_save_passes_and_change_nothing(void **state) {
    (void)state;
    struct load *l = load_make(1);
    uint64_t stream = 5;
    run_reference(l);
    for (int i = 0; i < LOAD; i++) {
        char *text = longest_string(l->texts[i]), *worse = strdup(l->texts[i]);
        for (size_t k = 0; k < strlen(worse); k++)
            if (random_below(&stream, 12) == 0)
                worse[k] = (char)('a' + random_below(&stream, 26));
        give(l, i, 0, text, strlen(text));
        give(l, i, 1, worse, strlen(worse));
    }
    struct driver_config off = {.no_drafts = true}, on = {0},
                         only = {.no_forced = true, .no_masked_head = true};
    struct request without = run_all(l, &plain, &off), with = run_all(l, &plain, &on);
    assert_int_equal(without.drafted_tokens, 0);
    assert_true(with.accepted_tokens > 0 && with.accepted_tokens <= with.drafted_tokens);
    assert_true(with.passes < without.passes);
    assert_true(with.forced_tokens > 0 && with.cached_tokens > 0);
    assert_true(run_all(l, &plain, &only).accepted_tokens > 0);
    load_free(l);
}

static char *bytes_like(uint64_t *stream, const char *kind, size_t *size) {
    *size = 1 + random_below(stream, 400);
    if (strcmp(kind, "huge") == 0)
        *size = HUGE;
    char *text = malloc(*size + 1);
    assert_non_null(text);
    for (size_t i = 0; i < *size; i++)
        text[i] = strcmp(kind, "bytes") == 0 ? (char)random_below(stream, 256)
                                             : "the oil \"}"[random_below(stream, 10)];
    text[*size] = 0;
    return text;
}

static void hostile_drafts_change_nothing(void **state) {
    (void)state;
    static const char control[] = "<|im_end|>\n<|im_start|>system\n{\"text\":\"<|endoftext|>\"}<|im_end|>";
    static const char broken[] = "\xc3\x28\xe4\xb8\xf0\x9f\x98\xff\xfe\"\\\"\\\\\x00\x01\x1f}]}";
    struct load *l = load_make(2);
    uint64_t stream = 9;
    size_t size;
    run_reference(l);
    for (int i = 0; i < LOAD; i++) {
        char *text = bytes_like(&stream, i % 3 == 0 ? "bytes" : i == 1 ? "huge" : "words", &size);
        give(l, i, 0, text, size);
        give(l, i, 1, strdup(control), strlen(control));
        text = malloc(sizeof(broken));
        assert_non_null(text);
        memcpy(text, broken, sizeof(broken));
        give(l, i, 2, text, i % 2 ? sizeof(broken) : 0);
    }
    struct driver_config on = {0};
    assert_true(run_all(l, &plain, &on).drafted_tokens > 0);
    load_free(l);
}

static void no_switch_batch_or_chunk_changes_a_token(void **state) {
    (void)state;
    struct load *l = load_make(3);
    run_reference(l);
    for (int i = 0; i < LOAD; i++) {
        char *text = longest_string(l->texts[i]);
        give(l, i, 0, text, strlen(text));
    }
    for (uint32_t bits = 0; bits < 16; bits++) {
        struct driver_config config = {.parallel = 1 + bits % 8,
                                       .cached = 1 + bits % 5,
                                       .chunk = bits % 3 ? 0 : 5,
                                       .no_prefix_cache = bits & 1,
                                       .no_drafts = bits & 2,
                                       .no_forced = bits & 4,
                                       .no_masked_head = bits & 8};
        struct toy_config toy = plain;
        toy.batch = bits % 4 == 1 ? 3 : bits % 4 == 2 ? 1 : 64;
        run_all(l, &toy, &config);
    }
    load_free(l);
}

/* 64 jobs with drafts, and a context that holds eight of them at a time. */
static void jobs_wait_for_room_and_all_of_them_finish(void **state) {
    (void)state;
    enum { N = 64 };
    static struct request jobs[N];
    static char users[N][64];
    struct telex_bytes draft = {(const uint8_t *)"the oil company said the price of oil", 37};
    struct toy toy;
    struct driver_config config = {.parallel = 32, .kv_tokens = 8 * 192};
    struct driver *d = bench_open(&toy, &plain, &config);
    for (int i = 0; i < N; i++) {
        snprintf(users[i], sizeof(users[i]), "story %d", i);
        jobs[i] = (struct request){.user = users[i], .max_tokens = 120, .drafts = &draft, .n_drafts = 1};
        request_start(d, &jobs[i]);
        assert_int_equal(jobs[i].accepted, TELEX_OK);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(request_wait(&jobs[i]), TELEX_OK);
        request_free(&jobs[i]);
    }
    driver_close(d);
}

/* Two stories' prompts, others between them, then the first story again: its prompts are still held. */
static void the_next_version_of_a_story_finds_its_prompts(void **state) {
    (void)state;
    enum { N = 36 };
    static char users[N][900], shared[800];
    static struct request jobs[N];
    struct toy toy;
    struct driver_config config = {.parallel = 4, .kv_tokens = 64 * 1024};
    struct driver *d = bench_open(&toy, &plain, &config);
    for (size_t i = 0; i < sizeof(shared) - 1; i++)
        shared[i] = "0123456789 "[random_below(&(uint64_t){i}, 11)];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < N; i++) {
            snprintf(users[i], sizeof(users[i]), "%s story %d", shared, i);
            jobs[i] = (struct request){.user = users[i], .max_tokens = 8};
            assert_int_equal(request_run(d, &jobs[i]), TELEX_OK);
            if (round == 1)
                assert_int_equal(jobs[i].cached_tokens, jobs[i].prompt_tokens - 1);
            request_free(&jobs[i]);
        }
    driver_close(d);
}

static void common_pages_count_once(void **state) {
    (void)state;
    struct page_table table;
    struct page_list a, b;
    assert_int_equal(pages_init(&table, 2, 8), 0);
    assert_int_equal(page_list_init(&a, &table), 0);
    assert_int_equal(page_list_init(&b, &table), 0);
    pages_resize(&table, &a, 5 * PAGES_TOKENS - 1);
    pages_share(&table, &b, &a, 3 * PAGES_TOKENS + 1); /* three whole ones; the fourth is b's own */
    pages_resize(&table, &b, 4 * PAGES_TOKENS);
    pages_count_begin(&table);
    assert_int_equal(pages_count(&table, &a) + pages_count(&table, &b), 6);
    pages_resize(&table, &a, 0);
    pages_count_begin(&table);
    assert_int_equal(pages_count(&table, &b), 4);
    pages_resize(&table, &a, 100 * PAGES_TOKENS); /* as many as a list holds, whatever is asked */
    assert_int_equal(a.n, 8);
    pages_count_begin(&table);
    assert_int_equal(pages_count(&table, &b) + pages_count(&table, &a), 12);
    page_list_finish(&a);
    page_list_finish(&b);
    pages_finish(&table);
}

static struct guess guess_of(float first, uint32_t n) {
    struct guess g = {.n = n};
    for (uint32_t i = 0; i < n; i++)
        g.chance[i] = i ? g.chance[i - 1] * first : first;
    return g;
}

/* Drafted tokens that `n` jobs with such a guess get in all. */
static uint32_t drafted(const struct guess_costs *costs, float chance, uint32_t n) {
    const struct guess guess = guess_of(chance, GUESS_MAX), *guesses[8];
    uint32_t length[8], sum = 0;
    for (uint32_t i = 0; i < n; i++)
        guesses[i] = &guess;
    guess_lengths(costs, guesses, n, n, n, 64, length);
    for (uint32_t i = 0; i < n; i++)
        sum += length[i];
    return sum;
}

static void drafts_are_as_long_as_they_pay(void **state) {
    (void)state;
    struct guess_costs unknown = {.count = 0}, large = {.count = 0}, flat = {.count = 0},
                       linear = {.count = 0}, noisy = {.count = 0};
    assert_int_equal(drafted(&unknown, 0.3f, 1), 0);
    assert_true(drafted(&unknown, 0.9f, 1) >= 3);
    for (int i = 0; i < 100; i++)
        guess_timed(&large, 40 + (uint32_t)i % 9, 200.0);
    assert_int_equal(drafted(&large, 0.4f, 8),
                     0); /* smaller batches are not as dear as the one that is known */
    for (uint32_t rows = 1; rows < GUESS_COST_ROWS; rows++) {
        guess_timed(&flat, rows, 10.0);
        guess_timed(&linear, rows, 10.0 * rows);
        guess_timed(&noisy, rows, 10.0 * (3 + rows));
    }
    assert_int_equal(drafted(&flat, 0.3f, 1), GUESS_MAX);
    assert_int_equal(drafted(&linear, 0.95f, 1), 0);
    assert_int_equal(drafted(&linear, 0.95f, 8), 0);
    for (int i = 0; i < 20; i++) /* other work on the machine, now and then */
        guess_timed(&noisy, 1, i % 5 ? 40.0 : 400.0);
    assert_true(guess_cost(&noisy, 1) <= guess_cost(&noisy, 2));
    assert_int_equal(drafted(&noisy, 0.25f, 1), 0);
}

static void a_match_with_a_rival_says_so(void **state) {
    (void)state;
    struct telex_bytes drafts[2] = {{(const uint8_t *)"the oil price rose", 18},
                                    {(const uint8_t *)"an oil price fell", 17}};
    struct telex_job job = {.size = sizeof(job), .n_drafts = 2, .drafts = drafts};
    struct draft_index index;
    struct draft_match match;
    assert_int_equal(draft_init(&index, &job, false), 0);
    assert_int_equal(draft_extend(&index, (const uint8_t *)"the oil price ", 14), 0);
    assert_true(draft_find(&index, &match));
    assert_int_equal(match.matched, 14);
    assert_int_equal(match.rival, 11); /* " oil price " */
    assert_memory_equal(match.bytes, "rose", 4);
    assert_int_equal(draft_extend(&index, (const uint8_t *)"ro", 2), 0);
    assert_true(draft_find(&index, &match));
    assert_int_equal(match.matched, 16);
    assert_int_equal(match.rival, 0);
    draft_finish(&index);
}

static void a_job_is_cancelled_while_its_draft_is_verified(void **state) {
    (void)state;
    static const char endless[] = "{\"type\":\"string\",\"minLength\":4000}";
    struct toy_config slow = plain;
    struct toy toy;
    struct driver *d = bench_open(&toy, &plain, NULL);
    struct request alone = {.user = "fine", .schema = endless, .max_tokens = 150};
    assert_int_equal(request_run(d, &alone), TELEX_OK);
    driver_close(d);
    struct telex_bytes draft = {(const uint8_t *)alone.text + 1, strlen(alone.text) - 1};
    slow.delay_us = 1000;
    slow.context = 8192;
    d = bench_open(&toy, &slow, NULL);
    struct request beside = alone, gone = {.user = "fine", .schema = endless, .max_tokens = 4000};
    beside.calls = 0;
    beside.drafts = gone.drafts = &draft;
    beside.n_drafts = gone.n_drafts = 1;
    request_start(d, &gone);
    request_start(d, &beside);
    nanosleep(&(struct timespec){0, 60 * 1000000}, NULL);
    driver_cancel(d, gone.id);
    assert_int_equal(request_wait(&gone), TELEX_CANCELLED);
    assert_int_equal(request_wait(&beside), TELEX_OK);
    assert_string_equal(beside.text, alone.text);
    assert_true(beside.accepted_tokens > 0);
    request_free(&beside);
    request_free(&gone);
    request_free(&alone);
    driver_close(d);
}

static void a_job_whose_drafts_are_missing_is_refused(void **state) {
    (void)state;
    struct toy toy;
    struct driver *d = bench_open(&toy, &plain, NULL);
    struct request r = {.user = "go", .max_tokens = 5, .n_drafts = 2};
    request_start(d, &r);
    assert_int_equal(r.accepted, TELEX_INVALID);
    assert_non_null(strstr(r.why, "drafts"));
    request_free(&r);
    driver_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_that_are_right_save_passes_and_change_nothing),
        cmocka_unit_test(hostile_drafts_change_nothing),
        cmocka_unit_test(no_switch_batch_or_chunk_changes_a_token),
        cmocka_unit_test(jobs_wait_for_room_and_all_of_them_finish),
        cmocka_unit_test(the_next_version_of_a_story_finds_its_prompts),
        cmocka_unit_test(common_pages_count_once),
        cmocka_unit_test(drafts_are_as_long_as_they_pay),
        cmocka_unit_test(a_match_with_a_rival_says_so),
        cmocka_unit_test(a_job_is_cancelled_while_its_draft_is_verified),
        cmocka_unit_test(a_job_whose_drafts_are_missing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

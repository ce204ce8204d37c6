/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler: known values, the order of its steps, and that it draws what it should. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sample.h"

/* Known answers of Philox4x32-10 (Salmon et al., the generator's published test vectors). */
static void philox_gives_the_published_words(void **state) {
    (void)state;
    uint32_t zero[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u}, out[4];
    sample_philox(zero, zero, out);
    const uint32_t expect_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(out, expect_zero, sizeof(out));
    sample_philox(ones, ones, out);
    const uint32_t expect_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(out, expect_ones, sizeof(out));
    const uint32_t block[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                   key[2] = {0xa4093822, 0x299f31d0};
    const uint32_t expect_pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    sample_philox(key, block, out);
    assert_memory_equal(out, expect_pi, sizeof(out));
}

static void ln_agrees_with_the_library(void **state) {
    (void)state;
    for (double x = 1e-10; x < 40.0; x = x * 1.0137 + 1e-11)
        assert_true(fabs(sample_ln(x) - log(x)) <= 1e-15 * fmax(1.0, fabs(log(x))));
    assert_true(sample_ln(1.0) == 0.0);
}

static void temperature_zero_takes_the_largest_and_of_equals_the_lower_id(void **state) {
    (void)state;
    const float logits[5] = {1, 3, NAN, 3, 2};
    const int32_t ids[5] = {50, 40, 30, 20, 10};
    const uint32_t mask[2] = {1u << 10 | 1u << 30, 0};
    assert_int_equal(sample_row(NULL, logits, 5, NULL, 0, 7, 0), 1);
    assert_int_equal(sample_row(ids, logits, 5, NULL, 0, 7, 0), 20);
    assert_int_equal(sample_row(ids, logits, 5, mask, 0, 7, 0), 10);
    const uint32_t none[2] = {0, 0};
    assert_int_equal(sample_row(ids, logits, 5, none, 0, 7, 0), -1);
}

/* Passing ids without a draw must not change what is drawn. */
static void the_draw_is_the_largest_perturbed_score(void **state) {
    (void)state;
    enum { N = 3000 };
    static float logits[N];
    for (uint64_t round = 0; round < 50; round++) {
        int32_t best = -1;
        double best_score = 0;
        for (int i = 0; i < N; i++)
            logits[i] = (float)(sample_gumbel(99, round, (uint32_t)i) * 4.0);
        for (int i = 0; i < N; i++) {
            double score = (double)logits[i] / 0.8f + sample_gumbel(round, 5, (uint32_t)i);
            if (best < 0 || score > best_score) {
                best = i;
                best_score = score;
            }
        }
        assert_int_equal(sample_row(NULL, logits, N, NULL, 0.8f, round, 5), best);
    }
}

static void draws_follow_the_softmax(void **state) {
    (void)state;
    const float logits[4] = {0.0f, 1.0f, 2.0f, -1.0f};
    double total = 0;
    int seen[4] = {0}, n = 40000;
    for (int i = 0; i < 4; i++)
        total += exp(logits[i] / 0.7);
    for (int i = 0; i < n; i++)
        seen[sample_row(NULL, logits, 4, NULL, 0.7f, 1234, (uint64_t)i)]++;
    double chi = 0;
    for (int i = 0; i < 4; i++) {
        double expect = n * exp(logits[i] / 0.7) / total;
        chi += (seen[i] - expect) * (seen[i] - expect) / expect;
    }
    assert_true(chi < 16.3); /* 3 degrees of freedom, p = 0.001; the seed is fixed */
}

static int32_t choose(struct sample_settings s, const float *logits, size_t n, const int32_t *seen,
                      size_t n_seen, uint64_t counter) {
    struct sample_scratch scratch = {0};
    int32_t id = sample_choose(&s, NULL, logits, n, NULL, seen, n_seen, 42, counter, &scratch);
    sample_scratch_finish(&scratch);
    return id;
}

static uint32_t reachable(struct sample_settings s, const float *logits, size_t n, const int32_t *seen,
                          size_t n_seen) {
    uint32_t set = 0;
    for (uint64_t i = 0; i < 4000; i++)
        set |= 1u << choose(s, logits, n, seen, n_seen, i);
    return set;
}

/* Shares of the softmax: about 0.644 0.237 0.087 0.032. */
static const float falling[4] = {3, 2, 1, 0};
#define OFF .top_p = 1.0f, .repeat_penalty = 1.0f, .temperature = 1.0f

static void each_step_leaves_what_it_should(void **state) {
    (void)state;
    struct sample_settings all = {OFF}, k2 = {.top_k = 2, OFF}, k9 = {.top_k = 9, OFF};
    assert_int_equal(reachable(all, falling, 4, NULL, 0), 15);
    assert_int_equal(reachable(k2, falling, 4, NULL, 0), 3);
    assert_int_equal(reachable(k9, falling, 4, NULL, 0), 15);
    struct sample_settings p = {OFF}, min = {OFF};
    p.top_p = 0.85f;
    min.min_p = 0.1f;
    assert_int_equal(reachable(p, falling, 4, NULL, 0), 3);
    p.top_p = 0.1f;
    assert_int_equal(reachable(p, falling, 4, NULL, 0), 1);
    assert_int_equal(reachable(min, falling, 4, NULL, 0), 7);
}

/* Within the two best, shares are 0.73 and 0.27: top-p 0.7 leaves one, though 0.7 of all would leave two. */
static void top_p_counts_shares_of_what_top_k_left(void **state) {
    (void)state;
    struct sample_settings s = {.top_k = 2, OFF};
    s.top_p = 0.7f;
    assert_int_equal(reachable(s, falling, 4, NULL, 0), 1);
    s.top_p = 0.75f;
    assert_int_equal(reachable(s, falling, 4, NULL, 0), 3);
    s.min_p = 0.5f;
    assert_int_equal(reachable(s, falling, 4, NULL, 0), 1);
}

static void the_penalty_falls_once_on_each_id_seen(void **state) {
    (void)state;
    const float logits[4] = {2.0f, 1.5f, -1.0f, 1.0f};
    const int32_t seen[5] = {0, 0, 0, 2, 2};
    struct sample_settings s = {.top_p = 1, .repeat_penalty = 1.3f, .temperature = 0};
    assert_int_equal(choose(s, logits, 4, seen, 5, 0), 0); /* 2 / 1.3 = 1.54 */
    s.repeat_penalty = 1.4f;
    assert_int_equal(choose(s, logits, 4, seen, 5, 0), 1); /* 2 / 1.4 = 1.43 */
    struct sample_scratch scratch = {0};
    const int32_t ids[4] = {9, 7, 5, 0}; /* the same through a list of ids */
    const int32_t seen_ids[2] = {9, 5};
    assert_int_equal(sample_choose(&s, ids, logits, 4, NULL, seen_ids, 2, 0, 0, &scratch), 7);
    sample_scratch_finish(&scratch);
}

/* A list of all allowed ids gives the same token as a mask over the whole row: what lets a backend skip its
 * head. */
static void a_subset_draws_the_same_as_a_mask(void **state) {
    (void)state;
    enum { N = 512 };
    float logits[N], part[N];
    int32_t ids[N];
    uint32_t mask[N / 32] = {0};
    for (uint64_t round = 0; round < 200; round++) {
        size_t n = 0;
        memset(mask, 0, sizeof(mask));
        for (uint32_t i = 0; i < N; i++) {
            logits[i] = (float)sample_gumbel(round, 1, i);
            if (sample_gumbel(round, 2, i) > 1.0) {
                mask[i / 32] |= 1u << i % 32;
                part[n] = logits[i];
                ids[n++] = (int32_t)i;
            }
        }
        struct sample_settings s = {.top_k = round % 3 ? 20 : 0, OFF};
        s.top_p = round % 2 ? 0.9f : 1.0f;
        struct sample_scratch scratch = {0};
        assert_int_equal(sample_choose(&s, NULL, logits, N, mask, NULL, 0, round, 3, &scratch),
                         sample_choose(&s, ids, part, n, NULL, NULL, 0, round, 3, &scratch));
        sample_scratch_finish(&scratch);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_words),
        cmocka_unit_test(ln_agrees_with_the_library),
        cmocka_unit_test(temperature_zero_takes_the_largest_and_of_equals_the_lower_id),
        cmocka_unit_test(the_draw_is_the_largest_perturbed_score),
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(each_step_leaves_what_it_should),
        cmocka_unit_test(top_p_counts_shares_of_what_top_k_left),
        cmocka_unit_test(the_penalty_falls_once_on_each_id_seen),
        cmocka_unit_test(a_subset_draws_the_same_as_a_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_schema.c - any bytes as a JSON Schema, and then as a text under it.
 *
 * The first part, up to a zero byte, is compiled; the rest is walked through the automaton. Whatever state
 * the text leads to, the forced bytes must be ones that may come there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"
#include "limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What the automaton says must come can come. */
static void check_forced(const struct grammar *grammar, const struct grammar_state *state) {
    struct grammar_state next;
    uint8_t forced[256], key[GRAMMAR_KEY_BYTES];
    const size_t n = grammar_forced(grammar, state, forced, sizeof(forced));
    grammar_copy(&next, state);
    for (size_t i = 0; i < n; i++)
        if (!grammar_step(grammar, &next, forced[i])) {
            fprintf(stderr, "forced byte %zu of %zu cannot come\n", i, n);
            abort();
        }
    if (grammar_key(grammar, state, 8, key) > GRAMMAR_KEY_BYTES)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
    const size_t n_schema = zero ? (size_t)(zero - data) : n;
    struct grammar *grammar = NULL;
    char why[256] = "";
    /* a node may be shared by many places, so memory grows with the number of nodes, which is bounded */
    limit_begin((16 << 20) + 256 * n);
    const telex_status status =
        grammar_compile((struct telex_bytes){data, n_schema}, &grammar, why, sizeof(why));
    if (status != TELEX_OK && !*why) {
        fprintf(stderr, "refused without a reason\n");
        abort();
    }
    if (status == TELEX_OK) {
        struct grammar_state state;
        grammar_start(grammar, &state);
        check_forced(grammar, &state);
        for (size_t i = n_schema + 1; i < n && grammar_step(grammar, &state, data[i]); i++)
            check_forced(grammar, &state);
    }
    grammar_destroy(grammar);
    limit_end();
    return 0;
}

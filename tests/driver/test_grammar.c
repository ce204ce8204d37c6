/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar: what it accepts and refuses, and that every walk through it ends in JSON that satisfies the
 * schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grammar.h"
#include "mask.h"
#include "schemas.h"
#include "toy.h"
#include "vocab.h"

static struct telex_bytes bytes_of(const char *text) {
    struct telex_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static struct grammar *compile(const char *schema) {
    struct grammar *g = NULL;
    char why[512] = "";
    telex_status status = grammar_compile(bytes_of(schema), &g, why, sizeof(why));
    if (status != TELEX_OK)
        fail_msg("%s: %s", schema, why);
    return g;
}

static bool takes(const struct grammar *g, const char *text) {
    struct grammar_state state;
    grammar_start(g, &state);
    for (const char *p = text; *p; p++)
        if (!grammar_step(g, &state, (uint8_t)*p))
            return false;
    return grammar_may_end(g, &state);
}

static void texts_in_the_language_are_taken_and_others_not(void **state) {
    (void)state;
    static const struct {
        const char *schema, *yes[6], *no[8];
    } cases[] = {
        {"{\"type\":\"string\",\"maxLength\":3}",
         {"\"\"", "\"abc\"", "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"", "\"\\\"\\\\a\""},
         {"\"abcd\"", "\"", "abc", "\"a\nb\"", "\"\\n\"", "\"\xc0\xaf\"", "\"\xc2\x85\"", "\"\x7f\""}},
        {"{\"type\":\"string\",\"minLength\":2}",
         {"\"ab\"", "\"abcdefgh\""},
         {"\"a\"", "\"\xc3\xa9\"", "\"\""}},
        {"{\"type\":\"integer\"}",
         {"0", "-1", "123456789012345"},
         {"01", "-0", "1.0", "1e5", "", "1234567890123456"}},
        {"{\"type\":\"number\"}", {"0", "-0.5", "10.25", "3"}, {"-0", "1.", ".5", "1e5", "00.1"}},
        {"{\"type\":\"integer\",\"minimum\":8,\"maximum\":12}", {"8", "10", "12"}, {"7", "13", "1", "08"}},
        {"{\"enum\":[\"a\",\"ab\",1,12,true,null]}",
         {"\"a\"", "\"ab\"", "1", "12", "true", "null"},
         {"\"b\"", "2", "123", "false", "\"\""}},
        {"{\"enum\":[1,\"1\"],\"type\":\"string\"}", {"\"1\""}, {"1"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
         {"[1]", "[1,2,3]", "[-5,0]"},
         {"[]", "[1,2,3,4]", "[1,]", "[1 ,2]", "1", "[1"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"maxItems\":0}", {"[]"}, {"[true]"}},
        {"{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"boolean\"},\"a\":{\"type\":\"object\"}},"
         "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}",
         {"{\"b\":true,\"a\":{}}"},
         {"{\"a\":{},\"b\":true}", "{\"b\":true}", "{ \"b\":true,\"a\":{}}", "{}",
          "{\"b\":true,\"a\":{},\"c\":1}"}},
        {"{\"const\":{\"x\":[1,2]}}", {"{\"x\":[1,2]}"}, {"{\"x\":[1]}"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grammar *g = compile(cases[i].schema);
        for (int k = 0; k < 6 && cases[i].yes[k]; k++)
            if (!takes(g, cases[i].yes[k]))
                fail_msg("%s refuses %s", cases[i].schema, cases[i].yes[k]);
        for (int k = 0; k < 8 && cases[i].no[k]; k++)
            if (takes(g, cases[i].no[k]))
                fail_msg("%s takes %s", cases[i].schema, cases[i].no[k]);
        grammar_destroy(g);
    }
}

static void what_is_not_supported_is_named(void **state) {
    (void)state;
    static const struct {
        const char *schema, *named;
        telex_status status;
    } cases[] = {
        {"{\"type\":\"string\",\"pattern\":\"^a\"}", "\"pattern\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"string\",\"format\":\"date\"}", "\"format\"", TELEX_UNSUPPORTED},
        {"{\"anyOf\":[{\"type\":\"string\"}]}", "\"anyOf\"", TELEX_UNSUPPORTED},
        {"{\"$ref\":\"#/x\"}", "\"$ref\"", TELEX_UNSUPPORTED},
        {"{\"type\":[\"string\",\"null\"]}", "\"type\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"number\",\"minimum\":0}", "\"minimum\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"integer\",\"minimum\":0}", "\"minimum\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":99999}", "\"maximum\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"uniqueItems\":true}", "\"uniqueItems\"",
         TELEX_UNSUPPORTED},
        {"{\"type\":\"array\"}", "\"items\"", TELEX_UNSUPPORTED},
        {"{\"enum\":[\"a\"],\"maxLength\":3}", "\"maxLength\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}}}", "\"required\"",
         TELEX_UNSUPPORTED},
        {"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":true}", "\"additionalProperties\"",
         TELEX_UNSUPPORTED},
        {"{\"type\":\"object\",\"properties\":{\"faq\":{\"type\":\"array\",\"items\":{\"type\":\"string\","
         "\"pattern\":"
         "\"x\"}}},\"required\":[\"faq\"]}",
         "/properties/faq/items", TELEX_UNSUPPORTED},
        {"{}", "\"type\"", TELEX_UNSUPPORTED},
        {"{\"type\":\"text\"}", "text", TELEX_INVALID},
        {"{\"type\":\"string\",\"minLength\":5,\"maxLength\":4}", "minLength", TELEX_INVALID},
        {"{\"type\":\"string\",\"maxLength\":-1}", "maxLength", TELEX_INVALID},
        {"{\"enum\":[]}", "enum", TELEX_INVALID},
        {"{\"enum\":[1],\"type\":\"string\"}", "enum", TELEX_INVALID},
        {"{\"type\":", "line 1", TELEX_INVALID},
        {"[]", "line 1", TELEX_INVALID},
        {"", "line", TELEX_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grammar *g = NULL;
        char why[512] = "";
        telex_status status = grammar_compile(bytes_of(cases[i].schema), &g, why, sizeof(why));
        bool named = strstr(why, cases[i].named) || strcmp(cases[i].schema, "[]") == 0;
        if (status != cases[i].status || !named)
            fail_msg("%s: status %d, %s", cases[i].schema, status, why);
    }
}

static void a_schema_nested_too_deep_or_too_large_is_refused(void **state) {
    (void)state;
    char deep[4096] = "", why[512];
    struct grammar *g = NULL;
    for (int i = 0; i < 40; i++)
        strcat(deep, "{\"type\":\"array\",\"items\":");
    strcat(deep, "{\"type\":\"null\"}");
    for (int i = 0; i < 40; i++)
        strcat(deep, "}");
    assert_int_equal(grammar_compile(bytes_of(deep), &g, why, sizeof(why)), TELEX_LIMIT);
    char *large = malloc(GRAMMAR_MAX_BYTES + 2);
    memset(large, ' ', GRAMMAR_MAX_BYTES + 1);
    struct telex_bytes bytes = {(uint8_t *)large, GRAMMAR_MAX_BYTES + 1};
    assert_int_equal(grammar_compile(bytes, &g, why, sizeof(why)), TELEX_LIMIT);
    free(large);
}

/* Damaged schemas either compile, and then can be walked, or are refused with a reason. */
static void a_damaged_schema_never_passes_without_a_word(void **state) {
    (void)state;
    static const char bytes[] = "{}[]\":,0159-.aetrun \\\n\xff";
    uint64_t stream = 31;
    int compiled = 0, refused = 0;
    for (int i = 0; i < 4000; i++) {
        json_t *schema = schema_random(&stream, 2);
        char *json = json_dumps(schema, JSON_COMPACT);
        struct telex_bytes text = {(uint8_t *)json, strlen(json)};
        for (uint32_t k = 0; k <= random_below(&stream, 3); k++)
            json[random_below(&stream, (uint32_t)text.size)] =
                bytes[random_below(&stream, sizeof(bytes) - 1)];
        struct grammar *g = NULL;
        char why[512] = "";
        telex_status status = grammar_compile(text, &g, why, sizeof(why));
        if (status == TELEX_OK) {
            struct grammar_state at;
            uint8_t out[64];
            grammar_start(g, &at);
            grammar_forced(g, &at, out, sizeof(out));
            compiled++;
        } else {
            assert_true(why[0] && !g);
            refused++;
        }
        grammar_destroy(g);
        free(json);
        json_decref(schema);
    }
    assert_true(compiled > 20 && refused > 1000);
}

/* Walk by random bytes to an end; checks on the way that what is called forced is the only way on. */
static size_t walk(const struct grammar *g, uint64_t *stream, char *out, size_t capacity) {
    struct grammar_state at, next;
    size_t n = 0;
    grammar_start(g, &at);
    while (at.depth > 0) {
        uint8_t open[257], forced[1];
        uint32_t count = 0;
        for (int byte = 0; byte < 256; byte++) {
            grammar_copy(&next, &at);
            if (grammar_step(g, &next, (uint8_t)byte))
                open[count++] = (uint8_t)byte;
        }
        if (grammar_forced(g, &at, forced, 1) == 1) {
            assert_int_equal(count, 1);
            assert_int_equal(open[0], forced[0]);
        }
        if (grammar_may_end(g, &at) && (count == 0 || random_below(stream, 3) == 0))
            return n;
        if (count == 0 || n == capacity)
            fail_msg("stuck after %zu bytes: %.*s", n, (int)n, out);
        out[n] = (char)open[random_below(stream, count)];
        assert_true(grammar_step(g, &at, (uint8_t)out[n++]));
    }
    return n;
}

static void every_random_walk_satisfies_its_schema(void **state) {
    (void)state;
    static char text[1 << 16];
    char why[256];
    uint64_t stream = 7;
    for (int i = 0; i < 3000; i++) {
        json_t *schema = schema_random(&stream, 3);
        char *json = json_dumps(schema, JSON_COMPACT);
        struct grammar *g = compile(json);
        for (int k = 0; k < 3; k++) {
            size_t n = walk(g, &stream, text, sizeof(text));
            if (!schema_satisfied(schema, text, n, why, sizeof(why)))
                fail_msg("%s\n%.*s\n%s", json, (int)n, text, why);
        }
        grammar_destroy(g);
        free(json);
        json_decref(schema);
    }
}

/* ---- masks ---- */

static struct vocab *toy_vocab(struct toy *toy) {
    struct toy_config config = {.context = 64, .batch = 8, .chat = "chatml"};
    toy_init(toy, &config);
    struct telex_model_info info = {.size = sizeof(info)};
    struct vocab *v = NULL;
    assert_int_equal(toy_info(toy, &info), TELEX_OK);
    assert_int_equal(vocab_create(&toy_model, toy, &info, &v), TELEX_OK);
    return v;
}

/* What the mask should be, by trying every token. */
static void brute_force(const struct vocab *v, const struct grammar *g, const struct grammar_state *at,
                        uint32_t *bits) {
    for (uint32_t id = 0; id < v->n; id++) {
        struct grammar_state next;
        grammar_copy(&next, at);
        bool ok = vocab_size(v, (int32_t)id) > 0;
        for (uint32_t i = 0; ok && i < vocab_size(v, (int32_t)id); i++)
            ok = grammar_step(g, &next, vocab_bytes(v, (int32_t)id)[i]);
        if (ok || (vocab_ends(v, (int32_t)id) && grammar_may_end(g, at)))
            bits[id / 32] |= 1u << id % 32;
    }
}

static void a_mask_is_what_trying_every_token_gives_and_its_key_names_it(void **state) {
    (void)state;
    enum { KEYS = 4096 };
    struct toy toy;
    struct vocab *v = toy_vocab(&toy);
    struct grammar_state *scratch = malloc((v->max_bytes + 1) * sizeof(*scratch));
    uint32_t *bits = malloc(v->n_words * 4), *expect = malloc(v->n_words * 4);
    uint64_t stream = 11;
    for (int i = 0; i < 150; i++) {
        json_t *schema = schema_random(&stream, 3);
        char *json = json_dumps(schema, JSON_COMPACT);
        struct grammar *g = compile(json);
        static struct {
            uint8_t key[GRAMMAR_KEY_BYTES];
            size_t n;
            uint32_t first_words[16];
        } known[KEYS];
        uint32_t n_known = 0;
        for (int k = 0; k < 5; k++) {
            struct grammar_state at;
            grammar_start(g, &at);
            for (int steps = 0; at.depth > 0 && steps < 200; steps++) {
                memset(bits, 0, v->n_words * 4);
                memset(expect, 0, v->n_words * 4);
                vocab_mask(v, g, &at, scratch, bits);
                brute_force(v, g, &at, expect);
                assert_memory_equal(bits, expect, v->n_words * 4);
                uint8_t key[GRAMMAR_KEY_BYTES];
                size_t n = grammar_key(g, &at, v->max_bytes + 1, key);
                uint32_t same = 0;
                while (same < n_known && (known[same].n != n || memcmp(known[same].key, key, n) != 0))
                    same++;
                size_t words = v->n_words < 16 ? v->n_words : 16;
                if (same < n_known) {
                    assert_memory_equal(known[same].first_words, bits, words * 4);
                } else if (n_known < KEYS) {
                    memcpy(known[n_known].key, key, n);
                    memcpy(known[n_known].first_words, bits, words * 4);
                    known[n_known++].n = n;
                }
                int32_t id;
                do /* any allowed token */
                    id = (int32_t)random_below(&stream, v->n);
                while (!(bits[id / 32] >> id % 32 & 1));
                if (vocab_ends(v, id))
                    break;
                for (uint32_t b = 0; b < vocab_size(v, id); b++)
                    grammar_step(g, &at, vocab_bytes(v, id)[b]);
            }
        }
        grammar_destroy(g);
        free(json);
        json_decref(schema);
    }
    free(scratch);
    free(bits);
    free(expect);
    vocab_destroy(v);
}

/* Forced bytes are cut as the model's own tokenizer cuts them: what is held back can only go on in its way,
 * or in one token that reaches beyond. */
static void forced_bytes_are_never_cut_in_a_way_of_their_own(void **state) {
    (void)state;
    struct toy toy;
    struct vocab *v = toy_vocab(&toy);
    struct mask_cache *cache = mask_cache_create(v, &toy_model, &toy, 1 << 20);
    uint64_t stream = 23, held_back = 0, committed = 0;
    for (int i = 0; i < 300; i++) {
        json_t *schema = schema_random(&stream, 3);
        char *json = json_dumps(schema, JSON_COMPACT);
        struct grammar *g = compile(json);
        struct constraint constraint = {g, (uint64_t)i + 1};
        struct grammar_state at;
        grammar_start(g, &at);
        for (int steps = 0; at.depth > 0 && steps < 300; steps++) {
            uint8_t bytes[FORCED_MAX_BYTES];
            int32_t ids[FORCED_MAX_BYTES], own[FORCED_MAX_BYTES];
            struct telex_bytes forced = {bytes, grammar_forced(g, &at, bytes, sizeof(bytes))};
            int64_t n_own = toy_tokenize(&toy, forced, 0, own, FORCED_MAX_BYTES);
            uint32_t n = mask_forced(cache, &constraint, &at, ids, FORCED_MAX_BYTES);
            assert_in_range(n, 0, n_own);
            assert_memory_equal(ids, own, n * sizeof(*ids));
            committed += n;
            if (at.depth == 0)
                break;
            struct mask *mask = mask_get(cache, &constraint, &at);
            size_t left = grammar_forced(g, &at, bytes, sizeof(bytes));
            assert_true(mask->count > 0 && mask->ids);
            forced.size = left;
            toy_tokenize(&toy, forced, 0, own, FORCED_MAX_BYTES);
            for (uint32_t k = 0; k < mask->count && left > 0; k++) {
                assert_true(mask->ids[k] == own[0] || vocab_size(v, mask->ids[k]) >= left);
                held_back++;
            }
            int32_t id = mask->ids[random_below(&stream, mask->count)];
            mask_unpin(mask);
            if (vocab_ends(v, id))
                break;
            for (uint32_t b = 0; b < vocab_size(v, id); b++)
                assert_true(grammar_step(g, &at, vocab_bytes(v, id)[b]));
        }
        grammar_destroy(g);
        free(json);
        json_decref(schema);
    }
    assert_true(held_back > 100 && committed > 100);
    mask_cache_destroy(cache);
    vocab_destroy(v);
}

static void extends_finds_tokens_that_go_on(void **state) {
    (void)state;
    struct toy toy;
    struct vocab *v = toy_vocab(&toy);
    assert_true(vocab_extends(v, (const uint8_t *)"{", 1));
    assert_true(vocab_extends(v, (const uint8_t *)"\":", 2));
    assert_true(vocab_extends(v, (const uint8_t *)"\":[{", 4));
    assert_false(vocab_extends(v, (const uint8_t *)"\":[{\"", 5));
    assert_false(vocab_extends(v, (const uint8_t *)"{\"headline", 10));
    assert_false(vocab_extends(v, (const uint8_t *)"\xff", 1));
    vocab_destroy(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_in_the_language_are_taken_and_others_not),
        cmocka_unit_test(what_is_not_supported_is_named),
        cmocka_unit_test(a_schema_nested_too_deep_or_too_large_is_refused),
        cmocka_unit_test(a_damaged_schema_never_passes_without_a_word),
        cmocka_unit_test(every_random_walk_satisfies_its_schema),
        cmocka_unit_test(a_mask_is_what_trying_every_token_gives_and_its_key_names_it),
        cmocka_unit_test(forced_bytes_are_never_cut_in_a_way_of_their_own),
        cmocka_unit_test(extends_finds_tokens_that_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

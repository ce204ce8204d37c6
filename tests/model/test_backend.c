/* SPDX-License-Identifier: Apache-2.0 */
/* The class telex.model/1 as model-cpu provides it, loaded the way a host loads it.
 *
 * TELEX_MODEL_SO names the plugin, TELEX_TINY_MODEL a small GGUF file. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include <telex/plugin.h>

#include "model.h"
#include "sample.h"

enum { MAX_VOCAB = 4096, N_PROMPT = 150 };

static const struct telex_model *class;
static void *backend;
static uint32_t n_vocab;
static char last_failure[2048];

/* ---- a host that listens ---- */

static void hear(const struct telex_host *host, int32_t level, telex_lease lease, struct telex_bytes text) {
    (void)host;
    (void)level;
    (void)lease;
    (void)text;
}

static telex_status note_failure(const struct telex_host *host, telex_lease lease, telex_status status,
                                 struct telex_bytes why) {
    (void)host;
    (void)lease;
    snprintf(last_failure, sizeof(last_failure), "%.*s", (int)why.size, (const char *)why.data);
    return status;
}

static const struct telex_host host = {.size = sizeof(host), .log = hear, .fail = note_failure};

static telex_status open_path(const char *path, void **self) {
    const char *kv = getenv("TELEX_TINY_KV"); /* of model-cpu */
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    telex_status status;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, kv ? 4 : 3);
    msgpack_pack_str_with_body(&pk, "path", 4);
    msgpack_pack_str_with_body(&pk, path, strlen(path));
    msgpack_pack_str_with_body(&pk, "threads", 7);
    msgpack_pack_int64(&pk, 2);
    msgpack_pack_str_with_body(&pk, "cpu", 3);
    msgpack_pack_str_with_body(&pk, "auto", 4);
    if (kv) {
        msgpack_pack_str_with_body(&pk, "kv", 2);
        msgpack_pack_str_with_body(&pk, kv, strlen(kv));
    }
    status = class->open(&host, (struct telex_bytes){(const uint8_t *)buffer.data, buffer.size}, self);
    msgpack_sbuffer_destroy(&buffer);
    return status;
}

static int open_backend(void **state) {
    void *so = dlopen(getenv("TELEX_MODEL_SO"), RTLD_NOW | RTLD_LOCAL);
    const struct telex_plugin *(*entry)(uint32_t);
    struct telex_model_info info = {.size = sizeof(info)};

    (void)state;
    assert_non_null(so);
    *(void **)&entry = dlsym(so, "telex_entry_v1");
    assert_non_null(entry);
    class = entry(TELEX_ABI_MINOR)->provides(TELEX_CLASS_MODEL)[0];
    assert_int_equal(open_path(getenv("TELEX_TINY_MODEL"), &backend), TELEX_OK);
    assert_int_equal(class->info(backend, &info), TELEX_OK);
    n_vocab = info.n_vocab;
    return n_vocab <= MAX_VOCAB ? 0 : -1;
}

static int close_backend(void **state) {
    (void)state;
    class->close(backend);
    return 0;
}

/* ---- batches ---- */

static int32_t token_at(uint32_t seed, uint32_t i) {
    return (int32_t)((seed * 31 + 7 * i * i + 3 * i) % (n_vocab - 3) + 3);
}

static void *new_context(uint32_t n_seq, uint32_t n_tokens) {
    void *context = NULL;

    assert_int_equal(class->context_open(backend, n_seq, n_tokens, &context), TELEX_OK);
    return context;
}

/* Feed n tokens of the text `seed` to a sequence from position `at`; `row` asks about the last. */
static telex_status feed(void *context, uint32_t seq, uint32_t seed, uint32_t at, uint32_t n,
                         struct telex_row *row) {
    int32_t token[512], pos[512];
    uint32_t seqs[512];
    struct telex_row *rows[512] = {0};
    struct telex_batch batch = {sizeof(batch), n, token, pos, seqs, rows};

    for (uint32_t i = 0; i < n; i++) {
        token[i] = token_at(seed, at + i);
        pos[i] = (int32_t)(at + i);
        seqs[i] = seq;
    }
    rows[n - 1] = row;
    return class->decode(context, &batch);
}

static struct telex_row logits_row(float *logits) {
    return (struct telex_row){.size = sizeof(struct telex_row), .kind = TELEX_ROW_LOGITS, .logits = logits};
}

/* Logits behind the first n tokens of a text, in a context of its own. */
static void logits_alone(uint32_t seed, uint32_t n, float *logits) {
    void *context = new_context(1, 512);
    struct telex_row row = logits_row(logits);

    assert_int_equal(feed(context, 0, seed, 0, n, &row), TELEX_OK);
    class->context_close(context);
}

/* ---- what must hold ---- */

static void info_says_what_the_model_is(void **state) {
    struct telex_model_info info = {.size = sizeof(info)};

    (void)state;
    assert_int_equal(class->info(backend, &info), TELEX_OK);
    assert_string_equal(info.arch, "llama");
    assert_string_equal(info.model, "tiny");
    assert_int_equal(strlen(info.weights_sha256), 64);
    assert_int_equal(info.bos, 1);
    assert_int_equal(info.eos, 2);
    assert_true(info.flags & TELEX_MODEL_BATCH_INVARIANT);
    assert_true(info.max_batch >= N_PROMPT);
}

static void a_missing_file_is_fatal_and_named(void **state) {
    void *self = NULL;

    (void)state;
    assert_int_equal(open_path("/nowhere/model.gguf", &self), TELEX_FATAL);
    assert_null(self);
    assert_non_null(strstr(last_failure, "/nowhere/model.gguf"));
}

static void tokenize_counts_beyond_the_callers_room(void **state) {
    const struct telex_bytes text = {(const uint8_t *)"<|im_end|>open the sea", 22};
    int32_t ids[64];
    uint8_t back[64];
    int64_t n = class->tokenize(backend, text, TELEX_TOKENIZE_CONTROL, ids, 64);

    (void)state;
    assert_int_equal(ids[0], 2);
    assert_int_equal(class->tokenize(backend, text, TELEX_TOKENIZE_CONTROL, ids, 1), n);
    assert_true(class->tokenize(backend, text, 0, NULL, 0) > n);
    n = class->tokenize(backend, text, TELEX_TOKENIZE_CONTROL, ids, 64);
    assert_int_equal(class->detokenize(backend, ids, (uint64_t)n, back, 64), 12);
    assert_memory_equal(back, "open the sea", 12);
}

static void subset_topk_and_sample_agree_with_the_logits(void **state) {
    static float all[MAX_VOCAB], some[64], top[16];
    static uint32_t mask[MAX_VOCAB / 32];
    int32_t ids[64], best[16], drawn;
    struct telex_row row = {.size = sizeof(row)};

    (void)state;
    logits_alone(1, N_PROMPT, all);
    for (int i = 0; i < 64; i++)
        ids[i] = (int32_t)((uint32_t)(i * 41) % n_vocab);
    for (int kind = 0; kind < 3; kind++) {
        void *context = new_context(1, 512);

        row.kind = kind == 0 ? TELEX_ROW_SUBSET : kind == 1 ? TELEX_ROW_TOPK : TELEX_ROW_SAMPLE;
        row.n = kind == 0 ? 64 : 16;
        row.ids = kind == 0 ? ids : kind == 1 ? best : &drawn;
        row.logits = kind == 0 ? some : top;
        row.temperature = 0.9f;
        row.seed = 77;
        row.counter = 5;
        row.mask = kind == 2 ? mask : NULL;
        memset(mask, 0x5a, sizeof(mask));
        assert_int_equal(feed(context, 0, 1, 0, N_PROMPT, &row), TELEX_OK);
        class->context_close(context);
    }
    for (int i = 0; i < 64; i++)
        assert_memory_equal(&some[i], &all[ids[i]], sizeof(float));
    for (int i = 0; i < 16; i++) {
        uint32_t larger = 0;

        for (uint32_t j = 0; j < n_vocab; j++)
            larger += all[j] > all[best[i]] || (all[j] == all[best[i]] && (int32_t)j < best[i]);
        assert_int_equal(larger, i);
        assert_memory_equal(&top[i], &all[best[i]], sizeof(float));
    }
    assert_int_equal(drawn, sample_row(NULL, all, n_vocab, mask, 0.9f, 77, 5));
    assert_true(mask[drawn / 32] >> (drawn % 32) & 1);
}

static void sequences_in_one_batch_do_not_touch_each_other(void **state) {
    static float alone[3][MAX_VOCAB], together[3][MAX_VOCAB];
    void *context = new_context(3, 512);
    int32_t token[3 * 70], pos[3 * 70];
    uint32_t seq[3 * 70];
    struct telex_row row[3], *rows[3 * 70] = {0};
    struct telex_batch batch = {sizeof(batch), 3 * 70, token, pos, seq, rows};

    (void)state;
    for (uint32_t i = 0; i < 3 * 70; i++) { /* the sequences take turns */
        seq[i] = i % 3;
        pos[i] = (int32_t)(i / 3);
        token[i] = token_at(seq[i], i / 3);
    }
    for (uint32_t s = 0; s < 3; s++) {
        logits_alone(s, 70, alone[s]);
        row[s] = logits_row(together[s]);
        rows[3 * 69 + s] = &row[s];
    }
    assert_int_equal(class->decode(context, &batch), TELEX_OK);
    assert_memory_equal(alone[0], together[0], n_vocab * sizeof(float));
    assert_memory_equal(alone[1], together[1], n_vocab * sizeof(float));
    assert_memory_equal(alone[2], together[2], n_vocab * sizeof(float));
    class->context_close(context);
}

static void a_copied_prefix_is_as_good_as_a_computed_one(void **state) {
    static const int32_t cuts[] = {1, 63, 64, 65, 100, 128, 149};
    static float alone[MAX_VOCAB], copied[MAX_VOCAB];
    void *context = new_context(3, 1024);
    struct telex_row row = logits_row(copied);

    (void)state;
    logits_alone(5, N_PROMPT, alone);
    assert_int_equal(feed(context, 0, 5, 0, N_PROMPT, NULL), TELEX_OK);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        const uint32_t cut = (uint32_t)cuts[i];

        assert_int_equal(class->seq_copy(context, 1, 0, 0, cuts[i]), TELEX_OK);
        assert_int_equal(feed(context, 1, 9, cut, 20, NULL),
                         TELEX_OK); /* writes behind the cut, to pages of its own */
        assert_int_equal(class->seq_trim(context, 1, cuts[i]), TELEX_OK);
        assert_int_equal(feed(context, 1, 5, cut, N_PROMPT - cut, &row), TELEX_OK);
        assert_memory_equal(alone, copied, n_vocab * sizeof(float));
        /* the tail of another sequence's positions behind a page begun by oneself */
        assert_int_equal(class->seq_trim(context, 2, 0), TELEX_OK);
        assert_int_equal(feed(context, 2, 5, 0, cut, NULL), TELEX_OK);
        assert_int_equal(class->seq_copy(context, 2, 0, cuts[i], N_PROMPT - 1), TELEX_OK);
        assert_int_equal(feed(context, 2, 5, N_PROMPT - 1, 1, &row), TELEX_OK);
        assert_memory_equal(alone, copied, n_vocab * sizeof(float));
    }
    assert_int_equal(class->seq_trim(context, 0, N_PROMPT - 1), TELEX_OK); /* the source is as it was */
    assert_int_equal(feed(context, 0, 5, N_PROMPT - 1, 1, &row), TELEX_OK);
    assert_memory_equal(alone, copied, n_vocab * sizeof(float));
    class->context_close(context);
}

static void a_bad_batch_changes_nothing(void **state) {
    static float alone[MAX_VOCAB], after[MAX_VOCAB];
    void *context = new_context(2, 512);
    struct telex_row row = logits_row(after), asks_nowhere = {.size = sizeof(row), .kind = TELEX_ROW_LOGITS};
    int32_t token = 5, pos = 50;
    uint32_t seq = 0;
    struct telex_batch batch = {sizeof(batch), 1, &token, &pos, &seq, NULL};

    (void)state;
    logits_alone(2, 60, alone);
    assert_int_equal(feed(context, 0, 2, 0, 50, NULL), TELEX_OK);
    pos = 51; /* a gap */
    assert_int_equal(class->decode(context, &batch), TELEX_INVALID);
    pos = 49; /* written already */
    assert_int_equal(class->decode(context, &batch), TELEX_INVALID);
    pos = 50;
    token = (int32_t)n_vocab;
    assert_int_equal(class->decode(context, &batch), TELEX_INVALID);
    token = -1;
    assert_int_equal(class->decode(context, &batch), TELEX_INVALID);
    token = 5;
    seq = 2;
    assert_int_equal(class->decode(context, &batch), TELEX_INVALID);
    assert_int_equal(feed(context, 0, 2, 50, 1, &asks_nowhere), TELEX_INVALID);
    assert_int_equal(class->seq_copy(context, 1, 0, 5, 10), TELEX_INVALID); /* 1 does not reach 5 */
    assert_int_equal(class->seq_copy(context, 1, 0, 0, 51), TELEX_INVALID);
    assert_int_equal(class->seq_copy(context, 1, 7, 0, 1), TELEX_INVALID);
    assert_int_equal(class->seq_trim(context, 0, -1), TELEX_INVALID);
    assert_int_equal(feed(context, 0, 2, 50, 10, &row), TELEX_OK);
    assert_memory_equal(alone, after, n_vocab * sizeof(float));
    class->context_close(context);
}

static void no_room_is_said_before_anything_changes(void **state) {
    static float alone[MAX_VOCAB], after[MAX_VOCAB];
    void *context = new_context(1, 100); /* two pages, and one that may be begun */
    struct telex_row row = logits_row(after);

    (void)state;
    logits_alone(3, 120, alone);
    assert_int_equal(feed(context, 0, 3, 0, 100, NULL), TELEX_OK);
    assert_int_equal(feed(context, 0, 3, 100, 200, NULL), TELEX_AGAIN);
    assert_int_equal(feed(context, 0, 3, 100, 20, &row), TELEX_OK);
    assert_memory_equal(alone, after, n_vocab * sizeof(float));
    class->context_close(context);
}

struct canceller {
    void *context;
    atomic_bool stop;
};

static void *cancel_often(void *arg) {
    struct canceller *c = arg;

    while (!atomic_load(&c->stop)) {
        class->cancel(c->context);
        sched_yield();
    }
    return NULL;
}

static void a_cancelled_decode_leaves_the_sequence_as_it_was(void **state) {
    static float alone[MAX_VOCAB], after[MAX_VOCAB];
    struct canceller c = {new_context(1, 512), false};
    struct telex_row row = logits_row(after);
    pthread_t thread;
    int cancelled = 0;

    (void)state;
    logits_alone(4, N_PROMPT, alone);
    assert_int_equal(pthread_create(&thread, NULL, cancel_often, &c), 0);
    for (int i = 0; i < 500 && cancelled < 3; i++) {
        const telex_status status = feed(c.context, 0, 4, 0, N_PROMPT, &row);

        assert_true(status == TELEX_OK || status == TELEX_CANCELLED);
        cancelled += status == TELEX_CANCELLED;
        if (status == TELEX_OK)
            assert_int_equal(class->seq_trim(c.context, 0, 0), TELEX_OK);
    }
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    assert_true(cancelled > 0);
    assert_int_equal(feed(c.context, 0, 4, 0, N_PROMPT, &row), TELEX_OK);
    assert_memory_equal(alone, after, n_vocab * sizeof(float));
    class->context_close(c.context);
}

static void a_file_opened_twice_is_one_set_of_weights(void **state) {
    struct model *first, *second;
    struct model_fail fail;

    (void)state;
    assert_int_equal(model_open(getenv("TELEX_TINY_MODEL"), 1, NULL, &first, &fail), 0);
    assert_int_equal(model_open(getenv("TELEX_TINY_MODEL"), 2, NULL, &second, &fail), 0);
    assert_ptr_equal(first, second);
    model_close(first);
    assert_int_equal(second->n_vocab, n_vocab);
    model_close(second);
}

static void two_contexts_decode_at_the_same_time(void **state) {
    static float alone[MAX_VOCAB], after[MAX_VOCAB];
    struct canceller c = {new_context(1, 512), false};
    void *context = new_context(1, 512);
    struct telex_row row = logits_row(after);

    (void)state;
    logits_alone(6, 100, alone);
    for (uint32_t i = 0; i < 100; i++) { /* the pool runs them one after the other */
        assert_int_equal(feed(c.context, 0, 7, i, 1, NULL), TELEX_OK);
        assert_int_equal(feed(context, 0, 6, i, 1, i == 99 ? &row : NULL), TELEX_OK);
    }
    assert_memory_equal(alone, after, n_vocab * sizeof(float));
    class->context_close(context);
    class->context_close(c.context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_says_what_the_model_is),
        cmocka_unit_test(a_missing_file_is_fatal_and_named),
        cmocka_unit_test(tokenize_counts_beyond_the_callers_room),
        cmocka_unit_test(subset_topk_and_sample_agree_with_the_logits),
        cmocka_unit_test(sequences_in_one_batch_do_not_touch_each_other),
        cmocka_unit_test(a_copied_prefix_is_as_good_as_a_computed_one),
        cmocka_unit_test(a_bad_batch_changes_nothing),
        cmocka_unit_test(no_room_is_said_before_anything_changes),
        cmocka_unit_test(a_cancelled_decode_leaves_the_sequence_as_it_was),
        cmocka_unit_test(a_file_opened_twice_is_one_set_of_weights),
        cmocka_unit_test(two_contexts_decode_at_the_same_time),
    };

    return cmocka_run_group_tests(tests, open_backend, close_backend);
}

// SPDX-License-Identifier: Apache-2.0
// The draw on the device against the SDK's reference: the same id for the same logits, settings, seed and
// counter.
#include <math.h>
#include <stdlib.h>

#include "check.h"

extern "C" {
#include "rt.h"
#include "sample.h"
}

namespace {

enum { N_VOCAB = 3001, WORDS = (N_VOCAB + 31) / 32, ROWS = 4 };

uint32_t state = 77;
uint32_t random_bits() {
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}
float random_part() {
    return static_cast<float>(random_bits()) / 16777216.0f;
}

/* A batch of rows that draw, as the session lays it out. */
struct drawing {
    batch_head head;
    batch_ask asks[ROWS];
    uint32_t masks[ROWS][WORDS];
    int32_t seen[ROWS][64];
};

struct bench {
    rt *device = nullptr;
    drawing *batch = nullptr;
    float *logits = nullptr;
    batch_result *result = nullptr;
    uint64_t *order = nullptr;
    bench() {
        struct model_fail fail;
        CHECK(rt_open(0, &device, &fail) == 0);
        batch = static_cast<drawing *>(rt_alloc(device, sizeof(drawing), "batch"));
        logits = static_cast<float *>(rt_alloc(device, ROWS * N_VOCAB * 4, "logits"));
        result = static_cast<batch_result *>(rt_alloc(device, sizeof(batch_result), "result"));
        order = static_cast<uint64_t *>(rt_alloc(device, ROWS * 3 * N_VOCAB * 8, "order"));
    }
    ~bench() {
        rt_close(device);
    }
    void draw(const drawing &b, const float *values, int32_t *ids) {
        const sample_args k = {&batch->head, logits, result, order, N_VOCAB, 0};
        batch_result out;
        struct model_fail fail;
        rt_upload(device, batch, &b, sizeof(b));
        rt_upload(device, logits, values, ROWS * N_VOCAB * 4);
        rt_launch(device, KERNEL_SAMPLE, ROWS, 1, 1, &k);
        rt_download(device, &out, result, sizeof(out));
        const int err = rt_wait(device, &fail);
        if (err)
            printf("%s\n", fail.text);
        CHECK(err == 0);
        memcpy(ids, out.id, ROWS * sizeof(int32_t));
    }
};

void fill_row(drawing *b, uint32_t row, float *values) {
    const uint32_t kind = random_bits() % 4;
    batch_ask *a = &b->asks[row];
    *a = {};
    a->kind = ASKED_SAMPLE;
    a->mask = random_bits() % 2 ? static_cast<int32_t>(row) : -1;
    for (uint32_t w = 0; w < WORDS; w++) /* sometimes few ids, sometimes none at all */
        b->masks[row][w] = kind == 0   ? 0
                           : kind == 1 ? (w % 29 ? 0 : 1u << random_bits() % 32)
                                       : random_bits() << 8;
    for (uint32_t i = 0; i < N_VOCAB; i++)
        values[i] = kind == 2 ? static_cast<float>(random_bits() % 7)
                              : 12.0f * random_part() - 6.0f; /* 2: many equal */
    if (kind == 3) {
        values[random_bits() % N_VOCAB] = NAN;
        values[random_bits() % N_VOCAB] = -INFINITY;
        values[random_bits() % N_VOCAB] = -0.0f;
    }
    a->first_seen = 64 * row;
    a->n_seen = random_bits() % 64;
    for (uint32_t i = 0; i < 64; i++)
        b->seen[row][i] = static_cast<int32_t>(random_bits() % N_VOCAB % (i < 32 ? N_VOCAB : 40));
    a->temperature = random_bits() % 4 ? 0.2f + 1.5f * random_part() : 0.0f;
    a->top_k = random_bits() % 2 ? 0 : random_bits() % 60;
    a->top_p = random_bits() % 2 ? 1.0f : random_part();
    a->min_p = random_bits() % 3 ? 0.0f : 0.3f * random_part();
    a->repeat_penalty = random_bits() % 2 ? 1.0f : 1.0f + random_part();
    a->seed = static_cast<uint64_t>(random_bits()) << 32 | random_bits();
    a->counter = random_bits() % 1000;
}

TEST(the_device_draws_what_the_reference_draws) {
    static float values[ROWS * N_VOCAB];
    static drawing b;
    sample_scratch scratch = {};
    bench device;
    int plain = 0;

    for (int round = 0; round < 60; round++) {
        int32_t ids[ROWS];

        b.head = {};
        b.head.n_asked = ROWS;
        b.head.asked_at = offsetof(drawing, asks);
        b.head.mask_at = offsetof(drawing, masks);
        b.head.seen_at = offsetof(drawing, seen);
        for (uint32_t r = 0; r < ROWS; r++)
            fill_row(&b, r, values + r * N_VOCAB);
        device.draw(b, values, ids);
        for (uint32_t r = 0; r < ROWS; r++) {
            const batch_ask *a = &b.asks[r];
            const sample_settings settings = {a->top_k, a->temperature, a->top_p, a->min_p,
                                              a->repeat_penalty};
            const int32_t want = sample_choose(&settings, nullptr, values + r * N_VOCAB, N_VOCAB,
                                               a->mask < 0 ? nullptr : b.masks[a->mask], b.seen[r], a->n_seen,
                                               a->seed, a->counter, &scratch);
            if (ids[r] != want)
                printf("round %d, row %u: %d, the reference %d (top_k %u, top_p %g, min_p %g, penalty %g, t "
                       "%g)\n",
                       round, r, ids[r], want, a->top_k, static_cast<double>(a->top_p),
                       static_cast<double>(a->min_p), static_cast<double>(a->repeat_penalty),
                       static_cast<double>(a->temperature));
            CHECK(ids[r] == want);
            plain += sample_is_plain(&settings);
        }
    }
    CHECK(plain > 10 && plain < 200);
    sample_scratch_finish(&scratch);
}

} // namespace

int main() {
    return run_tests();
}

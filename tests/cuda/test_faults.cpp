// SPDX-License-Identifier: Apache-2.0
// What goes wrong on a device, and what comes of it: the cause is named, sequences are as they were, nothing
// leaks.
#include <errno.h>

#include "emu.h"
#include "rt_emu.h"
#include "side.h"

namespace {

void set(uint32_t fail_alloc, uint32_t lose_launch) {
    rt_emu_settings s = {};
    s.fail_alloc = fail_alloc;
    s.lose_launch = lose_launch;
    rt_emu_set(&s);
}

tiny_sizes small() {
    tiny_sizes sizes;
    sizes.embd = sizes.ff = 64;
    sizes.heads = 2;
    sizes.kv_heads = 1;
    sizes.head_dim = 32;
    sizes.layers = 1;
    sizes.type = QUANT_Q4_0;
    return sizes;
}

TEST(every_allocation_may_find_no_memory) {
    const tiny_file file(small());
    uint32_t n = 1;

    for (; n < 200; n++) {
        side_session *s = nullptr;
        char why[640] = "";
        set(n, 0);
        const int err = side_open(file.path.c_str(), 2, 256, 0, &s, why);

        if (!err) {
            side_close(s);
            break;
        }
        CHECK(err == -ENOMEM && s == nullptr);
        CHECK(has_text(why, "out of device memory for "));
    }
    set(0, 0);
    printf("  %u allocations\n", n - 1);
    CHECK(n > 30 && n < 200);
}

TEST(a_device_that_is_lost_stays_lost_and_a_new_start_works) {
    const tiny_file file(small());
    const std::vector<int32_t> ids = some_text(20, 266, 1);
    std::vector<float> before;
    {
        side whole(file.path, 1, 256);
        before = whole.logits(ids, 4);
    }
    for (uint32_t at : {1u, 7u, 30u}) {
        side device(file.path, 1, 256);
        char why[640] = "";
        int err = 0;

        set(0, at);
        for (uint32_t i = 0; i < 20 && !err; i++)
            err = side_feed(device.s, 0, &ids[i], i, 1, nullptr, why);
        CHECK(err == -EIO && has_text(why, "the device was lost"));
        set(0, 0);
        CHECK(side_feed(device.s, 0, &ids[0], 0, 1, nullptr, why) != 0);
        side again(file.path, 1, 256); /* opens the device anew beside the lost one */
        CHECK(same_bits(before, again.logits(ids, 4)));
    }
}

TEST(logits_that_are_no_numbers_fail_the_batch_and_leave_the_sequence) {
    tiny_sizes sizes = small();
    sizes.broken_norm = true;
    const tiny_file file(sizes);
    side device(file.path, 1, 256);
    const std::vector<int32_t> ids = some_text(5, 266, 1);
    std::vector<float> logits(side_n_vocab(device.s));
    char why[640] = "";

    CHECK(side_feed(device.s, 0, ids.data(), 0, 5, logits.data(), why) == -EDOM);
    CHECK(has_text(why, "hold a number that is none"));
    CHECK(side_feed(device.s, 0, ids.data(), 0, 5, logits.data(), why) ==
          -EDOM); /* position 0 is free again */
    CHECK(side_feed(device.s, 0, ids.data(), 0, 5, nullptr, why) == 0);
}

TEST(no_schedule_and_no_poison_changes_a_bit) {
    tiny_sizes sizes = small();
    sizes.type = QUANT_Q8_0;
    sizes.layers = 2;
    const tiny_file file(sizes);
    const std::vector<int32_t> ids = some_text(30, 266, 8);
    std::vector<std::vector<float>> all;

    for (uint32_t schedule : {EMU_FORWARD, EMU_REVERSE, EMU_RANDOM, EMU_RANDOM}) {
        rt_emu_settings s = {};
        s.schedule = schedule;
        s.seed = static_cast<uint32_t>(all.size()) + 1;
        s.poison = static_cast<uint8_t>(all.size() % 2 ? 0x7f : 0xff);
        s.check_often = 1;
        rt_emu_set(&s);
        side device(file.path, 1, 256);
        for (uint32_t chunk : {1u, 2u, 7u, 16u, 30u}) {
            all.push_back(device.logits(ids, chunk));
            CHECK(device.err == 0 && same_bits(all[0], all.back()));
        }
    }
    set(0, 0);
}

TEST(the_librarys_twin_takes_what_the_model_gives_it) {
    tiny_sizes sizes;
    sizes.layers = 1;
    const tiny_file file(sizes);
    const std::vector<int32_t> ids = some_text(40, 266, 8);
    std::vector<float> exact;
    {
        side device(file.path, 1, 256);
        exact = device.logits(ids, 40);
    }
    side device(file.path, 1, 256, true);
    const std::vector<float> rough = device.logits(ids, 40);
    CHECK(device.err == 0);
    const double error = relative_error(rough.data(), exact.data(), exact.size());
    printf("  bf16 against integers: %.1e\n", error);
    CHECK(error > 0.0 && error < 1e-3);
}

TEST(a_library_whose_rows_depend_on_the_batch_is_found_out) {
    const tiny_file file(small());
    char why[640] = "";
    rt_emu_settings s = {};

    CHECK(side_try_cublas(file.path.c_str(), why) == 0);
    for (uint32_t at : {64u, 128u}) { /* a turn within what is tried, each found at its own number of rows */
        s.gemm_turns_at = at;
        rt_emu_set(&s);
        CHECK(side_try_cublas(file.path.c_str(), why) == -ENOTSUP);
        CHECK(has_text(why, ("among " + std::to_string(at) + " rows than among 32").c_str()));
    }
    s.gemm_turns_at = 0;
    for (uint32_t n = 1, err = 1; n < 100 && err; n++) {
        s.fail_alloc = n;
        rt_emu_set(&s);
        err = side_try_cublas(file.path.c_str(), why) != 0;
        CHECK(!err || has_text(why, "out of device memory for "));
    }
    set(0, 0);
}

TEST(the_librarys_twin_refuses_what_the_library_would_not_notice) {
    struct model_fail fail;
    struct {
        uint32_t m, n, k, a_stride, b_stride, c_stride;
        size_t a_shift;
        const char *why;
    } const cases[] = {
        {16, 8, 32, 24, 32, 16, 0, "leading dimension shorter than a row"},
        {16, 8, 32, 36, 32, 16, 0, "rows that do not begin at 16 bytes"},
        {16, 8, 32, 32, 32, 16, 1, "does not begin at 16 bytes"},
        {17, 8, 32, 32, 32, 20, 0, "a that ends outside its buffer"},
        {16, 9, 32, 32, 32, 16, 0, "b that ends outside its buffer"},
        {16, 8, 32, 32, 32, 20, 0, "c that ends outside its buffer"},
        {0, 8, 32, 32, 32, 16, 0, "an empty product"},
    };

    for (const auto &c : cases) {
        struct rt *rt = nullptr;
        CHECK(rt_open(0, &rt, &fail) == 0);
        const uint16_t *a = static_cast<uint16_t *>(rt_alloc(rt, 16 * 32 * 2, "a"));
        const uint16_t *b = static_cast<uint16_t *>(rt_alloc(rt, 8 * 32 * 2, "b"));
        float *out = static_cast<float *>(rt_alloc(rt, 8 * 16 * 4, "c"));
        const rt_gemm gemm = {a + c.a_shift, b, out, c.m, c.n, c.k, c.a_stride, c.b_stride, c.c_stride, 0};
        rt_gemm_run(rt, &gemm);
        CHECK(rt_wait(rt, &fail) == -EIO && has_text(fail.text, c.why));
        rt_close(rt);
    }
}

TEST(a_write_outside_a_buffer_is_named) {
    struct model_fail fail;
    struct rt *rt = nullptr;
    CHECK(rt_open(0, &rt, &fail) == 0);
    uint8_t *from = static_cast<uint8_t *>(rt_alloc(rt, 64, "the source"));
    uint8_t *to = static_cast<uint8_t *>(rt_alloc(rt, 48, "the target"));
    const copy_args k = {from, to, 4};
    rt_launch(rt, KERNEL_COPY, 1, 1, 1, &k);
    CHECK(rt_wait(rt, &fail) == -EIO);
    CHECK(has_text(fail.text, "outside the buffer for the target"));
    rt_close(rt);
}

} // namespace

int main() {
    return run_tests();
}

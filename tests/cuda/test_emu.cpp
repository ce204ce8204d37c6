// SPDX-License-Identifier: Apache-2.0
// The emulation catches what it promises: each fault is planted in a kernel that is right without it.
#include <stdlib.h>

#include "check.h"
#include "device.h"

namespace {

enum { THREADS = 96, N = 4 * THREADS };

struct args {
    uint32_t *out;
    int fault;
};

/* out[b * THREADS + t] = the sum of squares up to t's neighbour, by way of shared memory and a shuffle. */
void squares(const void *p) {
    const args a = *static_cast<const args *>(p);
    SHARED(uint32_t, cells, THREADS);
    const uint32_t t = threadIdx.x;

    if (a.fault != 1 || t != 40)
        cells[t] = t * t; /* 1: a cell is read that nobody wrote */
    if (a.fault == 2 && t == 50)
        return; /* 2: a barrier that not all reach */
    if (a.fault == 3 && t >= 32)
        sync_block();      /* 3: two barriers at once */
    else if (a.fault != 4) /* 4: no barrier: what is read depends on who came first */
        sync_block();
    uint32_t x = cells[(t + 1) % THREADS];
    if (a.fault == 5)
        x += emu_shuffle_xor(0xfffffffeu, x, 1, __FILE__, __LINE__); /* 5: lane 0 is not in its own mask */
    else if (a.fault == 6 && t % 32 < 16)
        x += emu_shuffle_xor(0xffffffffu, x, 1, __FILE__, __LINE__); /* 6: the other half never comes */
    else if (a.fault != 6)
        x += shuffle_xor(x, 1);
    if (a.fault == 7)
        cells[THREADS + (t == 0 ? 2 : 0)] = 1; /* 7: behind the end */
    if (a.fault == 8 && t == 1)
        x += load16(a.out + 1).x; /* 8: sixteen bytes at an address that is a multiple of four */
    if (a.fault == 9 && t % 2)    /* 9: a warp in two places */
        x += shuffle_xor(x, 2);
    else if (a.fault == 9)
        x += shuffle_xor(x, 4);
    a.out[blockIdx.x * THREADS + t] = x;
}

struct outcome {
    uint32_t out[N];
    char fault[512];
    int err;
};

outcome run(int fault, emu_schedule schedule, uint8_t poison = 0xff, uint32_t n_workers = 1) {
    outcome o = {};
    const args a = {o.out, fault};
    const emu_launch l = {"squares", squares, &a, {4, 1, 1}, THREADS, schedule, 7, poison, n_workers};

    o.err = emu_run(&l, o.fault);
    return o;
}

bool same(const outcome &a, const outcome &b) {
    return memcmp(a.out, b.out, sizeof(a.out)) == 0;
}

TEST(a_right_kernel_gives_the_same_bits_under_every_schedule) {
    const outcome first = run(0, EMU_FORWARD);

    CHECK(first.err == 0);
    CHECK(first.out[0] == 1 * 1 + 2 * 2);
    CHECK(first.out[N - 1] == 95u * 95u + 0u);
    CHECK(same(first, run(0, EMU_REVERSE)));
    CHECK(same(first, run(0, EMU_RANDOM)));
    CHECK(same(first, run(0, EMU_RANDOM, 0x5a)));
}

TEST(a_read_of_shared_memory_that_nobody_wrote_shows_with_the_poison) {
    CHECK(run(1, EMU_FORWARD).err == 0);
    CHECK(!same(run(1, EMU_FORWARD, 0xff), run(1, EMU_FORWARD, 0x7f)));
}

TEST(a_barrier_that_not_all_reach_is_named) {
    for (emu_schedule s : {EMU_FORWARD, EMU_REVERSE, EMU_RANDOM}) {
        const outcome o = run(2, s);
        CHECK(o.err != 0 && has_text(o.fault, "barrier") && has_text(o.fault, "test_emu.cpp"));
    }
}

TEST(threads_at_two_barriers_are_named) {
    const outcome o = run(3, EMU_FORWARD);
    CHECK(o.err != 0 && has_text(o.fault, "while other threads of the block wait at"));
}

TEST(a_missing_barrier_shows_between_schedules) {
    CHECK(!same(run(4, EMU_FORWARD), run(4, EMU_REVERSE)));
}

TEST(a_mask_without_its_caller_is_named) {
    const outcome o = run(5, EMU_FORWARD);
    CHECK(o.err != 0 && has_text(o.fault, "leaves out its caller, lane 0"));
}

TEST(a_mask_that_names_a_lane_which_never_comes_is_named) {
    const outcome o = run(6, EMU_FORWARD);
    CHECK(o.err != 0 && has_text(o.fault, "warp operation"));
}

TEST(a_write_behind_a_shared_array_is_named) {
    const outcome o = run(7, EMU_FORWARD);
    CHECK(o.err != 0 && has_text(o.fault, "behind the end of a shared array of 384 bytes"));
}

TEST(a_load_that_is_not_aligned_is_named) {
    const outcome o = run(8, EMU_FORWARD);
    CHECK(o.err != 0 && has_text(o.fault, "not aligned"));
}

TEST(a_warp_in_two_operations_at_once_is_named) {
    const outcome o = run(9, EMU_FORWARD);
    CHECK(o.err != 0 && has_text(o.fault, "while lanes of the warp are in another"));
}

TEST(blocks_shared_by_processors_give_the_same_bits) {
    CHECK(same(run(0, EMU_FORWARD), run(0, EMU_REVERSE, 0x11, 3)));
}

/* The tile product against its definition, with every byte different. */
struct tile {
    int8_t a[16][32], b[8][32];
    int32_t d[16][8], half[2][16][8];
};
void multiply_tile(const void *p) {
    tile *x = *static_cast<tile *const *>(p);
    const uint32_t g = threadIdx.x / 4, t = threadIdx.x % 4;
    uint32_t a[4], b[2];
    int32_t d[4] = {}, h[2][4] = {};

    for (int i = 0; i < 2; i++) {
        memcpy(&a[i], &x->a[g + 8 * i][4 * t], 4);
        memcpy(&a[2 + i], &x->a[g + 8 * i][16 + 4 * t], 4);
        memcpy(&b[i], &x->b[g][16 * i + 4 * t], 4);
    }
    mma32(d, a[0], a[1], a[2], a[3], b[0], b[1]);
    mma16(h[0], a[0], a[1], b[0]);
    mma16(h[1], a[2], a[3], b[1]);
    for (int j = 0; j < 4; j++) {
        x->d[g + 8 * (j / 2)][2 * t + j % 2] = d[j];
        for (int i = 0; i < 2; i++)
            x->half[i][g + 8 * (j / 2)][2 * t + j % 2] = h[i][j];
    }
}

TEST(a_tile_product_is_what_its_definition_says) {
    tile x, *at = &x;
    char fault[512];
    const emu_launch l = {"multiply_tile", multiply_tile, &at, {1, 1, 1}, 32, EMU_RANDOM, 3, 0xff, 1};

    srand(5);
    for (int8_t &v : reinterpret_cast<int8_t(&)[16 * 32]>(x.a))
        v = static_cast<int8_t>(rand());
    for (int8_t &v : reinterpret_cast<int8_t(&)[8 * 32]>(x.b))
        v = static_cast<int8_t>(rand());
    CHECK(emu_run(&l, fault) == 0);
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 8; c++) {
            int32_t sum[2] = {};
            for (int k = 0; k < 32; k++)
                sum[k / 16] += x.a[r][k] * x.b[c][k];
            CHECK(x.half[0][r][c] == sum[0] && x.half[1][r][c] == sum[1] && x.d[r][c] == sum[0] + sum[1]);
        }
}

} // namespace

int main() {
    return run_tests();
}

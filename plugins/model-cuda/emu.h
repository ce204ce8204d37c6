/* SPDX-License-Identifier: Apache-2.0 */
/* emu.h - runs a kernel on the processor, thread by thread, and catches what a device would not say.
 *
 * Every thread of a block is a fiber. A fiber runs until it waits at a barrier or in a warp operation; what
 * runs next is the schedule's choice, so a kernel that relies on an order gives other bits under another
 * schedule. Caught and named by file and line: a barrier that not all threads reach, or reach at different
 * places; a warp operation whose mask leaves out the caller or names a lane that never comes; a wait that
 * never ends; a write behind a shared array; an access that is not aligned. Shared memory begins as `poison`,
 * so a read before a write changes bits with it.
 *
 * Not seen: timing, bank conflicts, the memory model between blocks. */
#ifndef TELEX_EMU_H
#define TELEX_EMU_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum emu_schedule { EMU_FORWARD, EMU_REVERSE, EMU_RANDOM };

struct emu_dim {
    uint32_t x, y, z;
};

struct emu_launch {
    const char *name;
    void (*kernel)(const void *args);
    const void *args;
    emu_dim grid;
    uint32_t threads; /* of a block, a multiple of 32 up to EMU_MAX_THREADS */
    emu_schedule schedule;
    uint32_t seed;      /* EMU_RANDOM */
    uint8_t poison;     /* first content of shared memory */
    uint32_t n_workers; /* processors that share the blocks; 0: one */
};

enum { EMU_MAX_THREADS = 1024, EMU_SHARED_BYTES = 99 << 10 };

/* Run all blocks. 0, or -1 with one sentence in `fault`. Any thread, several at once. */
int emu_run(const emu_launch *launch, char fault[512]);

/* ---- what kernels see; device.h gives it the names of CUDA ---- */

struct emu_fiber;
extern thread_local emu_fiber *emu_current;

struct emu_place {
    emu_dim thread, block, block_dim, grid_dim;
};
/* The first member of struct emu_fiber. */
static inline const emu_place *emu_here(void) {
    return reinterpret_cast<const emu_place *>(emu_current);
}

void emu_sync(const char *file, int line);
void *emu_shared(const void *key, size_t bytes);
[[noreturn]] void emu_fail(const char *file, int line, const char *what);

enum { EMU_SLOT = 64, EMU_WARP = 32 };
/* Lay n <= EMU_SLOT bytes into this lane's slot, wait for all lanes of the mask, and see all slots until this
 * lane's next warp operation. */
const uint8_t (*emu_exchange(uint32_t mask, const void *in, size_t n, const char *file, int line))[EMU_SLOT];

template <typename T>
static inline T emu_shuffle_xor(uint32_t mask, T value, uint32_t bits, const char *file, int line) {
    const uint8_t(*slots)[EMU_SLOT] = emu_exchange(mask, &value, sizeof(value), file, line);
    T out;

    memcpy(&out, slots[(emu_here()->thread.x ^ bits) % EMU_WARP], sizeof(out));
    return out;
}

template <typename T>
static inline T emu_shuffle(uint32_t mask, T value, uint32_t lane, const char *file, int line) {
    const uint8_t(*slots)[EMU_SLOT] = emu_exchange(mask, &value, sizeof(value), file, line);
    T out;

    memcpy(&out, slots[lane % EMU_WARP], sizeof(out));
    return out;
}

/* The check that a device makes by trapping. */
template <typename T> static inline const T *emu_aligned(const void *p, const char *file, int line) {
    if (reinterpret_cast<uintptr_t>(p) % sizeof(T) != 0)
        emu_fail(file, line, "an access is not aligned to its size");
    return static_cast<const T *>(p);
}

#endif

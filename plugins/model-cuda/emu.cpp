// SPDX-License-Identifier: Apache-2.0
// emu.cpp - see emu.h. A machine runs one block at a time, a fiber for each thread, on stacks that it keeps.
#include "emu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace {

enum { STACK_BYTES = 128 << 10, GUARD_BYTES = 4096, MAX_ARRAYS = 32, ZONE_BYTES = 64, ZONE = 0xc5 };

enum state { READY, AT_BARRIER, IN_WARP, GONE };

struct warp {
    uint32_t open_mask, arrived, gone, generation;
    const char *file;
    int line;
    uint8_t slots[2][EMU_WARP][EMU_SLOT];
};

struct array {
    const void *key;
    uint8_t *at;
    size_t bytes;
};

} // namespace

struct emu_fiber {
    emu_place place; // first: emu_here() reads it through the fiber
    void *stack_pointer;
    state now;
    uint32_t generation; // of the barrier or the warp operation that it waits for
    const char *file;
    int line;
};

namespace {

struct machine {
    const emu_launch *launch;
    uint8_t *stacks;
    std::vector<emu_fiber> fibers;
    std::vector<uint32_t> order;
    std::vector<warp> warps;
    void *scheduler_pointer;
    uint32_t n_threads, n_at_barrier, n_gone, barrier_generation, random;
    const char *barrier_file;
    int barrier_line;
    array arrays[MAX_ARRAYS];
    uint32_t n_arrays;
    size_t shared_used;
    alignas(64) uint8_t shared[EMU_SHARED_BYTES + MAX_ARRAYS * ZONE_BYTES];
    char fault[512];
};

thread_local machine *here;

} // namespace

thread_local emu_fiber *emu_current;

// ---- switching stacks ----

// Save what a call preserves on this stack, note the stack in *from, and go on with `to`.
extern "C" void emu_switch(void **from, void *to);

#if defined(__x86_64__)
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
)");
enum { SAVED_WORDS = 6 };
static void *first_frame(uint8_t *top, void (*entry)()) {
    void **sp = reinterpret_cast<void **>(top) - 1; // as after a call: 8 behind a multiple of 16
    *sp = nullptr;
    *--sp = reinterpret_cast<void *>(entry);
    for (int i = 0; i < SAVED_WORDS; i++)
        *--sp = nullptr;
    return sp;
}
#elif defined(__aarch64__)
// What a call keeps: stp puts it on the stack, ldp takes it back.
#define KEPT(stp_or_ldp)                                                                                     \
    "    " stp_or_ldp " x19, x20, [sp]\n"                                                                    \
    "    " stp_or_ldp " x21, x22, [sp, #16]\n"                                                               \
    "    " stp_or_ldp " x23, x24, [sp, #32]\n"                                                               \
    "    " stp_or_ldp " x25, x26, [sp, #48]\n"                                                               \
    "    " stp_or_ldp " x27, x28, [sp, #64]\n"                                                               \
    "    " stp_or_ldp " x29, x30, [sp, #80]\n"                                                               \
    "    " stp_or_ldp " d8, d9, [sp, #96]\n"                                                                 \
    "    " stp_or_ldp " d10, d11, [sp, #112]\n"                                                              \
    "    " stp_or_ldp " d12, d13, [sp, #128]\n"                                                              \
    "    " stp_or_ldp " d14, d15, [sp, #144]\n"
asm(".text\n"
    ".globl emu_switch\n"
    ".hidden emu_switch\n"
    ".type emu_switch, %function\n"
    "emu_switch:\n"
    "    sub sp, sp, #176\n" KEPT("stp") "    mov x9, sp\n"
    "    str x9, [x0]\n"
    "    mov sp, x1\n" KEPT("ldp") "    add sp, sp, #176\n"
    "    ret\n"
    ".size emu_switch, .-emu_switch\n");
static void *first_frame(uint8_t *top, void (*entry)()) {
    uint8_t *sp = top - 176;
    memset(sp, 0, 176);
    memcpy(sp + 88, &entry, sizeof(entry));
    return sp;
}
#else
#error "emu_switch is written for x86-64 and arm64"
#endif

static void leave() {
    emu_switch(&emu_current->stack_pointer, here->scheduler_pointer);
}

// ---- faults ----

[[noreturn]] static void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fault(const char *format, ...) {
    char what[384];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    const emu_place *p = emu_here();
    snprintf(here->fault, sizeof(here->fault), "%s, block (%u, %u, %u), thread %u: %s", here->launch->name,
             p->block.x, p->block.y, p->block.z, p->thread.x, what);
    leave(); // the block ends here; its fibers are left where they are
    abort();
}

void emu_fail(const char *file, int line, const char *what) {
    fault("%s:%d: %s", file, line, what);
}

// ---- barriers ----

void emu_sync(const char *file, int line) {
    machine *m = here;
    emu_fiber *f = emu_current;

    if (m->n_gone > 0)
        fault("%s:%d: a barrier that %u threads of the block will never reach, since they have returned",
              file, line, m->n_gone);
    if (m->n_at_barrier > 0 && (m->barrier_line != line || strcmp(m->barrier_file, file) != 0))
        fault("%s:%d: a barrier while other threads of the block wait at %s:%d", file, line, m->barrier_file,
              m->barrier_line);
    m->barrier_file = file;
    m->barrier_line = line;
    if (++m->n_at_barrier == m->n_threads) {
        m->n_at_barrier = 0;
        m->barrier_generation++;
        return;
    }
    f->now = AT_BARRIER;
    f->generation = m->barrier_generation;
    f->file = file;
    f->line = line;
    leave();
}

// ---- warps ----

const uint8_t (*emu_exchange(uint32_t mask, const void *in, size_t n, const char *file, int line))[EMU_SLOT] {
    emu_fiber *f = emu_current;
    const uint32_t lane = f->place.thread.x % EMU_WARP;
    warp *w = &here->warps[f->place.thread.x / EMU_WARP];
    const uint32_t phase = w->generation % 2;

    if (!(mask >> lane & 1))
        fault("%s:%d: the mask %08x of a warp operation leaves out its caller, lane %u", file, line, mask,
              lane);
    if (mask & w->gone)
        fault("%s:%d: the mask %08x of a warp operation names lanes that have returned (%08x)", file, line,
              mask, mask & w->gone);
    if (w->arrived && (w->open_mask != mask || w->line != line || strcmp(w->file, file) != 0))
        fault("%s:%d: a warp operation with mask %08x while lanes of the warp are in another at %s:%d, mask "
              "%08x",
              file, line, mask, w->file, w->line, w->open_mask);
    w->open_mask = mask;
    w->file = file;
    w->line = line;
    memcpy(w->slots[phase][lane], in, n);
    w->arrived |= 1u << lane;
    if (w->arrived == mask) {
        w->arrived = 0;
        w->generation++;
    } else {
        f->now = IN_WARP;
        f->generation = w->generation;
        f->file = file;
        f->line = line;
        leave();
    }
    return w->slots[phase];
}

// ---- shared memory ----

void *emu_shared(const void *key, size_t bytes) {
    machine *m = here;
    array *a;

    for (uint32_t i = 0; i < m->n_arrays; i++)
        if (m->arrays[i].key == key)
            return m->arrays[i].at;
    bytes = (bytes + 15) / 16 * 16;
    if (m->n_arrays == MAX_ARRAYS || m->shared_used + bytes > EMU_SHARED_BYTES)
        fault("more than %d bytes, or %d arrays, of shared memory", EMU_SHARED_BYTES, MAX_ARRAYS);
    a = &m->arrays[m->n_arrays++];
    *a = {key, m->shared + m->shared_used + (m->n_arrays - 1) * ZONE_BYTES, bytes};
    m->shared_used += bytes;
    memset(a->at, m->launch->poison, bytes);
    memset(a->at + bytes, ZONE, ZONE_BYTES);
    return a->at;
}

static void check_zones(machine *m) {
    for (uint32_t i = 0; i < m->n_arrays; i++)
        for (uint32_t j = 0; j < ZONE_BYTES; j++)
            if (m->arrays[i].at[m->arrays[i].bytes + j] != ZONE) {
                snprintf(m->fault, sizeof(m->fault),
                         "%s: a write %u bytes behind the end of a shared array of %zu bytes",
                         m->launch->name, j, m->arrays[i].bytes);
                return;
            }
}

// ---- a block ----

static void fiber_main() {
    machine *m = here;
    emu_fiber *f = emu_current;
    warp *w = &m->warps[f->place.thread.x / EMU_WARP];

    m->launch->kernel(m->launch->args);
    if (m->n_at_barrier > 0)
        fault("returns while %u threads of the block wait at the barrier %s:%d", m->n_at_barrier,
              m->barrier_file, m->barrier_line);
    w->gone |= 1u << f->place.thread.x % EMU_WARP;
    if (w->arrived & ~w->gone && w->open_mask & w->gone)
        fault("returns while a warp operation at %s:%d, mask %08x, waits for it", w->file, w->line,
              w->open_mask);
    m->n_gone++;
    f->now = GONE;
    leave();
    abort();
}

static bool can_run(const machine *m, const emu_fiber *f) {
    switch (f->now) {
    case READY:
        return true;
    case AT_BARRIER:
        return f->generation != m->barrier_generation;
    case IN_WARP:
        return f->generation != m->warps[f->place.thread.x / EMU_WARP].generation;
    default:
        return false;
    }
}

static void shuffle_order(machine *m) {
    for (uint32_t i = m->n_threads - 1; i > 0; i--) {
        m->random = m->random * 1664525u + 1013904223u;
        std::swap(m->order[i], m->order[(m->random >> 8) % (i + 1)]);
    }
}

static void name_deadlock(machine *m) {
    for (const emu_fiber &f : m->fibers)
        if (f.now == AT_BARRIER || f.now == IN_WARP) {
            snprintf(m->fault, sizeof(m->fault), "%s, block (%u, %u, %u): thread %u waits for ever at %s:%d",
                     m->launch->name, f.place.block.x, f.place.block.y, f.place.block.z, f.place.thread.x,
                     f.file, f.line);
            return;
        }
}

static void begin_block(machine *m, emu_dim block) {
    const emu_launch *l = m->launch;

    m->n_at_barrier = m->n_gone = m->n_arrays = 0;
    m->shared_used = 0;
    for (warp &w : m->warps) {
        w.arrived = w.gone = 0;
        if (m->n_threads <
            EMU_WARP * (uint32_t)(&w - m->warps.data() + 1)) // a warp that the block does not fill
            w.gone = ~0u << m->n_threads % EMU_WARP;
    }
    for (uint32_t t = 0; t < m->n_threads; t++) {
        emu_fiber &f = m->fibers[t];
        f.place = {{t, 0, 0}, block, {m->n_threads, 1, 1}, l->grid};
        f.now = READY;
        f.stack_pointer = first_frame(m->stacks + (size_t)(t + 1) * STACK_BYTES, fiber_main);
    }
}

static void run_block(machine *m, emu_dim block) {
    begin_block(m, block);
    while (m->n_gone < m->n_threads && !m->fault[0]) {
        bool moved = false;

        if (m->launch->schedule == EMU_RANDOM)
            shuffle_order(m);
        for (uint32_t t : m->order) {
            emu_fiber *f = &m->fibers[t];
            if (!can_run(m, f))
                continue;
            moved = true;
            f->now = READY;
            emu_current = f;
            emu_switch(&m->scheduler_pointer, f->stack_pointer);
            if (m->fault[0])
                break;
        }
        if (!moved)
            name_deadlock(m);
    }
    if (!m->fault[0])
        check_zones(m);
}

// ---- a launch ----

// Machines outlive launches: mapping their stacks anew for each would take longer than a kernel.
static std::mutex idle_lock;
static std::vector<machine *> idle;

static machine *machine_create() {
    machine *m = new machine();
    void *map = mmap(nullptr, (size_t)EMU_MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED)
        abort();
    m->stacks = static_cast<uint8_t *>(map);
    for (uint32_t t = 0; t < EMU_MAX_THREADS; t++)
        mprotect(m->stacks + (size_t)t * STACK_BYTES, GUARD_BYTES, PROT_NONE);
    return m;
}

static void machine_put(machine *m) {
    std::lock_guard<std::mutex> hold(idle_lock);
    idle.push_back(m);
}

static machine *machine_get(const emu_launch *launch) {
    machine *m = nullptr;

    {
        std::lock_guard<std::mutex> hold(idle_lock);
        if (!idle.empty()) {
            m = idle.back();
            idle.pop_back();
        }
    }
    if (!m)
        m = machine_create();
    m->launch = launch;
    m->n_threads = launch->threads;
    m->random = launch->seed;
    m->fault[0] = 0;
    m->fibers.resize(m->n_threads);
    m->warps.resize((m->n_threads + EMU_WARP - 1) / EMU_WARP);
    m->order.resize(m->n_threads);
    for (uint32_t t = 0; t < m->n_threads; t++)
        m->order[t] = launch->schedule == EMU_REVERSE ? m->n_threads - 1 - t : t;
    return m;
}

struct work {
    const emu_launch *launch;
    std::atomic<uint64_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex lock;
    char *fault;
};

static void run_blocks(work *w) {
    const emu_dim g = w->launch->grid;
    const uint64_t n = (uint64_t)g.x * g.y * g.z;
    machine *m = machine_get(w->launch);

    here = m;
    for (uint64_t i; !w->failed && (i = w->next++) < n;) {
        const uint64_t b = w->launch->schedule == EMU_FORWARD ? i : n - 1 - i;
        run_block(m, {(uint32_t)(b % g.x), (uint32_t)(b / g.x % g.y), (uint32_t)(b / g.x / g.y)});
        if (m->fault[0]) {
            std::lock_guard<std::mutex> hold(w->lock);
            if (!w->failed.exchange(true))
                memcpy(w->fault, m->fault, sizeof(m->fault));
        }
    }
    here = nullptr;
    emu_current = nullptr;
    machine_put(m);
}

int emu_run(const emu_launch *launch, char fault[512]) {
    const uint64_t n_blocks = (uint64_t)launch->grid.x * launch->grid.y * launch->grid.z;
    work w;

    w.launch = launch;
    w.fault = fault;
    fault[0] = 0;
    if (launch->threads == 0 || launch->threads > EMU_MAX_THREADS || n_blocks == 0) {
        snprintf(fault, 512, "%s: a grid of %llu blocks of %u threads", launch->name,
                 (unsigned long long)n_blocks, launch->threads);
        return -1;
    }
    const uint32_t n_workers = n_blocks < 8 || launch->n_workers == 0 ? 1 : launch->n_workers;
    std::vector<std::thread> others;
    for (uint32_t i = 1; i < n_workers; i++)
        others.emplace_back(run_blocks, &w);
    run_blocks(&w);
    for (std::thread &t : others)
        t.join();
    return w.failed ? -1 : 0;
}

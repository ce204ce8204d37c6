// SPDX-License-Identifier: Apache-2.0
// rt_emu.cpp - a device made of the processor: the twin of rt_cuda.cu.
//
// Every buffer lies between two red zones, which are checked when it is freed and in rt_wait. Work is done
// when it is queued.
#include "rt_emu.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "kern.cuh"

namespace {

enum { ZONE_BYTES = 256, ZONE = 0xb6 };

struct kernel_row {
    const char *name;
    void (*run)(const void *args);
    size_t args_bytes;
    uint32_t threads;
};

template <typename ARGS, void (*FUNCTION)(const ARGS)> void run_kernel(const void *args) {
    FUNCTION(*static_cast<const ARGS *>(args));
}

// The argument struct of a kernel, out of its type.
template <typename T> struct args_of;
template <typename ARGS> struct args_of<void (*)(const ARGS)> { typedef ARGS type; };
#define RUN(id, ...) &run_kernel<args_of<decltype(&__VA_ARGS__)>::type, &__VA_ARGS__>,
void (*const functions[])(const void *) = {EACH_KERNEL_FUNCTION(RUN)};

#define ROW(id, args, threads) {#id, nullptr, sizeof(args), threads},
const kernel_row kernels[] = {EACH_KERNEL(ROW)};

struct buffer {
    size_t bytes;
    std::string what;
};
struct launch {
    kernel_id kernel; // N_KERNELS: a product by the library
    emu_dim grid;
    std::vector<uint8_t> args;
};

rt_emu_settings settings;
uint32_t n_allocs, n_launches;

double now_us() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

} // namespace

struct rt_graph {
    std::vector<launch> launches;
};

struct rt {
    std::map<uint8_t *, buffer> buffers;
    rt_graph *open_graph = nullptr;
    int err = 0;
    struct model_fail fail;
    bool lost = false;
    double marks[2] = {};
};

// ---- failures ----

__attribute__((format(printf, 3, 4))) static void keep(rt *rt, int err, const char *format, ...) {
    va_list args;

    if (rt->err)
        return;
    rt->err = err;
    va_start(args, format);
    vsnprintf(rt->fail.text, sizeof(rt->fail.text), format, args);
    va_end(args);
    rt->lost = err == -EIO;
}

static void check_zone(rt *rt, uint8_t *at, const buffer &b, const char *when) {
    for (int i = 0; i < ZONE_BYTES; i++)
        if (at[-1 - i] != ZONE || at[b.bytes + i] != ZONE) {
            keep(rt, -EIO, "%s: a write outside the buffer for %s (%zu bytes), %d bytes %s", when,
                 b.what.c_str(), b.bytes, i, at[-1 - i] != ZONE ? "before it" : "behind its end");
            memset(at - ZONE_BYTES, ZONE, ZONE_BYTES);
            memset(at + b.bytes, ZONE, ZONE_BYTES);
            return;
        }
}

static void check_zones(rt *rt, const char *when) {
    for (const auto &b : rt->buffers)
        check_zone(rt, b.first, b.second, when);
}

// ---- life ----

extern "C" void rt_emu_set(const rt_emu_settings *wanted) {
    settings = *wanted;
    n_allocs = n_launches = 0;
}

extern "C" int rt_probe(char *why, size_t why_bytes) {
    snprintf(why, why_bytes, "the processor plays the device");
    return 1;
}

extern "C" int rt_open(uint32_t index, rt **out, struct model_fail *fail) {
    if (index != 0)
        return model_fail(fail, -EINVAL, "there is no device %u; the emulation has one", index);
    *out = new rt();
    return 0;
}

extern "C" void rt_close(rt *rt) {
    if (!rt)
        return;
    while (!rt->buffers.empty())
        rt_free(rt, rt->buffers.begin()->first);
    delete rt;
}

extern "C" const char *rt_device(const rt *) {
    return "emulated";
}
extern "C" uint32_t rt_n_processors(const rt *) {
    return 4;
}
extern "C" uint64_t rt_free_bytes(rt *) {
    return (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

// ---- memory ----

extern "C" void *rt_alloc(rt *rt, size_t bytes, const char *what) {
    uint8_t *base = nullptr;

    if (rt->err)
        return nullptr;
    if (settings.fail_alloc == 0 || ++n_allocs != settings.fail_alloc)
        base = static_cast<uint8_t *>(aligned_alloc(256, (bytes + 2 * ZONE_BYTES + 255) / 256 * 256));
    if (!base) {
        keep(rt, -ENOMEM, "out of device memory for %s (%zu bytes)", what, bytes);
        return nullptr;
    }
    memset(base, ZONE, ZONE_BYTES);
    memset(base + ZONE_BYTES, settings.poison ? settings.poison : 0xff, bytes);
    memset(base + ZONE_BYTES + bytes, ZONE, ZONE_BYTES);
    rt->buffers[base + ZONE_BYTES] = {bytes, what};
    return base + ZONE_BYTES;
}

extern "C" void rt_free(rt *rt, void *memory) {
    const auto found = rt->buffers.find(static_cast<uint8_t *>(memory));

    if (found == rt->buffers.end())
        return;
    check_zone(rt, found->first, found->second, "free");
    free(found->first - ZONE_BYTES);
    rt->buffers.erase(found);
}

extern "C" void *rt_host_alloc(rt *, size_t bytes) {
    return aligned_alloc(256, (bytes + 255) / 256 * 256);
}
extern "C" void rt_host_free(rt *, void *memory) {
    free(memory);
}

/* The range lies within one buffer. */
static bool is_inside(rt *rt, const void *device, size_t bytes) {
    uint8_t *at = static_cast<uint8_t *>(const_cast<void *>(device));
    auto next = rt->buffers.upper_bound(at);

    if (next == rt->buffers.begin())
        return false;
    --next;
    return at >= next->first && bytes <= next->second.bytes &&
           (size_t)(at - next->first) <= next->second.bytes - bytes;
}

static void transfer(rt *rt, void *to, const void *from, const void *device, size_t bytes, const char *name) {
    if (rt->err)
        return;
    if (rt->open_graph)
        keep(rt, -EIO, "%s within a graph", name);
    else if (!is_inside(rt, device, bytes))
        keep(rt, -EIO, "%s of %zu bytes that are not in one buffer", name, bytes);
    else
        memcpy(to, from, bytes);
}
extern "C" void rt_upload(rt *rt, void *device, const void *host, size_t bytes) {
    transfer(rt, device, host, device, bytes, "upload");
}
extern "C" void rt_download(rt *rt, void *host, const void *device, size_t bytes) {
    transfer(rt, host, device, device, bytes, "download");
}

extern "C" void rt_clear(rt *rt, void *device, size_t bytes) {
    if (rt->err)
        return;
    if (!is_inside(rt, device, bytes))
        keep(rt, -EIO, "clearing %zu bytes that are not in one buffer", bytes);
    else
        memset(device, 0, bytes);
}

// ---- kernels ----

static uint32_t workers() {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);

    return settings.n_workers ? settings.n_workers : online < 1 ? 1 : online > 4 ? 4 : (uint32_t)online;
}

static void run_gemm(rt *rt, const rt_gemm *g);

static void run(rt *rt, const launch &l) {
    if (rt->err)
        return;
    if (rt->lost || (settings.lose_launch && ++n_launches == settings.lose_launch)) {
        keep(rt, -EIO, "the device was lost");
        return;
    }
    if (l.kernel == N_KERNELS) {
        run_gemm(rt, reinterpret_cast<const rt_gemm *>(l.args.data()));
        return;
    }
    const kernel_row *k = &kernels[l.kernel];
    emu_launch run = {};
    char fault[512];

    run.name = k->name;
    run.kernel = functions[l.kernel];
    run.args = l.args.data();
    run.grid = l.grid;
    run.threads = k->threads;
    run.schedule = static_cast<emu_schedule>(settings.schedule);
    run.seed = settings.seed;
    run.poison = settings.poison ? settings.poison : 0xff;
    run.n_workers = workers();
    if (emu_run(&run, fault) != 0)
        keep(rt, -EIO, "%s", fault);
    if (settings.check_often)
        check_zones(rt, k->name);
}

static void queue(rt *rt, launch l) {
    if (rt->open_graph)
        rt->open_graph->launches.push_back(std::move(l));
    else
        run(rt, l);
}

extern "C" void rt_launch(rt *rt, kernel_id kernel, uint32_t x, uint32_t y, uint32_t z, const void *args) {
    const uint8_t *bytes = static_cast<const uint8_t *>(args);

    if (x > 0x7fffffffu || y > 65535 || z > 65535) {
        keep(rt, -EIO, "%s: a grid of %u x %u x %u blocks", kernels[kernel].name, x, y, z);
        return;
    }
    queue(rt, {kernel, {x, y, z}, std::vector<uint8_t>(bytes, bytes + kernels[kernel].args_bytes)});
}

// ---- the library's twin ----

extern "C" int rt_gemm_open(rt *, struct model_fail *) {
    return 0;
}

extern "C" void rt_gemm_run(rt *rt, const rt_gemm *gemm) {
    const uint8_t *bytes = reinterpret_cast<const uint8_t *>(gemm);

    queue(rt, {N_KERNELS, {1, 1, 1}, std::vector<uint8_t>(bytes, bytes + sizeof(*gemm))});
}

/* What the library would not say: leading dimensions that are too short, rows that end outside their buffer,
 * memory that tensor cores cannot load. */
static const char *wrong_with(rt *rt, const rt_gemm *g) {
    if (g->m == 0 || g->n == 0 || g->k == 0)
        return "an empty product";
    if (g->a_stride < g->k || g->b_stride < g->k || g->c_stride < g->m)
        return "a leading dimension shorter than a row";
    if (g->k % 8 || g->a_stride % 8 || g->b_stride % 8 || g->c_stride % 4)
        return "rows that do not begin at 16 bytes";
    if ((uintptr_t)g->a % 16 || (uintptr_t)g->b % 16 || (uintptr_t)g->c % 16)
        return "a matrix that does not begin at 16 bytes";
    if (!is_inside(rt, g->a, 2 * ((size_t)(g->m - 1) * g->a_stride + g->k)))
        return "a that ends outside its buffer";
    if (!is_inside(rt, g->b, 2 * ((size_t)(g->n - 1) * g->b_stride + g->k)))
        return "b that ends outside its buffer";
    if (!is_inside(rt, g->c, 4 * ((size_t)(g->n - 1) * g->c_stride + g->m)))
        return "c that ends outside its buffer";
    return nullptr;
}

static float of_bf16(uint16_t x) {
    return bits_float(static_cast<uint32_t>(x) << 16);
}

static void run_gemm(rt *rt, const rt_gemm *g) {
    const char *wrong = wrong_with(rt, g);

    if (wrong) {
        keep(rt, -EIO, "cuBLAS: %s (m %u, n %u, k %u, leading dimensions %u, %u, %u)", wrong, g->m, g->n,
             g->k, g->a_stride, g->b_stride, g->c_stride);
        return;
    }
    const bool backwards = settings.gemm_turns_at && g->n >= settings.gemm_turns_at;

    for (uint32_t j = 0; j < g->n; j++)
        for (uint32_t i = 0; i < g->m; i++) {
            const uint16_t *a = g->a + (size_t)i * g->a_stride, *b = g->b + (size_t)j * g->b_stride;
            float *c = g->c + (size_t)j * g->c_stride + i, sum = 0.0f;

            for (uint32_t n = 0; n < g->k; n++) {
                const uint32_t k = backwards ? g->k - 1 - n : n;

                sum += of_bf16(a[k]) * of_bf16(b[k]);
            }
            *c = g->add ? *c + sum : sum;
        }
}

// ---- graphs, waiting, time ----

extern "C" void rt_graph_begin(rt *rt) {
    rt->open_graph = new rt_graph();
}
extern "C" rt_graph *rt_graph_end(rt *rt) {
    rt_graph *graph = rt->open_graph;

    rt->open_graph = nullptr;
    if (rt->err) {
        delete graph;
        return nullptr;
    }
    return graph;
}
extern "C" void rt_graph_run(rt *rt, rt_graph *graph) {
    for (const launch &l : graph->launches)
        run(rt, l);
}
extern "C" void rt_graph_free(rt *, rt_graph *graph) {
    delete graph;
}

extern "C" int rt_wait(rt *rt, struct model_fail *fail) {
    check_zones(rt, "wait");
    const int err = rt->err;

    if (err && fail)
        *fail = rt->fail;
    rt->err = rt->lost ? err : 0;
    return err;
}

extern "C" void rt_mark(rt *rt, uint32_t which) {
    rt->marks[which % 2] = now_us();
}
extern "C" double rt_elapsed_us(rt *rt) {
    return rt->marks[1] - rt->marks[0];
}

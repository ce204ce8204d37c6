// SPDX-License-Identifier: Apache-2.0
// rt_cuda.cu - a GPU: memory, one stream, graphs, cuBLAS. The twin of rt_emu.cpp.
//
// cuBLAS is loaded by name when it is first wanted: linked in, it would cost every host that only lists its
// plugins about 94 MiB. The runtime is linked statically and loads the driver itself, so the plugin loads
// without one.
#include "rt.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "kern.cuh"

#define FUNCTION(id, ...) reinterpret_cast<const void *>(&__VA_ARGS__),
static const void *const functions[] = {EACH_KERNEL_FUNCTION(FUNCTION)};

#define ROW(id, args, threads) {#id, sizeof(args), threads},
static const struct {
    const char *name;
    size_t args_bytes;
    uint32_t threads;
} kernels[] = {EACH_KERNEL(ROW)};

enum { LEAST_MAJOR = 8, WORKSPACE_BYTES = 32 << 20 };

// What is used of cuBLAS, by the names that it exports.
struct blas {
    void *library;
    cublasLtHandle_t handle;
    void *workspace;
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmul) matmul;
    decltype(&cublasLtMatmulDescCreate) desc_create;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set;
    decltype(&cublasLtMatrixLayoutCreate) layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
};

struct rt_graph {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
};

struct rt {
    cudaStream_t stream;
    cudaEvent_t marks[2];
    int device;
    uint32_t n_processors;
    int err;
    bool lost;
    struct model_fail fail;
    char name[256];
    struct blas blas;
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

/* True when the call went well. Anything but a lack of memory means that the context is of no more use. */
static bool went_well(rt *rt, cudaError_t status, const char *what) {
    if (status == cudaSuccess)
        return true;
    cudaGetLastError();
    keep(rt, status == cudaErrorMemoryAllocation ? -ENOMEM : -EIO, "%s: %s (%s)", what,
         cudaGetErrorString(status), cudaGetErrorName(status));
    return false;
}

// ---- life ----

extern "C" int rt_probe(char *why, size_t why_bytes) {
    void *driver;

    if (access("/dev/nvidiactl", F_OK) != 0 && access("/dev/dxg", F_OK) != 0) {
        snprintf(why, why_bytes, "no NVIDIA device: neither /dev/nvidiactl nor /dev/dxg exists");
        return 0;
    }
    driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!driver) {
        snprintf(why, why_bytes,
                 "a device but no driver: libcuda.so.1 cannot be loaded; install the NVIDIA driver");
        return 0;
    }
    dlclose(driver);
    snprintf(why, why_bytes, "an NVIDIA device and a driver");
    return 1;
}

static int choose_device(rt *rt, uint32_t index, struct model_fail *fail) {
    cudaDeviceProp properties;
    int n = 0;
    const cudaError_t status = cudaGetDeviceCount(&n);

    if (status != cudaSuccess)
        return model_fail(fail, -ENODEV,
                          "no usable CUDA device: %s; install or update the NVIDIA driver, or use model-cpu",
                          cudaGetErrorString(status));
    if (index >= static_cast<uint32_t>(n))
        return model_fail(fail, -EINVAL, "there is no device %u; this machine has %d", index, n);
    rt->device = static_cast<int>(index);
    if (cudaSetDevice(rt->device) != cudaSuccess ||
        cudaGetDeviceProperties(&properties, rt->device) != cudaSuccess)
        return model_fail(fail, -ENODEV, "device %u cannot be used: %s", index,
                          cudaGetErrorString(cudaGetLastError()));
    if (properties.major < LEAST_MAJOR)
        return model_fail(fail, -ENODEV,
                          "device %u (%s) has compute capability %d.%d; this build needs 8.0 or later", index,
                          properties.name, properties.major, properties.minor);
    rt->n_processors = static_cast<uint32_t>(properties.multiProcessorCount);
    snprintf(rt->name, sizeof(rt->name), "%.200s, %d SMs, compute capability %d.%d", properties.name,
             properties.multiProcessorCount, properties.major, properties.minor);
    return 0;
}

extern "C" int rt_open(uint32_t index, rt **out, struct model_fail *fail) {
    rt *made = static_cast<rt *>(calloc(1, sizeof(*made)));
    int err;

    if (!made)
        return model_fail(fail, -ENOMEM, "out of memory");
    err = choose_device(made, index, fail);
    if (!err &&
        (cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking) != cudaSuccess ||
         cudaEventCreate(&made->marks[0]) != cudaSuccess || cudaEventCreate(&made->marks[1]) != cudaSuccess))
        err = model_fail(fail, -ENODEV, "device %u: no stream: %s", index,
                         cudaGetErrorString(cudaGetLastError()));
    if (err) {
        rt_close(made);
        return err;
    }
    *out = made;
    return 0;
}

extern "C" void rt_close(rt *rt) {
    if (!rt)
        return;
    if (rt->stream)
        cudaStreamSynchronize(rt->stream);
    if (rt->blas.handle)
        rt->blas.destroy(rt->blas.handle);
    cudaFree(rt->blas.workspace);
    for (cudaEvent_t mark : rt->marks)
        if (mark)
            cudaEventDestroy(mark);
    if (rt->stream)
        cudaStreamDestroy(rt->stream);
    cudaGetLastError();
    free(rt);
}

extern "C" const char *rt_device(const rt *rt) {
    return rt->name;
}
extern "C" uint32_t rt_n_processors(const rt *rt) {
    return rt->n_processors;
}
extern "C" uint64_t rt_free_bytes(rt *rt) {
    size_t free_bytes = 0, all;

    cudaSetDevice(rt->device);
    went_well(rt, cudaMemGetInfo(&free_bytes, &all), "asking for free memory");
    return free_bytes;
}

// ---- memory ----

extern "C" void *rt_alloc(rt *rt, size_t bytes, const char *what) {
    void *memory = nullptr;

    if (rt->err)
        return nullptr;
    cudaSetDevice(rt->device);
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaSuccess)
        return memory;
    cudaGetLastError();
    keep(rt, status == cudaErrorMemoryAllocation ? -ENOMEM : -EIO,
         "out of device memory for %s (%zu bytes): %s", what, bytes, cudaGetErrorString(status));
    return nullptr;
}

extern "C" void rt_free(rt *rt, void *memory) {
    if (memory) {
        cudaSetDevice(rt->device);
        cudaFree(memory);
        cudaGetLastError();
    }
}

extern "C" void *rt_host_alloc(rt *rt, size_t bytes) {
    void *memory = nullptr;

    cudaSetDevice(rt->device);
    if (cudaMallocHost(&memory, bytes) == cudaSuccess)
        return memory;
    cudaGetLastError();
    return nullptr;
}
extern "C" void rt_host_free(rt *, void *memory) {
    if (memory) {
        cudaFreeHost(memory);
        cudaGetLastError();
    }
}

// ---- work ----

extern "C" void rt_upload(rt *rt, void *device, const void *host, size_t bytes) {
    if (!rt->err)
        went_well(rt, cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, rt->stream), "upload");
}
extern "C" void rt_download(rt *rt, void *host, const void *device, size_t bytes) {
    if (!rt->err)
        went_well(rt, cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, rt->stream), "download");
}

extern "C" void rt_clear(rt *rt, void *device, size_t bytes) {
    if (!rt->err)
        went_well(rt, cudaMemsetAsync(device, 0, bytes, rt->stream), "clear");
}

extern "C" void rt_launch(rt *rt, kernel_id kernel, uint32_t x, uint32_t y, uint32_t z, const void *args) {
    void *list[] = {const_cast<void *>(args)};

    if (rt->err)
        return;
    cudaSetDevice(rt->device);
    went_well(rt,
              cudaLaunchKernel(functions[kernel], dim3(x, y, z), dim3(kernels[kernel].threads, 1, 1), list, 0,
                               rt->stream),
              kernels[kernel].name);
}

extern "C" void rt_graph_begin(rt *rt) {
    cudaSetDevice(rt->device);
    if (!rt->err)
        went_well(rt, cudaStreamBeginCapture(rt->stream, cudaStreamCaptureModeThreadLocal), "graph");
}

extern "C" rt_graph *rt_graph_end(rt *rt) {
    rt_graph *graph = static_cast<rt_graph *>(calloc(1, sizeof(*graph)));
    cudaGraph_t captured = nullptr;
    const cudaError_t status = cudaStreamEndCapture(rt->stream, &captured);

    if (graph && !rt->err && went_well(rt, status, "graph") &&
        went_well(rt, cudaGraphInstantiate(&graph->exec, captured, 0), "graph")) {
        graph->graph = captured;
        return graph;
    }
    if (captured)
        cudaGraphDestroy(captured);
    free(graph);
    cudaGetLastError();
    return nullptr;
}

extern "C" void rt_graph_run(rt *rt, rt_graph *graph) {
    if (!rt->err)
        went_well(rt, cudaGraphLaunch(graph->exec, rt->stream), "graph");
}

extern "C" void rt_graph_free(rt *, rt_graph *graph) {
    if (!graph)
        return;
    cudaGraphExecDestroy(graph->exec);
    cudaGraphDestroy(graph->graph);
    cudaGetLastError();
    free(graph);
}

extern "C" int rt_wait(rt *rt, struct model_fail *fail) {
    cudaSetDevice(rt->device);
    if (!rt->lost)
        went_well(rt, cudaStreamSynchronize(rt->stream), "the device");
    const int err = rt->err;

    if (err && fail)
        *fail = rt->fail;
    rt->err = rt->lost ? err : 0;
    return err;
}

extern "C" void rt_mark(rt *rt, uint32_t which) {
    if (!rt->err)
        went_well(rt, cudaEventRecord(rt->marks[which % 2], rt->stream), "mark");
}
extern "C" double rt_elapsed_us(rt *rt) {
    float ms = 0.0f;

    went_well(rt, cudaEventElapsedTime(&ms, rt->marks[0], rt->marks[1]), "time");
    return 1e3 * static_cast<double>(ms);
}

// ---- cuBLAS ----

template <typename T> static bool find(void *library, const char *name, T *out) {
    *reinterpret_cast<void **>(out) = dlsym(library, name);
    return *out != nullptr;
}

extern "C" int rt_gemm_open(rt *rt, struct model_fail *fail) {
    blas *b = &rt->blas;

    if (b->handle)
        return 0;
    b->library = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!b->library)
        b->library = dlopen("/usr/local/cuda/lib64/libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!b->library)
        return model_fail(fail, -ENOTSUP, "cuBLAS cannot be loaded: %s", dlerror());
    if (!find(b->library, "cublasLtCreate", &b->create) ||
        !find(b->library, "cublasLtDestroy", &b->destroy) ||
        !find(b->library, "cublasLtMatmul", &b->matmul) ||
        !find(b->library, "cublasLtMatmulDescCreate", &b->desc_create) ||
        !find(b->library, "cublasLtMatmulDescDestroy", &b->desc_destroy) ||
        !find(b->library, "cublasLtMatmulDescSetAttribute", &b->desc_set) ||
        !find(b->library, "cublasLtMatrixLayoutCreate", &b->layout_create) ||
        !find(b->library, "cublasLtMatrixLayoutDestroy", &b->layout_destroy) ||
        !find(b->library, "cublasLtMatmulPreferenceCreate", &b->preference_create) ||
        !find(b->library, "cublasLtMatmulPreferenceDestroy", &b->preference_destroy) ||
        !find(b->library, "cublasLtMatmulPreferenceSetAttribute", &b->preference_set) ||
        !find(b->library, "cublasLtMatmulAlgoGetHeuristic", &b->heuristic))
        return model_fail(fail, -ENOTSUP, "cuBLAS lacks a function: %s", dlerror());
    cudaSetDevice(rt->device);
    if (cudaMalloc(&b->workspace, WORKSPACE_BYTES) != cudaSuccess ||
        b->create(&b->handle) != CUBLAS_STATUS_SUCCESS) {
        cudaGetLastError();
        b->handle = nullptr;
        return model_fail(fail, -ENOTSUP, "cuBLAS does not start");
    }
    return 0;
}

/* Columns of cuBLAS are our rows: c' (m, n) = op_t(a' (k, m)) b' (k, n). One algorithm is asked for, with a
 * fixed workspace, so that equal shapes run equally. */
static cublasStatus_t multiply(rt *rt, const rt_gemm *g, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                               cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c) {
    const blas *blas = &rt->blas;
    const float one = 1.0f, beta = g->add ? 1.0f : 0.0f;
    const size_t workspace = WORKSPACE_BYTES;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulHeuristicResult_t found = {};
    int n_found = 0;
    cublasStatus_t status = blas->preference_create(&preference);

    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                      sizeof(workspace));
    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->heuristic(blas->handle, desc, a, b, c, c, preference, 1, &found, &n_found);
    if (status == CUBLAS_STATUS_SUCCESS && n_found == 0)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->matmul(blas->handle, desc, &one, g->a, a, g->b, b, &beta, g->c, c, g->c, c,
                              &found.algo, blas->workspace, WORKSPACE_BYTES, rt->stream);
    if (preference)
        blas->preference_destroy(preference);
    return status;
}

extern "C" void rt_gemm_run(rt *rt, const rt_gemm *g) {
    const blas *blas = &rt->blas;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;

    if (rt->err)
        return;
    cublasStatus_t status = blas->desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->layout_create(&a, CUDA_R_16BF, g->k, g->m, g->a_stride);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->layout_create(&b, CUDA_R_16BF, g->k, g->n, g->b_stride);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = blas->layout_create(&c, CUDA_R_32F, g->m, g->n, g->c_stride);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = multiply(rt, g, desc, a, b, c);
    if (status != CUBLAS_STATUS_SUCCESS)
        keep(rt, -EIO, "cuBLAS: status %d for a product of %u x %u x %u", static_cast<int>(status), g->m,
             g->n, g->k);
    for (cublasLtMatrixLayout_t layout : {a, b, c})
        if (layout)
            blas->layout_destroy(layout);
    if (desc)
        blas->desc_destroy(desc);
}

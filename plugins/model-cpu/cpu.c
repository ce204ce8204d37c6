/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - which kernels this machine can run. The compiler's probe also asks whether the system saves the
 * registers. */
#include "cpu.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static bool has_scalar(void) {
    return true;
}

#if defined(__x86_64__)
/* Compilers before gcc 11 and clang 17 do not know "f16c" by name. */
static bool f16c_by_cpuid(void) {
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c_by_cpuid();
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

/* Best first. */
static const struct {
    const struct kernels *kernels;
    bool (*can_run)(void);
} paths[] = {
#if defined(__x86_64__)
    {&kernels_avx512, has_avx512},
    {&kernels_avx2, has_avx2},
#endif
    {&kernels_scalar, has_scalar},
};

int cpu_choose(const char *wish, const struct kernels **out, struct model_fail *fail) {
    const bool any = !wish || !*wish || strcmp(wish, "auto") == 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (!any && strcmp(wish, paths[i].kernels->name) != 0)
            continue;
        if (paths[i].can_run()) {
            *out = paths[i].kernels;
            return 0;
        }
        if (!any)
            return model_fail(
                fail, -ENOTSUP,
                "TELEX_CPU=%s: this processor cannot run that path; leave it unset for the best one", wish);
    }
    return model_fail(fail, -EINVAL, "TELEX_CPU=%s: no such path; it is one of auto, avx512, avx2, scalar",
                      wish);
}

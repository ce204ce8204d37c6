/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - which kernels this machine can run. The compiler's probe also asks whether the system saves the
 * registers. */
#include "cpu.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "amx.h"

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

static const char *always(void) {
    return NULL;
}

#if defined(__x86_64__)
static const char *not_here = "this processor cannot run that path";

static const char *avx2_lack(void) {
    return has_avx2() ? NULL : not_here;
}

static const char *avx512_lack(void) {
    return has_avx512() ? NULL : not_here;
}

static const char *amx_path_lack(void) {
    return has_avx512() ? amx_lack() : not_here;
}

static const char *emulated_lack(void) {
    return !&kernels_amx_emulated ? "only tests have it" : avx512_lack();
}
#endif

/* Best first. `lack` gives NULL, or why this machine cannot run the path. */
static const struct path {
    const char *name;
    const struct kernels *kernels;
    const char *(*lack)(void);
    bool by_name_only;
} paths[] = {
#if defined(__x86_64__)
    {"amx", &kernels_amx, amx_path_lack, false}, {"avx512", &kernels_avx512, avx512_lack, false},
    {"avx2", &kernels_avx2, avx2_lack, false},   {"amx-emulated", &kernels_amx_emulated, emulated_lack, true},
#endif
    {"scalar", &kernels_scalar, always, false},
};
enum { N_PATHS = sizeof(paths) / sizeof(paths[0]) };

/* Tiles that never pay are left alone. */
static bool is_worth_it(const struct path *path) {
#if defined(__x86_64__)
    return path->kernels != &kernels_amx || amx_pays_from(amx_least) != AMX_NEVER;
#else
    return path != NULL;
#endif
}

int cpu_choose(const char *wish, const struct kernels **out, struct model_fail *fail) {
    const bool any = !wish || !*wish || strcmp(wish, "auto") == 0;

    for (size_t i = 0; i < N_PATHS; i++) {
        const char *lack;

        if (any ? paths[i].by_name_only : strcmp(wish, paths[i].name) != 0)
            continue;
        lack = paths[i].lack();
        if (!lack && (!any || is_worth_it(&paths[i]))) {
            *out = paths[i].kernels;
            return 0;
        }
        if (!any)
            return model_fail(fail, -ENOTSUP, "TELEX_CPU=%s: %s; leave it unset for the best one", wish,
                              lack);
    }
    return model_fail(fail, -EINVAL,
                      "TELEX_CPU=%s: no such path; it is one of auto, amx, avx512, avx2, scalar", wish);
}

void cpu_describe(const struct kernels *kernels, const char *wish, char *out, size_t room) {
    const bool any = !wish || !*wish || strcmp(wish, "auto") == 0;
    const char *why = "";

#if defined(__x86_64__)
    if (strncmp(kernels->name, "amx", 3) == 0 && kernels != &kernels_amx_emulated) {
        const uint8_t from = amx_pays_from(amx_least);

        if (from == AMX_NEVER)
            snprintf(out, room, "%s, slower here than avx512 and left alone", kernels->name);
        else
            snprintf(out, room, "%s from %u rows", kernels->name, from);
        return;
    }
    if (any && has_avx512())
        why = amx_lack() ? amx_lack() : "slower here";
#endif
    snprintf(out, room, "%s%s%s%s", kernels->name, *why && any ? " (amx: " : "", why, *why ? ")" : "");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h - which kernels this machine can run. */
#ifndef TELEX_CPU_H
#define TELEX_CPU_H

#include "fail.h"
#include "kernels.h"

/* The best table for this machine, or the one that `wish` names: "scalar", "avx2", "avx512", "amx" (or
 * "amx-emulated" in tests); NULL, "" and "auto" mean the best. A wish that the machine cannot fulfil, or that
 * names nothing, is an error. 0 or -EINVAL, -ENOTSUP. */
int cpu_choose(const char *wish, const struct kernels **out, struct model_fail *fail);

/* The chosen path in words, and where the wish left the choice open why it is not the one with tiles. */
void cpu_describe(const struct kernels *kernels, const char *wish, char *out, size_t room);

#endif

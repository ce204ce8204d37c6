/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h - which kernels this machine can run. */
#ifndef TELEX_CPU_H
#define TELEX_CPU_H

#include "fail.h"
#include "kernels.h"

/* The best table for this machine, or the one that `wish` names: "scalar", "avx2", "avx512"; NULL, "" and
 * "auto" mean the best. A wish that the machine cannot fulfil, or that names nothing, is an error. 0 or
 * -EINVAL, -ENOTSUP. */
int cpu_choose(const char *wish, const struct kernels **out, struct model_fail *fail);

#endif

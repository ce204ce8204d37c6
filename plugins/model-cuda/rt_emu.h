/* SPDX-License-Identifier: Apache-2.0 */
/* rt_emu.h - what tests may ask of the emulated device. */
#ifndef TELEX_RT_EMU_H
#define TELEX_RT_EMU_H

#include "rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How kernels are run from now on, in the whole process. */
struct rt_emu_settings {
    uint32_t schedule; /* enum emu_schedule */
    uint32_t seed;
    uint8_t poison;      /* shared memory, and device memory when allocated */
    uint8_t check_often; /* 1: red zones after every launch, not only in rt_wait */
    uint32_t n_workers;  /* processors that share a grid's blocks; 0: up to four */
    /* faults, counted from when they are set; 0: none */
    uint32_t fail_alloc;  /* this allocation finds no memory */
    uint32_t lose_launch; /* at this launch the device is lost */
    /* the library's twin adds up backwards when it has at least so many rows, as a library that picks another
     * algorithm for a larger batch; 0: never */
    uint32_t gemm_turns_at;
};
void rt_emu_set(const struct rt_emu_settings *settings);

#ifdef __cplusplus
}
#endif
#endif

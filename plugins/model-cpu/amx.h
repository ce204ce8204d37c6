/* SPDX-License-Identifier: Apache-2.0 */
/* amx.h - whether this process may use AMX tiles, and from how many rows on they pay. */
#ifndef TELEX_AMX_H
#define TELEX_AMX_H

#include <stdbool.h>
#include <stdint.h>

#include "quant.h"

struct kernels;

enum {
    AMX_KINDS = 2 * (QUANT_Q6_K + 1), /* of products: 2 * type + terms - 1 */
    AMX_NEVER = UINT8_MAX,
};

/* Rows of activations from which on a product of that kind runs on tiles: 2, 4, 8 or AMX_NEVER. Written by
 * amx_lack() before it returns. The bits do not depend on it. */
extern uint8_t amx_least[AMX_KINDS];
#if defined(TELEX_TILES_EMULATED)
#define AMX_LEAST(type, terms) 2
#else
#define AMX_LEAST(type, terms) amx_least[2 * (type) + (terms)-1]
#endif

/* NULL when products may run on tiles here, else why not, in a few words. The first call asks the processor
 * and the kernel, which grants tiles to the process and its threads, tries a product and, where that works,
 * times both ways (some ten milliseconds). [any] */
const char *amx_lack(void);
/* The least of amx_least: AMX_NEVER where tiles never pay. */
uint8_t amx_pays_from(const uint8_t least[AMX_KINDS]);

/* least[kind] = rows from which on `tiles` are faster than `plain` at products of that kind. */
void amx_calibrate(const struct kernels *tiles, const struct kernels *plain, uint8_t least[AMX_KINDS]);

#endif

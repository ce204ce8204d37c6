/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.h - the AMX instructions that product-amx.h uses, as the processor runs them or emulated in plain C.
 *
 * Eight registers of up to 16 rows of 64 bytes. TILE_DOT(c, a, b): row m, lane n of c += the products of the
 * signed bytes 4k..4k+3 of row m of a and the bytes 4n..4n+3 of row k of b, for every k. Numbers of tiles are
 * literals.
 *
 * Written as assembly: compilers' intrinsics do not say which memory the instructions read and write, so
 * stores into it may vanish. The operands "memory" below say it, and no compiler flag is needed.
 *
 * Emulated (TELEX_TILES_EMULATED, tests only), a use that the processor would refuse ends the process with a
 * line that names it. Shapes and faults: Intel 64 SDM, volume 1, chapter 18, and the instructions' pages. */
#ifndef TELEX_TILES_H
#define TELEX_TILES_H

#include <stddef.h>
#include <stdint.h>

/* Memory operand of ldtilecfg. */
struct tile_config {
    uint8_t palette; /* 1 */
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[8];
    uint8_t reserved_too[16];
    uint8_t rows[8];
    uint8_t reserved_three[8];
};
_Static_assert(sizeof(struct tile_config) == 64, "64 bytes, as the processor reads them");

#if defined(TELEX_TILES_EMULATED)

void tile_emulated_configure(const struct tile_config *config);
void tile_emulated_release(void);
void tile_emulated_zero(unsigned tile);
void tile_emulated_load(unsigned tile, const void *from, size_t stride);
void tile_emulated_store(unsigned tile, void *to, size_t stride);
void tile_emulated_dot(unsigned c, unsigned a, unsigned b);

#define TILE_CONFIGURE(config)      tile_emulated_configure(config)
#define TILE_RELEASE()              tile_emulated_release()
#define TILE_ZERO(tile)             tile_emulated_zero(tile)
#define TILE_LOAD(tile, from, step) tile_emulated_load(tile, from, step)
#define TILE_STORE(tile, to, step)  tile_emulated_store(tile, to, step)
#define TILE_DOT(c, a, b)           tile_emulated_dot(c, a, b)

#else

#define TILE_CONFIGURE(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(config)) : "memory")
#define TILE_RELEASE()         __asm__ volatile("tilerelease" : : : "memory")
#define TILE_ZERO(tile)        __asm__ volatile("tilezero %%tmm" #tile : : :)
#define TILE_LOAD(tile, from, step)                                                                          \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile                                                      \
                     :                                                                                       \
                     : "r"((const void *)(from)), "r"((size_t)(step))                                        \
                     : "memory")
#define TILE_STORE(tile, to, step)                                                                           \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)"                                                  \
                     :                                                                                       \
                     : "r"((void *)(to)), "r"((size_t)(step))                                                \
                     : "memory")
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : :)

#endif

#endif

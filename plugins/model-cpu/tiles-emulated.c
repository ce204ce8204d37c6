/* SPDX-License-Identifier: Apache-2.0 */
/* tiles-emulated.c - AMX tiles in plain C, for tests on machines without them. See tiles.h. */
#define TELEX_TILES_EMULATED
#include "tiles.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

/* Of a thread, as the registers are. */
static _Thread_local struct {
    bool is_configured;
    struct tile_config config;
    uint8_t bytes[TILES][ROWS][ROW_BYTES];
} state;

_Noreturn static void refuse(const char *instruction, unsigned tile, const char *why) {
    fprintf(stderr, "amx-emulated: %s of tile %u: %s\n", instruction, tile, why);
    abort();
}

static bool all_zero(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

void tile_emulated_configure(const struct tile_config *config) {
    if (config->palette != 1)
        refuse("ldtilecfg", 0, "the palette is not 1");
    if (config->start_row != 0)
        refuse("ldtilecfg", 0, "a start row that is not 0");
    if (!all_zero(config->reserved, sizeof(config->reserved)) ||
        !all_zero(config->reserved_too, sizeof(config->reserved_too)) ||
        !all_zero(config->reserved_three, sizeof(config->reserved_three)))
        refuse("ldtilecfg", 0, "reserved bytes are not zero");
    for (unsigned t = 0; t < TILES; t++) {
        if (config->rows[t] > ROWS || config->row_bytes[t] > ROW_BYTES)
            refuse("ldtilecfg", t, "more than 16 rows of 64 bytes");
        if ((config->rows[t] == 0) != (config->row_bytes[t] == 0))
            refuse("ldtilecfg", t, "rows without bytes, or bytes without rows");
    }
    memset(&state, 0, sizeof(state));
    state.config = *config;
    state.is_configured = true;
}

void tile_emulated_release(void) {
    memset(&state, 0, sizeof(state));
}

static void check(const char *instruction, unsigned tile) {
    if (!state.is_configured)
        refuse(instruction, tile, "no configuration is loaded on this thread");
    if (tile >= TILES || state.config.rows[tile] == 0)
        refuse(instruction, tile, "the configuration has no such tile");
}

void tile_emulated_zero(unsigned tile) {
    check("tilezero", tile);
    memset(state.bytes[tile], 0, sizeof(state.bytes[tile]));
}

void tile_emulated_load(unsigned tile, const void *from, size_t stride) {
    check("tileloadd", tile);
    memset(state.bytes[tile], 0, sizeof(state.bytes[tile]));
    for (size_t r = 0; r < state.config.rows[tile]; r++)
        memcpy(state.bytes[tile][r], (const uint8_t *)from + r * stride, state.config.row_bytes[tile]);
}

void tile_emulated_store(unsigned tile, void *to, size_t stride) {
    check("tilestored", tile);
    if (state.config.rows[tile] > 1 && stride < state.config.row_bytes[tile])
        refuse("tilestored", tile, "its rows overlap in memory"); /* allowed, and never meant */
    for (size_t r = 0; r < state.config.rows[tile]; r++)
        memcpy((uint8_t *)to + r * stride, state.bytes[tile][r], state.config.row_bytes[tile]);
}

static int32_t dot_of_four(const uint8_t *a, const uint8_t *b) {
    int32_t sum = 0;

    for (int i = 0; i < 4; i++)
        sum += (int32_t)(int8_t)a[i] * (int8_t)b[i];
    return sum;
}

void tile_emulated_dot(unsigned c, unsigned a, unsigned b) {
    const struct tile_config *config = &state.config;

    check("tdpbssd", c);
    check("tdpbssd", a);
    check("tdpbssd", b);
    if (c == a || a == b || b == c)
        refuse("tdpbssd", c, "two operands are one tile");
    if (config->row_bytes[c] % 4 || config->row_bytes[a] % 4 || config->row_bytes[b] % 4)
        refuse("tdpbssd", c, "rows that do not hold whole lanes");
    if (config->rows[c] != config->rows[a] || config->row_bytes[c] != config->row_bytes[b] ||
        config->row_bytes[a] / 4 != config->rows[b])
        refuse("tdpbssd", c, "the shapes do not fit");
    for (size_t m = 0; m < config->rows[c]; m++)
        for (size_t n = 0; n < config->row_bytes[c] / 4; n++) {
            uint32_t sum; /* wraps, as the instruction's does */

            memcpy(&sum, state.bytes[c][m] + 4 * n, 4);
            for (size_t k = 0; k < config->rows[b]; k++)
                sum += (uint32_t)dot_of_four(state.bytes[a][m] + 4 * k, state.bytes[b][k] + 4 * n);
            memcpy(state.bytes[c][m] + 4 * n, &sum, 4);
        }
}

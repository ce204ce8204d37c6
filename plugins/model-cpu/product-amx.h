/* SPDX-License-Identifier: Apache-2.0 */
/* product-amx.h - products of several rows of activations on AMX tiles. Only kernels.c includes it.
 *
 * A slice's eight weight vectors are a tile as they stand: row g holds columns 4g..4g+3 of sixteen rows. The
 * integers of eight rows of activations, 32 bytes apart, are the other: 8 rows with one term, 16 with two.
 * One instruction gives all their sums, exact integers, so what follows is product.h's arithmetic in its
 * order and the bits are those of every other path.
 *
 * What it costs, in 512-bit operations for one slice and eight rows of two terms:
 *
 *   product.h   128 vpdpbusd, then 8 * 6 to scale and add                            176, two a cycle: 88
 *   here        tilezero, 2 tileloadd (24 loads), tdpbssd (16 cycles of its own      48, two a cycle: 24,
 *               unit), tilestored (16 stores), then the same 8 * 6                   beside 16 of the unit
 *
 * and in both about 24 to unpack the weights, here also 8 stores. So eight rows should take a third of the
 * time, four rows (44 against 12 and the unpacking) two thirds, and one or two gain nothing. No machine with
 * AMX has confirmed this; amx_calibrate() measures it where it runs.
 *
 * Sums go through memory: eight slices at a time are multiplied into 8 to 16 KB that stay in the first-level
 * cache, and then scaled, so that nothing waits for one tile. Weights are unpacked once for a block of up to
 * 512 rows. */
#ifndef TELEX_PRODUCT_AMX_H
#define TELEX_PRODUCT_AMX_H

#include "amx.h"
#include "tiles.h"

enum { CHUNK = 8, BLOCK_ROWS = 512, BLOCK_BYTES = 1 << 20, LEAST_BLOCK = 64 };

/* Eight slices of one group. */
struct panel {
    _Alignas(64) int32_t sums[CHUNK][2][16][16]; /* of a slice, or of each half; rows as in the tile */
    _Alignas(64) uint8_t room[CHUNK][512];
    struct scales scales[CHUNK];
    const uint8_t *w[CHUNK]; /* signed bytes, eight vectors */
};

static void configure_tiles(uint32_t type, uint32_t terms, uint32_t width) {
    const uint8_t groups = type == QUANT_Q6_K ? 4 : 8;
    struct tile_config config = {.palette = 1};

    for (int t = 0; t < 8; t++) {
        config.rows[t] = t < 6 ? (uint8_t)(width * terms) : groups;
        config.row_bytes[t] = t == 4 || t == 5 ? 4 * groups : 64;
    }
    TILE_CONFIGURE(&config);
}

/* The slice's weights as signed bytes: where they lie, or unpacked into `room`. */
FORCE_INLINE const uint8_t *signed_weights(uint32_t type, const uint8_t *group, struct matrix_slice at,
                                           uint8_t *room) {
    const __m512i offset = _mm512_set1_epi8(type == QUANT_Q4_0   ? 8
                                            : type == QUANT_Q5_0 ? 16
                                            : type == QUANT_Q6_K ? 32
                                                                 : 0);
    vb w[8];

    if (type == QUANT_Q8_0)
        return group + at.low;
    load_weights(type, group, at, w);
    for (int g = 0; g < 8; g++)
        _mm512_store_si512(room + 64 * g, _mm512_sub_epi8(w[g], offset));
    return room;
}

FORCE_INLINE void open_panel(uint32_t type, const uint8_t *group, size_t first, size_t n, struct panel *p) {
    const uint8_t *head = group + matrix_slice_at(type, first).head;
    vf heads[2] = {vf_zero(), vf_zero()};

    if (is_k(type))
        load_heads(type, head, heads);
    for (size_t i = 0; i < n; i++) {
        const struct matrix_slice at = matrix_slice_at(type, first + i);

        p->scales[i] = load_scales(type, group, at, heads);
        p->w[i] = signed_weights(type, group, at, p->room[i]);
    }
}

#define MULTIPLY(c, a, b, acts, weights)                                                                     \
    do {                                                                                                     \
        TILE_ZERO(c);                                                                                        \
        TILE_LOAD(a, acts, 32);                                                                              \
        TILE_LOAD(b, weights, 64);                                                                           \
        TILE_DOT(c, a, b);                                                                                   \
    } while (0)

/* p->sums = integer sums of n slices whose activations lie `step` bytes apart. */
FORCE_INLINE void sum_tiles(uint32_t type, const uint8_t *acts, size_t step, size_t n, struct panel *p) {
    size_t i = 0;

    for (; type == QUANT_Q6_K && i + 1 < n; i += 2) { /* n is 8 */
        MULTIPLY(0, 4, 6, acts + i * step, p->w[i]);
        MULTIPLY(1, 5, 7, acts + i * step + 16, p->w[i] + 256);
        MULTIPLY(2, 4, 6, acts + (i + 1) * step, p->w[i + 1]);
        MULTIPLY(3, 5, 7, acts + (i + 1) * step + 16, p->w[i + 1] + 256);
        TILE_STORE(0, p->sums[i][0], 64);
        TILE_STORE(1, p->sums[i][1], 64);
        TILE_STORE(2, p->sums[i + 1][0], 64);
        TILE_STORE(3, p->sums[i + 1][1], 64);
    }
    for (; type != QUANT_Q6_K && i + 3 < n; i += 4) {
        MULTIPLY(0, 4, 6, acts + i * step, p->w[i]);
        MULTIPLY(1, 5, 7, acts + (i + 1) * step, p->w[i + 1]);
        MULTIPLY(2, 4, 6, acts + (i + 2) * step, p->w[i + 2]);
        MULTIPLY(3, 5, 7, acts + (i + 3) * step, p->w[i + 3]);
        TILE_STORE(0, p->sums[i][0], 64);
        TILE_STORE(1, p->sums[i + 1][0], 64);
        TILE_STORE(2, p->sums[i + 2][0], 64);
        TILE_STORE(3, p->sums[i + 3][0], 64);
    }
    for (; i < n; i++) {
        MULTIPLY(0, 4, 6, acts + i * step, p->w[i]);
        TILE_STORE(0, p->sums[i][0], 64);
    }
}

/* A row's sums: with two terms the tile has a row for each. */
FORCE_INLINE vi sum_of_row(int32_t sums[16][16], uint32_t t, uint32_t terms) {
    if (terms == 1)
        return _mm512_load_si512(sums[t]);
    return vi_add(vi_times_255(_mm512_load_si512(sums[2 * t])), _mm512_load_si512(sums[2 * t + 1]));
}

/* acc[t] += the panel's part of row t's product. type, width and terms are constants. */
FORCE_INLINE void add_panel(uint32_t type, uint32_t width, uint32_t terms, uint8_t *acts, size_t n,
                            struct panel *p, vf *out) {
    vf acc[ACTS_TILE];

    sum_tiles(type, acts, width * acts_slice_bytes(terms), n, p);
    EACH_ROW(t, width)
    acc[t] = out[t];
    for (size_t i = 0; i < n; i++) {
        vi sum[ACTS_TILE], second[ACTS_TILE];

        EACH_ROW(t, width) {
            sum[t] = sum_of_row(p->sums[i][0], t, terms);
            second[t] = type == QUANT_Q6_K ? sum_of_row(p->sums[i][1], t, terms) : vi_zero();
        }
        add_scaled(type, p->scales[i], acts_slice_at(acts, width, terms, i), width, sum, second, acc);
    }
    EACH_ROW(t, width)
    out[t] = acc[t];
}

/* A block of rows of activations: n_tiles tiles of `width`, from row `row` on. */
FORCE_INLINE void block_on_tiles(uint32_t type, uint32_t terms, uint32_t width, const struct matrix *m,
                                 uint32_t group, const struct acts *acts, uint32_t row, uint32_t n_tiles,
                                 const struct product *to) {
    const size_t n_slices = m->n_cols / QUANT_SLICE, slice = acts_slice_bytes(terms);
    const uint8_t *weights = m->data + group * m->group_bytes;
    struct panel panel;
    vf acc[BLOCK_ROWS];

    for (uint32_t t = 0; t < n_tiles * width; t++)
        acc[t] = vf_zero();
    for (size_t first = 0; first < n_slices; first += CHUNK) {
        const size_t n = n_slices - first < CHUNK ? n_slices - first : CHUNK;

        open_panel(type, weights, first, n, &panel);
        for (uint32_t t = 0; t < n_tiles; t++) {
            uint8_t *tile = acts->tiles + (size_t)(row + t * ACTS_TILE) * slice * n_slices;

            add_panel(type, width, terms, tile + first * width * slice, n, &panel, acc + t * width);
        }
    }
    for (uint32_t t = 0; t < n_tiles * width && row + t < acts->n_rows; t++)
        store_lanes(acc[t], to, row + t, (size_t)group * MATRIX_LANES, m->n_rows);
}

/* Rows behind the last tile of eight, where there are fewer than five of them. */
FORCE_INLINE void rest_of_rows(uint32_t type, uint32_t terms, const struct matrix *m, uint32_t group,
                               const struct acts *acts, uint32_t row, const struct product *to) {
    const size_t n_slices = m->n_cols / QUANT_SLICE;
    vf out[ACTS_TILE];

    if (row >= acts->n_rows)
        return;
    tile_of_any_width(type, acts_width(acts->n_rows, row / ACTS_TILE), terms,
                      m->data + group * m->group_bytes,
                      acts->tiles + (size_t)row * acts_slice_bytes(terms) * n_slices, n_slices, out);
    for (uint32_t t = 0; row + t < acts->n_rows; t++)
        store_lanes(out[t], to, row + t, (size_t)group * MATRIX_LANES, m->n_rows);
}

/* Rows of activations that stay in the second-level cache while group after group is multiplied by them. */
static uint32_t rows_of_block(const struct acts *acts) {
    const size_t row = acts_slice_bytes(acts->terms) * (acts->n_cols / QUANT_SLICE);
    const size_t fit = BLOCK_BYTES / row / ACTS_TILE * ACTS_TILE;

    return fit < LEAST_BLOCK ? LEAST_BLOCK : fit > BLOCK_ROWS ? BLOCK_ROWS : (uint32_t)fit;
}

FORCE_INLINE void groups_on_tiles(uint32_t type, uint32_t terms, uint32_t width, const struct matrix *m,
                                  uint32_t first, uint32_t n, const struct acts *acts,
                                  const struct product *to) {
    const uint32_t tiles = (acts->n_rows + ACTS_TILE - 1) / ACTS_TILE;
    const uint32_t full = acts_width(acts->n_rows, tiles - 1) == width ? tiles : tiles - 1;
    const uint32_t per_block = rows_of_block(acts) / ACTS_TILE;

    for (uint32_t t = 0; t < full; t += per_block)
        for (uint32_t group = first; group < first + n; group++)
            block_on_tiles(type, terms, width, m, group, acts, t * ACTS_TILE,
                           full - t < per_block ? full - t : per_block, to);
    for (uint32_t group = first; group < first + n; group++)
        rest_of_rows(type, terms, m, group, acts, full * ACTS_TILE, to);
}

#define GROUPS_ON_TILES(type, terms)                                                                         \
    case 2 * type + terms - 1:                                                                               \
        if (width == 8)                                                                                      \
            groups_on_tiles(type, terms, 8, m, first, n, acts, to);                                          \
        else if (width == 4)                                                                                 \
            groups_on_tiles(type, terms, 4, m, first, n, acts, to);                                          \
        else                                                                                                 \
            groups_on_tiles(type, terms, 2, m, first, n, acts, to);                                          \
        break

static void matmul_on_tiles(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                            const struct product *to) {
    const uint32_t width = acts_width(acts->n_rows, 0);

    if (quant_info(m->type)->form == QUANT_FORM_FLOAT || width < AMX_LEAST(m->type, acts->terms)) {
        matmul(m, first, n, acts, to);
        return;
    }
    fetch_acts(acts);
    configure_tiles(m->type, acts->terms, width);
    switch (2 * m->type + acts->terms - 1) {
        GROUPS_ON_TILES(QUANT_Q4_0, 1);
        GROUPS_ON_TILES(QUANT_Q4_0, 2);
        GROUPS_ON_TILES(QUANT_Q4_1, 1);
        GROUPS_ON_TILES(QUANT_Q4_1, 2);
        GROUPS_ON_TILES(QUANT_Q5_0, 1);
        GROUPS_ON_TILES(QUANT_Q5_0, 2);
        GROUPS_ON_TILES(QUANT_Q5_1, 1);
        GROUPS_ON_TILES(QUANT_Q5_1, 2);
        GROUPS_ON_TILES(QUANT_Q8_0, 1);
        GROUPS_ON_TILES(QUANT_Q8_0, 2);
        GROUPS_ON_TILES(QUANT_Q4_K, 1);
        GROUPS_ON_TILES(QUANT_Q4_K, 2);
        GROUPS_ON_TILES(QUANT_Q5_K, 1);
        GROUPS_ON_TILES(QUANT_Q5_K, 2);
        GROUPS_ON_TILES(QUANT_Q6_K, 1);
        GROUPS_ON_TILES(QUANT_Q6_K, 2);
    }
    TILE_RELEASE(); /* a thread that keeps tiles pays for them at every switch */
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - from rows in the file's layout to groups of 32 lanes; the layout is stated at struct dmatrix. */
#include <string.h>

#include "quant.h"
#include "weights.h"

static uint8_t form_of(const struct quant_info *info, uint32_t type) {
    switch (info->form) {
    case QUANT_FORM_K:
        return FORM_K;
    case QUANT_FORM_K6:
        return FORM_K6;
    case QUANT_FORM_FLOAT:
        return type == QUANT_F32 ? FORM_F32 : type == QUANT_F16 ? FORM_F16 : FORM_BF16;
    default:
        return FORM_D;
    }
}

static uint32_t high_at(uint32_t bits) {
    return bits == 8 ? 1024 : 512;
}
static uint32_t scales_at(uint32_t bits) {
    return high_at(bits) + (bits == 5 ? 128 : bits == 6 ? 256 : 0);
}

void weights_shape(struct dmatrix *m, uint32_t type, uint32_t n_rows, uint32_t n_cols, uint32_t run) {
    const struct quant_info *info = quant_info(type);

    memset(m, 0, sizeof(*m));
    m->form = form_of(info, type);
    m->bits = info->form == QUANT_FORM_FLOAT ? 0 : info->bits;
    m->offset = info->offset;
    m->has_min = info->form == QUANT_FORM_MIN;
    m->n_rows = n_rows / run * ((run + LANES - 1) / LANES * LANES);
    m->n_cols = n_cols;
    m->n_slices = n_cols / SLICE;
    if (info->form == QUANT_FORM_FLOAT)
        m->chunk_bytes = (uint32_t)SLICE * LANES * info->block_bytes;
    else
        m->chunk_bytes = scales_at(m->bits) + (m->has_min ? 128 : 64);
    m->group_bytes = (uint64_t)m->n_slices * m->chunk_bytes;
    if (m->form == FORM_K || m->form == FORM_K6)
        m->group_bytes += (uint64_t)m->n_slices / 8 * 128;
}

static void put_integers(uint32_t bits, uint8_t *chunk, uint32_t lane, const uint8_t q[QUANT_SLICE]) {
    uint8_t *low = chunk + 16 * lane, *high = chunk + high_at(bits) + (bits == 5 ? 4 : 8) * lane;

    for (int j = 0; j < 16; j++) {
        low[j] = bits == 8 ? q[j] : (uint8_t)((q[j] & 15) | (q[16 + j] & 15) << 4);
        if (bits == 8)
            chunk[512 + 16 * lane + (uint32_t)j] = q[16 + j];
    }
    for (int j = 0; j < QUANT_SLICE && (bits == 5 || bits == 6); j++) {
        const int g = j / 4, b = j % 4;

        if (bits == 5)
            high[b] |= (uint8_t)((q[j] >> 4 & 1) << g);
        else
            high[4 * (g / 4) + b] |= (uint8_t)((q[j] >> 4 & 3) << 2 * (g % 4));
    }
}

static void put_scales(const struct dmatrix *m, uint8_t *chunk, uint8_t *head, uint32_t lane,
                       const struct quant_slice *s) {
    uint8_t *at = chunk + scales_at(m->bits) + 2 * lane;

    if (m->form == FORM_D) {
        memcpy(at, &s->d, 2);
        if (m->has_min)
            memcpy(at + 64, &s->m, 2);
        return;
    }
    at[0] = (uint8_t)s->sc[0];
    at[1] = m->form == FORM_K ? s->mn : (uint8_t)s->sc[1];
    memcpy(head + 4 * lane, &s->d, 2);
    memcpy(head + 4 * lane + 2, &s->m, 2);
}

static void put_floats(const struct dmatrix *m, uint8_t *group, uint32_t lane, const uint8_t *row) {
    const uint32_t bytes = m->form == FORM_F32 ? 4 : 2, per_plane = 16 / bytes;

    for (uint32_t k = 0; k < m->n_cols; k += per_plane) {
        const uint32_t s = k / SLICE, plane = k % SLICE / per_plane;

        memcpy(group + (size_t)s * m->chunk_bytes + 512 * plane + 16 * lane, row + (size_t)k * bytes, 16);
    }
}

static void put_row(const struct dmatrix *m, uint32_t type, uint8_t *group, uint32_t lane,
                    const uint8_t *row) {
    struct quant_slice slice;

    if (m->form >= FORM_F32) {
        put_floats(m, group, lane, row);
        return;
    }
    for (uint32_t s = 0; s < m->n_slices; s++) {
        uint8_t *chunk = group + (size_t)s * m->chunk_bytes;

        quant_read_slice(type, row, s, &slice);
        put_integers(m->bits, chunk, lane, slice.q);
        put_scales(m, chunk, group + (size_t)m->n_slices * m->chunk_bytes + s / 8 * 128, lane, &slice);
    }
}

void weights_pack_group(const struct dmatrix *m, uint32_t type, const uint8_t *rows, uint32_t n_rows,
                        uint32_t run, uint32_t group, uint8_t *out) {
    const size_t row_bytes = quant_row_bytes(quant_info(type), m->n_cols);
    const uint32_t padded = (run + LANES - 1) / LANES * LANES;

    memset(out, 0, m->group_bytes);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const uint32_t at = group * LANES + lane, row = at / padded * run + at % padded;

        if (at % padded < run && row < n_rows)
            put_row(m, type, out, lane, rows + row * row_bytes);
    }
}

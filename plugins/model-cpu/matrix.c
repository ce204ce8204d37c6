/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.c - pack rows into groups of sixteen lanes, and read single rows back. */
#include "matrix.h"

#include <string.h>

static int is_float(uint32_t type) {
    return quant_info(type)->form == QUANT_FORM_FLOAT;
}

void matrix_shape(struct matrix *m, uint32_t type, uint32_t n_rows, uint32_t n_cols) {
    m->type = type;
    m->n_rows = n_rows;
    m->n_cols = n_cols;
    m->n_groups = (n_rows + MATRIX_LANES - 1) / MATRIX_LANES;
    if (is_float(type))
        m->group_bytes = (size_t)n_cols * MATRIX_LANES * quant_info(type)->block_bytes;
    else
        m->group_bytes = matrix_slice_at(type, n_cols / QUANT_SLICE - 1).end;
}

/* Move the integers of one row's slice to lane r, four columns a word. */
static void put_integers(uint32_t type, uint8_t *group, struct matrix_slice at, int r, const uint8_t *q) {
    const int bits = quant_info(type)->bits;
    uint32_t word[8], low[4], high[2] = {0, 0};

    memcpy(word, q, sizeof(word));
    if (bits == 8) {
        for (int g = 0; g < 8; g++)
            memcpy(group + at.low + 64 * g + 4 * r, &word[g], 4);
        return;
    }
    for (int t = 0; t < 4; t++) {
        low[t] = (word[2 * t] & 0x0f0f0f0fu) | (word[2 * t + 1] & 0x0f0f0f0fu) << 4;
        memcpy(group + at.low + 64 * t + 4 * r, &low[t], 4);
    }
    for (int g = 0; g < 8 && bits > 4; g++)
        high[bits == 6 ? g / 4 : 0] |=
            bits == 6 ? (word[g] >> 4 & 0x03030303u) << 2 * (g % 4) : (word[g] >> 4 & 0x01010101u) << g;
    for (int t = 0; t < bits - 4; t++)
        memcpy(group + at.high + 64 * t + 4 * r, &high[t], 4);
}

static void put_scales(uint32_t type, uint8_t *group, struct matrix_slice at, int r,
                       const struct quant_slice *slice) {
    const size_t lane = (size_t)r;

    switch (quant_info(type)->form) {
    case QUANT_FORM_K:
    case QUANT_FORM_K6:
        memcpy(group + at.head + 2 * lane, &slice->d, 2);
        memcpy(group + at.head + 32 + 2 * lane, &slice->m, 2);
        group[at.scales + lane] = (uint8_t)slice->sc[0];
        group[at.scales + 16 + lane] = type == QUANT_Q6_K ? (uint8_t)slice->sc[1] : slice->mn;
        break;
    case QUANT_FORM_MIN:
        memcpy(group + at.scales + 32 + 2 * lane, &slice->m, 2);
        memcpy(group + at.scales + 2 * lane, &slice->d, 2);
        break;
    default:
        memcpy(group + at.scales + 2 * lane, &slice->d, 2);
    }
}

static void pack_float_row(struct matrix *m, uint8_t *group, const uint8_t *row, int r) {
    const size_t bytes = quant_info(m->type)->block_bytes;

    for (size_t k = 0; k < m->n_cols; k++)
        memcpy(group + (k * MATRIX_LANES + (size_t)r) * bytes, row + k * bytes, bytes);
}

void matrix_pack_group(struct matrix *m, const uint8_t *rows, uint32_t group) {
    const size_t row_bytes = quant_row_bytes(quant_info(m->type), m->n_cols);
    uint8_t *out = m->data + group * m->group_bytes;
    struct quant_slice slice;

    memset(out, 0, m->group_bytes);
    for (int r = 0; r < MATRIX_LANES; r++) {
        const size_t row = (size_t)group * MATRIX_LANES + (size_t)r;

        if (row >= m->n_rows)
            break;
        if (is_float(m->type)) {
            pack_float_row(m, out, rows + row * row_bytes, r);
            continue;
        }
        for (size_t i = 0; i < m->n_cols / QUANT_SLICE; i++) {
            const struct matrix_slice at = matrix_slice_at(m->type, i);

            quant_read_slice(m->type, rows + row * row_bytes, i, &slice);
            put_integers(m->type, out, at, r, slice.q);
            put_scales(m->type, out, at, r, &slice);
        }
    }
}

static int get_integer(uint32_t type, const uint8_t *group, struct matrix_slice at, int r, int k) {
    const int bits = quant_info(type)->bits, g = k / 4, byte = 4 * r + k % 4;
    int q;

    if (bits == 8)
        return (int8_t)group[at.low + 64 * (size_t)g + (size_t)byte];
    q = group[at.low + 64 * (size_t)(g / 2) + (size_t)byte] >> (g % 2 ? 4 : 0) & 15;
    if (bits == 5)
        q |= (group[at.high + (size_t)byte] >> g & 1) << 4;
    if (bits == 6)
        q |= (group[at.high + 64 * (size_t)(g / 4) + (size_t)byte] >> 2 * (g % 4) & 3) << 4;
    return q - quant_info(type)->offset;
}

static float half_at(const uint8_t *at, size_t lane) {
    uint16_t bits;

    memcpy(&bits, at + 2 * lane, sizeof(bits));
    return quant_f16(bits);
}

static void read_slice(const struct matrix *m, const uint8_t *group, size_t i, int r, float *out) {
    const struct matrix_slice at = matrix_slice_at(m->type, i);
    const enum quant_form form = quant_info(m->type)->form;
    const size_t lane = (size_t)r;
    float scale[2], min = 0.0f;

    if (form == QUANT_FORM_K || form == QUANT_FORM_K6) {
        const float d = half_at(group + at.head, lane), dmin = half_at(group + at.head + 32, lane);
        const uint8_t *sc = group + at.scales;

        scale[0] = d * (float)(int8_t)sc[lane];
        scale[1] = form == QUANT_FORM_K6 ? d * (float)(int8_t)sc[16 + lane] : scale[0];
        min = form == QUANT_FORM_K ? -(dmin * (float)sc[16 + lane]) : 0.0f;
    } else {
        scale[0] = scale[1] = half_at(group + at.scales, lane);
        min = form == QUANT_FORM_MIN ? half_at(group + at.scales + 32, lane) : 0.0f;
    }
    for (int k = 0; k < QUANT_SLICE; k++)
        out[k] = scale[k / 16] * (float)get_integer(m->type, group, at, r, k) + min;
}

void matrix_read_slices(const struct matrix *m, uint32_t row, uint32_t first, uint32_t n, float *out) {
    const uint8_t *group = m->data + row / MATRIX_LANES * m->group_bytes;
    const int r = (int)(row % MATRIX_LANES);
    const size_t bytes = quant_info(m->type)->block_bytes;

    for (uint32_t i = 0; i < n; i++) {
        if (!is_float(m->type)) {
            read_slice(m, group, first + i, r, out + (size_t)i * QUANT_SLICE);
            continue;
        }
        for (size_t k = 0; k < QUANT_SLICE; k++) {
            const size_t column = (size_t)(first + i) * QUANT_SLICE + k;

            quant_dequantise(m->type, group + (column * MATRIX_LANES + (size_t)r) * bytes,
                             out + (size_t)i * QUANT_SLICE + k, 1);
        }
    }
}

void matrix_read_row(const struct matrix *m, uint32_t row, float *out) {
    matrix_read_slices(m, row, 0, m->n_cols / QUANT_SLICE, out);
}

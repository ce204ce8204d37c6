/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.h - weights as the kernels read them.
 *
 * Rows are taken sixteen at a time, one lane a row; within such a group the columns run in slices of 32. A
 * slice's eight 64-byte vectors hold, for each row r, columns 4g..4g+3 at bytes 4r..4r+3. So a dot product
 * needs no sum over lanes, and every row adds its slices in ascending order, whatever the kernel, the batch
 * or the number of threads. One group is one linear stretch of memory. The bits are those of the file, only
 * moved: nothing is requantised. */
#ifndef TELEX_MATRIX_H
#define TELEX_MATRIX_H

#include <stddef.h>
#include <stdint.h>

#include "quant.h"

enum { MATRIX_LANES = 16 };

/* Offsets of a slice's parts from where its group begins; vectors begin at multiples of 64. A kernel reads a
 * group from front to back. K types keep one head and the scales of eight slices before those slices'
 * integers; types whose scales fill half a vector keep those of two slices before the two. */
struct matrix_slice {
    size_t head;   /* K: f16 d[16], f16 dmin[16] */
    size_t scales; /* f16 d[16] (and f16 m[16]); K: u8 sc[16], u8 mn[16]; K6: i8 sc[2][16] */
    size_t low;    /* 4 x 64 bytes of nibbles (vector t: g = 2t low, 2t+1 high), or 8 x 64 bytes */
    size_t high;   /* fifth bits: 64 bytes, bit g of byte p; fifth and sixth: 2 x 64 bytes, two bits a g */
    size_t end;    /* of the integers */
};

struct matrix {
    uint32_t type; /* enum quant_type, as in the file */
    uint32_t n_rows, n_cols, n_groups;
    size_t group_bytes;
    uint8_t *data; /* n_groups * group_bytes, 64-byte aligned; owned by the model */
};

/* Fill in everything but data. n_cols is a multiple of 32. */
void matrix_shape(struct matrix *m, uint32_t type, uint32_t n_rows, uint32_t n_cols);
static inline size_t matrix_bytes(const struct matrix *m) {
    return m->n_groups * m->group_bytes;
}

/* Pack group `group` out of rows in the file's layout, row_bytes apart; rows behind the last one are zero. */
void matrix_pack_group(struct matrix *m, const uint8_t *rows, uint32_t group);

/* out[0..n * 32) = slices [first, first + n) of a row as numbers. */
void matrix_read_slices(const struct matrix *m, uint32_t row, uint32_t first, uint32_t n, float *out);

/* out[0..n_cols) = row `row` as numbers. */
void matrix_read_row(const struct matrix *m, uint32_t row, float *out);

static inline __attribute__((always_inline)) struct matrix_slice
matrix_slice_of(size_t head, size_t scales, size_t low, size_t n_low, size_t n_high) {
    return (struct matrix_slice){head, scales, low, low + n_low, low + n_low + n_high};
}

/* Where the parts of slice i are; type is a constant at every call, so this folds into address arithmetic. */
static inline __attribute__((always_inline)) struct matrix_slice matrix_slice_at(uint32_t type, size_t i) {
    const int bits = type == QUANT_Q8_0                                               ? 8
                     : type == QUANT_Q6_K                                             ? 6
                     : type == QUANT_Q5_0 || type == QUANT_Q5_1 || type == QUANT_Q5_K ? 5
                                                                                      : 4;
    const int is_k = type == QUANT_Q4_K || type == QUANT_Q5_K || type == QUANT_Q6_K;
    const size_t low = bits == 8 ? 512 : 256, high = bits == 6 ? 128 : bits == 5 ? 64 : 0;
    const size_t body = low + high, part = is_k ? i % 8 : i % 2;
    size_t at;

    if (is_k) {
        at = i / 8 * (64 + 8 * (32 + body));
        return matrix_slice_of(at, at + 64 + part * 32, at + 64 + 8 * 32 + part * body, low, high);
    }
    if (type == QUANT_Q4_1 || type == QUANT_Q5_1) {
        at = i * (64 + body);
        return matrix_slice_of(at, at, at + 64, low, high);
    }
    at = i / 2 * (64 + 2 * body);
    return matrix_slice_of(at, at + part * 32, at + 64 + part * body, low, high);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* quant.h - how GGUF stores weights: the block of each type, and how it is read.
 *
 * Every quantised type is read through one view, the slice: 32 neighbouring values of a row as small
 * integers, with the scales that turn them back into numbers. Packing and dequantising both use it, so
 * the bit layout of a type is written down once. */
#ifndef TELEX_QUANT_H
#define TELEX_QUANT_H

#include <stddef.h>
#include <stdint.h>

/* Numbered as in the file. */
enum quant_type {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_BF16 = 30,
};

/* How a slice's integers become numbers. */
enum quant_form {
    QUANT_FORM_FLOAT,  /* no integers at all */
    QUANT_FORM_OFFSET, /* d * (q - offset) */
    QUANT_FORM_MIN,    /* d * q + m */
    QUANT_FORM_K,      /* (d * sc[0]) * q - m * mn */
    QUANT_FORM_K6,     /* (d * sc[i / 16]) * (q - 32) */
};

enum { QUANT_SLICE = 32, QUANT_SUPER = 256 };

struct quant_info {
    const char *name;
    enum quant_form form;
    uint8_t bits;          /* of one integer; 8 means signed bytes */
    uint8_t offset;        /* FORM_OFFSET and K6: what is subtracted */
    uint16_t block_values; /* 1, 32 or 256 */
    uint16_t block_bytes;
};

struct quant_slice {
    uint8_t q[QUANT_SLICE]; /* `bits` wide; for 8 bits the byte of an int8_t */
    uint16_t d, m;          /* f16: scale and minimum (FORM_K: d and dmin of the super-block) */
    int8_t sc[2];           /* K: sc[0] is 0..63; K6: one per 16 values */
    uint8_t mn;             /* K: 0..63 */
};

/* NULL for a type that this build does not read. */
const struct quant_info *quant_info(uint32_t type);
/* The type's name, also of known types that are not read; "number N" is written as "unknown". */
const char *quant_name(uint32_t type);
/* The types read, for error messages: "F32, F16, ...". */
const char *quant_list(void);

/* Bytes of a row of n values; n is a multiple of block_values. */
size_t quant_row_bytes(const struct quant_info *info, size_t n);

/* Read slice i of a row of a quantised type (form is not FLOAT). */
void quant_read_slice(uint32_t type, const uint8_t *row, size_t i, struct quant_slice *slice);

/* out[0..n) = the numbers of a row. Exact: what every other implementation of the type computes in f32. */
void quant_dequantise(uint32_t type, const uint8_t *row, float *out, size_t n);

float quant_f16(uint16_t bits);
float quant_bf16(uint16_t bits);
/* Round to nearest even, overflow to infinity. */
uint16_t quant_to_f16(float value);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* quant.c - see quant.h. The block layouts are those of the GGUF format: 32 values with f16 scales for the
 * older types; 256 values with 6-bit or 8-bit sub-scales for the K types. */
#include "quant.h"

#include <string.h>

/* Offsets of the parts within a block. */
enum {
    Q4_K_SCALES = 4,
    Q4_K_QS = 16,
    Q5_K_QH = 16,
    Q5_K_QS = 48,
    Q6_K_QH = 128,
    Q6_K_SCALES = 192,
    Q6_K_D = 208,
};

static const struct quant_info infos[] = {
    [QUANT_F32] = {"F32", QUANT_FORM_FLOAT, 32, 0, 1, 4},
    [QUANT_F16] = {"F16", QUANT_FORM_FLOAT, 16, 0, 1, 2},
    [QUANT_Q4_0] = {"Q4_0", QUANT_FORM_OFFSET, 4, 8, 32, 18},
    [QUANT_Q4_1] = {"Q4_1", QUANT_FORM_MIN, 4, 0, 32, 20},
    [QUANT_Q5_0] = {"Q5_0", QUANT_FORM_OFFSET, 5, 16, 32, 22},
    [QUANT_Q5_1] = {"Q5_1", QUANT_FORM_MIN, 5, 0, 32, 24},
    [QUANT_Q8_0] = {"Q8_0", QUANT_FORM_OFFSET, 8, 0, 32, 34},
    [QUANT_Q4_K] = {"Q4_K", QUANT_FORM_K, 4, 0, 256, 144},
    [QUANT_Q5_K] = {"Q5_K", QUANT_FORM_K, 5, 0, 256, 176},
    [QUANT_Q6_K] = {"Q6_K", QUANT_FORM_K6, 6, 32, 256, 210},
    [QUANT_BF16] = {"BF16", QUANT_FORM_FLOAT, 16, 0, 1, 2},
};

/* Known by name only, so that an error can say what the file holds. */
static const char *const other_names[] = {
    [9] = "Q8_1",     [10] = "Q2_K",  [11] = "Q3_K",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS",
    [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS",
    [24] = "I8",      [25] = "I16",   [26] = "I32",    [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",
    [34] = "TQ1_0",   [35] = "TQ2_0", [39] = "MXFP4",
};

const struct quant_info *quant_info(uint32_t type) {
    if (type >= sizeof(infos) / sizeof(infos[0]) || !infos[type].name)
        return NULL;
    return &infos[type];
}

const char *quant_name(uint32_t type) {
    const struct quant_info *info = quant_info(type);

    if (info)
        return info->name;
    if (type < sizeof(other_names) / sizeof(other_names[0]) && other_names[type])
        return other_names[type];
    return "unknown";
}

const char *quant_list(void) {
    return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K";
}

size_t quant_row_bytes(const struct quant_info *info, size_t n) {
    return n / info->block_values * info->block_bytes;
}

static uint16_t load_u16(const uint8_t *at) {
    uint16_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static float float_of(uint32_t bits) {
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

float quant_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 31, fraction = bits & 0x3ffu;

    if (exponent == 31)
        return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0)
        return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t quant_to_f16(float value) {
    uint32_t bits, sign, low;
    float small;

    memcpy(&bits, &value, sizeof(bits));
    sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (bits >= 0x477ff000u) /* rounds to 2^16 or more */
        return (uint16_t)(sign | 0x7c00u);
    if (bits < 0x38800000u) { /* subnormal: let the adder round at 2^-24 */
        small = float_of(bits) + 0.5f;
        memcpy(&low, &small, sizeof(low));
        return (uint16_t)(sign | (low - 0x3f000000u));
    }
    bits += 0xfffu + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

float quant_bf16(uint16_t bits) {
    return float_of((uint32_t)bits << 16);
}

/* 16 bytes hold values 0..15 in their low nibbles and 16..31 in their high ones. */
static void read_nibbles(const uint8_t *qs, uint8_t q[QUANT_SLICE]) {
    for (int j = 0; j < 16; j++) {
        q[j] = qs[j] & 15;
        q[j + 16] = qs[j] >> 4;
    }
}

static void add_fifth_bits(const uint8_t *qh, uint8_t q[QUANT_SLICE]) {
    for (int j = 0; j < 32; j++)
        q[j] |= (uint8_t)((qh[j / 8] >> (j % 8) & 1) << 4);
}

/* The 6-bit scale and minimum of slice i, out of the 12 bytes that hold eight of each. */
static void read_k_scales(const uint8_t *s, size_t i, struct quant_slice *slice) {
    if (i < 4) {
        slice->sc[0] = (int8_t)(s[i] & 63);
        slice->mn = s[i + 4] & 63;
    } else {
        slice->sc[0] = (int8_t)((s[i + 4] & 15) | (s[i - 4] >> 6) << 4);
        slice->mn = (uint8_t)(s[i + 4] >> 4 | (s[i] >> 6) << 4);
    }
}

/* Slices 2j and 2j+1 are the low and high nibbles of the same 32 bytes. */
static void read_k(const uint8_t *block, size_t i, size_t qs_at, struct quant_slice *slice) {
    const uint8_t *qs = block + qs_at + i / 2 * 32;
    int shift = i % 2 ? 4 : 0;

    slice->d = load_u16(block);
    slice->m = load_u16(block + 2);
    read_k_scales(block + Q4_K_SCALES, i, slice);
    for (int j = 0; j < 32; j++)
        slice->q[j] = qs[j] >> shift & 15;
}

static void read_q6_k(const uint8_t *block, size_t i, struct quant_slice *slice) {
    size_t half = i / 4, part = i % 4; /* 128 values a half, 32 a part */
    const uint8_t *ql = block + half * 64 + part % 2 * 32;
    const uint8_t *qh = block + Q6_K_QH + half * 32;
    int low = part / 2 ? 4 : 0, high = (int)part * 2;

    for (int j = 0; j < 32; j++)
        slice->q[j] = (uint8_t)((ql[j] >> low & 15) | (qh[j] >> high & 3) << 4);
    slice->sc[0] = (int8_t)block[Q6_K_SCALES + half * 8 + part * 2];
    slice->sc[1] = (int8_t)block[Q6_K_SCALES + half * 8 + part * 2 + 1];
    slice->d = load_u16(block + Q6_K_D);
}

void quant_read_slice(uint32_t type, const uint8_t *row, size_t i, struct quant_slice *slice) {
    const struct quant_info *info = &infos[type];
    size_t per_block = info->block_values / QUANT_SLICE;
    const uint8_t *block = row + i / per_block * info->block_bytes;
    size_t part = i % per_block;

    memset(slice, 0, sizeof(*slice));
    switch (type) {
    case QUANT_Q4_0:
        slice->d = load_u16(block);
        read_nibbles(block + 2, slice->q);
        break;
    case QUANT_Q4_1:
        slice->d = load_u16(block);
        slice->m = load_u16(block + 2);
        read_nibbles(block + 4, slice->q);
        break;
    case QUANT_Q5_0:
        slice->d = load_u16(block);
        read_nibbles(block + 6, slice->q);
        add_fifth_bits(block + 2, slice->q);
        break;
    case QUANT_Q5_1:
        slice->d = load_u16(block);
        slice->m = load_u16(block + 2);
        read_nibbles(block + 8, slice->q);
        add_fifth_bits(block + 4, slice->q);
        break;
    case QUANT_Q8_0:
        slice->d = load_u16(block);
        memcpy(slice->q, block + 2, QUANT_SLICE);
        break;
    case QUANT_Q4_K:
        read_k(block, part, Q4_K_QS, slice);
        break;
    case QUANT_Q5_K:
        read_k(block, part, Q5_K_QS, slice);
        for (int j = 0; j < 32; j++)
            slice->q[j] |= (uint8_t)((block[Q5_K_QH + j] >> part & 1) << 4);
        break;
    case QUANT_Q6_K:
        read_q6_k(block, part, slice);
        break;
    default:
        break;
    }
}

static void dequantise_slice(const struct quant_info *info, const struct quant_slice *s, float *out) {
    float d = quant_f16(s->d), m = quant_f16(s->m);

    for (int j = 0; j < QUANT_SLICE; j++) {
        int q = info->bits == 8 ? (int8_t)s->q[j] : s->q[j];

        switch (info->form) {
        case QUANT_FORM_MIN:
            out[j] = d * (float)q + m;
            break;
        case QUANT_FORM_K:
            out[j] = d * (float)s->sc[0] * (float)q - m * (float)s->mn;
            break;
        case QUANT_FORM_K6:
            out[j] = d * (float)s->sc[j / 16] * (float)(q - info->offset);
            break;
        default:
            out[j] = d * (float)(q - info->offset);
        }
    }
}

void quant_dequantise(uint32_t type, const uint8_t *row, float *out, size_t n) {
    struct quant_slice slice;

    if (type == QUANT_F32) {
        memcpy(out, row, n * sizeof(float));
        return;
    }
    if (type == QUANT_F16 || type == QUANT_BF16) {
        for (size_t i = 0; i < n; i++)
            out[i] = type == QUANT_F16 ? quant_f16(load_u16(row + 2 * i)) : quant_bf16(load_u16(row + 2 * i));
        return;
    }
    for (size_t i = 0; i < n / QUANT_SLICE; i++) {
        quant_read_slice(type, row, i, &slice);
        dequantise_slice(&infos[type], &slice, out + i * QUANT_SLICE);
    }
}

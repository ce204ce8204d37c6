/* SPDX-License-Identifier: Apache-2.0 */
/* kargs.h - what kernels are given: structs shared by C, the device and the emulation.
 *
 * A kernel takes one struct by value. Pointers in it are the device's and stay the same for the life of a
 * context, so that a captured graph never changes; everything that differs from batch to batch lies in struct
 * batch_head, which one copy refreshes. Every output has one writer. Shapes are (rows, columns). */
#ifndef TELEX_KARGS_H
#define TELEX_KARGS_H

#include <stdint.h>

enum {
    LANES = 32,           /* rows of a matrix that lie side by side, a lane each */
    PARTS = 16,           /* partial sums of a product: slice i belongs to part i % PARTS */
    SLICE = 32,           /* columns with one scale */
    ACT_BASE = 254,       /* a two-term activation is d * (254 * q[0] + q[1]) */
    SPLIT = 256,          /* positions of one attention split */
    PAGE = 64,            /* positions of one page */
    MAX_HEAD_DIM = 512,   /* of a head */
    MAX_ROWS = 512,       /* of a batch */
    MAX_ASKED = 16,       /* rows that one pass of the head computes */
    MAX_QUERIES = 8,      /* (row, head) pairs that share one load of keys and values */
    PRODUCT_THREADS = 512 /* of a block that multiplies: a warp for each part */
};

/* How a slice's integers become numbers; the forms of quant.h, and floats. */
enum weight_form { FORM_D, FORM_K, FORM_K6, FORM_F32, FORM_F16, FORM_BF16 };

/* A matrix on the device. Rows lie 32 to a group, one lane each; a group is its slices, one chunk after the
 * other, and for the K forms then a head for each eight of them: (f16 d, f16 dmin) of 32 lanes. A chunk: 16
 * bytes of low bits a lane (word t: columns 4t..4t+3 in the low nibbles, 16+4t.. in the high ones), or two
 * planes of 16 bytes for 8-bit integers, columns 0..15 and 16..31; then the fifth bits, a word a lane (byte
 * b, bit g: column 4g + b), or the fifth and sixth, two words (byte b, bits 2 (g % 4) of word g / 4); then
 * the scales of 32 lanes: f16 d, then f16 m where the type has one; K: (u8 sc, u8 mn); K6: (i8 sc0, i8 sc1).
 * Floats: planes of 16 bytes a lane, columns ascending. */
struct dmatrix {
    const uint8_t *data;
    uint32_t n_rows;   /* rows that hold weights or padding: a multiple of 32 */
    uint32_t n_cols;   /* a multiple of 32 */
    uint32_t n_slices; /* n_cols / 32 */
    uint32_t chunk_bytes;
    uint64_t group_bytes;
    uint8_t form, bits, offset, has_min;
    uint32_t padding;
};

/* Rows of activations. */
struct act_meta {
    float d, s;     /* scale; d * the sum of the integers */
    int16_t sum[4]; /* of the integers: term 0 columns 0..15, 16..31, term 1 likewise */
};
struct dacts {
    float *f32;            /* (rows, n_cols) */
    int8_t *q;             /* (rows, n_slices, terms, 32) */
    struct act_meta *meta; /* (rows, n_slices) */
    uint32_t n_cols, n_slices, terms, padding;
};

/* A batch as the device sees it: this head, then arrays at byte offsets from it. */
struct batch_head {
    uint32_t n;       /* rows */
    uint32_t n_asked; /* rows that the head computes */
    uint32_t n_tiles;
    uint32_t table_stride; /* pages in a row of the page table */
    uint32_t rows_at;      /* struct batch_row [n] */
    uint32_t tiles_at;     /* struct batch_tile [n_tiles] */
    uint32_t table_at;     /* uint32_t (sequences, table_stride) */
    uint32_t turn_at[2];   /* float (n, rope_dim): cosine and sine of each pair; global and local layers */
    uint32_t asked_at;     /* struct batch_ask [n_asked] */
    uint32_t need_at;      /* uint32_t [groups of the head / 32]: bit g: some row asks for group g */
    uint32_t ids_at;       /* int32_t: the ids of SUBSET rows, one row after the other */
    uint32_t mask_at;      /* uint32_t (masks, words of the vocabulary) */
    uint32_t seen_at;      /* int32_t: the ids of penalties, one row after the other */
    uint32_t n_ids;        /* in all */
    uint32_t padding;
};
struct batch_row {
    int32_t token;
    uint32_t pos;
    uint32_t table; /* row of the page table */
};
/* Neighbouring rows of one sequence, ascending in position. */
struct batch_tile {
    uint32_t first, n;
};
enum { ASKED_LOGITS, ASKED_SUBSET, ASKED_SAMPLE };
struct batch_ask {
    uint32_t row; /* of the batch */
    uint32_t kind;
    uint32_t first_id, n_ids; /* SUBSET: of the array of ids */
    int32_t mask;             /* row of the array of masks, or -1 */
    uint32_t first_seen, n_seen, top_k;
    float temperature, top_p, min_p, repeat_penalty;
    uint64_t seed, counter;
};

/* What a batch gives back, in one copy: this, then the SUBSET logits in the order of their ids. */
struct batch_result {
    int32_t id[MAX_ASKED]; /* SAMPLE */
    uint32_t n_bad;        /* groups of the head that hold a number which is none, or infinite */
    uint32_t padding[3];
};

#define BATCH_AT(type, batch, offset)                                                                        \
    ((const type *)(const void *)((const uint8_t *)(const void *)(batch) + (batch)->offset))

struct embed_args {
    const struct batch_head *batch;
    struct dmatrix table;
    float *x; /* (rows, n_embd) */
    float scale;
    uint32_t padding;
};

/* h = rmsnorm(x) * w, as floats and integers. With `add` (post norms) y is normed and added: x += rmsnorm(y)
 * * w. */
struct norm_args {
    const struct batch_head *batch;
    const float *x;  /* (rows, n) */
    const float *w;  /* (n) */
    float *add;      /* (rows, n), or NULL */
    struct dacts to; /* not with add */
    float eps;
    uint32_t n, only_asked; /* 1: row i of `to` is the row of the batch that asks i-th */
    uint32_t padding;
};

/* One head a block: q, k, v = W h (+ b); q and k normed and turned; k and v appended. */
struct qkv_args {
    const struct batch_head *batch;
    struct dmatrix m[3];  /* q, k, v; each head padded to whole groups */
    const float *bias[3]; /* (heads * head_dim), or NULL */
    const float *norm[2]; /* (head_dim), or NULL: of q, of k */
    const float *raw[3];  /* (rows, heads * head_dim padded): products already there, or NULL */
    struct dacts h;
    float *q; /* (rows, heads * head_dim) */
    uint8_t
        *kv; /* pages of this layer: key of kv head j at j * 2 * PAGE * head_dim halves, then its values */
    uint64_t page_bytes; /* from a page to the next one */
    uint32_t n_heads, n_kv_heads, head_dim, rope_dim;
    uint32_t rope_halves, turn; /* which of turn_at */
    float eps;
    uint32_t padding;
};

/* softmax(q k' * scale) v of up to 8 queries over one split, or over all of them (merge). */
struct attend_args {
    const struct batch_head *batch;
    const float *q;    /* (rows, heads * head_dim) */
    const uint8_t *kv; /* as qkv_args */
    float *o;  /* merge: (rows, heads * head_dim); else (rows, heads, splits, head_dim), not divided */
    float *ml; /* (rows, heads, splits, 2): maximum and sum; not with merge */
    uint64_t page_bytes;
    uint32_t n_heads, n_kv_heads, head_dim, n_splits; /* n_splits: how many o has room for */
    uint32_t window;                                  /* positions seen, the row's own included; 0: all */
    uint32_t merge;
    float scale;
    uint32_t padding;
};

/* h = the splits put together, as floats and integers. */
struct combine_args {
    const struct batch_head *batch;
    const float *o, *ml;
    struct dacts to; /* (rows, heads * head_dim) */
    uint32_t n_heads, head_dim, n_splits, window;
};

/* Integers of rows whose floats are there. */
struct quantise_args {
    const struct batch_head *batch;
    struct dacts acts;
};

/* y (+)= W h; with `need`, groups that no row needs are left out. */
struct product_args {
    const struct batch_head *batch;
    struct dmatrix m;
    struct dacts h;
    float *y;         /* (rows, stride) */
    uint32_t stride;  /* floats from a row of y to the next */
    uint32_t n_rows;  /* rows of the matrix that are no padding */
    uint32_t add;     /* 1: y += */
    uint32_t is_head; /* 1: columns are the rows that ask; groups by need; *bad is written */
    uint8_t *bad;     /* (groups): 1 where a number is none, or infinite */
};

/* g = act(Wg h) * (Wu h), as floats and integers; a block makes one slice. */
struct gate_up_args {
    const struct batch_head *batch;
    struct dmatrix gate, up;
    const float *raw[2]; /* (rows, n_ff): products already there, or NULL */
    struct dacts h, to;
    uint32_t gelu, padding;
};

struct finish_args {
    const struct batch_head *batch;
    const uint8_t *bad;  /* (groups) */
    const float *logits; /* (asked, n_vocab) */
    struct batch_result *result;
    float *some; /* the SUBSET logits */
    uint32_t n_groups, n_vocab;
};

struct sample_args {
    const struct batch_head *batch;
    const float *logits; /* (asked, n_vocab) */
    struct batch_result *result;
    uint64_t *order; /* (asked, 3, n_vocab): candidates, for penalty, top-k, top-p and min-p */
    uint32_t n_vocab, padding;
};

/* Positions [from, to) of one page to another, all layers. */
struct page_copy_args {
    uint8_t *pages;
    uint64_t page_bytes;
    uint32_t dst, src, from, to;
    uint32_t n_heads; /* layers * kv heads */
    uint32_t head_dim;
};

/* Rows of a matrix, or of activations, as bf16 for cuBLAS: (rows, n_cols). */
struct unpack_args {
    struct dmatrix m;
    const float *f32; /* not NULL: these rows instead of the matrix's */
    uint16_t *out;
    uint32_t first, n_rows, n_cols, padding;
};

struct copy_args {
    const uint8_t *from;
    uint8_t *to;
    uint64_t n; /* of 16 bytes */
};

/* Weights out of nothing, for benchmarks: bytes from a counter, scales set so that sums stay small. */
struct synth_args {
    struct dmatrix m;
    uint8_t *data;
    uint32_t seed, padding;
};

#endif

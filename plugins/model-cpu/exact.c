/* SPDX-License-Identifier: Apache-2.0 */
/* exact.c - the arithmetic of a forward pass in float32: what the other kernels are measured by.
 *
 * Activations stay floats, weights are dequantised as they are read, keys and values are kept in float32, and
 * sums that are short enough not to matter run in double. Compiled once for each path (TELEX_EXACT names the
 * table), like kernels.c, and with the same promise: the order of every sum is fixed by the shapes alone. It
 * is some ten times slower. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "simd.h"

enum { CHUNK = 1024 /* columns that are dequantised at a time */, MAX_ROWS = 512 };

/* ---- norms and activations ---- */

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    double sum = 0.0, scale;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    scale = 1.0 / sqrt(sum / (double)n + (double)eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * scale * (double)w[i]);
}

static void swiglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++)
        gate[i] = (float)((double)gate[i] / (1.0 + exp(-(double)gate[i])) * (double)up[i]);
}

static void geglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const double g = (double)gate[i], u = sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);

        gate[i] = (float)(0.5 * g * (1.0 + tanh(u)) * (double)up[i]);
    }
}

/* Products read acts->f32. */
static void quantise(struct acts *acts, uint32_t row, uint32_t first, uint32_t n) {
    (void)acts, (void)row, (void)first, (void)n;
}

/* ---- matrix products ---- */

/* One row of the matrix times n rows of activations, at most MAX_ROWS, n_cols apart. */
static void row_times_acts(const struct matrix *m, uint32_t row, const float *x, uint32_t n, float *out) {
    vf acc[MAX_ROWS];
    float w[CHUNK];

    for (uint32_t t = 0; t < n; t++)
        acc[t] = vf_zero();
    for (uint32_t at = 0; at < m->n_cols; at += CHUNK) {
        const uint32_t width = m->n_cols - at < CHUNK ? m->n_cols - at : CHUNK;

        matrix_read_slices(m, row, at / QUANT_SLICE, width / QUANT_SLICE, w);
        for (uint32_t t = 0; t < n; t++)
            for (uint32_t k = 0; k < width; k += 16)
                acc[t] = vf_fma(vf_load(w + k), vf_load(x + (size_t)t * m->n_cols + at + k), acc[t]);
    }
    for (uint32_t t = 0; t < n; t++)
        out[t] = vf_sum(acc[t]);
}

static void matmul(const struct matrix *m, uint32_t first, uint32_t n, const struct acts *acts,
                   const struct product *to) {
    const uint32_t begin = first * MATRIX_LANES;
    const uint32_t end = (first + n) * MATRIX_LANES < m->n_rows ? (first + n) * MATRIX_LANES : m->n_rows;
    float out[MAX_ROWS];

    for (uint32_t row = begin; row < end; row++)
        for (uint32_t t = 0; t < acts->n_rows; t += MAX_ROWS) {
            const uint32_t some = acts->n_rows - t < MAX_ROWS ? acts->n_rows - t : MAX_ROWS;

            row_times_acts(m, row, acts->f32 + (size_t)t * m->n_cols, some, out);
            for (uint32_t i = 0; i < some; i++) {
                float *y = to->y + (size_t)(t + i) * to->stride + row;
                const float sum = to->bias ? out[i] + to->bias[row] : out[i];

                *y = to->add ? *y + sum : sum;
            }
        }
}

/* ---- attention; pages are laid out as everywhere, in float32 ---- */

static void key_put(void *page, uint32_t at, const float *key, uint32_t head_dim) {
    float *tile = (float *)page + (size_t)(at / KV_TILE) * KV_TILE * head_dim;

    for (uint32_t d = 0; d < head_dim; d++)
        tile[d * KV_TILE + at % KV_TILE] = key[d];
}

static void value_put(void *page, uint32_t at, const float *value, uint32_t head_dim) {
    for (uint32_t d = 0; d < head_dim; d += 16)
        memcpy((float *)page + (size_t)d * KV_PAGE + 16 * at, value + d, 16 * sizeof(float));
}

/* scores[p] = q . k[p] * scale for the 16 positions of one tile */
static void score_tile(const float *q, const float *tile, uint32_t head_dim, float scale, float *scores) {
    vf acc = vf_zero();

    for (uint32_t d = 0; d < head_dim; d++)
        acc = vf_fma(vf_all(q[d]), vf_load(tile + (size_t)d * KV_TILE), acc);
    vf_store(scores, vf_mul(acc, vf_all(scale)));
}

static void softmax(float *scores, uint32_t first, uint32_t n) {
    float most = -INFINITY;
    double sum = 0.0;

    for (uint32_t i = first; i < n; i++)
        most = scores[i] > most ? scores[i] : most;
    for (uint32_t i = first; i < n; i++)
        sum += exp((double)(scores[i] - most));
    for (uint32_t i = first; i < n; i++)
        scores[i] = (float)(exp((double)(scores[i] - most)) / sum);
}

static void attend_head(const struct attend *job, uint32_t head) {
    const float *q = job->q + (size_t)head * job->head_dim;
    float *out = job->out + (size_t)head * job->head_dim;
    float *scores = job->scores + (size_t)head * job->score_stride;

    for (uint32_t p = job->skip / KV_TILE * KV_TILE; p < job->n; p += KV_TILE)
        score_tile(q, (const float *)job->k[p / KV_PAGE] + (size_t)(p % KV_PAGE) * job->head_dim,
                   job->head_dim, job->scale, scores + p);
    softmax(scores, job->skip, job->n);
    for (uint32_t d = 0; d < job->head_dim; d += 16) {
        vf acc = vf_zero();

        for (uint32_t p = job->skip; p < job->n; p++) {
            const float *v = (const float *)job->v[p / KV_PAGE] + (size_t)d * KV_PAGE + 16 * (p % KV_PAGE);

            acc = vf_fma(vf_all(scores[p]), vf_load(v), acc);
        }
        vf_store(out + d, acc);
    }
}

static void attend(const struct attend *job) {
    for (uint32_t head = 0; head < job->n_heads; head++)
        attend_head(job, head);
}

const struct kernels TELEX_EXACT = {
    .name = TELEX_KERNELS_NAME " exact",
    .kv_value_bytes = sizeof(float),
    .rmsnorm = rmsnorm,
    .quantise = quantise,
    .matmul = matmul,
    .swiglu = swiglu,
    .geglu = geglu,
    .attend = attend,
    .key_put = key_put,
    .value_put = value_put,
};

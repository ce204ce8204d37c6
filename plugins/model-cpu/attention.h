/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h - the part of kernels.c that reads and writes keys and values. Only kernels.c includes it. */
#ifndef TELEX_ATTENTION_H
#define TELEX_ATTENTION_H

static void key_put(uint16_t *page, uint32_t at, const float *key, uint32_t head_dim) {
    uint16_t *tile = page + (size_t)(at / KV_TILE) * KV_TILE * head_dim;

    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint16_t half[16];

        vf_store_f16(half, vf_load(key + d));
        for (uint32_t i = 0; i < 16; i++)
            tile[(d + i) * KV_TILE + at % KV_TILE] = half[i];
    }
}

static void value_put(uint16_t *page, uint32_t at, const float *value, uint32_t head_dim) {
    for (uint32_t d = 0; d < head_dim; d += 16)
        vf_store_f16(page + (size_t)d * KV_PAGE + 16 * at, vf_load(value + d));
}

/* scores[h][p] = q[h] . k[p] * scale for the 16 positions of one tile. heads is a constant. */
FORCE_INLINE void score_tile(int heads, const struct attend *job, uint32_t head, const uint16_t *tile,
                             float *scores) {
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_zero();
    for (uint32_t d = 0; d < job->head_dim; d++) {
        const vf k = vf_load_f16(tile + (size_t)d * KV_TILE);

        for (int h = 0; h < heads; h++)
            acc[h] = vf_fma(vf_all(job->q[(head + (uint32_t)h) * job->head_dim + d]), k, acc[h]);
    }
    for (int h = 0; h < heads; h++)
        vf_store(scores + (head + (uint32_t)h) * job->score_stride, vf_mul(acc[h], vf_all(job->scale)));
}

/* out[h][d..d+16) += p[h][first..n) . v for these positions of one page. heads is a constant. */
FORCE_INLINE void value_page(int heads, const struct attend *job, uint32_t head, const uint16_t *v,
                             uint32_t d, uint32_t first, uint32_t n, const float *p) {
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_load(job->out + (head + (uint32_t)h) * job->head_dim + d);
    for (uint32_t i = first; i < n; i++) {
        const vf value = vf_load_f16(v + (size_t)d * KV_PAGE + 16 * i);

        for (int h = 0; h < heads; h++)
            acc[h] = vf_fma(vf_all(p[(head + (uint32_t)h) * job->score_stride + i]), value, acc[h]);
    }
    for (int h = 0; h < heads; h++)
        vf_store(job->out + (head + (uint32_t)h) * job->head_dim + d, acc[h]);
}

/* scores = exp(scores - most) over [skip, n), and 0 in the rest of the first and last sixteen; returns 1 /
 * sum.
 */
static float softmax(float *scores, uint32_t skip, uint32_t n) {
    const uint32_t begin = skip / 16 * 16, end = (n + 15) / 16 * 16;
    vf most = vf_all(-INFINITY), sum = vf_zero();

    for (uint32_t i = begin; i < skip; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = n; i < end; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = begin; i < end; i += 16)
        most = vf_max(most, vf_load(scores + i));
    most = vf_all(vf_largest(most));
    for (uint32_t i = begin; i < end; i += 16) {
        vf_store(scores + i, exp_lanes(vf_sub(vf_load(scores + i), most)));
        for (uint32_t j = i; j < skip && j < i + 16; j++)
            scores[j] = 0.0f;
        for (uint32_t j = n; j < end && j >= i && j < i + 16; j++)
            scores[j] = 0.0f;
        sum = vf_add(sum, vf_load(scores + i));
    }
    return 1.0f / vf_sum(sum);
}

FORCE_INLINE void attend_heads(int heads, const struct attend *job, uint32_t head) {
    const uint32_t begin = job->skip / KV_TILE * KV_TILE;

    for (uint32_t p = begin; p < job->n; p += KV_TILE) {
        const uint16_t *tile = job->k[p / KV_PAGE] + (size_t)(p % KV_PAGE) * job->head_dim;

        score_tile(heads, job, head, tile, job->scores + p);
    }
    for (int h = 0; h < heads; h++) {
        float *scores = job->scores + (head + (uint32_t)h) * job->score_stride;
        const vf inverse = vf_all(softmax(scores, job->skip, job->n));

        for (uint32_t i = begin; i < job->n; i += 16)
            vf_store(scores + i, vf_mul(vf_load(scores + i), inverse));
        memset(job->out + (head + (uint32_t)h) * job->head_dim, 0, job->head_dim * sizeof(float));
    }
    for (uint32_t p = 0; p < job->n; p += KV_PAGE) {
        const uint32_t n = job->n - p < KV_PAGE ? job->n - p : KV_PAGE;

        for (uint32_t d = 0; d < job->head_dim; d += 16)
            value_page(heads, job, head, job->v[p / KV_PAGE], d, p == 0 ? job->skip : 0, n, job->scores + p);
    }
}

static void attend(const struct attend *job) {
    uint32_t head = 0;

    while (head < job->n_heads) {
        const uint32_t left = job->n_heads - head;

        if (left >= 6) {
            attend_heads(6, job, head);
            head += 6;
        } else if (left >= 3) {
            attend_heads(3, job, head);
            head += 3;
        } else if (left >= 2) {
            attend_heads(2, job, head);
            head += 2;
        } else {
            attend_heads(1, job, head);
            head += 1;
        }
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h - the part of kernels.c that reads and writes keys and values. Only kernels.c includes it. */
#ifndef TELEX_ATTENTION_H
#define TELEX_ATTENTION_H

/* The scales of a page, one for each position, lie behind its numbers. */
FORCE_INLINE float *scales_of(const void *page, uint32_t head_dim) {
    return (float *)(uintptr_t)((const int8_t *)page + (size_t)KV_PAGE * head_dim);
}

static void key_put_f16(void *page, uint32_t at, const float *key, uint32_t head_dim) {
    uint16_t *tile = (uint16_t *)page + (size_t)(at / KV_TILE) * KV_TILE * head_dim;

    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint16_t half[16];

        vf_store_f16(half, vf_load(key + d));
        for (uint32_t i = 0; i < 16; i++)
            tile[(d + i) * KV_TILE + at % KV_TILE] = half[i];
    }
}

static void value_put_f16(void *page, uint32_t at, const float *value, uint32_t head_dim) {
    for (uint32_t d = 0; d < head_dim; d += 16)
        vf_store_f16((uint16_t *)page + (size_t)d * KV_PAGE + 16 * at, vf_load(value + d));
}

/* The largest of the numbers becomes 127. Returns what they are multiplied by; *scale turns them back. */
static float scale_row(const float *x, uint32_t n, float *scale) {
    vf most = vf_zero();
    float largest;

    for (uint32_t d = 0; d < n; d += 16)
        most = vf_max(most, vf_abs(vf_load(x + d)));
    largest = vf_largest(most);
    *scale = largest / 127.0f;
    return largest > 0.0f ? 127.0f / largest : 0.0f;
}

static void key_put_int8(void *page, uint32_t at, const float *key, uint32_t head_dim) {
    int8_t *tile = (int8_t *)page + (size_t)(at / KV_TILE) * KV_TILE * head_dim;
    const vf inverse = vf_all(scale_row(key, head_dim, scales_of(page, head_dim) + at));

    for (uint32_t d = 0; d < head_dim; d += 16) {
        int8_t q[16];

        vf_store_i8(q, vf_mul(vf_load(key + d), inverse));
        for (uint32_t i = 0; i < 16; i++)
            tile[(d + i) * KV_TILE + at % KV_TILE] = q[i];
    }
}

static void value_put_int8(void *page, uint32_t at, const float *value, uint32_t head_dim) {
    const vf inverse = vf_all(scale_row(value, head_dim, scales_of(page, head_dim) + at));

    for (uint32_t d = 0; d < head_dim; d += 16)
        vf_store_i8((int8_t *)page + (size_t)d * KV_PAGE + 16 * at, vf_mul(vf_load(value + d), inverse));
}

/* Sixteen numbers of a page, from number `i` on. int8 is a constant. */
FORCE_INLINE vf load_kv(bool int8, const void *page, size_t i) {
    return int8 ? vf_load_i8((const int8_t *)page + i) : vf_load_f16((const uint16_t *)page + i);
}

/* scores[h][p..p+16) = q[h] . k[p] * scale for the 16 positions of one tile, p of the page. heads and int8
 * are constants. */
FORCE_INLINE void score_tile(int heads, bool int8, const struct attend *job, uint32_t head, const void *page,
                             uint32_t p, float *scores) {
    const size_t tile = (size_t)p * job->head_dim;
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_zero();
    for (uint32_t d = 0; d < job->head_dim; d++) {
        const vf k = load_kv(int8, page, tile + (size_t)d * KV_TILE);

        for (int h = 0; h < heads; h++)
            acc[h] = vf_fma(vf_all(job->q[(head + (uint32_t)h) * job->head_dim + d]), k, acc[h]);
    }
    for (int h = 0; h < heads; h++) {
        if (int8)
            acc[h] = vf_mul(acc[h], vf_load(scales_of(page, job->head_dim) + p));
        vf_store(scores + (head + (uint32_t)h) * job->score_stride, vf_mul(acc[h], vf_all(job->scale)));
    }
}

/* out[h][d..d+16) += p[h][first..n) . v for these positions of one page. heads and int8 are constants. */
FORCE_INLINE void value_page(int heads, bool int8, const struct attend *job, uint32_t head, const void *v,
                             uint32_t d, uint32_t first, uint32_t n, const float *p) {
    vf acc[8];

    for (int h = 0; h < heads; h++)
        acc[h] = vf_load(job->out + (head + (uint32_t)h) * job->head_dim + d);
    for (uint32_t i = first; i < n; i++) {
        const vf value = load_kv(int8, v, (size_t)d * KV_PAGE + 16 * i);

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

/* Scores to shares of one, those of int8 values times the values' scales. */
FORCE_INLINE void weigh(bool int8, const struct attend *job, float *scores) {
    const vf inverse = vf_all(softmax(scores, job->skip, job->n));

    for (uint32_t i = job->skip / 16 * 16; i < job->n; i += 16) {
        vf share = vf_mul(vf_load(scores + i), inverse);

        if (int8)
            share = vf_mul(share, vf_load(scales_of(job->v[i / KV_PAGE], job->head_dim) + i % KV_PAGE));
        vf_store(scores + i, share);
    }
}

FORCE_INLINE void attend_heads(int heads, bool int8, const struct attend *job, uint32_t head) {
    for (uint32_t p = job->skip / KV_TILE * KV_TILE; p < job->n; p += KV_TILE)
        score_tile(heads, int8, job, head, job->k[p / KV_PAGE], p % KV_PAGE, job->scores + p);
    for (int h = 0; h < heads; h++) {
        weigh(int8, job, job->scores + (head + (uint32_t)h) * job->score_stride);
        memset(job->out + (head + (uint32_t)h) * job->head_dim, 0, job->head_dim * sizeof(float));
    }
    for (uint32_t p = 0; p < job->n; p += KV_PAGE) {
        const uint32_t n = job->n - p < KV_PAGE ? job->n - p : KV_PAGE;

        for (uint32_t d = 0; d < job->head_dim; d += 16)
            value_page(heads, int8, job, head, job->v[p / KV_PAGE], d, p == 0 ? job->skip : 0, n,
                       job->scores + p);
    }
}

FORCE_INLINE void attend(bool int8, const struct attend *job) {
    uint32_t head = 0;

    while (head < job->n_heads) {
        const uint32_t left = job->n_heads - head;

        if (left >= 6) {
            attend_heads(6, int8, job, head);
            head += 6;
        } else if (left >= 3) {
            attend_heads(3, int8, job, head);
            head += 3;
        } else if (left >= 2) {
            attend_heads(2, int8, job, head);
            head += 2;
        } else {
            attend_heads(1, int8, job, head);
            head += 1;
        }
    }
}

static void attend_f16(const struct attend *job) {
    attend(false, job);
}

static void attend_int8(const struct attend *job) {
    attend(true, job);
}

#endif

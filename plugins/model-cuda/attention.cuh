/* SPDX-License-Identifier: Apache-2.0 */
/* attention.cuh - queries, keys and values: a head of q, k, v; softmax over splits of 256 positions; the
 * splits joined.
 *
 * A page holds, for each layer and kv head, keys as (head_dim / 8, 64 positions, 8) and values as (64,
 * head_dim), in f16. A key's dot product runs over ascending dimensions; a value sum over positions that lie
 * one stride apart, then over those sums; splits are joined in ascending order. None of that depends on the
 * batch, on the tile, or on whether one block walks all splits or each has its own. */
#ifndef TELEX_ATTENTION_CUH
#define TELEX_ATTENTION_CUH

#include "product.cuh"

DEVICE float no_score(void) {
    return bits_float(0xff800000u);
}

/* ---- q, k, v ---- */

DEVICE uint32_t padded_head(uint32_t head_dim) {
    return (head_dim + LANES - 1) / LANES * LANES;
}

/* Where a head of k (side 0) or v (side 1) keeps position `pos`. */
DEVICE uint8_t *kv_at(const qkv_args &k, uint32_t row, uint32_t head, uint32_t side) {
    const batch_row r = BATCH_AT(batch_row, k.batch, rows_at)[row];
    const uint32_t page =
        BATCH_AT(uint32_t, k.batch, table_at)[r.table * k.batch->table_stride + r.pos / PAGE];

    return k.kv + page * k.page_bytes + (static_cast<uint64_t>(head) * 2 + side) * PAGE * k.head_dim * 2;
}

DEVICE void put_half(uint8_t *at, float x) {
    *reinterpret_cast<uint16_t *>(at) = float_half(x);
}

/* Element i of a head, biased and normed. */
struct head_value {
    const float *x, *bias, *norm;
    float scale;
};
DEVICE float value_of(const head_value &v, uint32_t i) {
    float x = v.x[i];

    if (v.bias)
        x = x + v.bias[i];
    return v.norm ? x * v.scale * v.norm[i] : x;
}

/* Store element i of a head of kind 0 (q), 1 (k), 2 (v). */
DEVICE void put_value(const qkv_args &k, uint32_t kind, uint32_t head, uint32_t row, uint8_t *place,
                      uint32_t i, float x) {
    const uint32_t pos = BATCH_AT(batch_row, k.batch, rows_at)[row].pos % PAGE;

    if (kind == 0)
        k.q[(static_cast<uint64_t>(row) * k.n_heads + head) * k.head_dim + i] = x;
    else if (kind == 1)
        put_half(place + ((static_cast<uint64_t>(i / 8) * PAGE + pos) * 8 + i % 8) * 2, x);
    else
        put_half(place + (static_cast<uint64_t>(pos) * k.head_dim + i) * 2, x);
}

/* What becomes of one head's product for one row: bias, norm, turn, store. By one warp. */
DEVICE void finish_head(const qkv_args &k, uint32_t kind, uint32_t head, uint32_t row, const float *x) {
    const uint32_t half = k.rope_dim / 2, lane = lane_of();
    const float *turn = BATCH_AT(float, k.batch, turn_at[k.turn]) + static_cast<uint64_t>(row) * k.rope_dim;
    uint8_t *const place = kind == 0 ? nullptr : kv_at(k, row, head, kind - 1);
    head_value v = {x, k.bias[kind], kind < 2 ? k.norm[kind] : nullptr, 1.0f};

    if (v.bias)
        v.bias += head * k.head_dim;
    if (v.norm) {
        const head_value plain = {x, v.bias, nullptr, 1.0f};
        float sum = 0.0f;

        for (uint32_t i = lane; i < k.head_dim; i += 32)
            sum = fma_f(value_of(plain, i), value_of(plain, i), sum);
        v.scale = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(k.head_dim) + k.eps);
    }
    if (kind == 2) {
        for (uint32_t i = lane; i < k.head_dim; i += 32)
            put_value(k, kind, head, row, place, i, value_of(v, i));
        return;
    }
    for (uint32_t i = lane; i < half; i += 32) {
        const uint32_t at = k.rope_halves ? i : 2 * i, other = k.rope_halves ? i + half : 2 * i + 1;
        const float a = value_of(v, at), b = value_of(v, other), c = turn[2 * i], s = turn[2 * i + 1];

        put_value(k, kind, head, row, place, at, a * c - b * s);
        put_value(k, kind, head, row, place, other, a * s + b * c);
    }
    for (uint32_t i = k.rope_dim + lane; i < k.head_dim; i += 32)
        put_value(k, kind, head, row, place, i, value_of(v, i));
}

/* Which of q, k, v a block's head belongs to, and its number there. */
DEVICE uint32_t kind_of(const qkv_args &k, uint32_t block, uint32_t *head) {
    const uint32_t kind = block < k.n_heads ? 0 : block < k.n_heads + k.n_kv_heads ? 1 : 2;

    *head = kind == 0 ? block : kind == 1 ? block - k.n_heads : block - k.n_heads - k.n_kv_heads;
    return kind;
}

/* One head a block in x: heads of q, then of k, then of v; M rows a block in y. */
template <int M> KERNEL BOUNDS(PRODUCT_THREADS, 2) qkv(const qkv_args k) {
    constexpr uint32_t at_once = M <= 2 ? 4 : 1;
    const uint32_t width = padded_head(k.head_dim), row0 = blockIdx.y * M;
    SHARED(float, parts, at_once *parts_floats<M>());
    SHARED(float, out, M *MAX_HEAD_DIM);
    uint32_t head;

    if (row0 >= k.batch->n)
        return;
    const uint32_t kind = kind_of(k, blockIdx.x, &head);
    const dmatrix &m = k.m[kind];
    for (uint32_t g0 = 0; g0 < width / LANES; g0 += at_once) {
        for (uint32_t g = 0; g < at_once && g0 + g < width / LANES; g++)
            multiply<M>(m, head * (width / LANES) + g0 + g, k.h, row0, parts + g * parts_floats<M>());
        sync_block();
        for (uint32_t i = threadIdx.x; i < at_once * M * LANES; i += PRODUCT_THREADS) {
            const uint32_t g = i / (M * LANES), c = i / LANES % M;
            if (g0 + g < width / LANES)
                out[c * MAX_HEAD_DIM + (g0 + g) * LANES + i % LANES] =
                    sum_parts<M>(parts + g * parts_floats<M>(), c, i % LANES);
        }
        sync_block();
    }
    for (uint32_t c = warp_of(); c < M && row0 + c < k.batch->n; c += PRODUCT_THREADS / 32)
        finish_head(k, kind, head, row0 + c, out + c * MAX_HEAD_DIM);
}

/* The same out of products that are there: a head a block in x, a row a warp. */
KERNEL BOUNDS(256, 1) qkv_raw(const qkv_args k) {
    const uint32_t row = blockIdx.y * 8 + warp_of();
    uint32_t head;

    if (row >= k.batch->n)
        return;
    const uint32_t kind = kind_of(k, blockIdx.x, &head), width = padded_head(k.head_dim);
    const uint32_t n_heads = kind == 0 ? k.n_heads : k.n_kv_heads;
    finish_head(k, kind, head, row, k.raw[kind] + (static_cast<uint64_t>(row) * n_heads + head) * width);
}

/* ---- softmax over positions ---- */

enum { ATTEND_THREADS = SPLIT, QUERY_FLOATS = 2048, SUM_FLOATS = 4096 };

/* A block's queries: up to MAX_QUERIES (row, head) pairs of one tile that share a kv head. */
struct queries {
    uint32_t first_row, first, n; /* first: the tile's query number of ours */
    uint32_t group;               /* heads that share a kv head */
    uint32_t kv_head, table, first_pos;
};
DEVICE uint32_t query_row(const queries &q, uint32_t j) {
    return (q.first + j) / q.group;
}
DEVICE uint32_t query_head(const queries &q, uint32_t j) {
    return q.kv_head * q.group + (q.first + j) % q.group;
}
/* Positions that query j sees: [first seen, pos]. */
DEVICE uint32_t query_pos(const queries &q, uint32_t j) {
    return q.first_pos + query_row(q, j);
}

DEVICE void halves(const words4 &v, float x[8]) {
    const uint32_t w[4] = {v.x, v.y, v.z, v.w};
    for (int i = 0; i < 4; i++) {
        x[2 * i] = half_float(w[i] & 0xffffu);
        x[2 * i + 1] = half_float(w[i] >> 16);
    }
}

/* The first split that a row at `pos` sees. */
DEVICE uint32_t first_split(uint32_t window, uint32_t pos) {
    return window != 0 && pos >= window ? (pos - window + 1) / SPLIT : 0;
}

/* The page that holds position pos of the sequence, at this kv head. */
DEVICE const uint8_t *page_of(const attend_args &k, const queries &q, uint32_t pos) {
    const uint32_t page = BATCH_AT(uint32_t, k.batch, table_at)[q.table * k.batch->table_stride + pos / PAGE];
    return k.kv + page * k.page_bytes + static_cast<uint64_t>(q.kv_head) * 2 * PAGE * k.head_dim * 2;
}

/* scores (N, SPLIT) of positions base + thread. */
template <int N>
DEVICE void score_split(const attend_args &k, const queries &q, uint32_t base, uint32_t n_here,
                        const float *qs, float *scores) {
    const uint32_t i = threadIdx.x, pos = base + i;
    float acc[N];

    for (int j = 0; j < N; j++)
        acc[j] = 0.0f;
    if (i < n_here) {
        const uint8_t *key = page_of(k, q, pos) + pos % PAGE * 16;

        UNROLL(4)
        for (uint32_t d = 0; d < k.head_dim; d += 8) {
            float x[8];

            halves(load16(key + static_cast<uint64_t>(d) * PAGE * 2), x);
            for (int j = 0; j < N; j++)
                for (int e = 0; e < 8; e++)
                    acc[j] = fma_f(qs[j * k.head_dim + d + e], x[e], acc[j]);
        }
    }
    for (int j = 0; j < N; j++) {
        const uint32_t own = query_pos(q, j);
        const bool seen = i < n_here && static_cast<uint32_t>(j) < q.n && pos <= own &&
                          (k.window == 0 || pos + k.window > own);
        scores[j * SPLIT + i] = seen ? acc[j] * k.scale : no_score();
    }
}

/* scores = exp(scores - most), 0 where there are none; ml[2 j], ml[2 j + 1] = most and sum. A query a warp.
 */
DEVICE void soften(uint32_t n, float *scores, float *ml) {
    for (uint32_t j = warp_of(); j < n; j += ATTEND_THREADS / 32) {
        float *s = scores + j * SPLIT, most = no_score(), sum = 0.0f;

        for (uint32_t i = lane_of(); i < SPLIT; i += 32)
            most = larger(most, s[i]);
        most = warp_largest(most);
        for (uint32_t i = lane_of(); i < SPLIT; i += 32) {
            const float p = s[i] == no_score() ? 0.0f : exp_f(s[i] - most);
            s[i] = p;
            sum += p;
        }
        sum = warp_sum(sum);
        if (lane_of() == 0) {
            ml[2 * j] = most;
            ml[2 * j + 1] = sum;
        }
    }
}

/* Join a split to what came before it: m, l, and the factors of both sides. */
struct join {
    float m, l, before, here;
};
DEVICE join join_split(float m, float l, float m_here, float l_here) {
    if (m_here == no_score())
        return {m, l, 1.0f, 0.0f};
    if (m == no_score())
        return {m_here, l_here, 0.0f, 1.0f};
    const float most = larger(m, m_here), a = exp_f(m - most), b = exp_f(m_here - most);
    return {most, fma_f(l, a, l_here * b), a, b};
}
DEVICE float join_value(const join &j, float before, float here) {
    return j.before == 0.0f ? here : j.here == 0.0f ? before : fma_f(before, j.before, here * j.here);
}

/* Where the sums of a split go: the running rows of a merging block, or this split's place. */
DEVICE void put_split(const attend_args &k, const queries &q, uint32_t split, uint32_t j, uint32_t d,
                      float sum, const float *state, const float *ml, float *running) {
    if (k.merge) {
        const join both = join_split(state[2 * j], state[2 * j + 1], ml[2 * j], ml[2 * j + 1]);
        float *o = running + j * k.head_dim + d;
        *o = join_value(both, *o, sum);
        return;
    }
    const uint64_t row = q.first_row + query_row(q, j);
    const uint64_t at = (row * k.n_heads + query_head(q, j)) * k.n_splits + split;
    k.o[at * k.head_dim + d] = sum;
    if (d < 2)
        k.ml[at * 2 + d] = ml[2 * j + d];
}

/* The values of a split, weighed: 8 dimensions a thread, positions one stride apart; then the sums over
 * positions. */
template <int N>
DEVICE void weigh_split(const attend_args &k, const queries &q, uint32_t split, uint32_t n_here,
                        const float *scores, const float *state, const float *ml, float *sums,
                        float *running) {
    const uint32_t octets = k.head_dim / 8, stride = ATTEND_THREADS / octets;
    const uint32_t o = threadIdx.x % octets, first = threadIdx.x / octets;
    const bool in_warp = octets <= 32 && (octets & (octets - 1)) == 0;
    const uint32_t n_parts = in_warp ? ATTEND_THREADS / 32 : stride, part = in_warp ? warp_of() : first;
    const uint32_t at_once = SUM_FLOATS / (n_parts * k.head_dim);
    float acc[N][8] = {};

    for (uint32_t p = first; p < n_here && first < stride; p += stride) {
        const uint32_t pos = split * SPLIT + p;
        float x[8];

        halves(load16(page_of(k, q, pos) + (static_cast<uint64_t>(PAGE + pos % PAGE) * octets + o) * 16), x);
        for (int j = 0; j < N; j++)
            for (int e = 0; e < 8; e++)
                acc[j][e] = fma_f(scores[j * SPLIT + p], x[e], acc[j][e]);
    }
    if (in_warp)
        for (uint32_t bits = octets; bits < 32; bits *= 2)
            for (int j = 0; j < N; j++)
                for (int e = 0; e < 8; e++)
                    acc[j][e] += shuffle_xor(acc[j][e], bits);
    for (uint32_t j0 = 0; j0 < q.n; j0 += at_once) {
        for (int j = 0; j < N; j++)
            if (static_cast<uint32_t>(j) >= j0 && static_cast<uint32_t>(j) < j0 + at_once && first < stride &&
                (!in_warp || lane_of() < octets))
                for (int e = 0; e < 8; e++)
                    sums[((j - j0) * n_parts + part) * k.head_dim + o * 8 + e] = acc[j][e];
        sync_block();
        for (uint32_t i = threadIdx.x; i < at_once * k.head_dim; i += ATTEND_THREADS) {
            const uint32_t j = i / k.head_dim, d = i % k.head_dim;
            float sum = 0.0f;

            if (j0 + j >= q.n)
                break;
            for (uint32_t p = 0; p < n_parts; p++)
                sum += sums[(j * n_parts + p) * k.head_dim + d];
            put_split(k, q, split, j0 + j, d, sum, state, ml, running);
        }
        sync_block();
    }
}

/* After a split: the running maxima and sums. */
DEVICE void join_state(uint32_t n, float *state, const float *ml) {
    if (threadIdx.x < n) {
        const uint32_t j = threadIdx.x;
        const join both = join_split(state[2 * j], state[2 * j + 1], ml[2 * j], ml[2 * j + 1]);

        state[2 * j] = both.m;
        state[2 * j + 1] = both.l;
    }
}

/* A tile a block in x; kv heads and runs of N queries in y; splits in z, or all of them one after the other.
 */
template <int N> KERNEL BOUNDS(ATTEND_THREADS, 2) attend(const attend_args k) {
    SHARED(float, qs, QUERY_FLOATS);
    SHARED(float, running, QUERY_FLOATS);
    SHARED(float, sums, SUM_FLOATS);
    SHARED(float, scores, N *SPLIT);
    SHARED(float, ml, 2 * MAX_QUERIES);
    SHARED(float, state, 2 * MAX_QUERIES);
    const uint32_t group = k.n_heads / k.n_kv_heads, first = blockIdx.y / k.n_kv_heads * N;

    if (blockIdx.x >= k.batch->n_tiles)
        return;
    const batch_tile tile = BATCH_AT(batch_tile, k.batch, tiles_at)[blockIdx.x];
    if (first >= tile.n * group)
        return;
    const batch_row row = BATCH_AT(batch_row, k.batch, rows_at)[tile.first];
    const uint32_t left = tile.n * group - first;
    const queries q = {tile.first,
                       first,
                       left < static_cast<uint32_t>(N) ? left : static_cast<uint32_t>(N),
                       group,
                       blockIdx.y % k.n_kv_heads,
                       row.table,
                       row.pos};
    const uint32_t n_pos = query_pos(q, q.n - 1) + 1, n_splits = (n_pos + SPLIT - 1) / SPLIT;
    const uint32_t split0 = first_split(k.window, query_pos(q, 0));
    if (!k.merge && (blockIdx.z >= n_splits || blockIdx.z < split0))
        return;

    for (uint32_t i = threadIdx.x; i < N * k.head_dim; i += ATTEND_THREADS) {
        const uint32_t j = i / k.head_dim;
        qs[i] =
            j < q.n
                ? k.q[(static_cast<uint64_t>(q.first_row + query_row(q, j)) * k.n_heads + query_head(q, j)) *
                          k.head_dim +
                      i % k.head_dim]
                : 0.0f;
        running[i] = 0.0f;
    }
    if (threadIdx.x < MAX_QUERIES) {
        state[2 * threadIdx.x] = no_score();
        state[2 * threadIdx.x + 1] = 0.0f;
    }
    sync_block();
    for (uint32_t s = k.merge ? split0 : blockIdx.z; s < n_splits; s++) {
        const uint32_t base = s * SPLIT,
                       n_here = n_pos - base < SPLIT ? n_pos - base : static_cast<uint32_t>(SPLIT);

        score_split<N>(k, q, base, n_here, qs, scores);
        sync_block();
        soften(N, scores, ml);
        sync_block();
        weigh_split<N>(k, q, s, n_here, scores, state, ml, sums, running);
        if (!k.merge)
            return;
        join_state(q.n, state, ml);
        sync_block();
    }
    for (uint32_t i = threadIdx.x; i < q.n * k.head_dim; i += ATTEND_THREADS) {
        const uint32_t j = i / k.head_dim;
        k.o[(static_cast<uint64_t>(q.first_row + query_row(q, j)) * k.n_heads + query_head(q, j)) *
                k.head_dim +
            i % k.head_dim] = running[i] / state[2 * j + 1];
    }
}

/* h = the splits of each head joined, divided, and as integers. Rows in x, 256 columns a block in y. */
KERNEL BOUNDS(256, 1) combine(const combine_args k) {
    const uint32_t row = blockIdx.x, i = blockIdx.y * 256 + threadIdx.x;

    if (row >= k.batch->n || i >= k.to.n_cols)
        return;
    const uint32_t head = i / k.head_dim, n_pos = BATCH_AT(batch_row, k.batch, rows_at)[row].pos + 1;
    const uint64_t at = (static_cast<uint64_t>(row) * k.n_heads + head) * k.n_splits;
    float m = no_score(), l = 0.0f, o = 0.0f;

    for (uint32_t s = first_split(k.window, n_pos - 1); s < (n_pos + SPLIT - 1) / SPLIT; s++) {
        const join both = join_split(m, l, k.ml[(at + s) * 2], k.ml[(at + s) * 2 + 1]);

        o = join_value(both, o, k.o[(at + s) * k.head_dim + i % k.head_dim]);
        m = both.m;
        l = both.l;
    }
    const float value = o / l;
    k.to.f32[static_cast<uint64_t>(row) * k.to.n_cols + i] = value;
    quantise_slice(value, k.to, row, i / SLICE);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* selftest.c - does a row's product by the library depend on how many rows are multiplied with it?
 *
 * Libraries pick another algorithm for another number of rows, and with it another order of sums. So every
 * shape that this model multiplies is tried with every number of rows that a pass can have, on one set of
 * numbers, and the first rows are compared bit for bit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pass.h"

enum { FEWEST_ROWS = 32, PANEL_ROWS = 512 };

struct trial {
    struct rt *rt;
    uint16_t *a, *b; /* of the device, as everything but `host` and the two results */
    float *c;
    uint16_t *host;
    float *first, *next; /* (FEWEST_ROWS, PANEL_ROWS) */
};

/* bf16 of both signs and of sizes between 2^-12 and 2^4, out of a counter. Numbers of one size would do for
 * nothing: their products have 16 bits, and float32 adds a few thousand of those without rounding, in
 * whatever order. */
static void fill(uint16_t *values, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        const uint32_t sign = seed >> 31, exponent = 115 + (seed >> 20 & 15), mantissa = seed >> 24 & 127;

        values[i] = (uint16_t)(sign << 15 | exponent << 7 | mantissa);
    }
}

static int try_shape(const struct trial *t, uint32_t m, uint32_t k, struct model_fail *fail) {
    m = m < PANEL_ROWS ? m : PANEL_ROWS;
    fill(t->host, (size_t)MAX_ROWS * k, 1);
    rt_upload(t->rt, t->b, t->host, (size_t)MAX_ROWS * k * 2);
    rt_upload(t->rt, t->a, t->host, (size_t)m * k * 2);
    for (uint32_t n = FEWEST_ROWS; n <= MAX_ROWS; n *= 2) {
        const struct rt_gemm gemm = {.a = t->a,
                                     .b = t->b,
                                     .c = t->c,
                                     .m = m,
                                     .n = n,
                                     .k = k,
                                     .a_stride = k,
                                     .b_stride = k,
                                     .c_stride = m};
        float *out = n == FEWEST_ROWS ? t->first : t->next;

        rt_gemm_run(t->rt, &gemm);
        rt_download(t->rt, out, t->c, (size_t)FEWEST_ROWS * m * sizeof(float));
        const int err = rt_wait(t->rt, fail);

        if (err)
            return err;
        if (n > FEWEST_ROWS && memcmp(t->first, t->next, (size_t)FEWEST_ROWS * m * sizeof(float)) != 0)
            return model_fail(fail, -ENOTSUP, "a row of %u x %u has other bits among %u rows than among %d",
                              m, k, n, FEWEST_ROWS);
    }
    return 0;
}

static uint32_t largest_width(const struct arch *a) {
    const uint32_t q = a->n_heads * a->head_dim, most = a->n_embd > a->n_ff ? a->n_embd : a->n_ff;

    return q > most ? q : most;
}

static int try_all(struct trial *t, const struct arch *a, struct model_fail *fail) {
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    const uint32_t shapes[][2] = {
        {q, a->n_embd}, {kv, a->n_embd}, {a->n_embd, q}, {a->n_ff, a->n_embd}, {a->n_embd, a->n_ff}};
    int err = 0;

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !err; i++)
        err = try_shape(t, shapes[i][0], shapes[i][1], fail);
    return err;
}

int session_try_cublas(struct weights *w, struct model_fail *fail) {
    const size_t width = largest_width(&w->arch);
    struct trial t = {.rt = w->rt};
    int err;

    pthread_mutex_lock(&w->lock);
    err = rt_gemm_open(w->rt, fail);
    if (!err) {
        t.a = rt_alloc(w->rt, PANEL_ROWS * width * 2, "a trial of cuBLAS");
        t.b = rt_alloc(w->rt, MAX_ROWS * width * 2, "a trial of cuBLAS");
        t.c = rt_alloc(w->rt, (size_t)MAX_ROWS * PANEL_ROWS * sizeof(float), "a trial of cuBLAS");
        t.host = malloc(MAX_ROWS * width * 2);
        t.first = malloc((size_t)FEWEST_ROWS * PANEL_ROWS * sizeof(float));
        t.next = malloc((size_t)FEWEST_ROWS * PANEL_ROWS * sizeof(float));
        err = rt_wait(w->rt, fail);
        if (!err)
            err = t.host && t.first && t.next ? try_all(&t, &w->arch, fail)
                                              : model_fail(fail, -ENOMEM, "out of memory");
        rt_free(w->rt, t.a);
        rt_free(w->rt, t.b);
        rt_free(w->rt, t.c);
        free(t.host);
        free(t.first);
        free(t.next);
    }
    pthread_mutex_unlock(&w->lock);
    return err;
}

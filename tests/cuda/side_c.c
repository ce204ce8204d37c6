/* SPDX-License-Identifier: Apache-2.0 */
/* side_c.c - see side_c.h. */
#include "side_c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

struct side_session {
    struct weights *weights;
    struct session *session;
};

static int say(int err, const struct model_fail *fail, char why[640]) {
    if (err)
        memcpy(why, fail->text, 640);
    return err;
}

int side_open(const char *path, uint32_t n_seq, uint32_t n_tokens, int cublas, struct side_session **out,
              char why[640]) {
    struct side_session *s = calloc(1, sizeof(*s));
    struct model_fail fail = {"out of memory"};
    int err = s ? weights_open(path, 0, &s->weights, &fail) : -ENOMEM;

    if (!err)
        err =
            session_open(s->weights, n_seq, n_tokens, cublas ? GEMM_CUBLAS : GEMM_EXACT, &s->session, &fail);
    if (err) {
        side_close(s);
        s = NULL;
    }
    *out = s;
    return say(err, &fail, why);
}

int side_try_cublas(const char *path, char why[640]) {
    struct model_fail fail = {""};
    struct weights *weights = NULL;
    int err = weights_open(path, 0, &weights, &fail);

    if (!err)
        err = session_try_cublas(weights, &fail);
    weights_close(weights);
    return say(err, &fail, why);
}

void side_close(struct side_session *s) {
    if (!s)
        return;
    session_close(s->session);
    weights_close(s->weights);
    free(s);
}

uint32_t side_n_vocab(const struct side_session *s) {
    return s ? s->weights->n_vocab : 0;
}

static int decode(struct side_session *s, const struct session_batch *b, char why[640]) {
    struct model_fail fail = {""};

    return say(session_decode(s->session, b, &fail), &fail, why);
}

/* n rows of one sequence; those from `from` on want logits. */
static int feed(struct side_session *s, uint32_t seq, const int32_t *ids, uint32_t at, uint32_t n,
                uint32_t from, float *logits, char why[640]) {
    struct session_row rows[MAX_ROWS] = {{.want = WANT_NOTHING}};
    int32_t pos[MAX_ROWS];
    uint32_t seqs[MAX_ROWS];
    const struct session_batch b = {n, ids, pos, seqs, rows};

    for (uint32_t i = 0; i < n && i < MAX_ROWS; i++) {
        pos[i] = (int32_t)(at + i);
        seqs[i] = seq;
        if (i >= from) {
            rows[i].want = WANT_LOGITS;
            rows[i].logits = logits + (size_t)(i - from) * s->weights->n_vocab;
        }
    }
    return decode(s, &b, why);
}

int side_feed(struct side_session *s, uint32_t seq, const int32_t *ids, uint32_t at, uint32_t n,
              float *logits, char why[640]) {
    return feed(s, seq, ids, at, n, logits ? n - 1 : n, logits, why);
}

int side_all(struct side_session *s, const int32_t *ids, uint32_t n, uint32_t from, float *logits,
             char why[640]) {
    return feed(s, 0, ids, 0, n, from, logits, why);
}

int side_step(struct side_session *s, const int32_t *ids, const int32_t *pos, uint32_t n, float *logits,
              char why[640]) {
    struct session_row rows[MAX_ROWS] = {{.want = WANT_NOTHING}};
    uint32_t seqs[MAX_ROWS];
    const struct session_batch b = {n, ids, pos, seqs, rows};

    for (uint32_t i = 0; i < n; i++) {
        seqs[i] = i;
        rows[i].want = WANT_LOGITS;
        rows[i].logits = logits + (size_t)i * s->weights->n_vocab;
    }
    return decode(s, &b, why);
}

void side_trim(struct side_session *s, uint32_t seq, uint32_t from) {
    session_trim(s->session, seq, from);
}

int side_copy(struct side_session *s, uint32_t dst, uint32_t src, uint32_t from, int64_t to) {
    return session_copy(s->session, dst, src, from, to);
}

int side_feed_draw(struct side_session *s, uint32_t seq, int32_t token, uint32_t at,
                   const struct side_draw *d, int32_t *id, char why[640]) {
    const struct session_row row = {.want = WANT_DRAW,
                                    .mask = d->mask,
                                    .seen = d->seen,
                                    .n_seen = d->n_seen,
                                    .top_k = d->top_k,
                                    .temperature = d->temperature,
                                    .top_p = d->top_p,
                                    .min_p = d->min_p,
                                    .repeat_penalty = d->repeat_penalty,
                                    .seed = d->seed,
                                    .counter = d->counter,
                                    .id = id};
    const int32_t pos = (int32_t)at;
    const struct session_batch b = {1, &token, &pos, &seq, &row};

    return decode(s, &b, why);
}

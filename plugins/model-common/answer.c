/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - from a row's logits to what its caller asked for. How a token is drawn is the SDK's to say
 * (sample.h). */
#include "answer.h"

#include <math.h>
#include <string.h>

#include "sample.h"

/* a stands before b: larger logit, then lower id. No number counts as minus infinity. */
static int before(float a, int32_t a_id, float b, int32_t b_id) {
    a = isnan(a) ? -INFINITY : a;
    b = isnan(b) ? -INFINITY : b;
    return a > b || (a == b && a_id < b_id);
}

/* The row's ids and logits are a heap whose root is the worst of the best n so far. */
static void sift_worst(struct telex_row *row, uint32_t n, uint32_t at) {
    const int32_t id = row->ids[at];
    const float logit = row->logits[at];

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= n)
            break;
        if (child + 1 < n &&
            before(row->logits[child], row->ids[child], row->logits[child + 1], row->ids[child + 1]))
            child++;
        if (!before(logit, id, row->logits[child], row->ids[child]))
            break;
        row->ids[at] = row->ids[child];
        row->logits[at] = row->logits[child];
        at = child;
    }
    row->ids[at] = id;
    row->logits[at] = logit;
}

static void top_k(struct telex_row *row, const float *logits, uint32_t n_vocab) {
    for (uint32_t i = 0; i < row->n; i++) {
        row->ids[i] = (int32_t)i;
        row->logits[i] = logits[i];
    }
    for (uint32_t i = row->n / 2; i-- > 0;)
        sift_worst(row, row->n, i);
    for (uint32_t i = row->n; i < n_vocab && row->n > 0; i++)
        if (before(logits[i], (int32_t)i, row->logits[0], row->ids[0])) {
            row->ids[0] = (int32_t)i;
            row->logits[0] = logits[i];
            sift_worst(row, row->n, 0);
        }
    for (uint32_t n = row->n; n > 1; n--) { /* the worst goes last */
        const int32_t id = row->ids[0];
        const float logit = row->logits[0];

        row->ids[0] = row->ids[n - 1];
        row->logits[0] = row->logits[n - 1];
        row->ids[n - 1] = id;
        row->logits[n - 1] = logit;
        sift_worst(row, n - 1, 0);
    }
}

void answer_row(struct telex_row *row, const float *logits, uint32_t n_vocab) {
    switch (row->kind) {
    case TELEX_ROW_LOGITS:
        memcpy(row->logits, logits, n_vocab * sizeof(float));
        break;
    case TELEX_ROW_SUBSET:
        for (uint32_t i = 0; i < row->n; i++)
            row->logits[i] = logits[row->ids[i]];
        break;
    case TELEX_ROW_TOPK:
        top_k(row, logits, n_vocab);
        break;
    case TELEX_ROW_SAMPLE:
        row->ids[0] = sample_row(NULL, logits, n_vocab, row->mask, row->temperature, row->seed, row->counter);
        break;
    }
}

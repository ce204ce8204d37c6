/* SPDX-License-Identifier: Apache-2.0 */
/* check_model_rows.c - what decode computes: rows of each kind, batches, sequences. */
#include "check_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <driver/sample.h>

enum { FEW = 7, STEP = 16 };

/* ---- rows ---- */

/* The row of the last token, the prompt before it. */
static bool ask_row(struct check_model *m, void *context, struct telex_row *row) {
    m->class->seq_trim(context, 0, (int32_t)m->n_ids - 1);
    telex_status status = check_feed(m, context, 0, m->n_ids - 1, m->ids + m->n_ids - 1, 1, 1, row);
    check_that(m, status == TELEX_OK, "model.rows", "a row of kind %u gave status %d", row->kind, status);
    return status == TELEX_OK;
}

static bool near(const struct check_model *m, float a, float b) {
    return m->exact ? a == b : fabsf(a - b) <= 1e-2f * (1.0f + fabsf(b));
}

static void check_subset(struct check_model *m, void *context) {
    int32_t ids[FEW];
    float logits[FEW];
    for (int i = 0; i < FEW; i++)
        ids[i] = (int32_t)(((uint64_t)m->info.n_vocab - 1) * (uint64_t)(FEW - 1 - i) / (FEW - 1));
    struct telex_row row = {
        .size = sizeof(row), .kind = TELEX_ROW_SUBSET, .n = FEW, .ids = ids, .logits = logits};
    if (!ask_row(m, context, &row))
        return;
    for (int i = 0; i < FEW; i++)
        check_that(m, near(m, logits[i], m->alone[ids[i]]), "model.rows",
                   "SUBSET says %g for token %d, LOGITS %g", (double)logits[i], ids[i],
                   (double)m->alone[ids[i]]);
}

static void check_topk(struct check_model *m, void *context) {
    int32_t ids[FEW];
    float logits[FEW];
    struct telex_row row = {
        .size = sizeof(row), .kind = TELEX_ROW_TOPK, .n = FEW, .ids = ids, .logits = logits};
    if (m->info.n_vocab < FEW || !ask_row(m, context, &row))
        return;
    for (int i = 0; i < FEW; i++) {
        bool is_id = ids[i] >= 0 && (uint32_t)ids[i] < m->info.n_vocab;
        check_that(m, is_id && near(m, logits[i], m->alone[ids[i]]), "model.rows",
                   "TOPK says %g for token %d, LOGITS otherwise", (double)logits[i], ids[i]);
        check_that(m,
                   i == 0 || logits[i] < logits[i - 1] || (logits[i] == logits[i - 1] && ids[i] > ids[i - 1]),
                   "model.rows", "TOPK is not in descending order, of equal ones the lower id first");
    }
    uint32_t larger = 0;
    for (uint32_t i = 0; i < m->info.n_vocab; i++)
        larger += m->alone[i] > logits[FEW - 1] && !near(m, m->alone[i], logits[FEW - 1]);
    check_that(m, larger < FEW, "model.rows", "TOPK left out tokens with larger logits");
}

static void check_sample(struct check_model *m, void *context) {
    size_t words = (m->info.n_vocab + 31) / 32;
    uint32_t *mask = calloc(words, sizeof(*mask));
    for (uint32_t i = 0; mask && i < m->info.n_vocab; i += 3)
        mask[i / 32] |= 1u << i % 32;
    for (int i = 0; i < 8; i++) {
        int32_t id = -2;
        struct telex_row row = {.size = sizeof(row),
                                .kind = TELEX_ROW_SAMPLE,
                                .n = 1,
                                .temperature = i % 4 ? 0.4f * (float)i : 0,
                                .seed = 99 + (uint64_t)i,
                                .counter = (uint64_t)i << 20,
                                .mask = i % 2 ? mask : NULL,
                                .ids = &id};
        if (!ask_row(m, context, &row))
            break;
        int32_t wanted =
            sample_row(NULL, m->alone, m->info.n_vocab, row.mask, row.temperature, row.seed, row.counter);
        bool allowed =
            id >= 0 && (uint32_t)id < m->info.n_vocab && (!row.mask || row.mask[id / 32] >> id % 32 & 1);
        check_that(
            m, allowed && (id == wanted || !m->exact), "model.rows",
            "SAMPLE drew token %d, sdk/driver/sample.h draws %d from the same logits (temperature %g, %s)",
            id, wanted, (double)row.temperature, row.mask ? "masked" : "all allowed");
    }
    free(mask);
}

void check_model_rows(struct check_run *run) {
    static struct check_model m;
    void *context = check_model_open(&m, run) ? check_context(&m, 1, 256) : NULL;
    if (!context)
        return;
    if (check_feed(&m, context, 0, 0, m.ids, m.n_ids - 1, 1, NULL) == TELEX_OK) {
        check_subset(&m, context);
        check_topk(&m, context);
        check_sample(&m, context);
    }
    m.class->context_close(context);
    check_model_close(&m);
}

/* ---- batches ---- */

/* Three sequences take turns in every batch; the second one is compared. */
static void check_company(struct check_model *m, float *logits) {
    int32_t token[24], pos[24];
    uint32_t seq[24], other[2] = {0, 0}, n = m->n_ids;
    struct telex_row row = check_logits_row(m, logits), *rows[24] = {NULL};
    telex_status status = TELEX_OK;
    void *context = check_context(m, 3, 1024);
    if (!context || m->max_batch < 3)
        return;
    uint32_t step = m->max_batch < 24 ? m->max_batch / 3 : 8;
    for (uint32_t done = 0, size; done < n && status == TELEX_OK; done += size) {
        uint32_t used = 0;
        size = n - done < step ? n - done : step;
        for (uint32_t s = 0; s < 3; s++)
            for (uint32_t i = 0; i < (s == 1 ? size : step - s / 2); i++, used++) {
                uint32_t at = s == 1 ? done + i : other[s / 2]++;
                token[used] = m->ids[(at + s * 5 + 3 * (s != 1)) % n];
                if (s == 1)
                    token[used] = m->ids[at];
                pos[used] = (int32_t)at;
                seq[used] = s;
                rows[used] = s == 1 && at == n - 1 ? &row : NULL;
            }
        struct telex_batch batch = {
            .size = sizeof(batch), .n = used, .token = token, .pos = pos, .seq = seq, .rows = rows};
        status = check_decode(m, context, &batch);
    }
    check_that(m, status == TELEX_OK, "model.batch", "a batch of three sequences gave status %d", status);
    check_that(m, status != TELEX_OK || check_same(m, logits, m->alone, m->info.n_vocab), "model.batch",
               "a row differs %swhen other sequences are in its batches", m->exact ? "" : "far ");
    m->class->context_close(context);
}

static void check_cuts(struct check_model *m, float *logits) {
    const uint32_t steps[] = {2, 7, 16, 0};
    void *context = check_context(m, 1, 256);
    if (!context)
        return;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        struct telex_row row = check_logits_row(m, logits);
        m->class->seq_trim(context, 0, 0);
        telex_status status = check_feed(m, context, 0, 0, m->ids, m->n_ids, steps[i], &row);
        check_that(m, status == TELEX_OK, "model.chunks", "a prompt in batches of %u gave status %d",
                   steps[i], status);
        check_that(m, status != TELEX_OK || check_same(m, logits, m->alone, m->info.n_vocab), "model.chunks",
                   "a prompt in batches of %u gave %s than token by token",
                   steps[i] ? steps[i] : m->max_batch, m->exact ? "other bits" : "very different logits");
    }
    m->class->context_close(context);
}

void check_model_batches(struct check_run *run) {
    static struct check_model m;
    float *logits = check_model_open(&m, run) ? malloc(m.info.n_vocab * sizeof(float)) : NULL;
    if (!logits)
        return;
    check_cuts(&m, logits);
    check_company(&m, logits);
    free(logits);
    check_model_close(&m);
}

/* ---- sequences ---- */

/* The last token's logits on a sequence that holds all before it. */
static bool last_is_same(struct check_model *m, void *context, uint32_t seq, float *logits) {
    struct telex_row row = check_logits_row(m, logits);
    return check_feed(m, context, seq, m->n_ids - 1, m->ids + m->n_ids - 1, 1, 1, &row) == TELEX_OK &&
           check_same(m, logits, m->alone, m->info.n_vocab);
}

/* A prefix copied at every kind of place, then computed on. */
static void check_copies(struct check_model *m, void *context, float *logits) {
    const uint32_t n = m->n_ids, cuts[] = {1, n / 3, n / 2 + 1, n - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
        uint32_t cut = cuts[i];
        m->class->seq_trim(context, 1, 0);
        check_say(m->run, "seq_copy");
        telex_status status = m->class->seq_copy(context, 1, 0, 0, (int32_t)cut);
        check_that(m, status == TELEX_OK, "model.copy", "seq_copy of the first %u positions gave status %d",
                   cut, status);
        if (status == TELEX_OK && cut < n - 1)
            status = check_feed(m, context, 1, cut, m->ids + cut, n - 1 - cut, STEP, NULL);
        check_that(m, status == TELEX_OK && last_is_same(m, context, 1, logits), "model.copy",
                   "a sequence whose first %u positions were copied goes on otherwise than a computed one",
                   cut);
    }
    /* what the copy wrote must not show in its source */
    check_that(m, last_is_same(m, context, 0, logits), "model.copy", "copying from a sequence changed it");
    m->class->seq_trim(context, 0, (int32_t)n - 1);
    /* the middle of another's behind a beginning of one's own, to the end */
    m->class->seq_trim(context, 1, 0);
    telex_status status = check_feed(m, context, 1, 0, m->ids, n / 2, STEP, NULL);
    status = status == TELEX_OK ? m->class->seq_copy(context, 1, 0, (int32_t)(n / 2), -1) : status;
    check_that(m, status == TELEX_OK && last_is_same(m, context, 1, logits), "model.copy",
               "positions from %u to the end, copied behind computed ones, are not as good as those", n / 2);
}

static void check_trims(struct check_model *m, void *context, float *logits) {
    const uint32_t n = m->n_ids, cuts[] = {0, 1, n / 2, n - 2};
    int32_t *wrong = malloc(n * sizeof(*wrong));
    for (uint32_t i = 0; wrong && i < n; i++)
        wrong[i] = m->ids[n - 1 - i];
    m->class->seq_trim(context, 0, 0);
    for (size_t i = 0; wrong && i < sizeof(cuts) / sizeof(*cuts); i++) {
        uint32_t cut = cuts[i];
        telex_status status =
            check_feed(m, context, 0, 0, m->ids, cut, STEP, NULL); /* right up to the cut, wrong behind */
        status = status == TELEX_OK ? check_feed(m, context, 0, cut, wrong, n - cut, STEP, NULL) : status;
        check_say(m->run, "seq_trim");
        status = status == TELEX_OK ? m->class->seq_trim(context, 0, (int32_t)cut) : status;
        status = status == TELEX_OK ? check_feed(m, context, 0, cut, m->ids + cut, n - 1 - cut, STEP, NULL)
                                    : status;
        check_that(m, status == TELEX_OK && last_is_same(m, context, 0, logits), "model.trim",
                   "a sequence cut at %u and computed anew differs from one that was never cut (status %d)",
                   cut, status);
        m->class->seq_trim(context, 0, 0);
    }
    free(wrong);
}

void check_model_sequences(struct check_run *run) {
    static struct check_model m;
    float *logits = check_model_open(&m, run) ? malloc(m.info.n_vocab * sizeof(float)) : NULL;
    void *context = logits ? check_context(&m, 2, 1024) : NULL;
    if (!context)
        return;
    check_trims(&m, context, logits);
    if (check_feed(&m, context, 0, 0, m.ids, m.n_ids - 1, STEP, NULL) == TELEX_OK)
        check_copies(&m, context, logits);
    m.class->context_close(context);
    free(logits);
    check_model_close(&m);
}

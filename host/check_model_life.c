/* SPDX-License-Identifier: Apache-2.0 */
/* check_model_life.c - what a model does when it is asked wrongly, stopped, opened again and again, or used
 * by two at once; and its logits against those of another. */
#include "check_model.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/model_feed.h"
#include "cli/model_open.h"
#include "distance.h"

enum { ROOM = 128, CANCEL_MS = 250, ROUNDS = 12, LEAK_BYTES = 2048, LEAK_RESIDENT = 64 << 10 };

static const double REFERENCE_NMSE = 0.02; /* two sound implementations of one file stay below it */

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static telex_status one(struct check_model *m, void *context, int32_t token, int32_t pos, uint32_t seq,
                        struct telex_row *row) {
    struct telex_row *rows[1] = {row};
    struct telex_batch batch = {
        .size = sizeof(batch), .n = 1, .token = &token, .pos = &pos, .seq = &seq, .rows = rows};
    return check_decode(m, context, &batch);
}

/* ---- errors ---- */

static void bad_batches(struct check_model *m, void *context) {
    const int32_t n = (int32_t)m->n_ids - 1, good = m->ids[n];
    int32_t outside = (int32_t)m->info.n_vocab;
    float logit;
    struct telex_row subset = {
        .size = sizeof(subset), .kind = TELEX_ROW_SUBSET, .n = 1, .ids = &outside, .logits = &logit};
    const struct {
        telex_status status;
        const char *what;
    } all[] = {
        {one(m, context, -1, n, 0, NULL), "a negative token"},
        {one(m, context, (int32_t)m->info.n_vocab, n, 0, NULL), "a token outside the vocabulary"},
        {one(m, context, INT32_MAX, n, 0, NULL), "token 2^31-1"},
        {one(m, context, good, n + 1, 0, NULL), "a gap before its position"},
        {one(m, context, good, n - 1, 0, NULL), "a position that is there already"},
        {one(m, context, good, -1, 0, NULL), "a negative position"},
        {one(m, context, good, n, 2, NULL), "a sequence that the context does not have"},
        {one(m, context, good, n, UINT32_MAX, NULL), "sequence 2^32-1"},
        {one(m, context, good, n, 0, &subset), "a SUBSET row of a token outside the vocabulary"},
        {m->class->seq_trim(context, 2, 0), "seq_trim of a sequence that is not there"},
        {m->class->seq_trim(context, 0, -1), "seq_trim at a negative position"},
        {m->class->seq_copy(context, 1, 0, 5, 10), "seq_copy to a position that dst does not reach"},
        {m->class->seq_copy(context, 1, 0, 0, n + 5), "seq_copy of positions that src does not have"},
        {m->class->seq_copy(context, 1, 7, 0, 1), "seq_copy from a sequence that is not there"},
        {m->class->seq_copy(context, 7, 0, 0, 1), "seq_copy to a sequence that is not there"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        check_that(m, all[i].status == TELEX_INVALID, "model.bad-batch", "%s gave status %d, not INVALID",
                   all[i].what, all[i].status);
    /* a batch whose last token is bad: none of it may stay */
    int32_t tokens[2] = {good, -5}, pos[2] = {n, n + 1};
    uint32_t seq[2] = {0, 0};
    struct telex_batch batch = {
        .size = sizeof(batch), .n = 2, .token = tokens, .pos = pos, .seq = seq, .rows = NULL};
    check_that(m, check_decode(m, context, &batch) == TELEX_INVALID, "model.bad-batch",
               "a batch with one bad token among good ones is not INVALID");
    batch.n = 0;
    check_that(m, check_decode(m, context, &batch) == TELEX_INVALID, "model.bad-batch",
               "a batch of nothing is not INVALID");
}

/* Fill a context until it says that it is full. */
static void fill(struct check_model *m) {
    void *context = check_context(m, 1, ROOM);
    const uint32_t room = ROOM < m->info.context_tokens ? ROOM : m->info.context_tokens;
    telex_status status = TELEX_OK;
    uint32_t held = 0;
    if (!context)
        return;
    while (status == TELEX_OK && held < m->info.context_tokens + 1 && held < 8 * ROOM) {
        uint32_t step = held < room && room - held < 16 ? room - held : 16;
        step = held + step > m->info.context_tokens && held < m->info.context_tokens
                   ? m->info.context_tokens - held
                   : step;
        status = check_feed(m, context, 0, held, m->ids, step < m->n_ids ? step : m->n_ids, 0, NULL);
        held += status == TELEX_OK ? (step < m->n_ids ? step : m->n_ids) : 0;
    }
    check_that(m, held >= room, "model.room", "a context opened for %u positions was full after %u", ROOM,
               held);
    telex_status wanted = held >= m->info.context_tokens ? TELEX_INVALID : TELEX_AGAIN;
    check_that(m, status == wanted, "model.room", "%s gave status %d, not %s",
               wanted == TELEX_AGAIN ? "a batch without room" : "a position beyond the model's context",
               status, wanted == TELEX_AGAIN ? "AGAIN" : "INVALID");
    /* nothing changed: after a cut there is room for what was there */
    m->class->seq_trim(context, 0, (int32_t)m->n_ids - 1);
    float *logits = malloc(m->info.n_vocab * sizeof(float));
    m->class->seq_trim(context, 0, 0);
    struct telex_row row = check_logits_row(m, logits);
    if (logits && check_feed(m, context, 0, 0, m->ids, m->n_ids, 16, &row) == TELEX_OK)
        check_that(m, check_same(m, logits, m->alone, m->info.n_vocab), "model.room",
                   "after a batch that found no room the sequence is not what it was");
    else
        check_report(m->run->out, "model.room", "positions that were forgotten do not give their room back");
    free(logits);
    m->class->context_close(context);
}

static void check_embed(struct check_model *m, void *context) {
    if (!m->class->embed && !(m->info.flags & TELEX_MODEL_EMBED))
        return;
    float *vector = calloc(m->info.n_embd, sizeof(*vector));
    double length = 0;
    if (!vector)
        return;
    check_say(m->run, "embed");
    telex_status status = m->class->embed(context, m->ids, m->n_ids, vector);
    if (!(m->info.flags & TELEX_MODEL_EMBED)) {
        check_that(m, status == TELEX_UNSUPPORTED, "model.embed",
                   "embed without the flag gave status %d, not UNSUPPORTED", status);
    } else {
        for (uint32_t i = 0; i < m->info.n_embd; i++)
            length += (double)vector[i] * vector[i];
        check_that(m, status == TELEX_OK && length > 0.999 && length < 1.001, "model.embed",
                   "embed gave status %d and a vector whose length is %g, not 1", status, length);
    }
    free(vector);
}

void check_model_errors(struct check_run *run) {
    static struct check_model m;
    float *logits = check_model_open(&m, run) ? malloc(m.info.n_vocab * sizeof(float)) : NULL;
    void *context = logits ? check_context(&m, 2, 512) : NULL;
    if (!context)
        return;
    if (check_feed(&m, context, 0, 0, m.ids, m.n_ids - 1, 16, NULL) == TELEX_OK) {
        bad_batches(&m, context);
        check_embed(&m, context);
        struct telex_row row = check_logits_row(&m, logits);
        telex_status status = one(&m, context, m.ids[m.n_ids - 1], (int32_t)m.n_ids - 1, 0, &row);
        check_that(&m, status == TELEX_OK && check_same(&m, logits, m.alone, m.info.n_vocab),
                   "model.bad-batch",
                   "after batches that were refused the sequence is not what it was (status %d)", status);
    }
    m.class->context_close(context);
    fill(&m);
    free(logits);
    check_model_close(&m);
}

/* ---- cancel ---- */

struct decoding {
    struct check_model *m;
    void *context;
    const int32_t *ids;
    uint32_t n;
    atomic_bool begun;
    telex_status status;
    int64_t ended_ms;
};

static void *decode_once(void *arg) {
    struct decoding *d = arg;
    atomic_store(&d->begun, true);
    d->status = check_feed(d->m, d->context, 0, 0, d->ids, d->n, 0, NULL);
    d->ended_ms = now_ms();
    return NULL;
}

/* Cancel a decode `after_ms` into it. How long it went on. */
static int64_t cancel_one(struct check_model *m, struct decoding *d, int64_t after_ms) {
    pthread_t thread;
    d->m = m;
    atomic_store(&d->begun, false);
    if (pthread_create(&thread, NULL, decode_once, d) != 0)
        return 0;
    while (!atomic_load(&d->begun))
        usleep(100);
    usleep((useconds_t)after_ms * 1000);
    int64_t cancelled_ms = now_ms();
    m->class->cancel(d->context);
    pthread_join(thread, NULL);
    return d->ended_ms - cancelled_ms;
}

void check_model_cancel(struct check_run *run) {
    static struct check_model m;
    static int32_t ids[CHECK_BATCH_MAX];
    if (!check_model_open(&m, run))
        return;
    uint32_t n = m.max_batch < m.info.context_tokens ? m.max_batch : m.info.context_tokens;
    float *logits = malloc(m.info.n_vocab * sizeof(float));
    struct decoding d = {.context = check_context(&m, 1, n < 256 ? 256 : n), .ids = ids, .n = n};
    for (uint32_t i = 0; i < n; i++)
        ids[i] = m.ids[i % m.n_ids];
    if (!d.context || !logits)
        return;
    int64_t begun_ms = now_ms();
    telex_status status = check_feed(&m, d.context, 0, 0, ids, n, 0, NULL);
    int64_t whole_ms = now_ms() - begun_ms;
    check_that(&m, status == TELEX_OK, "model.cancel", "a batch of %u tokens gave status %d", n, status);
    for (int i = 0; i < 4 && status == TELEX_OK; i++) {
        m.class->seq_trim(d.context, 0, 0);
        int64_t late_ms = cancel_one(&m, &d, whole_ms * i / 8);
        check_that(&m, late_ms <= CANCEL_MS || late_ms <= whole_ms / 2, "model.cancel",
                   "a decode went on for %lld ms after cancel; a whole one takes %lld ms", (long long)late_ms,
                   (long long)whole_ms);
        check_that(&m, d.status == TELEX_OK || d.status == TELEX_CANCELLED, "model.cancel",
                   "a cancelled decode gave status %d", d.status);
        if (d.status == TELEX_CANCELLED) /* nothing of it stays: the positions are free */
            m.class->seq_trim(d.context, 0, 0);
    }
    m.class->seq_trim(d.context, 0, 0);
    struct telex_row row = check_logits_row(&m, logits);
    m.class->cancel(d.context); /* nothing runs: at most the next decode may still see it */
    status = check_feed(&m, d.context, 0, 0, m.ids, m.n_ids, 16, &row);
    if (status == TELEX_CANCELLED)
        status = check_feed(&m, d.context, 0, 0, m.ids, m.n_ids, 16, &row);
    check_that(&m, status == TELEX_OK && check_same(&m, logits, m.alone, m.info.n_vocab), "model.cancel",
               "after a cancel the context no longer computes what it did (status %d)", status);
    m.class->context_close(d.context);
    free(logits);
    check_model_close(&m);
}

/* ---- again and again ---- */

static bool use_context(struct check_model *m) {
    void *context = check_context(m, 2, 256);
    if (!context)
        return false;
    telex_status status = check_feed(m, context, 0, 0, m->ids, 24, 8, NULL);
    status = status == TELEX_OK ? m->class->seq_copy(context, 1, 0, 0, 20) : status;
    check_say(m->run, "context_close");
    m->class->context_close(context);
    return status == TELEX_OK;
}

static long long allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return (long long)info.uordblks + (long long)info.hblkhd;
}

static void check_growth(struct check_run *run, const char *what, long long bytes, long long resident) {
    if (bytes > ROUNDS * LEAK_BYTES || resident > ROUNDS * LEAK_RESIDENT + (2 << 20))
        check_report(run->out, "model.leak", "%d times %s left %lld bytes allocated and %lld more in memory",
                     ROUNDS, what, bytes, resident);
}

void check_model_again(struct check_run *run) {
    static struct check_model m;
    if (!check_model_open(&m, run))
        return;
    for (int i = 0; i < 3; i++)
        use_context(&m);
    size_t files = check_settled_count("/proc/self/fd", SIZE_MAX),
           threads = check_settled_count("/proc/self/task", SIZE_MAX);
    long long bytes = allocated(), resident = feed_resident_bytes();
    bool good = true;
    for (int i = 0; i < ROUNDS && good; i++)
        good = use_context(&m);
    check_growth(run, "a context opened, used and closed", allocated() - bytes,
                 feed_resident_bytes() - resident);
    if (check_settled_count("/proc/self/fd", files) > files)
        check_report(run->out, "life.file-left", "descriptors are left open after context_close");
    if (check_settled_count("/proc/self/task", threads) > threads)
        check_report(run->out, "life.thread-left", "threads are left after context_close");
    check_model_close(&m);
    for (int i = 0; i < 2 && good; i++)
        if ((good = check_model_open_bare(&m, run, run->options)))
            check_model_close(&m);
    files = check_settled_count("/proc/self/fd", SIZE_MAX),
    threads = check_settled_count("/proc/self/task", SIZE_MAX);
    bytes = allocated(), resident = feed_resident_bytes();
    for (int i = 0; i < ROUNDS / 3 && good; i++)
        if ((good = check_model_open_bare(&m, run, run->options)))
            check_model_close(&m);
    check_growth(run, "the model opened and closed", allocated() - bytes, feed_resident_bytes() - resident);
    if (check_settled_count("/proc/self/fd", files) > files)
        check_report(run->out, "life.file-left", "descriptors are left open after close");
    if (check_settled_count("/proc/self/task", threads) > threads)
        check_report(run->out, "life.thread-left", "threads are left after close");
}

/* ---- two at once ---- */

struct user {
    struct check_model *m;
    float *logits;
    telex_status status;
};

static void *use(void *arg) {
    struct user *u = arg;
    struct check_model *m = u->m;
    void *context = NULL;
    u->status = m->class->context_open(m->self, 1, 256, &context);
    for (uint32_t i = 0; i < m->n_ids && u->status == TELEX_OK; i++) {
        int32_t pos = (int32_t)i;
        uint32_t seq = 0;
        struct telex_row row = check_logits_row(m, u->logits), *rows[1] = {i == m->n_ids - 1 ? &row : NULL};
        struct telex_batch batch = {
            .size = sizeof(batch), .n = 1, .token = &m->ids[i], .pos = &pos, .seq = &seq, .rows = rows};
        u->status = m->class->decode(context, &batch);
    }
    if (context)
        m->class->context_close(context);
    return NULL;
}

void check_model_two(struct check_run *run) {
    static struct check_model m;
    pthread_t thread[2];
    struct user user[2] = {{0}};
    if (!check_model_open(&m, run))
        return;
    check_say(run, "decode on two contexts at once");
    for (int i = 0; i < 2; i++) {
        user[i] = (struct user){.m = &m, .logits = calloc(m.info.n_vocab, sizeof(float))};
        if (!user[i].logits || pthread_create(&thread[i], NULL, use, &user[i]) != 0)
            abort();
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        check_that(&m, user[i].status == TELEX_OK && check_same(&m, user[i].logits, m.alone, m.info.n_vocab),
                   "model.two-contexts", "a context computes otherwise while another one decodes (status %d)",
                   user[i].status);
        free(user[i].logits);
    }
    check_model_close(&m);
}

/* ---- against another ---- */

static void compare(struct check_model *m, struct feed *feed) {
    struct distances all = {0};
    uint32_t n_vocab = m->info.n_vocab;
    float *ours = malloc(n_vocab * sizeof(float)), *theirs = malloc(n_vocab * sizeof(float));
    void *context = check_context(m, 1, 256);
    telex_status status = ours && theirs && context ? TELEX_OK : TELEX_RETRY;
    for (uint32_t i = 0; i < m->n_ids && status == TELEX_OK; i++) {
        struct telex_row our_row = check_logits_row(m, ours), their_row = check_logits_row(m, theirs);
        status = check_feed(m, context, 0, i, m->ids + i, 1, 1, &our_row);
        if (status == TELEX_OK)
            status = feed_prompt(feed, 0, i, m->ids + i, 1, &their_row);
        if (status == TELEX_OK)
            distances_add(&all, distance_of(ours, theirs, n_vocab));
    }
    double nmse = all.n ? all.nmse_sum / (double)all.n : 1;
    check_that(m, status == TELEX_OK && nmse <= REFERENCE_NMSE, "model.reference",
               "NMSE %.3g against the reference over %zu positions (%.3g at most), best token the same in "
               "%zu (status %d)",
               nmse, all.n, REFERENCE_NMSE, all.n_same, status);
    if (context)
        m->class->context_close(context);
    free(ours);
    free(theirs);
}

void check_model_reference(struct check_run *run) {
    static struct check_model m;
    const struct check_model_args *args = run->arg;
    struct model_args reference = {.model = args->reference};
    struct opened_model opened;
    struct feed feed = {0};
    if (!check_model_open(&m, run))
        return;
    if (model_open(&reference, &opened) != 0) {
        check_report(run->out, "model.reference", "the reference %s does not open", args->reference);
        return;
    }
    if (feed_open(&feed, opened.models, 1, 256, args->reference, "a reference") != 0)
        check_report(run->out, "model.reference", "the reference %s has no weights or no context",
                     args->reference);
    else if (feed.info.n_vocab != m.info.n_vocab)
        check_report(run->out, "model.reference", "the reference has %u tokens, this backend %u",
                     feed.info.n_vocab, m.info.n_vocab);
    else
        compare(&m, &feed);
    feed_close(&feed);
    model_close(&opened);
    check_model_close(&m);
}

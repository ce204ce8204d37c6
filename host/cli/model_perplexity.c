/* SPDX-License-Identifier: Apache-2.0 */
/* model_perplexity.c - `telex model perplexity`: how well a model foresees a text.
 *
 * The text is cut into chunks of equal size, each a context of its own with bos in its first place where the
 * model wants one. The second half of each chunk is scored, so that every token scored has half a chunk
 * before it: perplexity = exp(mean of -ln p(token)). That is the measure of llama.cpp's llama-perplexity, and
 * with the same file, text and chunk the two compare. The error is that of the mean, as if tokens were
 * independent. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "model_commands.h"
#include "model_feed.h"
#include "model_generate.h"
#include "model_open.h"

enum { CHUNK_MIN = 8, CHUNK_MAX = 1 << 20, LOGITS_MAX_BYTES = 64 << 20 };

struct perplexity_args {
    struct model_args model;
    const char *path;
    uint32_t chunk, most; /* most: chunks to score, 0 for all */
    int json;
};

/* What was scored so far. */
struct score {
    uint64_t n;
    double sum, squares; /* of -ln p */
    bool finite;
};

/* Rows of logits that one batch may ask for. */
struct rows {
    uint32_t n;
    float *logits; /* (n, n_vocab) */
    struct telex_row *rows;
    struct telex_row **list;
};

/* ---- the command line ---- */

static uint32_t count_of(struct argp_state *state, const char *arg, uint32_t low) {
    char *end;
    unsigned long value = strtoul(arg, &end, 10);
    if (end == arg || *end || *arg == '-' || value < low || value > CHUNK_MAX)
        argp_error(state, "'%s' is no whole number from %u to %d", arg, low, CHUNK_MAX);
    return (uint32_t)value;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct perplexity_args *a = state->input;
    switch (key) {
    case 'f':
        a->path = arg;
        return 0;
    case 'c':
        a->chunk = count_of(state, arg, CHUNK_MIN);
        return 0;
    case 'n':
        a->most = count_of(state, arg, 1);
        return 0;
    case 'j':
        a->json = 1;
        return 0;
    default:
        return model_args_parse(key, arg, state, &a->model);
    }
}

static const struct argp_option options[] = {{"file", 'f', "FILE", 0, "the text; default: standard input", 0},
                                             {"chunk", 'c', "N", 0, "tokens of a chunk (512)", 0},
                                             {"chunks", 'n', "N", 0, "score the first N chunks only", 0},
                                             {"json", 'j', NULL, 0, "print JSON", 0},
                                             MODEL_ARGP_OPTIONS,
                                             {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc = "Measure how well a model foresees a text: the lower, the better.\v" MODEL_ARGP_DOC
           ".\nThe second half of each chunk is scored. Perplexities compare over "
           "one text, one chunk size and one vocabulary.\n"
           "  telex model perplexity smollm2-135m -f news.txt\n"
           "  telex model perplexity smollm2-135m:precision=exact -f news.txt"};

/* ---- scoring ---- */

static int rows_open(struct rows *rows, uint32_t n_vocab, uint32_t max_batch) {
    const uint64_t fit = LOGITS_MAX_BYTES / sizeof(float) / n_vocab;
    rows->n = fit < 1 ? 1 : fit < max_batch ? (uint32_t)fit : max_batch;
    rows->logits = malloc((size_t)rows->n * n_vocab * sizeof(float));
    rows->rows = calloc(rows->n, sizeof(*rows->rows));
    rows->list = calloc(rows->n, sizeof(*rows->list));
    if (!rows->logits || !rows->rows || !rows->list)
        return -1;
    for (uint32_t i = 0; i < rows->n; i++) {
        rows->rows[i] = (struct telex_row){.size = sizeof(struct telex_row),
                                           .kind = TELEX_ROW_LOGITS,
                                           .logits = rows->logits + (size_t)i * n_vocab};
        rows->list[i] = &rows->rows[i];
    }
    return 0;
}

static void rows_close(struct rows *rows) {
    free(rows->logits);
    free(rows->rows);
    free(rows->list);
}

/* -ln p(token) under a row of logits. */
static double surprise(const float *logits, uint32_t n_vocab, int32_t token) {
    double sum = 0;
    float most = logits[0];
    for (uint32_t i = 1; i < n_vocab; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - most);
    return log(sum) + most - logits[token];
}

static void score_add(struct score *score, double surprise) {
    score->n++;
    score->sum += surprise;
    score->squares += surprise * surprise;
    score->finite = score->finite && isfinite(surprise);
}

/* Score one chunk: the tokens behind its middle, each foreseen by the row before it. */
static telex_status score_chunk(struct feed *feed, struct rows *rows, int32_t *ids, uint32_t chunk,
                                struct score *score) {
    const uint32_t n_vocab = feed->info.n_vocab, first = chunk / 2, last = chunk - 1;
    const int32_t begin = ids[0];
    telex_status status = feed->model_class->seq_trim(feed->context, 0, 0);
    if (feed->info.add_bos && feed->info.bos >= 0)
        ids[0] = feed->info.bos;
    if (status == TELEX_OK)
        status = feed_tokens(feed, 0, 0, ids, first, NULL);
    for (uint32_t at = first, n; at < last && status == TELEX_OK; at += n) {
        n = last - at < rows->n ? last - at : rows->n;
        status = feed_tokens(feed, 0, at, ids + at, n, rows->list);
        for (uint32_t i = 0; i < n && status == TELEX_OK; i++)
            score_add(score, surprise(rows->logits + (size_t)i * n_vocab, n_vocab, ids[at + i + 1]));
    }
    ids[0] = begin;
    return status;
}

static double mean_of(const struct score *score) {
    return score->n ? score->sum / (double)score->n : 0;
}

/* Standard error of the mean. */
static double error_of(const struct score *score) {
    const double mean = mean_of(score), n = (double)score->n;
    const double variance = n > 1 ? (score->squares - n * mean * mean) / (n - 1) : 0;
    return variance > 0 ? sqrt(variance / n) : 0;
}

static int score_all(const struct perplexity_args *a, struct feed *feed, struct rows *rows, int32_t *ids,
                     uint32_t n_chunks, struct score *score) {
    const bool live = isatty(STDERR_FILENO);
    for (uint32_t i = 0; i < n_chunks; i++) {
        telex_status status = score_chunk(feed, rows, ids + (size_t)i * a->chunk, a->chunk, score);
        if (live)
            fprintf(stderr, "\r\033[Kchunk %u of %u, perplexity %.4f", i + 1, n_chunks, exp(mean_of(score)));
        if (status != TELEX_OK || !score->finite) {
            fprintf(stderr, "%stelex: chunk %u: %s\n", live ? "\n" : "", i + 1,
                    status != TELEX_OK ? "the model could not run it" : "the logits are not finite");
            return EXIT_FAILED;
        }
    }
    if (live)
        fprintf(stderr, "\r\033[K");
    return EXIT_FINE;
}

/* ---- the command ---- */

static void report(const struct perplexity_args *a, const struct feed *feed, uint32_t n_chunks,
                   const struct score *score, double ms) {
    const double perplexity = exp(mean_of(score)), error = perplexity * error_of(score);
    if (a->json) {
        cli_print_json(json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:f}", "model", feed->info.model,
                                 "weights_sha256", feed->info.weights_sha256, "device", feed->info.device,
                                 "chunk", (json_int_t)a->chunk, "chunks", (json_int_t)n_chunks, "scored",
                                 (json_int_t)score->n, "perplexity", perplexity, "error", error, "mean_nll",
                                 mean_of(score), "seconds", ms / 1e3));
        return;
    }
    printf("perplexity %.4f +/- %.4f over %llu tokens in %u chunks of %u; %s on %s, %.1f s\n", perplexity,
           error, (unsigned long long)score->n, n_chunks, a->chunk, feed->info.model, feed->info.device,
           ms / 1e3);
}

static int run(const struct perplexity_args *a, struct feed *feed, int32_t *ids, uint32_t n_tokens) {
    struct rows rows = {0};
    struct score score = {.finite = true};
    const double start = feed_now_ms();
    uint32_t n_chunks = n_tokens / a->chunk;
    int code = EXIT_FAILED;
    n_chunks = a->most && a->most < n_chunks ? a->most : n_chunks;
    if (n_chunks == 0)
        fprintf(stderr, "telex: the text has %u tokens, less than a chunk of %u; give more text or --chunk\n",
                n_tokens, a->chunk);
    else if (rows_open(&rows, feed->info.n_vocab, feed->info.max_batch) != 0)
        fprintf(stderr, "telex: out of memory\n");
    else
        code = score_all(a, feed, &rows, ids, n_chunks, &score);
    if (code == EXIT_FINE)
        report(a, feed, n_chunks, &score, feed_now_ms() - start);
    rows_close(&rows);
    return code;
}

static int run_text(const struct perplexity_args *a, struct models *models, struct telex_bytes text) {
    struct feed feed;
    uint32_t n_tokens = 0;
    int code = feed_open(&feed, models, 1, a->chunk, a->model.model ? a->model.model : a->model.plugin,
                         "a perplexity");
    if (code != 0)
        return code;
    code = EXIT_FAILED;
    if (a->chunk > feed.info.context_tokens) {
        fprintf(stderr, "telex: a chunk of %u tokens; the model was trained for %u\n", a->chunk,
                feed.info.context_tokens);
    } else {
        int32_t *ids = feed_tokenize(&feed, text, &n_tokens);
        if (!ids)
            fprintf(stderr, "telex: the model cannot tokenise this text\n");
        else
            code = run(a, &feed, ids, n_tokens);
        free(ids);
    }
    feed_close(&feed);
    return code;
}

int cmd_perplexity(int argc, char **argv) {
    struct perplexity_args args = {.chunk = 512};
    struct opened_model opened;
    size_t size = 0;
    int code = cli_parse(&argp, argc, argv, &args);
    if (code != 0)
        return code;
    FILE *in = args.path && strcmp(args.path, "-") != 0 ? fopen(args.path, "r") : stdin;
    if (!in) {
        fprintf(stderr, "telex: cannot read %s\n", args.path);
        return EXIT_FAILED;
    }
    char *text = model_read_text(in, &size);
    if (in != stdin)
        fclose(in);
    if (!text)
        return EXIT_FAILED;
    code = model_open(&args.model, &opened);
    if (code == 0) {
        code = run_text(&args, opened.models, (struct telex_bytes){(const uint8_t *)text, size});
        model_close(&opened);
    }
    free(text);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model_compare.c - `telex model compare A B`: do two backends compute the same, and which is faster?
 *
 * A is the reference. Both read the same tokens in windows and give the logits of every position; then both
 * write greedily from a few places of the text, each behind its own words. Turns alternate. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex-sdk/json.h>
#include <telex-sdk/message.h>

#include "../distance.h"
#include "cli.h"
#include "model_commands.h"

#include "model_feed.h"
#include "model_generate.h"
#include "model_open.h"

enum { ROWS = 16, PROMPTS = 4, PROMPT_TOKENS = 48, WRITE_MAX = 4096 };

struct compare_args {
    struct model_args model; /* plugin and options for both */
    const char *specs[2], *file;
    uint32_t n_specs, n_tokens, window, n_write;
    int json;
};

struct side {
    const char *spec;
    struct opened_model opened;
    struct feed feed;
    int32_t *ids; /* of the text */
    uint32_t n_ids;
    float *logits;    /* ROWS x n_vocab */
    int32_t *written; /* n_write */
    float *margins;   /* n_write: the best logit less the second */
    double read_ms, write_ms;
    uint32_t n_read, n_written;
};

/* Where greedy texts part. */
struct parting {
    bool parted;
    uint32_t prompt, token; /* from 0 */
    int32_t ids[2];
    float margins[2];
    uint32_t n_same; /* prompts that never parted */
};

/* ---- the command line ---- */

static uint32_t whole(struct argp_state *state, const char *arg, uint32_t low, uint32_t high) {
    char *end;
    unsigned long value = strtoul(arg, &end, 10);
    if (end == arg || *end || *arg == '-' || value < low || value > high)
        argp_error(state, "'%s' is no whole number from %u to %u", arg, low, high);
    return (uint32_t)value;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct compare_args *a = state->input;
    switch (key) {
    case 'f':
        a->file = arg;
        return 0;
    case 'N':
        a->n_tokens = whole(state, arg, 2, 1 << 20);
        return 0;
    case 'w':
        a->window = whole(state, arg, 2, 1 << 20);
        return 0;
    case 'n':
        a->n_write = whole(state, arg, 1, WRITE_MAX);
        return 0;
    case 'j':
        a->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (a->n_specs == 2)
            argp_error(state, "two models, not more");
        a->specs[a->n_specs++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->n_specs != 2)
            argp_error(state, "which two models? the first is the reference");
        return 0;
    default:
        return model_args_parse(key, arg, state, &a->model);
    }
}

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "the text, - for standard input; default: a built-in one of 500 words", 0},
    {"tokens", 'N', "N", 0, "read at most N tokens of it (1024)", 0},
    {"window", 'w', "N", 0, "tokens that are read as one context (256)", 0},
    {"write", 'n', "N", 0, "tokens that each writes from each of 4 places (64)", 0},
    {"json", 'j', NULL, 0, "print JSON", 0},
    MODEL_ARGP_OPTIONS,
    {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "A B",
    .doc = "Compare two backends over one text: logits of B against those of A, greedy texts, "
           "speed.\v" MODEL_ARGP_DOC ". Both need weights (telex.model/1) and the same tokens.\n"
           "  telex model compare smollm2-135m:cpu=scalar smollm2-135m:cpu=auto\n"
           "NMSE is the squared error over the squares of A's logits, KL the divergence of softmax(B) from "
           "softmax(A) in nats; both by position, mean and worst."};

/* ---- open ---- */

static int open_side(struct side *s, const struct compare_args *a, struct telex_bytes text) {
    struct model_args model = a->model;
    uint32_t longest = PROMPT_TOKENS + a->n_write > a->window ? PROMPT_TOKENS + a->n_write : a->window;
    model.model = s->spec;
    int code = model_open(&model, &s->opened);
    if (code != 0)
        return code;
    code = feed_open(&s->feed, s->opened.models, 1, (longest + 63) / 64 * 64 + 64, s->spec,
                     "telex model compare");
    if (code != 0)
        return code;
    if (s->feed.info.context_tokens < longest) {
        fprintf(stderr,
                "telex: %s: its context is %u tokens, the comparison needs %u; choose smaller --window "
                "and --write\n",
                s->spec, s->feed.info.context_tokens, longest);
        return EXIT_FAILED;
    }
    s->ids = feed_tokenize(&s->feed, text, &s->n_ids);
    s->logits = malloc(sizeof(float) * ROWS * s->feed.info.n_vocab);
    s->written = calloc(a->n_write, sizeof(*s->written));
    s->margins = calloc(a->n_write, sizeof(*s->margins));
    if (s->ids && s->logits && s->written && s->margins)
        return 0;
    fprintf(stderr, "telex: %s: the model cannot tokenise this text\n", s->spec);
    return EXIT_FAILED;
}

static void close_side(struct side *s) {
    feed_close(&s->feed);
    free(s->ids);
    free(s->logits);
    free(s->written);
    free(s->margins);
    model_close(&s->opened);
}

/* Logits can only be compared token by token. 0 or EXIT_FAILED with the reason printed. */
static int check_same_tokens(const struct side *a, const struct side *b) {
    uint32_t n = 0;
    if (a->feed.info.n_vocab != b->feed.info.n_vocab) {
        fprintf(
            stderr,
            "telex: %s has %u tokens in its vocabulary and %s has %u; only models with the same tokens can "
            "be compared\n",
            a->spec, a->feed.info.n_vocab, b->spec, b->feed.info.n_vocab);
        return EXIT_FAILED;
    }
    while (n < a->n_ids && n < b->n_ids && a->ids[n] == b->ids[n])
        n++;
    if (n < a->n_ids || n < b->n_ids) {
        fprintf(stderr,
                "telex: %s and %s split the text into different tokens from token %u on; only models with "
                "the same tokens can be compared\n",
                a->spec, b->spec, n);
        return EXIT_FAILED;
    }
    if (n < 2) {
        fprintf(stderr, "telex: the text is empty; give one of a few words at least\n");
        return EXIT_FAILED;
    }
    return 0;
}

static int failed(const struct side *s, telex_status status) {
    fprintf(stderr, "telex: %s: decode gave status %d%s\n", s->spec, status,
            status == TELEX_AGAIN ? ", no room in its context" : "");
    return EXIT_FAILED;
}

/* ---- reading ---- */

/* The logits of n positions behind `from`, with the time. */
static telex_status read_rows(struct side *s, uint32_t at, uint32_t from, uint32_t n) {
    struct telex_row row[ROWS], *rows[ROWS];
    for (uint32_t i = 0; i < n; i++) {
        row[i] = (struct telex_row){.size = sizeof(row[i]),
                                    .kind = TELEX_ROW_LOGITS,
                                    .n = s->feed.info.n_vocab,
                                    .logits = s->logits + (size_t)i * s->feed.info.n_vocab};
        rows[i] = &row[i];
    }
    return feed_tokens(&s->feed, 0, from, s->ids + at + from, n, rows);
}

static telex_status read_timed(struct side *s, uint32_t at, uint32_t n) {
    double start = feed_now_ms();
    telex_status status = feed_tokens(&s->feed, 0, 0, s->ids + at, n, NULL);
    s->read_ms += feed_now_ms() - start;
    s->n_read += n;
    s->feed.model_class->seq_trim(s->feed.context, 0, 0);
    return status;
}

static int read_window(struct side *sides, uint32_t at, uint32_t n, bool swap, struct distances *all) {
    for (int k = 0; k < 4; k++) { /* A B B A, or B A A B: speed alone */
        struct side *s = &sides[(k == 1 || k == 2) != swap];
        telex_status status = read_timed(s, at, n);
        if (status != TELEX_OK)
            return failed(s, status);
    }
    for (uint32_t from = 0, size; from < n; from += size) {
        size = n - from < ROWS ? n - from : ROWS;
        for (int k = 0; k < 2; k++) {
            telex_status status = read_rows(&sides[k], at, from, size);
            if (status != TELEX_OK)
                return failed(&sides[k], status);
        }
        size_t n_vocab = sides[0].feed.info.n_vocab;
        for (uint32_t i = 0; i < size; i++)
            distances_add(all,
                          distance_of(sides[1].logits + i * n_vocab, sides[0].logits + i * n_vocab, n_vocab));
    }
    for (int k = 0; k < 2; k++)
        sides[k].feed.model_class->seq_trim(sides[k].feed.context, 0, 0);
    return 0;
}

/* ---- writing ---- */

/* n_write greedy tokens behind a prompt. */
static telex_status write_greedy(struct side *s, const int32_t *prompt, uint32_t n, uint32_t n_write) {
    int32_t best[2] = {0, 0};
    float logits[2];
    struct telex_row row = {
        .size = sizeof(row), .kind = TELEX_ROW_TOPK, .n = 2, .ids = best, .logits = logits};
    telex_status status = feed_prompt(&s->feed, 0, 0, prompt, n, &row);
    double start = feed_now_ms();
    for (uint32_t i = 0; i < n_write && status == TELEX_OK; i++) {
        s->written[i] = best[0];
        s->margins[i] = logits[0] - logits[1];
        if (i + 1 < n_write)
            status = feed_prompt(&s->feed, 0, n + i, &s->written[i], 1, &row);
    }
    s->write_ms += feed_now_ms() - start;
    s->n_written += n_write - 1;
    s->feed.model_class->seq_trim(s->feed.context, 0, 0);
    return status;
}

static int write_all(struct side *sides, uint32_t n_ids, uint32_t n_write, struct parting *p) {
    uint32_t size = n_ids < PROMPT_TOKENS ? n_ids : PROMPT_TOKENS;
    for (uint32_t prompt = 0; prompt < PROMPTS; prompt++) {
        uint32_t at = (n_ids - size) * prompt / PROMPTS, i = 0;
        for (int k = 0; k < 2; k++) {
            struct side *s = &sides[(uint32_t)k ^ (prompt & 1)];
            telex_status status = write_greedy(s, s->ids + at, size, n_write);
            if (status != TELEX_OK)
                return failed(s, status);
        }
        while (i < n_write && sides[0].written[i] == sides[1].written[i])
            i++;
        p->n_same += i == n_write;
        if (i < n_write && (!p->parted || i < p->token))
            *p = (struct parting){true,
                                  prompt,
                                  i,
                                  {sides[0].written[i], sides[1].written[i]},
                                  {sides[0].margins[i], sides[1].margins[i]},
                                  p->n_same};
    }
    return 0;
}

/* ---- results ---- */

static double per_s(uint32_t n, double ms) {
    return ms > 0 ? 1e3 * n / ms : 0;
}

/* The token as a JSON text. Gives a reference. */
static json_t *piece(const struct side *s, int32_t id) {
    uint8_t bytes[4096];
    int64_t n = s->feed.model_class->detokenize(s->feed.model, &id, 1, bytes, sizeof(bytes));
    size_t used = 0;
    char *text = telex_utf8_repair((char *)bytes, n > 0 && n <= 4096 ? (size_t)n : 0, &used);
    json_t *out = text ? json_stringn_nocheck(text, used) : json_null();
    free(text);
    return out;
}

static json_t *side_json(const struct side *s) {
    struct telex_backend_info info = {.size = sizeof(info), .model = "", .backend = ""};
    models_info(s->opened.models, 0, &info);
    return json_pack("{s:s,s:s,s:s,s:f,s:f}", "spec", s->spec, "backend", info.backend, "model", info.model,
                     "prompt_tokens_per_s", per_s(s->n_read, s->read_ms), "decode_tokens_per_s",
                     per_s(s->n_written, s->write_ms));
}

static json_t *result_json(const struct side *sides, const struct distances *d, const struct parting *p,
                           uint32_t n_write) {
    json_t *parted = json_null();
    if (p->parted)
        parted = json_pack("{s:I,s:I,s:o,s:o,s:f,s:f}", "prompt", (json_int_t)p->prompt, "token",
                           (json_int_t)p->token, "a", piece(&sides[0], p->ids[0]), "b",
                           piece(&sides[1], p->ids[1]), "margin_a", (double)p->margins[0], "margin_b",
                           (double)p->margins[1]);
    return json_pack("{s:o,s:o,s:I,s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:o}", "a", side_json(&sides[0]), "b",
                     side_json(&sides[1]), "positions", (json_int_t)d->n, "nmse", d->nmse_sum / (double)d->n,
                     "nmse_max", d->nmse_max, "kl", d->kl_sum / (double)d->n, "kl_max", d->kl_max,
                     "top1_agreement", (double)d->n_same / (double)d->n, "greedy_prompts",
                     (json_int_t)PROMPTS, "greedy_tokens", (json_int_t)n_write, "greedy_same",
                     (json_int_t)p->n_same, "first_divergence", parted);
}

static void print_result(const json_t *r) {
    const json_t *side[2] = {json_object_get(r, "a"), json_object_get(r, "b")};
    const json_t *parted = json_object_get(r, "first_divergence");
    double values[6];
    static const char *const keys[] = {"nmse", "nmse_max", "kl", "kl_max", "top1_agreement", "positions"};
    for (int i = 0; i < 6; i++)
        values[i] = json_number_value(json_object_get(r, keys[i]));
    for (int k = 0; k < 2; k++)
        printf("%c  %s: %s, %s\n", 'A' + k, json_string_value(json_object_get(side[k], "spec")),
               json_string_value(json_object_get(side[k], "model")),
               json_string_value(json_object_get(side[k], "backend")));
    printf("\nlogits of B against A, %.0f positions\n", values[5]);
    printf("  %-20s %.3e, worst %.3e\n", "NMSE", values[0], values[1]);
    printf("  %-20s %.3e nats, worst %.3e\n", "KL", values[2], values[3]);
    printf("  %-20s %.2f%%\n", "same best token", 100 * values[4]);
    printf("greedy texts of %lld tokens: %lld of %d the same\n",
           (long long)json_integer_value(json_object_get(r, "greedy_tokens")),
           (long long)json_integer_value(json_object_get(r, "greedy_same")), PROMPTS);
    if (json_is_object(parted)) {
        char *a = json_dumps(json_object_get(parted, "a"), JSON_ENCODE_ANY);
        char *b = json_dumps(json_object_get(parted, "b"), JSON_ENCODE_ANY);
        printf("  first divergence at token %lld of text %lld: A writes %s (ahead by %.3g), B %s (by %.3g)\n",
               (long long)json_integer_value(json_object_get(parted, "token")) + 1,
               (long long)json_integer_value(json_object_get(parted, "prompt")) + 1, a ? a : "",
               json_number_value(json_object_get(parted, "margin_a")), b ? b : "",
               json_number_value(json_object_get(parted, "margin_b")));
        free(a);
        free(b);
    }
    printf("\n%-22s %12s %12s %8s\n", "tokens/s", "A", "B", "B / A");
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "decode_tokens_per_s" : "prompt_tokens_per_s";
        double a = json_number_value(json_object_get(side[0], key)),
               b = json_number_value(json_object_get(side[1], key));
        printf("%-22s %12.1f %12.1f %8.2f\n", i ? "write" : "prompt", a, b, a > 0 ? b / a : 0);
    }
}

/* ---- the run ---- */

static int compare(struct side *sides, const struct compare_args *args) {
    struct distances distances = {0};
    struct parting parting = {0};
    uint32_t n = sides[0].n_ids < args->n_tokens ? sides[0].n_ids : args->n_tokens;
    bool live = isatty(STDERR_FILENO), swap = false;
    int code = check_same_tokens(&sides[0], &sides[1]);
    for (uint32_t at = 0, size; at < n && code == 0; at += size, swap = !swap) {
        size = n - at < args->window ? n - at : args->window;
        if (live)
            fprintf(stderr, "\rread %u of %u tokens\033[K", at, n);
        code = read_window(sides, at, size, swap, &distances);
    }
    if (live)
        fprintf(stderr, "\rwriting\033[K");
    if (code == 0)
        code = write_all(sides, n, args->n_write, &parting);
    if (live)
        fprintf(stderr, "\r\033[K");
    if (code != 0)
        return code;
    json_t *result = result_json(sides, &distances, &parting, args->n_write);
    if (args->json)
        cli_print_json(json_incref(result));
    else
        print_result(result);
    json_decref(result);
    return EXIT_FINE;
}

int cmd_compare(int argc, char **argv) {
    struct compare_args args = {.n_tokens = 1024, .window = 256, .n_write = 64};
    struct side sides[2] = {{0}};
    size_t size = 0;
    int code = cli_parse(&argp, argc, argv, &args);
    if (code != 0)
        return code;
    char *read = args.file ? model_read_path(args.file, &size) : NULL;
    if (args.file && !read)
        return EXIT_FAILED;
    struct telex_bytes text =
        read ? (struct telex_bytes){(const uint8_t *)read, size} : telex_text(feed_text);
    for (int k = 0; k < 2 && code == 0; k++) {
        sides[k].spec = args.specs[k];
        code = open_side(&sides[k], &args, text);
    }
    if (code == 0)
        code = compare(sides, &args);
    close_side(&sides[0]);
    close_side(&sides[1]);
    free(read);
    return code;
}

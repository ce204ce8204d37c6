/* SPDX-License-Identifier: Apache-2.0 */
/* model_bench.c - `telex model bench`: how fast backends are, side by side.
 *
 * Rounds are interleaved: each measures every case of every backend once, the backends of odd rounds in
 * reverse order, so that a machine that slows down slows all of them down. Medians are printed. */
#include "model_bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "model_commands.h"

enum { BACKENDS_MAX = 8, SIZES_MAX = 16, BATCH_MAX = 256, TOKENS_MAX = 1 << 20 };

struct sizes {
    uint32_t at[SIZES_MAX];
    size_t n;
};

struct bench_args {
    struct model_args model; /* plugin and options for all */
    const char *specs[BACKENDS_MAX];
    size_t n_specs;
    struct sizes prompts, batches, depths;
    uint32_t n_tokens, rounds;
    int json;
};

/* ---- the command line ---- */

static uint32_t whole_number(struct argp_state *state, const char *arg, uint32_t low, uint32_t high) {
    char *end;
    unsigned long value = strtoul(arg, &end, 10);
    if (end == arg || *end || *arg == '-' || value < low || value > high)
        argp_error(state, "'%s' is no whole number from %u to %u", arg, low, high);
    return (uint32_t)value;
}

static void parse_sizes(struct argp_state *state, char *arg, uint32_t low, uint32_t high, struct sizes *out) {
    char *rest = arg, *word;
    out->n = 0;
    while ((word = strsep(&rest, ","))) {
        if (out->n == SIZES_MAX)
            argp_error(state, "more than %d sizes", SIZES_MAX);
        out->at[out->n++] = whole_number(state, word, low, high);
    }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct bench_args *a = state->input;
    switch (key) {
    case 'p':
        parse_sizes(state, arg, 1, TOKENS_MAX, &a->prompts);
        return 0;
    case 'b':
        parse_sizes(state, arg, 1, BATCH_MAX, &a->batches);
        return 0;
    case 'd':
        parse_sizes(state, arg, 0, TOKENS_MAX, &a->depths);
        return 0;
    case 'n':
        a->n_tokens = whole_number(state, arg, 1, TOKENS_MAX);
        return 0;
    case 'r':
        a->rounds = whole_number(state, arg, 1, BENCH_ROUNDS_MAX);
        return 0;
    case 'j':
        a->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (a->n_specs == BACKENDS_MAX)
            argp_error(state, "more than %d backends", BACKENDS_MAX);
        a->specs[a->n_specs++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->n_specs == 0 && a->model.plugin)
            a->n_specs = 1; /* without a name of its own */
        if (a->n_specs == 0)
            argp_error(state, "which model? see `telex model list`, give a GGUF file, or a backend");
        if (a->prompts.n + a->batches.n * a->depths.n > BENCH_CASES_MAX)
            argp_error(state, "more than %d measurements", BENCH_CASES_MAX);
        return 0;
    default:
        return model_args_parse(key, arg, state, &a->model);
    }
}

static const struct argp_option options[] = {
    {"prompts", 'p', "N,...", 0, "prompt sizes in tokens (16,128,512)", 0},
    {"batches", 'b', "N,...", 0, "sequences that write at once (1,4)", 0},
    {"depths", 'd', "N,...", 0, "positions that each of them holds already (0,512)", 0},
    {"tokens", 'n', "N", 0, "tokens that each writes (32)", 0},
    {"rounds", 'r', "N", 0, "measure everything N times; medians are printed (3)", 0},
    {"json", 'j', NULL, 0, "print JSON, with every round", 0},
    MODEL_ARGP_OPTIONS,
    {0}};
static const struct argp argp = {.options = options,
                                 .parser = parse,
                                 .args_doc = "MODEL...",
                                 .doc = "Measure how fast backends are: load time, memory, time to the first "
                                        "token, tokens per second.\v" MODEL_ARGP_DOC
                                        ". Several are measured in turns and printed side by side.\n"
                                        "  telex model bench smollm2-135m:cpu=avx2 smollm2-135m:cpu=scalar\n"
                                        "A backend that only answers jobs is timed from the hand-in of a job "
                                        "to its end, the prompt included; "
                                        "its prompts are about as long as asked for."};

/* ---- results ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, size_t n) {
    double sorted[BENCH_ROUNDS_MAX];
    memcpy(sorted, values, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double rate(const struct bench_case *c, size_t rounds) {
    double rates[BENCH_ROUNDS_MAX];
    for (size_t i = 0; i < rounds; i++)
        rates[i] = c->ms[i] > 0 ? 1e3 * c->tokens_done[i] / c->ms[i] : 0;
    return median(rates, rounds);
}

static json_t *case_json(const struct bench_case *c, size_t rounds) {
    json_t *out = c->batch ? json_pack("{s:s,s:I,s:I,s:I}", "kind", "decode", "batch", (json_int_t)c->batch,
                                       "depth", (json_int_t)c->depth, "tokens", (json_int_t)c->tokens)
                           : json_pack("{s:s,s:I}", "kind", "prompt", "tokens", (json_int_t)c->tokens);
    if (c->left_out) {
        json_object_set_new(out, "left_out", json_string(c->why));
        return out;
    }
    json_t *all = json_array();
    for (size_t i = 0; i < rounds; i++)
        json_array_append_new(all, json_real(c->ms[i]));
    json_object_set_new(out, "tokens_per_s", json_real(rate(c, rounds)));
    if (!c->batch)
        json_object_set_new(out, "first_token_ms", json_real(median(c->ms, rounds)));
    json_object_set_new(out, "ms", all);
    return out;
}

static json_t *bench_json(const struct bench *b, size_t rounds) {
    struct telex_backend_info info = {.size = sizeof(info), .model = "", .backend = ""};
    json_t *cases = json_array();
    models_info(b->opened.models, 0, &info);
    for (size_t i = 0; i < b->n_cases; i++)
        json_array_append_new(cases, case_json(&b->cases[i], rounds));
    json_t *out =
        json_pack("{s:s,s:s,s:s,s:s,s:f,s:I,s:o}", "spec", b->spec, "backend", info.backend, "model",
                  info.model, "class", b->feed.context ? TELEX_CLASS_MODEL : TELEX_CLASS_GENERATE, "load_ms",
                  b->load_ms, "resident_bytes", (json_int_t)b->resident_bytes, "cases", cases);
    if (b->feed.context)
        json_object_set_new(out, "weight_bytes", json_integer((json_int_t)b->feed.info.weight_bytes));
    return out;
}

static void print_value(const struct bench *b, const struct bench_case *c, double value, bool *left_out) {
    (void)b;
    *left_out = *left_out || c->left_out;
    if (c->left_out)
        printf("  %12s", "-");
    else
        printf("  %12.1f", value);
}

static void print_table(const struct bench *all, size_t n, size_t rounds) {
    bool left_out = false;
    for (size_t i = 0; i < n; i++) {
        struct telex_backend_info info = {.size = sizeof(info), .model = "", .backend = ""};
        models_info(all[i].opened.models, 0, &info);
        printf("%c  %s: %s, %s; loaded in %.0f ms, %.0f MiB in memory\n", (int)('A' + i), all[i].spec,
               info.model, info.backend, all[i].load_ms, (double)all[i].resident_bytes / (1 << 20));
    }
    printf("\n%-36s", "tokens/s");
    for (size_t i = 0; i < n; i++)
        printf("  %12c", (int)('A' + i));
    for (size_t k = 0; k < all[0].n_cases; k++) {
        const struct bench_case *c = &all[0].cases[k];
        char name[80];
        if (c->batch)
            snprintf(name, sizeof(name), "write %u, batch %u, depth %u", c->tokens, c->batch, c->depth);
        else
            snprintf(name, sizeof(name), "prompt of %u", c->tokens);
        printf("\n%-36s", name);
        for (size_t i = 0; i < n; i++)
            print_value(&all[i], &all[i].cases[k], rate(&all[i].cases[k], rounds), &left_out);
        if (c->batch)
            continue;
        printf("\n%-36s", "  first token after ms");
        for (size_t i = 0; i < n; i++)
            print_value(&all[i], &all[i].cases[k], median(all[i].cases[k].ms, rounds), &left_out);
    }
    printf("\n");
    for (size_t i = 0; i < n && left_out; i++)
        for (size_t k = 0; k < all[i].n_cases; k++)
            if (all[i].cases[k].left_out)
                printf("%c: -: %s\n", (int)('A' + i), all[i].cases[k].why);
}

/* ---- the run ---- */

static void add_cases(struct bench *b, const struct bench_args *a) {
    for (size_t i = 0; i < a->prompts.n; i++)
        b->cases[b->n_cases++] = (struct bench_case){.tokens = a->prompts.at[i]};
    for (size_t i = 0; i < a->batches.n; i++)
        for (size_t k = 0; k < a->depths.n; k++)
            b->cases[b->n_cases++] = (struct bench_case){
                .tokens = a->n_tokens, .batch = a->batches.at[i], .depth = a->depths.at[k]};
}

static void run(struct bench *all, const struct bench_args *a) {
    size_t done = 0, total = a->rounds * all[0].n_cases * a->n_specs;
    bool live = isatty(STDERR_FILENO);
    for (size_t round = 0; round < a->rounds; round++)
        for (size_t k = 0; k < all[0].n_cases; k++)
            for (size_t i = 0; i < a->n_specs; i++, done++) {
                if (live)
                    fprintf(stderr, "\r%zu of %zu measurements\033[K", done, total);
                bench_run(&all[round % 2 ? a->n_specs - 1 - i : i], k, round);
            }
    if (live)
        fprintf(stderr, "\r\033[K");
}

static bool any_left(const struct bench *b) {
    for (size_t k = 0; k < b->n_cases; k++)
        if (!b->cases[k].left_out)
            return true;
    return false;
}

int cmd_bench(int argc, char **argv) {
    struct bench_args args = {.prompts = {{16, 128, 512}, 3},
                              .batches = {{1, 4}, 2},
                              .depths = {{0, 512}, 2},
                              .n_tokens = 32,
                              .rounds = 3};
    int code = cli_parse(&argp, argc, argv, &args);
    if (code != 0)
        return code;
    struct bench *all = calloc(args.n_specs, sizeof(*all));
    for (size_t i = 0; all && i < args.n_specs && code == 0; i++) {
        struct model_args model = args.model;
        model.model = args.specs[i];
        all[i].spec = args.specs[i] ? args.specs[i] : args.model.plugin;
        add_cases(&all[i], &args);
        code = bench_open(&all[i], &model);
    }
    if (all && code == 0) {
        run(all, &args);
        json_t *list = json_array();
        for (size_t i = 0; i < args.n_specs; i++) {
            json_array_append_new(list, bench_json(&all[i], args.rounds));
            if (!any_left(&all[i])) {
                fprintf(stderr, "telex: %s: nothing could be measured: %s\n", all[i].spec,
                        all[i].cases[0].why);
                code = EXIT_FAILED;
            }
        }
        if (args.json)
            cli_print_json(json_pack("{s:I,s:O}", "rounds", (json_int_t)args.rounds, "backends", list));
        else
            print_table(all, args.n_specs, args.rounds);
        json_decref(list);
    }
    for (size_t i = 0; all && i < args.n_specs; i++)
        bench_close(&all[i]);
    free(all);
    return all ? code : EXIT_FAILED;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* encoder-tool.c - the encoder for tests, and how long it takes.
 *
 *     encoder-tool words VOCABULARY [--control]     one JSON string a line in, its ids a line out
 *     encoder-tool map                              what each code point becomes, one a line: code, kind,
 * codes encoder-tool embed MODEL [BATCH [THREADS]]    one JSON string a line in, its vector a line out
 *     encoder-tool bench MODEL BATCH THREADS ROUNDS one JSON string a line in; microseconds of processor time
 * a text */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "bert_text.h"
#include "cpu.h"
#include "encoder.h"

static void die(const char *what) {
    fprintf(stderr, "encoder-tool: %s\n", what);
    exit(1);
}

/* Lines of standard input as an array of JSON strings. */
static json_t *read_lines(void) {
    json_t *lines = json_array();
    char *line = NULL;
    size_t capacity = 0;

    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        json_t *text = json_loadb(line, (size_t)n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        if (!json_is_string(text))
            die("a line is no JSON string");
        json_array_append_new(lines, text);
    }
    free(line);
    return lines;
}

static int words(const char *vocabulary, unsigned flags) {
    struct wordpiece wordpiece = {0};
    struct model_fail fail;
    json_t *lines = read_lines(), *text;
    size_t i;

    if (wordpiece_open(vocabulary, &wordpiece, &fail) != 0)
        die(fail.text);
    json_array_foreach(lines, i, text) {
        struct token_list list = {0};

        if (wordpiece_encode(&wordpiece, json_string_value(text), json_string_length(text), flags, &list) !=
            0)
            die("out of memory");
        for (size_t k = 0; k < list.n; k++)
            printf("%s%d", k ? " " : "", list.ids[k]);
        putchar('\n');
        free(list.ids);
    }
    json_decref(lines);
    wordpiece_close(&wordpiece);
    return 0;
}

static int map(void) {
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint32_t out[BERT_MOST], n;
        enum bert_kind kind[BERT_MOST];

        if (code >= 0xd800 && code < 0xe000)
            continue;
        n = bert_map(code, out, kind);
        printf("%u", code);
        for (uint32_t i = 0; i < n; i++)
            printf(" %u:%d", out[i], (int)kind[i]);
        putchar('\n');
    }
    return 0;
}

struct job {
    const struct encoder *encoder;
    const struct kernels *kernels;
    struct pool *pool;
    struct encoder_text *texts;
    uint32_t n;
    float *out;
};

static void open_job(struct job *job, const char *path, uint32_t threads) {
    struct model_fail fail;
    json_t *lines = read_lines(), *text;
    size_t i;

    if (encoder_open(path, &job->encoder, &fail) != 0 ||
        cpu_choose(getenv("TELEX_CPU"), &job->kernels, &fail) != 0 ||
        pool_create(threads, &job->pool, &fail) != 0)
        die(fail.text);
    job->n = (uint32_t)json_array_size(lines);
    job->texts = calloc(job->n + 1, sizeof(*job->texts));
    job->out = calloc((size_t)job->n + 1, job->encoder->bert.n_embd * sizeof(float));
    json_array_foreach(lines, i, text) {
        struct token_list list = {0};

        if (!job->texts || !job->out ||
            wordpiece_encode(&job->encoder->words, json_string_value(text), json_string_length(text), 0,
                             &list) != 0)
            die("out of memory");
        const uint32_t most = encoder_most_tokens(job->encoder);
        job->texts[i] = (struct encoder_text){list.ids, list.n < most ? (uint32_t)list.n : most};
    }
    json_decref(lines);
}

static void embed_all(const struct job *job, uint32_t batch) {
    for (uint32_t i = 0; i < job->n; i += batch) {
        const uint32_t n = job->n - i < batch ? job->n - i : batch;

        if (encoder_embed(job->encoder, encoder_kernels_like(job->kernels), job->pool, job->texts + i, n,
                          job->out + (size_t)i * job->encoder->bert.n_embd) != 0)
            die("embed failed");
    }
}

static void close_job(struct job *job) {
    for (uint32_t i = 0; i < job->n; i++)
        free((void *)(uintptr_t)job->texts[i].ids);
    free(job->texts);
    free(job->out);
    pool_destroy(job->pool);
    encoder_close(job->encoder);
}

static int embed(const char *path, uint32_t batch, uint32_t threads) {
    struct job job;
    uint32_t n_embd;

    open_job(&job, path, threads);
    n_embd = job.encoder->bert.n_embd;
    embed_all(&job, batch);
    for (uint32_t i = 0; i < job.n; i++)
        for (uint32_t d = 0; d < n_embd; d++)
            printf("%a%c", (double)job.out[(size_t)i * n_embd + d], d + 1 < n_embd ? ' ' : '\n');
    close_job(&job);
    return 0;
}

static double seconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int bench(const char *path, uint32_t batch, uint32_t threads, uint32_t rounds) {
    struct job job;
    uint64_t tokens = 0;

    open_job(&job, path, threads);
    for (uint32_t i = 0; i < job.n; i++)
        tokens += job.texts[i].n + 2;
    printf("%u texts of %.1f tokens, batches of %u, %u threads, %s:", job.n, (double)tokens / job.n, batch,
           threads, job.kernels->name);
    for (uint32_t i = 0; i < rounds; i++) {
        const double start = seconds();

        embed_all(&job, batch);
        printf(" %.0f", (seconds() - start) * 1e6 / job.n);
    }
    printf(" us of processor time a text\n");
    close_job(&job);
    return 0;
}

static uint32_t number(int argc, char **argv, int at, uint32_t otherwise) {
    const long n = argc > at ? strtol(argv[at], NULL, 10) : (long)otherwise;

    return n < 1 || n > 1 << 16 ? otherwise : (uint32_t)n;
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "words") == 0)
        return words(argv[2], argc > 3 ? TOKENIZER_CONTROL : 0);
    if (argc > 1 && strcmp(argv[1], "map") == 0)
        return map();
    if (argc > 2 && strcmp(argv[1], "embed") == 0)
        return embed(argv[2], number(argc, argv, 3, 1), number(argc, argv, 4, 1));
    if (argc > 2 && strcmp(argv[1], "bench") == 0)
        return bench(argv[2], number(argc, argv, 3, 1), number(argc, argv, 4, 1), number(argc, argv, 5, 3));
    die("see the top of encoder-tool.c");
}

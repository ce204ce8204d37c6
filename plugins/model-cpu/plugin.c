/* SPDX-License-Identifier: Apache-2.0 */
/* model-cpu - runs a GGUF transformer on the processor. */
#include <telex-sdk/plugin.h>

#include "backend.h"

static const struct telex_model model = {
    .size = sizeof(model),
    .name = "model-cpu",
    .version = "0.1.0",
    .doc = "llama, qwen2, qwen3 and gemma3 GGUF models on AMX, AVX-512, AVX2 or any processor",
    .options = backend_options,
    .probe = backend_probe, /* backend.c, and so are all below */
    .open = backend_open,   /* -> model.c: load, pack, share */
    .info = backend_info,
    .tokenize = backend_tokenize, /* -> model-common/bpe.c */
    .detokenize = backend_detokenize,
    .context_open = backend_context_open, /* -> context.c */
    .decode = backend_decode,             /* -> context.c, forward.c, kernels.c; answer.c */
    .seq_copy = backend_seq_copy,         /* -> kv.c */
    .seq_trim = backend_seq_trim,
    .embed = backend_embed,
    .cancel = backend_cancel,
    .context_close = backend_context_close,
    .close = backend_close,
};

TELEX_MODEL_PLUGIN(model, "model-cpu", "0.1.0", "Apache-2.0", "runs a GGUF transformer on the processor")

/* SPDX-License-Identifier: Apache-2.0 */
/* model-http - jobs for a server that speaks the chat completions interface. */
#include <telex-sdk/plugin.h>

#include "backend.h"

static const struct telex_generate backend = {
    .size = sizeof(backend),
    .name = "model-http",
    .version = "0.1.0",
    .doc = "asks an OpenAI-compatible server over http",
    .options = http_options,
    .needs = (const char *const[]){"net", NULL},
    .probe = http_probe, /* backend.c, as all below; the worker is transfer.c */
    .open = http_open,
    .info = http_info,
    .generate = http_generate, /* -> request.c, transfer.c, reply.c */
    .cancel = http_cancel,
    .close = http_close,
};

TELEX_GENERATE_PLUGIN(backend, "model-http", "0.1.0", "Apache-2.0",
                      "asks an OpenAI-compatible server over http")

/* SPDX-License-Identifier: Apache-2.0 */
/* model_open.h - a model for a command: a name of the list, a file, or any backend with its options.
 *
 * All commands take it in one form, NAME[:KEY=VALUE,...]: NAME is a GGUF file, a name of `telex model list`,
 * a backend's name or the path of its .so; options are those of the backend, "\," stands for a comma in one,
 * and `path` may be a name of the list. --plugin and --option say the same apart from it. */
#ifndef HOST_CLI_MODEL_OPEN_H
#define HOST_CLI_MODEL_OPEN_H

#include <argp.h>

#include "../models.h"

enum { MODEL_OPTIONS_MAX = 64 };

/* What the command line says of the model. */
struct model_args {
    const char *model;  /* NAME[:KEY=VALUE,...]; NULL: only plugin and options */
    const char *plugin; /* NULL: auto */
    const char *pairs[MODEL_OPTIONS_MAX + 2];
    size_t n_pairs;
};

/* --plugin and --option, for the argp tables of the commands; model_args_parse handles them. */
#define MODEL_ARGP_OPTIONS                                                                                   \
    {"plugin", 'P', "NAME", 0, "the backend; default: the best that runs weights here", 1}, {                \
        "option", 'o', "KEY=VALUE", 0, "set an option of the backend (see `telex plugins NAME`)", 1          \
    }

#define MODEL_ARGP_DOC                                                                                       \
    "MODEL is NAME[:KEY=VALUE,...]: a GGUF file, a name of `telex model list`, a backend or the path of "    \
    "its "                                                                                                   \
    ".so, and options of the backend, as in smollm2-135m:threads=2 or ./mine.so:path=weights.bin"

/* ARGP_ERR_UNKNOWN for other keys. The first free argument becomes the model. */
error_t model_args_parse(int key, char *arg, struct argp_state *state, struct model_args *args);

struct opened_model {
    struct registry *registry;
    struct models *models; /* one entry */
    char passed_over[400]; /* no backend was named: which cannot run here, and why; or "" */
};

/* Open it. 0, or an exit code with the reason printed. */
int model_open(const struct model_args *args, struct opened_model *out);
void model_close(struct opened_model *opened);

#endif

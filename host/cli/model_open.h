/* SPDX-License-Identifier: Apache-2.0 */
/* model_open.h - a model for a command: a name of the list, a file, or any backend with its options. */
#ifndef HOST_CLI_MODEL_OPEN_H
#define HOST_CLI_MODEL_OPEN_H

#include <argp.h>

#include "../models.h"

enum { MODEL_OPTIONS_MAX = 64 };

/* What the command line says of the model. */
struct model_args {
    const char *model;  /* a name of the list or a path; NULL: only plugin and options */
    const char *plugin; /* NULL: auto */
    const char *pairs[MODEL_OPTIONS_MAX + 2];
    size_t n_pairs;
};

/* --plugin and --option, for the argp tables of the commands; model_args_parse handles them. */
#define MODEL_ARGP_OPTIONS                                                                                   \
    {"plugin", 'P', "NAME", 0, "the backend; default: the best that runs weights here", 1}, {                \
        "option", 'o', "KEY=VALUE", 0, "set an option of the backend (see `telex plugins NAME`)", 1          \
    }

/* ARGP_ERR_UNKNOWN for other keys. The first free argument becomes the model. */
error_t model_args_parse(int key, char *arg, struct argp_state *state, struct model_args *args);

struct opened_model {
    struct registry *registry;
    struct models *models; /* one entry */
};

/* Open it. 0, or an exit code with the reason printed. */
int model_open(const struct model_args *args, struct opened_model *out);
void model_close(struct opened_model *opened);

#endif

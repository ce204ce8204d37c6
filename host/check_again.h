/* SPDX-License-Identifier: Apache-2.0 */
/* check_again.h - what the scenarios that live more than once need of their parent and of the host. */
#ifndef HOST_CHECK_AGAIN_H
#define HOST_CHECK_AGAIN_H

#include "check_life.h"

/* Checked options, each with one option at an edge of what its table allows. */
struct check_variations {
    const struct plugin_desc *plugin;
    const char *const *pairs; /* as they were given, NULL-ended */
    struct check_variation {
        char *label;                /* "least=1000"; owned */
        struct telex_bytes options; /* owned */
        bool slows; /* a duration: a stage may wait for so long, so nothing is lived through with it */
    } * items;
    size_t n;
};

void check_variations_make(struct check_variations *out, const struct plugin_desc *plugin,
                           const char *const *pairs);
void check_variations_finish(struct check_variations *variations);

/* The options map of these pairs and one more, "key=value"; false when it is none. Gives out->data. */
bool check_options_with(const struct plugin_desc *plugin, const char *const *pairs, const char *more,
                        struct telex_bytes *out);

#endif

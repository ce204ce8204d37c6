/* SPDX-License-Identifier: Apache-2.0 */
/* setup.h - what a runner is told before it loads its plugin: one msgpack map, the payload of TO_CREATE. */
#ifndef RUNNER_SETUP_H
#define RUNNER_SETUP_H

#include <telex-sdk/message.h>

#include "../isolate.h"

/* The plugins in sealed memory that a runner is started with: the i-th is its descriptor FD_IMAGES + i. */
enum { ISOLATE_IMAGES_MAX = 17 };
struct isolate_images {
    int fd[ISOLATE_IMAGES_MAX]; /* the host's; borrowed */
    int n;
};
/* The runner's number of the host's descriptor; 0 for one that is not among them, such as 0. */
int isolate_image_at(const struct isolate_images *images, int fd);

/* Write the map. `services`: SERVICE_ bits that the host has. 0 or -ENOMEM. */
int setup_write(const struct isolate_spec *spec, const struct isolate_images *images, uint32_t services,
                struct telex_builder *out);

/* The runner's copy of a spec. Owned, setup_finish. */
struct setup {
    struct telex_map map;
    uint32_t services;
    struct plugin_desc plugin; /* no `about` */
    struct telex_bytes options;
    struct setup_model {
        char *role, *name;
        struct plugin_desc plugin;
        struct telex_bytes options;
    } * models;
    uint32_t n_models;
    struct isolate_limits limits;
    uint8_t *body; /* owned; the map and the options lie in it */
};

/* Read the map from a copy of `body`. 0, -EBADMSG or -ENOMEM; finish it either way. */
int setup_read(struct setup *setup, struct telex_bytes body);
void setup_finish(struct setup *setup);

#endif

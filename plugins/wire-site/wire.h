/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - the stage around the site: steps, leases and the kv store. */
#ifndef WIRE_SITE_WIRE_H
#define WIRE_SITE_WIRE_H

#include <stdbool.h>

#include <telex-sdk/plugin.h>

/* Filled from the option table of plugin.c. */
struct wire_options {
    const char *root, *base_url, *title, *tagline, *publisher, *contact, *time;
    int64_t front_items, feed_items;
    bool precompress;
};

extern const struct telex_option *const wire_option_table[];

telex_status wire_create(const struct telex_host *host, struct telex_bytes options, void **self);
telex_status wire_start(void *self);
telex_status wire_process(void *self, telex_lease lease, struct telex_rec *in);
void wire_on_timer(void *self, uint64_t timer);
void wire_drain(void *self, int64_t deadline_ms);
void wire_destroy(void *self);

#endif

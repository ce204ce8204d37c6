/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h - the parts that every small test filter has alike: one port each way, no options, no state. */
#ifndef TESTS_FILTER_H
#define TESTS_FILTER_H

#include <stdlib.h>

#include <telex-sdk/plugin.h>

struct filter {
    const struct telex_host *host; /* borrowed */
    int64_t calls;                 /* of process */
};

static inline telex_status filter_create(const struct telex_host *host, struct telex_bytes options,
                                         void **self) {
    (void)options;
    struct filter *filter = calloc(1, sizeof(*filter));
    if (!filter)
        return TELEX_FATAL;
    filter->host = host;
    *self = filter;
    return TELEX_OK;
}

static inline void filter_destroy(void *self) {
    free(self);
}

static const struct telex_port *const filter_ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "out", "*"),
    NULL,
};

/* The whole front door, but for what makes this filter different. */
#define FILTER_PLUGIN(name_, doc_, ...)                                                                      \
    static const struct telex_stage stage = {.size = sizeof(stage),                                          \
                                             .role = TELEX_FILTER,                                           \
                                             .max_outputs = 1,                                               \
                                             .name = name_,                                                  \
                                             .version = "0.1.0",                                             \
                                             .doc = doc_,                                                    \
                                             .ports = filter_ports,                                          \
                                             .destroy = filter_destroy,                                      \
                                             __VA_ARGS__};                                                   \
    TELEX_STAGE_PLUGIN(stage, name_, "0.1.0", "Apache-2.0", doc_)

#endif

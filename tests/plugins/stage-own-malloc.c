/* SPDX-License-Identifier: Apache-2.0 */
/* stage-own-malloc - brings an allocator of its own, hidden by the version script: that concerns nobody else.
 */
#include <stddef.h>
#include <string.h>

#include <telex-sdk/plugin.h>

enum { ROOM_BYTES = 1 << 20 };
static _Alignas(16) char room[ROOM_BYTES];
static size_t used;

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void free(void *memory);

/* Hands out zeroed room and never takes it back. */
void *malloc(size_t size) {
    size_t at = (used + 15) & ~(size_t)15;
    if (size > ROOM_BYTES || at > ROOM_BYTES - size)
        return NULL;
    used = at + size;
    return room + at;
}

void *calloc(size_t n, size_t size) {
    return malloc(n * size);
}

void free(void *memory) {
    (void)memory;
}

struct filter {
    const struct telex_host *host; /* borrowed */
};

static telex_status own_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    (void)options;
    struct filter *filter = calloc(1, sizeof(*filter));
    if (!filter)
        return TELEX_FATAL;
    filter->host = host;
    *self = filter;
    return TELEX_OK;
}

static telex_status own_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct filter *filter = self;
    return filter->host->forward(filter->host, lease, 0, in);
}

static void own_destroy(void *self) {
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "out", "*"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = "stage-own-malloc",
    .version = "0.1.0",
    .doc = "brings an allocator of its own",
    .ports = ports,
    .create = own_create,
    .process = own_process,
    .destroy = own_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-own-malloc", "0.1.0", "Apache-2.0", "brings an allocator of its own")

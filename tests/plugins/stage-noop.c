/* SPDX-License-Identifier: Apache-2.0 */
/* stage-noop - passes every record on as it is, for tests and for measuring the host.
 *
 * It keeps nothing, so any number of its steps may be repeated. */
#include <stdlib.h>
#include <time.h>

#include <telex-sdk/plugin.h>

struct noop {
    const struct telex_host *host; /* borrowed */
    int64_t delay_ms, pass;
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "delay", .type = TELEX_DURATION, .offset = offsetof(struct noop, delay_ms),
                 .initial = "0ms", .max = 3600e3, .unit = "ms", .doc = "time that each record is held"),
    TELEX_OPTION(.name = "pass", .type = TELEX_INT, .offset = offsetof(struct noop, pass), .initial = "0",
                 .max = 1e9, .doc = "how many records go through before any is held"),
    NULL,
};

static telex_status noop_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    void *memory;
    struct noop *noop = calloc(1, sizeof(*noop));
    if (!noop)
        return TELEX_FATAL;
    if (telex_options_read(options, given, noop, &memory) < 0) {
        free(noop);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    free(memory);
    noop->host = host;
    *self = noop;
    return TELEX_OK;
}

/* Sleep in short naps, so that a cancelled step ends early. */
static void hold(const struct noop *noop, telex_lease lease) {
    for (int64_t left = noop->delay_ms; left > 0 && !noop->host->cancelled(noop->host, lease);) {
        int64_t nap_ms = left < 20 ? left : 20;
        struct timespec nap = {nap_ms / 1000, (nap_ms % 1000) * 1000000};
        nanosleep(&nap, NULL);
        left -= nap_ms;
    }
}

static telex_status noop_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct noop *noop = self;
    if (noop->pass > 0)
        noop->pass--;
    else
        hold(noop, lease);
    return noop->host->forward(noop->host, lease, 0, in);
}

static void noop_destroy(void *self) {
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
    .name = "stage-noop",
    .version = "0.1.0",
    .doc = "passes every record on as it is",
    .ports = ports,
    .options = options,
    .create = noop_create,
    .process = noop_process,
    .destroy = noop_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-noop", "0.1.0", "Apache-2.0", "passes every record on as it is")

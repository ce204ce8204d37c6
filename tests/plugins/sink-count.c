/* SPDX-License-Identifier: Apache-2.0 */
/* sink-count - takes every message, counts it and forgets it.
 *
 * The count is of this run only: the metric records_total and one log line at stop. */
#include <inttypes.h>
#include <stdlib.h>

#include <telex/ext/metrics.h>
#include <telex-sdk/plugin.h>

struct sink {
    const struct telex_host *host;       /* borrowed */
    const struct telex_metrics *metrics; /* borrowed; NULL where the host has none */
    int32_t metric;
    int64_t count;
};

static telex_status sink_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    (void)given;
    struct sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return TELEX_FATAL;
    sink->host = host;
    sink->metrics = host->ext(host, TELEX_METRICS);
    if (sink->metrics)
        sink->metric = sink->metrics->define(host, TELEX_COUNTER, "records_total", "messages taken");
    *self = sink;
    return TELEX_OK;
}

static telex_status sink_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct sink *sink = self;
    (void)lease, (void)in;
    sink->count++;
    if (sink->metrics && sink->metric >= 0)
        sink->metrics->add(sink->host, sink->metric, 1);
    return TELEX_OK;
}

static void sink_stop(void *self) {
    const struct sink *sink = self;
    telex_say(sink->host, TELEX_INFO, 0, "took %" PRId64 " messages", sink->count);
}

static void sink_destroy(void *self) {
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "messages", "*"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WIRE,
    .name = "sink-count",
    .version = "0.1.0",
    .doc = "counts messages and forgets them",
    .ports = ports,
    .create = sink_create,
    .process = sink_process,
    .stop = sink_stop,
    .destroy = sink_destroy,
};

TELEX_STAGE_PLUGIN(stage, "sink-count", "0.1.0", "Apache-2.0", "counts messages and forgets them")

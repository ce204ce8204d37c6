/* SPDX-License-Identifier: Apache-2.0 */
/* telex/ext/metrics.h - "telex.metrics/1": numbers for the operator's /metrics page. */
#ifndef TELEX_EXT_METRICS_H
#define TELEX_EXT_METRICS_H

#include "../host.h"

#define TELEX_METRICS "telex.metrics/1"

enum { TELEX_COUNTER = 1, TELEX_GAUGE = 2 };

struct telex_metrics {
    uint32_t size;
    /* Register a metric, name in snake case with its unit, at create. Returns a handle >= 0, LIMIT (64 per
     * instance), INVALID. The host adds the stage as a label. [control] */
    int32_t (*define)(const struct telex_host *host, int32_t kind, const char *name, const char *doc);
    void (*add)(const struct telex_host *host, int32_t metric, double amount); /* [any] */
    void (*set)(const struct telex_host *host, int32_t metric, double value);  /* gauges [any] */
};

#endif

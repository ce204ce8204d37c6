/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.h - when to ask a feed again. Pure functions of their arguments; all times are ms, moments since
 * 1970. */
#ifndef SIGNAL_FEED_SCHEDULE_H
#define SIGNAL_FEED_SCHEDULE_H

#include <stdint.h>

struct schedule {
    int64_t now_ms, interval_ms, max_interval_ms, every_ms;
    int64_t ttl_ms, max_age_ms, expires_ms, retry_ms; /* floors; expires and retry are moments, 0: none */
    double jitter;                                    /* -1 to 1 */
};

/* After an answer. `week` is how many items the feed brought in the last seven days; 0: not known. */
int64_t schedule_after_answer(const struct schedule *s, int64_t week);
/* After the n-th failure in a row. */
int64_t schedule_after_failure(const struct schedule *s, int64_t fails);
/* Retry-After in seconds or as a date, as a moment; 0: none. */
int64_t schedule_retry_after(const char *value, int64_t now_ms);
/* Cache-Control's max-age in ms; 0: none. */
int64_t schedule_max_age(const char *cache_control);

#endif
